package models_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/prometheus"
)

// story is a Model that KServe serves, with gates and a canary that is watched by Prometheus.
const story = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  keyMetric: auc
  serving:
    kserve:
      mode: Standard
      template:
        predictor:
          minReplicas: 1
          model:
            modelFormat: {name: sklearn}
  stages:
  - name: staging
    namespace: fraud-staging
    version: v7
    rollout: {drain: 1s}
  - name: production
    namespace: fraud
    version: v7   # promotion is a change of this line
    promoteFrom: staging
    gates:
    - {name: not-worse, cel: "first || candidate.metrics.auc >= current.metrics.auc - 0.002"}
    - {name: soaked, soak: {stage: staging, duration: 2s}}
    rollout:
      drain: 1s
      canary:
      - {traffic: 10, hold: 2s}
      - {traffic: 50, hold: 2s}
      analysis:
      - name: errors
        interval: 500ms
        samples: 2
        max: "0.05"
        prometheus:
          address: ADDRESS
          query: '(sum(rate(http_requests_total{service="${version}",code="500"}[2s])) or vector(0)) / sum(rate(http_requests_total{service="${version}"}[2s]))'
`

// The life of a model, over Git: v7 serves; staging moves to v8; what has soaked there is proposed
// for production; merged, it gets 10, 50 and all of the traffic. v9 fails at 10 percent and is turned
// back, and the revert is proposed. v10 was tampered with and never serves. A commit goes back to
// v7.
func TestStory(t *testing.T) {
	load, err := prometheus.StartExporter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = load.Close() })
	metrics := startPrometheus(t, load)

	h := newHouse(t, cluster.Options{})
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Canary: true, Gateway: true})
	h.files["models/model.yaml"] = strings.Replace(story, "ADDRESS", metrics.URL, 1)
	h.register("v7", `auc: "0.941"`)
	h.register("v8", `auc: "0.944"`)
	for _, v := range []string{"v7", "v8", "v9"} {
		load.Serve(v, prometheus.Load{PerSecond: 100})
	}
	h.begin()
	h.serves("staging", "v7")
	h.serves("production", "v7")
	if means := h.model().Status.Means; !strings.Contains(means, "canar") {
		t.Errorf("what the cluster can do: %q", means)
	}

	// Staging moves; what has soaked there is proposed for production.
	h.set("staging", "v8")
	h.push("fraud: v8 to staging")
	h.serves("staging", "v8")
	s := h.await("production", "v8 is proposed", func(s v1alpha1.StageStatus) bool { return s.Proposal != nil && s.Proposal.Commit != "" })
	if s.Proposal.Branch != "sluice/promote/fraud-production-v8" || s.Version != "v7" {
		t.Errorf("production: %+v", s)
	}
	if diff := h.git("diff", "main", s.Proposal.Branch); strings.Count(diff, "\n+ ") != 1 || !strings.Contains(diff, "+    version: v8   # promotion is a change of this line") {
		t.Errorf("more or less than the line was changed:\n%s", diff)
	}

	// Merged, v8 gets 10, 50 and all of the traffic.
	h.merge(s.Proposal.Branch)
	merged := time.Now()
	h.await("production", "v8 has 10 %", func(s v1alpha1.StageStatus) bool { return s.Candidate == "v8" && s.Traffic == 10 })
	t.Logf("10 %% of the traffic %.1f s after the merge", time.Since(merged).Seconds())
	h.await("production", "v8 has 50 %", func(s v1alpha1.StageStatus) bool { return s.Candidate == "v8" && s.Traffic == 50 })
	h.serves("production", "v8")

	// v9 has a good metric, and fails those who ask it.
	h.register("v9", `auc: "0.951"`)
	h.set("staging", "v9")
	h.push("fraud: v9 to staging")
	h.serves("staging", "v9")
	s = h.await("production", "v9 is proposed", func(s v1alpha1.StageStatus) bool {
		return s.Proposed == "v9" && s.Proposal != nil && s.Proposal.Commit != ""
	})
	load.Serve("v9", prometheus.Load{PerSecond: 100, Errors: 0.3})
	h.merge(s.Proposal.Branch)
	s = h.await("production", "v9 is turned back", func(s v1alpha1.StageStatus) bool { return s.Phase == v1alpha1.StageHeld })
	if s.Version != "v8" || s.Traffic != 0 || !strings.Contains(s.Message, "10 %") || !strings.Contains(s.Message, "errors") || !strings.Contains(s.Message, "0.05") {
		t.Errorf("production: %+v", s)
	}
	var revert v1alpha1.ProposalStatus
	h.Eventually("the revert is proposed", func() (bool, string) {
		p := h.promotions("production")[0]
		if p.Status.Proposal == nil {
			return false, "not yet"
		}
		revert = *p.Status.Proposal
		return revert.Commit != "", revert.Message
	})
	if revert.Branch != "sluice/revert/fraud-production-v9" {
		t.Errorf("the revert is on branch %s", revert.Branch)
	}
	if diff := h.git("diff", "main", revert.Branch); !strings.Contains(diff, "+    version: v8   # promotion is a change of this line") {
		t.Errorf("the revert:\n%s", diff)
	}
	h.merge(revert.Branch)
	h.serves("production", "v8")

	// v10 is not what was registered.
	h.register("v10", `auc: "0.950"`)
	h.put("v10", `{"version": "evil"}`)
	h.set("production", "v10")
	h.push("fraud: v10 to production")
	h.await("production", "v10 is not what was registered", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "not what was registered") })
	if h.stage("production").Version != "v8" {
		t.Errorf("production: %+v", h.stage("production"))
	}

	// Back to what served before: no canary, no gates.
	h.set("production", "v7")
	h.push("fraud: back to v7")
	h.serves("production", "v7")
	back := h.promotions("production")[0]
	if back.Status.Step != 0 || len(back.Status.Findings) != 0 {
		t.Errorf("going back to v7 took the long way: %+v", back.Status)
	}
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded, v9 RolledBack, v10 Superseded, v7 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}
	h.CheckSecrets()
}

// startPrometheus scrapes an exporter.
func startPrometheus(t *testing.T, load *prometheus.Exporter) *prometheus.Server {
	t.Helper()
	server, err := prometheus.Start(context.Background(), prometheus.Options{Targets: []string{load.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// git asks the server's repository.
func (h *house) git(arguments ...string) string {
	h.T.Helper()
	cmd := exec.Command("git", arguments...)
	cmd.Dir = h.repo.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.T.Fatalf("git %v: %v: %s", arguments, err, out)
	}
	return string(out)
}

// merge moves main to a branch, as a person would by merging it, and has the agent look. What is
// pushed next builds on it.
func (h *house) merge(branch string) {
	h.T.Helper()
	h.git("merge-base", "--is-ancestor", "main", branch)
	h.git("update-ref", "refs/heads/main", strings.TrimSpace(h.git("rev-parse", branch)))
	h.files["models/model.yaml"] = h.git("show", "main:models/model.yaml")
	h.Ask("platform")
	fmt.Fprintln(h.T.Output(), "merged", branch)
}
