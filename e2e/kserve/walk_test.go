package kserve_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/serving"
	"github.com/sluice-dev/sluice/e2e/cluster"
)

var shared *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(func() int {
		c, err := cluster.Start(context.Background(), cluster.Options{Progress: os.Stderr})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = c.Stop() }()
		shared = c
		return m.Run()
	}())
}

// patience is how long a wait may take before the test fails. It measures nothing.
const patience = 3 * time.Minute

// walk takes the stage of one model from Want to Want, as the agent does.
type walk struct {
	*testing.T
	client    dynamic.Interface
	kinds     *restmapper.DeferredDiscoveryRESTMapper
	can       serving.Abilities
	model     v1alpha1.Serving
	namespace string
	applied   map[agent.Ref]string // with the version of the API
}

func newWalk(t *testing.T, model v1alpha1.Serving) *walk {
	t.Helper()
	client, err := dynamic.NewForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{T: t, client: client, model: model, applied: map[agent.Ref]string{},
		kinds: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))}
	core, err := kubernetes.NewForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := core.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "stage-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.namespace = namespace.Name
	t.Cleanup(func() { w.apply(w.want("", "", 0)) })
	w.can = w.abilities(core)
	t.Log(serving.Means(model, w.can))
	return w
}

// abilities reads what the cluster can do.
func (w *walk) abilities(core kubernetes.Interface) serving.Abilities {
	w.Helper()
	var found serving.Found
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if definition, err := w.client.Resource(definitions).Get(context.Background(), "inferenceservices.serving.kserve.io", metav1.GetOptions{}); err == nil {
		found.Definition = definition.Object
	}
	if settings, err := core.CoreV1().ConfigMaps("kserve").Get(context.Background(), "inferenceservice-config", metav1.GetOptions{}); err == nil {
		found.Config = settings.Data
	}
	has := func(group, kind string) bool {
		_, err := w.kinds.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
		return err == nil
	}
	found.HTTPRoutes, found.InferenceGraphs = has("gateway.networking.k8s.io", "HTTPRoute"), has("serving.kserve.io", "InferenceGraph")
	found.KnativeServices = has("serving.knative.dev", "Service")
	return serving.AbilitiesOf(found)
}

// version is a version of the model; its artifact decides its fate.
func version(name string) *serving.Version {
	return &serving.Version{Name: name, URI: "s3://models/fraud/" + name, Format: v1alpha1.ModelFormat{Name: "sklearn"}}
}

// want is a Want for the stage.
func (w *walk) want(stable, candidate string, traffic int32, retiring ...string) serving.Want {
	want := serving.Want{Model: "fraud", Stage: "production", Namespace: w.namespace, Serving: w.model, Traffic: traffic}
	if stable != "" {
		want.Stable = version(stable)
	}
	if candidate != "" {
		want.Candidate = version(candidate)
	}
	for _, name := range retiring {
		want.Retiring = append(want.Retiring, *version(name))
	}
	return want
}

// resource is where objects of a kind are; ok is false if there is no such kind.
func (w *walk) resource(gk schema.GroupKind, namespace string) (r dynamic.ResourceInterface, ok bool) {
	w.Helper()
	mapping, err := w.kinds.RESTMapping(gk)
	if meta.IsNoMatchError(err) {
		return nil, false
	}
	if err != nil {
		w.Fatal(err)
	}
	return w.client.Resource(mapping.Resource).Namespace(namespace), true
}

// live reads what serving wants to see.
func (w *walk) live(refs []agent.Ref) map[agent.Ref]map[string]any {
	w.Helper()
	live := map[agent.Ref]map[string]any{}
	for _, ref := range refs {
		r, ok := w.resource(ref.GroupKind(), ref.Namespace)
		if !ok {
			continue
		}
		object, err := r.Get(context.Background(), ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			w.Fatal(err)
		}
		live[ref] = object.Object
	}
	return live
}

