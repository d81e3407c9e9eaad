package cluster

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is the control-plane binary at work. It follows its standard input: when that is
// closed, by stop or because this process died, it kills its own children and ends.
type process struct {
	command *exec.Cmd
	stdin   io.Closer
	log     string
	done    chan struct{} // closed when it has ended
}

func startProcess(binary, log string, arguments ...string) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	command := exec.Command(binary, append(arguments, "--follow-stdin")...)
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
	p := &process{command: command, stdin: stdin, log: log, done: make(chan struct{})}
	go func() {
		_ = command.Wait() // ProcessState tells
		close(p.done)
	}()
	return p, nil
}

// stop ends the process and with it its children.
func (p *process) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		// The kernel kills its children with it.
		_ = p.command.Process.Kill()
		<-p.done
	}
}

// failure tells why the process ended, in its own words. It must have.
func (p *process) failure() error {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("controlplane %s ended (%s); its log %s ends:\n%s", p.command.Args[1], p.command.ProcessState, p.log, lastLines(content))
}
