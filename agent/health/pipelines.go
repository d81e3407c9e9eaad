package health

import "github.com/sluice-dev/sluice/agent"

// scheduledWorkflow leaves the health of its runs to the runs.
func scheduledWorkflow(o object) agent.Health {
	if c := o.condition("Error"); c.True() {
		return degraded("%s", c)
	}
	if !o.flag("spec", "enabled") {
		return suspended("spec.enabled is not set")
	}
	return healthy
}
