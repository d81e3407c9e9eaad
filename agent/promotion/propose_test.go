package promotion

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// What a proposal's findings say is written when it means something else, and not as time goes by.
func TestFindingsAlike(t *testing.T) {
	of := func(result v1alpha1.FindingResult, message string) []v1alpha1.Finding {
		return []v1alpha1.Finding{{Gate: "g", Policy: "p", Result: result, Message: message}}
	}
	const passed, waits, fails = v1alpha1.FindingPassed, v1alpha1.FindingWaiting, v1alpha1.FindingFailed
	for _, c := range []struct {
		a, b []v1alpha1.Finding
		same bool
	}{
		{nil, []v1alpha1.Finding{}, true},
		{of(passed, "it is"), nil, false},
		{of(passed, "it is"), of(waits, "it is"), false},
		{of(waits, "v8 has served in staging for 12m of 30m"), of(waits, "v8 has served in staging for 1h0m3s of 30m"), true},
		{of(waits, "v8 has served in staging for 12m of 30m"), of(passed, "v8 has served in staging for 30m, and 30m is needed"), false},
		{of(waits, "v8 does not serve in staging: v7 does"), of(waits, "v8 does not serve in staging: v9 does"), false},
		{of(passed, "the window is open until Wed 2026-11-25 17:00 UTC"), of(passed, "the window is open until Wed 2026-12-02 17:00:30 UTC"), true},
		{of(waits, "age of v8 is 20m, and at least 1h is needed"), of(waits, "age of v8 is 500ms, and at least 1h is needed"), true},
		{of(fails, "auc of v8 is 0.938, and at least 0.939 is needed"), of(fails, "auc of v8 is 0.938, and at least 0.95 is needed"), false},
		{of(passed, "it is"), []v1alpha1.Finding{{Gate: "g", Result: passed, Message: "it is"}}, false},
	} {
		if got := alike(c.a, c.b); got != c.same || alike(c.b, c.a) != got {
			t.Errorf("%v and %v are alike: %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

// A status takes so many findings, and what stands against a version is not among those left out.
func TestFindingsBounded(t *testing.T) {
	var all []v1alpha1.Finding
	for n := range 3 * mostFindings {
		f := v1alpha1.Finding{Gate: fmt.Sprint(n), Result: v1alpha1.FindingPassed}
		if n >= 3*mostFindings-2 {
			f.Result = v1alpha1.FindingFailed
		}
		all = append(all, f)
	}
	kept := bounded(all)
	if len(kept) != mostFindings || kept[0].Gate != fmt.Sprint(3*mostFindings-2) || kept[1].Gate != fmt.Sprint(3*mostFindings-1) || kept[2].Gate != "0" {
		t.Errorf("%d are kept, the first %v", len(kept), kept[:3])
	}
	if few := all[:mostFindings]; !slices.Equal(bounded(few), few) {
		t.Error("so many can be kept, and are not")
	}
}

// A version that is proposed has to serve where it comes from.
func TestStillServed(t *testing.T) {
	promoted := func(version, from string, phase v1alpha1.PromotionPhase) *v1alpha1.Promotion {
		return &v1alpha1.Promotion{Spec: v1alpha1.PromotionSpec{Version: version, From: from}, Status: v1alpha1.PromotionStatus{Phase: phase, Message: "errors is 0.5"}}
	}
	for _, c := range []struct {
		newest *v1alpha1.Promotion
		want   string // empty for nothing to say
	}{
		{promoted("v8", "v7", v1alpha1.PromotionSucceeded), ""},
		{promoted("v9", "v8", v1alpha1.PromotionCanary), ""},
		{promoted("v9", "v8", v1alpha1.PromotionRolledBack), ""},
		{promoted("v9", "v8", v1alpha1.PromotionSucceeded), "v8 does not serve in staging any more: v9 does"},
		{promoted("v7", "v8", v1alpha1.PromotionSucceeded), "v8 does not serve in staging any more: v7 does"},
		{promoted("v8", "v7", v1alpha1.PromotionRolledBack), "v8 was turned back in staging: errors is 0.5"},
		{nil, "v8 does not serve in staging any more: nothing does"},
	} {
		w := &pass{stages: []stage{{spec: v1alpha1.Stage{Name: "staging"}, newest: c.newest}, {spec: v1alpha1.Stage{Name: "production", PromoteFrom: "staging"}}}}
		var said []string
		for _, f := range w.stillServed(&w.stages[1], "v8") {
			said = append(said, f.Message)
			if f.Gate != "order" || f.Result != v1alpha1.FindingFailed {
				t.Errorf("it is %+v", f)
			}
		}
		if got := strings.Join(said, "; "); got != c.want {
			t.Errorf("%v: %q, want %q", c.newest, got, c.want)
		}
	}
}
