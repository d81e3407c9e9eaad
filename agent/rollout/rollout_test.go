package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/rollout"
	"github.com/sluice-dev/sluice/agent/serving"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// facts are those of v8 on its way to production, where v7 serves, with nothing against it.
func facts(phase v1alpha1.PromotionPhase) rollout.Facts {
	f := rollout.Facts{
		Now: start.Add(time.Minute),
		Promotion: v1alpha1.Promotion{
			Spec:   v1alpha1.PromotionSpec{Model: "fraud", Stage: "production", Version: "v8", From: "v7"},
			Status: v1alpha1.PromotionStatus{Phase: phase, PhaseSince: new(metav1.NewMicroTime(start))},
		},
		Rollout: v1alpha1.Rollout{
			Canary: []v1alpha1.CanaryStep{{Traffic: 10, Hold: hold(5 * time.Minute)}, {Traffic: 50, Hold: hold(10 * time.Minute)}},
			Drain:  hold(30 * time.Second), ReadyTimeout: hold(10 * time.Minute),
		},
		Splits:   true,
		Artifact: rollout.Artifact{Verified: true, Digest: "sha256:8"},
		Findings: []v1alpha1.Finding{{Gate: "not-worse", Result: v1alpha1.FindingPassed}},
		Applied:  true,
		Serving:  serving.State{Stable: serving.Readiness{Ready: true}, Candidate: serving.Readiness{Ready: true}},
	}
	if phase == v1alpha1.PromotionCanary {
		f.Promotion.Status.Traffic, f.Serving.Traffic = 10, 10
	}
	return f
}

