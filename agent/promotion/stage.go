package promotion

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/rollout"
	"github.com/sluice-dev/sluice/agent/serving"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stage is one stage in one pass.
type stage struct {
	spec      v1alpha1.Stage
	namespace string
	// before is the status of the stage as it is on record.
	before v1alpha1.StageStatus
	// err is what kept the pass from going on here. What serves stays as it is.
	err error
	// newest Promotion; nil if there never was one.
	newest *v1alpha1.Promotion
	// want is what is to serve, and now what to apply on the way to it.
	want, now serving.Want
	// state is how it is, if it was looked at, and live are the objects that show it.
	state  serving.State
	live   map[agent.Ref]map[string]any
	looked bool
	// refs are the objects that serve, settles is the digest of what is to serve if these are all
	// there is to apply on the way, and trouble what stands against applying them.
	refs    []agent.Ref
	settles string
	trouble string
	// proposed is what this pass has proposed for the stage; nil for nothing.
	proposed *proposed
	// problem says why the version of the spec is not tried; empty if it is. Early: that may pass by
	// itself in a moment.
	problem string
	early   bool
}

// serves is the version that serves, or served last.
func (s stage) serves() string {
	if s.newest == nil {
		return ""
	}
	return rollout.WantOf(*s.newest).Stable
}

// servesArtifact is the artifact of the version that serves.
func (s stage) servesArtifact() *v1alpha1.ServedArtifact {
	switch {
	case s.newest == nil:
		return nil
	case s.serves() == s.newest.Spec.Version:
		return s.artifact()
	}
	return s.newest.Spec.FromArtifact
}

// artifact is that of the version that the newest Promotion is about, with the digest that was found
// where none was said.
func (s stage) artifact() *v1alpha1.ServedArtifact {
	artifact := s.newest.Spec.Artifact
	artifact.Digest = cmp.Or(artifact.Digest, s.newest.Status.Digest)
	return &artifact
}

// stage takes one stage one transition further. What goes wrong in one is nothing to the others.
func (w *pass) stage(ctx context.Context, spec v1alpha1.Stage) stage {
	s := stage{spec: spec, namespace: w.model.NamespaceOf(spec), before: w.statusBefore(spec.Name)}
	if all := w.promotions[spec.Name]; len(all) > 0 {
		s.newest = all[0].DeepCopy()
	}
	s.err = w.goOn(ctx, &s)
	s.want = w.wantOf(s)
	return s
}

func (w *pass) goOn(ctx context.Context, s *stage) error {
	if err := w.restore(ctx, s); err != nil {
		return err
	}
	if err := w.ask(ctx, s); err != nil {
		return err
	}
	if s.newest == nil || w.layout == "" { // without a way to serve, nothing goes on and nothing is turned back
		return nil
	}
	if err := w.observe(ctx, s); err != nil {
		return err
	}
	return w.advance(ctx, s)
}

// ask makes a Promotion of what the spec of a stage asks for, if there is none, and ends the one
// that asked for something else.
func (w *pass) ask(ctx context.Context, s *stage) error {
	version := s.spec.Version
	if version == "" {
		return w.withdraw(ctx, s)
	}
	found, problem := w.versions.find(version)
	w.note(w.memory.unknown, *s, found == nil, s.before.Phase == v1alpha1.StageHeld)
	if found == nil {
		s.problem = problem
		if s.early = !w.lasts(w.memory.unknown, s.spec.Name); s.early { // a commit brings both, one after the other
			w.look(w.memory.unknown[s.spec.Name].Add(serving.Settle))
		}
		if s.newest != nil && s.newest.Spec.Version != version {
			return w.supersede(ctx, s, "superseded by "+version)
		}
		return nil
	}
	artifact := artifactOf(found)
	request, err := requestOf(w.model, s.spec, found)
	if err != nil {
		return err
	}
	if s.newest != nil && w.answers(*s.newest, version, artifact, request) {
		return nil
	}
	if s.problem = w.unservable(*s, found); s.problem != "" {
		return nil // what is under way goes on
	}
	if s.newest != nil {
		same := s.newest.Spec.Version == version
		by := "superseded by " + version
		if same {
			by = "superseded: what is asked of " + version + " has changed"
		}
		if err := w.supersede(ctx, s, by); err != nil {
			return err
		}
		if s.serves() == version && s.servesArtifact() != nil && s.servesArtifact().URI == artifact.URI {
			return nil // back to what has served all the time
		}
	}
	return w.create(ctx, s, found, artifact, request)
}

