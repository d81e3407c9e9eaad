package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// How many writes may be under way at once.
const (
	fewestWrites = 2
	firstWrites  = 16
	mostWrites   = 64
)

const (
	// easeAtMost is the least time between two steps back, or two answers' time if that is more:
	// what was under way at the first step is no news about it.
	easeAtMost = 100 * time.Millisecond
	// slowness is how many times as long as usual an answer may take before that is a sign that
	// the API server has enough to do; below slownessFloor it is none.
	slowness      = 3
	slownessFloor = 100 * time.Millisecond
	// usualWithin is the time after which being slow has become usual.
	usualWithin = 10 * time.Minute
	// longTurn is how long a write takes part in the count. One that has no answer by then waits
	// for something behind the API server, such as a webhook that is down, and is no work for it;
	// others must not wait for that.
	longTurn = time.Second
)

// pressure bounds how many writes are under way at once, over all Overlays and accounts, by
// how the API server takes them: a little more as long as it answers as fast as usual, half
// when it asks to hold back, a bit less when it gets slow. Who waits gets a turn in the order of
// arrival; an Overlay waits with as many writes as it may have under way itself, so a large one
// cannot keep others from theirs.
type pressure struct {
	mu      sync.Mutex
	limit   float64
	busy    int
	waiting []chan struct{}

	usual, lately time.Duration // to answer a write, on average: in the long run, and of the last few
	at, eased     time.Time     // of the last answer, and of the last step back
}

func newPressure() *pressure { return &pressure{limit: firstWrites} }

// turn waits until a write may begin. The function that it returns ends it.
func (p *pressure) turn(ctx context.Context) (done func(), err error) {
	p.mu.Lock()
	if len(p.waiting) == 0 && p.busy < int(p.limit) {
		p.busy++
		p.mu.Unlock()
		return p.begin(), nil
	}
	mine := make(chan struct{})
	p.waiting = append(p.waiting, mine)
	p.mu.Unlock()
	select {
	case <-mine:
		return p.begin(), nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, w := range p.waiting {
		if w == mine {
			p.waiting = append(p.waiting[:n:n], p.waiting[n+1:]...)
			return nil, ctx.Err()
		}
	}
	p.busy-- // its turn came at the same moment
	p.next()
	return nil, ctx.Err()
}

// begin returns what ends a turn, which also ends by itself.
func (p *pressure) begin() (done func()) {
	end := sync.OnceFunc(p.done)
	timer := time.AfterFunc(longTurn, end)
	return func() {
		timer.Stop()
		end()
	}
}

func (p *pressure) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.next()
}

// next lets those begin whose turn it is.
func (p *pressure) next() {
	for len(p.waiting) > 0 && p.busy < int(p.limit) {
		p.busy++
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
	}
}

// answered takes in how the API server took a write.
func (p *pressure) answered(now time.Time, took time.Duration, holdBack bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if holdBack {
		p.ease(now, 2)
		return
	}
	if p.usual == 0 {
		p.usual, p.lately, p.at = took, took, now
	}
	p.lately += (took - p.lately) / 8
	p.usual += time.Duration(float64(p.lately-p.usual) * min(now.Sub(p.at).Seconds()/usualWithin.Seconds(), 1))
	p.at = now
	if p.lately < p.usual {
		p.usual = p.lately // what it can do is what counts, not what it was made to do
	}
	switch {
	case p.lately > max(slowness*p.usual, slownessFloor):
		p.ease(now, 1.25)
	case p.busy >= int(p.limit): // more could have been under way
		p.limit = min(p.limit+1/p.limit, mostWrites)
		p.next()
	}
}

func (p *pressure) ease(now time.Time, by float64) {
	if now.Sub(p.eased) < max(2*p.lately, easeAtMost) {
		return
	}
	p.eased = now
	p.limit = max(p.limit/by, fewestWrites)
}

// watching is the transport of a client that tells how its writes were taken. The client's own
// retries, after an answer that asked for one, come as writes of their own.
func (p *pressure) watching(next http.RoundTripper) http.RoundTripper {
	return observed{next, p}
}

type observed struct {
	http.RoundTripper
	pressure *pressure
}

// RoundTrip sends a request.
func (o observed) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet {
		return o.RoundTripper.RoundTrip(request)
	}
	start := time.Now()
	answer, err := o.RoundTripper.RoundTrip(request)
	if err == nil {
		now := time.Now()
		o.pressure.answered(now, now.Sub(start), answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable)
	}
	return answer, err
}

// WrappedRoundTripper lets clients see what is below.
func (o observed) WrappedRoundTripper() http.RoundTripper { return o.RoundTripper }