// step applies what Next says on the way to a Want, deletes what is left over, and returns what
// was applied and whether that is the end of the way.
func (w *walk) step(want serving.Want) (serving.Want, bool) {
	w.Helper()
	next := serving.Next(want, w.can, w.live(serving.Reads(want, w.can)))
	w.apply(next)
	return next, describe(next) == describe(want)
}

// apply has exactly the objects of a Want, by server-side apply.
func (w *walk) apply(want serving.Want) {
	w.Helper()
	objects, err := serving.Objects(want, w.can)
	if err != nil {
		w.Fatal(err)
	}
	before := maps.Clone(w.applied)
	for _, object := range objects {
		prepared, err := manifest.Prepare(object, "", agent.Owner{Kind: agent.ModelOwner, Namespace: "team", Name: "fraud"})
		if err != nil {
			w.Fatal(err)
		}
		r, ok := w.resource(prepared.Ref.GroupKind(), prepared.Ref.Namespace)
		if !ok {
			w.Fatalf("no kind for %s", prepared.Ref)
		}
		_, err = r.Patch(context.Background(), prepared.Ref.Name, types.ApplyPatchType, prepared.JSON, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
		if err != nil {
			w.Fatalf("apply %s: %v\n%s", prepared.Ref, err, prepared.JSON)
		}
		w.applied[prepared.Ref] = prepared.Version
		delete(before, prepared.Ref)
	}
	for ref := range before {
		r, _ := w.resource(ref.GroupKind(), ref.Namespace)
		if err := r.Delete(context.Background(), ref.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			w.Fatal(err)
		}
		delete(w.applied, ref)
	}
}

// observe says how the stage is now.
func (w *walk) observe(want serving.Want) serving.State {
	w.Helper()
	return serving.Observe(want, w.can, w.live(serving.Reads(want, w.can)))
}

// until goes on the way to a Want until it is there and its State is as expected.
func (w *walk) until(what string, want serving.Want, is func(serving.State) bool) serving.State {
	w.Helper()
	deadline := time.Now().Add(patience)
	before := ""
	for {
		next, there := w.step(want)
		s := w.observe(next)
		if now := fmt.Sprintf("%s: %+v", describe(next), s); now != before {
			w.Log(now)
			before = now
		}
		if there && is(s) {
			return s
		}
		if time.Now().After(deadline) {
			w.Fatalf("%s: not in time", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func describe(want serving.Want) string {
	name := func(v *serving.Version) string {
		if v == nil {
			return "-"
		}
		return v.Name
	}
	text := fmt.Sprintf("%s, %s at %d %%", name(want.Stable), name(want.Candidate), want.Traffic)
	for _, v := range want.Retiring {
		text += ", retiring " + v.Name
	}
	return text
}

func prepared(s serving.State) bool { return s.Stable.Ready && s.Candidate.Ready && s.Traffic == 0 }
func alone(s serving.State) bool    { return s.Stable.Ready }

func shared10(s serving.State) bool { return s.Stable.Ready && s.Candidate.Ready && s.Traffic == 10 }
func all(s serving.State) bool      { return s.Candidate.Ready && s.Traffic == 100 }

// get reads one object.
func (w *walk) get(group, kind, name string) *unstructured.Unstructured {
	w.Helper()
	live := w.live([]agent.Ref{{Group: group, Kind: kind, Namespace: w.namespace, Name: name}})
	for _, object := range live {
		return &unstructured.Unstructured{Object: object}
	}
	return nil
}

// delete is somebody who deletes an object by hand.
func (w *walk) delete(group, kind, name string) {
	w.Helper()
	r, _ := w.resource(schema.GroupKind{Group: group, Kind: kind}, w.namespace)
	if err := r.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
	w.eventually(kind+" "+name+" is gone", func() bool {
		object := w.get(group, kind, name)
		return object == nil
	})
}

func (w *walk) eventually(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not in time", what)
		}
	}
}
