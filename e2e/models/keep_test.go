package models_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// losses are the Deployments, Services and InferenceServices that were deleted, in their order, with
// those that were there when each of them went.
type losses struct {
	mu    sync.Mutex
	there map[string]bool
	all   []loss
}

type loss struct {
	of    string
	there []string
}

// losses records from now on what is deleted.
func (h *house) losses() *losses {
	h.T.Helper()
	l := &losses{there: map[string]bool{}}
	for _, kind := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Service"}, {Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		events, err := h.Client.Watch(context.Background(), list, client.HasLabels{v1alpha1.ModelLabel})
		if err != nil {
			h.T.Fatal(err)
		}
		h.T.Cleanup(events.Stop)
		go func() {
			for event := range events.ResultChan() {
				if o, is := event.Object.(*unstructured.Unstructured); is {
					l.note(kind.Kind+" "+o.GetNamespace()+"/"+o.GetName(), event.Type == watch.Deleted)
				}
			}
		}()
	}
	return l
}

func (l *losses) note(name string, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !gone {
		l.there[name] = true
		return
	}
	delete(l.there, name)
	var there []string
	for other := range l.there {
		there = append(there, other)
	}
	slices.Sort(there)
	l.all = append(l.all, loss{name, there})
}

// list is what was deleted.
func (l *losses) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, one := range l.all {
		names = append(names, one.of)
	}
	return names
}

// went waits until something is deleted, and fails the test unless something else was there then.
func (h *house) went(l *losses, name, after string) {
	h.T.Helper()
	h.Eventually(name+" is deleted", func() (bool, string) { return slices.Contains(l.list(), name), strings.Join(l.list(), ", ") })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if one.of == name && !slices.Contains(one.there, after) {
			h.T.Errorf("%s was deleted when %s was not there: there were %v", name, after, one.there)
		}
	}
}

// Somebody deletes the records of what serves. It stays as it is, is put on record again, and the
// next version comes to serve from there.
func TestRecordsAreDeleted(t *testing.T) {
	h := routedHouse(t, stepwise, "v8", "v9")
	h.begin()
	h.serves("production", "v7")
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	h.nothingLeft("v7")
	lost := h.losses()
	since := h.stage("production").Since

	newest := h.promotions("production")[0]
	h.delete(&newest)
	h.newest("production", "it is on record again", func(p v1alpha1.Promotion) bool {
		return p.Spec.Number == 3 && p.Status.Phase == v1alpha1.PromotionSucceeded
	})
	if err := h.Client.DeleteAllOf(context.Background(), &v1alpha1.Promotion{}, client.InNamespace(h.Namespace)); err != nil {
		t.Fatal(err)
	}
	p := h.newest("production", "it is on record again", func(p v1alpha1.Promotion) bool {
		return p.Spec.Number == 4 && p.Status.Phase == v1alpha1.PromotionSucceeded
	})
	t.Log(p.Status.Message)
	h.look()
	if s := h.stage("production"); s.Version != "v8" || s.Phase != v1alpha1.StageServing || !s.Since.Equal(since) || p.Status.Digest == "" {
		t.Errorf("production: %+v, since %s; %+v", s, since, p)
	}
	if len(lost.list()) > 0 {
		t.Errorf("deleted was %v", lost.list())
	}

	// Also while no agent runs, and in the middle of a canary.
	h.edit("hold: 2s}\n      - {traffic: 50", "hold: 10m}\n      - {traffic: 50")
	h.set("production", "v9")
	h.push("fraud: v9 to production")
	h.has("v9", 10)
	h.KillAgent()
	if err := h.Client.DeleteAllOf(context.Background(), &v1alpha1.Promotion{}, client.InNamespace(h.Namespace)); err != nil {
		t.Fatal(err)
	}
	h.edit("hold: 10m", "hold: 1s")
	h.Push(h.repo, gitserver.Change{Message: "fraud: no long holds", Files: h.files})
	h.StartAgent("--allow-loopback-checks")
	h.serves("production", "v9")
	h.nothingLeft("v8")
	for _, name := range lost.list() {
		if name == "Service fraud/fraud" {
			t.Errorf("deleted was %v", lost.list())
		}
	}
	h.went(lost, "Deployment fraud/fraud-v8", "Deployment fraud/fraud-v9")
}

