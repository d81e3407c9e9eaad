package serving

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
)

// template is the spec of an InferenceService as a Model gives it, checked, with its predictor
// in the form to which KServe's webhook would bring it.
type template struct {
	spec     map[string]any
	metadata v1alpha1.CommonMetadata
	// mode is the value of the annotation with KServe's mode.
	mode string
}

const kserveField = "spec.serving.kserve.template"

// modeAnnotation says in which mode KServe runs an InferenceService. It cannot change later.
const modeAnnotation = "serving.kserve.io/deploymentMode"

// kserveTemplate reads and checks a template.
func kserveTemplate(s v1alpha1.KServeServing) (template, error) {
	spec, err := s.Object()
	if err != nil || spec == nil {
		return template{}, fmt.Errorf("%s is not an object: give it the spec of an InferenceService", kserveField)
	}
	t := template{spec: spec}
	if s.Metadata != nil {
		t.metadata = *s.Metadata
	}
	if s.Mode != "" && s.Mode != standardMode && s.Mode != knativeMode {
		return t, fmt.Errorf("spec.serving.kserve.mode is %q: KServe has the modes Standard and Knative", s.Mode)
	}
	if err := checkMetadata("spec.serving.kserve.metadata", s.Metadata); err != nil {
		return t, err
	}
	if _, set := t.metadata.Annotations[modeAnnotation]; set {
		return t, fmt.Errorf("spec.serving.kserve.metadata.annotations sets %s: set spec.serving.kserve.mode instead", modeAnnotation)
	}
	if err := checkGateway("spec.serving.kserve.gateway", s.Gateway); err != nil {
		return t, err
	}
	if err := checkServed(spec); err != nil {
		return t, err
	}
	return t, modelOf(child(spec, "predictor"))
}

// checkServed refuses what the agent sets.
func checkServed(spec map[string]any) error {
	if _, set := spec["canary"]; set {
		return fmt.Errorf("%s.canary is set, and canaries are the agent's: remove it and give the stage spec.stages[].rollout.canary", kserveField)
	}
	for _, component := range []string{"predictor", "transformer", "explainer"} {
		value, there := spec[component]
		if !there {
			continue
		}
		field := kserveField + "." + component
		fields, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object", field)
		}
		if _, set := fields["canaryTrafficPercent"]; set {
			return fmt.Errorf("%s.canaryTrafficPercent is set, and traffic is the agent's: remove it and give the stage spec.stages[].rollout.canary", field)
		}
		if err := checkLabels(field+".labels", fields["labels"]); err != nil {
			return err
		}
	}
	return checkPredictor(child(spec, "predictor"))
}

const predictorField = kserveField + ".predictor"

// checkPredictor refuses what the agent sets, and what would make a version ready that was
// never loaded.
func checkPredictor(predictor map[string]any) error {
	if _, set := predictor["name"]; set {
		return fmt.Errorf("%s.name is set, and the agent names predictors after versions: remove it", predictorField)
	}
	if _, set := predictor["storageUris"]; set {
		return fmt.Errorf("%s.storageUris is set: the artifact is that of the version, remove it", predictorField)
	}
	if replicas, set := predictor["minReplicas"]; set {
		if n, whole := integer(replicas); !whole || n < 0 {
			return fmt.Errorf("%s.minReplicas is not a whole number", predictorField)
		}
	}
	if annotations, set := predictor["annotations"]; set {
		fields, ok := annotations.(map[string]any)
		if !ok {
			return fmt.Errorf("%s.annotations is not a mapping of annotations", predictorField)
		}
		if fields["autoscaling.knative.dev/initial-scale"] == "0" {
			return fmt.Errorf("%s.annotations sets autoscaling.knative.dev/initial-scale to 0: a version would count as ready without being loaded, remove it", predictorField)
		}
	}
	return nil
}

// frameworks are the fields of a predictor that KServe's webhook rewrites to model, with the
// protocol that it fills in on the way.
var frameworks = map[string]string{
	"huggingface": "", "lightgbm": "", "onnx": "v2", "paddle": "", "pmml": "", "pytorch": "",
	"sklearn": "", "tensorflow": "", "triton": "v2", "xgboost": "",
}

