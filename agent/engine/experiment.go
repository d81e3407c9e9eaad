package engine

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// experiment is an Experiment of Katib. To stop it, it is deleted with its trials: Katib knows no other way.
var experiment = form{
	kind:    schema.GroupVersionKind{Group: "kubeflow.org", Version: "v1beta1", Kind: "Experiment"},
	install: "install Katib",
	content: func(run Run) (content, error) { return fromTemplate(*run.Template.Experiment, "experiment") },
	read:    readExperiment,
}

func readExperiment(_ Run, f fields) State {
	s := byConditions(f, "Succeeded")
	s.StartedAt = f.time("status", "startTime")
	if at := f.time("status", "completionTime"); s.Phase.Ended() && !at.IsZero() {
		s.EndedAt = at
	}
	switch s.Phase {
	case v1alpha1.RunSucceeded:
		s.Outputs = optimum(f)
	case v1alpha1.RunFailed:
		if trials := f.texts("status", "failedTrialList"); len(trials) > 0 {
			s.Step = trials[0]
		}
	case v1alpha1.RunPending:
		if s.Message == "" {
			atWork(&s, f)
		}
		if done := f.number("status", "trialsSucceeded"); s.Phase == v1alpha1.RunRunning && done > 0 {
			s.Message = fmt.Sprintf("trials that succeeded: %d", done)
		}
	}
	return s
}

// optimum is the parameters and metrics of the best trial: as parameters.name and metrics.name, and as name
// where that is not both. A metric counts as its strategy says, by which Katib chose.
func optimum(f fields) map[string]string {
	best, outputs := f.object("status", "currentOptimalTrial"), map[string]string{}
	if trial := best.text("bestTrialName"); trial != "" {
		outputs["trial"] = trial
	}
	strategies := map[string]string{}
	for _, s := range f.list("spec", "objective", "metricStrategies") {
		strategies[s.text("name")] = s.text("value")
	}
	parameters := map[string]string{}
	for _, p := range best.list("parameterAssignments") {
		name, value := p.text("name"), p.text("value")
		parameters[name], outputs["parameters."+name] = value, value
	}
	for _, m := range best.list("observation", "metrics") {
		name := m.text("name")
		value := firstText(m.text(strategies[name]), m.text("latest"))
		if value == "" || value == "unavailable" { // Katib's word for a metric that no trial has reported
			continue
		}
		outputs["metrics."+name] = value
		if _, both := parameters[name]; both {
			delete(parameters, name)
			continue
		}
		outputs[name] = value
	}
	for name, value := range parameters {
		outputs[name] = value
	}
	return outputs
}
