package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "sluice.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Repository{}, &RepositoryList{},
		&Overlay{}, &OverlayList{},
		&Inventory{}, &InventoryList{},
		&Model{}, &ModelList{},
		&ModelVersion{}, &ModelVersionList{}, &Retraining{}, &RetrainingList{}, &RetrainingRun{}, &RetrainingRunList{}, &Pipeline{}, &PipelineList{},
		&Promotion{}, &PromotionList{},
		&PromotionPolicy{}, &PromotionPolicyList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
