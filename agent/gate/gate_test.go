package gate

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// now is a Wednesday, 21:30 in Seoul.
var now = time.Date(2026, 11, 25, 12, 30, 0, 0, time.UTC)

func before(d time.Duration) *metav1.Time {
	t := metav1.NewTime(now.Add(-d))
	return &t
}

func evidence() Evidence {
	size := int64(2048)
	return Evidence{
		Model: "fraud", Stage: "production", Labels: map[string]string{"tier": "gold"},
		Candidate: Version{
			Name:     "v8",
			Metrics:  map[string]string{"auc": "0.938", "f1": "NaN", "recall": "Infinity", "loss": strings.Repeat("9", 500), "zero": "0"},
			Labels:   map[string]string{"team": "risk"},
			Lineage:  v1alpha1.Lineage{Run: "fraud-20261125", Dataset: "s3://data/2026-11", TrainedAt: before(20 * time.Minute)},
			Format:   v1alpha1.ModelFormat{Name: "sklearn", Version: "1"},
			Artifact: Artifact{URI: "s3://models/fraud/v8/", Digest: "sha256:8", Size: &size, Verified: true},
			Created:  now.Add(-10 * time.Minute),
		},
		Current: &Version{Name: "v7", Metrics: map[string]string{"auc": "0.941"}, Created: now.Add(-240 * time.Hour)},
		Stages: map[string]Serving{
			"dev":     {Version: "v8", Since: now.Add(-time.Hour)},
			"staging": {Version: "v8", Since: now.Add(-12 * time.Minute)},
			"canary":  {Version: "v8"},
			"shadow":  {Version: "v7", Since: now.Add(-time.Hour)},
			"empty":   {},
			"skewed":  {Version: "v8", Since: now.Add(time.Hour)},
		},
		Commit: "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d",
		Approvals: map[string]Approval{
			"reviewed": {By: []string{"ann@example.com"}},
			"unsigned": {Reason: "it is not signed"},
			"reading":  {Reason: "it is being read", Waits: true},
			"two":      {Pull: 12, By: []string{"ana", "ben"}},
			"one":      {Pull: 12, By: []string{"ana"}, Others: []string{"ben's is of an older commit", "eve may not write to the repository"}},
			"none":     {Pull: 12, Others: []string{"ann has opened it"}},
			"nobody":   {Pull: 12},
			"pushed":   {Commit: "c0ffee0d5e6f708192a3b4c5d6e7f8091a2b3c4d", Reason: "it came without a pull request"},
			"down":     {Commit: "c0ffee0d5e6f708192a3b4c5d6e7f8091a2b3c4d", Pull: 12, By: []string{"ana", "ben"}, Reason: "the forge answers 503", Waits: true},
		},
		Analyses: map[string]v1alpha1.AnalysisStatus{
			"measured": {Result: v1alpha1.AnalysisPassed, Message: "errors is 0.001, at most 0.01 is allowed; 3 of 3 samples succeeded"},
			"bad":      {Result: v1alpha1.AnalysisFailed, Message: "errors is 0.5, at most 0.01 is allowed; 1 sample failed, and none may"},
			"under":    {Result: v1alpha1.AnalysisRunning, Message: "errors is 0.001, at most 0.01 is allowed; 1 of 3 samples succeeded"},
			"mute":     {Result: v1alpha1.AnalysisFailed},
		},
	}
}

func first() Evidence {
	e := evidence()
	e.Current = nil
	return e
}

func cel(text string) v1alpha1.Gate { return v1alpha1.Gate{Name: "g", CEL: text} }

func soak(stage string, d time.Duration) v1alpha1.Gate {
	return v1alpha1.Gate{Name: "soaked", Soak: &v1alpha1.SoakGate{Stage: stage, Duration: metav1.Duration{Duration: d}}}
}

func span(cron, zone string, d time.Duration) *v1alpha1.Window {
	return &v1alpha1.Window{Cron: cron, TimeZone: zone, Duration: metav1.Duration{Duration: d}}
}