// The records of what serves are deleted when its ModelVersion has left Git too. Nobody can say any more
// what it was; it stays until another version is ready.
func TestNothingIsKnownOfWhatServes(t *testing.T) {
	h := routedHouse(t, stepwise, "v8")
	h.begin()
	h.serves("production", "v7")
	lost := h.losses()
	const list = "models/versions/kustomization.yaml"
	h.files[list] = strings.Replace(h.files[list], "- fraud-v7.yaml\n", "", 1)
	h.push("fraud: v7 is not registered any more")
	h.Eventually("there is no ModelVersion v7", func() (bool, string) {
		return h.Get("sluice.dev/v1alpha1", "ModelVersion", h.Namespace, "fraud-v7") == nil, "it is there"
	})
	if err := h.Client.DeleteAllOf(context.Background(), &v1alpha1.Promotion{}, client.InNamespace(h.Namespace)); err != nil {
		t.Fatal(err)
	}
	s := h.await("production", "it says what is wrong", func(s v1alpha1.StageStatus) bool {
		return s.Phase == v1alpha1.StageHeld && strings.Contains(s.Message, "no ModelVersion v7")
	})
	h.look()
	if s.Version != "v7" || len(lost.list()) > 0 || len(h.promotions("production")) > 0 {
		t.Errorf("production: %+v; deleted was %v", s, lost.list())
	}
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	h.nothingLeft("v7")
	h.went(lost, "Deployment fraud/fraud-v7", "Deployment fraud/fraud-v8")
}

// A stage gets another name, then another namespace; then the Model gets another template. What
// serves does so until what is wanted instead is ready.
func TestWhatServesMoves(t *testing.T) {
	h := newHouse(t, cluster.Options{})
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Canary: true, Gateway: true})
	h.files["models/model.yaml"] = deployed + stepwise
	h.register("v7", "")
	h.register("v8", "")
	h.begin()
	h.serves("production", "v7")
	lost := h.losses()

	h.edit("name: production", "name: live")
	h.push("fraud: production is live now")
	h.serves("live", "v7")
	h.nothingLeft("v8")
	if trail := h.trail("live"); trail != "v7 Succeeded" {
		t.Errorf("the promotions of live went: %s", trail)
	}
	if len(lost.list()) > 0 {
		t.Errorf("deleted was %v", lost.list())
	}

	h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}})
	h.edit("namespace: fraud\n", "namespace: elsewhere\n")
	h.push("fraud: to another namespace")
	h.await("live", "it has moved", func(s v1alpha1.StageStatus) bool {
		return s.Namespace == "elsewhere" && s.Phase == v1alpha1.StageServing
	})
	h.went(lost, "Deployment fraud/fraud-v7", "Deployment elsewhere/fraud-v7")
	h.went(lost, "Service fraud/fraud", "Service elsewhere/fraud")

	h.files["models/model.yaml"] = inferred + h.files["models/model.yaml"][strings.Index(h.files["models/model.yaml"], "  - name: live"):]
	h.push("fraud: by KServe")
	s := h.await("live", "KServe serves it", func(s v1alpha1.StageStatus) bool {
		return s.Layout == "Standard" && s.Phase == v1alpha1.StageServing
	})
	if s.Version != "v7" {
		t.Errorf("live: %+v", s)
	}
	h.went(lost, "Deployment elsewhere/fraud-v7", "InferenceService elsewhere/fraud")
	if slices.Contains(lost.list(), "Service elsewhere/fraud") {
		t.Errorf("the name by which clients find it was deleted: %v", lost.list())
	}
	h.set("live", "v8")
	h.push("fraud: v8 to live")
	h.serves("live", "v8")
	if trail := h.trail("live"); trail != "v7 Succeeded, v8 Succeeded" {
		t.Errorf("the promotions of live went: %s", trail)
	}
}

// A template that cannot be used comes in the middle of a canary. What is under way is not ended for
// it, what serves stays, and when the template is mended it goes on where it was.
func TestBrokenTemplateInACanary(t *testing.T) {
	h := routedHouse(t, strings.ReplaceAll(stepwise, "hold: 2s", "hold: 5s")+"  - name: staging\n    namespace: fraud-staging\n    version: v7\n", "v8")
	h.begin()
	h.serves("production", "v7")
	h.serves("staging", "v7")
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.has("v8", 10)
	lost := h.losses()
	h.edit("        replicas: 1\n", "        selector: {}\n        replicas: 1\n")
	h.push("fraud: a template that chooses its own pods")
	s := h.await("production", "it says so", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "selector is set") })
	t.Log(s.Message)
	h.look()
	if s := h.stage("production"); s.Version != "v7" || s.Candidate != "v8" {
		t.Errorf("production: %+v", s)
	}
	if len(lost.list()) > 0 || h.trail("production") != "v7 Succeeded, v8 Canary" {
		t.Errorf("deleted was %v; %s", lost.list(), h.trail("production"))
	}
	h.edit("        selector: {}\n", "")
	h.push("fraud: the template as it was")
	h.serves("production", "v8")
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}
}

