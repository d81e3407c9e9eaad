package shard

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/transport"
)

// Worker works on the shards that a replica has. Its methods are called one at a time.
type Worker interface {
	// Take prepares the work on shards that others may have worked on until now. It is tried
	// again until it succeeds; nobody works on the shards before.
	Take(context.Context, Set) error
	// Begin begins the work, or goes on with it.
	Begin(Set)
	// Leave forgets what is known of shards that others may have from now on. All work on them
	// has ended.
	Leave(Set)
}

// Shares are the shards that this replica works on.
type Shares struct {
	workers []Worker
	follow  signal // the workers have something to do
	left    signal // shards can be handed over

	mu     sync.Mutex
	alone  bool
	until  time.Time   // the replica may work until then, unless it is alone
	over   *time.Timer // ends the work then
	shards [Count]state
}

// state is what a replica does about one shard.
type state struct {
	wanted  bool               // it is this replica's
	known   bool               // the workers have taken it
	ctx     context.Context    // of the work; nil while there must be none
	cancel  context.CancelFunc // of ctx
	working int                // pieces of work under way
}

// signal wakes one goroutine.
type signal chan struct{}

func (s signal) send() {
	select {
	case s <- struct{}{}:
	default: // it will wake already
	}
}

// New returns shares without any shard.
func New() *Shares {
	s := &Shares{follow: make(signal, 1), left: make(signal, 1)}
	s.over = time.AfterFunc(0, s.rest)
	return s
}

// Add adds a worker. All have to be added before the first shard comes.
func (s *Shares) Add(w Worker) { s.workers = append(s.workers, w) }

// Hold begins a piece of work on a Repository, or on what follows it. It is false if this
// replica has no business with it now. The context that it returns ends when the replica has to
// stop; done has to be called when the work has ended.
func (s *Shares) Hold(ctx context.Context, repository types.NamespacedName) (held context.Context, done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shard := &s.shards[Of(repository)]
	if shard.ctx == nil || s.lapsed(time.Now()) {
		return ctx, nil, false
	}
	shard.working++
	held, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(shard.ctx, cancel)
	return held, func() {
		stop()
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		if shard.working--; shard.working == 0 && shard.ctx == nil {
			s.follow.send()
		}
	}, true
}

// Mine tells whether a Repository is this replica's to work on.
func (s *Shares) Mine(repository types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards[Of(repository)].wanted
}

// Held returns how many shards this replica works on.
func (s *Shares) Held() int { return s.pick(func(shard state) bool { return shard.ctx != nil }).Len() }

// lapsed tells that the time is over for which this replica may work. The wall clock counts
// too: it goes on where the other stands still, in a machine that is frozen as a whole.
func (s *Shares) lapsed(now time.Time) bool {
	return !s.alone && (now.After(s.until) || now.Round(0).After(s.until.Round(0)))
}

// ErrLapsed is the error of a request that is not sent.
var ErrLapsed = errors.New("this replica has not renewed its Lease in time and writes nothing until it has")

// Fence makes a transport that refuses with ErrLapsed to write while this replica may not work.
func (s *Shares) Fence() transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper { return fence{next, s} }
}

// fence is a transport that writes only while its replica may work.
type fence struct {
	next   http.RoundTripper
	shares *Shares
}

// RoundTrip sends a request.
func (f fence) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet && f.shares.resting() {
		return nil, ErrLapsed
	}
	return f.next.RoundTrip(request)
}

// WrappedRoundTripper lets client-go see what is below.
func (f fence) WrappedRoundTripper() http.RoundTripper { return f.next }

// Alone works on everything, without asking anybody, until ctx ends.
func (s *Shares) Alone(ctx context.Context) error {
	const me = "alone"
	s.mu.Lock()
	s.alone = true
	s.mu.Unlock()
	s.heed(Table{}.Divide([]string{me}), me)
	s.work(ctx)
	return nil
}

// work has the workers do what heed took in, until ctx ends.
func (s *Shares) work(ctx context.Context) {
	for {
		s.step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.follow:
		}
	}
}

// takeRetry is the pause after workers could not take shards.
const takeRetry = time.Second

// step does what can be done now.
func (s *Shares) step(ctx context.Context) {
	if leaving := s.pick(state.leaves); !leaving.Empty() {
		for _, w := range s.workers {
			w.Leave(leaving)
		}
		s.each(leaving, func(shard *state) { shard.known = false })
		s.left.send()
	}
	coming := s.pick(state.comes)
	for _, w := range s.workers {
		if coming.Empty() {
			break
		}
		if err := w.Take(ctx, coming); err != nil {
			if ctx.Err() == nil {
				logr.FromContextOrDiscard(ctx).Error(err, "the work on some shards cannot begin yet")
			}
			coming = Set{}
			time.AfterFunc(takeRetry, s.follow.send)
		}
	}
	s.each(coming, func(shard *state) { shard.known = true })
	if begun := s.begin(); !begun.Empty() {
		for _, w := range s.workers {
			w.Begin(begun)
		}
	}
}

// begin lets the work begin on all shards that are ready for it, and returns them.
func (s *Shares) begin() Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	var begun Set
	if s.lapsed(time.Now()) {
		return begun
	}
	for n := range s.shards {
		shard := &s.shards[n]
		if begun[n] = shard.wanted && shard.known && shard.ctx == nil; begun[n] {
			shard.ctx, shard.cancel = context.WithCancel(context.Background())
		}
	}
	return begun
}

// leaves: what is known of the shard is of no use any more.
func (s state) leaves() bool { return s.known && !s.wanted && s.working == 0 }

// comes: the shard is new to this replica.
func (s state) comes() bool { return s.wanted && !s.known && s.working == 0 }

// free: nothing ties this replica to the shard.
func (s state) free() bool { return !s.wanted && !s.known && s.working == 0 }

// pick returns the shards in some state.
func (s *Shares) pick(is func(state) bool) Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	var picked Set
	for n, shard := range s.shards {
		picked[n] = is(shard)
	}
	return picked
}

func (s *Shares) each(of Set, change func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.shards {
		if of[n] {
			change(&s.shards[n])
		}
	}
}

// heed takes in what the table says about a replica.
func (s *Shares) heed(table Table, replica string) {
	held := table.Held(replica)
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.shards {
		shard := &s.shards[n]
		if shard.wanted = held[n]; !shard.wanted {
			shard.stop()
		}
	}
	s.follow.send()
}

// renewed lets the replica work until a time, and go on if it rests.
func (s *Shares) renewed(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = until
	s.over.Reset(time.Until(until))
	s.follow.send()
}

// resting tells that the replica may not work now.
func (s *Shares) resting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lapsed(time.Now())
}

// rest ends all work if the time for it is over, and forgets nothing.
func (s *Shares) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lapsed(time.Now()) {
		return
	}
	for n := range s.shards {
		s.shards[n].stop()
	}
}

// stop ends the work on a shard.
func (s *state) stop() {
	if s.ctx != nil {
		s.cancel()
		s.ctx, s.cancel = nil, nil
	}
}
