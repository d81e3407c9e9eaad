package sync

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/plan"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Source is what a pass works from.
type Source struct {
	// Dir is the mirror of the Repository.
	Dir      string
	Revision agent.Revision
}

// Report is what a pass did and came to.
type Report struct {
	Verdict Verdict
	Plan    agent.Plan
	Run     agent.Run
	// Digest of the rendered set; empty if it could not be rendered.
	Digest string
	// Objects counts the objects of the overlay.
	Objects v1alpha1.ObjectCounts
	// Healthy tells that all objects are healthy, and Unhealthy which are not.
	Healthy   bool
	Unhealthy string
	// News: others may be waiting for what this pass came to.
	News bool
}

// Pass walks the line from a revision to the cluster once. Blocked, if not nil, is asked
// after the overlay's objects are known and before the cluster is touched: it says why the
// overlay has to wait for others.
func (s *Syncer) Pass(ctx context.Context, o *v1alpha1.Overlay, source Source, blocked func() *Verdict, now time.Time) Report {
	owner := OwnerOf(o)
	m := s.memory(owner)
	session, err := s.session(o, m)
	if err != nil {
		return s.conclude(m, o, source, Report{Verdict: Verdict{Phase: Stalled, Reason: v1alpha1.InvalidSpecReason, Message: err.Error()}})
	}

	set, kinds, failure := s.wanted(ctx, session, m, o, source, now)
	var news bool
	switch {
	case failure == nil:
		news = s.claim(m, o, source.Revision.String(), &set)
		if why := waits(o, set, blocked); why != nil {
			return s.conclude(m, o, source, Report{Verdict: *why, Digest: set.Digest, News: news})
		}
		m.good = set
	case failure.Phase == Stalled: // what may go better next time says nothing about what the overlay wants
		news = s.claim(m, o, source.Revision.String(), nil)
	}
	if failure != nil {
		if len(m.good.Objects) == 0 {
			return s.conclude(m, o, source, Report{Verdict: *failure, News: news})
		}
		// What could be rendered last stays in force.
		if set, kinds, err = execute.Scope(session, m.good); err != nil {
			return s.conclude(m, o, source, Report{Verdict: *failure, News: news})
		}
	}

	inventory, err := s.Inventories.Load(ctx, owner)
	if err != nil {
		return s.conclude(m, o, source, s.recordFailed(m, err, news))
	}
	facts := s.facts(o, m, source, set, inventory, now)
	facts.Kinds = kinds
	limits := s.limits(o)
	facts = execute.Gather(ctx, session, s.Inventories, facts, limits)
	facts.Claims = s.claims(ctx, o, source.Revision.String(), facts.Live)
	p := plan.Make(facts)
	if failure != nil {
		p = corrections(p)
	}
	p = stamped(p)
	if m.rendered.sketch && writes(p) {
		m.rendered = rendered{} // what is to be written has to be rendered after all
		return s.Pass(ctx, o, source, blocked, now)
	}

	// What is about to be created is on record before it is: a crash leaves no orphan.
	intended := s.releasing(execute.Intend(inventory, p), p)
	if err := s.Inventories.Save(ctx, owner, intended); err != nil {
		return s.conclude(m, o, source, s.recordFailed(m, err, news))
	}
	run := execute.Apply(ctx, session, p, limits)
	if applied(run) > 0 {
		m.since = now
	}
	m.remember(p, run, now)

	count := take(session, p, facts)
	allHealthy := count.total == count.healthy
	if m.healthy && !allHealthy {
		m.since = now // health was lost: it has spec.timeout to come back
	}
	m.healthy = allHealthy
	if len(run.Failures()) == 0 && onlyDeletes(p.Violations) {
		run.Outcomes = append(run.Outcomes, execute.Prune(ctx, session, prunable(p, allHealthy), limits).Outcomes...)
	}
	if err := s.Inventories.Save(ctx, owner, execute.Recorded(intended, run)); err != nil {
		return s.conclude(m, o, source, s.recordFailed(m, err, news))
	}

	fights, rematch := waiting(m.fights, now)
	maps.DeleteFunc(fights, func(ref agent.Ref, _ string) bool { return !drifts(p, ref) })
	at := s.where(m)
	verdict := judge(ending{
		revision: source.Revision.String(), set: set, plan: p, run: run, census: count, fights: fights,
		timeout: o.Spec.Timeout.Duration, since: now.Sub(m.since),
		wasReady: at.ready && at.revision == source.Revision.String(),
	})
	digest := set.Digest
	switch {
	case failure != nil:
		verdict, digest = *failure, ""
		verdict.Retry = soonest(verdict.Retry, rematch)
	case verdict.Phase == Ready:
		s.keep(ctx, m, owner, set)
		fallthrough
	default:
		verdict.Retry = soonest(verdict.Retry, rematch, m.retry(p, run))
	}
	return s.conclude(m, o, source, Report{
		Verdict: verdict, Plan: p, Run: run, Digest: digest, News: news,
		Objects:   v1alpha1.ObjectCounts{Total: int32(count.total), Healthy: int32(count.healthy), Drifted: int32(count.drifted)},
		Healthy:   count.total == count.healthy,
		Unhealthy: count.worst(),
	})
}

