package promotion

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/plan"
	"github.com/sluice-dev/sluice/agent/rollout"
	"github.com/sluice-dev/sluice/agent/serving"
)

// wantOf is what a stage is to serve.
func (w *pass) wantOf(s stage) serving.Want {
	want := serving.Want{Model: w.model.Name, Stage: s.spec.Name, Namespace: s.namespace, Serving: w.model.Spec.Serving}
	if s.newest == nil || s.spec.Version == "" {
		return want
	}
	artifact := func(version string) *serving.Version {
		if version == s.newest.Spec.Version {
			return served(version, s.artifact())
		}
		return served(version, s.newest.Spec.FromArtifact)
	}
	asked := rollout.WantOf(*s.newest)
	want.Stable, want.Candidate, want.Traffic = artifact(asked.Stable), artifact(asked.Candidate), asked.Traffic
	if retiring := artifact(asked.Retiring); retiring != nil {
		want.Retiring = []serving.Version{*retiring}
	}
	return want
}

// empty tells that nothing is to serve.
func empty(want serving.Want) bool { return want.Stable == nil && want.Candidate == nil }

// digestOf names exactly this Want.
func digestOf(want serving.Want, can serving.Abilities) string {
	text, err := json.Marshal([]any{want, can})
	if err != nil { // a template that is no JSON, of which Objects says more
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// observe looks at what serves in a stage, while something is waited for there.
func (w *pass) observe(ctx context.Context, s *stage) error {
	want := w.wantOf(*s)
	settled := w.memory.settled[s.spec.Name] == digestOf(want, w.abilities)
	if empty(want) || settled && !awaits(s.newest.Status.Phase) {
		return nil
	}
	live, err := w.read(ctx, want)
	if err != nil {
		return fmt.Errorf("stage %s cannot be looked at: %w", s.spec.Name, err)
	}
	s.live, s.looked = live, true
	s.state = serving.Observe(want, w.abilities, live)
	return nil
}

// awaits tells whether a phase waits for what serves.
func awaits(phase v1alpha1.PromotionPhase) bool {
	switch phase {
	case v1alpha1.PromotionPreparing, v1alpha1.PromotionCanary, v1alpha1.PromotionShifting, v1alpha1.PromotionCompleting:
		return true
	}
	return false
}

// read gets the live objects of a stage. Kinds that the cluster does not have are not there.
func (w *pass) read(ctx context.Context, want serving.Want) (map[agent.Ref]map[string]any, error) {
	live := map[agent.Ref]map[string]any{}
	for _, ref := range serving.Reads(want, w.abilities) {
		object, err := w.session.Get(ctx, ref, "")
		if cluster.ClassOf(err) == agent.NoKind {
			continue
		}
		if err != nil {
			return nil, err
		}
		if object != nil {
			live[ref] = object.Object
		}
	}
	return live, nil
}

// appliedBefore tells that what the present status of a stage asks for was applied by an earlier
// pass, and has no way left to go.
func (w *pass) appliedBefore(s *stage) bool {
	return w.memory.settled[s.spec.Name] == digestOf(w.wantOf(*s), w.abilities)
}

// serve makes it so that each stage serves what it is to serve.
func (w *pass) serve(ctx context.Context) error {
	set, err := w.set(ctx)
	if err != nil {
		return err
	}
	set, kinds, err := execute.Scope(w.session, set)
	if err != nil {
		return err
	}
	inventory, err := w.Inventories.Load(ctx, w.owner)
	if err != nil {
		return err
	}
	facts := execute.Gather(ctx, w.session, w.Inventories, plan.Facts{
		Owner: w.owner, Set: set, Inventory: inventory, Kinds: kinds, Prune: true, Drift: v1alpha1.DriftCorrect, Farewell: true,
	}, w.Limits)
	p := plan.Make(facts)
	intended := execute.Intend(inventory, p)
	if err := w.Inventories.Save(ctx, w.owner, intended); err != nil {
		return err
	}
	run := execute.Apply(ctx, w.session, p, w.Limits)
	run.Outcomes = append(run.Outcomes, execute.Prune(ctx, w.session, w.prunable(p, run), w.Limits).Outcomes...)
	if err := w.Inventories.Save(ctx, w.owner, execute.Recorded(intended, run)); err != nil {
		return err
	}
	w.plan, w.run = p, run
	w.settle()
	return nil
}

// prunable is a plan without the deletes of stages in which something could not be applied: what is to
// go there may be all that serves. Stages have namespaces of their own, and hold up no other. What is
// in the namespace of none may be of one that has moved, and goes when all is applied.
func (w *pass) prunable(p agent.Plan, run agent.Run) agent.Plan {
	failed, known := map[string]bool{}, map[string]bool{}
	for _, v := range p.Violations {
		failed[v.Ref.Namespace] = true
	}
	for _, o := range run.Failures() {
		failed[o.Ref.Namespace] = true
	}
	for _, s := range w.stages {
		known[s.namespace] = true
	}
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c agent.Change) bool {
		return failed[c.Ref.Namespace] || len(failed) > 0 && !known[c.Ref.Namespace]
	})
	return p
}

