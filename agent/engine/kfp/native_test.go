package kfp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

// newNative is a Kubernetes with the kinds, in which each object made gets a UID and a time. Before says
// what becomes of a request to make one, and after what of its answer.
func newNative(before, after func(client.Object) error) (Native, client.Client) {
	scheme := runtime.NewScheme()
	for _, kind := range []schema.GroupVersionKind{NativePipeline, NativeVersion} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		list := kind
		list.Kind += "List"
		scheme.AddKnownTypeWithName(list, &unstructured.UnstructuredList{})
	}
	var made atomic.Int64
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
			if err := before(o); err != nil {
				return err
			}
			n := made.Add(1)
			o.SetUID(types.UID(fmt.Sprintf("uid-%d", n)))
			o.SetCreationTimestamp(metav1.NewTime(time.Unix(1_800_000_000+n, 0)))
			if err := c.Create(ctx, o, options...); err != nil {
				return err
			}
			return after(o)
		},
	}).Build()
	return Native{Kubernetes: c}, c
}

func fine(client.Object) error { return nil }

func TestNativeDeliver(t *testing.T) {
	n, c := newNative(fine, fine)
	p := trainPackage(t)
	first, err := n.Deliver(t.Context(), namespace, "fraud-train", p)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.Deliver(t.Context(), namespace, "fraud-train", p); err != nil || again != first {
		t.Errorf("again: %+v and %v, before %+v", again, err, first)
	}
	pipeline, err := n.FindPipeline(t.Context(), namespace, "fraud-train")
	if err != nil || pipeline.ID != "uid-1" || first.PipelineID != "uid-1" || first.ID != "uid-2" || first.Name != p.Version {
		t.Errorf("%+v, %+v and %v", pipeline, first, err)
	}
	o := object(NativeVersion, namespace, "fraud-train-"+p.Version)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	spec := o.Object["spec"].(map[string]any)
	if spec["pipelineName"] != "fraud-train" || spec["displayName"] != p.Version || spec["pipelineSpec"].(map[string]any)["schemaVersion"] != "2.1.0" || spec["platformSpec"].(map[string]any)["platforms"] == nil {
		t.Errorf("%v", spec)
	}
	second, err := n.Deliver(t.Context(), namespace, "fraud-train", small(t, "other"))
	if err != nil || second.ID == first.ID {
		t.Errorf("another content: %+v and %v", second, err)
	}
	if newest, err := n.FindVersion(t.Context(), pipeline, ""); err != nil || newest != second {
		t.Errorf("the newest is %+v and %v", newest, err)
	}
	if found, err := n.FindVersion(t.Context(), pipeline, first.Name); err != nil || found != first {
		t.Errorf("by name: %+v and %v", found, err)
	}
	for _, name := range []string{"v7", versionPrefix + strings.Repeat("0", versionDigits)} {
		if _, err := n.FindVersion(t.Context(), pipeline, name); ReasonOf(err) != Missing {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Fraud", "", "a b", strings.Repeat("x", 250)} {
		if _, err := n.Deliver(t.Context(), namespace, name, p); ReasonOf(err) != Invalid || !strings.Contains(err.Error(), "of at most 213 characters") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNativeRace(t *testing.T) {
	n, _ := newNative(fine, fine)
	found := make([]Version, 32)
	var group sync.WaitGroup
	for i := range found {
		group.Go(func() {
			v, err := n.Deliver(t.Context(), namespace, "echo", small(t, "hello"))
			if err != nil {
				t.Error(err)
			}
			found[i] = v
		})
	}
	group.Wait()
	if len(slices.Compact(found)) != 1 {
		t.Errorf("%v", found)
	}
}

func TestNativeErrors(t *testing.T) {
	versions := schema.GroupResource{Group: NativeVersion.Group, Resource: "pipelineversions"}
	for _, c := range []struct {
		name      string
		err       error
		reason    Reason
		temporary bool
	}{
		{"forbidden", apierrors.NewForbidden(versions, "x", errors.New("no")), Forbidden, false},
		{"unauthorized", apierrors.NewUnauthorized("no"), Unauthenticated, true},
		{"a webhook refuses", apierrors.NewBadRequest("The spec.pipelineName doesn't map to an existing Pipeline object"), Invalid, false},
		{"a schema refuses", apierrors.NewInvalid(NativeVersion.GroupKind(), "x", nil), Invalid, false},
		{"too many", apierrors.NewTooManyRequestsError("later"), Overloaded, true},
		{"a webhook fails", apierrors.NewInternalError(errors.New("failed calling webhook")), Broken, true},
		{"no connection", errors.New("connection refused"), Unreachable, true},
	} {
		n, _ := newNative(func(client.Object) error { return c.err }, fine)
		if _, err := n.Deliver(t.Context(), namespace, "echo", small(t, "x")); ReasonOf(err) != c.reason || Temporary(err) != c.temporary || !errors.Is(err, c.err) ||
			!strings.HasPrefix(err.Error(), "the Pipeline fraud/echo cannot be created: ") {
			t.Errorf("%s: %s, %v", c.name, ReasonOf(err), err)
		}
		// It was made, and the answer says otherwise.
		n, _ = newNative(fine, func(client.Object) error { return c.err })
		v, err := n.Deliver(t.Context(), namespace, "echo", small(t, "x"))
		if unsure := c.reason == Unreachable || c.reason == Broken || c.reason == Overloaded; unsure != (err == nil) {
			t.Errorf("%s, after it was made: %+v and %v", c.name, v, err)
		}
	}
}

func TestNativePrune(t *testing.T) {
	n, _ := newNative(fine, fine)
	var all []Version
	for i := range 5 {
		v, err := n.Deliver(t.Context(), namespace, "echo", small(t, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	other, err := n.Deliver(t.Context(), namespace, "echo-2", small(t, "other"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.FindPipeline(t.Context(), namespace, "echo")
	if err != nil {
		t.Fatal(err)
	}
	gone, err := n.Prune(t.Context(), p, 1, []string{all[0].ID})
	if err != nil || !slices.Equal(gone, []Version{all[3], all[2], all[1]}) {
		t.Errorf("%v and %v", gone, err)
	}
	p.Name, p.ID = "echo-2", other.PipelineID
	if found, err := n.FindVersion(t.Context(), p, ""); err != nil || found != other {
		t.Errorf("of another pipeline: %+v and %v", found, err)
	}
}

// objectsOf are the versions that are objects, as a server reads them.
func objectsOf(t *testing.T, c client.Client, pipelineID string) []kfp.Object {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(NativeVersion)
	if err := c.List(t.Context(), &list); err != nil {
		t.Error(err)
	}
	var objects []kfp.Object
	for _, o := range list.Items {
		spec, _, err := unstructured.NestedMap(o.Object, "spec", "pipelineSpec")
		if err != nil {
			t.Error(err)
		}
		data, err := json.Marshal(spec)
		if err != nil {
			t.Error(err)
		}
		objects = append(objects, kfp.Object{
			Namespace: o.GetNamespace(), Name: o.GetName(), ID: string(o.GetUID()), Pipeline: pipelineOf(&o), PipelineID: pipelineID,
			CreatedAt: o.GetCreationTimestamp().Time, Spec: data,
		})
	}
	return objects
}

// Runs are made of objects by their UIDs.
func TestNativeRun(t *testing.T) {
	n, c := newNative(fine, fine)
	v, err := n.Deliver(t.Context(), namespace, "train", trainPackage(t))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, kfp.Options{Native: func() []kfp.Object { return objectsOf(t, c, v.PipelineID) }})
	pipeline, err := w.client.FindPipeline(t.Context(), namespace, "train")
	if err != nil || pipeline.ID != v.PipelineID {
		t.Errorf("the pipeline is %+v, %v", pipeline, err)
	}
	for _, name := range []string{v.Name, "train-" + v.Name, ""} {
		if found, err := w.client.FindVersion(t.Context(), pipeline, name); err != nil || found.ID != v.ID {
			t.Errorf("the version %q is %+v, %v", name, found, err)
		}
	}
	if _, err := w.client.FindVersion(t.Context(), pipeline, "sha256-other"); ReasonOf(err) != Missing {
		t.Errorf("a version that is not there: %v", err)
	}
	if objects, err := w.client.KeepsObjects(t.Context()); err != nil || !objects {
		t.Errorf("it keeps objects: %t, %v", objects, err)
	}
	order := order{Name: "r", Namespace: namespace, Experiment: "e", Version: v, Parameters: map[string]any{"data": "s3://x"}}
	if _, err := start(t.Context(), w.client, order); err != nil {
		t.Fatal(err)
	}
	w.counts(t, "r")
	order.Name, order.Version.ID = "r2", "uid-7"
	if _, err := start(t.Context(), w.client, order); ReasonOf(err) != Missing {
		t.Errorf("of none: %v", err)
	}
}
