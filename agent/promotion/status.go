package promotion

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/serving"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// backoff doubles with every failure in a row.
func backoff(failures int) time.Duration { return min(time.Second<<min(failures, 6), time.Minute) }

// invalid is an error of the spec: it stands until somebody changes that.
type invalid string

func (e invalid) Error() string { return string(e) }

// failed is the Report of a pass that could not go on.
func (w *pass) failed(err error) Report {
	r := Report{Status: *w.model.Status.DeepCopy(), Phase: Failing, Reason: v1alpha1.ApplyFailedReason, Message: err.Error(), Healthy: true, Ended: w.ended, Moved: w.moved, Plan: w.plan, Run: w.run}
	r.unhealthy()
	w.memory.failures++
	r.Again = w.now.Add(backoff(w.memory.failures))
	return r
}

// unhealthy puts into a Report what its status says of the health.
func (r *Report) unhealthy() {
	for _, s := range r.Status.Stages {
		if s.Phase == v1alpha1.StageUnhealthy {
			r.Healthy, r.Unhealthy = false, s.Name+": "+s.Message
		}
	}
}

// report says how the Model is.
func (w *pass) report() Report {
	r := Report{Phase: Ready, Reason: v1alpha1.SucceededReason, Healthy: true, Ended: w.ended, Moved: w.moved, Plan: w.plan, Run: w.run, Again: w.again}
	r.Status = *w.model.Status.DeepCopy()
	r.Status.Means = serving.Means(w.model.Spec.Serving, w.abilities)
	r.Status.Stages = nil
	var summary []string
	for n := range w.stages {
		s := w.statusOf(w.stages[n])
		r.Status.Stages = append(r.Status.Stages, s)
		summary = append(summary, inShort(s))
		if phase, reason := phaseOf(w.stages[n], s); worse(phase, r.Phase) {
			r.Phase, r.Reason, r.Message = phase, reason, s.Name+": "+s.Message
		}
	}
	r.unhealthy()
	r.Status.Summary = strings.Join(summary, ", ")
	r.Message = cmp.Or(r.Message, "Serving: "+r.Status.Summary)
	return r
}

// inShort says what a stage serves in a few words.
func inShort(s v1alpha1.StageStatus) string {
	text := s.Name + " " + cmp.Or(s.Version, "-")
	if s.Candidate != "" && s.Traffic > 0 {
		return fmt.Sprintf("%s (%s at %d %%)", text, s.Candidate, s.Traffic)
	}
	if s.Candidate != "" {
		return fmt.Sprintf("%s (%s %s)", text, s.Candidate, strings.ToLower(string(s.Phase)))
	}
	return text
}

// phaseOf is what a stage means for its Model.
func phaseOf(of stage, s v1alpha1.StageStatus) (Phase, string) {
	switch {
	case of.err != nil && of.failing():
		return Failing, v1alpha1.ApplyFailedReason
	case of.err != nil:
		return Stalled, v1alpha1.InvalidSpecReason
	}
	switch s.Phase {
	case v1alpha1.StageHeld:
		return Stalled, v1alpha1.HeldReason
	case v1alpha1.StageUnhealthy:
		return Failing, v1alpha1.UnhealthyReason
	case v1alpha1.StagePromoting:
		return Progressing, v1alpha1.ProgressingReason
	}
	return Ready, v1alpha1.SucceededReason
}

// worse orders phases by how much they matter to the reader.
func worse(a, b Phase) bool {
	order := map[Phase]int{Ready: 0, Progressing: 1, Stalled: 2, Failing: 3}
	return order[a] > order[b]
}

