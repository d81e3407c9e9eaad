package cluster

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// mapping finds the resource of a kind. The version is a wish: when it is not served any
// more, one that is served is taken, so that old objects can still be found and pruned.
func (s *Session) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	m, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		if other, otherErr := s.mapper.RESTMapping(gvk.GroupKind()); otherErr == nil {
			return other, nil
		}
	}
	return m, err
}

// Namespaced tells whether objects of a kind live in namespaces. The error is an *Error; its
// class is NoKind when the cluster does not know the kind, or not in this version.
func (s *Session) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	m, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return false, explainKind(gvk, err)
	}
	return m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}
