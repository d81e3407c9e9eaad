package task

import (
	"context"
	"fmt"
	"sync"
)

// Tasks are things to do in the background, by their keys. The zero value but for Done is ready for use.
type Tasks[K comparable, V any] struct {
	// Parallel is how many are done at once; the others wait for their turn. 0 is for no bound.
	Parallel int
	// Of says whose a task is: of the seats nobody gets more than a quarter, so that one whose server does not
	// answer holds up nobody else. nil: they are all one's.
	Of func(K) string
	// Done is called with the key of a task that there is an answer to. It must not block.
	Done func(K)

	mu    sync.Mutex
	seats chan struct{}
	of    map[string]chan struct{} // the seats of each
	under map[K]*one[V]
}

// one is a task under way, or its answer.
type one[V any] struct {
	done  bool
	value V
	err   error
	end   context.CancelFunc
}

// Ask returns the answer to a task, if there is one, and forgets it. If there is none, the task is begun
// unless it is under way, and known is false. What is done has to have a limit of its own; should it panic,
// the error says so.
func (t *Tasks[K, V]) Ask(key K, do func(context.Context) (V, error)) (value V, err error, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.under[key]; o != nil {
		if o.done {
			delete(t.under, key)
		}
		return o.value, o.err, o.done
	}
	if t.under == nil {
		t.under = map[K]*one[V]{}
	}
	ctx, end := context.WithCancel(context.Background())
	o := &one[V]{end: end}
	t.under[key] = o
	go t.work(ctx, key, o, do)
	return value, nil, false
}

// Under tells whether a task is under way, or has an answer that nobody has taken.
func (t *Tasks[K, V]) Under(key K) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.under[key] != nil
}

// Forget ends and drops the tasks that nobody will ask for any more.
func (t *Tasks[K, V]) Forget(such func(K) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, o := range t.under {
		if such(key) {
			o.end()
			delete(t.under, key)
		}
	}
}

func (t *Tasks[K, V]) work(ctx context.Context, key K, o *one[V], do func(context.Context) (V, error)) {
	defer o.end()
	for _, seats := range t.seatsOf(key) {
		select {
		case seats <- struct{}{}:
			defer func() { <-seats }()
		case <-ctx.Done():
			return
		}
	}
	value, err := kept(ctx, do)
	t.mu.Lock()
	o.value, o.err, o.done = value, err, true
	wanted := t.under[key] == o
	t.mu.Unlock()
	if wanted {
		t.Done(key)
	}
}

// seatsOf are the rooms in which a task needs a seat, one after the other.
func (t *Tasks[K, V]) seatsOf(key K) []chan struct{} {
	if t.Parallel <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seats == nil {
		t.seats, t.of = make(chan struct{}, t.Parallel), map[string]chan struct{}{}
	}
	if t.Of == nil {
		return []chan struct{}{t.seats}
	}
	whose := t.Of(key)
	if t.of[whose] == nil {
		t.of[whose] = make(chan struct{}, max(t.Parallel/4, 1))
	}
	return []chan struct{}{t.of[whose], t.seats}
}

// kept does a task. What it reads others wrote: should that make it panic, it has failed.
func kept[V any](ctx context.Context, do func(context.Context) (V, error)) (value V, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a mistake in the agent: %v", cause)
		}
	}()
	return do(ctx)
}
