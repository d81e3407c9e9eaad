package agent

// Live is what is known of one object in the cluster. It is small on purpose: watches keep
// one for every owned object, and nothing else.
type Live struct {
	UID string
	// ResourceVersion orders two sightings of the same object.
	ResourceVersion uint64
	// Owner is the overlay that the ownership labels name.
	Owner Owner
	// Foreign says which other tool or controller claims the object, for instance
	// "Helm release web" or "ReplicaSet web-5d4f"; empty if nobody does.
	Foreign string
	// Fields is the digest of the fields that Sluice owns.
	Fields string
	// Deleting: the object has a deletion timestamp.
	Deleting bool
	// Finalizers that hold a deletion up.
	Finalizers []string
	// KeepOnPrune: the live object carries sluice.dev/prune: disabled.
	KeepOnPrune bool
	Health      Health
}
