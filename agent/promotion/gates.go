package promotion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gate"
)

// required are the gates that a version has to pass in a stage: first those of policies, then the
// stage's own. A version that goes back to where it served before has to pass those of policies
// alone: it has passed the others.
func (w *pass) required(s *stage, returns bool) []gate.Required {
	var all []gate.Required
	for _, p := range w.policies {
		if about(p, s.spec.Name) {
			for _, g := range p.Spec.Gates {
				all = append(all, gate.Required{Gate: g, Policy: p.Name})
			}
		}
	}
	if returns {
		return all
	}
	for _, g := range s.spec.Gates {
		all = append(all, gate.Required{Gate: g})
	}
	return all
}

// gates asks the gates of the version that a stage's Promotion is about.
func (w *pass) gates(ctx context.Context, s *stage) (findings []v1alpha1.Finding, again time.Time, analyses []v1alpha1.AnalysisStatus, sample time.Time, err error) {
	if order := w.order(s); order != nil {
		return []v1alpha1.Finding{*order}, time.Time{}, nil, time.Time{}, nil
	}
	required := w.required(s, w.returns(s))
	evidence, err := w.evidence(ctx, s, s.newest.Spec.Version, s.newest.Spec.Revision, required)
	if err != nil {
		return nil, time.Time{}, nil, time.Time{}, err
	}
	evidence.Analyses = map[string]v1alpha1.AnalysisStatus{}
	for n, r := range required {
		if r.Analysis == nil {
			continue
		}
		if before, _ := gate.Check(required[:n], evidence, w.now); notPassed(before) {
			break // measured is what has passed all gates before
		}
		status, due := w.analyses(s, []keyed{{r.Key(), *r.Analysis}}, w.secretsOf(r))
		analyses = append(analyses, status...)
		evidence.Analyses[r.Key()] = status[0]
		if sample.IsZero() || !due.IsZero() && due.Before(sample) {
			sample = due
		}
	}
	findings, again = gate.Check(required, evidence, w.now)
	return findings, again, analyses, sample, nil
}

// secretsOf is the namespace of the Secrets that a gate names.
func (w *pass) secretsOf(r gate.Required) string {
	if r.Policy != "" {
		return w.Namespace
	}
	return w.model.Namespace
}

func notPassed(findings []v1alpha1.Finding) bool {
	for _, f := range findings {
		if f.Result != v1alpha1.FindingPassed {
			return true
		}
	}
	return false
}

// order keeps the stages of a Model in their order: a version that is on its way in an earlier stage
// does not overtake itself, and one that is held there comes no further. A version that goes back
// to where it served before waits for no other stage.
func (w *pass) order(s *stage) *v1alpha1.Finding {
	if w.returns(s) {
		return nil
	}
	for _, earlier := range w.stages {
		p := earlier.newest
		switch {
		case p == nil || p.Spec.Version != s.newest.Spec.Version:
		case !p.Status.Phase.Ended():
			return &v1alpha1.Finding{Gate: "order", Result: v1alpha1.FindingWaiting, Message: fmt.Sprintf("%s is still on its way in %s", p.Spec.Version, earlier.spec.Name)}
		case p.Status.Phase.Held() && !p.Status.Released:
			return &v1alpha1.Finding{Gate: "order", Result: v1alpha1.FindingFailed, Message: fmt.Sprintf("%s is held in %s, and comes no further: name another version there, or change what is asked of it", p.Spec.Version, earlier.spec.Name)}
		}
	}
	return nil
}

// Ahead is what is known to ask the gates of a stage about a version before a commit names it there.
type Ahead struct {
	Model      *v1alpha1.Model
	Namespace  map[string]string // labels of the Model's namespace
	Versions   []v1alpha1.ModelVersion
	Policies   []v1alpha1.PromotionPolicy
	Promotions []v1alpha1.Promotion
}

// Check asks the gates that need neither the commit nor measurements. Those that do are Waiting.
func (a Ahead) Check(stageName, version string, now time.Time) ([]v1alpha1.Finding, error) {
	w := pass{Promoter: &Promoter{}, model: a.Model, now: now, versions: versions{a.Model.Name, a.Versions}, policies: concerning(a.Policies, a.Model.Labels, a.Namespace)}
	for _, spec := range a.Model.Spec.Stages {
		if spec.Name != stageName {
			continue
		}
		s := stage{spec: spec}
		for n, p := range a.Promotions {
			if p.Spec.Stage == stageName && (s.newest == nil || s.newest.Spec.Number < p.Spec.Number) {
				s.newest = &a.Promotions[n]
			}
		}
		required := w.required(&s, a.Returns(spec, version))
		asked, _, err := w.gatesAhead(context.Background(), &s, version, required) // which reads nothing without a commit
		if err != nil {
			return nil, err
		}
		findings := make([]v1alpha1.Finding, 0, len(required))
		for _, r := range required {
			switch {
			case r.Approval != nil:
				findings = append(findings, v1alpha1.Finding{Gate: r.Name, Policy: r.Policy, Result: v1alpha1.FindingWaiting, Message: "people are asked for when a commit names " + version})
			case r.Analysis != nil:
				findings = append(findings, v1alpha1.Finding{Gate: r.Name, Policy: r.Policy, Result: v1alpha1.FindingWaiting, Message: "it is measured when a commit names " + version})
			default:
				findings, asked = append(findings, asked[0]), asked[1:]
			}
		}
		return findings, nil
	}
	return nil, fmt.Errorf("Model %s has no stage %s", a.Model.Name, stageName)
}

