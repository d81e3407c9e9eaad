package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/result"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// live has a world with one agent, which is told.
func live(t *testing.T, tell func(*testing.T, *world, *Trainer), edits ...func(*v1alpha1.RetrainingSpec)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, hourly(edits...))
		tell(t, w, w.trainer())
	})
}

// change changes the Retraining as people do.
func (w *world) change(edit func(*v1alpha1.Retraining)) {
	w.t.Helper()
	r := w.retraining()
	edit(&r)
	r.Generation++
	if err := w.store.Update(context.Background(), &r); err != nil {
		w.t.Fatal(err)
	}
}

// run is the record of a run.
func (w *world) run(name string) v1alpha1.RetrainingRun {
	w.t.Helper()
	for _, r := range w.records() {
		if r.Name == name {
			return r
		}
	}
	w.t.Fatalf("there is no run %s", name)
	return v1alpha1.RetrainingRun{}
}

// in tells whether a run is in a phase.
func in(name string, phase v1alpha1.RunPhase) func(v1alpha1.Retraining, []v1alpha1.RetrainingRun) bool {
	return func(_ v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
		return slices.ContainsFunc(runs, func(r v1alpha1.RetrainingRun) bool { return r.Name == name && r.Status.Phase == phase })
	}
}

// rests passes until nothing is to be done now, and fails if that takes too many passes.
func (w *world) rests(t *Trainer) (last Report) {
	w.t.Helper()
	for range 20 {
		last = w.pass(t)
		if !w.settle() && (last.Again.IsZero() || last.Again.After(w.now)) {
			return last
		}
	}
	w.t.Fatalf("it does not come to rest: %v, %q", last.Again, last.Message)
	return last
}

// A run that goes on ends although its Retraining has become invalid, is counted, and then all is at rest.
func TestInvalidWhileItRuns(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.slow[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunRunning))
		w.change(func(r *v1alpha1.Retraining) { r.Spec.Schedules = []string{"0 0 30 2 *"} })
		if report := w.rests(agent); report.Err == nil || !strings.Contains(report.Err.Error(), "never comes") {
			t.Errorf("the error is %v", report.Err)
		}
		delete(w.slow, first+"-1")
		w.until([]*Trainer{agent}, ended(first))
		report := w.rests(agent)
		if s := w.retraining().Status; s.Streak != 1 || len(s.Active) > 0 || report.Err == nil {
			t.Errorf("the streak is %d, and %v go on: %v", s.Streak, s.Active, report.Err)
		}
		w.now = at("04:00:01")
		w.change(func(r *v1alpha1.Retraining) { r.Spec.Schedules = []string{"@hourly"} })
		w.until([]*Trainer{agent}, ended("fraud-20261125-0500")) // the past is not replayed
	})
}

// Two runs end within a second, the later one first. Both count.
func TestEndsWithinASecond(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.slow[first+"-1"], w.slow[second+"-1"] = true, true
		w.until([]*Trainer{agent}, in(second, v1alpha1.RunRunning))
		for n, name := range []string{second, first} {
			w.fails[name+"-1"] = true
			delete(w.slow, name+"-1")
			w.now = w.now.Truncate(time.Second).Add(time.Minute)
			if n > 0 {
				w.now = w.now.Add(-time.Minute) // the same second, and again if the clock is put back
			}
			for range 40 {
				agent.memory[types.NamespacedName{Namespace: "ml", Name: "fraud"}].waits = map[call]wait{}
				w.pass(agent)
				w.settle()
			}
			if s := w.retraining().Status; s.Streak != -int32(n+1) || slices.Contains(s.Active, name) {
				t.Fatalf("after %s the streak is %d: %v, %+v", name, s.Streak, s.Active, w.run(name).Status)
			}
		}
	}, func(s *v1alpha1.RetrainingSpec) {
		s.ConcurrencyPolicy, s.Retries = v1alpha1.AllowConcurrent, 0
	})
}

