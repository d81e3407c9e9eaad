package serving

import "github.com/sluice-dev/sluice/agent"

// sourceAnnotation is where KServe notes, on what it makes of a predictor, from where its pods
// load the artifact.
const sourceAnnotation = "internal.serving.kserve.io/storage-initializer-sourceuri"

// carries tells whether the pods that a live Deployment or Knative Service makes are those of a
// version. KServe's own status does not: it stays Ready through a rollout, and for as long as
// KServe has not seen the change it is about what was before.
func (t template) carries(maker map[string]any, v Version) Readiness {
	pods, _ := at(maker, "spec", "template").(map[string]any)
	switch {
	case maker == nil:
		return waiting("KServe has not begun with it")
	case text(pods, "metadata", "annotations", sourceAnnotation) != v.URI:
		return waiting("KServe has not handed its artifact on: pods still load %q", text(pods, "metadata", "annotations", sourceAnnotation))
	case text(pods, "metadata", "annotations", TemplateAnnotation) != t.digest():
		return waiting("KServe has not handed the template on")
	}
	return ready
}

// loaded tells whether a version is ready in the Deployment that KServe makes of its predictor.
func (t template) loaded(deployment map[string]any, v Version) Readiness {
	if r := t.carries(deployment, v); !r.Ready {
		return r
	}
	return rolledOut(deployment)
}

// rolledOut tells whether a Deployment is what its spec asks for, as `kubectl rollout status`
// does.
func rolledOut(deployment map[string]any) Readiness {
	name := text(deployment, "metadata", "name")
	h := healthOf(deployment)
	r := waiting("Deployment %s: %s", name, h.Message)
	switch h.Status {
	case agent.Healthy:
		return ready
	case agent.Degraded:
		r = failed("Deployment %s: %s", name, h.Message)
	}
	r.Up = number(deployment, "status", "availableReplicas") > 0
	return r
}

// started is the readiness of a candidate, which has to have been loaded at least once: that of
// one without pods means nothing.
func started(deployment map[string]any, r Readiness) Readiness {
	if r.Ready && number(deployment, "status", "availableReplicas") == 0 {
		return waiting("Deployment %s has no pods, so that nothing was loaded", text(deployment, "metadata", "name"))
	}
	return r
}

// refusal is what KServe has against a version, as far as its status is about it.
//
// InvalidSpec is from before KServe makes anything of a spec. Once the Deployment carries the
// version, it is left over from another spec. BlockedByFailedLoad is read from pods; it is about
// those of this Deployment when the generation that the status copies is the Deployment's.
func refusal(isvc, deployment map[string]any, carried bool) (Readiness, bool) {
	switch text(isvc, "status", "modelStatus", "transitionStatus") {
	case "InvalidSpec":
		if !carried {
			return failed("KServe cannot use its spec: %s", lastFailure(isvc)), true
		}
	case "BlockedByFailedLoad":
		if carried && number(isvc, "status", "observedGeneration") == number(deployment, "metadata", "generation") {
			return failed("the model does not load: %s", lastFailure(isvc)), true
		}
	}
	return Readiness{}, false
}

// lastFailure says what KServe knows of a model that failed, and where.
func lastFailure(isvc map[string]any) string {
	info, _ := at(isvc, "status", "modelStatus", "lastFailureInfo").(map[string]any)
	why := text(info, "message")
	if reason := text(info, "reason"); reason != "" && why != "" {
		why = reason + ": " + why
	} else if reason != "" {
		why = reason
	}
	if why == "" {
		why = "its status does not say why"
	}
	if pod := text(info, "location"); pod != "" {
		why += " (" + pod + ")"
	}
	return why
}

// stopped is how everything is while somebody has stopped an InferenceService.
func stopped(isvc map[string]any) (Readiness, bool) {
	if conditionOf(isvc, "Stopped").status == "True" {
		return waiting("InferenceService %s is stopped by the annotation serving.kserve.io/stop", text(isvc, "metadata", "name")), true
	}
	return Readiness{}, false
}