func hold(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func TestNext(t *testing.T) {
	running := []v1alpha1.AnalysisStatus{{Name: "errors", Result: v1alpha1.AnalysisRunning}}
	failed := []v1alpha1.AnalysisStatus{{Name: "errors", Result: v1alpha1.AnalysisFailed, Message: "it is 0.034, at most 0.01 is allowed"}}
	passed := []v1alpha1.AnalysisStatus{{Name: "errors", Result: v1alpha1.AnalysisPassed}}
	for _, c := range []struct {
		name   string
		phase  v1alpha1.PromotionPhase
		change func(*rollout.Facts)
		want   string // phase traffic step: message
		again  time.Duration
	}{
		{"begin", "", nil, "Verifying 0 0: looking at the artifact", 0},
		{"the artifact is as it should be", v1alpha1.PromotionVerifying, nil, "Gated 0 0: asking the gates", 0},
		{"the artifact was changed", v1alpha1.PromotionVerifying, func(f *rollout.Facts) { f.Artifact = rollout.Artifact{Message: "s3://m/v8 was changed"} },
			"Verifying 0 0: s3://m/v8 was changed", 0},
		{"gates passed", v1alpha1.PromotionGated, nil, "Preparing 0 0: v8 is being brought up", 0},
		{"a gate waits", v1alpha1.PromotionGated, func(f *rollout.Facts) {
			f.Findings = append(f.Findings, v1alpha1.Finding{Gate: "soaked", Result: v1alpha1.FindingWaiting, Message: "v8 has served in staging for 12m of 30m"})
			f.GateAt, f.SampleAt = start.Add(18*time.Minute), start.Add(20*time.Minute)
		}, "Gated 0 0: gate soaked: v8 has served in staging for 12m of 30m", 18 * time.Minute},
		{"the artifact changes while a gate waits", v1alpha1.PromotionGated, func(f *rollout.Facts) { f.Artifact = rollout.Artifact{Message: "s3://m/v8 was changed"} },
			"Gated 0 0: s3://m/v8 was changed", 0},
		{"the agent was away for longer than it waits", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Applied, f.Now = false, start.Add(time.Hour) },
			"Preparing 0 0: v8 is being brought up: it has not been seen yet", 10 * time.Minute},
		{"the agent was away in a step", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Applied, f.Now = false, start.Add(time.Hour) },
			"Canary 10 0: v8 is to have 10 %: it has not been seen yet", 70 * time.Minute},
		{"the agent was away while all traffic went over", v1alpha1.PromotionShifting, func(f *rollout.Facts) { f.Applied, f.Now = false, start.Add(time.Hour) },
			"Shifting 0 0: v8 gets all traffic: it has not been seen yet", 10 * time.Minute},
		{"it cannot be applied for too long", v1alpha1.PromotionPreparing, func(f *rollout.Facts) {
			f.Applied, f.Trouble, f.Now = false, "namespace fraud is not there", start.Add(10*time.Minute)
		}, "Failed 0 0: v8 did not become ready within 10m0s: namespace fraud is not there", 0},
		{"traffic cannot be shared any more", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Splits, f.Promotion.Status.Step, f.Promotion.Status.Traffic = false, 1, 50
		}, "Canary 100 0: v8 gets 100 % of the traffic (step 1 of 1)", 0},
		{"traffic can be shared now", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Promotion.Status.Traffic, f.Serving.Traffic = 100, 100 },
			"Canary 10 0: v8 gets 10 % of the traffic (step 1 of 2)", 0},
		{"not seen yet", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Serving = serving.State{} },
			"Preparing 0 0: v8 is being brought up: it has not been seen yet", 10 * time.Minute},
		{"not applied: what was ready before says nothing", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Applied, f.Trouble = false, "namespace fraud is not there" },
			"Preparing 0 0: v8 is being brought up: namespace fraud is not there", 10 * time.Minute},
		{"it does not get ready", v1alpha1.PromotionPreparing, func(f *rollout.Facts) {
			f.Serving.Candidate = serving.Readiness{Message: "0 of 2 replicas are ready"}
			f.Now = start.Add(10 * time.Minute)
		}, "Failed 0 0: v8 did not become ready within 10m0s: 0 of 2 replicas are ready", 0},
		{"it cannot load", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Serving.Candidate = serving.Readiness{Failed: true, Message: "no such file"} },
			"Failed 0 0: v8 cannot serve: no such file", 0},
		{"ready", v1alpha1.PromotionPreparing, nil, "Canary 10 0: v8 gets 10 % of the traffic (step 1 of 2)", 0},
		{"ready, and nothing served before", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Promotion.Spec.From = "" }, "Shifting 100 0: v8 gets all traffic", 0},
		{"ready, and it served before", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Return = true }, "Shifting 100 0: v8 gets all traffic", 0},
		{"ready, no canary", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Rollout.Canary = nil }, "Shifting 100 0: v8 gets all traffic", 0},
		{"ready, traffic cannot be shared", v1alpha1.PromotionPreparing, func(f *rollout.Facts) { f.Splits = false }, "Canary 100 0: v8 gets 100 % of the traffic (step 1 of 1)", 0},
		{"a step holds", v1alpha1.PromotionCanary, nil, "Canary 10 0: v8 has 10 % of the traffic (step 1 of 2), at least until 09:05:00 UTC", 5 * time.Minute},
		{"a sample is due before", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Analyses, f.SampleAt = running, start.Add(2*time.Minute) },
			"Canary 10 0: v8 has 10 % of the traffic (step 1 of 2), at least until 09:05:00 UTC", 2 * time.Minute},
		{"the traffic has not come", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Serving.Traffic, f.Serving.Candidate.Message = 0, "its route is not programmed"
			f.Promotion.Status.UnreadySince = f.Promotion.Status.PhaseSince
			f.Now = start.Add(6 * time.Minute)
		}, "Canary 10 0: v8 is to have 10 %: its route is not programmed", 10 * time.Minute},
		{"the traffic never comes", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Serving.Traffic, f.Serving.Candidate.Message = 0, "its route is not programmed"
			f.Promotion.Status.UnreadySince = f.Promotion.Status.PhaseSince
			f.Now = start.Add(10 * time.Minute)
		}, "RolledBack 0 0: v8 has not been ready with 10 % of the traffic for 10m0s: its route is not programmed; all traffic is back on v7", 0},
		{"a moment of a long step says nothing", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Serving.Candidate = serving.Readiness{Message: "1 of 2 replicas are ready"}
			f.Analyses, f.Now = running, start.Add(2*time.Hour)
		}, "Canary 10 0: v8 is to have 10 %: 1 of 2 replicas are ready", 130 * time.Minute},
		{"held long enough, an analysis goes on", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Analyses, f.SampleAt, f.Now = running, start.Add(6*time.Minute), start.Add(5*time.Minute)
		}, "Canary 10 0: v8 has 10 % of the traffic (step 1 of 2) until its analyses have passed", 6 * time.Minute},
		{"next step", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Analyses, f.Now = passed, start.Add(5*time.Minute) },
			"Canary 50 1: v8 gets 50 % of the traffic (step 2 of 2)", 0},
		{"last step done", v1alpha1.PromotionCanary, func(f *rollout.Facts) {
			f.Promotion.Status.Step, f.Promotion.Status.Traffic, f.Serving.Traffic, f.Now = 1, 50, 50, start.Add(10*time.Minute)
		}, "Shifting 100 1: v8 gets all traffic", 0},
		{"an analysis fails", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Analyses = failed },
			"RolledBack 0 0: v8 failed at 10 %: analysis errors: it is 0.034, at most 0.01 is allowed; all traffic is back on v7", 0},
		{"an analysis fails, hold", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Analyses, f.Rollout.OnFailure = failed, v1alpha1.OnFailureHold },
			"Failed 10 0: v8 failed at 10 %: analysis errors: it is 0.034, at most 0.01 is allowed; it keeps its traffic, for onFailure is Hold", 0},
		{"it breaks in the canary", v1alpha1.PromotionCanary, func(f *rollout.Facts) { f.Serving.Candidate = serving.Readiness{Failed: true, Message: "it crashes"} },
			"RolledBack 0 0: v8 failed at 10 %: it crashes; all traffic is back on v7", 0},
		{"a failure right after the write may be about what was before", v1alpha1.PromotionPreparing, func(f *rollout.Facts) {
			f.Serving.Candidate = serving.Readiness{Failed: true, Message: "no such file"}
			f.Now = start.Add(time.Second)
		}, "Preparing 0 0: v8 is being brought up: no such file", serving.Settle},
		{"a first version has nothing to go back to", v1alpha1.PromotionPreparing, func(f *rollout.Facts) {
			f.Serving.Candidate = serving.Readiness{Message: "0 of 2 replicas are ready"}
			f.Promotion.Spec.From, f.Now = "", start.Add(time.Hour)
		}, "Preparing 0 0: v8 is not ready, and nothing else serves: 0 of 2 replicas are ready", 0},
		{"all traffic has come", v1alpha1.PromotionShifting, func(f *rollout.Facts) { f.Serving.Traffic = 100 }, "Completing 0 0: v8 has all traffic", 0},
		{"all traffic does not come", v1alpha1.PromotionShifting, func(f *rollout.Facts) {
			f.Serving.Candidate, f.Now = serving.Readiness{Message: "1 of 2"}, start.Add(10*time.Minute)
		}, "RolledBack 0 0: v8 did not come to serve with all traffic: 1 of 2; all traffic is back on v7", 0},
		{"v7 drains", v1alpha1.PromotionCompleting, func(f *rollout.Facts) { f.Now = start.Add(time.Second) }, "Completing 0 0: v8 has all traffic; v7 ends at 09:00:30 UTC", 30 * time.Second},
		{"done", v1alpha1.PromotionCompleting, nil, "Succeeded 0 0: v8 serves", 0},
		{"not ready with all traffic", v1alpha1.PromotionCompleting, func(f *rollout.Facts) { f.Serving.Stable = serving.Readiness{Message: "1 of 2"} },
			"Completing 0 0: v8 has all traffic and is not ready: 1 of 2", 0},
		{"an end is an end", v1alpha1.PromotionRolledBack, nil, "RolledBack 0 0: ", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(c.phase)
			if c.change != nil {
				c.change(&f)
			}
			before := f.Promotion.Status.DeepCopy()
			s, again := rollout.Next(f)
			if is := fmt.Sprintf("%s %d %d: %s", s.Phase, s.Traffic, s.Step, s.Message); is != c.want {
				t.Errorf("\n is %s\nwant %s", is, c.want)
			}
			if want := start.Add(c.again); c.again == 0 && !again.IsZero() || c.again != 0 && !again.Equal(want) {
				t.Errorf("looked at again at %s, want %s", again, want)
			}
			if ended := s.EndedAt != nil; s.Phase.Ended() != ended && c.phase != v1alpha1.PromotionRolledBack {
				t.Errorf("phase %s, ended at %v", s.Phase, s.EndedAt)
			}
			if fmt.Sprint(f.Promotion.Status) != fmt.Sprint(*before) {
				t.Error("the facts were changed")
			}
		})
	}
}

