package serving

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Found is what was read of a cluster to tell what it can do.
type Found struct {
	// Definition is the CustomResourceDefinition inferenceservices.serving.kserve.io; nil if
	// there is none.
	Definition map[string]any
	// Config is the data of KServe's ConfigMap inferenceservice-config; nil if it is not there or
	// must not be read.
	Config map[string]string
	// HTTPRoutes, InferenceGraphs and KnativeServices tell that the cluster has the kinds
	// HTTPRoute.gateway.networking.k8s.io, InferenceGraph.serving.kserve.io and
	// Service.serving.knative.dev.
	HTTPRoutes, InferenceGraphs, KnativeServices bool
}

// Abilities are what a cluster can do for models.
type Abilities struct {
	// KServe is installed.
	KServe bool
	// Canary: its Standard mode has spec.canary, and routes by the Gateway API. Without the
	// latter, KServe brings canaries up and never sends them anything.
	Canary bool
	// Renamed: it knows its modes as Standard and Knative, and rewrites the names it had for
	// them before 0.16, RawDeployment and Serverless. Older ones ignore the new names.
	Renamed bool
	// Mode of InferenceServices that do not say which: Standard or Knative.
	Mode string
	// Graph: there are InferenceGraphs. Gateway: there are HTTPRoutes. Knative is installed.
	Graph, Gateway, Knative bool
}

// Modes of KServe.
const (
	standardMode = "Standard"
	knativeMode  = "Knative"
)

// AbilitiesOf tells what a cluster can do.
func AbilitiesOf(f Found) Abilities {
	spec, installed := specOf(f.Definition)
	mode, renamed := defaultMode(f.Config)
	can := Abilities{
		KServe: installed, Gateway: f.HTTPRoutes, Graph: f.InferenceGraphs, Knative: f.KnativeServices,
		Canary: at(spec, "properties", "canary") != nil && f.HTTPRoutes && routesByGateway(f.Config),
		// storageUris came with the same release as the new names.
		Renamed: renamed || at(spec, "properties", "predictor", "properties", "storageUris") != nil,
		Mode:    mode,
	}
	if can.Mode == "" {
		can.Mode = standardMode
		if can.Knative {
			can.Mode = knativeMode
		}
	}
	return can
}

// specOf finds the schema of spec of an InferenceService. In KServe's minimal definitions it
// is there and tells nothing of its fields.
func specOf(definition map[string]any) (schema map[string]any, served bool) {
	for _, version := range list(definition, "spec", "versions") {
		if text(version, "name") == "v1beta1" && flag(version, "served") {
			schema, _ := at(version, "schema", "openAPIV3Schema", "properties", "spec").(map[string]any)
			return schema, true
		}
	}
	return nil, false
}

// defaultMode reads KServe's settings; renamed tells that they use names that only newer
// releases know.
func defaultMode(config map[string]string) (mode string, renamed bool) {
	var deploy struct {
		DefaultDeploymentMode string `json:"defaultDeploymentMode"`
	}
	if json.Unmarshal([]byte(config["deploy"]), &deploy) != nil {
		return "", false
	}
	switch deploy.DefaultDeploymentMode {
	case standardMode, knativeMode:
		return deploy.DefaultDeploymentMode, true
	case "RawDeployment":
		return standardMode, false
	case "Serverless":
		return knativeMode, false
	}
	return "", false
}

// routesByGateway tells whether KServe makes HTTPRoutes; while nothing is known of its settings,
// it is taken to.
func routesByGateway(config map[string]string) bool {
	var ingress struct {
		EnableGatewayAPI bool `json:"enableGatewayApi"`
	}
	if config == nil {
		return true
	}
	return json.Unmarshal([]byte(config["ingress"]), &ingress) == nil && ingress.EnableGatewayAPI
}

// annotation is the name of a mode that the installed KServe knows and leaves as it is.
func (can Abilities) annotation(mode string) string {
	switch {
	case can.Renamed:
		return mode
	case mode == standardMode:
		return "RawDeployment"
	}
	return "Serverless"
}

// layoutOf chooses how a Model is served.
func layoutOf(s v1alpha1.Serving, can Abilities) (layout, error) {
	if err := Check(s); err != nil {
		return nil, err
	}
	if s.Deployment != nil {
		return deploymentLayout(*s.Deployment, can)
	}
	if !can.KServe {
		return nil, fmt.Errorf("KServe is not installed: the cluster has no kind InferenceService.serving.kserve.io in version v1beta1; install it, or serve by spec.serving.deployment")
	}
	t, err := kserveTemplate(*s.KServe)
	if err != nil {
		return nil, err
	}
	mode := s.KServe.Mode
	if mode == "" {
		mode = can.Mode
	}
	t.mode = can.annotation(mode)
	switch {
	case mode == knativeMode && !can.Knative:
		return nil, fmt.Errorf("KServe's Knative mode needs Knative Serving, and the cluster has no kind Service.serving.knative.dev: install it, or set spec.serving.kserve.mode to Standard")
	case mode == knativeMode:
		return knative{t}, nil
	case can.Canary && t.alone():
		return canary{t}, nil
	}
	return sideBySide(t, *s.KServe, can), nil
}