// prunable is what of a plan may be deleted: nothing before what stays is healthy, but for ModelVersions.
// What serves does not depend on them, and a Model may be held for one that is to go.
func prunable(p agent.Plan, healthy bool) agent.Plan {
	if healthy {
		return p
	}
	records := schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelVersionKind}
	p.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c agent.Change) bool { return c.Ref.GroupKind() != records })
	return p
}

// wanted returns the overlay's set in the shape in which it is applied, and what the cluster
// knows of its kinds; or why there is none.
func (s *Syncer) wanted(ctx context.Context, session *cluster.Session, m *memory, o *v1alpha1.Overlay, source Source, now time.Time) (agent.Set, map[schema.GroupKind]plan.Kind, *Verdict) {
	set, failure := s.rendered(ctx, session, m, o, source, now)
	if failure != nil {
		return agent.Set{}, nil, failure
	}
	set, kinds, err := execute.Scope(session, set)
	if err != nil {
		return agent.Set{}, nil, &Verdict{Phase: Stalled, Reason: v1alpha1.RenderFailedReason, Message: err.Error()}
	}
	if m.rendered.sketch { // it has that shape
		return set, kinds, nil
	}
	if set, err = leavingOut(o, set); err != nil {
		return agent.Set{}, nil, &Verdict{Phase: Stalled, Reason: v1alpha1.InvalidSpecReason, Message: err.Error()}
	}
	return set, kinds, nil
}

// waits says why an overlay has to wait for others; nil if it need not.
func waits(o *v1alpha1.Overlay, set agent.Set, blocked func() *Verdict) *Verdict {
	if blocked == nil || settledAt(o, set) {
		return nil
	}
	return blocked()
}

// corrections returns what of a plan can be done while a newer revision cannot be rendered: what
// was good before is kept up, and nothing is deleted or let go.
func corrections(p agent.Plan) agent.Plan {
	kept := p.Changes[:0:0]
	for _, c := range p.Changes {
		if c.Verb != agent.Delete && c.Verb != agent.Forget && (c.Verb == agent.Keep || len(c.Object.JSON) > 0) {
			kept = append(kept, c)
		}
	}
	p.Changes = kept
	return p
}

// settledAt tells that an overlay is Ready with exactly this set. Then there is nothing for
// which it would have to wait for others, whatever happens to them.
func settledAt(o *v1alpha1.Overlay, set agent.Set) bool {
	ready := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == o.Generation &&
		len(o.Status.History) > 0 && o.Status.History[0].Digest == set.Digest
}

// conclude notes how far the overlay is, for those who wait for it.
func (s *Syncer) conclude(m *memory, o *v1alpha1.Overlay, source Source, r Report) Report {
	at := reached{revision: source.Revision.String(), generation: o.Generation, ready: r.Verdict.Phase == Ready}
	if s.arrive(m, at) {
		r.News = true
	}
	return m.redact.report(r)
}

func (s *Syncer) where(m *memory) reached {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.reached
}

// session returns the cluster as the overlay's account sees it. What the overlay watched as
// another account it watches no more.
func (s *Syncer) session(o *v1alpha1.Overlay, m *memory) (*cluster.Session, error) {
	session, err := s.Cluster.As(s.AccountOf(o))
	if err != nil {
		return nil, err
	}
	if m.session != nil && m.session != session {
		m.session.Leave(OwnerOf(o))
	}
	m.session = session
	return session, nil
}

// AccountOf is the account in whose name an overlay is worked on.
func (s *Syncer) AccountOf(o *v1alpha1.Overlay) cluster.Account {
	if name := cmp.Or(o.Spec.ServiceAccountName, s.DefaultAccount); name != "" {
		return cluster.Account{Namespace: o.Namespace, Name: name}
	}
	return cluster.Account{}
}

// limits bound the work for one overlay.
func (s *Syncer) limits(o *v1alpha1.Overlay) execute.Limits {
	limits := s.Limits
	if most := o.Spec.Timeout.Duration; most > 0 {
		limits.Request = min(limits.Request, most)
	}
	return limits
}

// facts puts together what a plan depends on and does not have to be asked from the cluster.
func (s *Syncer) facts(o *v1alpha1.Overlay, m *memory, source Source, set agent.Set, inventory agent.Inventory, now time.Time) plan.Facts {
	fights, _ := waiting(m.fights, now)
	return plan.Facts{
		Owner: OwnerOf(o), Revision: source.Revision, Set: set, Inventory: inventory,
		Fighting: fights, Prune: o.PruneEnabled(), Drift: o.Spec.Drift,
		AllowPrune: o.Annotations[v1alpha1.AllowPruneAnnotation],
	}
}

// writes tells whether a plan applies anything.
func writes(p agent.Plan) bool { return p.Count(agent.Create, agent.Update, agent.Replace) > 0 }

// drifts tells whether an object of a plan differs from Git by what somebody did to it.
func drifts(p agent.Plan, ref agent.Ref) bool {
	return slices.ContainsFunc(p.Changes, func(c agent.Change) bool { return c.Ref == ref && c.Drifted })
}

