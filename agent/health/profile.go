package health

import (
	"slices"

	"github.com/sluice-dev/sluice/agent"
)

// profile reads the result from the type of the last condition, which has no status.
//
// Controllers leave that list empty when all went well. What they do at the end, after the
// namespace and everything in it, is to put their finalizer on the Profile.
func profile(o object) agent.Health {
	var last condition
	for c := range o.conditions() {
		last = c
	}
	switch {
	case last.Type == "Failed":
		return degraded("Failed: %s", last.Message)
	case last.Type == "Successful", slices.Contains(o.finalizers(), "profile-finalizer"):
		return healthy
	}
	return progressing("its namespace is not set up yet; if this lasts, see whether namespace %s belongs to another owner", o.text("metadata", "name"))
}
