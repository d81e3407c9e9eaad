package sync

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/plan"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Preview is what a pass over an Overlay would do now.
type Preview struct {
	// Plan has what differs in the fields of objects, and what the API server refuses.
	Plan agent.Plan
	// Set is what is wanted, and Trace what was read for it.
	Set   agent.Set
	Trace trace.Trace
}

// Preview says what a pass over an Overlay would do now, and does none of it: it reads, and it
// tries changes as dry runs to learn which fields differ and what the API server refuses.
// Others are all Overlays of the cluster. Everything is read as an account: the Overlay's own, by
// AccountOf, or whoever the Cluster's configuration stands for, so that nobody needs the right to
// impersonate. A change that may not be tried is shown all the same.
func (s *Syncer) Preview(ctx context.Context, as cluster.Account, o *v1alpha1.Overlay, others []v1alpha1.Overlay, source Source, now time.Time) (Preview, error) {
	session, err := s.Cluster.As(as)
	if err != nil {
		return Preview{}, err
	}
	set, seen, kinds, redact, err := s.wants(ctx, session, o, source)
	if err != nil {
		return Preview{Trace: seen}, redact.failure(err)
	}
	if set, err = leavingOut(o, set); err != nil {
		return Preview{Trace: seen}, err
	}
	inventory, err := s.Inventories.Load(ctx, OwnerOf(o))
	if err != nil {
		return Preview{}, err
	}
	facts := s.facts(o, &memory{}, source, set, inventory, now)
	facts.Kinds = kinds
	facts = execute.Glance(ctx, session, s.Inventories, facts, s.limits(o))
	facts.Claims = s.neighbours(ctx, session, o, others, source, facts)
	return Preview{Plan: redact.plan(rehearse(ctx, session, stamped(plan.Make(facts)))), Set: set, Trace: seen}, nil
}

// wants renders an Overlay. Kinds that its own CRDs are about to define count as known.
func (s *Syncer) wants(ctx context.Context, session *cluster.Session, o *v1alpha1.Overlay, source Source) (agent.Set, trace.Trace, map[schema.GroupKind]plan.Kind, redactor, error) {
	variables, secrets, err := substitutes(ctx, session, o)
	redact := newRedactor(secrets)
	if err != nil {
		return agent.Set{}, trace.Trace{}, nil, redact, err
	}
	rendered, err := s.Renders.Run(ctx, render.Request{Source: source.files(), Spec: SpecOf(o, variables)})
	if err != nil {
		return agent.Set{}, rendered.Trace, nil, redact, err
	}
	set, kinds, err := execute.Scope(session, rendered.Set)
	if err != nil {
		return agent.Set{}, rendered.Trace, nil, redact, err
	}
	for _, object := range set.Objects {
		definition, ok := manifest.DefinitionOf(object)
		if !ok {
			continue
		}
		if _, known := kinds[definition.GroupKind()]; !known {
			kinds[definition.GroupKind()] = plan.Kind{Namespaced: definition.Namespaced}
		}
	}
	return set, rendered.Trace, kinds, redact, nil
}

// neighbours answers plan.Claims from what the other Overlays want at the same revision. An
// Overlay that could not be asked has a nil set, and lets go of nothing.
type neighbours map[agent.Owner]map[agent.Ref]bool