func approval(name string, minimum int32) v1alpha1.Gate {
	return v1alpha1.Gate{Name: name, Approval: &v1alpha1.ApprovalGate{Minimum: minimum, KeysSecretRef: &meta.LocalObjectReference{Name: "approvers"}}}
}

func reviews(name string, minimum int32) v1alpha1.Gate {
	return v1alpha1.Gate{Name: name, Approval: &v1alpha1.ApprovalGate{Minimum: minimum, Reviews: &v1alpha1.ReviewApproval{}}}
}

func reviewsBy(name string, whose v1alpha1.ReviewApproval) v1alpha1.Gate {
	return v1alpha1.Gate{Name: name, Approval: &v1alpha1.ApprovalGate{Reviews: &whose}}
}

func measured(name string) v1alpha1.Gate {
	return v1alpha1.Gate{Name: name, Analysis: &v1alpha1.Analysis{Name: "errors", Max: "0.01", Prometheus: &v1alpha1.PrometheusQuery{Address: "http://p", Query: "up"}}}
}

const (
	P = v1alpha1.FindingPassed
	F = v1alpha1.FindingFailed
	W = v1alpha1.FindingWaiting
)

func TestCheck(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	never := time.Time{}
	for _, c := range []struct {
		gate     v1alpha1.Gate
		evidence Evidence
		result   v1alpha1.FindingResult
		message  string
		next     time.Time
	}{
		{cel("candidate.metrics.auc >= current.metrics.auc - 0.002"), evidence(), F, "auc of v8 is 0.938, and at least 0.941 - 0.002 = 0.939 is needed", never},
		{cel("candidate.metrics.auc >= current.metrics.auc - 0.003"), evidence(), P, "auc of v8 is 0.938, and at least 0.941 - 0.003 = 0.938 is needed", never},
		{cel("candidate.metrics.auc > current.metrics['auc']"), evidence(), F, "auc of v8 is 0.938, and more than 0.941 (auc of v7) is needed", never},
		{cel("first || candidate.metrics.auc >= 0.95"), evidence(), F, "auc of v8 is 0.938, and at least 0.95 is needed", never},
		{cel("first || candidate.metrics.auc >= current.metrics.auc"), first(), P, "nothing serves in production yet, and the expression is true for v8", never},
		{cel("candidate.metrics.auc >= current.metrics.auc"), first(), F, "nothing serves in production yet, so that v8 cannot be compared with it: begin the expression with first || to let the first version pass", never},
		{cel("has(current.metrics.auc) || true"), first(), P, "nothing serves in production yet, and the expression is true for v8", never},
		{cel("current == null"), first(), P, "what serves in production is nothing, and nothing is needed", never},
		{cel("current != null && candidate.version != current.version"), first(), F, "what serves in production is nothing, and anything but nothing is needed", never},
		{cel("first"), evidence(), F, "the expression is false for v8", never},
		{cel("candidate.metrics.f1 > 0.5"), evidence(), F, `metric f1 of v8 is "NaN", which is no decimal number`, never},
		{cel("candidate.metrics.recall > 0.5"), evidence(), F, `metric recall of v8 is "Infinity", which is no decimal number`, never},
		{cel("candidate.metrics.loss > 0.5"), evidence(), F, "metric loss of v8 is longer than the 400 characters that a number may have", never},
		{cel("candidate.metrics.precision > 0.5"), evidence(), F, "v8 has no metric precision", never},
		{cel("candidate.metrics.auc >= current.metrics.f1"), evidence(), F, "v7 has no metric f1", never},
		{cel("!(candidate.metrics.precision < 0.5)"), evidence(), F, "v8 has no metric precision", never},
		{cel("has(candidate.metrics.precision) && candidate.metrics.precision > 0.5"), evidence(), F, "precision of v8 is not there", never},
		{cel("current.metrics.auc / candidate.metrics.zero > 1"), evidence(), F, "the expression cannot be judged, for it divides by zero: auc of v7 is 0.941, zero of v8 is 0", never},
		{cel("labels.tier == 'silver'"), evidence(), F, `label tier of fraud is "gold", and "silver" is needed`, never},
		{cel("labels.owner == 'x'"), evidence(), F, "fraud has no label owner", never},
		{cel("candidate.labels.team in ['risk', 'fraud']"), evidence(), P, `label team of v8 is "risk", and one of "risk", "fraud" is needed`, never},
		{cel("candidate.artifact.verified"), evidence(), P, "artifact.verified of v8 is true", never},
		{cel("current.artifact.verified"), evidence(), F, "artifact.verified of v7 is false", never},
		{cel("candidate.artifact.size <= 1024"), evidence(), F, "artifact.size of v8 is 2048, and at most 1024 is allowed", never},
		{cel("current.artifact.size <= 1024"), evidence(), F, "it is not known how large the artifact of v7 is", never},
		{cel("candidate.artifact.uri.startsWith('gs://')"), evidence(), F, `artifact.uri of v8 is "s3://models/fraud/v8/"`, never},
		{cel("candidate.artifact.digest != current.artifact.digest && candidate.format.name == 'onnx'"), evidence(), F, `format.name of v8 is "sklearn", and "onnx" is needed`, never},
		{cel("candidate.lineage.dataset != '' && has(candidate.lineage.commit)"), evidence(), F, "lineage.commit of v8 is not there", never},
		{cel("candidate.lineage.trainedAt > current.lineage.trainedAt"), evidence(), F, "it is not known when v7 was trained", never},
		{cel("model == 'fraud' && stage == 'staging'"), evidence(), F, `the stage is "production", and "staging" is needed`, never},
		{cel("candidate.metrics.all(m, candidate.metrics[m] >= 0) || false"), evidence(), F, `metric f1 of v8 is "NaN", which is no decimal number`, never},

		{cel("candidate.age >= duration('1h')"), evidence(), W, "age of v8 is 20m, and at least 1h is needed", at("2026-11-25T13:10:00Z")},
		{cel("current.age < duration('24h')"), evidence(), F, "age of v7 is 240h, and less than 24h is needed", never},
		{cel("now > timestamp('2026-12-01T00:00:00Z') && candidate.metrics.auc > 0.9"), evidence(), W, "the time is 2026-11-25 12:30:00 UTC, and more than 2026-12-01 00:00:00 UTC is needed", at("2026-12-01T00:00:01Z")},
		{cel("candidate.age >= duration('1h') && candidate.metrics.auc > 0.95"), evidence(), F, "age of v8 is 20m, and at least 1h is needed", never},

		{soak("dev", 30*time.Minute), evidence(), P, "v8 has served in dev for 1h, and 30m is needed", never},
		{soak("staging", 30*time.Minute), evidence(), W, "v8 has served in staging for 12m of 30m", at("2026-11-25T12:48:00Z")},
		{soak("staging", 12*time.Minute), evidence(), P, "v8 has served in staging for 12m, and 12m is needed", never},
		{soak("skewed", 30*time.Minute), evidence(), W, "v8 has served in skewed for 0s of 30m", at("2026-11-25T14:00:00Z")},
		{soak("canary", 30*time.Minute), evidence(), W, "v8 does not have all traffic in canary yet, where it has to serve for 30m", never},
		{soak("shadow", 30*time.Minute), evidence(), W, "v8 does not serve in shadow: v7 does", never},
		{soak("empty", 30*time.Minute), evidence(), W, "v8 does not serve in empty: nothing does", never},
		{soak("typo", 30*time.Minute), evidence(), F, "fraud has no stage typo: name one that it has in soak.stage", never},
		{soak("production", 30*time.Minute), evidence(), F, "the gate has v8 serve in production before it may serve in production: name an earlier stage in soak.stage", never},
		{soak("", 30*time.Minute), evidence(), F, "soak.stage is empty: name the stage in which the version has to serve before", never},
		{soak("dev", -time.Minute), evidence(), F, "soak.duration is -1m0s, and no time is less than none: write for instance 30m", never},

		{v1alpha1.Gate{Window: span("0 9 * * 1-5", "Asia/Seoul", 8*time.Hour)}, evidence(), W, "the window opens on Thu 2026-11-26 09:00 Asia/Seoul", at("2026-11-26T00:00:00Z")},
		{v1alpha1.Gate{Window: span("0 9 * * 1-5", "", 8*time.Hour)}, evidence(), P, "the window is open until Wed 2026-11-25 17:00 UTC", never},
		{v1alpha1.Gate{Window: span("* * * * *", "", time.Minute)}, evidence(), P, "the window is open until Thu 2026-11-26 13:31 UTC at least", never},
		{v1alpha1.Gate{Window: span("0 9 * *", "", time.Hour)}, evidence(), F, `the cron expression "0 9 * *" cannot be read, for it has 4 fields: write five fields`, never},
		{v1alpha1.Gate{Freeze: span("0 18 * * 3", "Asia/Seoul", 90*time.Second+12*time.Hour)}, evidence(), W, "nothing may begin before Thu 2026-11-26 06:01:30 Asia/Seoul, when the freeze ends", at("2026-11-25T21:01:30Z")},
		{v1alpha1.Gate{Freeze: span("* * * * *", "", time.Minute)}, evidence(), W, "nothing may begin before Thu 2026-11-26 13:31 UTC at least, for one freeze follows on another", at("2026-11-26T13:31:00Z")},
		{v1alpha1.Gate{Freeze: span("0 18 * * 5", "Asia/Seoul", 62*time.Hour)}, evidence(), P, "there is no freeze before Fri 2026-11-27 18:00 Asia/Seoul", never},
		{v1alpha1.Gate{Freeze: span("0 0 30 2 *", "", time.Hour)}, evidence(), F, `the cron expression "0 0 30 2 *" never comes: there is no such day in any year`, never},

		{approval("reviewed", 0), evidence(), P, "commit 4f2a9c1 is signed by ann@example.com", never},
		{approval("unsigned", 1), evidence(), F, "commit 4f2a9c1, which asks for v8, is approved by nobody, for it is not signed", never},
		{approval("reading", 1), evidence(), W, "it is not known yet who approves commit 4f2a9c1, which asks for v8: it is being read", never},
		{approval("other", 1), evidence(), F, "commit 4f2a9c1, which asks for v8, is not signed by a key of Secret approvers", never},
		{approval("reviewed", 2), evidence(), F, "2 approvals are asked for, and a commit has one signature: set approval.minimum to 1, or ask for reviews", never},
		{approval("reviewed", -1), evidence(), F, "approval.minimum is -1: set it to 1", never},
		{approval("reviewed", 1), Evidence{Model: "fraud", Candidate: Version{Name: "v8"}}, F, "no commit asks for v8, so that nobody can have approved one: manage fraud in Git", never},
		{v1alpha1.Gate{Approval: &v1alpha1.ApprovalGate{KeysSecretRef: &meta.LocalObjectReference{}}}, evidence(), F, "approval.keysSecretRef names no Secret", never},
		{v1alpha1.Gate{Approval: &v1alpha1.ApprovalGate{}}, evidence(), F, "approval says nothing: give it reviews, or keysSecretRef", never},

		{reviews("two", 0), evidence(), P, "pull request 12, which brought v8, is approved by ana, ben", never},
		{reviews("two", 2), evidence(), P, "pull request 12, which brought v8, is approved by ana, ben", never},
		{reviews("two", 3), evidence(), F, "pull request 12, which brought v8, has 2 approvals (ana, ben) of the 3 needed", never},
		{reviews("one", 2), evidence(), F, "pull request 12, which brought v8, has 1 approval (ana) of the 2 needed; ben's is of an older commit; eve may not write to the repository", never},
		{reviews("none", 1), evidence(), F, "pull request 12, which brought v8, needs 1 approval and has none; ann has opened it", never},
		{reviews("nobody", 2), evidence(), F, "pull request 12, which brought v8, needs 2 approvals and has none", never},
		{reviews("pushed", 1), evidence(), F, "commit c0ffee0, which asks for v8, is approved by nobody, for it came without a pull request", never},
		{reviews("down", 1), evidence(), W, "it is not known yet who approves commit c0ffee0, which asks for v8: the forge answers 503", never},
		{reviews("unasked", 1), evidence(), W, "it is not known yet which pull request brought v8", never},
		{reviews("two", -1), evidence(), F, "approval.minimum is -1: set it to 1", never},
		{reviews("two", 1), Evidence{Model: "fraud", Candidate: Version{Name: "v8"}}, F, "no commit asks for v8, so that nobody can have approved one: manage fraud in Git", never},
		{v1alpha1.Gate{Name: "two", Approval: &v1alpha1.ApprovalGate{KeysSecretRef: &meta.LocalObjectReference{Name: "x"}, Reviews: &v1alpha1.ReviewApproval{}}}, evidence(), F, "approval has keysSecretRef and reviews, and may have one of them only: make two gates of it", never},
		{reviewsBy("two", v1alpha1.ReviewApproval{Users: []string{""}}), evidence(), F, "approval.reviews.users has an empty name: write a name, or leave the list out", never},
		{reviewsBy("two", v1alpha1.ReviewApproval{Teams: []string{"ml/"}}), evidence(), F, `approval.reviews.teams has "ml/", which is no name of a team`, never},
		{reviewsBy("two", v1alpha1.ReviewApproval{Teams: []string{"ml/risk", ""}}), evidence(), F, `approval.reviews.teams has "", which is no name of a team`, never},
		{reviewsBy("two", v1alpha1.ReviewApproval{Users: []string{"ana"}, Teams: []string{"ml", "ml/platform/leads"}}), evidence(), P, "pull request 12", never},

		{measured("measured"), evidence(), P, "errors is 0.001, at most 0.01 is allowed; 3 of 3 samples succeeded", never},
		{measured("bad"), evidence(), F, "errors is 0.5, at most 0.01 is allowed; 1 sample failed, and none may", never},
		{measured("under"), evidence(), W, "errors is 0.001, at most 0.01 is allowed; 1 of 3 samples succeeded", never},
		{measured("mute"), evidence(), F, "errors has failed", never},
		{measured("unknown"), evidence(), W, "errors has not been measured yet", never},
		{v1alpha1.Gate{Name: "measured", Analysis: &v1alpha1.Analysis{}}, evidence(), F, "the analysis needs exactly one of prometheus and http", never},

		{v1alpha1.Gate{}, evidence(), F, "the gate says nothing: give it one of cel, soak, window, freeze, approval and analysis", never},
		{v1alpha1.Gate{CEL: "true", Soak: &v1alpha1.SoakGate{}, Analysis: &v1alpha1.Analysis{}}, evidence(), F, "the gate has cel and soak and analysis, and may have one kind only: make several gates of it", never},
		{cel("candidate.metric.auc > 1"), evidence(), F, "the expression does not compile at 1:10: there is no field metric: mend its spelling, or use one that there is", never},
		{cel("candidate.metrics.auc"), evidence(), F, "the expression gives a number, and has to give true or false: compare it with something", never},
		{cel(strings.Repeat("\x00\n", 9000)), Evidence{}, F, "the expression is longer than 4096 characters: shorten it", never},
		{cel("candidate.version == model"), Evidence{}, P, `version of  is "", and "" (the model) is needed`, never},
		{cel("candidate.age > duration('1h')"), Evidence{Candidate: Version{Name: "v8"}}, F, "it is not known how old v8 is", never},
		{soak("a\nb\x1b[31m", time.Hour), Evidence{Model: strings.Repeat("x", 5000)}, F, "xxxxx", never},
	} {
		findings, next := Check([]Required{{Gate: c.gate}}, c.evidence, now)
		got := findings[0]
		if got.Result != c.result || !strings.HasPrefix(got.Message, c.message) || c.message == "" || got.Gate != c.gate.Name || !next.Equal(c.next) {
			t.Errorf("%.80s:\n got %s %q, next %s\nwant %s %q, next %s", c.gate.CEL, got.Result, got.Message, next, c.result, c.message, c.next)
		}
		if utf8.RuneCountInString(got.Message) > 1024 || strings.ContainsAny(got.Message, "\n\x1b") {
			t.Errorf("this is no sentence: %q", got.Message)
		}
	}
}