// A record of somebody else has the name of a run. What runs goes on, and what stands in the way is said.
func TestNameIsTaken(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		other := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: second, UID: "other"}, Spec: v1alpha1.RetrainingRunSpec{Retraining: "other"}}
		if err := w.store.Create(context.Background(), other); err != nil {
			t.Fatal(err)
		}
		w.slow[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunRunning))
		w.now = at("04:00:01")
		report := w.pass(agent)
		if report.Failed == nil || !strings.Contains(report.Failed.Error(), "delete it") || !report.Brief || !report.Again.After(w.now) {
			t.Errorf("the report is %v, brief: %t, again %v", report.Failed, report.Brief, report.Again)
		}
		delete(w.slow, first+"-1")
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunSucceeded))
		for range mostRereads {
			w.settle()
			report = w.pass(agent)
		}
		if report.Failed == nil || report.Brief || report.Again.Sub(w.now) < 2*time.Second {
			t.Errorf("when it lasts, the report is %v, brief: %t, again %v", report.Failed, report.Brief, report.Again.Sub(w.now))
		}
		if err := w.store.Delete(context.Background(), other); err != nil {
			t.Fatal(err)
		}
		w.until([]*Trainer{agent}, ended(first, second))
		if streak := w.retraining().Status.Streak; streak != 2 {
			t.Errorf("the streak is %d", streak)
		}
	}, func(s *v1alpha1.RetrainingSpec) { s.ConcurrencyPolicy = v1alpha1.AllowConcurrent })
}

// An agent was down for long after a run had ended. Its result is brought to Git although that fails at first.
func TestDownAfterTheEnd(t *testing.T) {
	for _, phase := range []v1alpha1.RunPhase{v1alpha1.RunCollecting, v1alpha1.RunProposing} {
		t.Run(string(phase), func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				what := map[v1alpha1.RunPhase]string{v1alpha1.RunCollecting: "collect", v1alpha1.RunProposing: "propose"}[phase]
				w.trips[what] = 1
				w.until([]*Trainer{agent}, in(first, phase))
				w.now, w.trips[what] = w.now.Add(5*time.Hour), 3
				w.until([]*Trainer{w.trainer()}, ended(first))
				if r := w.run(first); r.Status.Phase != v1alpha1.RunSucceeded || len(w.commits) == 0 {
					t.Errorf("%s: %s", r.Status.Phase, r.Status.Message)
				}
			}, func(s *v1alpha1.RetrainingSpec) { s.Missed = v1alpha1.MissedSkip })
		})
	}
}

// What does not go well for an hour is given up.
func TestGivenUp(t *testing.T) {
	for what, given := range map[string]struct {
		says string
		time time.Duration
	}{"collect": {"cannot be used", collectTime}, "propose": {"in status.result.modelVersion, to be committed by hand", proposeTime}} {
		t.Run(what, func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				w.refuses[what] = &engine.Error{Kind: engine.Temporary, Message: "the store is away"}
				w.until([]*Trainer{agent}, ended(first))
				r := w.run(first)
				if r.Status.Phase != v1alpha1.RunFailed || !strings.Contains(r.Status.Message, given.says) || !strings.Contains(r.Status.Message, "the store is away") {
					t.Errorf("%s: %s", r.Status.Phase, r.Status.Message)
				}
				if took := r.Status.EndedAt.Sub(r.Status.StartedAt.Time); took < given.time || took > 2*given.time {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A result that is missing is waited for half a minute; and the times of an engine whose clock is wrong are not believed.
func TestMissingResult(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.endedAt = func(now time.Time) time.Time { return now.AddDate(70, 0, 0) }
		w.until([]*Trainer{agent}, ended(first))
		r := w.run(first)
		if r.Status.Phase != v1alpha1.RunFailed || !strings.Contains(r.Status.Message, "ConfigMap nothing") {
			t.Errorf("%s: %s", r.Status.Phase, r.Status.Message)
		}
		if last := r.Status.Attempts[0]; last.EndedAt.After(r.Status.EndedAt.Time) || r.Status.EndedAt.Sub(last.EndedAt.Time) < grace {
			t.Errorf("the attempt ended %s, and the run %s", last.EndedAt, r.Status.EndedAt)
		}
	}, func(s *v1alpha1.RetrainingSpec) { s.Result.ConfigMap = "nothing" })
}

// The clock is put back by a year while a run waits for its next attempt. It does not wait for a year.
func TestClockPutBackInBackoff(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.fails[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunBackoff))
		w.now = w.now.AddDate(-1, 0, 0)
		w.until([]*Trainer{w.trainer()}, ended(first))
		if r := w.run(first); r.Status.Phase != v1alpha1.RunSucceeded || r.Status.EndedAt.Year() != 2025 || w.retraining().Status.Streak != 1 {
			t.Errorf("%s at %s: streak %d", r.Status.Phase, r.Status.EndedAt, w.retraining().Status.Streak)
		}
	})
}