// What gates have come to stays while the artifact is looked at again: samples would begin anew, and
// what has failed be forgotten.
func TestGatesAreKept(t *testing.T) {
	f := facts(v1alpha1.PromotionGated)
	f.Promotion.Status.Findings = []v1alpha1.Finding{{Gate: "errors", Result: v1alpha1.FindingFailed}}
	f.Promotion.Status.Analyses = []v1alpha1.AnalysisStatus{{Name: "errors", Result: v1alpha1.AnalysisFailed, Failed: 1}}
	f.Artifact, f.Findings, f.Analyses = rollout.Artifact{Message: "it is being looked at"}, nil, nil
	s, _ := rollout.Next(f)
	if len(s.Findings) != 1 || len(s.Analyses) != 1 || s.Message != "it is being looked at" {
		t.Errorf("it is %+v", s)
	}
}

// What has lost its traffic runs on for the drain, whatever is asked for meanwhile.
func TestDraining(t *testing.T) {
	for _, c := range []struct {
		name  string
		phase v1alpha1.PromotionPhase
		ends  func(rollout.Facts) v1alpha1.PromotionStatus
		want  string
	}{
		{"turned back", v1alpha1.PromotionCanary, func(f rollout.Facts) v1alpha1.PromotionStatus {
			f.Analyses = []v1alpha1.AnalysisStatus{{Name: "errors", Result: v1alpha1.AnalysisFailed}}
			s, _ := rollout.Next(f)
			return s
		}, "RolledBack v8 1m30s"},
		{"superseded in its canary", v1alpha1.PromotionCanary, func(f rollout.Facts) v1alpha1.PromotionStatus {
			return rollout.Supersede(f.Promotion, f.Rollout, "superseded by v9", f.Now)
		}, "Superseded v8 1m30s"},
		{"superseded before it had traffic", v1alpha1.PromotionPreparing, func(f rollout.Facts) v1alpha1.PromotionStatus {
			return rollout.Supersede(f.Promotion, f.Rollout, "superseded by v9", f.Now)
		}, "Superseded  0s"},
		{"superseded while the one before drains", v1alpha1.PromotionCompleting, func(f rollout.Facts) v1alpha1.PromotionStatus {
			f.Rollout.Drain = hold(5 * time.Minute)
			return rollout.Supersede(f.Promotion, f.Rollout, "superseded by v9", f.Now)
		}, "Succeeded v7 5m0s"},
		{"drained", v1alpha1.PromotionCompleting, func(f rollout.Facts) v1alpha1.PromotionStatus {
			s, _ := rollout.Next(f)
			return s
		}, "Succeeded  0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(c.phase)
			f.Promotion.Status = c.ends(f)
			version, until := rollout.Draining(f.Promotion, f.Now)
			lasts := time.Duration(0)
			if !until.IsZero() {
				lasts = until.Sub(start)
			}
			if is := fmt.Sprintf("%s %s %s", f.Promotion.Status.Phase, version, lasts); is != c.want {
				t.Errorf("it is %s, want %s", is, c.want)
			}
			if version, _ := rollout.Draining(f.Promotion, until); version != "" {
				t.Errorf("%s drains when that is over", version)
			}
		})
	}
}

