package retraining_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/e2e/kfp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What cannot be carried out is said as soon as it is there, and nothing of it is begun. One that is bad stands in the
// way of no other.
func TestBadSpecs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.947"))
	anObject := func(apiVersion, kind, template string) string {
		return fmt.Sprintf("run: {object: {apiVersion: %s, kind: %s, template: %s, succeeded: 'true', failed: 'false'}}\n", apiVersion, kind, template)
	}
	cases := []struct{ name, spec, words string }{
		{"february", "schedules: [\"0 0 30 2 *\"]\n" + job, `the cron expression "0 0 30 2 *" never comes`},
		{"fields", "schedules: [\"0 3 * *\"]\n" + job, "it has 4 fields"},
		{"day", "schedules: [\"@every 1d\"]\n" + job, "write for instance"},
		{"zone", "schedules: [\"@daily\"]\ntimeZone: KST\n" + job, `the time zone "KST" is not known`},
		{"template", strings.Replace(job, "{{ .Run }}", "{{ .Rum }}", 1), "there is no .Rum"},
		{"better", job + result + "  onlyIfBetter: candidate.metrics.auc >\n", "spec.result.onlyIfBetter"},
		{"question", strings.Replace(anObject("example.com/v1", "Training", "{spec: {output: x}}"), "'true'", "object.status.phase ==", 1), "spec.run.object.succeeded does not compile"},
		{"neither", strings.Replace(anObject("example.com/v1", "Training", "{spec: {output: x}}"), "'true'", "'1 + 1'", 1), "has to give true or false"},
		{"away", anObject("v1", "ConfigMap", "{metadata: {namespace: kube-system}}"), "metadata.namespace"},
		{"named", anObject("v1", "ConfigMap", "{metadata: {name: mine}}"), "metadata.name"},
		{"secret", anObject("v1", "Secret", "{data: {}}"), "Secret"},
		{"labelled", strings.Replace(job, "  job:\n", "  job:\n    labels: {sluice.dev/overlay: mine}\n", 1), "the label sluice.dev/overlay is for the agent to set"},
		{"elsewhere", "run: {kfp: {pipeline: train, namespace: kube-system}}\n", "a run is in the namespace of its Retraining"},
		{"merge", "run: {workflow: {template: train, spec: {workflowTemplateRef: {name: other}}}}\n", "workflowTemplateRef is given by"},
		{"dataless", "triggers: {data: {uri: \"ftp://data/\"}}\n" + job, "spec.triggers.data"},
	}
	h.retraining("good", job+result)
	for _, c := range cases {
		h.retraining(c.name, c.spec)
	}
	h.follow()
	for _, c := range cases {
		h.ask(c.name)
	}
	for _, c := range cases {
		h.says(c.name, v1alpha1.ReadyCondition, metav1.ConditionFalse, c.words)
		h.says(c.name, v1alpha1.StalledCondition, metav1.ConditionTrue, c.words)
		h.event(c.name, corev1.EventTypeWarning, v1alpha1.InvalidSpecReason, c.words)
	}
	h.ask("good")
	h.ends("good", v1alpha1.RunSucceeded)
	for _, c := range cases {
		if runs := h.runs(c.name); len(runs) != 0 {
			t.Errorf("%s: %d runs were begun", c.name, len(runs))
		}
	}
	// Mended, it does what was asked for.
	h.retraining("zone", "schedules: [\"@daily\"]\ntimeZone: Asia/Seoul\n"+job+result)
	h.push("zone: Asia/Seoul")
	h.ends("zone", v1alpha1.RunSucceeded)
}

// What only the API server knows to be wrong, the run says: the kind that is not there, and what may not be made.
func TestWhatEnginesRefuse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.account()
	cases := []struct{ name, spec, words string }{
		{"unknown-kind", "run: {object: {apiVersion: nowhere.example.com/v1, kind: Nothing, template: {}, succeeded: 'true', failed: 'false'}}\n", "does not know the kind Nothing"},
		{"operator", "run: {trainingJob: {kind: XGBoostJob, spec: {}}}\n", "install the training-operator"},
		{"namespace", "run: {object: {apiVersion: v1, kind: Namespace, template: {}, succeeded: 'true', failed: 'false'}}\n", "are not in namespaces"},
		{"role", "run: {object: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, template: {rules: []}, succeeded: 'true', failed: 'false'}}\n", "are not in namespaces"},
		{"runtime", "run: {trainJob: {spec: {runtimeRef: {name: nowhere}}}}\n", "there is no ClusterTrainingRuntime.trainer.kubeflow.org/nowhere"},
		{"field", strings.Replace(job, "image: trainer", "imagee: trainer", 1), `unknown field "spec.template.spec.containers[0].imagee"`},
		{"rights", "serviceAccountName: retrainer\nrun: {object: {apiVersion: v1, kind: ConfigMap, template: {}, succeeded: 'true', failed: 'false'}}\n", "grant it that, or name another in spec.serviceAccountName"},
		{"version", strings.Replace(job, "{{ .Run }}", `{{ .Version \"production\" }}`, 1), "nothing serves in a stage"},
		{"template-missing", "run: {workflow: {template: missing}}\n", `workflowtemplates.argoproj.io "missing" not found`},
	}
	for _, c := range cases {
		h.retraining(c.name, c.spec)
	}
	h.begin()
	for _, c := range cases {
		h.ask(c.name)
	}
	for _, c := range cases {
		h.ends(c.name, v1alpha1.RunFailed, c.words)
	}
}