// Returns tells whether a version would go back to a stage in which it has served before: it has passed the
// stage's own gates then, and gets all traffic at once.
func (a Ahead) Returns(stage v1alpha1.Stage, version string) bool {
	return !stage.Rollout.CanaryOnReturn && slices.ContainsFunc(a.Promotions, func(p v1alpha1.Promotion) bool {
		return p.Spec.Stage == stage.Name && p.Spec.Version == version && p.Status.Phase == v1alpha1.PromotionSucceeded
	})
}

// gatesAhead asks those of the required gates of a stage about a version before any commit names it there
// that can be asked then: all but approvals, which are of that commit, and analyses, which are made when
// it has come.
func (w *pass) gatesAhead(ctx context.Context, s *stage, version string, required []gate.Required) ([]v1alpha1.Finding, time.Time, error) {
	var ahead []gate.Required
	for _, r := range required {
		if r.Approval == nil && r.Analysis == nil {
			ahead = append(ahead, r)
		}
	}
	evidence, err := w.evidence(ctx, s, version, "", ahead)
	if err != nil {
		return nil, time.Time{}, err
	}
	findings, again := gate.Check(ahead, evidence, w.now)
	return findings, again, nil
}

// evidence is what is known of a version that is to serve in a stage.
func (w *pass) evidence(ctx context.Context, s *stage, version, revision string, required []gate.Required) (gate.Evidence, error) {
	candidate, problem := w.versions.find(version)
	if candidate == nil {
		return gate.Evidence{}, errors.New(problem)
	}
	e := gate.Evidence{Model: w.model.Name, Stage: s.spec.Name, Labels: w.model.Labels, Candidate: gate.VersionOf(candidate),
		Stages: map[string]gate.Serving{}, Approvals: map[string]gate.Approval{}}
	if serves := s.serves(); serves != "" {
		current := gate.Version{Name: serves} // it has no metrics if its ModelVersion is gone
		if found, _ := w.versions.find(serves); found != nil {
			current = gate.VersionOf(found)
		}
		e.Current = &current
	}
	for _, other := range w.model.Spec.Stages {
		serves := w.statusBefore(other.Name)
		e.Stages[other.Name] = gate.Serving{Version: serves.Version}
		if serves.Since != nil {
			e.Stages[other.Name] = gate.Serving{Version: serves.Version, Since: serves.Since.Time}
		}
	}
	if revision == "" {
		return e, nil
	}
	e.Commit = agent.ParseRevision(revision).Commit
	for _, r := range required {
		if r.Approval != nil {
			e.Approvals[r.Key()] = w.approval(ctx, s, version, r)
		}
	}
	return e, nil
}

// approval tells who approves the commit that brought a version to a stage. A Model that somebody has
// changed first, and Git then, is applied once more: that commit counts too.
func (w *pass) approval(ctx context.Context, s *stage, version string, r gate.Required) gate.Approval {
	ask, err := w.asking(ctx, s, version, r)
	if err != nil {
		w.look(w.now.Add(secretRetry))
		return gate.Approval{Reason: err.Error()}
	}
	var found gate.Approval
	for _, revision := range slices.Compact([]string{s.newest.Spec.Revision, w.model.Annotations[v1alpha1.RevisionAnnotation]}) {
		switch said := ask(revision); {
		case said.Reason == "" && w.approvedBefore(*s, version, revision):
			return gate.Approval{Commit: said.Commit, Reason: "it has brought " + version + " here before, and approves nothing twice"}
		case said.Reason == "":
			if r.Approval.Reviews != nil {
				w.look(w.now.Add(approvalRetry)) // people may approve, or take it back
			}
			return said
		case found.Reason == "":
			found = said
		}
	}
	w.look(w.now.Add(approvalRetry))
	return found
}

// asking is how to ask, for a revision, who approves by the means of a gate.
func (w *pass) asking(ctx context.Context, s *stage, version string, r gate.Required) (func(revision string) gate.Approval, error) {
	switch a := r.Approval; {
	case gate.Validate(r.Gate) != nil: // its finding says what is wrong with it
		return func(string) gate.Approval { return gate.Approval{} }, nil
	case a.Reviews != nil:
		return func(revision string) gate.Approval {
			return w.Git.Reviewers(ctx, w.model, revision, s.spec.Name, version, *a.Reviews)
		}, nil
	default:
		keys, err := w.secret(ctx, w.secretsOf(r), a.KeysSecretRef.Name)
		return func(revision string) gate.Approval {
			return w.Git.Signers(ctx, w.model, revision, s.spec.Name, version, keys)
		}, err
	}
}

// approvalRetry is the pause after which approvals are looked at again. Those of reviews are for as long
// as the Promotion waits at its gates, also of one that were enough: it counts what people say now.
const approvalRetry = time.Minute

// approvedBefore tells whether a version came to a stage by the same revision before.
func (w *pass) approvedBefore(s stage, version, revision string) bool {
	return slices.ContainsFunc(w.promotions[s.spec.Name], func(p v1alpha1.Promotion) bool {
		return p.Spec.Number < s.newest.Spec.Number && p.Spec.Version == version && p.Spec.Revision == revision && p.Status.Phase == v1alpha1.PromotionSucceeded && p.Spec.Request != restored
	})
}
