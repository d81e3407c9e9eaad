package execute

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/plan"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Limits bound the work of one plan.
type Limits struct {
	// Parallel is how many requests of one plan are under way at once.
	Parallel int
	// Request is how long one request may take.
	Request time.Duration
}

// Apply carries out the creates, updates and replaces of a plan, wave by wave.
func Apply(ctx context.Context, s *cluster.Session, p agent.Plan, limits Limits) agent.Run {
	waiting := definitionsOnTheirWay(s, p)
	silent := &silence{kinds: map[schema.GroupKind]int{}}
	var run agent.Run
	for _, wave := range wavesOf(p, false) {
		if wave[0].Wave == plan.WaveAdmission && len(run.Failures()) > 0 {
			run.Outcomes = append(run.Outcomes, postpone(wave, "it comes last, after "+run.Failures()[0].Ref.String())...)
			continue
		}
		run.Outcomes = append(run.Outcomes, each(ctx, s, wave, limits, func(ctx context.Context, c agent.Change) agent.Outcome {
			if crd, blocked := waiting()[c.Ref.GroupKind()]; blocked {
				return postpone([]agent.Change{c}, "its kind is being defined by "+crd.String())[0]
			}
			if silent.about(c.Ref.GroupKind()) {
				return postpone([]agent.Change{c}, "nothing answers for others of its kind")[0]
			}
			start := time.Now()
			done := applyOne(ctx, s, c)
			silent.note(done, time.Since(start))
			return done
		})...)
	}
	return run
}

// Prune carries out the deletes of a plan, in reverse order. A wave of deletes begins when
// the objects of the one before are gone, so that controllers are still there to finish what
// they own.
func Prune(ctx context.Context, s *cluster.Session, p agent.Plan, limits Limits) agent.Run {
	var run agent.Run
	for _, wave := range wavesOf(p, true) {
		if first := comesFirst(p, wave[0].Wave); first != nil {
			run.Outcomes = append(run.Outcomes, postpone(wave, "it goes after "+first.String())...)
			continue
		}
		if first := stillThere(s, run); first != nil {
			run.Outcomes = append(run.Outcomes, postpone(wave, "it goes after "+first.String())...)
			continue
		}
		run.Outcomes = append(run.Outcomes, each(ctx, s, wave, limits, func(ctx context.Context, c agent.Change) agent.Outcome {
			if c.Verb == agent.Forget {
				return agent.Outcome{Ref: c.Ref, Verb: c.Verb, Result: agent.Done, Note: c.Reason}
			}
			return outcome(c, agent.Live{}, s.Delete(ctx, c.Ref, c.Object.Version, c.UID, c.Owner))
		})...)
	}
	return run
}

// wavesOf groups the changes of a plan, which are in the order of the work, by wave.
func wavesOf(p agent.Plan, deletes bool) [][]agent.Change {
	var waves [][]agent.Change
	for _, c := range p.Changes {
		if c.Verb == agent.Keep || (c.Verb == agent.Delete || c.Verb == agent.Forget) != deletes {
			continue
		}
		if n := len(waves); n > 0 && waves[n-1][0].Wave == c.Wave {
			waves[n-1] = append(waves[n-1], c)
			continue
		}
		waves = append(waves, []agent.Change{c})
	}
	return waves
}

// silence counts, by kind, the requests that nothing has answered for long: a webhook that is
// down takes its whole timeout for each object. After a few, the rest of the kind waits for
// the next pass, so that the worker is free for others.
type silence struct {
	mu    sync.Mutex
	kinds map[schema.GroupKind]int
}

const (
	longSilence  = time.Second
	mostSilences = 3
)

func (s *silence) about(kind schema.GroupKind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kinds[kind] >= mostSilences
}

