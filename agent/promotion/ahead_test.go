package promotion

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// What can be asked before there is a commit is asked, in the order of the gates, and the rest waits. A
// version that goes back to where it served has to pass what policies require, and nothing else.
func TestAhead(t *testing.T) {
	stage := v1alpha1.Stage{Name: "production", Version: "v7", Gates: []v1alpha1.Gate{
		{Name: "reviewed", Approval: &v1alpha1.ApprovalGate{Reviews: &v1alpha1.ReviewApproval{}}},
		{Name: "good", CEL: "candidate.metrics.auc >= 0.9"},
		{Name: "quick", Analysis: &v1alpha1.Analysis{}},
	}}
	version := func(name, auc string) v1alpha1.ModelVersion {
		return v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: "fraud", Version: name, Metrics: map[string]v1alpha1.Metric{"auc": v1alpha1.Metric(auc)}}}
	}
	ahead := Ahead{
		Model:    &v1alpha1.Model{Spec: v1alpha1.ModelSpec{Stages: []v1alpha1.Stage{stage}}},
		Versions: []v1alpha1.ModelVersion{version("v8", "0.95"), version("v9", "0.85"), version("v6", "0.5")},
		Policies: []v1alpha1.PromotionPolicy{{Spec: v1alpha1.PromotionPolicySpec{Gates: []v1alpha1.Gate{{Name: "any", CEL: "candidate.metrics.auc > 0.0"}}}}},
		Promotions: []v1alpha1.Promotion{{Spec: v1alpha1.PromotionSpec{Stage: "production", Version: "v6", Number: 1},
			Status: v1alpha1.PromotionStatus{Phase: v1alpha1.PromotionSucceeded}}},
	}
	ahead.Model.Name = "fraud"
	for version, want := range map[string]string{
		"v8": "any Passed, reviewed Waiting, good Passed, quick Waiting",
		"v9": "any Passed, reviewed Waiting, good Failed, quick Waiting",
		"v6": "any Passed",
	} {
		findings, err := ahead.Check("production", version, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, f := range findings {
			have = append(have, f.Gate+" "+string(f.Result))
		}
		if got := strings.Join(have, ", "); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
	if _, err := ahead.Check("nowhere", "v8", time.Now()); err == nil {
		t.Error("a stage that is not there was asked")
	}
}