// The clock jumps while a step holds. Put back, the step lasts its whole time once more and no longer,
// and no version is turned back for it; put ahead, the step is over and the next one has its time.
func TestClockJumps(t *testing.T) {
	f := facts(v1alpha1.PromotionCanary)
	f.Rollout.ReadyTimeout = hold(time.Minute)
	f.Now = start.Add(-24 * time.Hour)
	s, again := rollout.Next(f)
	if want := f.Now.Add(5 * time.Minute); s.Phase != v1alpha1.PromotionCanary || s.Step != 0 || !again.Equal(want) {
		t.Fatalf("a day back it is %s %d until %s, want %s", s.Phase, s.Step, again, want)
	}
	f.Promotion.Status, f.Now = s, again
	if s, _ = rollout.Next(f); s.Phase != v1alpha1.PromotionCanary || s.Step != 1 || s.Traffic != 50 {
		t.Fatalf("after the hold it is %s %d at %d %%", s.Phase, s.Step, s.Traffic)
	}
	f.Promotion.Status, f.Serving.Traffic, f.Now = s, 50, start.Add(24*time.Hour)
	f.Promotion.Status.UnreadySince = nil
	if s, _ = rollout.Next(f); s.Phase != v1alpha1.PromotionShifting {
		t.Fatalf("two days ahead it is %s", s.Phase)
	}

	f = facts(v1alpha1.PromotionCanary)
	f.Serving.Candidate = serving.Readiness{Message: "1 of 2 replicas are ready"}
	f.Now = start.Add(-time.Hour)
	s, _ = rollout.Next(f)
	f.Promotion.Status, f.Now = s, start.Add(24*time.Hour) // back, and far ahead: it looks like a long time
	f.Serving.Candidate.Ready = true
	if s, _ = rollout.Next(f); s.Phase == v1alpha1.PromotionRolledBack {
		t.Errorf("a version that is ready was turned back: %s", s.Message)
	}
}

