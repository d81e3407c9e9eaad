package report

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/plan"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// github is how many characters GitHub takes.
const github = 65536

func ref(kind, namespace, name string) agent.Ref {
	group := map[string]string{"Deployment": "apps", "Model": "sluice.dev", "Job": "batch", "InferenceService": "serving.kserve.io"}[kind]
	return agent.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name}
}

func create(r agent.Ref) agent.Change {
	return agent.Change{Ref: r, Verb: agent.Create, Reason: "new in Git"}
}

func remove(r agent.Ref) agent.Change {
	return agent.Change{Ref: r, Verb: agent.Delete, Reason: "left Git"}
}

// edit is a change of an object, with the fields that the agent's own diff finds.
func edit(t testing.TB, r agent.Ref, before, after string) agent.Change {
	t.Helper()
	var a, b map[string]any
	for text, into := range map[string]*map[string]any{before: &a, after: &b} {
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	return agent.Change{Ref: r, Verb: agent.Update, Reason: "changed in Git", Fields: plan.Diff(r, a, b)}
}

// kept is so many objects in which nothing changes.
func kept(n int) []agent.Change {
	var changes []agent.Change
	for i := range n {
		changes = append(changes, agent.Change{Ref: ref("ConfigMap", "shop", fmt.Sprintf("kept-%d", i)), Verb: agent.Keep})
	}
	return changes
}

func planned(changes ...agent.Change) agent.Plan { return agent.Plan{Changes: changes} }

// asked is a report about nothing yet.
func asked(overlays ...Overlay) Report {
	return Report{
		Number: 12, Overlays: overlays, Unaffected: 41,
		Head: agent.Revision{Name: "retune-web", Commit: "4f2a9c1d0e6b7a8f4f2a9c1d0e6b7a8f4f2a9c1d", Subject: "Retune web"},
		Base: agent.Revision{Name: "main", Commit: "0b1c2d3e4f5a6b7c0b1c2d3e4f5a6b7c0b1c2d3e"},
		Time: time.Date(2026, 11, 25, 15, 25, 3, 0, time.UTC),
	}
}

func tuned(t testing.TB) Report {
	web := edit(t, ref("Deployment", "shop", "web"), `
spec:
  replicas: 2
  template: {spec: {containers: [{name: web, image: "nginx:1.26", resources: {limits: {memory: 256Mi}}}]}}
`, `
spec:
  replicas: 3
  template: {spec: {containers: [{name: web, image: "nginx:1.27", resources: {limits: {memory: 512Mi, cpu: 500m}}}]}}
`)
	return asked(Overlay{Name: "shop", Path: "overlays/shop", Plan: planned(append(kept(12), web)...)})
}

func fraud() Model {
	return Model{
		Name: "fraud", Stage: "production",
		From: Version{
			Name: "v7", Metrics: map[string]string{"auc": "0.941", "p95LatencyMs": "12"}, Size: 17_310_000,
			Digest: "sha256:5b8557753eb733c001fb8f734f0ae13d252cefe8dcebd0b0e7b9c8272bbbe57d", Format: v1alpha1.ModelFormat{Name: "sklearn", Version: "1"},
			Lineage: v1alpha1.Lineage{Run: "fraud-train-20260107", Dataset: "s3://data/fraud/2026-01-07/", Commit: "8c1d2e3f"},
		},
		To: Version{
			Name: "v8", Metrics: map[string]string{"auc": "0.944", "p95LatencyMs": "11", "f1": "0.902"}, Size: 18_040_000,
			Digest: "sha256:9f4c8135b71deb49ab08e7f379bc6bd6b5bf9a5cd4a7e3c51bd2a6c10ced9148", Format: v1alpha1.ModelFormat{Name: "sklearn", Version: "1"},
			Lineage: v1alpha1.Lineage{Run: "fraud-train-20260108", Dataset: "s3://data/fraud/2026-01-08/", Commit: "8c1d2e3f",
				TrainedAt: &metav1.Time{Time: time.Date(2026, 1, 8, 3, 41, 0, 0, time.UTC)}},
		},
		Findings: []v1alpha1.Finding{
			{Gate: "signed", Policy: "house", Result: v1alpha1.FindingPassed, Message: "the artifact is signed by ci"},
			{Gate: "not-worse", Result: v1alpha1.FindingPassed, Message: "auc of v8 is 0.944, and at least 0.941 - 0.002 = 0.939 is needed"},
			{Gate: "soaked", Result: v1alpha1.FindingPassed, Message: "v8 has served in staging for 52m, and 30m is needed"},
			{Gate: "office-hours", Result: v1alpha1.FindingWaiting, Message: "the window opens on Thu 2026-11-26 09:00 Asia/Seoul"},
		},
		Canary: []v1alpha1.CanaryStep{
			{Traffic: 10, Hold: metav1.Duration{Duration: 5 * time.Minute}}, {Traffic: 50, Hold: metav1.Duration{Duration: 10 * time.Minute}},
		},
	}
}

func promoted(t testing.TB) Report {
	model := edit(t, ref("Model", "fraud", "fraud"), `spec: {stages: [{name: staging, version: v8}, {name: production, version: v7}]}`,
		`spec: {stages: [{name: staging, version: v8}, {name: production, version: v8}]}`)
	r := asked(Overlay{Name: "models", Path: "overlays/models/fraud", Plan: planned(append(kept(3), model)...)})
	r.Models = []Model{fraud()}
	return r
}

func violated(t testing.TB) Report {
	r := tuned(t)
	r.Overlays[0].Violations = []Problem{
		{Policy: "no-latest", Ref: ref("Deployment", "shop", "web"), File: "overlays/shop/web.yaml", Line: 14,
			Message: "container web has the image nginx:latest, which may be another one tomorrow: name a version"},
		{Policy: "limits", Ref: ref("Deployment", "shop", "web"), File: "overlays/shop/web.yaml", Line: 9, Message: "container web has no memory limit: set resources.limits.memory"},
	}
	r.Overlays[0].Plan.Violations = []agent.Violation{
		{Ref: ref("Job", "shop", "migrate"), Verb: agent.Replace, Message: "an immutable field changes: annotate it with sluice.dev/force: replace, or give it another name"},
		{Ref: ref("ConfigMap", "shop", "theirs"), Verb: agent.Update, Waits: true, Message: "it belongs to Helm release x: remove it there first, or annotate it with sluice.dev/force: owner to take it over"},
	}
	return r
}

func broken(t testing.TB) Report {
	r := tuned(t)
	r.Overlays = append(r.Overlays, Overlay{Name: "kubeflow", Path: "overlays/kubeflow", Trouble: &Problem{
		File: "overlays/kubeflow/kustomization.yaml", Line: 3, Message: "resources names notebooks.yml, which is not there: did you mean notebooks.yaml?"}})
	r.Models = []Model{{Name: "fraud", Stage: "production", From: Version{Name: "v7"}, To: Version{Name: "v9"},
		Trouble: &Problem{File: "overlays/models/fraud/model.yaml", Line: 31, Message: "there is no ModelVersion of fraud with the version v9: register it with sluice model register, or name another"}}}
	return r
}

func deleted(t testing.TB) Report {
	r := tuned(t)
	replaced := agent.Change{Ref: ref("Job", "shop", "migrate"), Verb: agent.Replace, Reason: "an immutable field changes, and the object asks for sluice.dev/force: replace",
		Fields: []agent.Field{{Path: "spec.template.spec.containers[migrate].image", Old: "shop/migrate:6", New: "shop/migrate:7"}}}
	r.Overlays[0].Plan.Changes = append(r.Overlays[0].Plan.Changes, replaced, remove(ref("PersistentVolumeClaim", "shop", "orders")), create(ref("ConfigMap", "shop", "flags")))
	r.Overlays = append([]Overlay{{Name: "docs", Path: "overlays/docs", Plan: planned(create(ref("Deployment", "docs", "site")))}}, r.Overlays...)
	return r
}

func secret(t testing.TB) Report {
	settings := edit(t, ref("ConfigMap", "shop", "settings"), `
data:
  color: blue
  DB_PASSWORD: hunter1
  app.properties: |
    db.user=shop
    db.password=correct horse
  url: https://shop:hunter2@db.example/shop
  maxTokens: "4096"
`, `
data:
  color: red
  DB_PASSWORD: hunter3
  app.properties: |
    db.user=shopper
    db.password=battery staple
  url: https://shop:hunter4@db2.example/shop
  hub: hf_abcdefghijklmnopqrstuvwxyz
  maxTokens: "8192"
`)
	key := edit(t, ref("Secret", "shop", "key"), `{data: {key: aHVudGVyNQ==}}`, `{data: {key: aHVudGVyNg==}, stringData: {extra: hunter7}, type: Opaque}`)
	return asked(Overlay{Name: "shop", Path: "overlays/shop", Plan: planned(settings, key)})
}

func large(testing.TB) Report { return objects(5000) }

func objects(many int) Report {
	var changes []agent.Change
	for n := range many {
		name := fmt.Sprintf("settings-%04d", n)
		switch n % 50 {
		case 0:
			changes = append(changes, create(ref("ConfigMap", "shop", name)))
		case 1:
			if n%100 == 1 {
				changes = append(changes, remove(ref("ConfigMap", "shop", name)))
				continue
			}
			fallthrough
		default:
			changes = append(changes, agent.Change{Ref: ref("ConfigMap", "shop", name), Verb: agent.Update, Reason: "changed in Git", Fields: []agent.Field{
				{Path: "data.color", Old: "blue", New: "red"}, {Path: "data.size", Old: `"12"`, New: `"13"`}}})
		}
	}
	return asked(Overlay{Name: "shop", Path: "overlays/shop", Plan: planned(changes...)})
}

// longer is what is folded, and not left out.
func longer(t testing.TB) Report {
	var old, now strings.Builder
	for n := range 20 {
		fmt.Fprintf(&old, "  key-%02d: %d\n", n, n)
		fmt.Fprintf(&now, "  key-%02d: %d\n", n, n+1)
	}
	one := edit(t, ref("ConfigMap", "shop", "settings"), "data:\n"+old.String(), "data:\n"+now.String())
	var many []agent.Change
	for n := range 45 {
		many = append(many, create(ref("ConfigMap", "docs", fmt.Sprintf("page-%02d", n))))
	}
	many = append(many, remove(ref("ConfigMap", "docs", "index")))
	return asked(Overlay{Name: "shop", Path: "overlays/shop", Plan: planned(one)}, Overlay{Name: "docs", Path: "overlays/docs", Plan: planned(many...)},
		Overlay{Name: "jobs", Path: "overlays/jobs", Plan: planned(kept(2)...)})
}

// empty is of a work tree, in which nothing has been changed.
func empty(testing.TB) Report {
	r := asked(Overlay{Name: "shop", Path: "overlays/shop", Plan: planned(kept(13)...)})
	r.Number, r.Head, r.Unaffected = 0, agent.Revision{}, 1
	return r
}

func outOfDate(t testing.TB) Report {
	r := tuned(t)
	r.NewHead = "9e8d7c6b5a4f3e2d9e8d7c6b5a4f3e2d9e8d7c6b"
	return r
}

// conflicted is of a head that cannot be merged.
func conflicted(testing.TB) Report {
	r := asked()
	r.Name, r.Unaffected = agentName, 0
	r.Trouble = &Problem{File: "overlays/shop/web.yaml", Message: "both the pull request and main have changed it: merge main into the branch, or rebase it"}
	return r
}

// unreached is of a head that cannot be fetched, for more reasons than fit.
func unreached(testing.TB) Report {
	r := asked()
	r.Unaffected, r.Trouble = 0, &Problem{Message: "the head cannot be fetched: " + strings.Repeat("the connection broke off ", 20)}
	return r
}

func ofBlue(t testing.TB) Report {
	r := tuned(t)
	r.Name = agentName
	return r
}

// full has a text in every place where one can be.
func full(s string) Report {
	f := agent.Field{Path: s, Old: s, New: s}
	r := agent.Ref{Group: "example.com", Kind: s, Namespace: s, Name: s}
	p := Problem{Policy: s, Ref: r, File: s, Line: 3, Message: s}
	version := func(name string) Version {
		return Version{Name: name, Metrics: map[string]string{s: s}, Digest: s, Size: 3, Format: v1alpha1.ModelFormat{Name: s, Version: s},
			Lineage: v1alpha1.Lineage{Run: s, Pipeline: s, Dataset: s, Commit: s}}
	}
	m := Model{Name: s, Stage: s, From: version(s), To: version("v8" + s), Violations: []Problem{p, {Message: s}}, Trouble: &Problem{Message: s},
		Findings: []v1alpha1.Finding{{Gate: s, Policy: s, Result: v1alpha1.FindingWaiting, Message: s}, {Gate: s, Result: v1alpha1.FindingFailed, Message: s}}}
	later := m
	later.Trouble, later.Findings = nil, later.Findings[:1]
	report := asked(
		Overlay{Name: s, Path: s, Cluster: s, Violations: []Problem{p}, Plan: agent.Plan{
			Changes: []agent.Change{
				{Ref: r, Verb: agent.Update, Reason: s, Fields: []agent.Field{f, {Path: s, New: s}, {Path: s, Old: s}}},
				{Ref: r, Verb: agent.Delete, Reason: s}, {Ref: r, Verb: agent.Replace, Reason: s, Fields: []agent.Field{f, f, f, f, f, f, f, f, f, f, f, f, f, {Path: "…", New: s}}},
				{Ref: r, Verb: agent.Create, Reason: s}, {Ref: r, Verb: agent.Forget, Reason: s},
			},
			Violations: []agent.Violation{{Ref: r, Verb: agent.Delete, Message: s}, {Ref: r, Verb: agent.Update, Message: s, Waits: true}}}},
		Overlay{Name: s, Path: s, Trouble: &Problem{Message: s}}, Overlay{Name: s, Path: s})
	report.Models = []Model{m, later, {Name: s, Stage: s, From: version("v7" + s)}, {Name: s, Stage: s, To: version("v8" + s)}}
	report.Head, report.Base = agent.Revision{Name: s, Commit: s, Subject: s}, agent.Revision{Name: s, Commit: s}
	return report
}

var evil = "a](https://evil.example) @everyone #1 $(rm -rf /) `x` ```` <img src=x>\n\n# b | c \u202e\n/close\n</details>"

func TestReports(t *testing.T) {
	for _, c := range []struct {
		name    string
		report  func(testing.TB) Report
		limit   int
		state   State
		summary string
	}{
		{"tuned", tuned, github, Success, "1 overlay, 1 object changes"},
		{"promotion", promoted, github, Success, "1 overlay, 1 object changes, 1 model promotes"},
		{"violation", violated, github, Failure, "3 problems: overlays/shop/web.yaml:14: container web has the image nginx:latest, which may be another one tomorrow: name a version"},
		{"broken", broken, github, Failure, "2 problems: overlays/kubeflow/kustomization.yaml:3: resources names notebooks.yml, which is not there: did you mean notebooks.yaml?"},
		{"deleted", deleted, github, Success, "2 overlays, 5 objects change (1 deleted, 1 replaced)"},
		{"secret", secret, github, Success, "1 overlay, 2 objects change"},
		{"large", large, github, Success, "1 overlay, 5000 objects change (50 deleted)"},
		{"folded", longer, github, Success, "2 overlays, 47 objects change (1 deleted)"},
		{"nothing", empty, github, Success, "nothing changes"},
		{"stale", outOfDate, github, Pending, "the pull request has moved on: the plan is being made anew"},
		{"named", ofBlue, github, Success, "1 overlay, 1 object changes"},
		{"conflict", conflicted, github, Failure, "no plan: overlays/shop/web.yaml: both the pull request and main have changed it: merge main into the branch, or rebase it"},
		{"unreached", unreached, github, Failure, "no plan: the head cannot be fetched: the connection broke off the connection broke off the connection broke off the connection broke off th…"},
		{"hostile", func(testing.TB) Report { return full(evil) }, 0, Failure,
			"8 problems: overlay a](https://evil.example) @everyone #1 $(rm -rf /) `x` ```` <img src=x>\\n\\n# b | c \\u202e\\n/close\\n</details> does not r…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.report(t)
			got := Markdown(r, c.limit)
			file := filepath.Join("testdata", c.name+".md")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the report is not as in %s:\n%s", file, got)
			}
			harmlessly(t, got)
			if c.limit > 0 && len(got) > c.limit {
				t.Errorf("the report has %d bytes", len(got))
			}
			if r.State() != c.state {
				t.Errorf("the state is %s, want %s", r.State(), c.state)
			}
			if r.Summary() != c.summary {
				t.Errorf("the summary is %q, want %q", r.Summary(), c.summary)
			}
			if n := len([]rune(r.Summary())); n > longestSummary {
				t.Errorf("the summary has %d characters", n)
			}
			if strings.Contains(got, "hunter") || strings.Contains(got, "battery") || strings.Contains(got, "aHVudGVy") || strings.Contains(got, "hf_") {
				t.Error("a secret shows")
			}
		})
	}
}

