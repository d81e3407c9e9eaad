package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/engines"
	"github.com/sluice-dev/sluice/manifests"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// access is a Cluster for tests.
type access struct {
	mapper  meta.RESTMapper
	dynamic dynamic.Interface
}

func (a access) Resource(kind schema.GroupVersionKind) (dynamic.NamespaceableResourceInterface, bool, error) {
	m, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, false, err
	}
	return a.dynamic.Resource(m.Resource), m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// as is the Engine of an account.
func as(t *testing.T, config *rest.Config) Objects {
	t.Helper()
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, web)
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return Objects{Cluster: access{mapper, client}}
}

// house is a control plane with the kinds that the tests need.
type house struct {
	*testing.T
	cluster *cluster.Cluster
	client  client.Client
	engine  Objects
}

func enter(t *testing.T) *house {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	direct, err := client.New(c.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, cluster: c, client: direct, engine: as(t, c.Config())}
	run, err := manifests.CRDs.ReadFile("crds/sluice.dev_retrainingruns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Define(t.Context(), string(run)); err != nil {
		t.Fatal(err)
	}
	// Nobody walks them: they stay as they were created. That the others are missing is a part of the test.
	if err := engines.Define(t.Context(), c, "workflows", "trainjobs", "trainingruntimes"); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) eventually(what string, ok func() (bool, string)) {
	h.Helper()
	said := ""
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		var done bool
		if done, said = ok(); done {
			return
		}
	}
	h.Fatalf("%s: %s", what, said)
}

// record creates a RetrainingRun and returns a first attempt at it.
func (h *house) record(name string, template v1alpha1.RunTemplate) Run {
	h.Helper()
	o := &v1alpha1.RetrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       v1alpha1.RetrainingRunSpec{Retraining: "fraud", Slot: metav1.Now(), Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerManual}},
	}
	if err := h.client.Create(h.Context(), o); err != nil {
		h.Fatal(err)
	}
	return Run{Namespace: "default", Record: name, UID: o.GetUID(), Retraining: "fraud", Name: Name(name, 1), Template: template}
}

func (h *house) start(run Run) Run {
	h.Helper()
	id, err := h.engine.Start(h.Context(), run)
	if err != nil {
		h.Fatal(err)
	}
	run.ID = id
	return run
}

// until waits for a phase of a run.
func (h *house) until(run Run, phase v1alpha1.RunPhase) State {
	h.Helper()
	var last State
	h.eventually(fmt.Sprintf("%s is %s", run.Name, phase), func() (bool, string) {
		s, err := h.engine.State(h.Context(), run)
		if err != nil {
			return false, err.Error()
		}
		last = s
		return s.Phase == phase, fmt.Sprintf("it is %s: %s", s.Phase, s.Message)
	})
	return last
}

// object reads the object of a run; nil if there is none.
func (h *house) object(apiVersion, kind, name string) *unstructured.Unstructured {
	h.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	err := h.client.Get(h.Context(), types.NamespacedName{Namespace: "default", Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		h.Fatal(err)
	}
	return o
}

// jobOf is a Job whose pod has a fate: Run, Fail, or none to complete.
func jobOf(fate string) v1alpha1.RunTemplate {
	return v1alpha1.RunTemplate{Job: &v1alpha1.ObjectTemplate{Spec: raw(`{"backoffLimit": 0, "template": {
		"metadata": {"annotations": {"fake.sluice.dev/pod": "` + fate + `"}},
		"spec": {"restartPolicy": "Never", "containers": [{"name": "train", "image": "trainer"}]}}}`)}}
}

func wantKind(t *testing.T, err error, kind Kind, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("there is no error, and it should be %s", kind)
		return
	}
	if KindOf(err) != kind {
		t.Errorf("the error is %s and should be %s: %v", KindOf(err), kind, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

// TestRealCluster runs against a real API server with its real controllers: what is created once, what is
// refused, what is collected and what is stopped.
func TestRealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a control plane")
	}
	h := enter(t)
	// The name of another's record is free when the controllers have collected it, which takes most of a minute.
	t.Run("together", func(t *testing.T) {
		for _, c := range stories {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				inner := *h
				inner.T = t
				c.test(&inner)
			})
		}
	})
	serverHangs(h)
}

var stories = []struct {
	name string
	test func(*house)
}{
	{"created once", createdOnce}, {"an answer that is lost", lostAnswer}, {"somebody else's", foreign}, {"an earlier record's", earlier},
	{"forgotten", forgotten}, {"collected", collected}, {"failed", jobFails}, {"job canceled", jobCanceled}, {"workflow canceled", workflowCanceled},
	{"refused", refused}, {"without rights", withoutRights}, {"runtime", runtimeMissing}, {"any object", anyObject},
}

