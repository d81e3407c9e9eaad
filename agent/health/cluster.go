package health

import "github.com/sluice-dev/sluice/agent"

func namespace(o object) agent.Health {
	if o.text("status", "phase") == "Terminating" {
		return terminating(o)
	}
	return healthy
}

func customResourceDefinition(o object) agent.Health {
	if c := o.condition("NamesAccepted"); c.False() {
		return degraded("%s", c)
	}
	established := o.condition("Established")
	switch {
	case established.True():
		return healthy
	case established.False() && established.Reason != "Installing":
		return degraded("%s", established)
	}
	return progressing("%s", established)
}

// apiService is Degraded while its backend does not answer, also when that is only about
// to start: every discovery of the cluster's kinds suffers from it.
func apiService(o object) agent.Health {
	c := o.condition("Available")
	switch {
	case c.True():
		return healthy
	case c.False():
		return degraded("%s", c)
	}
	return progressing("%s", c)
}

// misconfigured are the reasons for which an autoscaler does not scale that only a change of
// its spec, or of another autoscaler's, can remove.
var misconfigured = map[string]bool{
	"AmbiguousSelector":       true,
	"InvalidMetricSourceType": true,
	"InvalidSelector":         true,
}

// horizontalPodAutoscaler does not wait for metrics: without them the workload keeps its
// size and serves on, and clusters without a metrics server are common enough that the
// Kubeflow platform would never become ready on them.
func horizontalPodAutoscaler(o object) agent.Health {
	if c := o.condition("ScalingActive"); c.False() && misconfigured[c.Reason] {
		return degraded("%s", c)
	}
	if c := o.condition("AbleToScale"); c.False() {
		return progressing("%s", c)
	}
	return healthy
}

// podDisruptionBudget is healthy also when it allows no disruption: that is its purpose.
func podDisruptionBudget(o object) agent.Health {
	if !o.observed() {
		return o.unobserved()
	}
	if c := o.condition("DisruptionAllowed"); c.Reason == "SyncFailed" {
		return degraded("%s", c)
	}
	return healthy
}
