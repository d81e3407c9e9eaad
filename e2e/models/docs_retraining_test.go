package models_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/fill"
	"github.com/sluice-dev/sluice/agent/retrain"
	"github.com/sluice-dev/sluice/e2e/rig"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// partOfRetraining tells whether a document is some fields of the spec of a Retraining.
func partOfRetraining(o map[string]any) bool {
	text, err := yaml.Marshal(o)
	return err == nil && yaml.UnmarshalStrict(text, &v1alpha1.RetrainingSpec{}) == nil
}

// retrainer is the account that may do what all engines need, by the documentation.
var retrainer = types.NamespacedName{Namespace: "fraud", Name: "retrainer"}

// employ makes that account, with the rights that the page of the engines gives it and no others.
func employ(t *testing.T, r *rig.Rig, all []document) {
	t.Helper()
	if err := r.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: retrainer.Namespace}}); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		var o unstructured.Unstructured
		if !strings.HasPrefix(d.where, "docs/engines.md:") || yaml.Unmarshal([]byte(d.text), &o.Object) != nil ||
			o.GroupVersionKind().Group != rbacv1.GroupName && o.GetKind() != "ServiceAccount" {
			continue
		}
		r.Create(&o)
		t.Cleanup(func() {
			if err := r.Client.Delete(context.Background(), &o); err != nil {
				t.Error(err)
			}
		})
	}
	r.Eventually("the account has its rights", func() (bool, string) {
		may := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               userOf(retrainer),
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: retrainer.Namespace, Verb: "create", Group: "batch", Resource: "jobs"},
		}}
		if err := r.Client.Create(t.Context(), may); err != nil {
			return false, err.Error()
		}
		return may.Status.Allowed, may.Status.Reason
	})
}

func userOf(account types.NamespacedName) string {
	return "system:serviceaccount:" + account.Namespace + ":" + account.Name
}

// inNameOf is a client of the account of a Retraining.
func inNameOf(t *testing.T, r *rig.Rig, retraining *v1alpha1.Retraining) client.Client {
	t.Helper()
	account := types.NamespacedName{Namespace: retraining.Namespace, Name: retraining.Spec.ServiceAccountName}
	if account != retrainer { // the documentation does not say what others may do
		return r.Client
	}
	config := rest.CopyConfig(r.Cluster.Config())
	config.Impersonate = rest.ImpersonationConfig{UserName: userOf(account)}
	c, err := client.New(config, client.Options{Mapper: r.Client.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inRetraining puts fields of a spec into a Retraining that has what is needed besides.
func inRetraining(spec map[string]any) map[string]any {
	for field, value := range map[string]any{"model": "fraud", "serviceAccountName": retrainer.Name, "run": map[string]any{"workflow": map[string]any{"template": "fraud-train"}}} {
		if _, has := spec[field]; !has {
			spec[field] = value
		}
	}
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": v1alpha1.RetrainingKind,
		"metadata": map[string]any{"name": "fraud", "namespace": retrainer.Namespace}, "spec": spec,
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
// takes it from the account; and of a pipeline its package, whether the parameters fit. Returned is what is run.
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
	accepted(t, r, inNameOf(t, r, &retraining), object)
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