func createdOnce(h *house) {
	run := h.record("once", jobOf(""))
	ids := make([]string, 12)
	var group sync.WaitGroup
	for n := range ids {
		group.Go(func() {
			var err error
			if ids[n], err = h.engine.Start(h.Context(), run); err != nil {
				h.Error(err)
			}
		})
	}
	group.Wait()
	// Killed before the id was on record, it is started again.
	again := h.start(run)
	for _, id := range ids {
		if id != again.ID {
			h.Errorf("ids differ: %q and %q", id, again.ID)
		}
	}
	if h.start(again).ID != again.ID {
		h.Error("a run with its id on record has got another")
	}
	s := h.until(again, v1alpha1.RunSucceeded)
	if s.StartedAt.IsZero() || s.EndedAt.Before(s.StartedAt) {
		h.Errorf("it began %s and ended %s", s.StartedAt, s.EndedAt)
	}
	o := h.object("batch/v1", "Job", run.Name)
	if o.GetLabels()[v1alpha1.RetrainingLabel] != "fraud" || o.GetLabels()[v1alpha1.RunLabel] != "once" {
		h.Errorf("labels are %v", o.GetLabels())
	}
	if err := h.engine.Cancel(h.Context(), again); err != nil {
		h.Error(err)
	}
	if o := h.object("batch/v1", "Job", run.Name); o == nil || o.GetDeletionTimestamp() != nil {
		h.Error("a run that has ended was deleted by Cancel")
	}
}

// loses is a transport that carries a create out, and loses the answer.
type loses struct {
	http.RoundTripper
	lost *int
}

func (l loses) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodPost && err == nil && response.StatusCode == http.StatusCreated {
		response.Body.Close()
		*l.lost++
		return nil, errors.New("connection reset by peer")
	}
	return response, err
}

func lostAnswer(h *house) {
	lost := 0
	config := h.cluster.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return loses{next, &lost} })
	run := h.record("lost", jobOf("Run"))
	_, err := as(h.T, config).Start(h.Context(), run)
	wantKind(h.T, err, Temporary, "Job/default/lost-1")
	if lost != 1 {
		h.Fatalf("%d answers were lost", lost)
	}
	made := h.object("batch/v1", "Job", run.Name)
	if again := h.start(run); again.ID != string(made.GetUID()) {
		h.Error("it was not found again")
	}
}

func foreign(h *house) {
	run := h.record("foreign", jobOf(""))
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"namespace": "default", "name": run.Name, "labels": map[string]any{v1alpha1.RunLabel: "foreign", v1alpha1.OverlayLabel: "shop"}},
		"spec": map[string]any{"suspend": true, "template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{"name": "other", "image": "other"}},
		}}},
	}}
	if err := h.client.Create(h.Context(), o); err != nil {
		h.Fatal(err)
	}
	_, err := h.engine.Start(h.Context(), run)
	wantKind(h.T, err, Permanent, "Job/default/foreign-1", "belongs to the Overlay shop")
	wantKind(h.T, h.engine.Cancel(h.Context(), run), Permanent, "Overlay shop")
	now := h.object("batch/v1", "Job", run.Name)
	if now == nil || now.GetGeneration() != o.GetGeneration() || len(now.GetOwnerReferences()) != 0 || now.GetDeletionTimestamp() != nil {
		h.Errorf("somebody else's Job was changed: %v", now)
	}
}

func earlier(h *house) {
	run := h.record("earlier", jobOf("Run"))
	before := run
	before.UID = "11111111-2222-3333-4444-555555555555"
	old := h.start(before)
	// Its owner is not there, so it is collected at some time; until then the name is taken.
	seen := false
	h.eventually("it is started anew", func() (bool, string) {
		id, err := h.engine.Start(h.Context(), run)
		if err == nil {
			return id != old.ID, "it has the id of the other"
		}
		seen = true
		wantKind(h.T, err, Temporary, "earlier RetrainingRun earlier")
		return false, err.Error()
	})
	if !seen {
		h.Log("it was collected before it was looked at")
	}
}

