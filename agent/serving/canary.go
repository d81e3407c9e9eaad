package serving

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
)

// canary is KServe's Standard mode with spec.canary: one InferenceService, in which each version
// has a Deployment of its own, named after the predictor.
//
// KServe deletes the Deployment of a predictor name that is not there any more at once. So the
// name of the main predictor only ever changes to that of a canary that is ready; then nothing
// starts anew, because what makes up its pods is the same in both places.
//
// Without being told how many, KServe gives a canary replicas by its percent, which are none at
// 0 percent. And it takes from the main predictor, as soon as a canary has a pod, as many replicas
// as the canary is told. So a canary has the share of the replicas that its percent is, and at
// least one. At 100 percent it has all; until they are there, it is not ready. Former versions are
// canaries that are told to have none, so that nothing is taken for them; an autoscaler leaves
// them one.
type canary struct{ template }

func (c canary) means() string { return "KServe in Standard mode, canaries by spec.canary" }
func (c canary) splits() bool  { return true }

func (c canary) objects(w Want) ([]map[string]any, error) {
	w = w.beside()
	main, candidate := c.roles(w)
	if main == nil {
		return nil, nil
	}
	predictor, err := c.named(w, *main)
	if err != nil {
		return nil, err
	}
	entries, err := c.entries(w, *main, candidate)
	if err != nil {
		return nil, err
	}
	if candidate != nil && number(predictor, "minReplicas") == 0 && predictor["minReplicas"] != nil {
		predictor["minReplicas"] = int64(1) // a canary must not be told to have more than the main predictor
	}
	isvc := c.manifest(w, w.Model, "", predictor)
	if len(entries) > 0 {
		child(isvc, "spec")["canary"] = entries
	}
	return append([]map[string]any{isvc}, c.service(w, main, candidate)...), nil
}

// roles are the versions of the main predictor and of the canary. The first version has nothing
// to be a canary of.
func (c canary) roles(w Want) (main, candidate *Version) {
	if w.Stable == nil {
		return w.Candidate, nil
	}
	return w.Stable, w.Candidate
}

// named is the predictor of a version with its name.
func (c canary) named(w Want, v Version) (map[string]any, error) {
	predictor, err := c.predictor(w, v)
	if err != nil {
		return nil, err
	}
	predictor["name"], err = variantOf(w.Model, v.Name)
	return predictor, err
}

func (c canary) entries(w Want, main Version, candidate *Version) ([]any, error) {
	var entries []any
	for _, v := range w.running() {
		if v.Name == main.Name {
			continue
		}
		if v.URI == main.URI {
			return nil, fmt.Errorf("versions %s and %s have the same artifact, %s: KServe does not go over from one to the other, give each an artifact of its own", main.Name, v.Name, v.URI)
		}
		var percent int32
		replicas := int64(0)
		if candidate != nil && v.Name == candidate.Name {
			percent = w.Traffic
			replicas = c.part(percent)
		}
		entry, err := c.entry(w, v, replicas)
		if err != nil {
			return nil, err
		}
		entries = append(entries, map[string]any{"predictor": entry, "trafficPercent": int64(percent)})
	}
	return entries, nil
}

// entry is the predictor of a canary. It must not scale by itself, and has to name its container
// where no webhook does.
func (c canary) entry(w Want, v Version, replicas int64) (map[string]any, error) {
	predictor, err := c.named(w, v)
	if err != nil {
		return nil, err
	}
	for _, field := range scaling {
		if field != "deploymentStrategy" {
			delete(predictor, field)
		}
	}
	predictor["minReplicas"] = replicas
	if model, ok := predictor["model"].(map[string]any); ok {
		model["name"] = serverContainer
	}
	return predictor, nil
}

// part is how many replicas a canary has at least.
func (c canary) part(percent int32) int64 {
	all := max(1, number(c.spec, "predictor", "minReplicas"))
	return max(1, (all*int64(percent)+99)/100)
}

// service is the name for clients inside the cluster: those of KServe change with the version.
func (c canary) service(w Want, main, candidate *Version) []map[string]any {
	if candidate != nil && w.Traffic == 100 {
		main = candidate
	}
	return []map[string]any{serviceManifest(w, w.Model, c.entrance(w, main.Name), nil)}
}

func (c canary) deployment(w Want, v Version) agent.Ref {
	name, _ := variantOf(w.Model, v.Name) // objects refuses a name that is too long
	return agent.Ref{Group: "apps", Kind: "Deployment", Namespace: w.Namespace, Name: w.Model + "-" + name + "-predictor"}
}

func (c canary) reads(w Want) []agent.Ref {
	refs := []agent.Ref{inferenceService(w.Namespace, w.Model), routeRef(w), serviceRef(w.Namespace, w.Model)}
	for _, v := range w.beside().running() {
		refs = append(refs, c.deployment(w, v))
	}
	return refs
}

