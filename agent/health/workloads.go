package health

import "github.com/sluice-dev/sluice/agent"

// deployment is healthy when all pods are of the present template and available. A
// ReplicaFailure (a quota, a webhook or a ServiceAccount that is missing) is tried again by
// its controller, so it explains a rollout that waits, but does not end it; the progress
// deadline does.
func deployment(o object) agent.Health {
	if o.flag("spec", "paused") {
		return suspended("its rollout is paused by spec.paused")
	}
	if !o.observed() {
		return o.unobserved()
	}
	if c := o.condition("Progressing"); c.Reason == "ProgressDeadlineExceeded" {
		return explained(o, degraded("%s", c))
	}
	want, total := o.replicas(), o.number("status", "replicas")
	updated, available := o.number("status", "updatedReplicas"), o.number("status", "availableReplicas")
	switch {
	case updated < want:
		return explained(o, progressing("%d of %d pods are updated", updated, want))
	case total > want:
		return progressing("it has %d pods and wants %d", total, want)
	case available < want:
		return explained(o, progressing("%d of %d pods are available", available, want))
	}
	return healthy
}

// explained adds to a verdict why pods cannot be created, if they cannot.
func explained(o object, h agent.Health) agent.Health {
	if c := o.condition("ReplicaFailure"); c.True() {
		h.Message += "; " + c.String()
	}
	return h
}

// replicaSet also serves ReplicationControllers.
func replicaSet(o object) agent.Health {
	if !o.observed() {
		return o.unobserved()
	}
	want, total, available := o.replicas(), o.number("status", "replicas"), o.number("status", "availableReplicas")
	switch {
	case available < want:
		return explained(o, progressing("%d of %d pods are available", available, want))
	case total > want:
		return progressing("it has %d pods and wants %d", total, want)
	}
	return healthy
}

// statefulSet does not wait for updates that are not to happen by themselves: those of pods
// below the partition, and all of them with the OnDelete strategy.
func statefulSet(o object) agent.Health {
	if !o.observed() {
		return o.unobserved()
	}
	want, total := o.replicas(), o.number("status", "replicas")
	ready, updated := o.number("status", "readyReplicas"), o.number("status", "updatedReplicas")
	toUpdate := want - o.number("spec", "updateStrategy", "rollingUpdate", "partition")
	switch {
	case ready < want:
		return progressing("%d of %d pods are ready", ready, want)
	case total > want:
		return progressing("it has %d pods and wants %d", total, want)
	case updated < toUpdate && !updatedByHand(o):
		return progressing("%d of %d pods are updated", updated, toUpdate)
	}
	return healthy
}

func daemonSet(o object) agent.Health {
	if !o.observed() {
		return o.unobserved()
	}
	want := o.number("status", "desiredNumberScheduled")
	updated, available := o.number("status", "updatedNumberScheduled"), o.number("status", "numberAvailable")
	switch {
	case updated < want && !updatedByHand(o):
		return progressing("%d of %d nodes run the updated pod", updated, want)
	case available < want:
		return progressing("the pod is available on %d of %d nodes", available, want)
	}
	return healthy
}

// updatedByHand tells that pods are only replaced when somebody deletes them.
func updatedByHand(o object) bool { return o.text("spec", "updateStrategy", "type") == "OnDelete" }