// answers tells whether a stage's newest Promotion is about what is asked for now.
func (w *pass) answers(p v1alpha1.Promotion, version string, artifact v1alpha1.ServedArtifact, request string) bool {
	switch phase := p.Status.Phase; {
	case p.Status.Withdrawn:
		return false
	case p.Spec.Request == request && phase != v1alpha1.PromotionSuperseded && !p.Status.Released:
		return true // under way, held, or serving
	case p.Spec.Version == version && phase == v1alpha1.PromotionSucceeded:
		return p.Spec.Artifact.URI == artifact.URI // it serves; what else was changed counts for the next one
	}
	return false
}

// unservable says why a version cannot be served as the Model says; empty if it can.
func (w *pass) unservable(s stage, v *v1alpha1.ModelVersion) string {
	if err := artifact.Check(v.Spec.Artifact.URI); err != nil {
		return "the artifact of " + v.Spec.Version + ": " + err.Error()
	}
	of := artifactOf(v)
	want := serving.Want{Model: w.model.Name, Stage: s.spec.Name, Namespace: s.namespace, Serving: w.model.Spec.Serving, Stable: served(v.Spec.Version, &of)}
	if _, err := serving.Objects(want, w.abilities); err != nil {
		return err.Error()
	}
	return ""
}

func (w *pass) create(ctx context.Context, s *stage, version *v1alpha1.ModelVersion, artifact v1alpha1.ServedArtifact, request string) error {
	spec := v1alpha1.PromotionSpec{Version: version.Spec.Version, Artifact: artifact, Request: request, Number: 1}
	if s.newest != nil {
		spec.Number = s.newest.Spec.Number + 1
		if from := s.serves(); from != "" {
			spec.From, spec.FromArtifact = from, s.servesArtifact()
		}
	}
	return w.record(ctx, s, spec)
}

// record makes a Promotion, which is the newest of a stage then.
func (w *pass) record(ctx context.Context, s *stage, spec v1alpha1.PromotionSpec) error {
	spec.Model, spec.Stage, spec.Revision = w.model.Name, s.spec.Name, w.model.Annotations[v1alpha1.RevisionAnnotation]
	made, err := w.Promotions.Create(ctx, w.model, &v1alpha1.Promotion{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.model.Namespace, Name: nameOf(w.model, s.spec.Name, spec.Number),
			Labels: map[string]string{v1alpha1.ModelLabel: w.model.Name, v1alpha1.StageLabel: s.spec.Name},
		},
		Spec: spec,
	})
	if err != nil {
		return fmt.Errorf("the Promotion of %s to %s cannot be written: %w", spec.Version, s.spec.Name, err)
	}
	w.promotions[s.spec.Name] = slices.Insert(w.promotions[s.spec.Name], 0, *made)
	s.newest = made
	w.moved = append(w.moved, *made)
	return nil
}

// supersede ends the newest Promotion of a stage, for something else is asked for. One that has all
// traffic has succeeded; one that is held stays as it ended, and its version may be tried again.
func (w *pass) supersede(ctx context.Context, s *stage, by string) error {
	if s.newest == nil {
		return nil
	}
	status := *s.newest.Status.DeepCopy()
	switch phase := status.Phase; {
	case phase.Held() && !status.Released:
		status.Released = true
	case phase.Ended():
		return nil
	default:
		status = rollout.Supersede(*s.newest, s.spec.Rollout, by, w.now)
	}
	return w.write(ctx, s, status)
}

