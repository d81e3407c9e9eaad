package agent

// Owner names what owns an object: an Overlay, or a Model. The zero Owner is nobody.
type Owner struct {
	// Kind is ModelOwner for a Model and empty for an Overlay.
	Kind      OwnerKind
	Namespace string
	Name      string
}

// OwnerKind is the kind of an Owner.
type OwnerKind string

// ModelOwner is the kind of an Owner that is a Model.
const ModelOwner OwnerKind = "Model"

// String gives the kind with namespace/name: Overlay team/shop.
func (o Owner) String() string { return o.Kind.String() + " " + o.Namespace + "/" + o.Name }

// String gives the kind as people write it.
func (k OwnerKind) String() string {
	if k == "" {
		return "Overlay"
	}
	return string(k)
}
