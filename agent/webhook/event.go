package webhook

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// maxPulls is how many changed pull requests an event lists. Beyond that a list of all costs less.
const maxPulls = 64

// Event says what to look at again.
type Event struct {
	Repository types.NamespacedName
	// Fetch: the reference that the Repository follows has moved.
	Fetch bool
	// Pulls are the numbers of the pull requests that changed, sorted. They go to the followed
	// branch, or did until now.
	Pulls []int
	// AllPulls: so many changed that they are not listed.
	AllPulls bool
}

// Merge returns the event that says both. They are about the same Repository.
func (e Event) Merge(other Event) Event {
	e.Fetch = e.Fetch || other.Fetch
	e.Pulls = slices.Concat(e.Pulls, other.Pulls)
	slices.Sort(e.Pulls)
	e.Pulls = slices.Compact(e.Pulls)
	e.AllPulls = e.AllPulls || other.AllPulls || len(e.Pulls) > maxPulls
	if e.AllPulls {
		e.Pulls = nil
	}
	return e
}
