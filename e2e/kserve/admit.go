package kserve

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	modeAnnotation = "serving.kserve.io/deploymentMode"
	finalizer      = "inferenceservice.finalizers"
	container      = "kserve-container"
)

// frameworks are the fields of a predictor that the webhook rewrites to model.
var frameworks = []string{"sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml", "lightgbm", "paddle"}

// admit does what KServe's webhook does, under another name than whoever wrote; it says whether
// there was anything to do.
func (s *StandIn) admit(ctx context.Context, isvc *unstructured.Unstructured) (bool, error) {
	before := isvc.DeepCopy()
	s.annotate(isvc)
	predictor, _, _ := unstructured.NestedMap(isvc.Object, "spec", "predictor")
	if predictor == nil {
		predictor = map[string]any{}
	}
	for _, framework := range frameworks {
		if model, ok := predictor[framework].(map[string]any); ok {
			model["modelFormat"] = map[string]any{"name": framework}
			predictor["model"] = model
			delete(predictor, framework)
		}
	}
	server, _ := predictor["model"].(map[string]any)
	if containers, _ := predictor["containers"].([]any); server == nil && len(containers) == 1 {
		server, _ = containers[0].(map[string]any)
		server["name"] = container
	}
	if server != nil {
		fillResources(server)
	}
	if predictor["automountServiceAccountToken"] == nil {
		predictor["automountServiceAccountToken"] = false
	}
	if err := unstructured.SetNestedMap(isvc.Object, predictor, "spec", "predictor"); err != nil {
		return false, err
	}
	if reflect.DeepEqual(before.Object, isvc.Object) {
		return false, nil
	}
	return true, s.client.Update(ctx, isvc, client.FieldOwner("kserve-webhook"))
}

// annotate fills in the mode, by its present name, and the format of the model.
func (s *StandIn) annotate(isvc *unstructured.Unstructured) {
	annotations := isvc.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	switch annotations[modeAnnotation] {
	case "RawDeployment":
		annotations[modeAnnotation] = "Standard"
	case "Serverless":
		annotations[modeAnnotation] = "Knative"
	case "":
		if !s.options.Knative {
			annotations[modeAnnotation] = "Standard"
		}
	}
	format, _, _ := unstructured.NestedString(isvc.Object, "spec", "predictor", "model", "modelFormat", "name")
	if format != "" && annotations["modelFormat"] == "" {
		annotations["modelFormat"] = format
	}
	isvc.SetAnnotations(annotations)
}

func fillResources(server map[string]any) {
	resources, _ := server["resources"].(map[string]any)
	if resources == nil {
		resources = map[string]any{}
	}
	for _, kind := range []string{"requests", "limits"} {
		amounts, _ := resources[kind].(map[string]any)
		if amounts == nil {
			amounts = map[string]any{}
		}
		for name, amount := range map[string]string{"cpu": "1", "memory": "2Gi"} {
			if amounts[name] == nil {
				amounts[name] = amount
			}
		}
		resources[kind] = amounts
	}
	server["resources"] = resources
}

// judge complains about what the webhook would have refused.
func (s *StandIn) judge(isvc *unstructured.Unstructured, main predictor, canaries []canary) {
	name := isvc.GetNamespace() + "/" + isvc.GetName()
	mode := isvc.GetAnnotations()[modeAnnotation]
	if was, _, _ := unstructured.NestedString(isvc.Object, "status", "deploymentMode"); was != "" && mode != "" && was != mode {
		s.complain("InferenceService %s: deploymentMode cannot be changed from %s to %s", name, was, mode)
	}
	s.mu.Lock()
	was, known := s.served[isvc.GetUID()]
	s.served[isvc.GetUID()] = main
	s.mu.Unlock()
	if known && was.name != main.name && was.uri == main.uri {
		s.complain("InferenceService %s: predictor.name change requires a model change (e.g. storageUri)", name)
	}
	if main.modelName != "" {
		s.complain("InferenceService %s: the 'name' field is not allowed in standard predictor", name)
	}
	if len(canaries) > 0 && mode != "Standard" {
		s.complain("InferenceService %s: canary is only supported in Standard deployment mode", name)
	}
	var total int64
	names := map[string]bool{main.name: true}
	for _, c := range canaries {
		total += c.percent
		switch {
		case c.name == "" || names[c.name]:
			s.complain("InferenceService %s: canary predictor.name %q is missing or taken", name, c.name)
		case c.scales:
			s.complain("InferenceService %s: canary %s must not scale", name, c.name)
		case c.minReplicas != nil && *c.minReplicas > main.least():
			s.complain("InferenceService %s: canary %s minReplicas (%d) must not exceed stable predictor minReplicas (%d)", name, c.name, *c.minReplicas, main.least())
		}
		names[c.name] = true
	}
	if total > 100 {
		s.complain("InferenceService %s: sum of canary trafficPercent values (%d) must be <= 100", name, total)
	}
}
