package program

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lock takes the lock file for this process, waiting while another has it. The kernel
// releases it when its holder dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another process to build it (%s is locked): %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
