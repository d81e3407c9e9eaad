package program

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program at work. It follows its standard input: when that is closed, by Stop
// or because this process died, it kills its own children and ends.
type Process struct {
	command *exec.Cmd
	stdin   io.Closer
	log     string
	done    chan struct{} // closed when it has ended
}

// Start runs a binary with the flag --follow-stdin besides the arguments, and with what the
// environment has besides that of this process. Its output goes to the file log.
func Start(binary, log string, environment []string, arguments ...string) (*Process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	command := exec.Command(binary, append(arguments, "--follow-stdin")...)
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = output, output
	// Its own group: an interrupt typed at a demo's terminal is the demo's to handle.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	p := &Process{command: command, stdin: stdin, log: log, done: make(chan struct{})}
	go func() {
		_ = command.Wait() // ProcessState tells
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the process and with it its children.
func (p *Process) Stop() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		// The kernel kills its children with it.
		_ = p.command.Process.Kill()
		<-p.done
	}
}

// Failure tells why the process ended, in its own words. It must have.
func (p *Process) Failure() error {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(p.log), ".log")
	return fmt.Errorf("%s ended (%s); its log %s ends:\n%s", name, p.command.ProcessState, p.log, LastLines(content))
}