func applied(run agent.Run) int {
	n := 0
	for _, o := range run.Outcomes {
		if o.Result == agent.Done && o.Verb != agent.Forget && o.Verb != agent.Delete {
			n++
		}
	}
	return n
}

// remember counts the corrections of drift.
func (m *memory) remember(p agent.Plan, run agent.Run, now time.Time) {
	drifted := map[agent.Ref]bool{}
	for _, c := range p.Changes {
		drifted[c.Ref] = c.Drifted && (c.Verb == agent.Update || c.Verb == agent.Create)
	}
	for _, o := range run.Outcomes {
		switch {
		case o.Result != agent.Done:
		case drifted[o.Ref]:
			m.fights[o.Ref] = m.fights[o.Ref].corrected(now, cmp.Or(o.Note, "deleted"))
		default:
			delete(m.fights, o.Ref) // Git says something else now: a new game
		}
	}
	maps.DeleteFunc(m.fights, func(_ agent.Ref, f fight) bool { return now.Sub(f.last) > 2*fightMaxPause })
}

// take counts the objects of a set by health.
func take(session *cluster.Session, p agent.Plan, facts plan.Facts) census {
	var c census
	for _, change := range p.Changes {
		if change.Drifted && change.Verb == agent.Keep {
			c.drifted++
		}
	}
	for _, o := range facts.Set.Objects {
		if o.Options.Ignore {
			continue
		}
		c.total++
		health := healthOf(session, o.Ref, facts)
		sentence := fmt.Sprintf("%s is %s: %s", o.Ref, health.Status, health.Message)
		switch {
		case health.OK():
			c.healthy++
		case health.Status == agent.Degraded:
			c.degraded = append(c.degraded, sentence)
		default:
			c.progressing = append(c.progressing, sentence)
		}
	}
	return c
}

func healthOf(session *cluster.Session, ref agent.Ref, facts plan.Facts) agent.Health {
	if live, seen := session.Seen(ref); seen {
		return live.Health
	}
	if why, unknown := facts.Unknown[ref]; unknown {
		return agent.Health{Status: agent.Progressing, Message: "it cannot be looked at: " + why.Error()}
	}
	if _, exists := facts.Live[ref]; exists {
		return agent.Health{Status: agent.Healthy} // there, but without our labels nothing watches it
	}
	return agent.Health{Status: agent.Missing, Message: "it is not in the cluster"}
}

// Pauses between tries of what failed. Things on their way announce themselves, so their
// retry is only a net below the watches.
const (
	firstRetry     = time.Second
	transientRetry = 30 * time.Second
	permanentRetry = 5 * time.Minute
)

// retry says when a pass that did not reach its end is tried again: sooner for what may pass
// by itself, later for what somebody has to mend.
func (m *memory) retry(p agent.Plan, run agent.Run) time.Duration {
	failed := run.Failures()
	if len(failed) == 0 && len(p.Violations) == 0 {
		m.failures = 0
		return 0
	}
	most := permanentRetry
	for _, o := range failed {
		if !o.Class.Permanent() {
			most = transientRetry
		}
	}
	return m.backoff(most)
}

// backoff doubles the pause with every failure in a row.
func (m *memory) backoff(most time.Duration) time.Duration {
	pause := firstRetry << min(m.failures, 10)
	m.failures++
	return min(pause, most)
}

func (s *Syncer) recordFailed(m *memory, err error, news bool) Report {
	return Report{Verdict: Verdict{Phase: Failing, Reason: v1alpha1.ApplyFailedReason, Message: err.Error(), Retry: m.backoff(transientRetry)}, News: news}
}

// soonest returns the shortest of the pauses that are set.
func soonest(pauses ...time.Duration) time.Duration {
	var least time.Duration
	for _, p := range pauses {
		if p > 0 && (least == 0 || p < least) {
			least = p
		}
	}
	return least
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }

// Waits tells whether a pass could not go on because of something that others bring.
func (r Report) Waits() bool {
	for _, v := range r.Plan.Violations {
		if v.Waits {
			return true
		}
	}
	for _, o := range r.Run.Failures() {
		if comes(o.Class) {
			return true
		}
	}
	return false
}

// Moved tells whether a pass did more than put back what somebody had changed.
func (r Report) Moved() bool {
	return slices.ContainsFunc(r.Plan.Changes, func(c agent.Change) bool {
		return !c.Drifted && c.Verb != agent.Keep && c.Verb != agent.Forget
	})
}

// Made says in a line what a pass did: "2 created, 1 updated". It is empty if it did nothing.
func (r Report) Made() string {
	done := map[agent.Verb]int{}
	for _, o := range r.Run.Outcomes {
		if o.Result == agent.Done {
			done[o.Verb]++
		}
	}
	var parts []string
	for _, v := range []struct {
		verb agent.Verb
		past string
	}{{agent.Create, "created"}, {agent.Update, "updated"}, {agent.Replace, "replaced"}, {agent.Delete, "deleted"}} {
		if n := done[v.verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v.past))
		}
	}
	return strings.Join(parts, ", ")
}
