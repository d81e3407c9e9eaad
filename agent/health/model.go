package health

import "github.com/sluice-dev/sluice/agent"

// model is healthy while a version waits for a gate or is on its way: that takes as long as people
// and policies want it to, and what served before serves. It is not when somebody has to change
// something, or when what serves is not healthy.
func model(o object) agent.Health {
	switch {
	case !o.observed() || o.at("status") == nil:
		return o.unobserved()
	case o.flag("spec", "suspend"):
		return suspended("spec.suspend is set")
	case o.condition("Stalled").True():
		return degraded("%s", o.condition("Stalled").Message)
	case o.condition("Healthy").False():
		return degraded("%s", o.condition("Healthy").Message)
	}
	return healthy
}
