package promotion

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// proposed is a version that was proposed for a stage.
type proposed struct {
	version string
	status  v1alpha1.ProposalStatus
}

// propose writes to branches of Git what a person is to decide next.
func (w *pass) propose(ctx context.Context) {
	for n := range w.stages {
		s := &w.stages[n]
		switch {
		case s.err != nil:
			continue
		case s.newest == nil:
		case s.newest.Status.Phase == v1alpha1.PromotionRolledBack && !s.newest.Status.Released:
			w.proposeRevert(ctx, s)
		}
		if from := s.spec.PromoteFrom; from != "" {
			w.proposeNext(ctx, s, from)
		}
		if s.proposed == nil {
			w.judge(ctx, s)
		}
	}
}

// proposeRevert proposes to name in Git what serves after a rollback.
func (w *pass) proposeRevert(ctx context.Context, s *stage) {
	p := s.newest
	if p.Status.Proposal != nil && p.Status.Proposal.Commit != "" || p.Spec.Revision == "" {
		return // it was proposed; or the Model does not come from Git
	}
	made, again, err := w.Proposals.ask(w.model, Proposal{
		Promotion: p.Name, Stage: s.spec.Name, Version: p.Spec.From, Reverts: p.Spec.Version,
		Evidence: []string{p.Status.Message, fmt.Sprintf("%s serves %s, and Git says %s: with this commit Git says what serves", s.spec.Name, p.Spec.From, p.Spec.Version)},
	})
	w.look(again)
	if made == nil {
		return
	}
	if err != nil {
		made.Message = short("the revert cannot be proposed: " + err.Error())
	}
	status := *p.Status.DeepCopy()
	status.Proposal = made
	if err := w.write(ctx, s, status); err != nil {
		w.look(w.now.Add(backoff(0)))
	}
}

// proposeNext proposes for a stage what serves in an earlier one, once it passes the gates that do
// not need the commit that is proposed.
func (w *pass) proposeNext(ctx context.Context, s *stage, from string) {
	n := slices.IndexFunc(w.stages, func(o stage) bool { return o.spec.Name == from })
	if n < 0 || w.model.Annotations[v1alpha1.RevisionAnnotation] == "" {
		return
	}
	earlier := w.stages[n]
	version := earlier.serves()
	if version == "" || version != earlier.spec.Version || version == s.spec.Version || earlier.newest.Status.Phase != v1alpha1.PromotionSucceeded {
		return
	}
	before := w.statusBefore(s.spec.Name)
	if before.Proposed == version && before.Proposal != nil && before.Proposal.Commit != "" {
		return
	}
	if slices.ContainsFunc(w.promotions[s.spec.Name], func(p v1alpha1.Promotion) bool { return p.Spec.Version == version }) {
		return // it was tried there
	}
	findings, again, err := w.gatesAhead(ctx, s, version, w.required(s, false))
	w.look(again)
	if err != nil || notPassed(findings) {
		return
	}
	made, again, err := w.Proposals.ask(w.model, Proposal{
		Promotion: earlier.newest.Name, Stage: s.spec.Name, Version: version, Evidence: w.evidenceLines(s, version, findings),
	})
	w.look(again)
	if made == nil {
		return
	}
	if err != nil {
		made.Message = short(fmt.Sprintf("%s cannot be proposed: %s", version, err))
	} else {
		made.Findings = bounded(findings)
	}
	s.proposed = &proposed{version, *made}
}

// judge asks the gates again about a version that is proposed and not accepted: what held when it was
// proposed need not hold any more, and people are about to merge it.
func (w *pass) judge(ctx context.Context, s *stage) {
	version, open := s.before.Proposed, s.before.Proposal
	if open == nil || open.Commit == "" || version == s.spec.Version {
		return
	}
	var findings []v1alpha1.Finding
	if found, problem := w.versions.find(version); found == nil {
		findings = failed("version", "%s", problem)
	} else {
		asked, again, err := w.gatesAhead(ctx, s, version, w.required(s, false))
		if err != nil {
			return // only for the want of a ModelVersion
		}
		w.look(again)
		findings = append(w.stillServed(s, version), asked...)
	}
	if findings = bounded(findings); alike(findings, open.Findings) {
		return
	}
	status := *open.DeepCopy()
	status.Findings = findings
	s.proposed = &proposed{version, status}
}

