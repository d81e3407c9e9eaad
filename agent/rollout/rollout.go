package rollout

import (
	"cmp"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/serving"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Facts is everything that the next transition of a Promotion depends on.
type Facts struct {
	Now       time.Time
	Promotion v1alpha1.Promotion
	// Rollout of the stage.
	Rollout v1alpha1.Rollout
	// Splits: traffic can be shared between two versions. Where it cannot, the steps are one with
	// all of it, which is looked at as they would be, while the version before still runs.
	Splits bool
	// Return: the version served in the stage before, and goes back without gates and canary.
	Return bool

	// Artifact is what was found of the version's artifact.
	Artifact Artifact
	// Findings of the gates, and when they may change by time alone; zero if they do not.
	Findings []v1alpha1.Finding
	GateAt   time.Time
	// Analyses of the gates, or of the present step, with the samples taken so far, and when the
	// next sample is due.
	Analyses []v1alpha1.AnalysisStatus
	SampleAt time.Time

	// Serving is how what serves is. It is looked at from the phase Preparing on.
	Serving serving.State
	// Applied: what the present status asks for is applied. Until it is, nothing is waited for.
	Applied bool
	// Trouble says what stands against applying it; empty for nothing.
	Trouble string
}

// Artifact is what was found of an artifact.
type Artifact struct {
	// Verified: it is what the ModelVersion says, or of a kind that is not verified.
	Verified bool
	// Digest that was found; empty where it is not verified.
	Digest string
	// Message says what is wrong, or what is waited for, if it is not Verified.
	Message string
}

// Next returns the status that is to be on record after one transition, and when to look again
// though nothing happens; the zero time for never. A status that is the same as before means that
// there is none now.
func Next(f Facts) (v1alpha1.PromotionStatus, time.Time) {
	s := *f.Promotion.Status.DeepCopy()
	s.PhaseSince, s.UnreadySince = past(s.PhaseSince, f.Now), past(s.UnreadySince, f.Now)
	switch s.Phase {
	case "":
		return enter(s, v1alpha1.PromotionVerifying, "looking at the artifact", f.Now), time.Time{}
	case v1alpha1.PromotionVerifying:
		return verifying(f, s), time.Time{}
	case v1alpha1.PromotionGated:
		return gated(f, s)
	case v1alpha1.PromotionPreparing:
		return preparing(f, s)
	case v1alpha1.PromotionCanary:
		return canary(f, s)
	case v1alpha1.PromotionShifting:
		return shifting(f, s)
	case v1alpha1.PromotionCompleting:
		return completing(f, s)
	}
	return s, time.Time{}
}

// past is a time that was noted. One that is to come was noted before the clock was put back, or by a
// replica whose clock is ahead: what lasts from then on begins anew, and does not take longer for it.
func past(at *metav1.MicroTime, now time.Time) *metav1.MicroTime {
	if at != nil && at.After(now) {
		return new(metav1.NewMicroTime(now))
	}
	return at
}

// Want is which version is to have the traffic, and which one is beside it, as a status says.
type Want struct {
	// Stable has the traffic that the candidate has not, or is the version that served before.
	Stable string
	// Candidate is brought up or has a part of the traffic; empty for none.
	Candidate string
	// Traffic of the candidate in percent.
	Traffic int32
	// Retiring drains; empty for none.
	Retiring string
}

// WantOf says what a stage is to serve for a Promotion, which must be the newest of the stage.
func WantOf(p v1alpha1.Promotion) Want {
	version, from := p.Spec.Version, p.Spec.From
	if p.Status.Withdrawn {
		return Want{}
	}
	switch p.Status.Phase {
	case v1alpha1.PromotionPreparing, v1alpha1.PromotionCanary, v1alpha1.PromotionShifting:
		return Want{Stable: from, Candidate: version, Traffic: p.Status.Traffic}
	case v1alpha1.PromotionCompleting:
		return Want{Stable: version, Retiring: from}
	case v1alpha1.PromotionSucceeded:
		return Want{Stable: version}
	case v1alpha1.PromotionFailed:
		if p.Status.Traffic > 0 && !p.Status.Released { // onFailure: Hold
			return Want{Stable: from, Candidate: version, Traffic: p.Status.Traffic}
		}
	}
	return Want{Stable: from}
}

// Draining is the version that has lost its traffic by an attempt and still runs, and until when; empty
// for none.
func Draining(p v1alpha1.Promotion, now time.Time) (version string, until time.Time) {
	if p.Status.DrainUntil == nil || !now.Before(p.Status.DrainUntil.Time) || p.Status.Withdrawn {
		return "", time.Time{}
	}
	switch p.Status.Phase {
	case v1alpha1.PromotionRolledBack, v1alpha1.PromotionSuperseded:
		return p.Spec.Version, p.Status.DrainUntil.Time
	case v1alpha1.PromotionSucceeded:
		return p.Spec.From, p.Status.DrainUntil.Time
	}
	return "", time.Time{}
}

// Supersede ends an attempt because something else is asked for. One whose version has all traffic has
// succeeded; what it took the traffic from drains on.
func Supersede(p v1alpha1.Promotion, r v1alpha1.Rollout, by string, now time.Time) v1alpha1.PromotionStatus {
	s := *p.Status.DeepCopy()
	if s.Phase == v1alpha1.PromotionCompleting {
		s.DrainUntil = new(metav1.NewMicroTime(since(s).Add(r.Drain.Duration)))
		return Succeed(s, p.Spec.Version+" has all traffic, and is "+by, now)
	}
	if s.Traffic > 0 {
		s.DrainUntil = new(metav1.NewMicroTime(now.Add(r.Drain.Duration)))
	}
	s.Traffic = 0
	return end(s, v1alpha1.PromotionSuperseded, by, now)
}

// Succeed ends an attempt whose version has all traffic.
func Succeed(s v1alpha1.PromotionStatus, message string, now time.Time) v1alpha1.PromotionStatus {
	return end(*s.DeepCopy(), v1alpha1.PromotionSucceeded, message, now)
}

func verifying(f Facts, s v1alpha1.PromotionStatus) v1alpha1.PromotionStatus {
	if !f.Artifact.Verified {
		s.Message = f.Artifact.Message
		return s
	}
	s.Digest = f.Artifact.Digest
	return enter(s, v1alpha1.PromotionGated, "asking the gates", f.Now)
}

func gated(f Facts, s v1alpha1.PromotionStatus) (v1alpha1.PromotionStatus, time.Time) {
	if !f.Artifact.Verified { // it changed while a gate was waited for, or is looked at again
		s.Message = f.Artifact.Message
		return s, time.Time{}
	}
	s.Findings, s.Analyses = f.Findings, f.Analyses
	if held := firstNotPassed(f.Findings); held != nil {
		s.Message = fmt.Sprintf("gate %s: %s", held.Gate, held.Message)
		return s, sooner(f.GateAt, f.SampleAt)
	}
	s.Analyses = nil
	return enter(s, v1alpha1.PromotionPreparing, f.Promotion.Spec.Version+" is being brought up", f.Now), time.Time{}
}

func firstNotPassed(findings []v1alpha1.Finding) *v1alpha1.Finding {
	for n := range findings {
		if findings[n].Result != v1alpha1.FindingPassed {
			return &findings[n]
		}
	}
	return nil
}

func preparing(f Facts, s v1alpha1.PromotionStatus) (v1alpha1.PromotionStatus, time.Time) {
	version, candidate := f.Promotion.Spec.Version, f.Serving.Candidate
	if f.Applied && candidate.Ready {
		if steps(f) == nil {
			return shift(f, s), time.Time{}
		}
		return step(f, s, 0), time.Time{}
	}
	limit := since(s).Add(readyTimeout(f.Rollout))
	late := overdue(f, limit)
	broken, settled := fails(f, s)
	switch {
	case broken && f.Promotion.Spec.From != "":
		return end(s, v1alpha1.PromotionFailed, fmt.Sprintf("%s cannot serve: %s", version, candidate.Message), f.Now), time.Time{}
	case late && f.Promotion.Spec.From != "":
		return end(s, v1alpha1.PromotionFailed, fmt.Sprintf("%s did not become ready within %s: %s", version, readyTimeout(f.Rollout), why(f, candidate)), f.Now), time.Time{}
	case broken || late:
		s.Message = fmt.Sprintf("%s is not ready, and nothing else serves: %s", version, why(f, candidate))
		return s, time.Time{}
	}
	s.Message = fmt.Sprintf("%s is being brought up: %s", version, why(f, candidate))
	return s, sooner(limit, settled)
}

// fails tells whether the candidate has failed for good, or when that can be told.
func fails(f Facts, s v1alpha1.PromotionStatus) (broken bool, settled time.Time) {
	if !f.Applied || !f.Serving.Candidate.Failed {
		return false, time.Time{}
	}
	settled = since(s).Add(serving.Settle)
	return !f.Now.Before(settled), settled
}

// overdue tells whether what is waited for has not come by its limit. As long as nothing was applied
// and nothing stands against it, as after a restart, it is not known whether it has.
func overdue(f Facts, limit time.Time) bool {
	return !f.Now.Before(limit) && (f.Applied || f.Trouble != "")
}

// why says what a version waits for.
func why(f Facts, r serving.Readiness) string {
	return cmp.Or(f.Trouble, r.Message, "it has not been seen yet")
}

func canary(f Facts, s v1alpha1.PromotionStatus) (v1alpha1.PromotionStatus, time.Time) {
	s.Analyses = f.Analyses
	version, all := f.Promotion.Spec.Version, steps(f)
	switch {
	case len(all) == 0: // cannot be, for another rollout is another attempt
		return shift(f, s), time.Time{}
	case int(s.Step) >= len(all) || s.Traffic != all[s.Step].Traffic: // whether traffic can be shared has changed
		return step(f, s, 0), time.Time{}
	}
	if failed := firstFailed(f.Analyses); failed != nil {
		return turnBack(f, s, fmt.Sprintf("%s failed at %d %%: analysis %s: %s", version, s.Traffic, failed.Name, failed.Message)), time.Time{}
	}
	broken, settled := fails(f, s)
	if broken {
		return turnBack(f, s, fmt.Sprintf("%s failed at %d %%: %s", version, s.Traffic, f.Serving.Candidate.Message)), time.Time{}
	}
	held := since(s).Add(all[s.Step].Hold.Duration)
	ready := f.Applied && f.Serving.Candidate.Ready && f.Serving.Traffic == s.Traffic
	if ready {
		s.UnreadySince = nil
	} else if s.UnreadySince == nil {
		s.UnreadySince = new(metav1.NewMicroTime(f.Now))
	}
	switch limit := unready(s).Add(readyTimeout(f.Rollout)); {
	case ready && !f.Now.Before(held) && passed(f.Analyses):
		if int(s.Step)+1 < len(all) {
			return step(f, s, s.Step+1), time.Time{}
		}
		return shift(f, s), time.Time{}
	case !ready && overdue(f, limit):
		return turnBack(f, s, fmt.Sprintf("%s has not been ready with %d %% of the traffic for %s: %s", version, s.Traffic, readyTimeout(f.Rollout), why(f, f.Serving.Candidate))), time.Time{}
	case !ready:
		s.Message = fmt.Sprintf("%s is to have %d %%: %s", version, s.Traffic, why(f, f.Serving.Candidate))
		return s, sooner(sooner(limit, settled), f.SampleAt)
	case f.Now.Before(held):
		s.Message = fmt.Sprintf("%s has %d %% of the traffic (step %d of %d), at least until %s%s", version, s.Traffic, s.Step+1, len(all), held.UTC().Format("15:04:05 MST"), analyses(f.Analyses))
		return s, sooner(held, f.SampleAt)
	}
	s.Message = fmt.Sprintf("%s has %d %% of the traffic (step %d of %d) until its analyses have passed%s", version, s.Traffic, s.Step+1, len(all), analyses(f.Analyses))
	return s, f.SampleAt
}

// analyses says how the analyses are.
func analyses(all []v1alpha1.AnalysisStatus) string {
	text := ""
	for _, a := range all {
		if a.Message != "" {
			text += "; " + a.Name + ": " + a.Message
		}
	}
	return text
}

func firstFailed(all []v1alpha1.AnalysisStatus) *v1alpha1.AnalysisStatus {
	for n := range all {
		if all[n].Result == v1alpha1.AnalysisFailed {
			return &all[n]
		}
	}
	return nil
}

func passed(all []v1alpha1.AnalysisStatus) bool {
	for _, a := range all {
		if a.Result != v1alpha1.AnalysisPassed {
			return false
		}
	}
	return true
}

// turnBack ends an attempt that had traffic.
func turnBack(f Facts, s v1alpha1.PromotionStatus, message string) v1alpha1.PromotionStatus {
	if f.Rollout.OnFailure == v1alpha1.OnFailureHold {
		return end(s, v1alpha1.PromotionFailed, fmt.Sprintf("%s; it keeps its traffic, for onFailure is Hold", message), f.Now)
	}
	s.Traffic, s.DrainUntil = 0, new(metav1.NewMicroTime(f.Now.Add(f.Rollout.Drain.Duration)))
	return end(s, v1alpha1.PromotionRolledBack, fmt.Sprintf("%s; all traffic is back on %s", message, f.Promotion.Spec.From), f.Now)
}

// shifting gives the version all traffic while the one before still runs.
func shifting(f Facts, s v1alpha1.PromotionStatus) (v1alpha1.PromotionStatus, time.Time) {
	version, limit := f.Promotion.Spec.Version, since(s).Add(readyTimeout(f.Rollout))
	broken, settled := fails(f, s)
	switch first := f.Promotion.Spec.From == ""; {
	case f.Applied && f.Serving.Candidate.Ready && f.Serving.Traffic == 100:
		return enter(s, v1alpha1.PromotionCompleting, version+" has all traffic", f.Now), time.Time{}
	case !first && (broken || overdue(f, limit)):
		return turnBack(f, s, fmt.Sprintf("%s did not come to serve with all traffic: %s", version, why(f, f.Serving.Candidate))), time.Time{}
	}
	s.Message = fmt.Sprintf("%s gets all traffic: %s", version, why(f, f.Serving.Candidate))
	return s, sooner(limit, settled)
}

func completing(f Facts, s v1alpha1.PromotionStatus) (v1alpha1.PromotionStatus, time.Time) {
	version, from := f.Promotion.Spec.Version, f.Promotion.Spec.From
	drained := since(s).Add(f.Rollout.Drain.Duration)
	switch ready := f.Applied && f.Serving.Stable.Ready; {
	case ready && (from == "" || !f.Now.Before(drained)):
		return end(s, v1alpha1.PromotionSucceeded, version+" serves", f.Now), time.Time{}
	case ready:
		s.Message = fmt.Sprintf("%s has all traffic; %s ends at %s", version, from, drained.UTC().Format("15:04:05 MST"))
		return s, drained
	}
	s.Message = fmt.Sprintf("%s has all traffic and is not ready: %s", version, why(f, f.Serving.Stable))
	return s, time.Time{}
}

// steps are the canary steps that the attempt goes through; nil for none.
func steps(f Facts) []v1alpha1.CanaryStep {
	all := f.Rollout.Canary
	if f.Return || f.Promotion.Spec.From == "" || len(all) == 0 {
		return nil
	}
	if !f.Splits {
		return []v1alpha1.CanaryStep{{Traffic: 100, Hold: all[len(all)-1].Hold}}
	}
	return all
}

// step begins a canary step.
func step(f Facts, s v1alpha1.PromotionStatus, n int32) v1alpha1.PromotionStatus {
	s.Step, s.Traffic = n, steps(f)[n].Traffic
	s.Analyses = nil
	live(&s, f.Now)
	s = enter(s, v1alpha1.PromotionCanary, fmt.Sprintf("%s gets %d %% of the traffic (step %d of %d)", f.Promotion.Spec.Version, s.Traffic, n+1, len(steps(f))), f.Now)
	s.UnreadySince = s.PhaseSince
	return s
}

// shift gives the version all traffic.
func shift(f Facts, s v1alpha1.PromotionStatus) v1alpha1.PromotionStatus {
	s.Traffic = 100
	s.Analyses = nil
	live(&s, f.Now)
	return enter(s, v1alpha1.PromotionShifting, f.Promotion.Spec.Version+" gets all traffic", f.Now)
}

func live(s *v1alpha1.PromotionStatus, now time.Time) {
	if s.LiveAt == nil {
		s.LiveAt = new(metav1.NewMicroTime(now))
	}
}

func enter(s v1alpha1.PromotionStatus, phase v1alpha1.PromotionPhase, message string, now time.Time) v1alpha1.PromotionStatus {
	s.Phase, s.Message, s.PhaseSince, s.UnreadySince = phase, message, new(metav1.NewMicroTime(now)), nil
	return s
}

func end(s v1alpha1.PromotionStatus, phase v1alpha1.PromotionPhase, message string, now time.Time) v1alpha1.PromotionStatus {
	s = enter(s, phase, message, now)
	s.EndedAt = s.PhaseSince
	return s
}

func since(s v1alpha1.PromotionStatus) time.Time {
	if s.PhaseSince == nil {
		return time.Time{}
	}
	return s.PhaseSince.Time
}

// unready is since when the version has not been ready in its step.
func unready(s v1alpha1.PromotionStatus) time.Time {
	if s.UnreadySince == nil {
		return since(s)
	}
	return s.UnreadySince.Time
}

// defaultReadyTimeout is that of a Rollout which says none, as the CRD does.
const defaultReadyTimeout = 10 * time.Minute

func readyTimeout(r v1alpha1.Rollout) time.Duration {
	return cmp.Or(r.ReadyTimeout.Duration, defaultReadyTimeout)
}

// sooner returns the earlier of two times that are set.
func sooner(a, b time.Time) time.Time {
	switch {
	case a.IsZero():
		return b
	case b.IsZero() || a.Before(b):
		return a
	}
	return b
}