func TestCheckKeepsTheOrder(t *testing.T) {
	gates := []Required{
		{approval("reviewed", 1), "platform"}, {soak("staging", 30*time.Minute), "platform"}, {Gate: approval("reviewed", 1)},
		{Gate: v1alpha1.Gate{Name: "office-hours", Window: span("0 9 * * 1-5", "Asia/Seoul", 8*time.Hour)}},
	}
	findings, next := Check(gates, evidence(), now)
	want := []v1alpha1.Finding{
		{Gate: "reviewed", Policy: "platform", Result: F, Message: "commit 4f2a9c1, which asks for v8, is not signed by a key of Secret approvers"},
		{Gate: "soaked", Policy: "platform", Result: W, Message: "v8 has served in staging for 12m of 30m"},
		{Gate: "reviewed", Result: P, Message: "commit 4f2a9c1 is signed by ann@example.com"},
		{Gate: "office-hours", Result: W, Message: "the window opens on Thu 2026-11-26 09:00 Asia/Seoul"},
	}
	if len(findings) != len(want) {
		t.Fatalf("%v", findings)
	}
	for i := range want {
		if findings[i] != want[i] {
			t.Errorf("got %v, want %v", findings[i], want[i])
		}
	}
	if soonest := now.Add(18 * time.Minute); !next.Equal(soonest) {
		t.Errorf("next is %s, want %s", next, soonest)
	}
	if findings, next := Check(nil, Evidence{}, now); len(findings) != 0 || !next.IsZero() {
		t.Errorf("no gates: %v, %s", findings, next)
	}
}