func (c canary) observe(given Want, live objects) State {
	w := given.beside()
	isvc := live[inferenceService(w.Namespace, w.Model)]
	s := State{URL: text(isvc, "status", "url")}
	main, candidate := c.roles(w)
	if main == nil {
		return s
	}
	r := c.main(isvc, live[c.deployment(w, *main)], w, *main)
	if w.Stable == nil {
		s.Candidate = started(live[c.deployment(w, *main)], r)
		if s.Candidate.Ready {
			s.Traffic = 100
		}
		return s
	}
	s.Stable = r
	if candidate != nil {
		s.Candidate = c.candidate(isvc, live[c.deployment(w, *candidate)], w, *candidate)
		s.Traffic, s.Message = share(live[routeRef(w)], routeRef(w), c.deployment(w, *candidate).Name)
	} else if given.Candidate != nil {
		s.Candidate = s.Stable
	}
	return s
}

// main is how the main predictor is.
func (c canary) main(isvc, deployment map[string]any, w Want, v Version) Readiness {
	name, _ := variantOf(w.Model, v.Name)
	if r, is := stopped(isvc); is {
		return r
	}
	r := c.loaded(deployment, v)
	if r.Ready && text(isvc, "spec", "predictor", "name") != name {
		return waiting("InferenceService %s does not name it yet", w.Model)
	}
	if r.Ready {
		return reachable(isvc)
	}
	if refused, is := refusal(isvc, deployment, c.carries(deployment, v).Ready); is {
		return refused
	}
	return r
}

// reachable is the readiness of what is loaded: the way to it has to be there.
func reachable(isvc map[string]any) Readiness {
	if c := conditionOf(isvc, "Ready"); c.status != "True" {
		return waiting("%s", c)
	}
	return ready
}

// candidate is how a canary is. KServe leaves its modelStatus empty, and calls it ready with
// its first pod.
func (c canary) candidate(isvc, deployment map[string]any, w Want, v Version) Readiness {
	if r, is := stopped(isvc); is {
		return r
	}
	if refused, is := refusal(isvc, nil, false); is && deployment == nil {
		return refused // what KServe has against the main predictor keeps it from making others
	}
	name, _ := variantOf(w.Model, v.Name)
	r := started(deployment, c.loaded(deployment, v))
	has, wants := number(deployment, "spec", "replicas"), c.part(w.Traffic)
	switch {
	case !r.Ready:
		return r
	case has < wants:
		return waiting("Deployment %s is to have %d replicas and has %d", text(deployment, "metadata", "name"), wants, has)
	case !flag(c.status(isvc, name), "ready"):
		return waiting("KServe has not noted that the canary %s is ready", name)
	}
	return ready
}

// status finds what KServe says of a canary.
func (c canary) status(isvc map[string]any, name string) map[string]any {
	for _, s := range list(isvc, "status", "canaryStatuses") {
		if text(s, "name") == name {
			return s
		}
	}
	return nil
}

// next lets the main predictor's name change only to a canary that is ready for all the traffic
// and has it. To get there, the version that serves now stays, and what is wanted becomes its
// canary. A name that is none of ours was edited by somebody, and what we had is gone already.
func (c canary) next(w Want, live objects) Want {
	w = w.beside()
	isvc := live[inferenceService(w.Namespace, w.Model)]
	main, _ := c.roles(w)
	if isvc == nil || main == nil {
		return w
	}
	name, _ := variantOf(w.Model, main.Name)
	predictor, _ := at(isvc, "spec", "predictor").(map[string]any)
	serving := artifactOf(predictor)
	if now, _ := variantOf(w.Model, serving.Name); text(predictor, "name") == name || text(predictor, "name") != now {
		return w
	}
	step := w
	step.Stable, step.Candidate, step.Traffic = &serving, main, 0
	for _, entry := range list(isvc, "spec", "canary") {
		if text(entry, "predictor", "name") != name {
			continue
		}
		step.Traffic = int32(min(max(number(entry, "trafficPercent"), 0), 100))
		switch {
		case !c.candidate(isvc, live[c.deployment(w, *main)], step, *main).Ready:
		case step.Traffic < 100:
			step.Traffic = 100
		case c.arrived(w, *main, live):
			return w
		}
	}
	return step
}

// arrived tells that a canary has all the traffic. Where KServe makes no route there is none to
// ask.
func (c canary) arrived(w Want, v Version, live objects) bool {
	route := live[routeRef(w)]
	percent, _ := share(route, routeRef(w), c.deployment(w, v).Name)
	return route == nil || percent == 100
}