// A run is canceled by hand in each phase that it can be in.
func TestCancelInEachPhase(t *testing.T) {
	for _, c := range []struct {
		phase v1alpha1.RunPhase
		begin func(*world)
		made  int // runs of the engine
	}{
		{v1alpha1.RunPending, func(w *world) { w.away = w.now.Add(time.Hour) }, 0},
		{v1alpha1.RunRunning, func(w *world) { w.slow[first+"-1"] = true }, 1},
		{v1alpha1.RunBackoff, func(w *world) { w.fails[first+"-1"] = true }, 1},
		{v1alpha1.RunCollecting, func(w *world) { w.trips["collect"] = 5 }, 1},
		{v1alpha1.RunProposing, func(w *world) { w.trips["propose"] = 5 }, 1},
	} {
		t.Run(string(c.phase), func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				c.begin(w)
				w.during = func() { w.cancel(first, c.phase) }
				w.until([]*Trainer{agent}, ended(first))
				r := w.run(first)
				if r.Status.Phase != v1alpha1.RunCanceled || r.Status.Message != "canceled by hand: the data is bad" {
					t.Errorf("%s: %s", r.Status.Phase, r.Status.Message)
				}
				for name, o := range w.runs {
					if o.ended == "" {
						t.Errorf("%s goes on", name)
					}
				}
				if len(w.runs) != c.made || len(w.commits) > 0 || w.retraining().Status.Streak != 0 {
					t.Errorf("%d were made, %v proposed, the streak is %d", len(w.runs), w.commits, w.retraining().Status.Streak)
				}
			})
		})
	}
}

// What is in Git by the time at which a run is canceled is not denied.
func TestCancelWhenItIsProposed(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.during = func() { w.cancel(first, v1alpha1.RunProposing) }
		w.until([]*Trainer{agent}, ended(first))
		if r := w.run(first); r.Status.Phase != v1alpha1.RunSucceeded || r.Status.Proposal == nil || r.Status.Canceling == "" || len(w.commits) != 1 {
			t.Errorf("%s: %s, with %v in Git", r.Status.Phase, r.Status.Message, w.commits)
		}
	})
}

// A run is deleted by hand while it goes on. It is not run again, the next slot is, and nothing is remembered of it.
func TestDeletedByHand(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.slow[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunRunning))
		gone := w.run(first)
		if err := w.store.Delete(context.Background(), &gone); err != nil {
			t.Fatal(err)
		}
		agent.Runs.Gone(&gone)
		w.until([]*Trainer{agent}, ended(second))
		if slices.ContainsFunc(w.records(), func(r v1alpha1.RetrainingRun) bool { return r.Name == first }) {
			t.Error("it was made again")
		}
		m := agent.memory[types.NamespacedName{Namespace: "ml", Name: "fraud"}]
		for c := range m.waits {
			if c.run == gone.UID {
				t.Errorf("remembered is %+v", c)
			}
		}
	})
}

// The engine cannot be reached for two hours. What becomes of the slots is up to missed.
func TestEngineIsAway(t *testing.T) {
	for policy, want := range map[v1alpha1.MissedPolicy]struct {
		last   string
		made   []string
		missed int64
	}{
		v1alpha1.MissedSkip:   {"fraud-20261125-0600", []string{"fraud-20261125-0600-1"}, 3},
		v1alpha1.MissedLatest: {third, []string{third + "-1"}, 2},
		v1alpha1.MissedAll:    {third, []string{first + "-1", second + "-1", third + "-1"}, 0},
	} {
		t.Run(string(policy), func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				w.away = at("05:20:00")
				w.until([]*Trainer{agent}, ended(want.last))
				var made []string
				for name := range w.runs {
					made = append(made, name)
				}
				slices.Sort(made)
				if s := w.retraining().Status; !slices.Equal(made, want.made) || s.Missed != want.missed || w.most > 1 {
					t.Errorf("%v were made, %d at once, and %d missed", made, w.most, s.Missed)
				}
			}, func(s *v1alpha1.RetrainingSpec) { s.Missed = policy })
		})
	}
}

