package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// layout is the directory of one control plane. Its root is absolute.
type layout string

func newLayout(dir string) (layout, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	l := layout(root)
	for _, sub := range []string{"logs", "run", "pki", "etcd"} {
		if err := os.MkdirAll(l.path(sub), 0o700); err != nil {
			return "", fmt.Errorf("making the directory of the control plane: %w", err)
		}
	}
	if err := l.claim(); err != nil {
		return "", err
	}
	// A ready file of an earlier run must not vouch for this one, and requests that were
	// under way when it was killed would stay unanswered on the record.
	for _, file := range []string{l.ready(), l.auditLog()} {
		if err := os.RemoveAll(file); err != nil {
			return "", err
		}
	}
	return l, nil
}

// claim makes the directory this process's own, until it ends.
func (l layout) claim() error {
	file, err := unix.Open(l.path("run", "lock"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("claiming the directory of the control plane: %w", err)
	}
	if err := unix.Flock(file, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("a control plane runs in %s already: stop it, or choose another --dir", string(l))
	}
	return nil // the lock goes with the process, so the file stays open
}

// existingLayout is the directory of a control plane that runs.
func existingLayout(dir string) (layout, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	l := layout(root)
	if _, err := os.Stat(l.ready()); err != nil {
		return "", fmt.Errorf("no control plane is ready in %s: %w; start one with controlplane up --dir", dir, err)
	}
	return l, nil
}

func (l layout) path(elements ...string) string {
	return filepath.Join(append([]string{string(l)}, elements...)...)
}

func (l layout) ready() string               { return l.path("ready") }
func (l layout) kubeconfig() string          { return l.path("kubeconfig") }
func (l layout) auditLog() string            { return l.path("audit.log") }
func (l layout) pki(name string) string      { return l.path("pki", name) }
func (l layout) log(component string) string { return l.path("logs", component+".log") }
func (l layout) pid(component string) string { return l.path("run", component+".pid") }

// etcdSocket is etcd's address as its clients and servers see it. A Unix socket's path may
// have 107 bytes and a test's temporary directory alone can have more, so the path goes by
// way of the working directory, which is the layout's root in every process of the family.
func (l layout) etcdSocket(name string) string {
	return "/proc/self/cwd/" + name + ".sock"
}
