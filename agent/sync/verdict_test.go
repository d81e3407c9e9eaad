package sync

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

func TestJudge(t *testing.T) {
	web := agent.Ref{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	conf := agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "conf"}
	begun := func(edit func(*ending)) ending {
		e := ending{revision: "main@sha1:4f2a9c1e8b7d", timeout: 5 * time.Minute, since: time.Minute, census: census{total: 2, healthy: 2}}
		edit(&e)
		return e
	}
	failed := func(class agent.Class, message string) agent.Run {
		return agent.Run{Outcomes: []agent.Outcome{{Ref: web, Verb: agent.Update, Result: agent.Failed, Class: class, Message: message}}}
	}
	cases := []struct {
		name string
		end  ending
		want Verdict
	}{
		{"all well", begun(func(*ending) {}),
			Verdict{Ready, "Succeeded", "Applied main@4f2a9c1: 2 objects, all healthy", 0}},
		{"drift that is only reported", begun(func(e *ending) { e.census.drifted = 1 }),
			Verdict{Ready, "Drifted", "Applied main@4f2a9c1: 2 objects, all healthy; 1 differ from Git and are only reported", 0}},
		{"refused", begun(func(e *ending) {
			e.plan.Violations = []agent.Violation{{Ref: web, Verb: agent.Replace, Message: "no"}}
		}), Verdict{Failing, "PlanRefused", "Deployment/shop/web: no", 0}},
		{"refused deletes", begun(func(e *ending) {
			e.plan.Violations = []agent.Violation{{Ref: web, Verb: agent.Delete, Message: "no"}}
		}), Verdict{Failing, "PruneRefused", "Deployment/shop/web: no", 0}},
		{"deletes that wait for others", begun(func(e *ending) {
			e.plan.Violations = []agent.Violation{{Ref: web, Verb: agent.Delete, Message: "soon", Waits: true, Class: agent.Waiting}}
		}), Verdict{Ready, "Succeeded", "Applied main@4f2a9c1: 2 objects, all healthy; 1 more are to be deleted: Deployment/shop/web: soon", 0}},
		{"waiting for an object to go", begun(func(e *ending) {
			e.plan.Violations = []agent.Violation{{Ref: web, Verb: agent.Update, Message: "soon", Waits: true, Class: agent.Waiting}}
		}), Verdict{Progressing, "Progressing", "Deployment/shop/web: soon", 4 * time.Minute}},
		{"waited too long", begun(func(e *ending) {
			e.since = 6 * time.Minute
			e.plan.Violations = []agent.Violation{{Ref: web, Verb: agent.Create, Message: "no kind", Waits: true, Class: agent.NoKind}}
		}), Verdict{Failing, "PlanRefused", "Deployment/shop/web: no kind", 0}},
		{"a refusal is not hidden by waiting", begun(func(e *ending) {
			e.plan.Violations = []agent.Violation{
				{Ref: conf, Verb: agent.Create, Message: "soon", Waits: true, Class: agent.NoKind},
				{Ref: web, Verb: agent.Update, Message: "it belongs to others", Waits: true}}
		}), Verdict{Failing, "PlanRefused", "ConfigMap/shop/conf: soon; Deployment/shop/web: it belongs to others", 0}},
		{"failed", begun(func(e *ending) { e.run = failed(agent.Invalid, "bad") }),
			Verdict{Failing, "ApplyFailed", "Deployment/shop/web: bad", 0}},
		{"a namespace on its way", begun(func(e *ending) { e.run = failed(agent.NoNamespace, "not there (yet)") }),
			Verdict{Progressing, "Progressing", "Deployment/shop/web: not there (yet)", 4 * time.Minute}},
		{"a namespace that never came", begun(func(e *ending) { e.since, e.run = 6*time.Minute, failed(agent.NoNamespace, "not there (yet)") }),
			Verdict{Failing, "ApplyFailed", "Deployment/shop/web: not there (yet)", 0}},
		{"a fight", begun(func(e *ending) { e.fights = map[agent.Ref]string{web: "changed back"} }),
			Verdict{Failing, "DriftFight", "Deployment/shop/web: changed back", 0}},
		{"rolling out", begun(func(e *ending) { e.census = census{total: 2, healthy: 1, progressing: []string{"web is Progressing"}} }),
			Verdict{Progressing, "Progressing", "1 of 2 objects are healthy; web is Progressing", 4 * time.Minute}},
		{"rolling out again after it was ready", begun(func(e *ending) {
			e.wasReady, e.census = true, census{total: 2, healthy: 1, progressing: []string{"web is Progressing"}}
		}), Verdict{Ready, "Succeeded", "1 of 2 objects are healthy; web is Progressing", 4 * time.Minute}},
		{"degraded", begun(func(e *ending) { e.census = census{total: 2, healthy: 1, degraded: []string{"web is Degraded"}} }),
			Verdict{Failing, "Unhealthy", "1 of 2 objects are healthy; web is Degraded", 4 * time.Minute}},
		{"not healthy in time", begun(func(e *ending) {
			e.since, e.census = 6*time.Minute, census{total: 2, healthy: 1, progressing: []string{"web is Progressing"}}
		}), Verdict{Failing, "HealthTimeout", "not healthy within 5m0s: 1 of 2 objects are healthy; web is Progressing", 0}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(c.end); got != c.want {
				t.Errorf("judge:\n%+v\nwant:\n%+v", got, c.want)
			}
		})
	}
}

func TestFightStepsBack(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var f fight
	for range fightRounds - 1 {
		f = f.corrected(now, "spec.replicas")
		if !f.until(now).IsZero() {
			t.Fatalf("after %d rounds it steps back already", f.rounds)
		}
	}
	pause := fightPause
	for range 10 {
		f = f.corrected(now, "spec.replicas")
		if got := f.until(now).Sub(now); got != pause {
			t.Errorf("after %d rounds it waits %s, want %s", f.rounds, got, pause)
		}
		now = now.Add(pause)
		if !f.until(now).IsZero() {
			t.Errorf("after the pause it still waits")
		}
		pause = min(2*pause, fightMaxPause)
	}
	now = now.Add(3 * time.Hour)
	if f = f.corrected(now, "spec.replicas"); f.rounds != 1 {
		t.Errorf("long after the fight it counts %d rounds", f.rounds)
	}
}