func forgotten(h *house) {
	run := h.start(h.record("forgotten", jobOf("Run")))
	h.until(run, v1alpha1.RunRunning)
	o := h.object("batch/v1", "Job", run.Name)
	if err := h.client.Delete(h.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		h.Fatal(err)
	}
	h.eventually("it is forgotten", func() (bool, string) {
		s, err := h.engine.State(h.Context(), run)
		return KindOf(err) == Forgotten && err != nil, fmt.Sprintf("%v %v", s, err)
	})
	_, err := h.engine.Start(h.Context(), run)
	wantKind(h.T, err, Forgotten, "Job/default/forgotten-1")
	if h.object("batch/v1", "Job", run.Name) != nil {
		h.Error("it was begun a second time")
	}
	// Another of that name is not the run.
	fresh := run
	fresh.ID = ""
	h.start(fresh)
	_, err = h.engine.State(h.Context(), run)
	wantKind(h.T, err, Forgotten)
	if err := h.engine.Cancel(h.Context(), run); err != nil {
		h.Error(err)
	}
	if o := h.object("batch/v1", "Job", run.Name); o == nil || o.GetDeletionTimestamp() != nil {
		h.Error("another of that name was canceled")
	}
}

func podsOf(h *house, run Run) client.ListOption {
	h.Helper()
	selector, err := labels.Parse(Pods(run))
	if err != nil || selector.Empty() {
		h.Fatal("the pods cannot be told", err)
	}
	return client.MatchingLabelsSelector{Selector: selector}
}

func collected(h *house) {
	run := h.start(h.record("collected", jobOf("Run")))
	h.until(run, v1alpha1.RunRunning)
	o := h.object("sluice.dev/v1alpha1", "RetrainingRun", "collected")
	if err := h.client.Delete(h.Context(), o); err != nil {
		h.Fatal(err)
	}
	h.eventually("the Job and its pods go", func() (bool, string) {
		var pods corev1.PodList
		if err := h.client.List(h.Context(), &pods, podsOf(h, run)); err != nil {
			return false, err.Error()
		}
		job := h.object("batch/v1", "Job", run.Name)
		return job == nil && len(pods.Items) == 0, fmt.Sprintf("Job %v, %d pods", job != nil, len(pods.Items))
	})
}

func jobFails(h *house) {
	s := h.until(h.start(h.record("fails", jobOf("Fail"))), v1alpha1.RunFailed)
	if !strings.Contains(s.Message, "BackoffLimitExceeded") {
		h.Errorf("it says: %s", s.Message)
	}
}

func jobCanceled(h *house) {
	run := h.start(h.record("canceled", jobOf("Run")))
	h.until(run, v1alpha1.RunRunning)
	var before corev1.PodList
	if err := h.client.List(h.Context(), &before, podsOf(h, run)); err != nil || len(before.Items) != 1 {
		h.Fatalf("%d pods: %v", len(before.Items), err)
	}
	run.Canceled = true
	for range 2 {
		if err := h.engine.Cancel(h.Context(), run); err != nil {
			h.Fatal(err)
		}
	}
	h.until(run, v1alpha1.RunCanceled)
	var pods corev1.PodList
	if err := h.client.List(h.Context(), &pods, podsOf(h, run)); err != nil {
		h.Fatal(err)
	}
	if len(pods.Items) != 0 {
		h.Errorf("it is said to be canceled, and has %d pods", len(pods.Items))
	}
}

func workflowCanceled(h *house) {
	run := h.start(h.record("stopped", v1alpha1.RunTemplate{Workflow: &v1alpha1.WorkflowRun{Template: "fraud-train"}}))
	if s := h.until(run, v1alpha1.RunPending); s.Message != "" {
		h.Errorf("it says %q before anybody has looked at it", s.Message)
	}
	if err := h.engine.Cancel(h.Context(), run); err != nil {
		h.Fatal(err)
	}
	o := h.object("argoproj.io/v1alpha1", "Workflow", run.Name)
	if fields(o.Object).text("spec", "shutdown") != "Terminate" || fields(o.Object).text("spec", "workflowTemplateRef", "name") != "fraud-train" {
		h.Errorf("its spec is %v", o.Object["spec"])
	}
	o.Object["status"] = map[string]any{"phase": "Failed", "message": "Stopped with strategy 'Terminate'"}
	if err := h.client.Update(h.Context(), o); err != nil {
		h.Fatal(err)
	}
	if s := h.until(run, v1alpha1.RunCanceled); s.Message != "Stopped with strategy 'Terminate'" {
		h.Errorf("it says %q", s.Message)
	}
}