// modelOf brings a predictor into one of two forms: with a model, or with a container of its
// own that serves it.
func modelOf(predictor map[string]any) error {
	var given []string
	for _, name := range append(slices.Sorted(maps.Keys(frameworks)), "model") {
		value, there := predictor[name]
		if !there {
			continue
		}
		if _, ok := value.(map[string]any); !ok {
			return fmt.Errorf("%s.%s is not an object", predictorField, name)
		}
		given = append(given, name)
	}
	containers, there := predictor["containers"]
	if there && !objectsOnly(containers) {
		return fmt.Errorf("%s.containers is not a list of containers", predictorField)
	}
	switch {
	case len(given) > 1:
		return fmt.Errorf("%s has both %s and %s: keep one", predictorField, given[0], given[1])
	case len(given) == 0 && there:
		return checkContainer(predictor)
	case len(given) == 1 && given[0] != "model":
		rename(predictor, given[0])
	}
	return checkModel(child(predictor, "model"), append(given, "model")[0])
}

// rename makes a model of what is given under the name of a framework.
func rename(predictor map[string]any, framework string) {
	model := predictor[framework].(map[string]any) // modelOf saw it
	delete(predictor, framework)
	child(model, "modelFormat")["name"] = framework
	if protocol := frameworks[framework]; protocol != "" && model["protocolVersion"] == nil {
		model["protocolVersion"] = protocol
	}
	predictor["model"] = model
}

func checkModel(model map[string]any, name string) error {
	field := predictorField + "." + name
	if _, set := model["storageUri"]; set {
		return fmt.Errorf("%s.storageUri is set: the artifact is that of the version, remove it", field)
	}
	if at(model, "storage", "path") != nil {
		return fmt.Errorf("%s.storage.path is set: the artifact is that of the version, remove it", field)
	}
	if _, set := model["name"]; set {
		return fmt.Errorf("%s.name is set, which KServe does not take: remove it", field)
	}
	if format, there := model["modelFormat"]; there {
		if _, ok := format.(map[string]any); !ok {
			return fmt.Errorf("%s.modelFormat is not an object", field)
		}
	}
	return nil
}

// serverContainer is what KServe calls the container that serves a model, and artifactVariable
// is how one that is given whole is told its artifact.
const (
	serverContainer  = "kserve-container"
	artifactVariable = "STORAGE_URI"
)

// serverOf finds the container of a predictor without model that serves it: as KServe does, by
// its name, and a single one whatever its name.
func serverOf(predictor map[string]any) map[string]any {
	containers := list(predictor, "containers")
	for _, c := range containers {
		if text(c, "name") == serverContainer {
			return c
		}
	}
	if len(containers) == 1 {
		return containers[0]
	}
	return nil
}

func checkContainer(predictor map[string]any) error {
	server := serverOf(predictor)
	if server == nil {
		return fmt.Errorf("%s has neither a model nor a container named %s: one of them serves", predictorField, serverContainer)
	}
	if env, there := server["env"]; there && !objectsOnly(env) {
		return fmt.Errorf("%s.containers: env of %s is not a list of variables", predictorField, serverContainer)
	}
	for _, variable := range list(server, "env") {
		if text(variable, "name") == artifactVariable {
			return fmt.Errorf("%s.containers sets %s: the artifact is that of the version, remove it", predictorField, artifactVariable)
		}
	}
	server["name"] = serverContainer // the webhook would
	return nil
}

func objectsOnly(value any) bool {
	items, ok := value.([]any)
	for _, item := range items {
		if _, object := item.(map[string]any); !object {
			return false
		}
	}
	return ok
}

// scaling are the fields of a predictor that change how many pods there are, and not the pods.
var scaling = []string{"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "deploymentStrategy"}

// digest names what the pods of the predictor are made of, besides the version.
func (t template) digest() string {
	predictor := clone(t.spec["predictor"].(map[string]any)) // kserveTemplate saw it
	for _, field := range scaling {
		delete(predictor, field)
	}
	return digestOf(map[string]any{"predictor": predictor, "labels": anyMap(t.metadata.Labels), "annotations": anyMap(t.metadata.Annotations)})
}

// digestOf names the content of a template. What was read from JSON can be written as JSON.
func digestOf(fields map[string]any) string {
	canonical, _ := manifest.Canonical(fields)
	return digest(string(canonical))[:16]
}

func anyMap(m map[string]string) map[string]any {
	fields := make(map[string]any, len(m))
	for key, value := range m {
		fields[key] = value
	}
	return fields
}

// alone tells that the pods of the predictor take the requests themselves. KServe would send the
// traffic of a canary past a transformer, and takes no canaries of several nodes.
func (t template) alone() bool {
	return t.spec["transformer"] == nil && t.spec["explainer"] == nil && at(t.spec, "predictor", "workerSpec") == nil
}
