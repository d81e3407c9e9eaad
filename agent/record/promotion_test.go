package record_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// Records of a Model that had the name before, and of others, are not taken for its own.
func TestForeignPromotions(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.Promotion{}, "model", func(o client.Object) []string {
		return []string{o.(*v1alpha1.Promotion).Spec.Model}
	}).Build()
	promotions := &record.Promotions{Cache: c, Index: "model", Live: c, Client: c}
	model := func(uid types.UID) *v1alpha1.Model {
		return &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fraud", UID: uid}}
	}
	promotion := func() *v1alpha1.Promotion {
		return &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fraud.production.1"},
			Spec: v1alpha1.PromotionSpec{Model: "fraud", Stage: "production", Version: "v7", Number: 1}}
	}
	ctx := context.Background()
	if _, err := promotions.Create(ctx, model("old"), promotion()); err != nil {
		t.Fatal(err)
	}
	if again, err := promotions.Create(ctx, model("old"), promotion()); err != nil || again.Spec.Version != "v7" {
		t.Errorf("its own record is not found again: %v %v", again, err)
	}
	if of, err := promotions.Of(ctx, model("old")); err != nil || len(of["production"]) != 1 {
		t.Errorf("its own record is not seen: %v %v", of, err)
	}
	promotions.Forget(types.NamespacedName{Namespace: "team", Name: "fraud"})
	if of, err := promotions.Of(ctx, model("new")); err != nil || len(of) != 0 {
		t.Errorf("another's record is seen: %v %v", of, err)
	}
	if _, err := promotions.Create(ctx, model("new"), promotion()); err == nil || !strings.Contains(err.Error(), "fraud.production.1") {
		t.Errorf("another's record is taken: %v", err)
	}
}
