package retraining_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/e2e/kfp"
	"github.com/sluice-dev/sluice/e2e/rig"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// anEngine is a way to run something.
type anEngine struct {
	name string
	// run is what is run, with ANNOTATIONS for what becomes of it.
	run string
	// outputs continues a result; empty for the document that a trainer leaves.
	outputs string
	// step that is blamed when it fails, and the words with which.
	step  string
	words []string
	// apiVersion and kind of what is made.
	apiVersion, kind string
	// needs is what it stands on, applied with it.
	needs string
}

// given is a result that is put together of outputs. Its artifact is there.
const given = `result:
  version: v8
  outputs:
    uri: s3://BUCKET/fraud/v8/model.bin
    secretRef: {name: store}
    metrics: {auc: auc}
`

const workflowTemplate = `apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: fraud-train}
spec: {entrypoint: evaluate, templates: [{name: evaluate, container: {image: trainer}}]}
`

var allEngines = []anEngine{
	{
		name: "workflow", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", outputs: given, step: "evaluate", words: []string{"step evaluate", "Error (exit code 3)"},
		run: `run:
  workflow:
    template: fraud-train
    annotations: {ANNOTATIONS, fake.sluice.dev/step: evaluate}
  parameters: {rows: "5000", since: '{{ .Slot.UTC.Format "2006-01-02" }}'}
`,
		needs: workflowTemplate,
	},
	{
		name: "trainjob", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob", outputs: given, step: "node", words: []string{"step node", "FailedJobs", "first failed job"},
		run: `run:
  trainJob:
    annotations: {ANNOTATIONS}
    spec: {runtimeRef: {kind: TrainingRuntime, name: torch}, trainer: {numNodes: 1, image: trainer, args: ["--run={{ .Run }}"]}}
`,
		needs: `apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainingRuntime
metadata: {name: torch}
spec: {mlPolicy: {numNodes: 1}, template: {spec: {replicatedJobs: [{name: node, template: {}}]}}}
`,
	},
	{
		name: "pytorch", apiVersion: "kubeflow.org/v1", kind: "PyTorchJob", step: "Master", words: []string{"step Master", "1 Master replica(s) failed"},
		run: `run:
  trainingJob:
    kind: PyTorchJob
    annotations: {ANNOTATIONS}
    spec: {pytorchReplicaSpecs: {Master: {replicas: 1, template: {spec: {containers: [{name: pytorch, image: trainer}]}}}}}
`,
	},
	{
		name: "tensorflow", apiVersion: "kubeflow.org/v1", kind: "TFJob", step: "Chief", words: []string{"step Chief", "1 Chief replica(s) failed"},
		run: `run:
  trainingJob:
    kind: TFJob
    annotations: {ANNOTATIONS}
    spec:
      tfReplicaSpecs:
        Chief: {replicas: 1, template: {spec: {containers: [{name: tensorflow, image: trainer}]}}}
        PS: {replicas: 1, template: {spec: {containers: [{name: tensorflow, image: trainer}]}}}
        Worker: {replicas: 2, template: {spec: {containers: [{name: tensorflow, image: trainer}]}}}
`,
	},
	{
		name: "mpi", apiVersion: "kubeflow.org/v1", kind: "MPIJob", step: "Launcher", words: []string{"step Launcher", "1 Launcher replica(s) failed"},
		run: `run:
  trainingJob:
    kind: MPIJob
    annotations: {ANNOTATIONS}
    spec:
      slotsPerWorker: 1
      mpiReplicaSpecs:
        Launcher: {replicas: 1, template: {spec: {containers: [{name: mpi, image: trainer, command: [mpirun, python, train.py]}]}}}
        Worker: {replicas: 2, template: {spec: {containers: [{name: mpi, image: trainer}]}}}
`,
	},
	{
		name: "experiment", apiVersion: "kubeflow.org/v1beta1", kind: "Experiment", outputs: given, step: "-x7k2", words: []string{"ExperimentMaxFailedTrialsReached"},
		run: `run:
  experiment:
    annotations: {ANNOTATIONS}
    spec: {objective: {type: maximize, objectiveMetricName: auc}, parameters: [{name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.05"}}]}
`,
	},
	{
		name: "object", apiVersion: "example.com/v1", kind: "Training", words: []string{"the table is empty"},
		outputs: strings.Replace(given, "uri: s3://BUCKET/fraud/v8/model.bin", "uri: uri", 1),
		run: `run:
  object:
    apiVersion: example.com/v1
    kind: Training
    succeeded: object.status.phase == 'Done'
    failed: object.status.phase == 'Broken'
    message: object.status.message
    outputs: {uri: object.status.uri, auc: "object.status.metrics.filter(m, m.name == 'auc')[0].value"}
    template:
      metadata: {annotations: {ANNOTATIONS}}
      spec: {output: "s3://BUCKET/fraud/v8/model.bin", rows: 5000}
`,
	},
	{
		name: "job", apiVersion: "batch/v1", kind: "Job", words: []string{"BackoffLimitExceeded"},
		outputs: "result: {version: v8, terminationMessage: true, secretRef: {name: store}}\n",
		run: `run:
  job:
    spec:
      backoffLimit: 0
      template:
        metadata: {annotations: {ANNOTATIONS, fake.sluice.dev/termination-message: '{"uri": "s3://BUCKET/fraud/v8/model.bin", "metrics": {"auc": 0.947}}'}}
        spec: {restartPolicy: Never, containers: [{name: train, image: simulated}]}
`,
	},
}