// What an engine refuses for good, or forgets, and a mistake of the agent's own.
func TestEngineRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		begin    func(*world)
		phase    v1alpha1.RunPhase
		attempts int
		says     string
	}{
		{"it cannot be begun", func(w *world) {
			w.refuses["reach"] = &engine.Error{Kind: engine.Permanent, Message: "there is no pipeline"}
		}, v1alpha1.RunFailed, 0, "there is no pipeline"},
		{"it is refused", func(w *world) {
			w.refuses["start"] = &engine.Error{Kind: engine.Permanent, Message: "the parameter is unknown"}
		}, v1alpha1.RunFailed, 1, "the parameter is unknown"},
		{"it is forgotten", func(w *world) { w.refuses["state"] = &engine.Error{Kind: engine.Forgotten, Message: "it is gone"} }, v1alpha1.RunFailed, 2, "2 attempts failed; the last: it is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				c.begin(w)
				w.until([]*Trainer{agent}, ended(first))
				if r := w.run(first); r.Status.Phase != c.phase || r.Status.Message != c.says || len(r.Status.Attempts) != c.attempts {
					t.Errorf("%s after %d attempts: %s", r.Status.Phase, len(r.Status.Attempts), r.Status.Message)
				}
				if unhealthy := w.pass(agent).Unhealthy; !strings.Contains(unhealthy, "the last run failed; "+first) {
					t.Errorf("unhealthy: %q", unhealthy)
				}
			})
		})
	}
}

// panicking is an engine with a mistake in it.
type panicking struct{ *world }

func (p panicking) Start(context.Context, engine.Run) (string, error) {
	panic("no such thing")
}

// A panic in a call of an engine is an error of that call, which is made again; the run can be canceled.
func TestEnginePanics(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		agent.Pipelines = func(cluster.Account) engine.Engine { return panicking{w} }
		w.until([]*Trainer{agent}, func(_ v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
			return len(runs) > 0 && strings.Contains(runs[0].Status.Message, "a mistake in the agent")
		})
		w.cancel(first, v1alpha1.RunPending)
		w.until([]*Trainer{agent}, ended(first))
		if r := w.run(first); r.Status.Phase != v1alpha1.RunCanceled {
			t.Errorf("%s: %s", r.Status.Phase, r.Status.Message)
		}
	})
}

// stirring is an engine of whose runs something changes just after it was read.
type stirring struct {
	*world
	stir func()
}

func (s stirring) State(ctx context.Context, run engine.Run) (engine.State, error) {
	defer s.stir()
	return s.world.State(ctx, run)
}

// A change that comes after an engine has read a run, and before its answer is heard, is looked at in a moment, and no sooner.
func TestChangedWhileItWasRead(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		changes := false
		agent.Pipelines = func(cluster.Account) engine.Engine {
			return stirring{w, func() {
				if changes {
					agent.Stirred(types.NamespacedName{Namespace: "ml", Name: "fraud"})
				}
				changes = false
			}}
		}
		w.slow[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunRunning))
		w.rests(agent)
		w.now, changes = w.now.Add(time.Minute), true
		w.pass(agent)
		w.settle()
		if again := w.pass(agent).Again.Sub(w.now); changes || again != breath {
			t.Errorf("it is read again in %s", again)
		}
		asked := w.runs[first+"-1"].asked
		if w.pass(agent); w.settle() || w.runs[first+"-1"].asked != asked {
			t.Error("it is read again at once")
		}
		w.now = w.now.Add(breath)
		if w.pass(agent); !w.settle() || w.runs[first+"-1"].asked != asked+1 {
			t.Error("it is not read again")
		}
	})
}

// A run that was started is looked at in a moment, whether or not somebody tells that it changes: an agent that starts
// again may find one that has ended.
func TestLookedAtAfterTheStart(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.until([]*Trainer{agent}, func(_ v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
			return len(runs) > 0 && len(runs[0].Status.Attempts) > 0 && runs[0].Status.Attempts[0].ID != ""
		})
		oven := w.runs[first+"-1"]
		if again := w.pass(agent).Again.Sub(w.now); again > breath || w.settle() || oven.asked > 0 {
			t.Errorf("it was looked at %d times, and is again in %s", oven.asked, again)
		}
		w.now = w.now.Add(breath)
		if w.pass(agent); !w.settle() || oven.asked != 1 {
			t.Errorf("it was looked at %d times", oven.asked)
		}
	})
}

