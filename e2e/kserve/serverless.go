package kserve

import (
	"context"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// serverless is the Knative mode: a Knative Service with the template and the traffic, and what
// that says.
func (s *StandIn) serverless(ctx context.Context, isvc *unstructured.Unstructured, st status, main predictor, _ []canary) (time.Duration, error) {
	ksvc, err := s.knativeService(ctx, isvc, st, main)
	if err != nil {
		return 0, err
	}
	of := statusOf(ksvc)
	component := st.at("components", "predictor")
	noteRevisions(component, of)
	for _, field := range []string{"traffic", "url"} {
		if of[field] != nil {
			component[field] = of[field]
		}
	}
	for own, its := range map[string]string{"PredictorReady": "Ready", "PredictorRouteReady": "RoutesReady", "PredictorConfigurationReady": "ConfigurationsReady"} {
		c := of.condition(its)
		c.name = own
		if own != "PredictorReady" {
			c.severity = "Info"
		}
		st.mark(c)
	}
	for own, its := range map[string]string{"RoutesReady": "PredictorRouteReady", "LatestDeploymentReady": "PredictorConfigurationReady"} {
		c := st.condition(its)
		if c.value != "True" {
			c.reason, c.message = its+" not ready", ""
		}
		c.name = own
		st.mark(c)
	}
	if of["observedGeneration"] != nil {
		st["observedGeneration"] = of["observedGeneration"]
	}
	if st.condition("PredictorReady").value == "True" {
		st["url"] = host(isvc.GetName(), isvc.GetNamespace())
		st["address"] = map[string]any{"url": inside(isvc.GetName(), isvc.GetNamespace())}
		st.mark(condition{name: "IngressReady", value: "True"})
	}
	st.sum("PredictorReady", "IngressReady")
	created, _ := of["latestCreatedRevisionName"].(string)
	l, err := s.loading(ctx, isvc.GetNamespace(), client.MatchingLabels{revisionLabel: created})
	if err != nil {
		return 0, err
	}
	failed := false
	for _, name := range []string{"Ready", "ConfigurationsReady", "RoutesReady"} {
		failed = failed || of.condition(name).value == "False"
	}
	switch {
	case l.failed != "" || l.pods == 0 && failed:
		transition(st, l, "FailedToLoad")
	case l.pods > 0 && st.condition("Ready").value == "True" && component["latestCreatedRevision"] == component["latestReadyRevision"]:
		transition(st, l, "Loaded")
	default:
		transition(st, l, "Pending")
	}
	return lookAgain, nil
}

// knativeService creates or changes the Knative Service, and returns it as it was before the
// change: KServe's status is a step behind.
func (s *StandIn) knativeService(ctx context.Context, isvc *unstructured.Unstructured, st status, main predictor) (*unstructured.Unstructured, error) {
	labels, annotations := metadata(isvc, main)
	if main.minReplicas != nil && *main.minReplicas == 0 {
		annotations["autoscaling.knative.dev/min-scale"] = "0"
	}
	spec := map[string]any{
		"template": map[string]any{
			"metadata": map[string]any{"labels": texts(labels), "annotations": texts(annotations)},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": container, "image": "model-server"}}},
		},
		"traffic": trafficOf(st, main),
	}
	live, err := s.get(ctx, knativeKind, key(isvc, child(isvc.GetName(), main)))
	if err != nil {
		return nil, err
	}
	if live == nil {
		live = objectOf(knativeKind)
		live.SetNamespace(isvc.GetNamespace())
		live.SetName(child(isvc.GetName(), main))
		live.Object["spec"] = spec
		if err := controllerutil.SetControllerReference(isvc, live, scheme()); err != nil {
			return nil, err
		}
		return live, s.client.Create(ctx, live)
	}
	if reflect.DeepEqual(live.Object["spec"], any(runtime.DeepCopyJSON(spec))) {
		return live, nil
	}
	live.Object["spec"] = spec
	return live, s.client.Update(ctx, live)
}

// trafficOf gives the percent to the revision that got ready last, and the rest to the one that
// had everything last. Without a percent, or such a revision, the former has everything.
func trafficOf(st status, main predictor) []any {
	former, _ := st.at("components", "predictor")["latestRolledoutRevision"].(string)
	if main.percent == nil || former == "" {
		return []any{map[string]any{"latestRevision": true, "percent": int64(100)}}
	}
	targets := []any{map[string]any{"latestRevision": true, "percent": *main.percent}}
	if *main.percent < 100 {
		targets = append(targets, map[string]any{"revisionName": former, "latestRevision": false, "percent": 100 - *main.percent, "tag": "prev"})
	}
	return targets
}

// noteRevisions is how KServe keeps track of which revision had everything.
func noteRevisions(component map[string]any, of status) {
	created, _ := of["latestCreatedRevisionName"].(string)
	ready, _ := of["latestReadyRevisionName"].(string)
	targets, _ := of["traffic"].([]any)
	sum := map[string]int64{}
	for _, target := range targets {
		target, _ := target.(map[string]any)
		percent, _ := target["percent"].(int64)
		name, _ := target["revisionName"].(string)
		sum[name] += percent
	}
	for _, target := range targets {
		target, _ := target.(map[string]any)
		percent, _ := target["percent"].(int64)
		if target["revisionName"] != ready || target["latestRevision"] != true {
			continue
		}
		former, _ := component["previousRolledoutRevision"].(string)
		switch {
		case component["latestRolledoutRevision"] != ready && percent == 100:
			if component["latestRolledoutRevision"] != nil {
				component["previousRolledoutRevision"] = component["latestRolledoutRevision"]
			}
			component["latestRolledoutRevision"] = ready
		case component["latestRolledoutRevision"] == ready && ready == created && percent < 100 && sum[ready] == 100 && former != "":
			component["latestRolledoutRevision"] = former
		}
	}
	component["latestCreatedRevision"], component["latestReadyRevision"] = created, ready
}

func texts(m map[string]string) map[string]any {
	all := map[string]any{}
	for k, v := range m {
		all[k] = v
	}
	return all
}
