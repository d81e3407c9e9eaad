package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// probe finds out whether a machine of one's own can be furnished here.
func probe() int {
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return 0
}

// beInit is process 1: it furnishes the namespaces, runs the tests, buries the dead whose
// parents have gone, and ends with the tests.
func beInit() int {
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	for name, value := range map[string]string{stageVariable: stageTests, "TMPDIR": inside("tmp")} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, "node:", err)
			return 1
		}
	}
	tests, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "node: starting the tests:", err)
		return 1
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, "node: waiting for the tests:", err)
			return 1
		case pid == tests.Pid && status.Exited():
			return status.ExitStatus()
		case pid == tests.Pid:
			fmt.Fprintln(os.Stderr, "node: the tests ended by", status.Signal())
			return 1
		}
	}
}

// mounting is one mount.
type mounting struct {
	what, where, kind string
	flags             uintptr
	data              string
}

// furnish makes the file system view: a /proc of the new process table, and room in memory
// for everything that is written to places a node writes to.
func furnish() error {
	private := []mounting{
		{where: "/", flags: syscall.MS_REC | syscall.MS_PRIVATE}, // nothing below is seen outside
		{"proc", "/proc", "proc", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=0755"},
	}
	for _, m := range private {
		if err := m.make(); err != nil {
			return err
		}
	}
	for _, sub := range []string{"tmp", "knobs", "var", "var.work"} {
		if err := os.MkdirAll(inside(sub), 0o755); err != nil {
			return err
		}
	}
	layers := fmt.Sprintf("lowerdir=/var,upperdir=%s,workdir=%s", inside("var"), inside("var.work"))
	if err := (mounting{"overlay", "/var", "overlay", 0, layers}).make(); err != nil {
		return err
	}
	return coverKnobs()
}

func (m mounting) make() error {
	if err := syscall.Mount(m.what, m.where, m.kind, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s (%s): %w", m.where, m.kind, err)
	}
	return nil
}

// knobs are the kernel's settings that a kubelet changes, and what it wants them to be. They
// hold for the whole machine, so they are not to be changed: a file with the wanted value
// lies over each, which is all that a kubelet looks at.
var knobs = map[string]int{
	"vm/overcommit_memory":      1,
	"vm/panic_on_oom":           0,
	"kernel/panic":              10,
	"kernel/panic_on_oops":      1,
	"kernel/keys/root_maxkeys":  1000000,
	"kernel/keys/root_maxbytes": 25000000,
}

func coverKnobs() error {
	for knob, value := range knobs {
		cover, covered := inside("knobs", filepath.Base(knob)), filepath.Join("/proc/sys", knob)
		if _, err := os.Stat(covered); errors.Is(err, os.ErrNotExist) {
			continue // of a kernel built without it
		}
		if err := os.WriteFile(cover, []byte(strconv.Itoa(value)+"\n"), 0o644); err != nil {
			return err
		}
		if err := (mounting{cover, covered, "", syscall.MS_BIND, ""}).make(); err != nil {
			return err
		}
	}
	return nil
}