// withdraw ends what a stage serves, for its spec names no version.
func (w *pass) withdraw(ctx context.Context, s *stage) error {
	if s.newest == nil || s.newest.Status.Withdrawn {
		return nil
	}
	if err := w.supersede(ctx, s, "nothing is to serve any more"); err != nil {
		return err
	}
	status := *s.newest.Status.DeepCopy()
	status.Withdrawn = true
	return w.write(ctx, s, status)
}

// write puts the next status of a stage's newest Promotion on record.
func (w *pass) write(ctx context.Context, s *stage, status v1alpha1.PromotionStatus) error {
	before := s.newest
	after := before.DeepCopy()
	after.Status = status
	after.Status.ObservedGeneration = after.Generation
	setPromotionConditions(after)
	written, err := w.Promotions.Write(ctx, before, after)
	if err != nil {
		return fmt.Errorf("Promotion %s cannot be written: %w", before.Name, err)
	}
	s.newest = written
	w.promotions[s.spec.Name][0] = *written
	if before.Status.Phase == status.Phase && before.Status.Step == status.Step {
		return nil
	}
	w.moved = append(w.moved, *written)
	if status.Phase.Ended() {
		w.ended = append(w.ended, *written)
		w.Samples.forget(written.UID)
	}
	w.look(w.now) // what follows from it is for the next pass
	return nil
}

// advance makes the next transition of a stage's newest Promotion.
func (w *pass) advance(ctx context.Context, s *stage) error {
	if s.newest.Status.Phase.Ended() {
		return nil
	}
	facts, err := w.facts(ctx, s)
	if err != nil {
		return err
	}
	next, again := rollout.Next(facts)
	w.look(again)
	if awaits(next.Phase) && !w.arrived(s) {
		w.look(w.now.Add(awaitRetry))
	}
	return w.write(ctx, s, next)
}

// awaitRetry is the net below the watches while a phase waits for what controllers make of our
// objects: those are not watched, and may get ready with no change to ours.
const awaitRetry = 10 * time.Second

// arrived tells that a phase waits for the time alone.
func (w *pass) arrived(s *stage) bool {
	switch s.newest.Status.Phase {
	case v1alpha1.PromotionCanary:
		return w.measurable(s)
	case v1alpha1.PromotionCompleting:
		return s.looked && s.state.Stable.Ready
	}
	return false
}

// facts gathers what the next transition depends on.
func (w *pass) facts(ctx context.Context, s *stage) (rollout.Facts, error) {
	f := rollout.Facts{
		Now: w.now, Promotion: *s.newest, Rollout: s.spec.Rollout,
		Splits: serving.Splits(w.model.Spec.Serving, w.abilities), Return: w.returns(s),
		Serving: s.state, Applied: s.looked && w.appliedBefore(s), Trouble: w.memory.trouble[s.spec.Name],
	}
	var err error
	switch s.newest.Status.Phase {
	case v1alpha1.PromotionVerifying:
		f.Artifact = w.artifact(ctx, s)
	case v1alpha1.PromotionGated:
		f.Artifact = w.artifact(ctx, s)
		if f.Artifact.Verified {
			f.Findings, f.GateAt, f.Analyses, f.SampleAt, err = w.gates(ctx, s)
		}
	case v1alpha1.PromotionCanary:
		f.Analyses = s.newest.Status.Analyses
		if w.measurable(s) {
			f.Analyses, f.SampleAt = w.analyses(s, keyedByName(s.spec.Rollout.Analysis), w.model.Namespace)
		}
	}
	return f, err
}

// returns tells whether a version goes back to a stage in which it served before.
func (w *pass) returns(s *stage) bool {
	if s.spec.Rollout.CanaryOnReturn {
		return false
	}
	return slices.ContainsFunc(w.promotions[s.spec.Name], func(p v1alpha1.Promotion) bool {
		return p.Spec.Version == s.newest.Spec.Version && p.Status.Phase == v1alpha1.PromotionSucceeded && p.Status.Digest == s.newest.Status.Digest
	})
}
