package record_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// runs are records in two API servers: what the cache has, and what there really is.
func runs(t *testing.T, there ...client.Object) (of *record.Runs, cache client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	build := func() *fake.ClientBuilder {
		return fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.RetrainingRun{}).
			WithIndex(&v1alpha1.RetrainingRun{}, "retraining", func(o client.Object) []string {
				return []string{o.(*v1alpha1.RetrainingRun).Spec.Retraining}
			})
	}
	live := build().WithObjects(there...).Build()
	cache = build().Build()
	return &record.Runs{Cache: cache, Index: "retraining", Live: live, Client: live}, cache
}

func retraining(uid types.UID, active ...string) *v1alpha1.Retraining {
	return &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fraud", UID: uid},
		Status: v1alpha1.RetrainingStatus{Active: active}}
}

func runOf(owner types.UID, name string) *v1alpha1.RetrainingRun {
	return &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID("uid-of-" + name),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "sluice.dev/v1alpha1", Kind: "Retraining", Name: "fraud", UID: owner}}},
		Spec: v1alpha1.RetrainingRunSpec{Retraining: "fraud"}}
}

func seen(t *testing.T, r *record.Runs, of *v1alpha1.Retraining) []string {
	t.Helper()
	all, err := r.Of(context.Background(), of)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, run := range all {
		names = append(names, run.Name)
	}
	return names
}

// Another replica has made a run and put it into the status. A cache that knows the status and not the run
// does not make it one that was deleted: its slot would be lost.
func TestRunsThatTheCacheDoesNotHaveYet(t *testing.T) {
	r, _ := runs(t, runOf("new", "a"), runOf("new", "b"), runOf("old", "c"))
	if got := seen(t, r, retraining("new", "a", "c", "gone")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("seen are %v", got)
	}
}

// A Retraining is deleted and made anew. Runs of the old one that were just written are none of the new.
func TestRunsOfAnEarlierRetraining(t *testing.T) {
	r, cache := runs(t)
	ctx := context.Background()
	run := runOf("old", "a")
	if made, err := r.Create(ctx, retraining("old"), run); !made || err != nil {
		t.Fatal(made, err)
	}
	if got := seen(t, r, retraining("old")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("before the cache has it, seen are %v", got)
	}
	if got := seen(t, r, retraining("new")); len(got) > 0 {
		t.Errorf("the new one sees %v", got)
	}
	now := runOf("old", "a")
	now.UID = run.UID
	if err := cache.Create(ctx, now); err != nil {
		t.Fatal(err)
	}
	if got := seen(t, r, retraining("new")); len(got) > 0 {
		t.Errorf("the new one sees %v once the cache has it", got)
	}
}

// Only what is as it was read is deleted: it may have begun meanwhile.
func TestDeleteAsItWasRead(t *testing.T) {
	r, _ := runs(t, runOf("new", "a"))
	ctx := context.Background()
	var was, now v1alpha1.RetrainingRun
	key := client.ObjectKey{Namespace: "team", Name: "a"}
	if err := r.Live.Get(ctx, key, &was); err != nil {
		t.Fatal(err)
	}
	after := was.DeepCopy()
	after.Status.Attempts = []v1alpha1.RunAttempt{{Number: 1, Name: "a-1"}}
	if _, err := r.Write(ctx, &was, after); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, &was); !apierrors.IsConflict(err) {
		t.Errorf("deleted: %v", err)
	}
	if err := r.Live.Get(ctx, key, &now); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(ctx, &now); err != nil {
		t.Error(err)
	}
}
