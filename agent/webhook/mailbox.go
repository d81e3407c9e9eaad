package webhook

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Mailbox keeps events until somebody has time for them, at most one for each Repository. Make it
// with NewMailbox.
type Mailbox struct {
	filled chan struct{} // has an element while there may be events

	mu      sync.Mutex
	waiting map[types.NamespacedName]Event
	order   []types.NamespacedName // who waits longest comes first
}

// NewMailbox returns an empty one.
func NewMailbox() *Mailbox {
	return &Mailbox{filled: make(chan struct{}, 1), waiting: map[types.NamespacedName]Event{}}
}

// Notify puts an event in, or merges it into the one that waits. It does not block.
func (m *Mailbox) Notify(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting, there := m.waiting[e.Repository]
	if !there {
		m.order = append(m.order, e.Repository)
		waiting = Event{Repository: e.Repository}
	}
	m.waiting[e.Repository] = waiting.Merge(e)
	m.ring()
}

// Next takes the event out that waits longest, and waits for one if there is none. It returns false
// when the context ends.
func (m *Mailbox) Next(ctx context.Context) (Event, bool) {
	for {
		if e, ok := m.take(); ok {
			return e, true
		}
		select {
		case <-ctx.Done():
			return Event{}, false
		case <-m.filled:
		}
	}
}

func (m *Mailbox) take() (Event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.order) == 0 {
		return Event{}, false
	}
	e := m.waiting[m.order[0]]
	delete(m.waiting, e.Repository)
	m.order = m.order[1:]
	if len(m.order) > 0 {
		m.ring() // others may wait for the rest
	}
	return e, true
}

func (m *Mailbox) ring() {
	select {
	case m.filled <- struct{}{}:
	default:
	}
}