// neighbours finds out what the other Overlays of the Repository want, if the plan depends on it. Those
// are rendered of which it is not known: when objects belong to another one, or are about to be pruned.
func (s *Syncer) neighbours(ctx context.Context, session *cluster.Session, o *v1alpha1.Overlay, others []v1alpha1.Overlay, source Source, facts plan.Facts) neighbours {
	n := neighbours{}
	var ask []*v1alpha1.Overlay
	for i := range others {
		other := &others[i]
		if OwnerOf(other) == OwnerOf(o) {
			continue
		}
		n[OwnerOf(other)] = nil
		if other.RepositoryName() == o.RepositoryName() && !other.Spec.Suspend {
			ask = append(ask, other)
		}
	}
	if !contested(facts) {
		return n
	}
	ask = slices.DeleteFunc(ask, func(other *v1alpha1.Overlay) bool {
		wanted, known := s.wantedAt(other, source)
		if known {
			n[OwnerOf(other)] = wanted
		}
		return known
	})
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(previewsAtOnce)
	for _, other := range ask {
		group.Go(func() error {
			set, _, _, _, err := s.wants(ctx, session, other, source)
			if err != nil {
				return nil // it cannot say what it wants; that is its own plan's trouble
			}
			wanted := make(map[agent.Ref]bool, len(set.Objects))
			for _, object := range set.Objects {
				wanted[object.Ref] = true
			}
			mu.Lock()
			defer mu.Unlock()
			n[OwnerOf(other)] = wanted
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	return n
}

// contested tells whether the plan depends on what other Overlays want.
func contested(facts plan.Facts) bool {
	for ref, live := range facts.Live {
		if _, wanted := facts.Set.Find(ref); !wanted || live.Owner != facts.Owner && live.Owner != (agent.Owner{}) {
			return true
		}
	}
	return false
}

// Wanted returns another Overlay that wants the object.
func (n neighbours) Wanted(ref agent.Ref) (agent.Owner, bool) {
	for _, owner := range slices.SortedFunc(maps.Keys(n), func(a, b agent.Owner) int { return strings.Compare(a.String(), b.String()) }) {
		if n[owner][ref] {
			return owner, true
		}
	}
	return agent.Owner{}, false
}

// Released tells whether an Overlay is gone or does not want the object any more.
func (n neighbours) Released(owner agent.Owner, ref agent.Ref) bool {
	wanted, known := n[owner]
	return !known || wanted != nil && !wanted[ref]
}

// Settled is true: those that could be asked were.
func (n neighbours) Settled() bool { return true }

// previewsAtOnce is how many requests or renders of a preview are under way at once.
const previewsAtOnce = 8

// rehearse tries the changes of a plan without making them. It fills in the fields that
// differ, and turns what the API server refuses into violations.
func rehearse(ctx context.Context, session *cluster.Session, p agent.Plan) agent.Plan {
	tried := make([]trial, len(p.Changes))
	var group errgroup.Group
	group.SetLimit(previewsAtOnce)
	for n, c := range p.Changes {
		group.Go(func() error {
			tried[n] = try(ctx, session, c)
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	changes := p.Changes
	p.Changes = nil
	for n, c := range changes {
		c.Fields = slices.DeleteFunc(tried[n].fields, ours)
		if tried[n].untried {
			c.Reason += "; not tried, for that takes the right to patch " + patchable(c.Ref)
		}
		if err := tried[n].err; err != nil && !arrives(changes, c, cluster.ClassOf(err)) {
			p.Violations = append(p.Violations, agent.Violation{
				Ref: c.Ref, Verb: c.Verb, Class: cluster.ClassOf(err), Message: err.Error(), Waits: !cluster.ClassOf(err).Permanent(),
			})
			continue
		}
		p.Changes = append(p.Changes, c)
	}
	return p
}

// ours tells that a field is the agent's own: it writes the revision that brought a Model, and others.
func ours(f agent.Field) bool {
	return f.Path == "metadata.annotations["+v1alpha1.RevisionAnnotation+"]"
}

// patchable names what a right would have to be about.
func patchable(ref agent.Ref) string {
	if ref.Namespace == "" {
		return ref.GroupKind().String()
	}
	return ref.GroupKind().String() + " in " + ref.Namespace
}

// arrives tells whether a dry run failed for want of something that the same plan brings.
func arrives(changes []agent.Change, c agent.Change, class agent.Class) bool {
	switch class {
	case agent.NoKind: // kinds that nothing brings were refused before
		return true
	case agent.NoNamespace:
		return slices.ContainsFunc(changes, func(other agent.Change) bool {
			return other.Ref == agent.Ref{Kind: "Namespace", Name: c.Ref.Namespace} && other.Verb == agent.Create
		})
	}
	return false
}

// trial is what trying a change has shown.
type trial struct {
	fields  []agent.Field
	untried bool // whoever asks may not try it
	err     error
}

func try(ctx context.Context, session *cluster.Session, c agent.Change) trial {
	if c.Verb != agent.Create && c.Verb != agent.Update && c.Verb != agent.Replace {
		return trial{}
	}
	if c.Verb == agent.Create {
		_, err := session.DryRun(ctx, c.Object, c.TakeFields)
		return judged(nil, err)
	}
	live, err := session.Get(ctx, c.Ref, c.Object.Version)
	if err != nil || live == nil {
		return trial{err: err}
	}
	wanted, err := execute.Around(c.Object, live)
	if err != nil {
		return trial{err: err}
	}
	differs := plan.Drift(c.Ref, live.Object, wanted)
	if c.Verb == agent.Replace {
		return trial{fields: differs}
	}
	object := c.Object
	if object.JSON, err = json.Marshal(wanted); err != nil {
		return trial{err: err}
	}
	after, err := session.DryRun(ctx, object, c.TakeFields)
	if err == nil {
		differs = plan.Diff(c.Ref, live.Object, after.Object)
	}
	return judged(differs, err)
}

// judged sets errors aside that are about trying and not about the change.
func judged(fields []agent.Field, err error) trial {
	if cluster.ClassOf(err) == agent.Forbidden || err != nil && strings.Contains(err.Error(), "does not support dry run") {
		return trial{fields: fields, untried: true}
	}
	return trial{fields: fields, err: err}
}