func (s *silence) note(done agent.Outcome, took time.Duration) {
	if done.Class != agent.Unavailable || took < longSilence {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[done.Ref.GroupKind()]++
}

// each does the work of one wave side by side and returns its outcomes in the plan's order. The
// work itself is in no order, so that where a pass ends early, each object's turn comes.
func each(ctx context.Context, s *cluster.Session, wave []agent.Change, limits Limits, do func(context.Context, agent.Change) agent.Outcome) []agent.Outcome {
	outcomes := make([]agent.Outcome, len(wave))
	var group errgroup.Group
	group.SetLimit(max(limits.Parallel, 1))
	for _, n := range rand.Perm(len(wave)) {
		c := wave[n]
		group.Go(func() error {
			done, err := s.Turn(ctx)
			if err != nil {
				outcomes[n] = postpone([]agent.Change{c}, "the work was interrupted")[0]
				return nil
			}
			defer done()
			ctx, cancel := context.WithTimeout(ctx, limits.Request)
			defer cancel()
			start := time.Now()
			outcomes[n] = do(ctx, c)
			outcomes[n].Took = time.Since(start)
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	return outcomes
}

// definitionsOnTheirWay returns a function that tells which kinds wait for a CRD of this plan
// to be established.
func definitionsOnTheirWay(s *cluster.Session, p agent.Plan) func() map[schema.GroupKind]agent.Ref {
	defined := map[schema.GroupKind]agent.Ref{}
	for _, c := range p.Changes {
		if definition, ok := manifest.DefinitionOf(c.Object); ok {
			if seen, known := s.Seen(c.Ref); c.Verb != agent.Keep || known && !seen.Health.OK() {
				defined[definition.GroupKind()] = c.Ref
			}
		}
	}
	return func() map[schema.GroupKind]agent.Ref {
		waiting := map[schema.GroupKind]agent.Ref{}
		for kind, crd := range defined {
			if seen, known := s.Seen(crd); !known || !seen.Health.OK() {
				waiting[kind] = crd
			}
		}
		return waiting
	}
}

// applyOne carries out one create, update or replace.
func applyOne(ctx context.Context, s *cluster.Session, c agent.Change) agent.Outcome {
	switch {
	case c.Verb == agent.Replace:
		return replace(ctx, s, c)
	case len(c.Object.Ignored) > 0:
		live, err := applyAround(ctx, s, c)
		return outcome(c, live, err)
	}
	note := ""
	if c.Drifted && c.Verb == agent.Update {
		note = whatDrifted(ctx, s, c)
	}
	live, err := s.Apply(ctx, c.Object, c.UID, v1alpha1.FieldManager, c.TakeFields)
	done := outcome(c, live, err)
	done.Note = note
	return done
}

// replace deletes the object that the plan saw, and creates the new one as soon as the old
// one is gone. While finalizers hold it, the inventory remembers that it is to be created.
func replace(ctx context.Context, s *cluster.Session, c agent.Change) agent.Outcome {
	if err := s.Delete(ctx, c.Ref, c.Object.Version, c.UID, c.Owner); err != nil {
		return outcome(c, agent.Live{}, err)
	}
	old, err := s.Get(ctx, c.Ref, c.Object.Version)
	if err != nil {
		return outcome(c, agent.Live{}, err)
	}
	if old != nil {
		return postpone([]agent.Change{c}, "the old object is being deleted, or somebody made a new one meanwhile")[0]
	}
	live, err := s.Apply(ctx, c.Object, "", v1alpha1.FieldManager, c.TakeFields)
	return outcome(c, live, err)
}

// whatDrifted says which fields differ and who wrote last; it is for people only.
func whatDrifted(ctx context.Context, s *cluster.Session, c agent.Change) string {
	object, err := s.Get(ctx, c.Ref, c.Object.Version)
	if err != nil || object == nil {
		return ""
	}
	var wanted map[string]any
	if err := json.Unmarshal(c.Object.JSON, &wanted); err != nil {
		return ""
	}
	var paths []string
	for _, f := range plan.Drift(c.Ref, object.Object, wanted) {
		paths = append(paths, f.Path)
	}
	const few = 5
	if len(paths) > few {
		paths = append(paths[:few], fmt.Sprintf("and %d more", len(paths)-few))
	}
	if len(paths) == 0 {
		paths = []string{"field ownership"}
	}
	return strings.Join(paths, ", ") + " changed by " + lastWriter(object)
}

// comesFirst names an object that is to go before those of a wave and cannot go yet: without
// the controllers in the wave, its finalizers would never be dealt with.
func comesFirst(p agent.Plan, wave int) *agent.Ref {
	for _, v := range p.Violations {
		if v.Verb == agent.Delete && plan.Wave(v.Ref.GroupKind()) > wave {
			return &v.Ref
		}
	}
	return nil
}

func stillThere(s *cluster.Session, run agent.Run) *agent.Ref {
	for _, o := range run.Outcomes {
		if o.Verb != agent.Delete {
			continue
		}
		if _, seen := s.Seen(o.Ref); seen {
			return &o.Ref
		}
	}
	return nil
}

func outcome(c agent.Change, live agent.Live, err error) agent.Outcome {
	o := agent.Outcome{Ref: c.Ref, Verb: c.Verb, Result: agent.Done, Live: live, Digest: c.Object.Digest, Version: c.Object.Version}
	if err != nil {
		o.Result, o.Class, o.Message = agent.Failed, cluster.ClassOf(err), err.Error()
	}
	return o
}

func postpone(changes []agent.Change, why string) []agent.Outcome {
	var outcomes []agent.Outcome
	for _, c := range changes {
		outcomes = append(outcomes, agent.Outcome{Ref: c.Ref, Verb: c.Verb, Result: agent.NotReached, Class: agent.Waiting, Message: why})
	}
	return outcomes
}
