package serving

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// TemplateAnnotation on pods names what they were made of, so that a Deployment or revision can
// be told from one of a template before.
const TemplateAnnotation = "sluice.dev/template"

const kserveGroup = "serving.kserve.io"

func inferenceService(namespace, name string) agent.Ref {
	return agent.Ref{Group: kserveGroup, Kind: "InferenceService", Namespace: namespace, Name: name}
}

// predictor is the predictor that serves a version.
func (t template) predictor(w Want, v Version) (map[string]any, error) {
	p := clone(t.spec["predictor"].(map[string]any)) // kserveTemplate saw it
	if err := load(p, v); err != nil {
		return nil, err
	}
	put(child(p, "labels"), labelsOf(w, v.Name))
	child(p, "annotations")[TemplateAnnotation] = t.digest()
	return p, nil
}

// load gives a predictor its artifact.
func load(predictor map[string]any, v Version) error {
	model, modelled := predictor["model"].(map[string]any)
	if !modelled {
		server := serverOf(predictor)
		env, _ := server["env"].([]any)
		server["env"] = append(env, map[string]any{"name": artifactVariable, "value": v.URI})
		return nil
	}
	model["storageUri"] = v.URI
	format := child(model, "modelFormat")
	if format["name"] == nil {
		if v.Format.Name == "" {
			return fmt.Errorf("the format of version %s is not known: give its ModelVersion spec.format.name, or %s.model.modelFormat", v.Name, predictorField)
		}
		format["name"] = v.Format.Name
		if v.Format.Version != "" {
			format["version"] = v.Format.Version
		}
	}
	return nil
}

// labelsOf are the labels of what serves a version; without a version, of what serves several.
func labelsOf(w Want, version string) map[string]any {
	labels := map[string]any{v1alpha1.ModelLabel: w.Model, v1alpha1.StageLabel: w.Stage}
	if version != "" {
		labels[v1alpha1.VersionLabel] = version
	}
	return labels
}

// selectorOf chooses the pods of a version. The stage is not among it: it has its namespace, and may
// be called something else tomorrow, while a Deployment never changes its selector.
func selectorOf(w Want, version string) map[string]any {
	return map[string]any{v1alpha1.ModelLabel: w.Model, v1alpha1.VersionLabel: version}
}

func put(into, fields map[string]any) {
	for key, value := range fields {
		into[key] = value
	}
}

// manifest is an InferenceService with a predictor. KServe hands labels and annotations on to
// pods, so those of an InferenceService that serves several versions must not name one: each
// step of a promotion would start pods anew.
func (t template) manifest(w Want, name, version string, predictor map[string]any) map[string]any {
	spec := clone(t.spec)
	spec["predictor"] = predictor
	labels, annotations := anyMap(t.metadata.Labels), anyMap(t.metadata.Annotations)
	put(labels, labelsOf(w, version))
	annotations[modeAnnotation] = t.mode
	return map[string]any{
		"apiVersion": kserveGroup + "/v1beta1", "kind": "InferenceService",
		"metadata": map[string]any{"name": name, "namespace": w.Namespace, "labels": labels, "annotations": annotations},
		"spec":     spec,
	}
}

// artifactOf reads the version that a predictor of a live InferenceService serves.
func artifactOf(predictor map[string]any) Version {
	v := Version{
		Name: text(predictor, "labels", v1alpha1.VersionLabel),
		URI:  text(predictor, "model", "storageUri"),
		Format: v1alpha1.ModelFormat{
			Name: text(predictor, "model", "modelFormat", "name"), Version: text(predictor, "model", "modelFormat", "version"),
		},
	}
	if server := serverOf(predictor); predictor["model"] == nil && server != nil {
		for _, variable := range list(server, "env") {
			if text(variable, "name") == artifactVariable {
				v.URI = text(variable, "value")
			}
		}
	}
	return v
}
