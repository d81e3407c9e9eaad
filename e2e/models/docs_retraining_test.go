package models_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/fill"
	"github.com/sluice-dev/sluice/agent/retrain"
	"github.com/sluice-dev/sluice/e2e/rig"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// partOfRetraining tells whether a document is some fields of the spec of a Retraining.
func partOfRetraining(o map[string]any) bool {
	text, err := yaml.Marshal(o)
	return err == nil && yaml.UnmarshalStrict(text, &v1alpha1.RetrainingSpec{}) == nil
}

// inRetraining puts fields of a spec into a Retraining that has what is needed besides.
func inRetraining(spec map[string]any) map[string]any {
	for field, value := range map[string]any{"model": "fraud", "run": map[string]any{"workflow": map[string]any{"template": "fraud-train"}}} {
		if _, has := spec[field]; !has {
			spec[field] = value
		}
	}
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.RetrainingKind,
		"metadata": map[string]any{"name": "fraud", "namespace": "fraud"}, "spec": spec,
	}
}

// fraudTrain is the package of the pipeline that the documentation runs.
const fraudTrain = `components:
  comp-train:
    executorLabel: exec-train
deploymentSpec:
  executors:
    exec-train: {container: {image: registry.example.com/fraud-train:4}}
pipelineInfo: {name: fraud-train}
root:
  dag:
    tasks:
      train:
        componentRef: {name: comp-train}
        taskInfo: {name: train}
  inputDefinitions:
    parameters:
      data: {parameterType: STRING}
      rows: {parameterType: NUMBER_INTEGER, defaultValue: 1000}
      columns: {parameterType: LIST, isOptional: true}
      grid: {parameterType: STRUCT, isOptional: true}
      result: {parameterType: STRING, isOptional: true}
schemaVersion: 2.1.0
sdkVersion: kfp-2.14.0
`

// validRetraining checks what the agent checks and the API server does not see, fills the templates in, and
// makes what the engine would make of it. Where the cluster knows the kind of that, it is asked whether it
// takes it; and of a pipeline its package, whether the parameters fit. Returned is what is run.
func validRetraining(t *testing.T, r *rig.Rig, o unstructured.Unstructured) string {
	t.Helper()
	var retraining v1alpha1.Retraining
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	strictly(t, text, &retraining)
	spec := retraining.Spec
	slot := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	if err := retrain.Check(&retraining); err != nil {
		t.Error(err)
	}
	values := fill.Values{
		Slot: slot, Run: "fraud-20261125-0300", Attempt: 1, LastSuccess: slot.Add(-7 * 24 * time.Hour), Model: spec.Model, Revision: "main@sha1:4f2a9c1",
		Versions: map[string]string{"staging": "v8", "production": "v7"}, Data: &fill.Data{Fingerprint: "9f2c", Count: 12, Newest: slot.Add(-time.Hour)},
	}
	run := filled(t, spec.Run, values)
	if spec.Result != nil {
		filled(t, *spec.Result, values)
	}
	if run.KFP != nil {
		fits(t, run)
		return "kfp"
	}
	object, err := engine.Build(engine.Run{
		Namespace: retraining.Namespace, Record: values.Run, UID: "3f2a", Retraining: retraining.Name, Name: engine.Name(values.Run, 1), Template: run, Parameters: run.Parameters,
	})
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, r, object)
	return object.GetKind()
}

// fits checks the parameters of a run of the pipeline fraud-train.
func fits(t *testing.T, run v1alpha1.RunTemplate) {
	t.Helper()
	if run.KFP.Pipeline != "fraud-train" {
		t.Fatalf("the pipeline %s is not known here: have its package here, too", run.KFP.Pipeline)
	}
	p, err := kfp.ReadPackage([]byte(fraudTrain))
	if err != nil {
		t.Fatal(err)
	}
	var others json.RawMessage
	if run.KFP.Values != nil {
		others = run.KFP.Values.Raw
	}
	if _, err := p.Values(run.Parameters, others); err != nil {
		t.Error(err)
	}
}

// filled is a part of a spec with its texts filled in.
func filled[T any](t *testing.T, what T, v fill.Values) (done T) {
	t.Helper()
	raw, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	d, err := fill.ParseJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = d.Fill(v); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &done); err != nil {
		t.Fatal(err)
	}
	return done
}
