package kserve

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// playGraph is KServe's controller of InferenceGraphs in Standard mode: a router that is told its
// steps on the command line. It is not touched while an InferenceService among them has no
// address.
func (s *StandIn) playGraph(ctx context.Context, name types.NamespacedName) (time.Duration, error) {
	graph, err := s.get(ctx, graphKind, name)
	if err != nil || graph == nil || graph.GetDeletionTimestamp() != nil {
		return 0, err
	}
	if wait := s.due(graph); wait > 0 {
		return wait, nil
	}
	spec, backends, err := s.resolved(ctx, graph)
	if err != nil {
		return 0, err
	}
	s.weighed(graph, backends)
	args, err := json.Marshal(spec)
	if err != nil {
		return 0, err
	}
	labels := merged(graph.GetLabels(), map[string]string{"serving.kserve.io/inferencegraph": graph.GetName()})
	d := s.workload(graph.GetNamespace(), graph.GetName(), 1, labels, graph.GetAnnotations(), predictor{})
	d.Spec.Template.Spec.Containers[0] = corev1.Container{Name: graph.GetName(), Image: "router", Args: []string{"--graph-json", string(args)}}
	live, err := s.deploy(ctx, graph, d)
	if err != nil {
		return 0, err
	}
	if err := s.expose(ctx, graph, live); err != nil {
		return 0, err
	}
	st := statusOf(graph)
	if conditionIn(live, appsv1.DeploymentAvailable).Status != corev1.ConditionUnknown { // true or false
		st["url"] = host(graph.GetName(), graph.GetNamespace())
		st.mark(condition{name: "Ready", value: "True"})
		st.mark(condition{name: "Stopped", value: "False"})
	}
	st["observedGeneration"] = live.Status.ObservedGeneration
	s.flow(client.ObjectKeyFromObject(graph), division(backends))
	return 0, s.write(ctx, graph, st)
}

// resolved is the spec with the addresses of its steps.
func (s *StandIn) resolved(ctx context.Context, graph *unstructured.Unstructured) (map[string]any, []backend, error) {
	spec, _, _ := unstructured.NestedMap(graph.Object, "spec")
	steps, _, _ := unstructured.NestedSlice(spec, "nodes", "root", "steps")
	var backends []backend
	for _, step := range steps {
		step := step.(map[string]any)
		service, _ := step["serviceName"].(string)
		isvc, err := s.get(ctx, serviceKind, key(graph, service))
		if err != nil {
			return nil, nil, err
		}
		if isvc == nil {
			return nil, nil, fmt.Errorf("there is no InferenceService %s", service)
		}
		address, _, _ := unstructured.NestedString(isvc.Object, "status", "address", "url")
		if address == "" {
			return nil, nil, fmt.Errorf("service %s is not ready", service)
		}
		step["serviceUrl"] = address + "/v1/models/" + service + ":predict"
		weight, _ := step["weight"].(int64)
		main, _ := predictorsOf(isvc)
		backends = append(backends, backend{service, main.uri, int32(weight)})
	}
	return spec, backends, unstructured.SetNestedSlice(spec, steps, "nodes", "root", "steps")
}

// weighed complains about weights that the webhook would have refused.
func (s *StandIn) weighed(graph *unstructured.Unstructured, backends []backend) {
	var sum int32
	for _, b := range backends {
		sum += b.weight
	}
	if sum != 100 {
		s.complain("InferenceGraph %s/%s: the sum of traffic weights for all routing targets should be 100, and is %d", graph.GetNamespace(), graph.GetName(), sum)
	}
}
