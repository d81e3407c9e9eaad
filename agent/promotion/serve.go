package promotion

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
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
	if w.layout == "Deployment" || w.layout == "SideBySide" { // elsewhere KServe ends what has no traffic
		want.Retiring = append(want.Retiring, w.draining(s, want)...)
	}
	return want
}

// draining are the versions that have lost their traffic by earlier attempts a moment ago, also where
// another attempt has begun since.
func (w *pass) draining(s stage, want serving.Want) []serving.Version {
	var all []serving.Version
	running := map[string]bool{}
	for _, v := range append(want.Retiring, deref(want.Stable), deref(want.Candidate)) {
		running[v.Name] = true
	}
	for n := range w.promotions[s.spec.Name] {
		p := &w.promotions[s.spec.Name][n]
		version, until := rollout.Draining(*p, w.now)
		if version == "" || running[version] {
			continue
		}
		artifact := p.Spec.FromArtifact
		if version == p.Spec.Version {
			artifact = stage{newest: p}.artifact()
		}
		if v := served(version, artifact); v != nil {
			running[version] = true
			all = append(all, *v)
			w.look(until)
		}
	}
	return all
}

func deref(v *serving.Version) serving.Version {
	if v == nil {
		return serving.Version{}
	}
	return *v
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
	if !empty(want) && (awaits(s.newest.Status.Phase) || w.moves(*s) || w.memory.trouble[s.spec.Name] != "") {
		return w.lookAt(ctx, s, want)
	}
	return nil
}

