package render

import (
	"bufio"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// worker is one process, seen from the agent.
type worker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	encoder *gob.Encoder
	decoder *gob.Decoder
	said    *lastWords
	count   int
	since   time.Time // when it was used last
	done    bool      // it has ended, or is not to be used again
}

// start runs a worker in a process group of its own, so that a Ctrl-C at the terminal reaches
// the agent first, and without the agent's environment: Git content has no business with it.
// It ends when its standard input does, which is when the agent ends, however that happens.
func start(command []string) (*worker, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"TMPDIR=" + os.TempDir(), "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &lastWords{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, in: in, encoder: gob.NewEncoder(in), decoder: gob.NewDecoder(bufio.NewReader(out)), said: said}, nil
}

// render asks and waits for the answer, the limit of time, or the end of ctx.
func (w *worker) render(ctx context.Context, q question, limits Limits) (answer, error) {
	w.count++
	ctx, cancel := context.WithTimeoutCause(ctx, limits.Time, errSlow)
	defer cancel()
	// When ctx ends the process is killed, which ends the exchange.
	unwatch := context.AfterFunc(ctx, func() { _ = w.cmd.Process.Kill() })
	a, err := w.exchange(q)
	if !unwatch() || err != nil {
		w.stop()
	}
	switch {
	case err == nil && a.Error != nil:
		return a, a.Error
	case err == nil:
		return a, nil
	case context.Cause(ctx) == errSlow:
		return answer{}, overLimit("rendering took longer than the limit of %s: split the overlay, or raise --render-timeout", limits.Time)
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	}
	return answer{}, w.autopsy(limits)
}

// errSlow is the cause when the limit of time ends a render.
var errSlow = fmt.Errorf("the limit of time: %w", context.DeadlineExceeded)

// exchange asks and reads the answer.
func (w *worker) exchange(q question) (answer, error) {
	var a answer
	if err := w.encoder.Encode(q); err != nil {
		return a, err
	}
	return a, w.decoder.Decode(&a)
}

// autopsy says why a worker ended that nobody stopped.
func (w *worker) autopsy(limits Limits) error {
	state := w.cmd.ProcessState
	reason := w.said.reason()
	switch {
	case state.ExitCode() == exitMemory || outOfMemory(reason):
		return overLimit("rendering took more memory than the limit of %d MiB: split the overlay, or raise --render-memory", limits.Memory>>20)
	case killed(state):
		return &Error{Kind: Crashed, Message: "the render worker was killed, most likely because the memory of the container or machine is short: raise its limit, or lower --render-memory or --renders"}
	}
	return &Error{Kind: Crashed, Message: fmt.Sprintf("the render worker ended (%s): %s", state, reason)}
}

func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop ends the process and waits for it. It may be called again.
func (w *worker) stop() {
	if w.done {
		return
	}
	w.done = true
	_ = w.in.Close() // it ends by itself if it can
	timer := time.AfterFunc(time.Second, func() { _ = w.cmd.Process.Kill() })
	defer timer.Stop()
	_ = w.cmd.Wait() // how it ended is in ProcessState
}