// set puts together the objects of all stages.
func (w *pass) set(ctx context.Context) (agent.Set, error) {
	var objects []agent.Object
	for n := range w.stages {
		s := &w.stages[n]
		if empty(s.want) {
			continue
		}
		now, err := w.way(ctx, s)
		if err != nil {
			return agent.Set{}, err
		}
		manifests, err := serving.Objects(now, w.abilities)
		if err != nil {
			return agent.Set{}, invalid("spec.serving: " + err.Error())
		}
		for _, fields := range manifests {
			object, err := manifest.Prepare(fields, "", w.owner)
			if err != nil {
				return agent.Set{}, invalid("spec.serving: " + err.Error())
			}
			objects = append(objects, object)
			s.refs = append(s.refs, object.Ref)
		}
	}
	return distinct(objects)
}

// distinct refuses two objects of one name, as two stages in one namespace have.
func distinct(objects []agent.Object) (agent.Set, error) {
	set := agent.NewSet(objects)
	for n := range len(set.Objects) - 1 {
		if ref := set.Objects[n].Ref; ref == set.Objects[n+1].Ref {
			return agent.Set{}, invalid(fmt.Sprintf("two stages would both have %s: give each stage a namespace of its own", ref))
		}
	}
	return set, nil
}

// way is what to apply now on the way to what a stage is to serve: what is there may make a step in
// between necessary.
func (w *pass) way(ctx context.Context, s *stage) (serving.Want, error) {
	digest := digestOf(s.want, w.abilities)
	if w.memory.settled[s.spec.Name] == digest {
		s.settles = digest
		return s.want, nil
	}
	if !s.looked {
		live, err := w.read(ctx, s.want)
		if err != nil {
			return s.want, fmt.Errorf("stage %s cannot be looked at: %w", s.spec.Name, err)
		}
		s.live = live
	}
	now := serving.Next(s.want, w.abilities, s.live)
	if reflect.DeepEqual(now, s.want) {
		s.settles = digest
	} else {
		w.look(w.now.Add(wayRetry))
	}
	return now, nil
}

// wayRetry is the net below the watches while a stage is on its way.
const wayRetry = 2 * time.Second

// settle notes which stages have nothing left to apply, and what stands against it elsewhere.
func (w *pass) settle() {
	trouble := map[agent.Ref]string{}
	for _, v := range w.plan.Violations {
		trouble[v.Ref] = v.String()
	}
	waits := false
	for _, o := range w.run.Failures() {
		trouble[o.Ref] = o.Ref.String() + ": " + o.Message
	}
	for n := range w.stages {
		s := &w.stages[n]
		for _, ref := range s.refs {
			s.trouble = cmp.Or(s.trouble, trouble[ref])
		}
		waits = waits || s.trouble != ""
		before := w.memory.settled[s.spec.Name]
		switch {
		case s.trouble != "" || s.settles == "":
			delete(w.memory.settled, s.spec.Name)
		default:
			w.memory.settled[s.spec.Name] = s.settles
		}
		if w.memory.settled[s.spec.Name] != before {
			w.look(w.now) // it is looked at how that is
		}
		w.memory.trouble[s.spec.Name] = s.trouble
		if s.trouble == "" && s.settles == "" && !empty(s.want) {
			w.memory.trouble[s.spec.Name] = "what is there is brought to where it can begin"
		}
	}
	if !waits {
		w.memory.failures = 0
		return
	}
	w.look(w.now.Add(backoff(w.memory.failures)))
	w.memory.failures++
}

// health says what of a stage is not healthy; empty if all is.
func (w *pass) health(s stage) string {
	for _, ref := range slices.SortedFunc(slices.Values(s.refs), agent.Ref.Compare) {
		live, seen := w.session.Seen(ref)
		if !seen {
			return ref.String() + " has not been seen"
		}
		if !live.Health.OK() {
			return ref.String() + " is " + string(live.Health.Status) + ": " + live.Health.Message
		}
	}
	return ""
}

// Farewell deletes what serves a Model that is being deleted. It is done when nothing is left on
// record; until then, the error says what it waits for.
func (p *Promoter) Farewell(ctx context.Context, m *v1alpha1.Model, withNamespace bool) error {
	w := pass{Promoter: p, model: m, owner: OwnerOf(m), memory: p.memory(OwnerOf(m))}
	if err := w.enter(); err != nil {
		return err
	}
	inventory, err := p.Inventories.Load(ctx, w.owner)
	if err != nil {
		return err
	}
	if withNamespace { // what is in there goes without us
		maps.DeleteFunc(inventory, func(ref agent.Ref, _ agent.Entry) bool { return ref.Namespace == m.Namespace })
	}
	facts := execute.Gather(ctx, w.session, p.Inventories, plan.Facts{Owner: w.owner, Inventory: inventory, Prune: !m.Spec.Suspend, Farewell: true}, p.Limits)
	planned := plan.Make(facts)
	run := execute.Prune(ctx, w.session, planned, p.Limits)
	left := execute.Recorded(inventory, run)
	if err := p.Inventories.Save(ctx, w.owner, left); err != nil {
		return err
	}
	for ref := range left {
		message := "is being deleted"
		for _, o := range run.Failures() {
			if o.Ref == ref {
				message = o.Message
			}
		}
		return fmt.Errorf("%d objects are left: %s: %s", len(left), ref, message)
	}
	p.Forget(w.owner)
	return nil
}
