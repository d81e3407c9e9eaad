package serving

import (
	"encoding/json"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// byService gives all traffic to one version at a time.
type byService struct {
	to func(Want, Version) entrance
	// metadata of the Service, beside the agent's own.
	metadata *v1alpha1.CommonMetadata
	// kind is how the sentence about it begins, and why is why there is nothing better.
	kind, why string
}

func (s byService) split(w Want) []map[string]any {
	main := w.main()
	if main == nil {
		return nil
	}
	return []map[string]any{serviceManifest(w, w.Model, s.to(w, *main), s.metadata)}
}

func (s byService) reads(w Want) []agent.Ref { return []agent.Ref{serviceRef(w.Namespace, w.Model)} }

func (s byService) divided(w Want, live objects) (int32, string) {
	return leads(live[serviceRef(w.Namespace, w.Model)], *w.Candidate), ""
}

func (s byService) url(w Want, _ objects) string {
	return inside(w, s.to(w, Version{}).port)
}

func (s byService) means() string { return s.kind + "all traffic at once: " + s.why }
func (s byService) splits() bool  { return false }

// byRoute divides what comes through a gateway. Clients inside the cluster go over as a whole.
type byRoute struct {
	route
	byService
}

func (s byRoute) split(w Want) []map[string]any {
	if w.main() == nil {
		return nil
	}
	return append(s.byService.split(w), s.route.manifest(w))
}

func (s byRoute) reads(w Want) []agent.Ref { return append(s.byService.reads(w), routeRef(w)) }

func (s byRoute) divided(w Want, live objects) (int32, string) {
	if w.main() == nil {
		return 0, "" // there is no route yet, and need not be
	}
	return share(live[routeRef(w)], routeRef(w), s.backend(w, *w.Candidate))
}

func (s byRoute) url(w Want, live objects) string {
	return or(s.route.url(w), s.byService.url(w, live))
}

func (s byRoute) means() string { return s.kind + "canaries by an HTTPRoute" }
func (s byRoute) splits() bool  { return true }

// byGraph has KServe's router divide the traffic, which starts anew for each division.
type byGraph struct{ mode, kind string }

func graphRef(w Want) agent.Ref {
	return agent.Ref{Group: kserveGroup, Kind: "InferenceGraph", Namespace: w.Namespace, Name: w.Model}
}

func (s byGraph) split(w Want) []map[string]any {
	// KServe makes no router at all while an InferenceService among the steps is not ready, so a
	// version is only a step once it gets traffic.
	var steps []any
	for _, p := range portions(w) {
		steps = append(steps, map[string]any{"serviceName": nameOf(w.Model, p.version.Name), "weight": int64(p.percent)})
	}
	if len(steps) == 0 {
		return nil
	}
	return []map[string]any{{
		"apiVersion": kserveGroup + "/v1alpha1", "kind": "InferenceGraph",
		"metadata": map[string]any{
			"name": w.Model, "namespace": w.Namespace, "labels": labelsOf(w, ""),
			"annotations": map[string]any{modeAnnotation: s.mode},
		},
		"spec": map[string]any{"nodes": map[string]any{"root": map[string]any{"routerType": "Splitter", "steps": steps}}},
	}}
}

// router is the Deployment that KServe makes of the graph.
func (s byGraph) router(w Want) agent.Ref {
	return agent.Ref{Group: "apps", Kind: "Deployment", Namespace: w.Namespace, Name: w.Model}
}

func (s byGraph) reads(w Want) []agent.Ref { return []agent.Ref{graphRef(w), s.router(w)} }

// divided reads what the router was started with. The graph is Ready as soon as its Deployment
// has any condition, so its status says nothing.
func (s byGraph) divided(w Want, live objects) (int32, string) {
	if w.main() == nil {
		return 0, ""
	}
	router := live[s.router(w)]
	if router == nil {
		return 0, "KServe has made no router of " + graphRef(w).String() + " yet"
	}
	if r := rolledOut(router); !r.Ready {
		return 0, r.Message
	}
	name := nameOf(w.Model, w.Candidate.Name)
	for _, step := range stepsOf(router) {
		if step.ServiceName == name {
			return min(max(step.Weight, 0), 100), ""
		}
	}
	return 0, ""
}

type step struct {
	ServiceName string `json:"serviceName"`
	Weight      int32  `json:"weight"`
}

// stepsOf are the steps that a router was given on its command line.
func stepsOf(router map[string]any) []step {
	var graph struct {
		Nodes struct {
			Root struct {
				Steps []step `json:"steps"`
			} `json:"root"`
		} `json:"nodes"`
	}
	for _, container := range list(router, "spec", "template", "spec", "containers") {
		args, _ := container["args"].([]any)
		for n, arg := range args {
			if arg != "--graph-json" || n+1 == len(args) {
				continue
			}
			if given, _ := args[n+1].(string); json.Unmarshal([]byte(given), &graph) == nil {
				return graph.Nodes.Root.Steps
			}
		}
	}
	return nil
}

func (s byGraph) url(w Want, live objects) string {
	return or(text(live[graphRef(w)], "status", "url"), inside(w, kservePort))
}

func (s byGraph) means() string { return s.kind + "canaries by an InferenceGraph" }
func (s byGraph) splits() bool  { return true }
