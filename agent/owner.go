package agent

// Owner names what owns an object: an Overlay, a Model or a Retraining; or what follows one: a Pipeline. The
// zero Owner is nobody.
type Owner struct {
	// Kind is one of those below, and empty for an Overlay.
	Kind      OwnerKind
	Namespace string
	Name      string
}

// OwnerKind is the kind of an Owner.
type OwnerKind string

// Kinds of Owners that are no Overlays.
const (
	ModelOwner OwnerKind = "Model"
	// RetrainingOwner: what its runs are made of has labels, and no Inventory.
	RetrainingOwner OwnerKind = "Retraining"
	// PipelineOwner: it owns nothing, and follows the ConfigMap with its package.
	PipelineOwner OwnerKind = "Pipeline"
)

// String gives the kind with namespace/name: Overlay team/shop.
func (o Owner) String() string { return o.Kind.String() + " " + o.Namespace + "/" + o.Name }

// String gives the kind as people write it.
func (k OwnerKind) String() string {
	if k == "" {
		return "Overlay"
	}
	return string(k)
}