// Whatever happens on the way: traffic rises step by step and none is left out, each is held for
// its time, a gate that is not passed gives no traffic, and an end is for ever.
func TestAnyWay(t *testing.T) {
	ends := map[v1alpha1.PromotionPhase]int{}
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 8))
		f := facts("")
		f.Promotion.Status = v1alpha1.PromotionStatus{}
		f.Now = start
		var trail []string
		entered, step := start, -1
		for range 200 {
			f.Now = f.Now.Add(time.Duration(random.IntN(240)) * time.Second)
			f.Artifact.Verified = random.IntN(5) > 0
			f.Findings[0].Result = []v1alpha1.FindingResult{v1alpha1.FindingPassed, v1alpha1.FindingWaiting, v1alpha1.FindingFailed}[random.IntN(3)]
			f.Applied = random.IntN(5) > 0
			f.Serving.Candidate = serving.Readiness{Ready: random.IntN(4) > 0, Failed: random.IntN(30) == 0}
			f.Serving.Stable.Ready = random.IntN(4) > 0
			f.Serving.Traffic = f.Promotion.Status.Traffic
			f.Analyses = []v1alpha1.AnalysisStatus{{Name: "errors", Result: []v1alpha1.AnalysisResult{v1alpha1.AnalysisRunning, v1alpha1.AnalysisPassed}[random.IntN(2)]}}
			if random.IntN(60) == 0 {
				f.Analyses[0].Result = v1alpha1.AnalysisFailed
			}
			was := f.Promotion.Status
			now, _ := rollout.Next(f)
			f.Promotion.Status = now
			if now.Phase == was.Phase && now.Step == was.Step && (now.Traffic == was.Traffic) {
				continue
			}
			trail = append(trail, fmt.Sprintf("%s/%d", now.Phase, now.Traffic))
			switch {
			case was.Phase.Ended():
				t.Fatalf("seed %d: it goes on after its end: %v", seed, trail)
			case now.Phase == v1alpha1.PromotionPreparing && (f.Findings[0].Result != v1alpha1.FindingPassed || !f.Artifact.Verified):
				t.Fatalf("seed %d: it passes a gate that is shut: %v", seed, trail)
			case now.Phase == v1alpha1.PromotionCanary:
				if step++; int(now.Step) != step || now.Traffic != f.Rollout.Canary[step].Traffic {
					t.Fatalf("seed %d: step %d at %d %% comes where step %d should: %v", seed, now.Step, now.Traffic, step, trail)
				}
			case now.Phase == v1alpha1.PromotionShifting && step != 1:
				t.Fatalf("seed %d: it completes after step %d: %v", seed, step, trail)
			}
			if was.Phase == v1alpha1.PromotionCanary && !now.Phase.Held() && f.Now.Sub(entered) < f.Rollout.Canary[was.Step].Hold.Duration {
				t.Fatalf("seed %d: step %d was held for %s only: %v", seed, was.Step, f.Now.Sub(entered), trail)
			}
			entered = f.Now
		}
		ends[f.Promotion.Status.Phase]++
	}
	for _, end := range []v1alpha1.PromotionPhase{v1alpha1.PromotionSucceeded, v1alpha1.PromotionRolledBack, v1alpha1.PromotionFailed} {
		if ends[end] < 20 {
			t.Errorf("only %d of 2000 ways end in %s: %v", ends[end], end, ends)
		}
	}
}