// hanging is an engine that gives no answer until it is told to.
type hanging struct {
	*world
	answers chan struct{}
}

func (h hanging) Reach(ctx context.Context, run engine.Run) error {
	<-h.answers
	return h.world.Reach(ctx, run)
}

// Of a run that is about to begin nothing is said, unless its engine takes more than a moment to answer.
func TestAboutToBegin(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		h := hanging{w, make(chan struct{})}
		agent.Pipelines = func(cluster.Account) engine.Engine { return h }
		report := w.pass(agent)
		if r := w.run(first); r.Status.Phase != "" || len(r.Status.Conditions) > 0 || report.Again.Sub(r.CreationTimestamp.Time) != aMoment {
			t.Errorf("it is %s: %q, and is looked at again at %s", r.Status.Phase, r.Status.Message, report.Again)
		}
		w.now = report.Again
		w.pass(agent)
		if r := w.run(first); r.Status.Phase != v1alpha1.RunPending || r.Status.Message != "it is about to begin" {
			t.Errorf("after a moment it is %s: %q", r.Status.Phase, r.Status.Message)
		}
		close(h.answers)
		w.until([]*Trainer{agent}, ended(first))
	})
}

// While it is suspended nothing begins, also what was decided upon; what is asked for by hand is recorded.
func TestSuspended(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.away = at("03:10:00")
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunPending))
		w.change(func(r *v1alpha1.Retraining) {
			r.Spec.Suspend = true
			r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "2026-11-25T03:05:00Z"}
		})
		w.now = at("03:20:00")
		w.rests(agent)
		if r := w.run(first); r.Status.Phase != v1alpha1.RunPending || !strings.Contains(r.Status.Message, "suspended") || len(w.runs) > 0 {
			t.Errorf("%s: %s, and %d were made", r.Status.Phase, r.Status.Message, len(w.runs))
		}
		if !slices.ContainsFunc(w.records(), func(r v1alpha1.RetrainingRun) bool {
			return r.Spec.Trigger.Kind == v1alpha1.TriggerManual && r.Status.Phase == v1alpha1.RunSkipped
		}) {
			t.Error("what was asked for by hand is not on record")
		}
		w.change(func(r *v1alpha1.Retraining) { r.Spec.Suspend = false })
		w.until([]*Trainer{agent}, ended(first))
		if len(w.runs) != 1 || w.retraining().Status.Streak != 1 {
			t.Errorf("%d were made, and the streak is %d", len(w.runs), w.retraining().Status.Streak)
		}
	})
}

// Parameters that cannot be used are said, and hold up no slot. Once they are mended, what was asked for runs.
func TestParametersByHand(t *testing.T) {
	many := map[string]string{}
	for n := range mostParameters + 1 {
		many[fmt.Sprint("p", n)] = "1"
	}
	raw, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string]string{"no JSON object": `["a"]`, "at most 128": string(raw)} {
		t.Run(says, func(t *testing.T) {
			live(t, func(t *testing.T, w *world, agent *Trainer) {
				w.change(func(r *v1alpha1.Retraining) {
					r.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "2026-11-25T02:55:00Z", v1alpha1.ParametersAnnotation: text}
				})
				if report := w.pass(agent); report.Err == nil || !strings.Contains(report.Err.Error(), says) {
					t.Errorf("the error is %v", report.Err)
				}
				w.until([]*Trainer{agent}, ended(first))
				w.change(func(r *v1alpha1.Retraining) { r.Annotations[v1alpha1.ParametersAnnotation] = `{"rows": "7"}` })
				w.until([]*Trainer{agent}, func(_ v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
					return slices.ContainsFunc(runs, func(r v1alpha1.RetrainingRun) bool {
						return r.Spec.Trigger.Kind == v1alpha1.TriggerManual && r.Status.Phase == v1alpha1.RunSucceeded && r.Status.Attempts[0].Parameters["rows"] == "7"
					})
				})
			})
		})
	}
}