// A gate that waits comes to another result at the time that is given, and not before.
func TestNextIsWhenItChanges(t *testing.T) {
	for _, g := range []v1alpha1.Gate{
		soak("staging", 30*time.Minute), cel("candidate.age >= duration('1h')"), cel("now > timestamp('2026-12-01T00:00:00Z')"),
		cel("candidate.age > duration('90m') && candidate.age < duration('100h')"),
		{Window: span("0 9 * * 1-5", "Asia/Seoul", 8*time.Hour)}, {Freeze: span("0 18 * * 3", "Asia/Seoul", 12*time.Hour)},
	} {
		gates, e := []Required{{Gate: g}}, evidence()
		_, next := Check(gates, e, now)
		early, _ := Check(gates, e, next.Add(-time.Second))
		then, again := Check(gates, e, next)
		if early[0].Result != W || then[0].Result != P || !again.IsZero() {
			t.Errorf("%v: %v before, %v at %s", g, early, then, next)
		}
	}
}

// A gate cannot take the evidence of another one, whatever its name.
func TestKeysDiffer(t *testing.T) {
	keys := map[string]Required{}
	for _, r := range []Required{
		{Gate: v1alpha1.Gate{Name: "reviewed"}}, {v1alpha1.Gate{Name: "reviewed"}, "platform"}, {Gate: v1alpha1.Gate{Name: "platform/reviewed"}},
		{Gate: v1alpha1.Gate{Name: "/reviewed"}}, {v1alpha1.Gate{Name: "/reviewed"}, "platform"}, {v1alpha1.Gate{Name: "x/reviewed"}, "platform"}, {Gate: v1alpha1.Gate{Name: ""}}, {v1alpha1.Gate{}, "platform"},
	} {
		if other, taken := keys[r.Key()]; taken {
			t.Errorf("%v and %v have the same key %q", r, other, r.Key())
		}
		keys[r.Key()] = r
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		gate v1alpha1.Gate
		want string
	}{
		{cel("candidate.metrics.auc >= current.metrics.auc - 0.002"), ""},
		{soak("staging", 0), ""},
		{v1alpha1.Gate{Window: span("@daily", "Europe/Berlin", time.Hour)}, ""},
		{v1alpha1.Gate{Freeze: span("0 0 24 12 *", "", 240*time.Hour)}, ""},
		{approval("reviewed", 1), ""},
		{measured("errors"), ""},
		{cel("candidate.metrics.auc >="), "the expression does not compile at 1:25"},
		{soak("", time.Hour), "soak.stage is empty"},
		{v1alpha1.Gate{Window: span("@daily", "Europe/Berlin", 0)}, "the duration 0s is no time"},
		{v1alpha1.Gate{Freeze: span("@daily", "Berlin", time.Hour)}, `the time zone "Berlin" is not known`},
		{approval("reviewed", 3), "3 approvals are asked for"},
		{v1alpha1.Gate{Analysis: &v1alpha1.Analysis{HTTP: &v1alpha1.HTTPCheck{}, Success: "value <"}}, "success: the expression does not compile at 1:8"},
		{v1alpha1.Gate{}, "the gate says nothing"},
	} {
		err := Validate(c.gate)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.gate, err, c.want)
		}
	}
}