// Every limit is kept, and nothing is cut in the middle.
func TestLimits(t *testing.T) {
	many := deleted(t)
	for n := range 6 {
		many.Overlays = append(many.Overlays, longer(t).Overlays...)
		many.Models = append(many.Models, fraud())
		many.Overlays[n].Violations = violated(t).Overlays[0].Violations
	}
	for name, r := range map[string]Report{"many": many, "large": objects(1000), "stale": outOfDate(t), "promotion": promoted(t), "hostile": full(evil)} {
		whole, before := Markdown(r, 0), ""
		for limit := 1; limit < 2*len(whole); limit += max(1, limit*3/4) {
			got := Markdown(r, limit)
			if len(got) > limit {
				t.Fatalf("%s: %d bytes for a limit of %d", name, len(got), limit)
			}
			if got == before {
				continue
			}
			before = got
			harmlessly(t, got)
			if limit < 500 {
				continue // not more than a part of a sentence
			}
			if len(got) < len(whole) && len(whole) > limit && !strings.Contains(got, "**Left out**") && !strings.Contains(got, "…") {
				t.Errorf("%s: with %d bytes it does not say what was left out:\n%s", name, limit, got)
			}
		}
		if got := Markdown(r, len(whole)); got != whole {
			t.Errorf("%s: with as many bytes as it needs it is shorter", name)
		}
	}
}

