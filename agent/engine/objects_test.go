package engine

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

var (
	jobs     = schema.GroupResource{Group: "batch", Resource: "jobs"}
	timedOut = apierrors.NewServerTimeout(jobs, "create", 1)
)

// stage is a cluster that plays what cannot be had from a real one at will: answers in an unlucky order.
type stage struct {
	*fake.FakeDynamicClient
	unknown map[string]error // by kind
}

func newStage(objects ...runtime.Object) stage {
	kinds := map[schema.GroupVersionResource]string{
		{Group: "batch", Version: "v1", Resource: "jobs"}: "JobList", {Group: "argoproj.io", Version: "v1alpha1", Resource: "workflows"}: "WorkflowList",
		{Group: "trainer.kubeflow.org", Version: "v1alpha1", Resource: "trainjobs"}:               "TrainJobList",
		{Group: "trainer.kubeflow.org", Version: "v1alpha1", Resource: "clustertrainingruntimes"}: "ClusterTrainingRuntimeList",
		{Group: "trainer.kubeflow.org", Version: "v1alpha1", Resource: "trainingruntimes"}:        "TrainingRuntimeList",
	}
	return stage{fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...), map[string]error{}}
}

func (s stage) Resource(kind schema.GroupVersionKind) (dynamic.NamespaceableResourceInterface, bool, error) {
	resource := strings.ToLower(kind.Kind) + "s"
	return s.FakeDynamicClient.Resource(kind.GroupVersion().WithResource(resource)), !strings.HasPrefix(kind.Kind, "Cluster"), s.unknown[kind.Kind]
}

// answers has the next requests of a verb answered with these, the last of them for good; nil is answered as usual.
func (s stage) answers(verb, resource string, given ...error) {
	s.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		answer := given[0]
		if len(given) > 1 {
			given = given[1:]
		}
		return answer != nil, nil, answer
	})
}

func ours(kind, id string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("batch/v1")
	if kind == "Workflow" {
		o.SetAPIVersion("argoproj.io/v1alpha1")
	}
	o.SetKind(kind)
	o.SetNamespace("fraud")
	o.SetName("fraud-1-1")
	o.SetUID(types.UID(id))
	o.SetOwnerReferences([]metav1.OwnerReference{ownerOf(attempt(v1alpha1.RunTemplate{}))})
	return o
}

func attempt(template v1alpha1.RunTemplate) Run {
	return Run{Namespace: "fraud", Record: "fraud-1", UID: "3f2a", Retraining: "fraud", Name: "fraud-1-1", Template: template}
}

var (
	aJob      = v1alpha1.RunTemplate{Job: &v1alpha1.ObjectTemplate{Spec: raw(`{}`)}}
	aWorkflow = v1alpha1.RunTemplate{Workflow: &v1alpha1.WorkflowRun{Template: "train"}}
	aTrainJob = v1alpha1.RunTemplate{TrainJob: &v1alpha1.ObjectTemplate{Spec: raw(`{"runtimeRef": {"name": "torch"}}`)}}
)

func TestStartThatIsOvertaken(t *testing.T) {
	absent, taken := apierrors.NewNotFound(jobs, "fraud-1-1"), apierrors.NewAlreadyExists(jobs, "fraud-1-1")
	other := ours("Job", "other")
	other.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "CronJob", Name: "nightly", UID: "77", Controller: new(true)}})
	for _, c := range []struct {
		name string
		live *unstructured.Unstructured
		gets []error
		id   string
		kind Kind
		says string
	}{
		{"by ourselves", ours("Job", "7"), []error{absent, nil}, "7", "", ""},
		{"by somebody else", other, []error{absent, nil}, "", Permanent, "Job/fraud/fraud-1-1 is there already, and belongs to CronJob nightly: delete it"},
		{"by one that has gone", ours("Job", "7"), []error{absent}, "", Temporary, "came and went"},
		{"and the server fails", ours("Job", "7"), []error{absent, timedOut}, "", Temporary, "tried again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(c.live)
			s.answers("get", "jobs", c.gets...)
			s.answers("create", "jobs", taken)
			id, err := Objects{Cluster: s}.Start(t.Context(), attempt(aJob))
			if c.kind != "" {
				wantKind(t, err, c.kind, c.says)
			} else if err != nil || id != c.id {
				t.Errorf("started as %q: %v", id, err)
			}
		})
	}
}

