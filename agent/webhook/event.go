package webhook

import "k8s.io/apimachinery/pkg/types"

// Event says what to look at again.
type Event struct {
	Repository types.NamespacedName
	// Fetch: the reference that the Repository follows has moved.
	Fetch bool
	// Pulls: a pull request to the followed branch has changed, or one that was to it until now.
	Pulls bool
}

// Merge returns the event that says both. They are about the same Repository.
func (e Event) Merge(other Event) Event {
	e.Fetch = e.Fetch || other.Fetch
	e.Pulls = e.Pulls || other.Pulls
	return e
}
