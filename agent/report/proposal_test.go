package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func proposed(testing.TB) Proposal {
	return Proposal{
		Model: fraud(), Soak: &Soak{Stage: "staging", Since: time.Date(2026, 11, 25, 14, 33, 0, 0, time.UTC)},
		Branch: "sluice/promote/fraud-production-v8", Commit: "4f2a9c1d0e6b7a8f4f2a9c1d0e6b7a8f4f2a9c1d",
	}
}

// failing is a version that does not pass any more, proposed by an agent with a name that would merge it.
func failing(t testing.TB) Proposal {
	p := proposed(t)
	p.Name, p.Auto = agentName, true
	p.Model.Findings[1] = v1alpha1.Finding{Gate: "not-worse", Result: v1alpha1.FindingFailed, Message: "auc of v8 is 0.93, and at least 0.941 - 0.002 = 0.939 is needed"}
	return p
}

func firstVersion(t testing.TB) Proposal {
	p := proposed(t)
	p.Model.From, p.Model.Findings, p.Model.Canary, p.Soak, p.Branch = Version{}, nil, nil, nil, ""
	return p
}

func reverted(t testing.TB) Proposal {
	p := proposed(t)
	p.Branch, p.Soak = "sluice/revert/fraud-production-v8", nil
	p.Revert = &Revert{
		Promotion: "fraud/fraud-production-v8-4f2a9c1", Traffic: 10, At: time.Date(2026, 11, 25, 15, 25, 3, 0, time.UTC),
		Message: "errors: errors is 0.042, and at most 0.01 is allowed; v7 has all traffic again",
		Checks: []v1alpha1.AnalysisStatus{
			{Name: "latency", Result: v1alpha1.AnalysisRunning, Value: "11.7", Message: "latency is 11.7, and at most 20 is allowed"},
			{Name: "errors", Result: v1alpha1.AnalysisFailed, Value: "0.042", Message: "errors is 0.042, and at most 0.01 is allowed"},
		},
	}
	return p
}

// revertedToNothing is of a version that never got ready, and was the first.
func revertedToNothing(t testing.TB) Proposal {
	p := reverted(t)
	p.Model.From = Version{}
	p.Revert.Traffic, p.Revert.Checks, p.Revert.Message, p.Revert.Promotion = 0, nil, "v8 is not ready after 10m: the image cannot be pulled", ""
	return p
}

// retrained is what a run has made, without a stage.
func retrained(t testing.TB) Proposal {
	p := proposed(t)
	p.Soak, p.Model.Stage, p.Model.Findings, p.Model.Canary = nil, "", nil, nil
	p.Branch = "sluice/retrain/fraud-v8"
	p.Retrained = &Retrained{
		Retraining: "fraud-weekly", Run: "ml/fraud-weekly-20260108t0300z", Slot: time.Date(2026, 1, 8, 3, 0, 0, 0, time.UTC),
		Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: "0 3 * * 4 in Asia/Seoul"}, Took: 41*time.Minute + 7*time.Second, Attempts: 2,
		Artifact: "s3://models/fraud/runs/fraud-weekly-20260108t0300z/2/model.joblib",
	}
	return p
}

// retrainedHeld is for a stage whose gate it fails.
func retrainedHeld(t testing.TB) Proposal {
	p := retrained(t)
	failing := failing(t)
	p.Name, p.Auto, p.Model = failing.Name, true, failing.Model
	p.Retrained.Took, p.Retrained.Attempts = 0, 1
	p.Retrained.Trigger = v1alpha1.RunTrigger{Kind: v1alpha1.TriggerData, Message: "12 new objects below s3://data/fraud/"}
	return p
}

// fullProposals have a text in every place where one can be.
func fullProposals(s string) []Proposal {
	p := Proposal{Name: s, Model: full(s).Models[0], Soak: &Soak{Stage: s}, Branch: s, Commit: s, Auto: true}
	open, back, first := p, p, p
	open.Model.Trouble, open.Model.Violations = nil, nil
	check := v1alpha1.AnalysisStatus{Name: s, Result: v1alpha1.AnalysisFailed, Value: s, Message: s}
	back.Revert = &Revert{Promotion: s, Message: s, Traffic: 3, Checks: []v1alpha1.AnalysisStatus{check, {Name: s, Result: v1alpha1.AnalysisResult(s), Value: s, Message: s}}}
	first.Model.Trouble, first.Model.From = nil, Version{}
	made := open
	made.Retrained = &Retrained{Retraining: s, Run: s, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerKind(s), Message: s}, Took: time.Minute, Attempts: 3, Artifact: s}
	return []Proposal{p, open, back, first, made}
}

