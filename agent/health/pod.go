package health

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
)

// stuck are the reasons why a container waits that somebody has to do something about. The
// kubelet goes on trying, but an image name or a crash does not mend itself.
var stuck = map[string]bool{
	"CrashLoopBackOff":           true,
	"CreateContainerConfigError": true,
	"CreateContainerError":       true,
	"ErrImageNeverPull":          true,
	"ErrImagePull":               true,
	"ImageInspectError":          true,
	"ImagePullBackOff":           true,
	"InvalidImageName":           true,
	"RunContainerError":          true,
}

// pod calls one that cannot be scheduled Progressing: a node may be on its way, and only a
// clock could tell when to give up.
func pod(o object) agent.Health {
	switch o.text("status", "phase") {
	case "Succeeded":
		return healthy
	case "Failed":
		return degraded("the pod failed: %s", failure(o))
	}
	for _, kind := range []string{"initContainerStatuses", "containerStatuses"} {
		for container := range o.list("status", kind) {
			if stuck[container.text("state", "waiting", "reason")] {
				return degraded("%s", waiting(container))
			}
		}
	}
	if o.condition("Ready").True() {
		return healthy
	}
	if c := o.condition("PodScheduled"); c.False() {
		return progressing("%s", c)
	}
	return progressing("%s", o.condition("Ready"))
}

// failure says why a pod failed: the kubelet's reason, or else the first container that
// ended badly.
func failure(o object) string {
	if why := because(o.text("status", "reason"), o.text("status", "message")); why != "" {
		return why
	}
	for container := range o.list("status", "containerStatuses") {
		if container.number("state", "terminated", "exitCode") != 0 {
			return fmt.Sprintf("container %s %s", container.text("name"), exit(container, "state"))
		}
	}
	return silent
}

// waiting describes a container that does not start, and how it ended the last time.
func waiting(container object) string {
	text := fmt.Sprintf("container %s waits: %s", container.text("name"),
		because(container.text("state", "waiting", "reason"), container.text("state", "waiting", "message")))
	if container.at("lastState", "terminated") == nil {
		return text
	}
	return text + "; the last time it " + exit(container, "lastState")
}

func exit(container object, state string) string {
	return fmt.Sprintf("ended with exit code %d (%s)", container.number(state, "terminated", "exitCode"),
		because(container.text(state, "terminated", "reason"), container.text(state, "terminated", "message")))
}
