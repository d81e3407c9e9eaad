package health

import "github.com/sluice-dev/sluice/agent"

func experiment(o object) agent.Health {
	if h, over := o.over("Succeeded", "Failed"); over {
		return h
	}
	if o.number("status", "trials") == 0 {
		return progressing("%s", latest(o, "Restarting", "Running", "Created"))
	}
	return progressing("trials: %d running, %d succeeded, %d failed", o.number("status", "trialsRunning"),
		o.number("status", "trialsSucceeded"), o.number("status", "trialsFailed"))
}

// trial counts one that was stopped early as a success, as Katib does.
func trial(o object) agent.Health {
	if h, over := o.over("Succeeded", "Failed"); over {
		return h
	}
	if h, over := o.over("EarlyStopped", "MetricsUnavailable"); over {
		return h
	}
	if c := o.condition("Killed"); c.True() {
		return degraded("%s", c)
	}
	return progressing("%s", latest(o, "Running", "Created"))
}

// suggestion is a service that lives as long as its experiment: running is all it does.
func suggestion(o object) agent.Health {
	if h, over := o.over("Succeeded", "Failed"); over {
		return h
	}
	if o.condition("Running").True() {
		return healthy
	}
	return progressing("%s", latest(o, "DeploymentReady", "Created"))
}
