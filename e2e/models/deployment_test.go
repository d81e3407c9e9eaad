package models_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
)

// served is a Model that a Deployment serves, with a container that is told where its artifact is.
const served = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  keyMetric: auc
  serving:
    deployment:
      port: 8080
      template:
        replicas: 2
        template:
          spec:
            containers:
            - name: server
              image: registry.example.com/scorer:1
              env:
              - {name: MODEL_URI, value: "${uri}"}
              - {name: MODEL_VERSION, value: "${version}"}
  stages:
  - name: staging
    namespace: fraud-staging
    version: v7
    rollout: {drain: 1s}
  - name: production
    namespace: fraud
    version: v7
    gates:
    - {name: not-worse, cel: "first || candidate.metrics.auc >= current.metrics.auc - 0.002"}
    rollout: {drain: 1s}
`

// A commit moves a stage to another version, another one back, and what is tampered with never
// serves.
func TestDeployment(t *testing.T) {
	h := newHouse(t, cluster.Options{})
	h.files["models/model.yaml"] = served
	h.register("v7", `auc: "0.941"`)
	h.register("v8", `auc: "0.944"`)
	h.register("v9", `auc: "0.938"`)
	h.begin()
	h.serves("staging", "v7")
	s := h.serves("production", "v7")
	if s.Metric != "auc 0.941" || s.Since == nil || s.Digest == "" {
		t.Errorf("the status is %+v", s)
	}
	if uri := h.environment("fraud", "fraud-v7", "MODEL_URI"); uri != "s3://models/fraud/v7/model.json" {
		t.Errorf("the container is told %q", uri)
	}

	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	h.Eventually("v7 has ended", func() (bool, string) {
		return h.Get("apps/v1", "Deployment", "fraud", "fraud-v7") == nil, "it is there"
	})
	if v := h.selected("fraud", "fraud"); v != "v8" {
		t.Errorf("the Service leads to %s, want v8", v)
	}

	h.set("production", "v9")
	h.push("fraud: v9 to production")
	s = h.await("production", "v9 does not pass the gate", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "not-worse") })
	if s.Version != "v8" || s.Candidate != "v9" || !strings.Contains(s.Message, "0.938") || !strings.Contains(s.Message, "0.942") {
		t.Errorf("why is v9 not in production? %+v", s)
	}

	h.set("production", "v7")
	h.push("fraud: back to v7")
	h.serves("production", "v7")
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded, v9 Superseded, v7 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}

	// Somebody changes the artifact of v10 after it was registered.
	h.register("v10", `auc: "0.950"`)
	h.put("v10", `{"version": "evil"}`)
	h.set("production", "v10")
	h.push("fraud: v10 to production")
	s = h.await("production", "v10 is not what was registered", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "not what was registered") })
	if s.Version != "v7" {
		t.Errorf("production serves %s, want v7", s.Version)
	}
	if h.Get("apps/v1", "Deployment", "fraud", "fraud-v10") != nil {
		t.Error("v10 was brought up")
	}

	// A Deployment that was deleted by hand comes back.
	before := h.Get("apps/v1", "Deployment", "fraud", "fraud-v7")
	h.delete(before)
	h.Eventually("the Deployment is back", func() (bool, string) {
		now := h.Get("apps/v1", "Deployment", "fraud", "fraud-v7")
		return now != nil && now.GetUID() != before.GetUID(), "not yet"
	})
}
