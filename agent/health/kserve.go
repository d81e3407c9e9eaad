package health

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
)

// inferenceService cannot compare generations: status.observedGeneration is copied from the
// Deployment or the Knative Service, lags behind, and falls back to 1 after a promotion.
//
// The condition Stopped is False while all is well. transitionStatus InProgress is not
// evidence of work: after a scale to zero it stays for ever.
func inferenceService(o object) agent.Health {
	if c := o.condition("Stopped"); c.True() {
		return stopped
	}
	switch o.text("status", "modelStatus", "transitionStatus") {
	case "InvalidSpec":
		return degraded("KServe cannot use its spec: %s", lastFailure(o))
	case "BlockedByFailedLoad":
		return degraded("the model does not load: %s", lastFailure(o))
	}
	if !o.condition("Ready").True() {
		return unready(o)
	}
	return rollout(o)
}

var stopped = suspended("it is stopped by the annotation %s", stopAnnotation)

const stopAnnotation = "serving.kserve.io/stop"

// lastFailure says what KServe knows of a model that failed, and where.
func lastFailure(o object) string {
	why := because(o.text("status", "modelStatus", "lastFailureInfo", "reason"), o.text("status", "modelStatus", "lastFailureInfo", "message"))
	if why == "" {
		why = silent
	}
	if pod := o.text("status", "modelStatus", "lastFailureInfo", "location"); pod != "" {
		why += " (" + pod + ")"
	}
	return why
}

// rollout judges an InferenceService that serves: what its spec asks for may still be on
// its way, as a new revision (Knative mode) or a canary (Standard mode).
func rollout(o object) agent.Health {
	for _, component := range []string{"predictor", "transformer", "explainer"} {
		created := o.text("status", "components", component, "latestCreatedRevision")
		ready := o.text("status", "components", component, "latestReadyRevision")
		if created != "" && created != ready {
			return progressing("revision %s of the %s is not ready; %s serves", created, component, orNone(ready))
		}
	}
	if c := o.condition("CanaryPredictorReady"); !c.True() && c.Status != "" {
		return progressing("%s; %s", canaries(o), c)
	}
	return healthy
}

func orNone(revision string) string {
	if revision == "" {
		return "none"
	}
	return revision
}

// canaries names the first canary that is not ready.
func canaries(o object) string {
	for canary := range o.list("status", "canaryStatuses") {
		if !canary.flag("ready") {
			return fmt.Sprintf("the canary %s is not ready and the stable version serves on", canary.text("name"))
		}
	}
	return "a canary is not ready and the stable version serves on"
}

// final are the reasons of KServe's conditions after which nothing happens by itself.
var final = map[string]bool{
	"CombineBaseError":         true, // LLMInferenceService: its configs contradict each other
	"InvalidRenderedConfig":    true, // LLMInferenceService: the API server refuses the merged spec
	"ProgressDeadlineExceeded": true, // Standard mode: the Deployment gave up
	"RevisionFailed":           true, // Knative mode
	"RevisionMissing":          true, // Knative mode: the route has no revision, as it failed
}

// unready judges what is not Ready by the conditions that Ready sums up. KServe marks the
// others with severity Info.
func unready(o object) agent.Health {
	cause := o.condition("Ready")
	if cause.Status == "" {
		return progressing("KServe has not looked at it yet")
	}
	for c := range o.conditions() {
		if c.True() || c.Type == "Ready" || c.Severity == "Info" {
			continue
		}
		if c.False() && final[c.Reason] {
			return degraded("%s", c)
		}
		if cause.Type == "Ready" {
			cause = c
		}
	}
	return progressing("%s", cause)
}

func inferenceGraph(o object) agent.Health {
	if o.condition("Stopped").True() {
		return stopped
	}
	if o.condition("Ready").True() {
		return healthy
	}
	return unready(o)
}

// llmInferenceService may compare generations: its controller reports its own. It has no
// condition for being stopped.
func llmInferenceService(o object) agent.Health {
	switch {
	case o.annotation(stopAnnotation) == "true":
		return stopped
	case !o.observed():
		return o.unobserved()
	case o.condition("Ready").True():
		return healthy
	}
	return unready(o)
}

// trainedModel waits for its InferenceService, but not for one of the wrong kind, nor for
// memory that the InferenceService does not have.
func trainedModel(o object) agent.Health {
	if o.condition("Ready").True() {
		return healthy
	}
	for _, name := range []string{"IsMMSPredictor", "MemoryResourceAvailable"} {
		if c := o.condition(name); c.False() {
			return degraded("%s", c)
		}
	}
	return unready(o)
}

func localModelCache(o object) agent.Health {
	total, available := o.number("status", "copies", "total"), o.number("status", "copies", "available")
	failed := o.number("status", "copies", "failed")
	switch {
	case failed > 0:
		return degraded("%d of %d copies of the model could not be downloaded", failed, total)
	case o.at("status", "copies") == nil:
		return progressing("KServe has not looked at it yet")
	case available < total:
		return progressing("%d of %d copies of the model are downloaded", available, total)
	}
	return healthy
}