// A result that is not as it should be makes the run fail, with the reason, and is not proposed.
func TestBadResults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	uri := func(t training, name string) string { return "s3://" + h.bucket + "/" + t.out + name }
	cases := map[string]struct {
		document func(t training) string
		words    string
	}{
		"not-json":  {func(training) string { return "<html>" }, "result.json"},
		"truncated": {func(t training) string { return `{"uri": "` + uri(t, "model.bin") }, "result.json"},
		"lies": {func(t training) string {
			return `{"uri": "` + uri(t, "model.bin") + `", "digest": "` + digest("another") + `"}`
		}, digest("another")},
		"another-model": {func(t training) string { return `{"model": "churn", "uri": "` + uri(t, "model.bin") + `"}` }, "churn"},
		"nan":           {func(t training) string { return `{"uri": "` + uri(t, "model.bin") + `", "metrics": {"auc": NaN}}` }, "auc"},
		"no-artifact":   {func(t training) string { return `{"uri": "` + uri(t, "nothing.bin") + `"}` }, "nothing.bin"},
		"no-uri":        {func(training) string { return `{"metrics": {"auc": 0.9}}` }, "it has no uri"},
		"misspelt":      {func(t training) string { return `{"uri": "` + uri(t, "model.bin") + `", "metric": {"auc": 0.9}}` }, "it has a field metric"},
		"version":       {func(t training) string { return `{"version": "../../main", "uri": "` + uri(t, "model.bin") + `"}` }, "version"},
		"another-store": {func(training) string { return `{"uri": "file:///etc/passwd"}` }, "this is no kind of storage that is known"},
		"huge":          {func(training) string { return "" }, "result.json"}, // what counts is elsewhere
		"none":          {nil, "result.json"},
	}
	h.train(func(t training) *made {
		name, _, _ := strings.Cut(t.job, "-2")
		c, known := cases[name]
		switch {
		case !known:
			return h.writes("0.947")(t)
		case c.document == nil:
			return &made{}
		}
		return &made{files: [][2]string{{"model.bin", "a model"}, {"result.json", c.document(t)}}}
	})
	h.serving()
	h.files["models/model.yaml"] = strings.ReplaceAll(simple, "NAMESPACE", h.Namespace)
	for name := range cases {
		if name == "huge" {
			continue
		}
		h.retraining(name, job+result+proposed)
	}
	// A file with a hole is 1 GiB for whoever reads it.
	h.retraining("huge", job+strings.Replace(result, "runs/{{ .Run }}/{{ .Attempt }}/result.json", "huge/result.json", 1)+proposed)
	h.put("huge/result.json", "{")
	h.must(os.Truncate(filepath.Join(h.store.Dir, "buckets", h.bucket, "huge", "result.json"), 1<<30))
	h.begin()
	for name := range cases {
		h.ask(name)
	}
	before := h.store.Traffic()
	for name, c := range cases {
		r := h.ends(name, v1alpha1.RunFailed, "it succeeded, and its result cannot be used", c.words)
		t.Logf("%s: %s", name, r.Status.Message)
		if len(r.Status.Attempts) != 1 || r.Status.Proposal != nil {
			t.Errorf("%s was tried again, or proposed: %+v", r.Name, r.Status)
		}
	}
	if sent := h.store.Traffic().Sub(before).Sent; sent > 256<<20 {
		t.Errorf("%d bytes were read", sent)
	}
	pulls, err := h.repo.Pulls(context.Background(), "all")
	h.must(err)
	if len(pulls) != 0 {
		t.Errorf("there are %d pull requests", len(pulls))
	}
}

// A result that is worse is on record and not proposed.
func TestWorse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.94"))
	h.serving()
	h.files["models/model.yaml"] = strings.ReplaceAll(simple, "NAMESPACE", h.Namespace)
	h.retraining("fraud", job+result+"  version: v8\n  onlyIfBetter: \"first || candidate.metrics.auc > current.metrics.auc\"\n"+proposed)
	h.begin()
	h.serves("v7")
	h.ask("fraud")
	r := h.ends("fraud", v1alpha1.RunSucceeded, "v8 is not proposed", "0.94", "0.941 (auc of v7)")
	if r.Status.Result.Better || r.Status.Result.Current != "v7" || r.Status.Result.ModelVersion.Metrics["auc"] != "0.94" || r.Status.Proposal != nil {
		t.Errorf("the run is %+v", r.Status)
	}
}

