package plan

import (
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Facts is everything a plan is made from.
type Facts struct {
	Owner    agent.Owner
	Revision agent.Revision

	// Set is what Git wants.
	Set agent.Set
	// Inventory is what was applied before.
	Inventory agent.Inventory
	// Live is what is known of the objects of Set and Inventory that exist in the cluster.
	Live map[agent.Ref]agent.Live
	// Unknown holds the objects that could not be looked at, with the reason. They are left
	// alone; everything else goes on.
	Unknown map[agent.Ref]error
	// Kinds says what the cluster knows of the kinds in Set. A kind that is absent is not
	// known to the cluster.
	Kinds map[schema.GroupKind]Kind
	// Claims tells which other overlay wants an object at its newest revision, and which
	// other overlay owned it and has let go.
	Claims Claims
	// Held names, for namespaces and CRDs that are about to be pruned, what else lives on
	// them: "12 objects of other Overlays".
	Held map[agent.Ref]string
	// Fighting holds the objects that somebody keeps changing back; correcting them waits.
	Fighting map[agent.Ref]string
	// Replaceable holds the outcome of the dry run for objects that ask to be replaced when an
	// immutable field changes.
	Replaceable map[agent.Ref]Replaceable

	Prune bool
	Drift v1alpha1.DriftPolicy
	// AllowPrune is the commit for which large prunes are allowed; empty for none.
	AllowPrune string
	// Farewell: the Overlay itself is being deleted, so that nothing is left is the point.
	Farewell bool
}

// Kind is what the cluster says of a kind.
type Kind struct {
	Namespaced bool
}

// Claims answers who else wants an object.
type Claims interface {
	// Wanted returns the other overlay that wants the object now.
	Wanted(agent.Ref) (agent.Owner, bool)
	// Released tells whether an overlay that owns the object is gone or no longer wants it.
	// It is false while that overlay has not looked at its newest revision yet.
	Released(agent.Owner, agent.Ref) bool
	// Settled tells whether every other overlay of the repository has looked at the revision,
	// so that nobody can come to claim what is about to be pruned.
	Settled() bool
}

// Replaceable is what a dry run said about applying an object.
type Replaceable struct {
	// Immutable: an immutable field stands against updating it in place.
	Immutable bool
	// Valid: created anew, it would be accepted.
	Valid bool
	// Message of the API server when it is not.
	Message string
}
