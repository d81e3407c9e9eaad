package health

import "github.com/sluice-dev/sluice/agent"

// job is Progressing until it is over: what depends on a migration has to wait for it.
func job(o object) agent.Health {
	if h, over := o.over("Complete", "Failed"); over {
		return h
	}
	if o.flag("spec", "suspend") {
		return suspended("spec.suspend is set")
	}
	if o.text("status", "startTime") == "" {
		return progressing("it has not started yet")
	}
	return progressing("pods: %d running, %d succeeded, %d failed",
		o.number("status", "active"), o.number("status", "succeeded"), o.number("status", "failed"))
}

// cronJob leaves the health of its runs to the Jobs.
func cronJob(o object) agent.Health {
	if o.flag("spec", "suspend") {
		return suspended("spec.suspend is set")
	}
	return healthy
}
