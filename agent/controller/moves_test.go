package controller

import (
	"context"
	"slices"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// An Overlay that follows another Repository is worked on by another replica, and so is what it applies: that is
// woken, and nothing else.
func TestWhatAnOverlayAppliesMovesWithIt(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	retraining := func(name, overlay string) *v1alpha1.Retraining {
		return &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name,
			Labels: map[string]string{v1alpha1.OverlayLabel: overlay, v1alpha1.OverlayNamespaceLabel: "platform"}}}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(retraining("fraud", "models"), retraining("churn", "models"), retraining("other", "shop")).Build()
	var woken []string
	wakes := applied(c, func() client.ObjectList { return &v1alpha1.RetrainingList{} }, func(name types.NamespacedName) { woken = append(woken, name.Name) })

	overlay := func(repository string) *v1alpha1.Overlay {
		return &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: "platform", Name: "models"}, Spec: v1alpha1.OverlaySpec{RepositoryRef: v1alpha1.RepositoryReference{Name: repository}}}
	}
	same, moved := event.UpdateEvent{ObjectOld: overlay("a"), ObjectNew: overlay("a")}, event.UpdateEvent{ObjectOld: overlay("a"), ObjectNew: overlay("b")}
	if moves.Update(same) || !moves.Update(moved) || moves.Create(event.CreateEvent{Object: overlay("a")}) || !moves.Delete(event.DeleteEvent{Object: overlay("a")}) {
		t.Error("something else than a move is let through, or a move is not")
	}
	wakes.Update(context.Background(), moved, nil)
	slices.Sort(woken)
	if woken = slices.Compact(woken); !slices.Equal(woken, []string{"churn", "fraud"}) {
		t.Errorf("woken were %v", woken)
	}
}
