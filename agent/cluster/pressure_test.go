package cluster

import (
	"context"
	"errors"
	"testing"
	"time"
)

// An API server that takes so many writes at a time without getting slower, and answers with
// 429 from somewhere above that.
func TestPressureFindsWhatTheServerTakes(t *testing.T) {
	for _, c := range []struct {
		name             string
		good, refusesAt  int
		fewest, mostEver int
	}{
		{"takes many", 1000, 1000, 40, mostWrites},
		{"gets slow", 10, 1000, 10, 30},
		{"refuses", 1000, 10, 3, 20},
		{"takes two", 2, 4, fewestWrites, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, now, most := newPressure(), time.Unix(0, 0), 0
			for range 4000 {
				busy := int(p.limit)
				p.busy = busy // there is always more to do
				most = max(most, busy)
				took := 20 * time.Millisecond
				if busy > c.good {
					took = took * time.Duration(busy*busy) / time.Duration(c.good*c.good)
				}
				now = now.Add(took / time.Duration(busy))
				p.answered(now, took, busy >= c.refusesAt)
			}
			if int(p.limit) < c.fewest || most > max(c.mostEver, firstWrites+1) {
				t.Errorf("in the end %d at a time, and %d at most; want at least %d, and at most %d", int(p.limit), most, c.fewest, c.mostEver)
			}
		})
	}
}

// Turns are given in the order of arrival, and one that is given up is nobody's loss.
func TestPressureTurns(t *testing.T) {
	p := newPressure()
	p.limit = 1
	first, err := p.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gaveUp, cancel := context.WithCancel(t.Context())
	order := make(chan string, 2)
	look := func() (busy, waiting int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.busy, len(p.waiting)
	}
	wait := func(name string, ctx context.Context) {
		_, before := look()
		go func() {
			done, err := p.turn(ctx)
			if errors.Is(err, context.Canceled) {
				order <- name + " gave up"
				return
			}
			order <- name
			done()
		}()
		for waiting := before; waiting == before; _, waiting = look() {
			time.Sleep(time.Millisecond)
		}
	}
	wait("a", gaveUp)
	wait("b", t.Context())
	cancel()
	if got := <-order; got != "a gave up" {
		t.Errorf("got %q", got)
	}
	wait("c", t.Context())
	first()
	first() // ends once
	if b, c := <-order, <-order; b != "b" || c != "c" {
		t.Errorf("the turns went to %q and %q", b, c)
	}
	for busy, _ := look(); busy != 0; busy, _ = look() { // or the test runs out of time
		time.Sleep(time.Millisecond)
	}
}