// A Retraining whose name is taken again has none of the runs of the one before, and a run of the first goes on no
// longer.
func TestNameIsTakenAgain(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.slow[first+"-1"] = true
		w.until([]*Trainer{agent}, in(first, v1alpha1.RunRunning))
		r := w.retraining()
		if err := w.store.Delete(context.Background(), &r); err != nil {
			t.Fatal(err)
		}
		again := hourly()
		again.UID, again.CreationTimestamp = "another", metav1.NewTime(at("03:30:00"))
		if err := w.store.Create(context.Background(), again); err != nil {
			t.Fatal(err)
		}
		w.now = at("03:30:01")
		w.rests(agent)
		if s := w.retraining().Status; len(s.Active) > 0 {
			t.Errorf("%v go on", s.Active)
		}
		w.until([]*Trainer{agent}, ended(second))
	})
}

// placing is Git that keeps where results are to go.
type placing struct {
	*world
	paths []string
}

func (p *placing) ProposeResult(ctx context.Context, r *v1alpha1.Retraining, run *v1alpha1.RetrainingRun, version v1alpha1.ModelVersion, evidence []string) (v1alpha1.ProposalStatus, error) {
	p.paths = append(p.paths, run.Spec.Result.Propose.Path)
	return p.world.ProposeResult(ctx, r, run, version, evidence)
}

// Where a result goes is a template as all else is.
func TestPathIsFilled(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		git := &placing{world: w}
		agent.Git = git
		w.until([]*Trainer{agent}, ended(first))
		if !slices.Equal(git.paths, []string{"models/fraud/2026"}) {
			t.Errorf("it went to %q", git.paths)
		}
	}, func(s *v1alpha1.RetrainingSpec) {
		s.Result.Propose.Path = `models/{{ .Model }}/{{ .Slot.Format "2006" }}`
	})
}

// What a library calls final is not: the server may be back in a moment.
func TestTemporary(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&url.Error{Op: "Get", URL: "https://10.0.0.1", Err: syscall.ECONNREFUSED}, true},
		{fmt.Errorf("the mirror cannot be written: %w", syscall.ENOSPC), true},
		{errors.New("the Repository has not been fetched yet"), true},
		{context.DeadlineExceeded, true},
		{&engine.Error{Kind: engine.Temporary}, true},
		{&engine.Error{Kind: engine.Permanent}, false},
		{&engine.Error{Kind: engine.Forgotten}, false},
		{&result.Error{Message: "it is no JSON", Err: syscall.ECONNREFUSED}, false},
		{&artifact.Error{Kind: artifact.Unavailable}, true},
	} {
		if temporary(c.err) != c.want {
			t.Errorf("%v is temporary: %t", c.err, !c.want)
		}
	}
}

