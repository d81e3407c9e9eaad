package promotion

import (
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A phase that goes on says nothing new: without that, each pass would write.
func TestConditionsStay(t *testing.T) {
	for _, phase := range []v1alpha1.PromotionPhase{v1alpha1.PromotionGated, v1alpha1.PromotionRolledBack, v1alpha1.PromotionSucceeded} {
		p := &v1alpha1.Promotion{Status: v1alpha1.PromotionStatus{Phase: phase, Message: "gate reviewed: nobody has signed"}}
		setPromotionConditions(p)
		for n := range p.Status.Conditions {
			p.Status.Conditions[n].LastTransitionTime = metav1.NewTime(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC))
		}
		before := p.DeepCopy()
		setPromotionConditions(p)
		if !equality.Semantic.DeepEqual(before.Status, p.Status) {
			t.Errorf("%s: conditions were %v and are %v", phase, before.Status.Conditions, p.Status.Conditions)
		}
	}
}

// Two Models with names that run together make two records.
func TestNamesDiffer(t *testing.T) {
	model := func(name string) *v1alpha1.Model { return &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	if a, b := nameOf(model("fraud"), "eu-production", 1), nameOf(model("fraud-eu"), "production", 1); a == b {
		t.Errorf("both are %s", a)
	}
}

// What is asked for is what was written, by whatever release: a version that is held would be tried
// again if an upgrade changed the digest. It does not depend on what a look found.
func TestRequest(t *testing.T) {
	m := &v1alpha1.Model{Spec: v1alpha1.ModelSpec{Serving: v1alpha1.Serving{Deployment: &v1alpha1.DeploymentServing{Port: 8080}}}}
	m.Spec.Serving.Deployment.Template.Raw = []byte(`{"replicas":2}`)
	s := v1alpha1.Stage{Name: "production", Version: "v8", Rollout: v1alpha1.Rollout{Canary: []v1alpha1.CanaryStep{{Traffic: 10}}},
		Gates: []v1alpha1.Gate{{Name: "better", CEL: "candidate.metrics.auc > current.metrics.auc"}}}
	v := &v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Version: "v8", Artifact: v1alpha1.Artifact{URI: "s3://models/fraud/v8/"}}}
	before, err := requestOf(m, s, v)
	if err != nil {
		t.Fatal(err)
	}
	v.Status.Artifact = &v1alpha1.ArtifactStatus{Verified: true, Digest: "sha256:8"}
	after, err := requestOf(m, s, v)
	if err != nil || after != before {
		t.Errorf("%s before the look and %s after it: %v", before, after, err)
	}
	if want := "a6232e05c202c62655fba364a43ab7df"; before != want {
		t.Errorf("the digest of the same request is %s, and was %s: held versions would be tried again after an upgrade", before, want)
	}
}