// stillServed is what there is to say if a version that was proposed does not serve any more in the stage
// that it comes from.
func (w *pass) stillServed(s *stage, version string) []v1alpha1.Finding {
	n := slices.IndexFunc(w.stages, func(o stage) bool { return o.spec.Name == s.spec.PromoteFrom })
	if n < 0 {
		return nil
	}
	earlier := w.stages[n]
	switch serves := earlier.serves(); {
	case earlier.newest != nil && earlier.newest.Spec.Version == version && earlier.newest.Status.Phase.Held():
		return failed("order", "%s was turned back in %s: %s", version, earlier.spec.Name, earlier.newest.Status.Message)
	case serves == "":
		return failed("order", "%s does not serve in %s any more: nothing does", version, earlier.spec.Name)
	case serves != version:
		return failed("order", "%s does not serve in %s any more: %s does", version, earlier.spec.Name, serves)
	}
	return nil
}

func failed(gate, format string, args ...any) []v1alpha1.Finding {
	return []v1alpha1.Finding{{Gate: gate, Result: v1alpha1.FindingFailed, Message: short(fmt.Sprintf(format, args...))}}
}

// mostFindings is how many of a proposal are kept.
const mostFindings = 64

// bounded keeps what the status of a proposal takes: those that were not passed before those that were.
func bounded(findings []v1alpha1.Finding) []v1alpha1.Finding {
	if len(findings) <= mostFindings {
		return findings
	}
	kept := slices.Clone(findings)
	slices.SortStableFunc(kept, func(a, b v1alpha1.Finding) int { return passes(a) - passes(b) })
	return kept[:mostFindings]
}

func passes(f v1alpha1.Finding) int {
	if f.Result == v1alpha1.FindingPassed {
		return 1
	}
	return 0
}

// alike tells whether findings say the same but for how much time has gone by, for which alone no status
// is written.
func alike(a, b []v1alpha1.Finding) bool {
	return slices.EqualFunc(a, b, func(a, b v1alpha1.Finding) bool {
		a.Message, b.Message = times.ReplaceAllString(a.Message, "…"), times.ReplaceAllString(b.Message, "…")
		return a == b
	})
}

// times are spans of time and times in messages of gates.
var times = regexp.MustCompile(`([0-9]+(ms|d|h|m|s))+\b|[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}(:[0-9]{2})?)?`)

// statusBefore is the status of a stage as it is on record.
func (w *pass) statusBefore(stage string) v1alpha1.StageStatus {
	for _, s := range w.model.Status.Stages {
		if s.Name == stage {
			return s
		}
	}
	return v1alpha1.StageStatus{}
}

// evidenceLines tell people why a version is proposed.
func (w *pass) evidenceLines(s *stage, version string, findings []v1alpha1.Finding) []string {
	lines := []string{}
	candidate, _ := w.versions.find(version)
	current, _ := w.versions.find(s.serves())
	if candidate != nil {
		for _, name := range slices.Sorted(maps.Keys(candidate.Spec.Metrics)) {
			line := fmt.Sprintf("%s: %s", name, candidate.Spec.Metrics[name])
			if current != nil && current.Spec.Metrics[name] != "" {
				line += fmt.Sprintf(" (%s has %s)", current.Spec.Version, current.Spec.Metrics[name])
			}
			lines = append(lines, line)
		}
		if run := candidate.Spec.Lineage.Run; run != "" {
			lines = append(lines, "run: "+run)
		}
		if data := candidate.Spec.Lineage.Dataset; data != "" {
			lines = append(lines, "dataset: "+data)
		}
		if digest := artifactOf(candidate).Digest; digest != "" {
			lines = append(lines, "artifact: "+digest)
		}
	}
	for _, f := range findings {
		lines = append(lines, fmt.Sprintf("gate %s: %s", f.Gate, f.Message))
	}
	return lines
}
