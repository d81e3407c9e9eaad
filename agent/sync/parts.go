package sync

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// largeRender is how long a whole build takes from which on it pays to know the parts of an
// overlay.
const largeRender = 500 * time.Millisecond

// partial is an overlay in parts that together were found to be what a whole build gives.
type partial struct {
	key     string
	split   trace.Trace // what was read to divide the overlay
	parts   []render.Part
	results []render.Result
}

// traces are what was read for all parts.
func (p *partial) traces() []trace.Trace {
	list := []trace.Trace{p.split}
	for _, r := range p.results {
		list = append(list, r.Trace)
	}
	return list
}

// errDivided: an overlay does not divide as it did.
var errDivided = errors.New("its lists have changed")

// follow renders the parts that changed and joins all. The error says why a whole build has to
// decide.
func (s *Syncer) follow(ctx context.Context, last *partial, request render.Request) (*partial, agent.Set, error) {
	tree, giveBack, err := s.trees.Open(request.Source.Dir, request.Source.Commit)
	if err != nil {
		return nil, agent.Set{}, err
	}
	defer giveBack()
	if !last.split.Holds(tree) {
		return nil, agent.Set{}, errDivided
	}
	next := &partial{key: last.key, split: last.split, parts: last.parts}
	if next.results, err = s.renderParts(ctx, request, tree, last.parts, known(last)); err != nil {
		return nil, agent.Set{}, err
	}
	set, err := render.Follow(last.results, next.results, s.Renders.Limits())
	return next, set, err
}

// known finds the results of parts by their names.
func known(p *partial) map[string]render.Result {
	results := map[string]render.Result{}
	if p == nil {
		return results
	}
	for n, part := range p.parts {
		results[part.String()] = p.results[n]
	}
	return results
}

// renderParts returns the results of parts, of which it renders those that are not known or
// whose trace does not hold on the tree.
func (s *Syncer) renderParts(ctx context.Context, request render.Request, tree agent.Tree, parts []render.Part, known map[string]render.Result) ([]render.Result, error) {
	results := make([]render.Result, len(parts))
	group, ctx := errgroup.WithContext(ctx)
	for n, part := range parts {
		if r, ok := known[part.String()]; ok && r.Trace.Holds(tree) {
			results[n] = r
			continue
		}
		request := request
		request.Part = part
		group.Go(func() error {
			start := time.Now()
			var err error
			results[n], err = s.Renders.Run(ctx, request)
			s.Metrics.RenderedPart(time.Since(start), err)
			return err
		})
	}
	return results, group.Wait()
}

// learn divides an overlay that was just built whole, and finds out which parts have to stay
// together so that they make the same. It returns nil if there are none.
func (s *Syncer) learn(ctx context.Context, last *partial, key string, request render.Request, whole agent.Set) (*partial, agent.Set) {
	none := agent.Set{}
	tree, giveBack, err := s.trees.Open(request.Source.Dir, request.Source.Commit)
	if err != nil {
		return nil, none
	}
	defer giveBack()
	split, err := s.Renders.Divide(ctx, request)
	if err != nil {
		return nil, none
	}
	p := &partial{key: key, split: split.Trace, parts: split.Parts}
	results := known(last)
	for len(p.parts) > 1 {
		if p.results, err = s.renderParts(ctx, request, tree, p.parts, results); err != nil {
			return nil, none
		}
		joined, err := render.Join(p.results, s.Renders.Limits())
		if err != nil {
			return nil, none
		}
		differing := render.Differ(joined, whole)
		if len(differing) == 0 {
			return p, joined
		}
		results = known(p)
		p = &partial{key: key, split: split.Trace, parts: render.Tie(p.parts, p.results, differing)}
	}
	return nil, none
}

// behind is work about one Overlay that no pass waits for, one piece after the other. What it
// comes to is taken in by the next pass, which alone changes the memory of the Overlay.
type behind struct {
	mu       sync.Mutex
	next     func(context.Context) func()
	running  bool
	outcomes []func()
}

// do has work done; of several pieces that wait only the newest is.
func (b *behind) do(ctx context.Context, work func(context.Context) func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = work
	if b.running {
		return
	}
	b.running = true
	go b.run(context.WithoutCancel(ctx)) // the end of the pool of workers ends it too
}

func (b *behind) run(ctx context.Context) {
	for {
		b.mu.Lock()
		work := b.next
		b.next = nil
		b.running = work != nil
		b.mu.Unlock()
		if work == nil {
			return
		}
		if outcome := work(ctx); outcome != nil {
			b.mu.Lock()
			b.outcomes = append(b.outcomes, outcome)
			b.mu.Unlock()
		}
	}
}

// takeIn lets the outcomes change what is remembered.
func (b *behind) takeIn() {
	b.mu.Lock()
	outcomes := b.outcomes
	b.outcomes = nil
	b.mu.Unlock()
	for _, outcome := range outcomes {
		outcome()
	}
}

// study learns the parts of an overlay behind the passes.
func (s *Syncer) study(ctx context.Context, m *memory, owner agent.Owner, request render.Request) {
	key, source, whole, last := m.rendered.key, m.rendered.source, m.rendered.set, m.partial
	m.partial = nil
	m.behind.do(ctx, func(ctx context.Context) func() {
		p, joined := s.learn(ctx, last, key, request, whole)
		if p == nil {
			return nil
		}
		log.FromContext(ctx).V(1).Info("its parts are known", "owner", owner.String(), "commit", request.Source.Commit, "parts", len(p.parts))
		return func() {
			m.partial = p
			if m.rendered.key == key && m.rendered.source == source {
				m.rendered.set, m.rendered.traces = joined, p.traces() // the same once more, and once in memory
			}
		}
	})
}

// check builds an overlay whole after its parts were joined. If that gives something else, it
// takes the place of what was joined, and the overlay is always built whole from then on.
func (s *Syncer) check(ctx context.Context, m *memory, owner agent.Owner, request render.Request) {
	key, joined := m.rendered.key, m.rendered.set
	m.behind.do(ctx, func(ctx context.Context) func() {
		start := time.Now()
		result, err := s.Renders.Run(ctx, request)
		s.Metrics.Rendered(time.Since(start), err)
		if render.Temporary(err) || err != nil && ctx.Err() != nil {
			return nil // it is checked at the next change
		}
		differing := render.Differ(joined, result.Set)
		s.Metrics.Checked(err == nil && len(differing) == 0)
		if err == nil && len(differing) == 0 {
			return nil
		}
		log.FromContext(ctx).Error(err, "the parts of an overlay are not what a whole build gives; it is built whole from now on",
			"owner", owner.String(), "commit", request.Source.Commit, "objects", differing)
		s.Cluster.Notify(owner)
		return func() {
			m.partial, m.whole = nil, true
			if m.rendered.key == key {
				m.rendered = rendered{} // the next pass renders it anew
			}
		}
	})
}
