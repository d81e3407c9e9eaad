package sync

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
	"golang.org/x/sync/errgroup"
)

// reading is what the last render of an Overlay that could be rendered has read.
type reading struct {
	generation int64 // of the Overlay then
	traces     []trace.Trace
}

// holds tells whether an Overlay comes to the same on a tree.
func (r reading) holds(o *v1alpha1.Overlay, tree agent.Tree) bool {
	changed := func(t trace.Trace) bool { return !t.Holds(tree) }
	return len(r.traces) > 0 && r.generation == o.Generation && !slices.ContainsFunc(r.traces, changed)
}

// known returns what is remembered of what an Overlay reads and wants.
func (s *Syncer) known(o *v1alpha1.Overlay) (reading, map[agent.Ref]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.overlays[OwnerOf(o)]
	if m == nil {
		return reading{}, nil
	}
	return m.reading, m.wanted
}

// wantedAt returns what an Overlay wants on a revision, if that is known without a render.
func (s *Syncer) wantedAt(o *v1alpha1.Overlay, source Source) (wanted map[agent.Ref]bool, known bool) {
	reading, wanted := s.known(o)
	if len(reading.traces) == 0 || source.Revision.Commit == "" {
		return nil, false
	}
	tree, giveBack, err := s.trees.Open(source.Dir, source.Revision.Commit)
	if err != nil {
		return nil, false
	}
	defer giveBack()
	return wanted, reading.holds(o, tree)
}

// Affected returns those of the Overlays that do not come to the same on two revisions of their
// Repository, each as gitrepo.OpenFiles opens it. Which files one reads is known from its last pass; if
// that was on other files than the first revision has, that is rendered. An error is that of ctx, or of
// what was not fetched.
func (s *Syncer) Affected(ctx context.Context, overlays []v1alpha1.Overlay, before, after Source) ([]*v1alpha1.Overlay, error) {
	first, done, err := gitrepo.OpenFiles(before.Dir, before.Revision.Commit)
	if err != nil {
		return nil, err
	}
	defer done()
	second, done, err := gitrepo.OpenFiles(after.Dir, after.Revision.Commit)
	if err != nil {
		return nil, err
	}
	defer done()
	var mu sync.Mutex
	var affected []*v1alpha1.Overlay
	var group errgroup.Group
	group.SetLimit(previewsAtOnce)
	for n := range overlays {
		o := &overlays[n]
		group.Go(func() error {
			reads, _ := s.known(o)
			if !reads.holds(o, first) {
				var err error
				if reads, err = s.read(ctx, o, before); err != nil {
					return err
				}
			}
			if !reads.holds(o, second) {
				mu.Lock()
				defer mu.Unlock()
				affected = append(affected, o)
			}
			return nil
		})
	}
	err = group.Wait()
	slices.SortFunc(affected, func(a, b *v1alpha1.Overlay) int { return strings.Compare(OwnerOf(a).String(), OwnerOf(b).String()) })
	return affected, err
}

// read finds out what an Overlay reads, also if it cannot be rendered.
func (s *Syncer) read(ctx context.Context, o *v1alpha1.Overlay, source Source) (reading, error) {
	result, err := s.Renders.Run(ctx, render.Request{Source: source.files(), Spec: SpecOf(o, nil)}) // variables are put into what was read
	if ctx.Err() != nil {
		return reading{}, err
	}
	return reading{o.Generation, []trace.Trace{result.Trace}}, nil
}
