package retraining_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/prometheus"
)

// seen waits until the data trigger of a Retraining has seen so many objects.
func (h *house) seen(name string, count int64) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("%d objects are seen", count), func() (bool, string) {
		data := h.get(name).Status.Data
		return data != nil && data.Count == count, fmt.Sprintf("%+v; %s", data, h.standing())
	})
}

// New data arrives between two slots: it starts a run when it has settled, once, and the run is told what it is of.
func TestNewData(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.put("data/2026-11-24.csv", "1,2\n")
	h.put("elsewhere/2026-11-24.csv", "1,2\n")
	h.retraining("fraud", `schedules: ["@every 24h"]
triggers:
  minimumInterval: 1s
  data: {uri: "s3://BUCKET/data/", secretRef: {name: store}, interval: 1s, settle: 2s}
`+strings.Replace(job, `{{ .Attempt }}/"`, `{{ .Attempt }}/", "--rows={{ .Data.Count }}", "--of={{ .Data.Fingerprint }}"`, 1)+result)
	h.begin()
	h.seen("fraud", 1)
	if runs := h.runs("fraud"); len(runs) != 0 {
		t.Fatalf("what was there started a run: %s", h.standing())
	}
	h.put("elsewhere/2026-11-25.csv", "3,4\n")
	h.put("data/2026-11-25.csv", "3,4\n")
	r := h.ends("fraud", v1alpha1.RunSucceeded)
	data := h.get("fraud").Status.Data
	if r.Spec.Trigger.Kind != v1alpha1.TriggerData || !contains(r.Spec.Trigger.Message, "the data changed: 2 objects") || r.Spec.Values.Data == nil || *r.Spec.Values.Data != (v1alpha1.RunData{Fingerprint: data.Fingerprint, Count: 2, Newest: r.Spec.Values.Data.Newest}) {
		t.Errorf("it was started by %+v with %+v, and the status has %+v", r.Spec.Trigger, r.Spec.Values.Data, data)
	}
	o := h.Get("batch/v1", "Job", h.Namespace, r.Status.Attempts[0].Name)
	if text := fmt.Sprint(o.Object["spec"]); !contains(text, "--rows=2", "--of="+data.Fingerprint) {
		t.Errorf("the Job is %s", text)
	}

	// What was there under the same name is another, and so it starts another run; and that is all.
	h.put("data/2026-11-25.csv", "5,6\n")
	runs := h.ended("fraud", 2)
	if runs[1].Spec.Values.Data.Fingerprint == data.Fingerprint {
		t.Error("both runs were of the same data")
	}
	h.Eventually("nothing waits", func() (bool, string) {
		data := h.get("fraud").Status.Data
		return data.Used == data.Fingerprint, fmt.Sprintf("%+v", data)
	})
	h.ended("fraud", 2)
}

// simple is a Model that a Deployment serves, without a gateway.
const simple = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  serving:
    deployment:
      port: 8080
      template:
        replicas: 1
        template:
          spec:
            containers:
            - {name: server, image: "registry.example.com/scorer:1"}
  stages:
  - name: production
    namespace: NAMESPACE
    version: v7
    rollout: {drain: 1s}
`

// The errors of what serves rise, and stay so for a while: that starts a run, once.
func TestErrorsRise(t *testing.T) {
	t.Parallel()
	load, err := prometheus.StartExporter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = load.Close() })
	load.Serve("v7", prometheus.Load{PerSecond: 100})
	metrics, err := prometheus.Start(t.Context(), prometheus.Options{Targets: []string{load.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := metrics.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.serving()
	h.files["models/model.yaml"] = strings.ReplaceAll(simple, "NAMESPACE", h.Namespace)
	h.retraining("fraud", fmt.Sprintf(`triggers:
  minimumInterval: 1s
  metric:
    prometheus:
      address: %s
      query: (sum(rate(http_requests_total{service="${version}",code="500"}[2s])) or vector(0)) / sum(rate(http_requests_total{service="${version}"}[2s]))
    stage: production
    max: "0.05"
    for: 2s
    interval: 500ms
`, metrics.URL)+job+result)
	h.begin()
	h.serves("v7")
	h.Eventually("the metric is measured", func() (bool, string) {
		m := h.get("fraud").Status.Metric
		return m != nil && m.Value == "0" && m.Since == nil, fmt.Sprintf("%+v; %+v", m, h.get("fraud").Status.Conditions)
	})
	if runs := h.runs("fraud"); len(runs) != 0 {
		t.Fatalf("there are runs: %s", h.standing())
	}
	load.Serve("v7", prometheus.Load{PerSecond: 100, Errors: 0.3})
	r := h.ends("fraud", v1alpha1.RunSucceeded)
	if r.Spec.Trigger.Kind != v1alpha1.TriggerMetric || !contains(r.Spec.Trigger.Message, "the metric is 0.", "out of its bounds since") || r.Spec.Values.Versions["production"] != "v7" {
		t.Errorf("it was started by %+v with %+v", r.Spec.Trigger, r.Spec.Values)
	}

	// It gets well, and ill again: that is another time.
	load.Serve("v7", prometheus.Load{PerSecond: 100})
	h.Eventually("it is within its bounds", func() (bool, string) {
		m := h.get("fraud").Status.Metric
		return m.Since == nil, fmt.Sprintf("%+v", m)
	})
	load.Serve("v7", prometheus.Load{PerSecond: 100, Errors: 0.3})
	h.ended("fraud", 2)
}

// What is run is defined in another way by a commit: that starts a run, and anything else in the commit does not.
func TestDefinitionChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.retraining("fraud", "triggers: {commit: true, minimumInterval: 1s}\n"+job+result)
	h.begin()
	h.Eventually("the definition is known", func() (bool, string) { return h.get("fraud").Status.Definition != "", h.standing() })
	h.retraining("fraud", "triggers: {commit: true, minimumInterval: 1s}\nhistoryLimit: 5\n"+job+result)
	h.push("fraud: keep five runs")
	h.Eventually("that is seen", func() (bool, string) {
		r := h.get("fraud")
		return r.Spec.HistoryLimit == 5 && r.Status.ObservedGeneration == r.Generation, fmt.Sprintf("%+v", r.Status)
	})
	if runs := h.runs("fraud"); len(runs) != 0 {
		t.Fatalf("there are runs: %s", h.standing())
	}
	h.retraining("fraud", "triggers: {commit: true, minimumInterval: 1s}\nhistoryLimit: 5\n"+strings.Replace(job, "args: [", `args: ["--epochs=9", `, 1)+result)
	commit := h.push("fraud: nine epochs")
	r := h.ends("fraud", v1alpha1.RunSucceeded)
	if r.Spec.Trigger.Kind != v1alpha1.TriggerCommit || !contains(r.Spec.Trigger.Message, "the definition of the pipeline changed") || r.Spec.Values.Revision != "main@sha1:"+commit {
		t.Errorf("it was started by %+v at %s", r.Spec.Trigger, r.Spec.Values.Revision)
	}
}
