package health

import "github.com/sluice-dev/sluice/agent"

// knative judges all of Knative's kinds. In its conditions Unknown is work in progress and
// False is final; Ready carries the reason of the condition at fault.
func knative(o object) agent.Health {
	if !o.observed() {
		return o.unobserved()
	}
	ready := o.condition("Ready")
	switch {
	case ready.True():
		return healthy
	case ready.False():
		return degraded("%s", ready)
	}
	return progressing("%s", ready)
}