func BenchmarkMarkdown(b *testing.B) {
	r := large(b)
	for b.Loop() {
		Markdown(r, github)
	}
}

func FuzzMarkdown(f *testing.F) {
	for n, s := range hostile {
		f.Add(s, n*1000)
	}
	f.Add(evil, 0)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		r := full(s)
		got := Markdown(r, limit)
		harmlessly(t, got)
		if limit > 0 && len(got) > limit {
			t.Errorf("%d bytes for a limit of %d", len(got), limit)
		}
		if n := len([]rune(r.Summary())); n > longestSummary {
			t.Errorf("the summary has %d characters", n)
		}
		r.Trouble = &Problem{File: s, Message: s}
		harmlessly(t, Markdown(r, limit))
		if n := len([]rune(r.Summary())); n > longestSummary {
			t.Errorf("the summary has %d characters", n)
		}
		harmlessly(t, strings.NewReplacer("**", "").Replace(Closing(fullMerge(s))))
		harmlessly(t, Withdrawn(s, s, "Closed without a merge"))
		harmlessly(t, Settled(s, s))
		if said := fullMerge(s).Summary(); len([]rune(said)) > longestSummary || strings.ContainsAny(said, "\n\r") {
			t.Errorf("the summary of the merge is %q", said)
		}
	})
}