// TestStartIsNeverASecondTime: whatever is found, a run that has begun is not begun again.
func TestStartIsNeverASecondTime(t *testing.T) {
	foreign := ours("Job", "foreign")
	foreign.SetOwnerReferences(nil)
	for _, live := range [][]runtime.Object{nil, {ours("Job", "other")}, {foreign}} {
		s := newStage(live...)
		run := attempt(aJob)
		run.ID = "7"
		_, err := Objects{Cluster: s}.Start(t.Context(), run)
		wantKind(t, err, Forgotten, "Job/fraud/fraud-1-1 is gone")
		for _, action := range s.Actions() {
			if action.GetVerb() != "get" {
				t.Errorf("it was asked to %s", action.GetVerb())
			}
		}
	}
}

func TestStartAsksForARuntime(t *testing.T) {
	runtimes := schema.GroupResource{Group: "trainer.kubeflow.org", Resource: "clustertrainingruntimes"}
	for _, c := range []struct {
		name    string
		answer  error
		unknown error
		says    string
	}{
		{"there is none", apierrors.NewNotFound(runtimes, "torch"), nil, "there is no ClusterTrainingRuntime.trainer.kubeflow.org/torch"},
		{"nobody may look", apierrors.NewForbidden(runtimes, "torch", errors.New(`User "x" cannot get`)), nil, ""},
		{"the server fails", timedOut, nil, ""},
		{"there is no such kind", nil, &meta.NoKindMatchError{}, "install Kubeflow Trainer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage()
			s.unknown["ClusterTrainingRuntime"] = c.unknown
			s.answers("get", "clustertrainingruntimes", c.answer)
			_, err := Objects{Cluster: s}.Start(t.Context(), attempt(aTrainJob))
			if c.says != "" {
				wantKind(t, err, Permanent, c.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStartAsksForARuntimeOfTheNamespace(t *testing.T) {
	template := v1alpha1.RunTemplate{TrainJob: &v1alpha1.ObjectTemplate{Spec: raw(`{"runtimeRef": {"kind": "TrainingRuntime", "name": "ours"}}`)}}
	elsewhere, here := &unstructured.Unstructured{}, &unstructured.Unstructured{}
	for o, namespace := range map[*unstructured.Unstructured]string{elsewhere: "shop", here: "fraud"} {
		o.SetAPIVersion("trainer.kubeflow.org/v1alpha1")
		o.SetKind("TrainingRuntime")
		o.SetNamespace(namespace)
		o.SetName("ours")
	}
	_, err := Objects{Cluster: newStage(elsewhere)}.Start(t.Context(), attempt(template))
	wantKind(t, err, Permanent, "there is no TrainingRuntime.trainer.kubeflow.org/fraud/ours: create it")
	if _, err := (Objects{Cluster: newStage(here)}).Start(t.Context(), attempt(template)); err != nil {
		t.Error(err)
	}
	template.TrainJob.Spec = raw(`{"runtimeRef": {"apiGroup": "example.com", "kind": "Runtime", "name": "theirs"}}`)
	if _, err := (Objects{Cluster: newStage()}).Start(t.Context(), attempt(template)); err != nil {
		t.Errorf("a runtime of somebody else is looked for: %v", err)
	}
}

func TestPods(t *testing.T) {
	for _, c := range []struct {
		template v1alpha1.RunTemplate
		want     string
	}{
		{aJob, "batch.kubernetes.io/job-name=fraud-1-1"},
		{aWorkflow, "workflows.argoproj.io/workflow=fraud-1-1"},
		{aTrainJob, "jobset.sigs.k8s.io/jobset-name=fraud-1-1"},
		{v1alpha1.RunTemplate{TrainingJob: &v1alpha1.TrainingJobRun{Kind: "TFJob"}}, "training.kubeflow.org/job-name=fraud-1-1"},
		{v1alpha1.RunTemplate{Experiment: &v1alpha1.ObjectTemplate{}}, ""},
		{v1alpha1.RunTemplate{}, ""},
	} {
		if got := Pods(attempt(c.template)); got != c.want {
			t.Errorf("pods are selected by %q, want %q", got, c.want)
		}
	}
	run := attempt(v1alpha1.RunTemplate{KFP: &v1alpha1.KFPRun{Pipeline: "train"}})
	for id, want := range map[string]string{
		"": "", "a,app=b": "",
		"0f5c2b1e-6a3d-4c8f-9d57-3b1a2c4d5e6f": "pipeline/runid=0f5c2b1e-6a3d-4c8f-9d57-3b1a2c4d5e6f",
	} {
		if run.ID = id; Pods(run) != want {
			t.Errorf("pods of the run %q of a pipeline are selected by %q, want %q", id, Pods(run), want)
		}
	}
}

func TestKindsThatAreNotKnown(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind Kind
		says string
	}{
		{&meta.NoKindMatchError{}, Permanent, "Workflow.argoproj.io/fraud/fraud-1-1: the cluster does not know the kind Workflow in argoproj.io/v1alpha1: install Argo Workflows"},
		{errors.New("dial tcp: connection refused"), Temporary, "tried again"},
	} {
		s := newStage()
		s.unknown["Workflow"] = c.err
		e, run := Objects{Cluster: s}, attempt(aWorkflow)
		_, err := e.Start(t.Context(), run)
		wantKind(t, err, c.kind, c.says)
		wantKind(t, e.Cancel(t.Context(), run), c.kind, c.says)
		run.ID = "7"
		_, err = e.State(t.Context(), run)
		wantKind(t, err, c.kind, c.says)
	}
}

func TestStateOfWhatIsNotThere(t *testing.T) {
	e, run := Objects{Cluster: newStage()}, attempt(aJob)
	if s, err := e.State(t.Context(), run); err != nil || s.Phase != v1alpha1.RunPending {
		t.Errorf("before it is started: %v %v", s, err)
	}
	run.ID = "7"
	_, err := e.State(t.Context(), run)
	wantKind(t, err, Forgotten)
	run.Canceled = true
	if s, err := e.State(t.Context(), run); err != nil || s.Phase != v1alpha1.RunCanceled {
		t.Errorf("canceled: %v %v", s, err)
	}
	failing := newStage(ours("Job", "7"))
	failing.answers("get", "jobs", timedOut)
	_, err = Objects{Cluster: failing}.State(t.Context(), run)
	wantKind(t, err, Temporary)
}

// A Workflow has a page in Argo's UI, wherever that is; what is of another kind has none.
func TestPages(t *testing.T) {
	for _, c := range []struct {
		kind     string
		template v1alpha1.RunTemplate
		at, page string
	}{
		{"Workflow", aWorkflow, "https://argo.example.com", "https://argo.example.com/workflows/fraud/fraud-1-1"},
		{"Workflow", aWorkflow, "https://example.com/argo/", "https://example.com/argo/workflows/fraud/fraud-1-1"},
		{"Workflow", aWorkflow, "", ""},
		{"Job", aJob, "https://argo.example.com", ""},
	} {
		run := attempt(c.template)
		run.ID = "7"
		s, err := Objects{Cluster: newStage(ours(c.kind, run.ID)), WorkflowsURL: c.at}.State(t.Context(), run)
		if err != nil || s.URL != c.page {
			t.Errorf("the page of a %s at %q is %q, %v, want %q", c.kind, c.at, s.URL, err, c.page)
		}
	}
}

func TestCancel(t *testing.T) {
	ended, going := ours("Workflow", "7"), ours("Workflow", "7")
	ended.Object["status"] = map[string]any{"phase": "Failed"}
	leaving := ours("Job", "7")
	leaving.SetDeletionTimestamp(new(metav1.Now()))
	leaving.SetFinalizers([]string{"foregroundDeletion"})
	foreign := ours("Job", "7")
	foreign.SetOwnerReferences(nil)
	for _, c := range []struct {
		name     string
		template v1alpha1.RunTemplate
		live     []runtime.Object
		verb     string
		answer   error
		kind     Kind
	}{
		{"a workflow", aWorkflow, []runtime.Object{going}, "patch", nil, ""},
		{"a workflow that has ended", aWorkflow, []runtime.Object{ended}, "", nil, ""},
		{"a workflow that goes meanwhile", aWorkflow, []runtime.Object{going}, "patch", apierrors.NewNotFound(jobs, "fraud-1-1"), ""},
		{"a workflow that is another one meanwhile", aWorkflow, []runtime.Object{going}, "patch", apierrors.NewConflict(jobs, "fraud-1-1", errors.New("uid")), Temporary},
		{"a job", aJob, []runtime.Object{ours("Job", "7")}, "delete", nil, ""},
		{"a job that is being deleted", aJob, []runtime.Object{leaving}, "", nil, ""},
		{"a job of the same name", aJob, []runtime.Object{ours("Job", "8")}, "", nil, ""},
		{"somebody else's job", aJob, []runtime.Object{foreign}, "", nil, Permanent},
		{"what is not there", aJob, nil, "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(c.live...)
			s.answers("patch", "workflows", c.answer)
			run := attempt(c.template)
			run.ID = "7"
			err := Objects{Cluster: s}.Cancel(t.Context(), run)
			if c.kind != "" {
				wantKind(t, err, c.kind)
			} else if err != nil {
				t.Error(err)
			}
			verb := ""
			for _, action := range s.Actions() {
				if action.GetVerb() != "get" {
					verb += action.GetVerb()
				}
				if patch, is := action.(clienttesting.PatchAction); is && string(patch.GetPatch()) != `{"metadata":{"uid":"7"},"spec":{"shutdown":"Terminate"}}` {
					t.Errorf("the patch is %s", patch.GetPatch())
				}
				if deletion, is := action.(clienttesting.DeleteAction); is {
					options := deletion.GetDeleteOptions()
					if *options.Preconditions.UID != "7" || *options.PropagationPolicy != metav1.DeletePropagationForeground {
						t.Errorf("it is deleted with %v", options)
					}
				}
			}
			if verb != c.verb {
				t.Errorf("the cluster was asked to %q, want %q", verb, c.verb)
			}
		})
	}
}

func TestWhose(t *testing.T) {
	for _, c := range []struct {
		change func(*unstructured.Unstructured)
		kind   Kind
		says   string
	}{
		{func(*unstructured.Unstructured) {}, Permanent, "was not made for this run"},
		{func(o *unstructured.Unstructured) {
			o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubelet", Subresource: "status"}, {Manager: "kubectl-create"}})
		}, Permanent, "was made by kubectl-create"},
		{func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{v1alpha1.RetrainingLabel: "fraud", v1alpha1.RunLabel: "fraud-1"})
		}, Permanent, "belongs to the Retraining fraud"},
		{func(o *unstructured.Unstructured) {
			o.SetAnnotations(map[string]string{"meta.helm.sh/release-name": "train"})
		}, Permanent, "the Helm release train"},
		{func(o *unstructured.Unstructured) {
			o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "RetrainingRun", Name: "fraud-2", UID: "9", Controller: new(true)}})
		}, Permanent, "belongs to RetrainingRun fraud-2"},
		{func(o *unstructured.Unstructured) {
			o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "RetrainingRun", Name: "fraud-1", UID: "9", Controller: new(true)}})
		}, Temporary, "an earlier RetrainingRun fraud-1"},
		{func(o *unstructured.Unstructured) { // an owner that does not control it
			o.SetOwnerReferences([]metav1.OwnerReference{{Kind: "RetrainingRun", Name: "fraud-1", UID: "3f2a"}})
		}, Permanent, "was not made for this run"},
	} {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		c.change(o)
		wantKind(t, claim(attempt(aJob), job, o), c.kind, c.says)
	}
}

