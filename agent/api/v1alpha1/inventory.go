package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// InventoryKind is the kind of an Inventory.
const InventoryKind = "Inventory"

// InventoryEntry is one object that an Overlay has applied or is about to apply.
type InventoryEntry struct {
	// Group of the object's API; empty for the core group.
	// +optional
	Group string `json:"group,omitempty"`
	// Version of the API in which it was applied.
	Version string `json:"version"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object; empty for cluster scope.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
	// Digest of what was applied: the first 16 hexadecimal digits of the SHA-256 of its JSON.
	// Empty while the object is announced but not known to be applied.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Fields is a digest of the field ownership that applying it left behind. A live object
	// whose ownership has another digest was changed by somebody else.
	// +optional
	Fields string `json:"fields,omitempty"`
	// Released: the Overlay does not want the object any more, and leaves it to another that does.
	// +optional
	Released bool `json:"released,omitempty"`
}

// Inventory is what one Overlay owns, written ahead: an object is recorded here before it is
// applied. It is the agent's own record; do not edit it. A large Overlay has several,
// of at most 1,000 entries each.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=inventories,categories=sluice-internal
// +kubebuilder:printcolumn:name="Overlay",type=string,JSONPath=`.metadata.labels.sluice\.dev/overlay`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Inventory struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Entries are the objects.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Entries []InventoryEntry `json:"entries,omitempty"`
}

// InventoryList is a list of Inventories.
// +kubebuilder:object:root=true
type InventoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Inventory `json:"items"`
}