// statusOf says how a stage is.
func (w *pass) statusOf(s stage) v1alpha1.StageStatus {
	before := s.before
	if s.err != nil {
		return w.statusOfFailed(s)
	}
	now := v1alpha1.StageStatus{Name: s.spec.Name, Namespace: s.namespace, Layout: w.layout, URL: before.URL, Proposed: before.Proposed, Proposal: before.Proposal}
	if w.moves(s) && w.unproven(s) {
		now.Namespace, now.Layout = before.Namespace, before.Layout
	}
	if now.Proposed == s.spec.Version { // it was accepted
		now.Proposed, now.Proposal = "", nil
	}
	if s.proposed != nil {
		now.Proposed, now.Proposal = s.proposed.version, &s.proposed.status
	}
	if s.newest != nil && s.spec.Version != "" {
		now.Version, now.Promotion = s.serves(), s.newest.Name
		if a := s.servesArtifact(); a != nil {
			now.Digest = a.Digest
		}
	}
	if now.Version == "" && s.want.Stable == nil && before.Version != "" && s.spec.Version != "" { // on no record, and there
		now.Version, now.Digest, now.Namespace, now.Layout = before.Version, before.Digest, before.Namespace, before.Layout
		now.Promotion = cmp.Or(now.Promotion, before.Promotion)
	}
	if s.looked && s.state.URL != "" && now.Namespace == s.namespace && now.Layout == w.layout {
		now.URL = s.state.URL
	}
	if now.Version == "" {
		now.URL, now.Layout = "", ""
	}
	unhealthy := ""
	switch {
	case now.Version == "":
	case s.trouble != "":
		unhealthy = s.trouble
	case w.lasts(w.memory.unready, s.spec.Name):
		unhealthy = cmp.Or(s.state.Stable.Message, "it is not ready")
	}
	now.Phase, now.Message = w.phase(s, now, unhealthy)
	if s.newest != nil && s.newest.Spec.Version != now.Version && (!s.newest.Status.Phase.Ended() || s.newest.Status.Phase.Held() && !s.newest.Status.Released) {
		now.Candidate, now.Traffic = s.newest.Spec.Version, s.want.Traffic
	}
	now.Metric = w.metric(now)
	if now.Version != "" && now.Traffic == 0 && !w.lasts(w.memory.down, s.spec.Name) {
		now.Since = before.Since
		if before.Version != now.Version || before.Since == nil || before.Since.After(w.now) {
			now.Since = new(metav1.NewTime(w.now))
		}
	}
	now.Message = short(now.Message)
	return now
}

// statusOfFailed says how a stage is that the pass could not go on with: as it was.
func (w *pass) statusOfFailed(s stage) v1alpha1.StageStatus {
	now := *s.before.DeepCopy()
	now.Name, now.Namespace = s.spec.Name, cmp.Or(now.Namespace, s.namespace)
	now.Message = short(s.err.Error())
	switch {
	case !s.failing():
		now.Phase = v1alpha1.StageHeld
	case now.Phase == "":
		now.Phase = v1alpha1.StagePromoting
	}
	return now
}

// metric shows the key metric of a candidate against that of the version that serves, or of that
// alone.
func (w *pass) metric(s v1alpha1.StageStatus) string {
	value := func(version string) string {
		found, _ := w.versions.find(version)
		if found == nil {
			return ""
		}
		return string(found.Spec.Metrics[w.model.Spec.KeyMetric])
	}
	switch serves, candidate := value(s.Version), value(s.Candidate); {
	case candidate != "" && serves != "":
		return fmt.Sprintf("%s %s (%s %s)", w.model.Spec.KeyMetric, candidate, s.Version, serves)
	case cmp.Or(candidate, serves) != "":
		return w.model.Spec.KeyMetric + " " + cmp.Or(candidate, serves)
	}
	return ""
}

// phase says where a stage stands, and why.
func (w *pass) phase(s stage, now v1alpha1.StageStatus, unhealthy string) (v1alpha1.StagePhase, string) {
	switch {
	case s.early:
		return v1alpha1.StagePromoting, s.problem
	case s.problem != "":
		return v1alpha1.StageHeld, s.problem
	case s.spec.Version == "":
		return v1alpha1.StageEmpty, "no version is asked for"
	case s.newest == nil:
		return v1alpha1.StagePromoting, s.spec.Version + " is new"
	case !s.newest.Status.Phase.Ended():
		return v1alpha1.StagePromoting, cmp.Or(s.newest.Status.Message, s.spec.Version+" is new")
	case s.newest.Status.Phase.Held() && !s.newest.Status.Released:
		return v1alpha1.StageHeld, s.newest.Status.Message
	case now.Version != s.spec.Version: // the next pass asks for it
		return v1alpha1.StagePromoting, s.spec.Version + " is new"
	case unhealthy == "" && w.moves(s) && w.unproven(s):
		return v1alpha1.StagePromoting, fmt.Sprintf("%s serves by %s in %s until it is ready by %s in %s: %s", now.Version, s.before.Layout, s.before.Namespace, w.layout, s.namespace, cmp.Or(s.state.Stable.Message, "it has not been seen yet"))
	case unhealthy != "":
		return v1alpha1.StageUnhealthy, now.Version + " serves, but " + unhealthy
	}
	return v1alpha1.StageServing, now.Version + " serves"
}

// short keeps a message within what the status takes.
func short(message string) string {
	const most = 1000
	if len(message) > most {
		return strings.ToValidUTF8(message[:most], "") + "…"
	}
	return message
}

// setPromotionConditions puts the phase of a Promotion into its conditions.
func setPromotionConditions(p *v1alpha1.Promotion) {
	p.Status.Message = short(p.Status.Message)
	phase := p.Status.Phase
	record.Phase{Name: string(phase), Message: p.Status.Message, Ended: phase.Ended(), Succeeded: phase == v1alpha1.PromotionSucceeded}.Conditions(&p.Status.Conditions, p.Generation)
}
