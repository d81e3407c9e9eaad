package node

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// process is a part of the node at work.
type process struct {
	name    string
	command *exec.Cmd
	done    chan struct{} // closed when it has ended
}

// start runs a program as a part of the node. Its output goes to a log of that name.
func (n *Node) start(name, program string, arguments ...string) error {
	log, err := os.Create(logPath(name))
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{name: name, command: exec.Command(program, arguments...), done: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	n.processes = append(n.processes, p)
	go func() {
		_ = p.command.Wait() // ProcessState tells
		close(p.done)
	}()
	return nil
}

func (p *process) stop() {
	_ = p.command.Process.Kill() // it has ended otherwise
	<-p.done
}

// failure tells of a part that has ended, which none does of its own accord.
func (n *Node) failure() error {
	for _, p := range n.processes {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%s)", p.name, p.command.ProcessState)
		default:
		}
	}
	return nil
}

// await asks until the answer is yes, as long as all parts run.
func (n *Node) await(what string, timeout time.Duration, ready func() bool) error {
	for began := time.Now(); !ready(); time.Sleep(10 * time.Millisecond) {
		if err := n.failure(); err != nil {
			return fmt.Errorf("%w\n%s", err, n.Logs())
		}
		if time.Since(began) > timeout {
			return fmt.Errorf("%s: not after %s\n%s", what, timeout, n.Logs())
		}
	}
	return nil
}

func logPath(name string) string { return inside("logs", name+".log") }

// Logs are the last words of the parts of the node, for people who look for a failure.
func (n *Node) Logs() string {
	var all strings.Builder
	for _, p := range n.processes {
		content, err := os.ReadFile(logPath(p.name))
		if err != nil {
			content = []byte(err.Error())
		}
		const most = 4000
		fmt.Fprintf(&all, "--- %s\n%s\n", p.name, content[max(0, len(content)-most):])
	}
	return all.String()
}