func TestProposals(t *testing.T) {
	for _, c := range []struct {
		name        string
		proposal    func(testing.TB) Proposal
		title, held string
	}{
		{"proposal", proposed, "fraud: promote v8 to production", ""},
		{"proposal-held", failing, "fraud: promote v8 to production", "the gate not-worse fails: auc of v8 is 0.93, and at least 0.941 - 0.002 = 0.939 is needed"},
		{"proposal-first", firstVersion, "fraud: promote v8 to production", ""},
		{"revert", reverted, "fraud: revert production from v8 to v7", ""},
		{"revert-to-nothing", revertedToNothing, "fraud: revert production from v8 to nothing", ""},
		{"retrained", retrained, "fraud: v8 from fraud-weekly", ""},
		{"retrained-held", retrainedHeld, "fraud: v8 from fraud-weekly", "the gate not-worse fails: auc of v8 is 0.93, and at least 0.941 - 0.002 = 0.939 is needed"},
		{"retrained-hostile", func(testing.TB) Proposal { return fullProposals(evil)[4] },
			"ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails: v8ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails from ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails",
			""},
		{"proposal-hostile", func(testing.TB) Proposal { return fullProposals(evil)[1] },
			"ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails: promote v8ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails to ahttpsevil.exampleeveryone1rm-rfximgsrcxbcclosedetails",
			""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.proposal(t)
			got := p.Markdown(github)
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
				t.Errorf("the body is not as in %s:\n%s", file, got)
			}
			harmlessly(t, got)
			if p.Title() != c.title {
				t.Errorf("the title is %q, want %q", p.Title(), c.title)
			}
			if !strings.HasSuffix(c.name, "-hostile") && p.Held() != c.held {
				t.Errorf("it is held for %q, want %q", p.Held(), c.held)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	p := failing(t)
	p.Model.Findings[0].Result = v1alpha1.FindingFailed
	if have, want := p.Held(), "2 gates fail, the first of them signed: the artifact is signed by ci"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	p.Model.Violations = []Problem{{File: "model.yaml", Line: 3, Message: "no Friday\nreleases"}}
	if have, want := p.Held(), "it is not allowed: model.yaml:3: no Friday releases"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	p.Model.Trouble = &Problem{Message: "there is no ModelVersion v8 with token=hunter2 ghp_abcdefghijklmnopqrst0123456789"}
	if have, want := p.Held(), "it cannot be promoted: there is no ModelVersion v8 with token=hunter2 ***"; have != want {
		t.Errorf("%q, want %q", have, want)
	}
	p.Revert = &Revert{}
	if have := p.Held(); have != "" {
		t.Errorf("a revert is held: %q", have)
	}
	for _, p := range fullProposals(strings.Repeat("x\n", 5000)) {
		if n := len([]rune(p.Held())); n > longestMessage+1 {
			t.Errorf("it has %d characters", n)
		}
	}
}

// TestProposalLimits: as for reports; and the gates that do not pass stay longest.
func TestProposalLimits(t *testing.T) {
	many := failing(t)
	for n := range 100 {
		many.Model.Findings = append([]v1alpha1.Finding{{Gate: fmt.Sprintf("gate-%d", n), Result: v1alpha1.FindingPassed, Message: strings.Repeat("all is well ", 8)}}, many.Model.Findings...)
		many.Model.To.Metrics[fmt.Sprintf("m%d", n)] = "0.5"
	}
	measured := reverted(t)
	for n := range 50 {
		measured.Revert.Checks = append([]v1alpha1.AnalysisStatus{{Name: fmt.Sprintf("check-%d", n), Result: v1alpha1.AnalysisPassed, Message: strings.Repeat("all is well ", 8)}}, measured.Revert.Checks...)
	}
	for name, p := range map[string]Proposal{"many": many, "measured": measured, "hostile": fullProposals(evil)[0], "hostile revert": fullProposals(evil)[2]} {
		whole := p.Markdown(0)
		for limit := 1; limit < 2*len(whole); limit += max(1, limit*3/4) {
			got := p.Markdown(limit)
			if len(got) > limit {
				t.Fatalf("%s: %d bytes for a limit of %d", name, len(got), limit)
			}
			harmlessly(t, got)
		}
		if p.Markdown(len(whole)) != whole {
			t.Errorf("%s: with as many bytes as it needs it is shorter", name)
		}
	}
	if got := many.Markdown(6000); !strings.Contains(got, "| not-worse") || !strings.Contains(got, "| and 84 more") {
		t.Errorf("the gates are\n%s", got)
	}
	if got := measured.Markdown(5000); !strings.Contains(got, "| errors") || !strings.Contains(got, "| and 32 more") {
		t.Errorf("the checks are\n%s", got)
	}
}

func FuzzProposal(f *testing.F) {
	for n, s := range hostile {
		f.Add(s, n*1000)
	}
	f.Add(evil, 0)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		for _, p := range fullProposals(s) {
			got := p.Markdown(limit)
			harmlessly(t, got)
			if limit > 0 && len(got) > limit {
				t.Errorf("%d bytes for a limit of %d", len(got), limit)
			}
			title := p.Title()
			if len(title) > 4*63+30 || strings.ContainsAny(title, "@#<>`[]()$!\n/\\*") {
				t.Errorf("the title is %q", title)
			}
			if held := p.Held(); strings.ContainsAny(held, "\n\r") {
				t.Errorf("it is held for %q", held)
			}
		}
	})
}
