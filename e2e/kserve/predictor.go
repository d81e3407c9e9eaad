package kserve

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// predictor is what is looked at of a predictor.
type predictor struct {
	name, uri, runtime, modelName string
	labels, annotations           map[string]string
	minReplicas                   *int64
	scales                        bool // it has fields of an autoscaler
	percent                       *int64
}

// canary is an entry of spec.canary.
type canary struct {
	predictor
	percent int64
}

func predictorOf(fields map[string]any) predictor {
	text := func(path ...string) string { text, _, _ := unstructured.NestedString(fields, path...); return text }
	whole := func(name string) *int64 {
		n, found, err := unstructured.NestedInt64(fields, name)
		if !found || err != nil {
			return nil
		}
		return &n
	}
	p := predictor{
		name: text("name"), uri: text("model", "storageUri"), runtime: text("model", "runtime"), modelName: text("model", "name"),
		minReplicas: whole("minReplicas"), percent: whole("canaryTrafficPercent"),
	}
	p.labels, _, _ = unstructured.NestedStringMap(fields, "labels")
	p.annotations, _, _ = unstructured.NestedStringMap(fields, "annotations")
	for _, field := range []string{"maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"} {
		p.scales = p.scales || fields[field] != nil
	}
	if fields["model"] == nil {
		p.uri = variable(fields, "STORAGE_URI")
	}
	return p
}

// variable finds an environment variable of the container that serves.
func variable(fields map[string]any, name string) string {
	containers, _, _ := unstructured.NestedSlice(fields, "containers")
	for _, c := range containers {
		c, _ := c.(map[string]any)
		env, _, _ := unstructured.NestedSlice(c, "env")
		for _, v := range env {
			if v, _ := v.(map[string]any); c["name"] == container && v["name"] == name {
				value, _ := v["value"].(string)
				return value
			}
		}
	}
	return ""
}

func predictorsOf(isvc *unstructured.Unstructured) (main predictor, canaries []canary) {
	fields, _, _ := unstructured.NestedMap(isvc.Object, "spec", "predictor")
	main = predictorOf(fields)
	entries, _, _ := unstructured.NestedSlice(isvc.Object, "spec", "canary")
	for _, entry := range entries {
		entry, _ := entry.(map[string]any)
		of, _ := entry["predictor"].(map[string]any)
		percent, _ := entry["trafficPercent"].(int64)
		canaries = append(canaries, canary{main.overlaid(predictorOf(of)), percent})
	}
	return main, canaries
}

// overlaid is a canary as KServe sees it: the main predictor with the canary's fields over it.
func (p predictor) overlaid(with predictor) predictor {
	union := func(a, b map[string]string) map[string]string {
		all := map[string]string{}
		maps.Copy(all, a)
		maps.Copy(all, b)
		return all
	}
	with.labels, with.annotations = union(p.labels, with.labels), union(p.annotations, with.annotations)
	if with.uri == "" {
		with.uri = p.uri
	}
	if with.runtime == "" {
		with.runtime = p.runtime
	}
	return with
}

// least is how many replicas a predictor has at least.
func (p predictor) least() int64 {
	if p.minReplicas == nil {
		return 1
	}
	return *p.minReplicas
}

// replicas of a canary: as it says, or its percent of the main predictor's.
func (c canary) replicas(main predictor) int64 {
	if c.minReplicas != nil {
		return *c.minReplicas
	}
	return (main.least()*c.percent + 99) / 100
}

// child is the name of a predictor's Deployment, Service, or Knative Service.
func child(isvc string, p predictor) string {
	if p.name == "" {
		return isvc + "-predictor"
	}
	return isvc + "-" + p.name + "-predictor"
}

func (p predictor) broken() bool        { return strings.Contains(p.uri, "broken") }
func (p predictor) unschedulable() bool { return strings.Contains(p.uri, "unschedulable") }
func (p predictor) missing() bool       { return strings.Contains(p.runtime, "missing") }
