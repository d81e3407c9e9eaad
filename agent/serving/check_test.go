package serving_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/serving"
)

func kserve(template string) v1alpha1.Serving {
	return v1alpha1.Serving{KServe: &v1alpha1.KServeServing{Template: apiextensionsv1.JSON{Raw: []byte(template)}}}
}

func deployed(template string) v1alpha1.Serving {
	return v1alpha1.Serving{Deployment: &v1alpha1.DeploymentServing{Port: 8080, Template: apiextensionsv1.JSON{Raw: []byte(template)}}}
}

const server = `{"template":{"spec":{"containers":[{"name":"server"}]}}}`

func TestCheck(t *testing.T) {
	with := func(s v1alpha1.Serving, edit func(*v1alpha1.Serving)) v1alpha1.Serving { edit(&s); return s }
	labelled := &v1alpha1.CommonMetadata{Labels: map[string]string{v1alpha1.VersionLabel: "v1"}}
	const k, p, d = "spec.serving.kserve.template", "spec.serving.kserve.template.predictor", "spec.serving.deployment"
	for name, test := range map[string]struct {
		serving v1alpha1.Serving
		want    string
	}{
		"neither":              {v1alpha1.Serving{}, "spec.serving has to have exactly one of kserve and deployment"},
		"both":                 {v1alpha1.Serving{KServe: kserve(`{}`).KServe, Deployment: deployed(server).Deployment}, "spec.serving has to have exactly one of kserve and deployment"},
		"nothing is needed":    {kserve(`{}`), ""},
		"empty":                {kserve(``), k + " is not an object: give it the spec of an InferenceService"},
		"null":                 {kserve(`null`), k + " is not an object: give it the spec of an InferenceService"},
		"list":                 {kserve(`[]`), k + " is not an object: give it the spec of an InferenceService"},
		"text":                 {kserve(`"predictor"`), k + " is not an object: give it the spec of an InferenceService"},
		"canary":               {kserve(`{"canary":[]}`), k + ".canary is set, and canaries are the agent's: remove it and give the stage spec.stages[].rollout.canary"},
		"predictor":            {kserve(`{"predictor":[]}`), p + " is not an object"},
		"percent":              {kserve(`{"predictor":{"canaryTrafficPercent":10}}`), p + ".canaryTrafficPercent is set, and traffic is the agent's: remove it and give the stage spec.stages[].rollout.canary"},
		"transformer's":        {kserve(`{"transformer":{"canaryTrafficPercent":null}}`), k + ".transformer.canaryTrafficPercent is set, and traffic is the agent's: remove it and give the stage spec.stages[].rollout.canary"},
		"label":                {kserve(`{"predictor":{"labels":{"sluice.dev/stage":"x"}}}`), p + ".labels sets sluice.dev/stage, which the agent sets: remove it"},
		"labels":               {kserve(`{"predictor":{"labels":[]}}`), p + ".labels is not a mapping of labels"},
		"name":                 {kserve(`{"predictor":{"name":"v7"}}`), p + ".name is set, and the agent names predictors after versions: remove it"},
		"many artifacts":       {kserve(`{"predictor":{"storageUris":[]}}`), p + ".storageUris is set: the artifact is that of the version, remove it"},
		"artifact":             {kserve(`{"predictor":{"model":{"storageUri":"s3://a/b"}}}`), p + ".model.storageUri is set: the artifact is that of the version, remove it"},
		"framework's artifact": {kserve(`{"predictor":{"sklearn":{"storageUri":"s3://a/b"}}}`), p + ".sklearn.storageUri is set: the artifact is that of the version, remove it"},
		"storage path":         {kserve(`{"predictor":{"model":{"storage":{"path":"a"}}}}`), p + ".model.storage.path is set: the artifact is that of the version, remove it"},
		"storage key":          {kserve(`{"predictor":{"model":{"storage":{"key":"minio"}}}}`), ""},
		"model's name":         {kserve(`{"predictor":{"model":{"name":"x"}}}`), p + ".model.name is set, which KServe does not take: remove it"},
		"two models":           {kserve(`{"predictor":{"model":{},"onnx":{}}}`), p + " has both onnx and model: keep one"},
		"model":                {kserve(`{"predictor":{"model":"sklearn"}}`), p + ".model is not an object"},
		"format":               {kserve(`{"predictor":{"model":{"modelFormat":"sklearn"}}}`), p + ".model.modelFormat is not an object"},
		"minReplicas":          {kserve(`{"predictor":{"minReplicas":"two"}}`), p + ".minReplicas is not a whole number"},
		"half a replica":       {kserve(`{"predictor":{"minReplicas":0.5}}`), p + ".minReplicas is not a whole number"},
		"never loaded":         {kserve(`{"predictor":{"annotations":{"autoscaling.knative.dev/initial-scale":"0"}}}`), p + ".annotations sets autoscaling.knative.dev/initial-scale to 0: a version would count as ready without being loaded, remove it"},
		"annotations":          {kserve(`{"predictor":{"annotations":"x"}}`), p + ".annotations is not a mapping of annotations"},
		"own container":        {kserve(`{"predictor":{"containers":[{"name":"x"}]}}`), ""},
		"no server":            {kserve(`{"predictor":{"containers":[{"name":"x"},{"name":"y"}]}}`), p + " has neither a model nor a container named kserve-container: one of them serves"},
		"no containers":        {kserve(`{"predictor":{"containers":[]}}`), p + " has neither a model nor a container named kserve-container: one of them serves"},
		"containers":           {kserve(`{"predictor":{"containers":["x"]}}`), p + ".containers is not a list of containers"},
		"container's artifact": {kserve(`{"predictor":{"containers":[{"name":"kserve-container","env":[{"name":"STORAGE_URI"}]}]}}`), p + ".containers sets STORAGE_URI: the artifact is that of the version, remove it"},
		"container's env":      {kserve(`{"predictor":{"containers":[{"name":"kserve-container","env":{}}]}}`), p + ".containers: env of kserve-container is not a list of variables"},
		"mode":                 {with(kserve(`{}`), func(s *v1alpha1.Serving) { s.KServe.Mode = "Serverless" }), `spec.serving.kserve.mode is "Serverless": KServe has the modes Standard and Knative`},
		"mode by annotation": {with(kserve(`{}`), func(s *v1alpha1.Serving) {
			s.KServe.Metadata = &v1alpha1.CommonMetadata{Annotations: map[string]string{"serving.kserve.io/deploymentMode": "Standard"}}
		}), "spec.serving.kserve.metadata.annotations sets serving.kserve.io/deploymentMode: set spec.serving.kserve.mode instead"},
		"own label":     {with(kserve(`{}`), func(s *v1alpha1.Serving) { s.KServe.Metadata = labelled }), "spec.serving.kserve.metadata.labels sets sluice.dev/version, which the agent sets: remove it"},
		"no gateway":    {with(kserve(`{}`), func(s *v1alpha1.Serving) { s.KServe.Gateway = &v1alpha1.GatewayReference{} }), "spec.serving.kserve.gateway.name is empty: name a Gateway"},
		"relative path": {with(kserve(`{}`), func(s *v1alpha1.Serving) { s.KServe.Gateway = &v1alpha1.GatewayReference{Name: "g", Path: "score"} }), "spec.serving.kserve.gateway.path has to begin with '/'"},

		"a Deployment":          {deployed(server), ""},
		"no Deployment":         {deployed(`7`), d + ".template is not an object: give it the spec of a Deployment"},
		"selector":              {deployed(`{"selector":null}`), d + ".template.selector is set, and pods are chosen by the agent's labels: remove it"},
		"no pods":               {deployed(`{"replicas":1}`), d + ".template.template is not there: give it the template of the pods"},
		"pods without spec":     {deployed(`{"template":{}}`), d + ".template.template.spec.containers has no container: give it the one that serves the model"},
		"pods' spec":            {deployed(`{"template":{"spec":[]}}`), d + ".template.template.spec is not an object"},
		"pods' metadata":        {deployed(`{"template":{"metadata":"x"}}`), d + ".template.template.metadata is not an object"},
		"pods' label":           {deployed(`{"template":{"metadata":{"labels":{"sluice.dev/model":"x"}}}}`), d + ".template.template.metadata.labels sets sluice.dev/model, which the agent sets: remove it"},
		"pods' annotations":     {deployed(`{"template":{"metadata":{"annotations":[]}}}`), d + ".template.template.metadata.annotations is not a mapping of annotations"},
		"no container in it":    {deployed(`{"template":{"spec":{"containers":[]}}}`), d + ".template.template.spec.containers has no container: give it the one that serves the model"},
		"not a container in it": {deployed(`{"template":{"spec":{"containers":["x"]}}}`), d + ".template.template.spec.containers has no container: give it the one that serves the model"},
		"port":                  {with(deployed(server), func(s *v1alpha1.Serving) { s.Deployment.Port = 0 }), d + ".port and servicePort have to be from 1 to 65535"},
		"Deployment's label":    {with(deployed(server), func(s *v1alpha1.Serving) { s.Deployment.Metadata = labelled }), d + ".metadata.labels sets sluice.dev/version, which the agent sets: remove it"},
		"Deployment's gateway":  {with(deployed(server), func(s *v1alpha1.Serving) { s.Deployment.Gateway = &v1alpha1.GatewayReference{} }), d + ".gateway.name is empty: name a Gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := serving.Check(test.serving); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRefusedWants(t *testing.T) {
	v7 := serving.Version{Name: "v7", URI: "s3://models/fraud/v7"}
	for name, test := range map[string]struct {
		edit func(*serving.Want)
		want string
	}{
		"model":     {func(w *serving.Want) { w.Model = "Fraud" }, `the name of the Model, "Fraud", has to be at most 48 lower-case letters, digits and '-', a letter first`},
		"stage":     {func(w *serving.Want) { w.Stage = "" }, `the name of the stage, "", cannot be a label: use letters, digits and '-'`},
		"namespace": {func(w *serving.Want) { w.Namespace = "a/b" }, `the namespace "a/b" of stage production is no name of a namespace`},
		"traffic":   {func(w *serving.Want) { w.Traffic = 101 }, "a candidate cannot have 101 percent of the traffic"},
		"version": {func(w *serving.Want) { w.Stable = &serving.Version{Name: "v 7", URI: "s3://x"} },
			`the version "v 7" cannot be a label: give it a name of at most 63 letters, digits, '-', '_' and '.'`},
		"artifact": {func(w *serving.Want) { w.Candidate = &serving.Version{Name: "v8"} }, "version v8 has no artifact: give its ModelVersion spec.artifact.uri"},
		"names": {func(w *serving.Want) {
			w.Stable = &serving.Version{Name: "V8", URI: "s3://x"}
			w.Retiring = []serving.Version{{Name: "v8-86348e", URI: "s3://y"}}
		}, "versions V8 and v8-86348e would both be called fraud-v8-86348e in the cluster: rename one"},
		"no KServe": {func(w *serving.Want) { w.Serving = kserve(`{}`) },
			"KServe is not installed: the cluster has no kind InferenceService.serving.kserve.io in version v1beta1; install it, or serve by spec.serving.deployment"},
	} {
		t.Run(name, func(t *testing.T) {
			w := serving.Want{Model: "fraud", Stage: "production", Namespace: "prod", Serving: deployed(server), Stable: &v7}
			test.edit(&w)
			objects, err := serving.Objects(w, serving.Abilities{Mode: "Standard"})
			if err == nil || err.Error() != test.want || objects != nil {
				t.Errorf("got  %v %v\nwant %s", objects, err, test.want)
			}
		})
	}
}

// What cannot be served is not ready, and says why, instead of nothing.
func TestImpossible(t *testing.T) {
	w := serving.Want{Model: "fraud", Stage: "production", Namespace: "prod", Serving: kserve(`{}`), Stable: &serving.Version{Name: "v7", URI: "s3://x"}}
	s := serving.Observe(w, serving.Abilities{}, nil)
	if s.Stable.Ready || s.Stable.Failed || s.Stable.Message == "" || s.Message == "" || s.Candidate != (serving.Readiness{}) {
		t.Errorf("%+v", s)
	}
	if refs := serving.Reads(w, serving.Abilities{}); len(refs) != 0 {
		t.Error(refs)
	}
	if next := serving.Next(w, serving.Abilities{}, nil); next.Stable.Name != "v7" || next.Candidate != nil {
		t.Errorf("%+v", next)
	}
}
