package promotion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var namespaceKind = schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}

// policiesFor returns the PromotionPolicies that concern the Model.
func (w *pass) policiesFor(ctx context.Context) ([]v1alpha1.PromotionPolicy, error) {
	var all v1alpha1.PromotionPolicyList
	if err := w.Cache.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	if len(all.Items) == 0 {
		return nil, nil
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(namespaceKind)
	if err := w.Cache.Get(ctx, client.ObjectKey{Name: w.model.Namespace}, namespace); err != nil {
		return nil, fmt.Errorf("namespace %s cannot be read, by whose labels PromotionPolicies apply: %w", w.model.Namespace, err)
	}
	return concerning(all.Items, w.model.Labels, namespace.Labels), nil
}

// concerning returns those of the policies that concern a Model with some labels in a namespace with
// some, by name.
func concerning(all []v1alpha1.PromotionPolicy, model, namespace map[string]string) []v1alpha1.PromotionPolicy {
	policies := slices.DeleteFunc(slices.Clone(all), func(p v1alpha1.PromotionPolicy) bool {
		return !selects(p.Spec.Models, model) || !selects(p.Spec.Namespaces, namespace)
	})
	slices.SortFunc(policies, func(a, b v1alpha1.PromotionPolicy) int { return strings.Compare(a.Name, b.Name) })
	return policies
}

// selects tells whether a selector has something with some labels. One that cannot be read has
// everything: what the platform requires does not fall away by a mistake.
func selects(selector *metav1.LabelSelector, of map[string]string) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err != nil || s.Matches(labels.Set(of))
}

// about tells whether a policy concerns a stage.
func about(p v1alpha1.PromotionPolicy, stage string) bool {
	return len(p.Spec.Stages) == 0 || slices.Contains(p.Spec.Stages, stage)
}
