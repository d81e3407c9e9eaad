package agent

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Ref names one object of a cluster. It is comparable and is the map key everywhere.
// The API version is not part of it: the same object can be reached through several.
type Ref struct {
	Group     string
	Kind      string
	Namespace string // empty for objects of cluster scope
	Name      string
}

// GroupKind returns the kind of the object with its API group.
func (r Ref) GroupKind() schema.GroupKind { return schema.GroupKind{Group: r.Group, Kind: r.Kind} }

// String gives the name people read in logs, errors and plans: Deployment/shop/web,
// Namespace/shop, InferenceService.serving.kserve.io/fraud/scorer. The group is left out
// for the kinds that ship with Kubernetes, where the kind alone says it.
func (r Ref) String() string {
	kind := r.Kind
	if strings.Contains(r.Group, ".") && !strings.HasSuffix(r.Group, ".k8s.io") || r.Group == "gateway.networking.k8s.io" {
		kind += "." + r.Group
	}
	if r.Namespace == "" {
		return kind + "/" + r.Name
	}
	return fmt.Sprintf("%s/%s/%s", kind, r.Namespace, r.Name)
}

// Compare orders Refs by group, kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(
		strings.Compare(r.Group, o.Group),
		strings.Compare(r.Kind, o.Kind),
		strings.Compare(r.Namespace, o.Namespace),
		strings.Compare(r.Name, o.Name),
	)
}
