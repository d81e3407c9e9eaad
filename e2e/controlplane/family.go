package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// family is this process's children: the components. None outlives it, however it dies.
type family struct {
	layout  layout
	spawn   chan func()
	members []*exec.Cmd
	waiting sync.WaitGroup
	ended   chan error // a component did, which none does of its own accord
}

func newFamily(l layout) *family {
	f := &family{layout: l, spawn: make(chan func()), ended: make(chan error, 8)}
	go func() {
		// The kernel kills a child when the thread that started it ends (Pdeathsig), and
		// the Go runtime ends threads at will: this goroutine keeps one for itself.
		runtime.LockOSThread()
		for start := range f.spawn {
			start()
		}
	}()
	return f
}

// start runs this binary as the given command. Its output goes to the log of that name.
func (f *family) start(command, name string, flags []string) error {
	log, err := os.Create(f.layout.log(name))
	if err != nil {
		return err
	}
	defer log.Close()

	child := exec.Command("/proc/self/exe", append([]string{command}, flags...)...)
	child.Args[0] = "controlplane"
	child.Dir = string(f.layout) // etcd's sockets are relative to it
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}

	started := make(chan error)
	f.spawn <- func() { started <- child.Start() }
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	f.members = append(f.members, child)
	f.waiting.Go(func() {
		_ = child.Wait() // ProcessState says it all
		f.ended <- fmt.Errorf("%s ended (%s); the end of its log %s:\n%s",
			name, child.ProcessState, f.layout.log(name), tail(f.layout.log(name), 2000))
	})
	return os.WriteFile(f.layout.pid(name), []byte(strconv.Itoa(child.Process.Pid)), 0o644)
}

// kill ends all components at once and waits for them. A graceful stop takes seconds and
// saves nothing: what etcd has acknowledged is in its files.
func (f *family) kill() {
	for _, child := range f.members {
		// The group, should a component have children; a stopped process dies of it too.
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL)
	}
	f.waiting.Wait()
}

// attend does work while all components run. It fails with the component's last words when
// one ends first.
func (f *family) attend(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-f.ended:
		return err
	case err := <-done:
		return err
	}
}

// tail is the end of a file, from the beginning of a line.
func tail(path string, size int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(content) > size {
		content = content[len(content)-size:]
		if _, rest, found := bytes.Cut(content, []byte("\n")); found {
			content = rest
		}
	}
	return string(content)
}