func refused(h *house) {
	typo := jobOf("")
	typo.Job.Spec = raw(`{"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "train", "image": "trainer", "imagee": "x"}]}}}`)
	invalid := jobOf("")
	invalid.Job.Spec = raw(`{"template": {"spec": {"restartPolicy": "Always", "containers": []}}}`)
	anything := func(apiVersion, kind, template string) v1alpha1.RunTemplate {
		return v1alpha1.RunTemplate{Object: &v1alpha1.ObjectRun{APIVersion: apiVersion, Kind: kind, Template: raw(template), Succeeded: "true", Failed: "false"}}
	}
	for n, c := range []struct {
		template v1alpha1.RunTemplate
		words    string
	}{
		{typo, `unknown field "spec.template.spec.containers[0].imagee"`},
		{invalid, "is refused"},
		{v1alpha1.RunTemplate{Experiment: &v1alpha1.ObjectTemplate{Spec: raw(`{}`)}}, "does not know the kind Experiment in kubeflow.org/v1beta1: install Katib"},
		{v1alpha1.RunTemplate{TrainingJob: &v1alpha1.TrainingJobRun{Kind: "PyTorchJob", ObjectTemplate: v1alpha1.ObjectTemplate{Spec: raw(`{}`)}}}, "install the training-operator"},
		{anything("v1", "Namespace", `{}`), "are not in namespaces"},
		{anything("rbac.authorization.k8s.io/v1", "ClusterRole", `{"rules": []}`), "are not in namespaces"},
		{anything("v1", "ConfigMap", `{"metadata": {"namespace": "kube-system"}}`), "metadata.namespace"},
	} {
		run := h.record(fmt.Sprintf("refused-%d", n), c.template)
		_, err := h.engine.Start(h.Context(), run)
		wantKind(h.T, err, Permanent, c.words)
		if c.template.Job != nil && h.object("batch/v1", "Job", run.Name) != nil {
			h.Error("it was created all the same")
		}
	}
}

func withoutRights(h *house) {
	config := h.cluster.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:default:nobody"}
	_, err := as(h.T, config).Start(h.Context(), h.record("rights", jobOf("")))
	wantKind(h.T, err, Permanent, "may not get it", "spec.serviceAccountName")
}

func runtimeMissing(h *house) {
	run := h.record("runtime", v1alpha1.RunTemplate{TrainJob: &v1alpha1.ObjectTemplate{Spec: raw(`{"runtimeRef": {"kind": "TrainingRuntime", "name": "torch"}}`)}})
	_, err := h.engine.Start(h.Context(), run)
	wantKind(h.T, err, Permanent, "there is no TrainingRuntime.trainer.kubeflow.org/default/torch: create it")
	runtime := &unstructured.Unstructured{}
	runtime.SetAPIVersion("trainer.kubeflow.org/v1alpha1")
	runtime.SetKind("TrainingRuntime")
	runtime.SetNamespace("default")
	runtime.SetName("torch")
	if err := h.client.Create(h.Context(), runtime); err != nil {
		h.Fatal(err)
	}
	run = h.start(run)
	if s := h.until(run, v1alpha1.RunPending); !strings.Contains(s.Message, "TrainingRuntime torch") {
		h.Errorf("it says %q", s.Message)
	}
}

func anyObject(h *house) {
	run := h.start(h.record("any", v1alpha1.RunTemplate{Object: &v1alpha1.ObjectRun{
		APIVersion: "v1", Kind: "ConfigMap", Template: raw(`{"data": {"state": "new"}}`),
		Succeeded: "object.data.state == 'done'", Failed: "object.data.state == 'failed'",
		Outputs: map[string]string{"uri": "object.data.uri"},
	}}))
	h.until(run, v1alpha1.RunPending)
	o := h.object("v1", "ConfigMap", run.Name)
	o.Object["data"] = map[string]any{"state": "done", "uri": "s3://models/fraud/v9"}
	if err := h.client.Update(h.Context(), o); err != nil {
		h.Fatal(err)
	}
	if s := h.until(run, v1alpha1.RunSucceeded); s.Outputs["uri"] != "s3://models/fraud/v9" {
		h.Errorf("outputs are %v", s.Outputs)
	}
}

func serverHangs(h *house) {
	run := h.record("hangs", jobOf("Run"))
	if err := h.cluster.Pause("kube-apiserver"); err != nil {
		h.Fatal(err)
	}
	short, cancel := context.WithTimeout(h.Context(), time.Second)
	defer cancel()
	_, err := h.engine.Start(short, run)
	if err := h.cluster.Resume("kube-apiserver"); err != nil {
		h.Fatal(err)
	}
	wantKind(h.T, err, Temporary, "does not answer in time")
	h.until(h.start(run), v1alpha1.RunRunning)
}