// lookAt reads what serves in a stage.
func (w *pass) lookAt(ctx context.Context, s *stage, want serving.Want) error {
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

// read gets the live objects of a stage. Kinds that the cluster does not have are not there. What is
// watched is asked for only when it has changed since.
func (w *pass) read(ctx context.Context, want serving.Want) (map[agent.Ref]map[string]any, error) {
	live := map[agent.Ref]map[string]any{}
	for _, ref := range serving.Reads(want, w.abilities) {
		seen, watched := w.session.Seen(ref)
		if known := w.memory.live[ref]; known != nil && watched && known.GetResourceVersion() == strconv.FormatUint(seen.ResourceVersion, 10) {
			live[ref], w.live[ref] = known.Object, known
			continue
		}
		object, err := w.session.Get(ctx, ref, "")
		if cluster.ClassOf(err) == agent.NoKind {
			continue
		}
		if err != nil {
			return nil, err
		}
		if object != nil {
			live[ref], w.live[ref] = object.Object, object
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
	inventory, err := w.Inventories.Load(ctx, w.owner)
	if err != nil {
		return err
	}
	for n := range w.stages {
		w.way(&w.stages[n])
	}
	p, err := w.planned(ctx, inventory)
	if err == nil && w.detour(ctx, p) {
		p, err = w.planned(ctx, inventory)
	}
	if err != nil {
		return err
	}
	intended := execute.Intend(inventory, p)
	if err := w.Inventories.Save(ctx, w.owner, intended); err != nil {
		return err
	}
	run := execute.Apply(ctx, w.session, p, w.Limits)
	w.troubled(p, run)
	run.Outcomes = append(run.Outcomes, execute.Prune(ctx, w.session, w.prunable(p), w.Limits).Outcomes...)
	if err := w.Inventories.Save(ctx, w.owner, execute.Recorded(intended, run)); err != nil {
		return err
	}
	w.plan, w.run = p, run
	w.settle()
	return nil
}

// planned is the plan for what all stages are to apply now.
func (w *pass) planned(ctx context.Context, inventory agent.Inventory) (agent.Plan, error) {
	set, kinds, err := execute.Scope(w.session, w.set())
	if err != nil {
		return agent.Plan{}, err
	}
	return plan.Make(execute.Gather(ctx, w.session, w.Inventories, plan.Facts{
		Owner: w.owner, Set: set, Inventory: inventory, Kinds: kinds, Prune: true, Drift: v1alpha1.DriftCorrect, Farewell: true,
	}, w.Limits)), nil
}

// way sets what a stage is to apply now on the way to what it is to serve: what is there may make a
// step in between necessary.
func (w *pass) way(s *stage) {
	s.now, s.settles = s.want, digestOf(s.want, w.abilities)
	if !s.looked {
		return
	}
	if s.now = serving.Next(s.want, w.abilities, s.live); !reflect.DeepEqual(s.now, s.want) {
		s.settles = ""
		w.look(w.now.Add(wayRetry))
	}
}

// detour looks at the stages in which a plan changes something though nobody has looked there, as after
// a restart or when somebody deletes what serves, and tells whether one of them needs a step in between.
func (w *pass) detour(ctx context.Context, p agent.Plan) bool {
	again := false
	for n := range w.stages {
		s := &w.stages[n]
		if s.err != nil || s.looked || empty(s.want) || !changes(p, s.namespace) {
			continue
		}
		if s.err = w.lookAt(ctx, s, s.want); s.err != nil {
			again = true // its objects are to be left alone
			continue
		}
		w.way(s)
		again = again || s.settles == ""
	}
	return again
}

// changes tells whether a plan changes something in a namespace.
func changes(p agent.Plan, namespace string) bool {
	return slices.ContainsFunc(p.Changes, func(c agent.Change) bool { return c.Verb != agent.Keep && c.Ref.Namespace == namespace })
}

// prunable is a plan without the deletes that have to wait: what they are about may be all that
// serves. Stages have namespaces of their own, so none holds up another.
func (w *pass) prunable(p agent.Plan) agent.Plan {
	held := map[string]bool{}
	for _, s := range w.stages {
		if s.err != nil && (s.failing() || s.before.Version != "") || w.unproven(s) {
			held[s.namespace], held[s.before.Namespace] = true, true
		}
	}
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c agent.Change) bool { return held[c.Ref.Namespace] })
	return p
}

// unproven tells that a stage serves by objects that may not be wanted any more, and that what is
// wanted instead is not known to serve yet.
func (w *pass) unproven(s stage) bool {
	switch {
	case s.spec.Version == "":
		return false
	case s.trouble != "" && !w.moves(s): // what could not be applied may be what moves the traffic
		return true
	case s.looked && s.state.Stable.Ready:
		return false
	case w.moves(s):
		return true
	}
	return s.before.Version != "" && s.want.Stable == nil
}

// moves tells that a stage serves in another namespace or by other objects than it is to.
func (w *pass) moves(s stage) bool {
	b := s.before
	return b.Version != "" && s.spec.Version != "" && (b.Namespace != s.namespace || b.Layout != w.layout && b.Layout != "")
}

// set puts together the objects of all stages. Those of a stage that cannot be made are left out, and
// the stage has the error.
func (w *pass) set() agent.Set {
	var objects []agent.Object
	taken := map[agent.Ref]string{}
	for n := range w.stages {
		s := &w.stages[n]
		s.refs = nil
		if s.err != nil || empty(s.now) {
			continue
		}
		var made []agent.Object
		if made, s.err = w.objects(s, taken); s.err != nil {
			s.settles = ""
			continue
		}
		for _, o := range made {
			taken[o.Ref] = s.spec.Name
			s.refs = append(s.refs, o.Ref)
		}
		objects = append(objects, made...)
	}
	return agent.NewSet(objects)
}

// objects makes those of a stage, whose names no other stage must have taken.
func (w *pass) objects(s *stage, taken map[agent.Ref]string) ([]agent.Object, error) {
	manifests, err := serving.Objects(s.now, w.abilities)
	if err != nil {
		return nil, invalid(err.Error())
	}
	var objects []agent.Object
	for _, fields := range manifests {
		object, err := manifest.Prepare(fields, "", w.owner)
		if err != nil {
			return nil, invalid("spec.serving: " + err.Error())
		}
		if other, is := taken[object.Ref]; is {
			return nil, invalid(fmt.Sprintf("stage %s would have %s, which stage %s has: give each stage a namespace of its own", s.spec.Name, object.Ref, other))
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// wayRetry is the net below the watches while a stage is on its way.
const wayRetry = 2 * time.Second

// troubled notes what stands against applying in which stage.
func (w *pass) troubled(p agent.Plan, run agent.Run) {
	trouble := map[agent.Ref]string{}
	for _, v := range p.Violations {
		trouble[v.Ref] = v.String()
	}
	for _, o := range run.Failures() {
		trouble[o.Ref] = o.Ref.String() + ": " + o.Message
	}
	for n := range w.stages {
		s := &w.stages[n]
		for _, ref := range s.refs {
			s.trouble = cmp.Or(s.trouble, trouble[ref])
		}
	}
}

// settle notes which stages have nothing left to apply.
func (w *pass) settle() {
	w.memory.live = w.live
	for n := range w.stages {
		s := &w.stages[n]
		before := w.memory.settled[s.spec.Name]
		switch {
		case s.err != nil || s.trouble != "" || s.settles == "":
			delete(w.memory.settled, s.spec.Name)
		default:
			w.memory.settled[s.spec.Name] = s.settles
		}
		if w.memory.settled[s.spec.Name] != before {
			w.look(w.now) // it is looked at how that is
		}
		w.memory.trouble[s.spec.Name] = s.trouble
		if s.err == nil && s.trouble == "" && s.settles == "" && !empty(s.want) {
			w.memory.trouble[s.spec.Name] = "what is there is brought to where it can begin"
		}
		if w.moves(*s) && s.trouble == "" && w.unproven(*s) {
			w.look(w.now.Add(awaitRetry))
		}
	}
	if !slices.ContainsFunc(w.stages, stage.failing) && len(w.run.Failures()) == 0 {
		w.memory.failures = 0
		return
	}
	w.look(w.now.Add(backoff(w.memory.failures)))
	w.memory.failures++
}

// failing tells that a stage is to be tried again though nothing changes.
func (s stage) failing() bool {
	_, stands := errors.AsType[invalid](s.err)
	return s.trouble != "" || s.err != nil && !stands
}

// examine looks at what serves in stages of which a watch shows something that is not healthy. It
// notes since when that is so: for a moment it is nothing to speak of.
func (w *pass) examine(ctx context.Context) {
	for n := range w.stages {
		s := &w.stages[n]
		if s.err != nil || s.want.Stable == nil || !w.suspicious(*s) {
			delete(w.memory.unready, s.spec.Name)
			delete(w.memory.down, s.spec.Name)
			continue
		}
		if !s.looked {
			if s.err = w.lookAt(ctx, s, s.want); s.err != nil {
				w.look(w.now.Add(awaitRetry))
				continue
			}
		}
		w.note(w.memory.unready, *s, !s.state.Stable.Ready, s.before.Phase == v1alpha1.StageUnhealthy)
		w.note(w.memory.down, *s, !s.state.Stable.Up, s.before.Version != "" && s.before.Since == nil)
		if since, is := w.memory.unready[s.spec.Name]; is {
			w.look(notYet(since.Add(serving.Settle), w.now))
		}
	}
}

// suspicious tells that a watch shows something of a stage that is not healthy.
func (w *pass) suspicious(s stage) bool {
	return slices.ContainsFunc(s.refs, func(ref agent.Ref) bool {
		live, seen := w.session.Seen(ref)
		return seen && !live.Health.OK()
	})
}

// note keeps since when something of a stage is so. Where the status says that it was already, as after
// a restart, it is so for longer than a moment.
func (w *pass) note(since map[string]time.Time, s stage, is, was bool) {
	_, known := since[s.spec.Name]
	switch {
	case !is:
		delete(since, s.spec.Name)
	case !known && was:
		since[s.spec.Name] = w.now.Add(-serving.Settle)
	case !known:
		since[s.spec.Name] = w.now
	}
}

// notYet is a time that is to come; zero for one that has been.
func notYet(at, now time.Time) time.Time {
	if at.After(now) {
		return at
	}
	return time.Time{}
}

// lasts tells that something has been so for longer than a moment.
func (w *pass) lasts(since map[string]time.Time, stage string) bool {
	began, is := since[stage]
	return is && !w.now.Before(began.Add(serving.Settle))
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
