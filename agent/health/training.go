package health

import (
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// trainJob has no condition at all while it runs. Without its runtime, and without the
// webhook that would refuse it then, it has no status for ever, so the sentence names the
// runtime to look for.
func trainJob(o object) agent.Health {
	if h, over := o.over("Complete", "Failed"); over {
		return h
	}
	if o.flag("spec", "suspend") {
		return suspended("spec.suspend is set")
	}
	if o.at("status") == nil {
		return progressing("it has not started yet; it needs %s %s", o.text("spec", "runtimeRef", "kind"), o.text("spec", "runtimeRef", "name"))
	}
	return progressing("%s", replicatedJobs(o, "jobsStatus"))
}

func jobSet(o object) agent.Health {
	if h, over := o.over("Completed", "Failed"); over {
		return h
	}
	if o.flag("spec", "suspend") {
		return suspended("spec.suspend is set")
	}
	return progressing("%s", replicatedJobs(o, "replicatedJobsStatus"))
}

// replicatedJobs names the groups of pods that run.
func replicatedJobs(o object, field string) string {
	var active []string
	for group := range o.list("status", field) {
		if group.number("active") > 0 {
			active = append(active, group.text("name"))
		}
	}
	if len(active) == 0 {
		return "none of its jobs runs yet"
	}
	return "running: " + strings.Join(active, ", ")
}

// trainingJob judges the kinds of the training operator, version 1.
func trainingJob(o object) agent.Health {
	if h, over := o.over("Succeeded", "Failed"); over {
		return h
	}
	if o.flag("spec", "runPolicy", "suspend") {
		return suspended("spec.runPolicy.suspend is set")
	}
	return progressing("%s", latest(o, "Restarting", "Running", "Created"))
}

// latest is the first of the conditions that holds.
func latest(o object, names ...string) string {
	for _, name := range names {
		if c := o.condition(name); c.True() {
			return c.String()
		}
	}
	return "its controller has not looked at it yet"
}
