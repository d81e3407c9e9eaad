package health

import "github.com/sluice-dev/sluice/agent"

// notebook is stopped by an annotation that the dashboard and the culler set. That is a
// person's wish, or thrift, and not a fault.
func notebook(o object) agent.Health {
	if since := "kubeflow-resource-stopped"; o.annotated(since) {
		return suspended("it is stopped by the annotation %s", since)
	}
	reason := o.text("status", "containerState", "waiting", "reason")
	switch {
	case stuck[reason]:
		return degraded("its container waits: %s", because(reason, o.text("status", "containerState", "waiting", "message")))
	case o.number("status", "readyReplicas") > 0:
		return healthy
	}
	if c := o.condition("PodScheduled"); c.False() {
		return progressing("%s", c)
	}
	if reason != "" {
		return progressing("its container waits: %s", reason)
	}
	return progressing("its pod is not ready yet")
}

func tensorboard(o object) agent.Health {
	if o.number("status", "readyReplicas") > 0 {
		return healthy
	}
	return progressing("its pod is not ready yet")
}

func pvcViewer(o object) agent.Health {
	if o.flag("status", "ready") {
		return healthy
	}
	return progressing("its pod is not ready yet")
}