// A record that was kept for long is removed with what its engine has, and not before that is gone.
func TestPrunedWithItsEngine(t *testing.T) {
	live(t, func(t *testing.T, w *world, agent *Trainer) {
		w.until([]*Trainer{agent}, ended(first))
		w.now, w.trips["delete"] = at("03:00:00").AddDate(0, 1, 0), 3
		done := func(_ v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
			return !slices.ContainsFunc(runs, func(r v1alpha1.RetrainingRun) bool { return r.Name == first })
		}
		w.until([]*Trainer{agent}, done)
		if _, there := w.runs[first+"-1"]; there || w.trips["delete"] > 0 {
			t.Errorf("the record is gone, and the engine has %v; %d more trips", w.runs, w.trips["delete"])
		}
	}, func(s *v1alpha1.RetrainingSpec) { s.HistoryLimit, s.Missed = 1, v1alpha1.MissedLatest })
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*v1alpha1.RetrainingSpec)
		says string
	}{
		{"all is well", func(*v1alpha1.RetrainingSpec) {}, ""},
		{"no such cron", func(s *v1alpha1.RetrainingSpec) { s.Schedules = []string{"0 3 * *"} }, "spec.schedules: the cron expression"},
		{"no such day", func(s *v1alpha1.RetrainingSpec) { s.Schedules = []string{"0 0 30 2 *"} }, "never comes"},
		{"no such zone", func(s *v1alpha1.RetrainingSpec) { s.TimeZone = "KST" }, `the time zone "KST" is not known`},
		{"a template of the run", func(s *v1alpha1.RetrainingSpec) { s.Run.Parameters["day"] = "{{ .Slott }}" }, "spec.run: "},
		{"a template of the result", func(s *v1alpha1.RetrainingSpec) { s.Result.Version = "{{ range }}" }, "spec.result: "},
		{"an expression", func(s *v1alpha1.RetrainingSpec) { s.Result.OnlyIfBetter = "candidate >" }, "spec.result.onlyIfBetter: "},
		{"a stage that is a template", func(s *v1alpha1.RetrainingSpec) { s.Result.Propose.Stage = "{{ .Model }}" }, "stage and branch are no templates"},
		{"a prefix", func(s *v1alpha1.RetrainingSpec) {
			s.Triggers = &v1alpha1.RetrainingTriggers{Data: &v1alpha1.DataTrigger{URI: "ftp://data"}}
		}, "spec.triggers.data: "},
		{"another namespace", func(s *v1alpha1.RetrainingSpec) { s.Run.KFP.Namespace = "shop" }, "spec.run.kfp.namespace: "},
		{"its own namespace", func(s *v1alpha1.RetrainingSpec) { s.Run.KFP.Namespace = "ml" }, ""},
		{"a Secret", func(s *v1alpha1.RetrainingSpec) {
			s.Run = v1alpha1.RunTemplate{Object: &v1alpha1.ObjectRun{APIVersion: "v1", Kind: "Secret", Succeeded: "true", Failed: "false", Template: apiextensionsv1.JSON{Raw: []byte(`{}`)}}}
		}, "Secret"},
		{"no result", func(s *v1alpha1.RetrainingSpec) { s.Result = nil }, ""},
	} {
		err := Check(hourly(c.edit))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		first    time.Duration
		attempts int32
		want     time.Duration
	}{
		{0, 1, time.Minute}, {time.Minute, 2, 2 * time.Minute}, {time.Minute, 7, time.Hour}, {time.Minute, 17, time.Hour},
		{2 * time.Hour, 3, 2 * time.Hour}, {1 << 62, 4, 1 << 62}, {time.Second, 16, time.Hour},
	} {
		if got := backoff(c.first, c.attempts); got != c.want {
			t.Errorf("%s after %d: %s, want %s", c.first, c.attempts, got, c.want)
		}
	}
}

func TestUnhealthy(t *testing.T) {
	failed := v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Name: first}, Status: v1alpha1.RetrainingRunStatus{Message: "step train failed"}}
	clock := func(s string) *metav1.Time { return new(metav1.NewTime(at(s))) }
	for _, c := range []struct {
		name   string
		after  int32
		status v1alpha1.RetrainingStatus
		says   string
	}{
		{"nothing yet", 1, v1alpha1.RetrainingStatus{}, ""},
		{"one failed", 1, v1alpha1.RetrainingStatus{Streak: -1, LastRun: first}, "the last run failed; " + first + ": step train failed"},
		{"one failed of two", 2, v1alpha1.RetrainingStatus{Streak: -1, LastRun: first}, ""},
		{"two failed", 2, v1alpha1.RetrainingStatus{Streak: -2, LastRun: "gone"}, "the last 2 runs failed"},
		{"missed", 1, v1alpha1.RetrainingStatus{LastMissed: clock("04:00:00")}, "the slot 2026-11-25 04:00:00 UTC was missed, and no later run has succeeded"},
		{"missed, and an earlier one succeeded", 1, v1alpha1.RetrainingStatus{Streak: 1, LastMissed: clock("04:00:00"), LastSuccessSlot: clock("03:00:00")}, "the slot 2026-11-25 04:00:00 UTC was missed, and no later run has succeeded"},
		{"missed, and a later one succeeded", 1, v1alpha1.RetrainingStatus{Streak: 1, LastMissed: clock("04:00:00"), LastSuccessSlot: clock("05:00:00")}, ""},
	} {
		w := pass{retraining: hourly(func(s *v1alpha1.RetrainingSpec) { s.UnhealthyAfter = c.after }), runs: []v1alpha1.RetrainingRun{failed}}
		if got := w.unhealthy(c.status); got != c.says {
			t.Errorf("%s: %q, want %q", c.name, got, c.says)
		}
	}
}
