package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cgroupMounts are the places where cgroups are made: one for each controller with cgroups of
// version 1, one in all with version 2.
func cgroupMounts() []string {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var mounts []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			mounts = append(mounts, fields[1])
		}
	}
	return mounts
}

// makeCgroups makes the cgroup below which the kubelet makes all others.
func makeCgroups(name string) error {
	mounts := cgroupMounts()
	if len(mounts) == 0 {
		return errors.New("no cgroup file system is mounted")
	}
	for _, mount := range mounts {
		if err := os.Mkdir(filepath.Join(mount, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes a cgroup and those in it. Their processes have been killed; it takes
// the kernel a moment to notice.
func removeCgroups(name string) error {
	const patience = 10 * time.Second
	var failed error
	for _, mount := range cgroupMounts() {
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			err := removeTree(filepath.Join(mount, name))
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EBUSY) || time.Since(began) > patience {
				failed = errors.Join(failed, fmt.Errorf("a cgroup is left: %w", err))
				break
			}
		}
	}
	return failed
}

// removeTree removes directories from the innermost outwards. The files in a cgroup go with it.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
			return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
	return nil
}
