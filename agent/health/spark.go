package health

import "github.com/sluice-dev/sluice/agent"

// sparkApplication is healthy once it runs: a stream runs for ever, and nothing tells it
// from a batch.
func sparkApplication(o object) agent.Health {
	state := o.text("status", "applicationState", "state")
	switch state {
	case "RUNNING", "SUCCEEDING", "COMPLETED":
		return healthy
	case "FAILED", "FAILING", "SUBMISSION_FAILED":
		return degraded("%s", because(state, o.text("status", "applicationState", "errorMessage")))
	case "SUSPENDED", "SUSPENDING":
		return suspended("spec.suspend is set")
	case "":
		return progressing("the Spark operator has not looked at it yet")
	}
	return progressing("its state is %s", state)
}

func scheduledSparkApplication(o object) agent.Health {
	switch {
	case o.text("status", "scheduleState") == "FailedValidation":
		return degraded("FailedValidation: %s", o.text("status", "reason"))
	case o.flag("spec", "suspend"):
		return suspended("spec.suspend is set")
	case o.text("status", "scheduleState") == "":
		return progressing("the Spark operator has not looked at it yet")
	}
	return healthy
}

func sparkConnect(o object) agent.Health {
	switch state := o.text("status", "state"); state {
	case "Ready":
		return healthy
	case "Failed":
		return degraded("its server failed; see its pod %s", o.text("status", "server", "podName"))
	}
	return progressing("its server is not ready yet")
}