// A stage for which no version is asked serves nothing, and what served there before does not come
// back with the next version. Two stages in one namespace: the second one says so, the first serves.
func TestWithdrawn(t *testing.T) {
	h := routedHouse(t, stepwise, "v8")
	h.begin()
	h.serves("production", "v7")
	h.edit("    version: v7\n", "")
	h.push("fraud: nothing to production")
	h.await("production", "it is empty", func(s v1alpha1.StageStatus) bool { return s.Phase == v1alpha1.StageEmpty })
	h.Eventually("nothing serves", func() (bool, string) { return len(h.owned()) == 0, strings.Join(h.owned(), ", ") })
	r := h.watch()
	h.edit("    namespace: fraud\n", "    namespace: fraud\n    version: v8\n")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	if p := h.promotions("production")[0]; p.Spec.From != "" {
		t.Errorf("v8 came for %s, which had been withdrawn", p.Spec.From)
	}
	if got := h.way(r, "production", "v8"); strings.Contains(got, "Canary") {
		t.Errorf("v8 went %s: there is nothing to compare it with", got)
	}

	h.files["models/model.yaml"] += "  - {name: shadow, namespace: fraud, version: v8}\n"
	h.push("fraud: a second stage in the same namespace")
	s := h.await("shadow", "it says so", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "namespace of its own") })
	t.Log(s.Message)
	if s := h.serves("production", "v8"); s.Phase != v1alpha1.StageServing {
		t.Errorf("production: %+v", s)
	}
	h.nothingLeft("v7")
}

// An approval is of what the signed commit changes. Other commits beside it make no difference; and where
// somebody who may write the Model has it ask for a version that no commit asks for, no commit approves it.
func TestApprovalIsOfWhatTheCommitSays(t *testing.T) {
	h := routedHouse(t, stepwise, "v8", "v9", "v10")
	ana := newKey(t, "ana@example.com")
	h.Create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "reviewers"}, StringData: map[string]string{"keys": publicKey(t, ana)}})
	h.edit("    rollout:\n", "    gates: [{name: reviewed, approval: {keysSecretRef: {name: reviewers}}}]\n    rollout:\n")
	h.repo = h.Repository("platform", h.files)
	h.sign("fraud: v7 to production", ana)
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) {
		o.Spec.TargetNamespace = h.Namespace
		o.Spec.Drift = v1alpha1.DriftReport // else it would be put back at once
	})
	h.StartAgent("--allow-loopback-checks")
	h.serves("production", "v7")
	// An unsigned commit that has nothing to do with it comes along: the approval counts.
	h.set("production", "v9")
	h.signed("fraud: v9 to production", ana)
	h.Push(h.repo, gitserver.Change{Message: "notes", Files: files{"README.md": "# Platform\n"}})
	h.Ask("platform")
	h.serves("production", "v9")

	// And a signed one that has nothing to do with an unsigned one approves nothing.
	h.set("production", "v10")
	h.Push(h.repo, gitserver.Change{Message: "fraud: v10 to production", Files: h.files})
	h.signed("nothing to do with it", ana)
	h.Ask("platform")
	s := h.await("production", "it waits for an approval", func(s v1alpha1.StageStatus) bool {
		return s.Candidate == "v10" && strings.Contains(s.Message, "is not signed")
	})
	t.Log(s.Message)

	// Somebody changes the Model.
	m := h.model()
	h.Update(m, func() { m.Spec.Stages[0].Version = "v8" })
	s = h.await("production", "it waits for an approval", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "says v10 for production") })
	t.Log(s.Message)
	if s.Version != "v9" || h.Get("apps/v1", "Deployment", "fraud", "fraud-v8") != nil {
		t.Errorf("production: %+v", s)
	}
	h.set("production", "v8")
	h.sign("fraud: v8 to production", ana)
	h.serves("production", "v8")
}

