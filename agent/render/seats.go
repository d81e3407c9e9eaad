package render

import (
	"context"
	"sync"
	"time"
)

// seats are places for renders under way. A render that takes long makes room for others: one
// such goes on beside the seats, and of the rest at least one seat is never left to those
// that take long. So a few overlays that nobody can render do not keep all others waiting.
type seats struct {
	free chan struct{} // holds one token for each seat that is taken
	long time.Duration // from when on a render takes long; zero for never

	mu      sync.Mutex
	aside   bool // a long render goes on beside the seats
	overdue int  // seats with long renders
}

func newSeats(n int, long time.Duration) *seats {
	return &seats{free: make(chan struct{}, max(n, 1)), long: long}
}

// take waits for a seat. When the render takes too long and there is no room for it, putOff is
// called. The function that it returns gives the seat back.
func (s *seats) take(ctx context.Context, putOff func()) (leave func(), err error) {
	select {
	case s.free <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	mine := &seat{seats: s}
	if s.long > 0 {
		mine.timer = time.AfterFunc(s.long, func() { mine.takesLong(putOff) })
	}
	return mine.leave, nil
}

// seat is one that is taken.
type seat struct {
	seats                *seats
	timer                *time.Timer
	left, aside, overdue bool
}

func (s *seat) takesLong(putOff func()) {
	all := s.seats
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case s.left:
	case !all.aside:
		all.aside, s.aside = true, true
		<-all.free
	case all.overdue < cap(all.free)-1:
		all.overdue++
		s.overdue = true
	default:
		putOff()
	}
}

func (s *seat) leave() {
	all := s.seats
	all.mu.Lock()
	defer all.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.left = true
	if s.aside {
		all.aside = false
		return
	}
	if s.overdue {
		all.overdue--
	}
	<-all.free
}
