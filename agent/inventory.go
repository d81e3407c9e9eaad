package agent

import (
	"maps"
	"slices"
)

// Inventory is what one overlay owns, or has announced that it is about to.
type Inventory map[Ref]Entry

// Entry is what is on record of one object.
type Entry struct {
	// Version of the API in which the object was applied.
	Version string
	// Digest of what was applied; empty while it is only announced.
	Digest string
	// Fields is the digest of the field ownership that the last apply left behind.
	Fields string
	// Released: the overlay wants the object no more, and another may take it over.
	Released bool
}

// Refs returns the names of all objects, sorted.
func (i Inventory) Refs() []Ref { return slices.SortedFunc(maps.Keys(i), Ref.Compare) }

// Clone returns a copy that can be changed.
func (i Inventory) Clone() Inventory {
	if i == nil {
		return Inventory{}
	}
	return maps.Clone(i)
}
