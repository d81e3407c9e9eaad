package health

import "github.com/sluice-dev/sluice/agent"

// workflow is suspended by its spec; the phase stays Running meanwhile. One that somebody
// terminated ends as Failed, with a message that says so.
func workflow(o object) agent.Health {
	phase := o.text("status", "phase")
	switch {
	case phase == "Succeeded":
		return healthy
	case phase == "Failed" || phase == "Error":
		return degraded("%s", because(phase, o.text("status", "message")))
	case o.flag("spec", "suspend"):
		return suspended("spec.suspend is set")
	case phase == "":
		return progressing("Argo has not looked at it yet")
	}
	return progressing("%s, %s steps done", phase, o.text("status", "progress"))
}

// cronWorkflow leaves the health of its runs to the Workflows.
func cronWorkflow(o object) agent.Health {
	for _, name := range []string{"SpecError", "SubmissionError"} {
		if c := o.condition(name); c.True() {
			return degraded("%s", c)
		}
	}
	switch {
	case o.flag("spec", "suspend"):
		return suspended("spec.suspend is set")
	case o.text("status", "phase") == "Stopped":
		return suspended("its stop strategy has stopped it")
	}
	return healthy
}
