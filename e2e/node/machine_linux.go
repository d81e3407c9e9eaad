package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// machine is the one part of a run that lies on the real machine: a cgroup.
type machine struct{ cgroup string }

func newMachine() (machine, error) {
	if os.Geteuid() != 0 {
		return machine{}, errors.New("it needs root: run as root, in a throw-away machine if you like")
	}
	sweep()
	m := machine{cgroupPrefix + strconv.Itoa(os.Getpid())}
	if err := makeCgroups(m.cgroup); err != nil {
		return machine{}, errors.Join(fmt.Errorf("cgroups cannot be made: %w", err), m.remove())
	}
	return m, nil
}

// sweep removes what runs left that were killed.
func sweep() {
	for _, mount := range cgroupMounts() {
		left, _ := filepath.Glob(filepath.Join(mount, cgroupPrefix+"*")) // fails on a bad pattern only
		for _, dir := range left {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix))
			if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				_ = removeTree(dir) // the next run tries again
			}
		}
	}
}

func (m machine) remove() error { return removeCgroups(m.cgroup) }

// enter runs this program again, as process 1 of namespaces of its own, and returns its exit
// code. When it returns, no process of the namespaces is left: the kernel kills them all with
// their process 1, and that one with this process.
func (m machine) enter(stage string) (int, error) {
	runtime.LockOSThread() // Pdeathsig is about the thread that starts the child
	defer runtime.UnlockOSThread()

	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), stageVariable+"="+stage, cgroupVariable+"="+m.cgroup)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := child.Start(); err != nil {
		return 1, fmt.Errorf("namespaces cannot be made: %w", err)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-interrupted:
			_ = child.Process.Kill() // it has ended otherwise
		case <-ended:
		}
	}()
	_ = child.Wait() // ProcessState tells
	if code := child.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, fmt.Errorf("the tests ended by %s", child.ProcessState)
}