// account is what an account that speaks with all engines needs, as the documentation says.
func (h *house) account() {
	h.T.Helper()
	works := []string{"get", "list", "watch", "create", "delete"}
	h.grant("retrainer",
		rbacv1.PolicyRule{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: works},
		rbacv1.PolicyRule{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflows"}, Verbs: []string{"get", "list", "watch", "create", "patch"}},
		rbacv1.PolicyRule{APIGroups: []string{"argoproj.io"}, Resources: []string{"workflowtemplates"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{"trainer.kubeflow.org"}, Resources: []string{"trainjobs"}, Verbs: works},
		rbacv1.PolicyRule{APIGroups: []string{"trainer.kubeflow.org"}, Resources: []string{"trainingruntimes"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{"kubeflow.org"}, Resources: []string{"pytorchjobs", "tfjobs", "mpijobs", "experiments"}, Verbs: works},
		rbacv1.PolicyRule{APIGroups: []string{"example.com"}, Resources: []string{"trainings"}, Verbs: works},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
	)
}

// Each engine runs something to its end and gives a result, and fails in another run, with the step that failed. All in
// the name of an account that may do no more than the documentation says.
func TestEachEngine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.account()
	h.put("fraud/v8/model.bin", "the model v8")
	for _, e := range allEngines {
		good := strings.ReplaceAll(e.run, "ANNOTATIONS", `fake.sluice.dev/outputs: '{"auc": "0.947"}'`)
		h.retraining(e.name, "serviceAccountName: retrainer\n"+good+e.outputs)
		fate := "fake.sluice.dev/run: Fail"
		if e.kind == "Job" {
			fate = "fake.sluice.dev/pod: Fail"
		}
		h.retraining(e.name+"-fails", "serviceAccountName: retrainer\n"+strings.ReplaceAll(e.run, "ANNOTATIONS", fate)+e.outputs)
		if e.needs != "" {
			h.files["models/needs-"+e.name+".yaml"] = e.needs
		}
	}
	h.begin()
	for _, e := range allEngines {
		h.ask(e.name)
		h.ask(e.name + "-fails")
	}
	for _, e := range allEngines {
		r := h.ends(e.name, v1alpha1.RunSucceeded)
		h.made(r, e)
		if e.outputs != "" && (r.Status.Result == nil || r.Status.Result.Version != "v8" || r.Status.Result.ModelVersion.Metrics["auc"] != "0.947" ||
			r.Status.Result.ModelVersion.Artifact.Digest != digest("the model v8")) {
			t.Errorf("%s has made %+v", r.Name, r.Status.Result)
		}
		r = h.ends(e.name+"-fails", v1alpha1.RunFailed, e.words...)
		h.made(r, e)
		if len(r.Status.Attempts) != 1 || !strings.HasSuffix(r.Status.Attempts[0].Step, e.step) || (e.step == "") != (r.Status.Attempts[0].Step == "") {
			t.Errorf("of %s the step %q is blamed, want %q: %+v", r.Name, r.Status.Attempts[0].Step, e.step, r.Status.Attempts)
		}
		h.says(e.name+"-fails", "Healthy", metav1.ConditionFalse, e.words...)
	}
}

// made fails the test unless the object of the one attempt of a run is there, and is its own.
func (h *house) made(r v1alpha1.RetrainingRun, e anEngine) {
	h.T.Helper()
	if len(r.Status.Attempts) != 1 {
		h.T.Fatalf("%s has %d attempts", r.Name, len(r.Status.Attempts))
	}
	a := r.Status.Attempts[0]
	o := h.Get(e.apiVersion, e.kind, h.Namespace, a.Name)
	if o == nil || string(o.GetUID()) != a.ID || o.GetLabels()[v1alpha1.RunLabel] != r.Name || len(o.GetOwnerReferences()) != 1 || o.GetOwnerReferences()[0].UID != r.UID {
		h.T.Errorf("the object of the attempt %+v is %v", a, o)
	}
	page := ""
	if e.kind == "Workflow" {
		page = argo + "workflows/" + h.Namespace + "/" + a.Name
	}
	if a.URL != page {
		h.T.Errorf("the page of the attempt %s is %q, want %q", a.Name, a.URL, page)
	}
	if a.EndedAt == nil || a.StartedAt == nil || a.EndedAt.Before(a.StartedAt) {
		h.T.Errorf("the attempt %s began %v and ended %v", a.Name, a.StartedAt, a.EndedAt)
	}
}

// A WorkflowTemplate that a commit deletes is missed by the next run, in Argo's words; and when it is back, all is well.
func TestWorkflowTemplateIsDeleted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const path = "models/template.yaml"
	h.files[path] = workflowTemplate
	// It is suspended until the test has looked for the template, as Argo does: who stands in for it does not.
	h.retraining("flow", "run: {workflow: {template: fraud-train, spec: {suspend: true}}}\n")
	h.begin()
	template := func() *unstructured.Unstructured {
		return h.Get("argoproj.io/v1alpha1", "WorkflowTemplate", h.Namespace, "fraud-train")
	}
	goes := func() {
		h.ask("flow")
		r := h.run("flow", "has begun", func(r v1alpha1.RetrainingRun) bool {
			return !r.Status.Phase.Ended() && len(r.Status.Attempts) == 1 && r.Status.Attempts[0].ID != ""
		})
		workflow := h.Get("argoproj.io/v1alpha1", "Workflow", h.Namespace, r.Status.Attempts[0].Name)
		found := template() != nil
		h.Update(workflow, func() {
			if found {
				h.must(unstructured.SetNestedField(workflow.Object, false, "spec", "suspend"))
				return
			}
			now := time.Now().UTC().Format(time.RFC3339)
			h.must(unstructured.SetNestedMap(workflow.Object, map[string]any{
				"phase": "Error", "message": `workflowtemplates.argoproj.io "fraud-train" not found`, "startedAt": now, "finishedAt": now,
			}, "status"))
		})
	}
	goes()
	h.ends("flow", v1alpha1.RunSucceeded)

	delete(h.files, path)
	h.push("flow: no template")
	h.Eventually("the template is gone", func() (bool, string) { return template() == nil, fmt.Sprint(rig.Ready(h.GetOverlay("models"))) })
	goes()
	r := h.ended("flow", 2)[1]
	if r.Status.Phase != v1alpha1.RunFailed {
		t.Errorf("%s is %s", r.Name, r.Status.Phase)
	}
	h.says("flow", "Healthy", metav1.ConditionFalse, r.Name, `workflowtemplates.argoproj.io "fraud-train" not found`)

	h.files[path] = workflowTemplate
	h.push("flow: its template is back")
	h.Eventually("the template is back", func() (bool, string) { return template() != nil, fmt.Sprint(rig.Ready(h.GetOverlay("models"))) })
	goes()
	h.ended("flow", 3)
	h.says("flow", "Healthy", metav1.ConditionTrue)
}

// pipelines is Kubeflow Pipelines with a pipeline of the name fraud-train, of which it asks for a number of rows.
func (h *house) pipelines(o kfp.Options) *kfp.Server {
	h.T.Helper()
	s, err := kfp.Start(o)
	h.must(err)
	h.T.Cleanup(s.Stop)
	h.files["models/pipeline.yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: fraud-train}
spec:
  kfp:
    address: %s
    package: {configMapRef: {name: fraud-train}}
`, s.URL)
	h.files["models/package.yaml"] = `apiVersion: v1
kind: ConfigMap
metadata: {name: fraud-train}
data:
  pipeline.yaml: |
`
	for line := range strings.Lines(compiledPipeline("trainer:1")) {
		h.files["models/package.yaml"] += "    " + line
	}
	return s
}

// piped is what runs that pipeline.
const piped = `run:
  kfp: {pipeline: fraud-train}
  parameters: {data: "s3://BUCKET/data/"}
`

// Kubeflow Pipelines runs a pipeline that came with the same commit, to success and to failure.
func TestKubeflowPipelines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{})
	h.retraining("good", piped+result)
	h.retraining("bad", piped)
	h.begin()
	h.ask("good")
	h.ask("bad")
	good, bad := h.started(s, "good"), h.started(s, "bad")
	h.leaves(good, 1)
	s.Run(good.Status.Attempts[0].ID).Succeed()
	s.Run(bad.Status.Attempts[0].ID).Fail("train")
	r := h.ends("good", v1alpha1.RunSucceeded)
	if r.Status.Result == nil || r.Status.Result.ModelVersion.Metrics["auc"] != "0.947" || !strings.HasPrefix(r.Status.Result.ModelVersion.Lineage.Pipeline, "fraud-train@") {
		t.Errorf("it has made %+v", r.Status.Result)
	}
	r = h.ends("bad", v1alpha1.RunFailed, "step train", "does not say why")
	if r.Status.Attempts[0].Step != "train" {
		t.Errorf("of it %q is blamed", r.Status.Attempts[0].Step)
	}
}

// Kubeflow Pipelines for many users runs what the account of a Retraining may run, and sees a token of it and of nobody
// else. What it does not let an account do is said with the account and the right; and that it does not know who asks,
// with what to do.
func TestKubeflowPipelinesForManyUsers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	users := &rights{client: h.Client}
	account := func(name string) string { return "system:serviceaccount:" + h.Namespace + ":" + name }
	h.grant("deliverer", slices.Concat(deliversPipelines, readsPackages)...)
	h.grant("retrainer", runsPipelines...)
	h.grant("reader", ofPipelines("pipelines", "get", "list"), ofPipelines("experiments", "get", "list", "create"), ofPipelines("runs", "get", "list"))
	h.grant("visitor")
	s := h.pipelines(kfp.Options{MultiUser: true, May: users.may})
	h.files["models/pipeline.yaml"] += "  serviceAccountName: deliverer\n"
	other, err := kfp.Start(kfp.Options{MultiUser: true, Audience: "ml-pipeline.example.com", May: users.may})
	h.must(err)
	t.Cleanup(other.Stop)
	h.retraining("good", "serviceAccountName: retrainer\n"+piped)
	h.retraining("reads", "retries: 3\nserviceAccountName: reader\n"+piped)
	h.retraining("visits", "serviceAccountName: visitor\n"+piped)
	h.retraining("nobody", piped)
	h.retraining("elsewhere", "serviceAccountName: retrainer\n"+strings.Replace(piped, "fraud-train}", "fraud-train, address: \""+other.URL+"\"}", 1))
	h.begin()
	for _, name := range []string{"good", "reads", "visits", "nobody", "elsewhere"} {
		h.ask(name)
	}

	// One is run to its end, and another one canceled.
	s.Run(h.started(s, "good").Status.Attempts[0].ID).Succeed()
	h.ends("good", v1alpha1.RunSucceeded)
	h.ask("good")
	r := h.started(s, "good")
	h.Update(&r, func() { metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.CancelAnnotation, "the data is bad") })
	run := s.Run(r.Status.Attempts[0].ID)
	h.Eventually("it is terminated", func() (bool, string) { return run.State() == "CANCELING", run.State() })
	run.Stopped()
	if r := h.ended("good", 2)[1]; r.Status.Phase != v1alpha1.RunCanceled {
		t.Errorf("%s is %s: %s", r.Name, r.Status.Phase, r.Status.Message)
	}

	// No account, and a server that wants another audience: neither is refused for good.
	for _, name := range []string{"nobody", "elsewhere"} {
		h.run(name, "waits", func(r v1alpha1.RetrainingRun) bool {
			return r.Status.Phase == v1alpha1.RunPending && contains(r.Status.Message, "it cannot begin yet: ", "it does not know who asks", "name an account in spec.serviceAccountName, of which it gets a token for the audience pipelines.kubeflow.org")
		})
	}
	h.retraining("nobody", "serviceAccountName: retrainer\n"+piped)
	h.push("nobody: in the name of the retrainer")
	s.Run(h.started(s, "nobody").Status.Attempts[0].ID).Succeed()
	h.ends("nobody", v1alpha1.RunSucceeded)

	// Rights that are missing end a run: at once, without a further attempt, where one was made, and else after a while.
	for _, c := range []struct {
		name     string
		attempts int
		words    []string
	}{
		{"reads", 1, []string{account("reader"), "Verb:create", "Resource:runs"}},
		{"visits", 0, []string{account("visitor"), "Verb:get", "Resource:pipelines"}},
	} {
		r := h.ends(c.name, v1alpha1.RunFailed, append(c.words, "Namespace:"+h.Namespace, "the account has no right to it", "let a Role for the group pipelines.kubeflow.org give it that verb in that namespace")...)
		if len(r.Status.Attempts) != c.attempts {
			t.Errorf("the attempts of %s are %+v, and should be %d", r.Name, r.Status.Attempts, c.attempts)
		}
	}
	if n := other.Count("POST", ""); n != 0 {
		t.Errorf("%d requests made something on the other server", n)
	}
	for _, c := range []struct {
		what, verb, resource string
		want                 []string
	}{
		{"delivered", "create", "pipelines", []string{account("deliverer")}},
		{"ran something", "create", "runs", []string{account("retrainer")}},
		{"terminated something", "terminate", "runs", []string{account("retrainer")}},
	} {
		if got := users.who(func(r right) bool { return r.given && r.verb == c.verb && r.resource == c.resource }); !slices.Equal(got, c.want) {
			t.Errorf("%q %s, and it should be %q", got, c.what, c.want)
		}
	}
	want := []string{account("deliverer"), account("reader"), account("retrainer"), account("visitor")}
	if got := users.who(func(right) bool { return true }); !slices.Equal(got, want) {
		t.Errorf("there came %q, and should have %q", got, want)
	}
}

// leaves has an attempt at a run leave a result, as its last step does.
func (h *house) leaves(r v1alpha1.RetrainingRun, attempt int) {
	h.T.Helper()
	out := fmt.Sprintf("runs/%s/%d/", r.Name, attempt)
	for _, f := range h.writes("0.947")(training{job: r.Name, out: out}).files {
		h.put(out+f[0], f[1])
	}
}

// started waits until a run of a Retraining that is not over is one of Kubeflow Pipelines, has it go on, and fails the
// test if there are two of its name.
func (h *house) started(s *kfp.Server, name string) v1alpha1.RetrainingRun {
	h.T.Helper()
	r := h.run(name, "is known to Kubeflow Pipelines", func(r v1alpha1.RetrainingRun) bool {
		return !r.Status.Phase.Ended() && len(r.Status.Attempts) == 1 && r.Status.Attempts[0].ID != ""
	})
	if ids := s.Made(pipelines.RunName(r.Status.Attempts[0].Name, r.UID)); len(ids) != 1 || ids[0] != r.Status.Attempts[0].ID {
		h.T.Fatalf("the runs of the name %s are %q", r.Status.Attempts[0].Name, ids)
	}
	s.Run(r.Status.Attempts[0].ID).Go()
	return r
}

// base is a time some seconds from now, at which slots may begin.
func base(margin time.Duration) time.Time { return time.Now().UTC().Add(margin).Truncate(time.Second) }