// Records are the agent's: others cannot write them, whatever their rights, and can do all else.
func TestRecordsAreTheAgents(t *testing.T) {
	h := newHouse(t, cluster.Options{})
	content, err := os.ReadFile(filepath.Join(rig.Root(t), "manifests/install/records.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range strings.Split(string(content), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		h.Create(o)
	}
	const agent = "system:serviceaccount:sluice-system:sluice-agent"
	h.Create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "everything"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ana"}, {APIGroup: rbacv1.GroupName, Kind: "User", Name: agent}}})
	as := func(user string) client.Client {
		t.Helper()
		config := rest.CopyConfig(h.Cluster.Config())
		config.Impersonate.UserName = user
		c, err := client.New(config, client.Options{Scheme: h.Client.Scheme()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	promotion := func(number int64) *v1alpha1.Promotion {
		return &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: fmt.Sprintf("fraud.production.%d", number)},
			Spec: v1alpha1.PromotionSpec{Model: "fraud", Stage: "production", Version: "v8", Artifact: v1alpha1.ServedArtifact{URI: "pvc://models/fraud"}, Number: number, Request: "mine"}}
	}
	n := int64(0)
	h.Eventually("ana is refused", func() (bool, string) {
		n++
		err := as("ana").Create(context.Background(), promotion(n))
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ana must not write this: it is a record of the agent"), fmt.Sprint(err)
	})
	own := promotion(1000)
	if err := as(agent).Create(context.Background(), own); err != nil {
		t.Fatal(err)
	}
	own.Status.Phase = v1alpha1.PromotionSucceeded
	if err := as("ana").Status().Update(context.Background(), own.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("ana writes the status of a Promotion: %v", err)
	}
	if err := as(agent).Status().Update(context.Background(), own); err != nil {
		t.Error(err)
	}
	m := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "mine"}}
	m.Spec.Serving.Deployment = &v1alpha1.DeploymentServing{Port: 80}
	m.Spec.Serving.Deployment.Template.Raw = []byte(`{"template": {"spec": {"containers": [{"name": "server", "image": "x"}]}}}`)
	m.Spec.Stages = []v1alpha1.Stage{{Name: "production"}}
	if err := as("ana").Create(context.Background(), m); err != nil {
		t.Fatalf("ana cannot write a Model: %v", err)
	}
	m.Status.Summary = "production v8"
	if err := as("ana").Status().Update(context.Background(), m); !apierrors.IsForbidden(err) {
		t.Errorf("ana writes the status of a Model: %v", err)
	}
	at := metav1.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "fraud-20261125-0300"},
		Spec: v1alpha1.RetrainingRunSpec{Retraining: "fraud", Slot: at, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule}, Parameters: map[string]string{"rows": "5000"}}}
	if err := as("ana").Create(context.Background(), run.DeepCopy()); !apierrors.IsForbidden(err) {
		t.Errorf("ana makes a RetrainingRun: %v", err)
	}
	if err := as(agent).Create(context.Background(), run); err != nil {
		t.Fatal(err)
	}
	// What the rule that a spec never changes cannot compare, it would let through: a spec that goes, and another
	// that comes afterwards.
	for _, record := range []client.Object{own, run} {
		kind := fmt.Sprintf("%T", record)
		before := record.DeepCopyObject().(client.Object)
		for _, user := range []string{"ana", agent} {
			for _, patch := range []client.Patch{
				client.RawPatch(types.MergePatchType, []byte(`{"spec":null}`)),
				client.RawPatch(types.MergePatchType, []byte(`{"spec":{"model":"other"}}`)),
				client.RawPatch(types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec"}]`)),
				client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec","value":{}}]`)),
			} {
				data, _ := patch.Data(nil)
				err := as(user).Patch(context.Background(), record.DeepCopyObject().(client.Object), patch)
				if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) {
					t.Errorf("%s patches a %s with %s: %v", user, kind, data, err)
				}
			}
		}
		if err := h.Client.Get(context.Background(), client.ObjectKeyFromObject(record), record); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(record, before) {
			t.Errorf("what was refused has changed the %s: %+v", kind, record)
		}
	}
	cancel := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"by hand"}}}`, v1alpha1.CancelAnnotation))
	if err := as("ana").Patch(context.Background(), run, cancel); err != nil {
		t.Errorf("ana cannot cancel a RetrainingRun: %v", err)
	}
	for _, record := range []client.Object{own, run} {
		if err := as("ana").Delete(context.Background(), record); err != nil {
			t.Errorf("ana cannot delete a %T: %v", record, err)
		}
	}
}
