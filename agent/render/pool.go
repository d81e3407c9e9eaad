package render

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// recycleAfter is how many renders a worker does before a fresh one takes its place: memory
// that Kustomize's globals gather goes with it.
const recycleAfter = 200

// Pool renders in worker processes. It may be used from several goroutines.
type Pool struct {
	command []string
	limits  Limits
	free    chan *worker // a nil worker stands for one that is to be started
}

// NewPool returns a pool of at most size workers. They are started when they are needed, by
// running command, which has to call Serve on its standard input and output.
func NewPool(command []string, size int, limits Limits) *Pool {
	p := &Pool{command: command, limits: limits, free: make(chan *worker, max(size, 1))}
	for range cap(p.free) {
		p.free <- nil
	}
	return p
}

// Limits of each render.
func (p *Pool) Limits() Limits { return p.limits }

// Render renders one source. The error is an *Error or that of ctx.
func (p *Pool) Render(ctx context.Context, r Request) (agent.Set, error) {
	var w *worker
	select {
	case w = <-p.free:
	case <-ctx.Done():
		return agent.Set{}, ctx.Err()
	}
	defer func() { p.free <- w }()
	if w == nil {
		var err error
		if w, err = start(p.command); err != nil {
			return agent.Set{}, &Error{Kind: Unavailable, Message: "no render worker could be started: " + err.Error()}
		}
	}
	set, err := w.render(ctx, r, p.limits)
	if w.done || w.count >= recycleAfter {
		w.stop()
		w = nil
	}
	return set, err
}

// Close ends the workers that are free; those at work end with the agent.
func (p *Pool) Close() {
	for range cap(p.free) {
		select {
		case w := <-p.free:
			if w != nil {
				w.stop()
			}
			p.free <- nil
		default:
			return
		}
	}
}

// worker is one process.
type worker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	encoder *gob.Encoder
	decoder *gob.Decoder
	errors  *tail
	count   int
	done    bool // it has ended, or is not to be used again
}

// start runs a worker in a process group of its own and with an empty environment: Git
// content has no business with the agent's. It ends when its standard input does, which is
// when the agent ends, however that happens.
func start(command []string) (*worker, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"TMPDIR=" + os.TempDir(), "HOME=/nonexistent"}
	cmd.SysProcAttr = apart()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &tail{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &worker{cmd: cmd, in: in, encoder: gob.NewEncoder(in), decoder: gob.NewDecoder(bufio.NewReader(out)), errors: said}, nil
}

// render sends a request and waits for the answer, the limit of time, or the end of ctx.
func (w *worker) render(ctx context.Context, r Request, limits Limits) (agent.Set, error) {
	w.count++
	answers := make(chan answer, 1)
	broken := make(chan error, 1)
	go func() {
		var a answer
		if err := w.encoder.Encode(r); err != nil {
			broken <- err
			return
		}
		if err := w.decoder.Decode(&a); err != nil {
			broken <- err
			return
		}
		answers <- a
	}()
	timer := time.NewTimer(limits.Time)
	defer timer.Stop()
	select {
	case a := <-answers:
		if a.Error != nil {
			return agent.Set{}, a.Error
		}
		return a.Set, nil
	case <-broken:
		return agent.Set{}, w.autopsy(limits)
	case <-timer.C:
		w.stop()
		return agent.Set{}, &Error{Kind: Limit, Message: fmt.Sprintf("rendering took longer than the limit of %s: split the overlay, or raise --render-timeout", limits.Time)}
	case <-ctx.Done():
		w.stop()
		return agent.Set{}, ctx.Err()
	}
}

// autopsy says why a worker ended.
func (w *worker) autopsy(limits Limits) error {
	w.stop()
	state := w.cmd.ProcessState
	if state != nil && state.ExitCode() == exitMemory || w.errors.has("cannot allocate memory") || w.errors.has("out of memory") {
		return &Error{Kind: Limit, Message: fmt.Sprintf("rendering took more memory than the limit of %d MiB: split the overlay, or raise --render-memory", limits.Memory>>20)}
	}
	why := "without a word"
	if state != nil {
		why = state.String()
	}
	return &Error{Kind: Crashed, Message: "the render worker ended (" + why + "): " + w.errors.reason()}
}

// stop ends the process and waits for it.
func (w *worker) stop() {
	if w.done {
		return
	}
	w.done = true
	_ = w.in.Close() // it ends by itself if it can
	killed := time.AfterFunc(100*time.Millisecond, func() { _ = w.cmd.Process.Kill() })
	defer killed.Stop()
	if err := w.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		_ = w.cmd.Process.Kill()
	}
}

// tail keeps the first part of what a worker says on standard error, which has the reason of
// a crash.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

const tailSize = 16 << 10

// Write keeps what there is room for.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := tailSize - t.text.Len(); room > 0 {
		t.text.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

func (t *tail) has(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.text.Bytes(), []byte(text))
}

// reason returns the first line, which is Go's reason for a crash.
func (t *tail) reason() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _, _ := bytes.Cut(t.text.Bytes(), []byte("\n"))
	return string(line)
}