// Kubeflow Pipelines that refuses for good, for a while, or does not know what it has run.
func TestKubeflowPipelinesMisbehaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault kfp.Fault
		spec  string
		end   v1alpha1.RunPhase
		words []string
	}{
		"409":        {kfp.Only("POST", "/runs", kfp.First(1, kfp.Body(http.StatusConflict, `{"code":6,"message":"it exists"}`))), piped, v1alpha1.RunFailed, []string{"it is in the way of something that is there", "it exists"}},
		"proxy":      {kfp.Only("POST", "/runs", kfp.First(1, kfp.Status(http.StatusConflict))), piped, v1alpha1.RunSucceeded, nil},
		"500":        {kfp.Only("POST", "/runs", kfp.First(3, kfp.Status(http.StatusInternalServerError))), piped, v1alpha1.RunSucceeded, nil},
		"lost":       {kfp.Only("POST", "/runs", kfp.First(1, kfp.Lost())), piped, v1alpha1.RunSucceeded, nil},
		"stuck":      {kfp.Only("POST", "/runs", kfp.First(1, kfp.Stuck())), piped, v1alpha1.RunSucceeded, nil},
		"parameters": {nil, strings.Replace(piped, "data:", "colour: red, rows:", 1), v1alpha1.RunFailed, []string{"colour"}},
		"type":       {nil, "run: {kfp: {pipeline: fraud-train, values: {data: [1]}}}\n", v1alpha1.RunFailed, []string{"data has to be"}},
		"unknown":    {nil, strings.Replace(piped, "fraud-train", "nothing", 1), v1alpha1.RunFailed, []string{"nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			s := h.pipelines(kfp.Options{Walk: &kfp.Walk{}})
			h.retraining("fraud", "retries: 1\n"+strings.Replace(c.spec, "pipeline: nothing", "pipeline: nothing, address: \""+s.URL+"\"", 1))
			h.begin()
			s.Misbehave(c.fault)
			h.ask("fraud")
			r := h.ended("fraud", 1)[0]
			t.Logf("%s: %s", r.Status.Phase, r.Status.Message)
			if r.Status.Phase != c.end || !contains(r.Status.Message, c.words...) {
				t.Errorf("it is %s: %s", r.Status.Phase, r.Status.Message)
			}
			if len(r.Status.Attempts) > 1 { // neither what is refused nor what goes well in the end
				t.Errorf("it was tried again: %+v", r.Status.Attempts)
			}
			for _, a := range r.Status.Attempts {
				if made := s.Counting(pipelines.RunName(a.Name, r.UID)); len(made) > 1 {
					t.Errorf("%s was run as %q", a.Name, made)
				}
			}
		})
	}
}

// Kubeflow Pipelines that does not know who asks is asked again: keys of tokens change, and so do accounts. What to do
// is said meanwhile.
func TestKubeflowPipelinesKnowsNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{Walk: &kfp.Walk{}})
	h.retraining("fraud", piped)
	h.begin()
	s.Misbehave(kfp.Only("POST", "/runs", kfp.Status(http.StatusUnauthorized)))
	h.ask("fraud")
	h.run("fraud", "waits", func(r v1alpha1.RetrainingRun) bool {
		return r.Status.Phase == v1alpha1.RunPending && contains(r.Status.Message, "it does not know who asks: name an account in spec.serviceAccountName")
	})
	s.Misbehave(nil)
	r := h.ends("fraud", v1alpha1.RunSucceeded)
	if made := s.Made(pipelines.RunName(r.Status.Attempts[0].Name, r.UID)); len(made) != 1 {
		t.Errorf("it was run as %q", made)
	}
}

// Kubeflow Pipelines that has lost its database does not know the run any more: it is not run a second time under the
// same name, and a further attempt is another.
func TestForgottenRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{})
	h.retraining("fraud", "retries: 1\nretryBackoff: 1s\n"+piped)
	h.begin()
	h.ask("fraud")
	r := h.started(s, "fraud")
	s.Forget(r.Status.Attempts[0].ID)
	r = h.run("fraud", "is tried again", func(r v1alpha1.RetrainingRun) bool {
		return len(r.Status.Attempts) == 2 && r.Status.Attempts[1].ID != ""
	})
	if a := r.Status.Attempts[0]; a.Phase != v1alpha1.RunFailed || !contains(a.Message, "does not know it any more") {
		t.Errorf("its first attempt is %+v", a)
	}
	s.Run(r.Status.Attempts[1].ID).Succeed()
	h.ends("fraud", v1alpha1.RunSucceeded)
	if made := s.Made(pipelines.RunName(r.Status.Attempts[0].Name, r.UID)); len(made) != 0 {
		t.Errorf("what was forgotten was run again: %q", made)
	}
}