func TestErrorsAreSorted(t *testing.T) {
	ref := agent.Ref{Group: "batch", Kind: "Job", Namespace: "fraud", Name: "fraud-1-1"}
	status := func(code int32, message string, causes ...metav1.StatusCause) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Message: message, Reason: map[int32]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound}[code], Details: &metav1.StatusDetails{Causes: causes}}}
	}
	for _, c := range []struct {
		err  error
		kind Kind
		says string
	}{
		{apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "fraud-1-1", nil), Permanent, "is refused"},
		{apierrors.NewBadRequest(`strict decoding error: unknown field "spec.podSpecOverrides"`), Permanent, `unknown field "spec.podSpecOverrides": correct spec.run`},
		{status(403, `jobs.batch is forbidden: User "system:serviceaccount:fraud:x" cannot create resource "jobs"`), Permanent, "may not create it"},
		{status(403, `jobs "a" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=2`), Temporary, "exceeded quota"},
		{status(403, `jobs "a" is forbidden: violates PodSecurity "restricted"`), Permanent, "violates PodSecurity"},
		{status(403, `unable to create new content in namespace fraud`, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause}), Permanent, "unable to create"},
		{status(404, `the server could not find the requested resource`, metav1.StatusCause{Type: metav1.CauseTypeUnexpectedServerResponse}), Temporary, "could not find"},
		{status(400, `admission webhook "validator.experiment.katib.kubeflow.org" denied the request: maxTrialCount`), Permanent, "denied the request"},
		{apierrors.NewInternalError(errors.New(`failed calling webhook "validator.trainjob": connection refused`)), Temporary, "failed calling webhook"},
		{status(409, `Operation cannot be fulfilled`), Temporary, "tried again"},
		{status(401, `Unauthorized`), Temporary, "tried again"},
		{status(429, `too many requests`), Temporary, "tried again"},
		{status(413, `Request entity too large`), Permanent, "too large"},
		{status(503, `apiserver is shutting down`), Temporary, "shutting down"},
		{status(http.StatusOK, `what is this`), Temporary, "what is this"},
		{context.Canceled, Temporary, "it was broken off"},
		{context.DeadlineExceeded, Temporary, "does not answer in time"},
		{errors.New("dial tcp https://robot:hunter2@10.0.0.1:6443: connection refused\n\x1b[31m"), Temporary, "https://…@10.0.0.1:6443: connection refused"},
	} {
		err := explain(ref, "create", c.err)
		wantKind(t, err, c.kind, "Job/fraud/fraud-1-1", c.says)
		if strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("it says %q", err)
		}
	}
	if KindOf(errors.New("of another package")) != Temporary {
		t.Error("what is not known may pass")
	}
}
