package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

func registerFollowStdin(flags *pflag.FlagSet, follow *bool) {
	flags.BoolVar(follow, "follow-stdin", false, "stop when standard input is closed, as it is when the process at its other end dies")
}

// untilStopped returns a context that ends on SIGTERM or SIGINT, and with followStdin also
// when standard input is closed. A pipe tells of the death of the process at its other end
// whatever the cause; Pdeathsig would tell of the death of one of its threads.
func untilStopped(followStdin bool) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if followStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	return ctx, stop
}
