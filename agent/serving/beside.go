package serving

import (
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// beside is KServe's Standard mode without spec.canary: an InferenceService for each version,
// and before them something that divides the traffic.
type beside struct {
	template
	splitter
}

// splitter divides traffic among versions that run side by side.
type splitter interface {
	// objects that divide it as wanted.
	split(Want) []map[string]any
	reads(Want) []agent.Ref
	// divided tells what part the candidate has, and why that is not known.
	divided(Want, objects) (percent int32, message string)
	url(Want, objects) string
	means() string
	splits() bool
}

// sideBySide chooses the splitter.
func sideBySide(t template, s v1alpha1.KServeServing, can Abilities) layout {
	to := func(w Want, v Version) entrance { return t.entrance(w, v.Name) }
	backend := func(w Want, v Version) string {
		return nameOf(w.Model, v.Name) + "-" + t.entrance(w, v.Name).component
	}
	const one = "KServe in Standard mode with an InferenceService for each version, "
	switch {
	case s.Gateway != nil && can.Gateway:
		r := route{gateway: *s.Gateway, backend: backend, port: kservePort}
		return beside{t, byRoute{route: r, byService: byService{to: to, kind: one}}}
	case can.Graph:
		return beside{t, byGraph{mode: t.mode, kind: one}}
	}
	return beside{t, byService{to: to, kind: one, why: "the cluster has no InferenceGraphs, and " + missingGateway("spec.serving.kserve", s.Gateway)}}
}

// missingGateway says why no HTTPRoute divides the traffic.
func missingGateway(field string, g *v1alpha1.GatewayReference) string {
	if g == nil {
		return field + ".gateway names no Gateway"
	}
	return "no Gateway API is installed"
}

func (b beside) objects(w Want) ([]map[string]any, error) {
	w = w.beside()
	var all []map[string]any
	for _, v := range w.running() {
		predictor, err := b.predictor(w, v)
		if err != nil {
			return nil, err
		}
		if candidate := w.Candidate; candidate != nil && v.Name == candidate.Name && predictor["minReplicas"] != nil {
			predictor["minReplicas"] = max(1, number(predictor, "minReplicas")) // nothing is loaded without pods
		}
		all = append(all, b.manifest(w, nameOf(w.Model, v.Name), v.Name, predictor))
	}
	return append(all, b.split(w)...), nil
}

func (b beside) deployment(w Want, v Version) agent.Ref {
	return agent.Ref{Group: "apps", Kind: "Deployment", Namespace: w.Namespace, Name: nameOf(w.Model, v.Name) + "-predictor"}
}

func (b beside) reads(w Want) []agent.Ref {
	w = w.beside()
	var refs []agent.Ref
	for _, v := range w.running() {
		refs = append(refs, inferenceService(w.Namespace, nameOf(w.Model, v.Name)), b.deployment(w, v))
	}
	return append(refs, b.splitter.reads(w)...)
}

func (b beside) observe(given Want, live objects) State {
	return observed(given, live, b.splitter, func(v Version) (Readiness, map[string]any) {
		isvc, deployment := live[inferenceService(given.Namespace, nameOf(given.Model, v.Name))], live[b.deployment(given, v)]
		return b.version(isvc, deployment, v), deployment
	})
}

// observed is the State of versions that run side by side.
func observed(given Want, live objects, s splitter, of func(Version) (Readiness, map[string]any)) State {
	w := given.beside()
	state := State{URL: s.url(w, live)}
	if w.Stable != nil {
		state.Stable, _ = of(*w.Stable)
	}
	switch {
	case w.Candidate != nil:
		r, deployment := of(*w.Candidate)
		state.Candidate = started(deployment, r)
		state.Traffic, state.Message = s.divided(w, live)
	case given.Candidate != nil:
		state.Candidate = state.Stable
	}
	return state
}

// version is how the InferenceService of one version is.
func (b beside) version(isvc, deployment map[string]any, v Version) Readiness {
	if r, is := stopped(isvc); is {
		return r
	}
	r := b.loaded(deployment, v)
	if r.Ready {
		return reachable(isvc)
	}
	if refused, is := refusal(isvc, deployment, b.carries(deployment, v).Ready); is {
		return refused
	}
	return r
}

// next needs no detours: each version is brought up and taken down by itself.
func (b beside) next(w Want, _ objects) Want { return w }