func FuzzCheckCEL(f *testing.F) {
	for _, text := range []string{
		"candidate.metrics.auc >= current.metrics.auc - 0.002", "first || candidate.age < duration('1h')", "now - candidate.lineage.trainedAt > duration('5m')",
		"labels.all(l, labels[l] != '') && candidate.artifact.size / 3 > 1.5e3", "current == null ? false : has(current.format.name)",
	} {
		f.Add(text, "0.941", "v8")
	}
	f.Fuzz(func(t *testing.T, text, metric, name string) {
		for _, e := range []Evidence{evidence(), first(), {}} {
			e.Candidate.Name = name
			e.Candidate.Metrics = map[string]string{"auc": metric, name: metric}
			findings, next := Check([]Required{{Gate: cel(text)}}, e, now)
			got := findings[0]
			if got.Message == "" || utf8.RuneCountInString(got.Message) > 1024 || strings.Contains(got.Message, "internal error") {
				t.Errorf("%q: %q", text, got.Message)
			}
			if (got.Result == W) != next.After(now) {
				t.Errorf("%q: %s, next %s", text, got.Result, next)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for name, gates := range map[string][]Required{
		"cel fails":  {{Gate: cel("candidate.metrics.auc >= current.metrics.auc - 0.002")}},
		"cel passes": {{Gate: cel("candidate.metrics.auc >= current.metrics.auc - 0.003")}},
		"usual": {{Gate: cel("first || candidate.metrics.auc >= current.metrics.auc - 0.002")}, {Gate: soak("staging", 30*time.Minute)}, {Gate: approval("reviewed", 1)},
			{Gate: v1alpha1.Gate{Window: span("0 9 * * 1-5", "Asia/Seoul", 8*time.Hour)}}},
		"window":      {{Gate: v1alpha1.Gate{Window: span("0 9 * * 1-5", "Asia/Seoul", 8*time.Hour)}}},
		"cel in time": {{Gate: cel("candidate.age > duration('1h')")}},
	} {
		b.Run(name, func(b *testing.B) {
			e := evidence()
			b.ReportAllocs()
			for b.Loop() {
				Check(gates, e, now)
			}
		})
	}
}
