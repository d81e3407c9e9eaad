package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// agent is the agent's process.
type agent struct {
	command *exec.Cmd
	ended   chan struct{}
}

// startAgent runs the agent with the rights of its ServiceAccount, and waits until it is ready.
func (d *demo) startAgent(ctx context.Context) (string, error) {
	account := filepath.Join(d.dir, "agent.kubeconfig")
	const name = "system:serviceaccount:" + namespace + ":sluice-agent"
	issue := exec.CommandContext(ctx, d.binary, "kubeconfig", "--dir="+d.cluster.Dir, "--out="+account,
		"--user="+name, "--group=system:serviceaccounts", "--group=system:serviceaccounts:"+namespace)
	if output, err := issue.CombinedOutput(); err != nil {
		return "", fmt.Errorf("no access for %s: %w\n%s", name, err, output)
	}
	probes, err := freeAddress()
	if err != nil {
		return "", err
	}
	d.agent, err = start(filepath.Join(d.bin, "sluice"), d.agentLog(), "agent", "--kubeconfig="+account,
		"--allow-insecure-git", "--allow-loopback-checks", "--share=false", "--metrics-address=0", "--probe-address="+probes, "--dir="+filepath.Join(d.dir, "agent"))
	if err != nil {
		return "", err
	}
	go func() {
		<-d.agent.ended
		d.fail(fmt.Errorf("the agent ended by itself (%s); its log ends:\n%s", d.agent.command.ProcessState, d.lastWords()))
	}()
	note := fmt.Sprintf("process %d as ServiceAccount sluice-agent, log %s", d.agent.command.Process.Pid, d.agentLog())
	return note, d.awaitReady(ctx, "http://"+probes+"/readyz")
}

// freeAddress is one nobody listens on; there is no way to keep it so until the agent does.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func start(program, log string, arguments ...string) (*agent, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	a := &agent{command: exec.Command(program, arguments...), ended: make(chan struct{})}
	a.command.Stdout, a.command.Stderr = output, output
	a.command.SysProcAttr = tether()
	if err := a.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = a.command.Wait() // ProcessState tells
		close(a.ended)
	}()
	return a, nil
}

// awaitReady asks the agent's own probe, which a kubelet would ask.
func (d *demo) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s did not answer within %s; see %s", url, patience, d.agentLog()))
	defer cancel()
	for {
		if answer, err := http.Get(url); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the agent as a kubelet would.
func (a *agent) stop() {
	_ = a.command.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-a.ended:
	case <-time.After(10 * time.Second):
		_ = a.command.Process.Kill()
		<-a.ended
	}
}

// lastWords are the last lines of the agent's log.
func (d *demo) lastWords() string {
	content, err := os.ReadFile(d.agentLog())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
