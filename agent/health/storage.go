package health

import "github.com/sluice-dev/sluice/agent"

// persistentVolumeClaim calls a Pending claim Progressing only once it is being served: a
// node or a volume was chosen, or a provisioner was asked. A claim that waits for its first
// consumer shows none of these. It has to be healthy, or an overlay of claims would never
// become ready for the overlay that brings the pods. A claim that nobody can serve looks
// the same; there its pods say what is wrong.
func persistentVolumeClaim(o object) agent.Health {
	switch o.text("status", "phase") {
	case "Lost":
		return degraded("its volume %s is lost", o.text("spec", "volumeName"))
	case "Bound":
		return resizing(o)
	}
	if provisioner := o.annotation("volume.kubernetes.io/storage-provisioner"); provisioner != "" {
		return progressing("it waits for %s to make a volume", provisioner)
	}
	if node := o.annotation("volume.kubernetes.io/selected-node"); node != "" {
		return progressing("it waits for a volume on node %s", node)
	}
	if volume := o.text("spec", "volumeName"); volume != "" {
		return progressing("it waits for the volume %s", volume)
	}
	return healthy
}

// resizing does not wait for FileSystemResizePending, which ends only when a pod starts.
func resizing(o object) agent.Health {
	for _, name := range []string{"ControllerResizeError", "NodeResizeError", "ModifyVolumeError"} {
		if c := o.condition(name); c.True() {
			return degraded("%s", c)
		}
	}
	if c := o.condition("Resizing"); c.True() {
		return progressing("%s", c)
	}
	return healthy
}

func persistentVolume(o object) agent.Health {
	switch o.text("status", "phase") {
	case "Failed":
		return degraded("it could not be reclaimed: %s", because(o.text("status", "reason"), o.text("status", "message")))
	case "", "Pending":
		return progressing("it is not available yet")
	}
	return healthy
}
