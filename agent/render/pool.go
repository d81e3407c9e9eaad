package render

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// recycleAfter is how many renders a worker does before a fresh one takes its place: memory
// that Kustomize's globals gather goes with it.
const recycleAfter = 200

// spareAfter is how long a worker stays that is not needed. The last one always does: the next
// commit should not wait for a process to start.
const spareAfter = 10 * time.Second

// Pool renders in worker processes. It may be used from several goroutines.
type Pool struct {
	command []string
	limits  Limits
	seats   *seats
	closed  context.Context
	close   context.CancelFunc

	active sync.WaitGroup // renders
	mu     sync.Mutex
	idle   []*worker // the last one was used last
}

// NewPool returns a pool of at most size workers, and one more beside a render that takes long.
// They are started when they are needed, by running command, which has to call Serve on its
// standard input and output.
func NewPool(command []string, size int, limits Limits) *Pool {
	closed, cancel := context.WithCancel(context.Background())
	return &Pool{command: command, limits: limits, seats: newSeats(size, limits.Long), closed: closed, close: cancel}
}

// Limits are those of every render.
func (p *Pool) Limits() Limits { return p.limits }

// errClosed is returned by renders that the end of the pool cut short.
var errClosed = errors.New("the agent is stopping")

// errCrowded is returned by renders that were put off.
var errCrowded = errors.New("rendering takes long, and so it does for other overlays: it is put off for them, and tried again later")

// Render renders one source. The error is an *Error or that of ctx.
func (p *Pool) Render(ctx context.Context, r Request) (agent.Set, error) {
	result, err := p.Run(ctx, r)
	return result.Set, err
}

// Run is Render with all that is known afterwards, for those who keep it: the Result is of use
// also with an error.
func (p *Pool) Run(ctx context.Context, r Request) (Result, error) {
	a, err := p.ask(ctx, question{Request: r})
	return a.Result, err
}

// Divide finds the parts of an overlay, as the function of that name does.
func (p *Pool) Divide(ctx context.Context, r Request) (Split, error) {
	a, err := p.ask(ctx, question{Request: r, Divide: true})
	return a.Split, err
}

// ask puts a question to a worker.
func (p *Pool) ask(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.closed, func() { cancel(errClosed) })()
	if !p.begin() {
		return answer{}, &Error{Kind: Unavailable, Message: errClosed.Error()}
	}
	defer p.active.Done()
	leave, err := p.seats.take(ctx, func() { cancel(errCrowded) })
	if err != nil {
		return answer{}, ended(ctx)
	}
	defer leave()
	if ctx.Err() != nil {
		return answer{}, ended(ctx)
	}
	w, err := p.take()
	if err != nil {
		return answer{}, &Error{Kind: Unavailable, Message: "no render worker could be started: " + err.Error()}
	}
	a, err := w.render(ctx, q, p.limits)
	p.give(w)
	if ctx.Err() != nil && err != nil {
		return answer{}, ended(ctx)
	}
	return a, err
}

// begin counts a render, unless the pool is closed.
func (p *Pool) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Err() != nil {
		return false
	}
	p.active.Add(1)
	return true
}

// ended says why a context did.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause == errClosed || cause == errCrowded {
		return &Error{Kind: Unavailable, Message: cause.Error()}
	}
	return ctx.Err()
}

// take returns the worker that was used last, or a new one.
func (p *Pool) take() (*worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		w := p.idle[last]
		p.idle = p.idle[:last]
		return w, nil
	}
	return start(p.command)
}

// give takes a worker back, or lets it go.
func (p *Pool) give(w *worker) {
	p.mu.Lock()
	keep := !w.done && w.count < recycleAfter && p.closed.Err() == nil
	if keep {
		w.since = time.Now()
		p.idle = append(p.idle, w)
		if len(p.idle) > 1 {
			time.AfterFunc(spareAfter, p.spare)
		}
	}
	p.mu.Unlock()
	if !keep {
		w.stop()
	}
}

// spare ends the workers that have not been needed for a while, but for one.
func (p *Pool) spare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 1 && time.Since(p.idle[0].since) >= spareAfter {
		p.idle[0].stop()
		p.idle = p.idle[1:]
	}
}

// Close ends all workers, also those at work, and waits for them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.close()
	p.mu.Unlock()
	p.active.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle {
		w.stop()
	}
	p.idle = nil
}
