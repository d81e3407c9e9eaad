package serving_test

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/serving"
)

// definition is the part of KServe's CustomResourceDefinition that tells releases apart.
func definition(t *testing.T, spec string) map[string]any {
	t.Helper()
	var object map[string]any
	err := yaml.Unmarshal([]byte(`
spec:
  versions:
  - {name: v1alpha2, served: true}
  - name: v1beta1
    served: true
    schema:
      openAPIV3Schema:
        properties:
          spec: `+spec), &object)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

const (
	kserve015     = `{type: object, properties: {predictor: {type: object, properties: {model: {type: object}}}}}`
	kserve016     = `{type: object, properties: {predictor: {type: object, properties: {model: {type: object}, storageUris: {type: array}}}}}`
	kserve020     = `{type: object, properties: {canary: {type: array}, predictor: {type: object, properties: {storageUris: {type: array}}}}}`
	kserveMinimal = `{type: object, x-kubernetes-preserve-unknown-fields: true}`
)

func TestAbilities(t *testing.T) {
	routed := map[string]string{"deploy": `{"defaultDeploymentMode": "Standard"}`, "ingress": `{"enableGatewayApi": true}`}
	serverless := map[string]string{"deploy": `{"defaultDeploymentMode": "Serverless"}`, "ingress": `{"enableGatewayApi": false}`}
	notServed := definition(t, kserve020)
	notServed["spec"].(map[string]any)["versions"].([]any)[1].(map[string]any)["served"] = false
	for name, test := range map[string]struct {
		found serving.Found
		want  serving.Abilities
	}{
		"nothing":                      {serving.Found{}, serving.Abilities{Mode: "Standard"}},
		"not served":                   {serving.Found{Definition: notServed, HTTPRoutes: true}, serving.Abilities{Gateway: true, Mode: "Standard"}},
		"0.15":                         {serving.Found{Definition: definition(t, kserve015), InferenceGraphs: true}, serving.Abilities{KServe: true, Graph: true, Mode: "Standard"}},
		"0.15 with Knative":            {serving.Found{Definition: definition(t, kserve015), KnativeServices: true}, serving.Abilities{KServe: true, Knative: true, Mode: "Knative"}},
		"0.16 of Kubeflow":             {serving.Found{Definition: definition(t, kserve016), KnativeServices: true, Config: serverless}, serving.Abilities{KServe: true, Knative: true, Renamed: true, Mode: "Knative"}},
		"0.16, by default Standard":    {serving.Found{Definition: definition(t, kserve016), KnativeServices: true, Config: routed}, serving.Abilities{KServe: true, Knative: true, Renamed: true, Mode: "Standard"}},
		"0.20":                         {serving.Found{Definition: definition(t, kserve020), HTTPRoutes: true, Config: routed}, serving.Abilities{KServe: true, Gateway: true, Canary: true, Renamed: true, Mode: "Standard"}},
		"0.20, settings unknown":       {serving.Found{Definition: definition(t, kserve020), HTTPRoutes: true}, serving.Abilities{KServe: true, Gateway: true, Canary: true, Renamed: true, Mode: "Standard"}},
		"0.20 without Gateway API":     {serving.Found{Definition: definition(t, kserve020), Config: routed}, serving.Abilities{KServe: true, Renamed: true, Mode: "Standard"}},
		"0.20 with Ingresses":          {serving.Found{Definition: definition(t, kserve020), HTTPRoutes: true, Config: serverless}, serving.Abilities{KServe: true, Gateway: true, Renamed: true, Mode: "Knative"}},
		"minimal definition":           {serving.Found{Definition: definition(t, kserveMinimal), HTTPRoutes: true}, serving.Abilities{KServe: true, Gateway: true, Mode: "Standard"}},
		"minimal definition, settings": {serving.Found{Definition: definition(t, kserveMinimal), Config: routed}, serving.Abilities{KServe: true, Renamed: true, Mode: "Standard"}},
		"settings that are none":       {serving.Found{Definition: definition(t, kserve015), Config: map[string]string{"deploy": "{", "ingress": "7"}}, serving.Abilities{KServe: true, Mode: "Standard"}},
		"a mode for many models":       {serving.Found{Definition: definition(t, kserve015), Config: map[string]string{"deploy": `{"defaultDeploymentMode": "ModelMesh"}`}}, serving.Abilities{KServe: true, Mode: "Standard"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := serving.AbilitiesOf(test.found); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestMeans(t *testing.T) {
	gateway := &v1alpha1.GatewayReference{Name: "public"}
	behind := func(s v1alpha1.Serving) v1alpha1.Serving {
		if s.KServe != nil {
			s.KServe.Gateway = gateway
		} else {
			s.Deployment.Gateway = gateway
		}
		return s
	}
	all := serving.Abilities{KServe: true, Canary: true, Renamed: true, Mode: "Standard", Graph: true, Gateway: true, Knative: true}
	for _, test := range []struct {
		serving v1alpha1.Serving
		can     serving.Abilities
		want    string
		splits  bool
	}{
		{deployed(server), all, "Deployment, all traffic at once: spec.serving.deployment.gateway names no Gateway", false},
		{behind(deployed(server)), all, "Deployment, canaries by an HTTPRoute", true},
		{behind(deployed(server)), serving.Abilities{}, "Deployment, all traffic at once: no Gateway API is installed", false},
		{kserve(`{}`), all, "KServe in Standard mode, canaries by spec.canary", true},
		{inMode(kserve(`{}`), "Knative"), all, "KServe in Knative mode, canaries by canaryTrafficPercent", true},
		{kserve(`{"transformer":{}}`), all, "KServe in Standard mode with an InferenceService for each version, canaries by an InferenceGraph", true},
		{behind(kserve(`{"predictor":{"workerSpec":{}}}`)), all, "KServe in Standard mode with an InferenceService for each version, canaries by an HTTPRoute", true},
		{kserve(`{}`), serving.Abilities{KServe: true, Mode: "Standard"}, "KServe in Standard mode with an InferenceService for each version, all traffic at once: the cluster has no InferenceGraphs, and spec.serving.kserve.gateway names no Gateway", false},
		{inMode(kserve(`{}`), "Knative"), serving.Abilities{KServe: true, Mode: "Standard"}, "KServe's Knative mode needs Knative Serving, and the cluster has no kind Service.serving.knative.dev: install it, or set spec.serving.kserve.mode to Standard", false},
		{kserve(`[]`), all, "spec.serving.kserve.template is not an object: give it the spec of an InferenceService", false},
	} {
		if got := serving.Means(test.serving, test.can); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if got := serving.Splits(test.serving, test.can); got != test.splits {
			t.Errorf("%s: splits %v", test.want, got)
		}
	}
}

func inMode(s v1alpha1.Serving, mode string) v1alpha1.Serving {
	s.KServe.Mode = mode
	return s
}

func TestLayout(t *testing.T) {
	for _, test := range []struct {
		serving v1alpha1.Serving
		can     serving.Abilities
		want    string
	}{
		{deployed(server), serving.Abilities{}, "Deployment"},
		{inMode(kserve(`{}`), "Knative"), serving.Abilities{KServe: true, Knative: true}, "Knative"},
		{inMode(kserve(`{}`), "Standard"), serving.Abilities{KServe: true, Canary: true}, "Standard"},
		{inMode(kserve(`{}`), "Standard"), serving.Abilities{KServe: true}, "SideBySide"},
		{inMode(kserve(`{}`), "Standard"), serving.Abilities{}, ""},
		{v1alpha1.Serving{}, serving.Abilities{}, ""},
	} {
		if got := serving.Layout(test.serving, test.can); got != test.want {
			t.Errorf("%+v: %q, want %q", test.can, got, test.want)
		}
	}
}

// While it is scaled, a Deployment is not ready, and some of its pods still answer.
func TestUp(t *testing.T) {
	want := serving.Want{Model: "fraud", Stage: "production", Namespace: "fraud", Serving: deployed(server), Stable: &serving.Version{Name: "v7", URI: "s3://m/v7"}}
	manifests, err := serving.Objects(want, serving.Abilities{})
	if err != nil {
		t.Fatal(err)
	}
	ref := agent.Ref{Group: "apps", Kind: "Deployment", Namespace: "fraud", Name: "fraud-v7"}
	for available, up := range map[int64]bool{0: false, 1: true} {
		deployment := manifests[0]
		deployment["spec"].(map[string]any)["replicas"] = int64(2)
		deployment["status"] = map[string]any{"replicas": int64(2), "updatedReplicas": int64(2), "availableReplicas": available}
		state := serving.Observe(want, serving.Abilities{}, map[agent.Ref]map[string]any{ref: deployment})
		if state.Stable.Ready || state.Stable.Up != up {
			t.Errorf("with %d of 2 replicas it is %+v", available, state.Stable)
		}
	}
}

func TestServiceOf(t *testing.T) {
	all := serving.Abilities{KServe: true, Canary: true, Renamed: true, Mode: "Standard", Graph: true, Gateway: true, Knative: true}
	before := serving.Abilities{KServe: true, Mode: "Standard"}
	inKnative := kserve(`{}`)
	inKnative.KServe.Mode = "Knative"
	for _, test := range []struct {
		serving       v1alpha1.Serving
		version, want string
		can           serving.Abilities
	}{
		{deployed(server), "v8", "fraud-v8", all},
		{deployed(server), "8", "fraud-8", all},
		{kserve(`{}`), "v8", "fraud-v8-predictor", all},
		{kserve(`{}`), "8", "fraud-v-8-predictor", all},
		{kserve(`{}`), "v8", "fraud-v8-predictor", before},
		{inKnative, "v8", "fraud-predictor", all},
		{inKnative, "v8", "", before},
		{deployed(server), "", "", all},
	} {
		if got := serving.ServiceOf(serving.Want{Model: "fraud", Serving: test.serving}, test.version, test.can); got != test.want {
			t.Errorf("%s: got %q, want %q", test.version, got, test.want)
		}
	}
}
