package serving

import (
	"github.com/sluice-dev/sluice/agent"
)

// knative is KServe's Knative mode: one InferenceService, each of whose changes is a revision.
//
// KServe remembers the revision that last had all traffic (latestRolledoutRevision). As long as
// canaryTrafficPercent is there, that revision has what the percent leaves, and whatever
// revision got ready last has the percent; without it, the latter has everything. Two things
// follow that are not obvious.
//
// A candidate is turned back by 0 percent with its artifact left in place. With the former
// artifact and no percent, all traffic would go to the revision that got ready last, which is
// the one that was turned back, until the former one is ready again. So it is brought up afresh
// at 0 percent first; when it is ready, the percent goes.
//
// A percent is worth nothing while no revision has had all traffic, as after somebody has
// deleted the InferenceService: the candidate would get everything. And it is taken from the
// wrong revision until KServe has noted that the stable one has it all. So the stable version
// comes first, alone, and is waited for; and before it, what is left of an InferenceService that
// was deleted has to be gone.
type knative struct{ template }

func (k knative) means() string { return "KServe in Knative mode, canaries by canaryTrafficPercent" }
func (k knative) splits() bool  { return true }

// named is the version that the InferenceService names, and whether it has a percent.
func (k knative) named(w Want) (v *Version, shared bool) {
	if w.Candidate == nil {
		return w.Stable, false
	}
	return w.Candidate, w.Stable != nil
}

func (k knative) objects(w Want) ([]map[string]any, error) {
	v, shared := k.named(w)
	if v == nil {
		return nil, nil
	}
	predictor, err := k.predictor(w, *v)
	if err != nil {
		return nil, err
	}
	if shared {
		predictor["canaryTrafficPercent"] = int64(w.Traffic)
	}
	return []map[string]any{k.manifest(w, w.Model, "", predictor)}, nil
}

func (k knative) service(w Want) agent.Ref {
	return agent.Ref{Group: "serving.knative.dev", Kind: "Service", Namespace: w.Namespace, Name: w.Model + "-predictor"}
}

func (k knative) reads(w Want) []agent.Ref {
	return []agent.Ref{inferenceService(w.Namespace, w.Model), k.service(w)}
}

func (k knative) observe(w Want, live objects) State {
	isvc, ksvc := live[inferenceService(w.Namespace, w.Model)], live[k.service(w)]
	s := State{URL: text(isvc, "status", "url")}
	v, shared := k.named(w)
	if v == nil {
		return s
	}
	newest := k.newest(isvc, ksvc, *v)
	switch {
	case shared:
		s.Candidate, s.Stable = newest, k.rolledOut(isvc, ksvc, newest)
		s.Traffic = k.share(ksvc, newest)
	case w.Candidate != nil:
		s.Candidate = k.reachable(isvc, newest)
		s.Traffic = k.share(ksvc, newest)
	default:
		s.Stable = k.reachable(isvc, newest)
		if !s.Stable.Ready && turnedBack(isvc, *v) {
			s.Stable = k.rolledOut(isvc, ksvc, newest)
		}
	}
	return s
}

// turnedBack tells that a version which is to serve alone still has its traffic in a former
// revision: what the InferenceService names is another version, or it itself, brought up afresh.
func turnedBack(isvc map[string]any, v Version) bool {
	predictor, _ := at(isvc, "spec", "predictor").(map[string]any)
	percent, shared := predictor["canaryTrafficPercent"]
	n, _ := integer(percent)
	return shared && (n == 0 || artifactOf(predictor).Name != v.Name)
}

// newest is how the version is that the InferenceService names now. It is ready when Knative,
// having seen the template of this version, says that the revision it made of it is ready.
// KServe's modelStatus says InProgress for ever once there are no pods because nobody asks, so it
// only counts where it names a failure.
func (k knative) newest(isvc, ksvc map[string]any, v Version) Readiness {
	if r, is := stopped(isvc); is {
		return r
	}
	carried := k.carries(ksvc, v)
	if r, is := refusedRevision(isvc, ksvc, carried.Ready); is {
		return r
	}
	configured := conditionOf(ksvc, "ConfigurationsReady")
	created, got := text(ksvc, "status", "latestCreatedRevisionName"), text(ksvc, "status", "latestReadyRevisionName")
	switch {
	case !carried.Ready:
		return carried
	case outdated(ksvc):
		return waiting("Knative has not made the new revision yet")
	case configured.status == "False":
		return failed("%s", configured)
	case configured.status != "True":
		return waiting("%s", configured)
	case created == "" || created != got:
		return waiting("revision %s is not ready", created)
	}
	return ready
}

// outdated tells that Knative has not made a revision of the present template yet: the newest that
// it knows is of one before. It may have observed the generation all the same.
func outdated(ksvc map[string]any) bool {
	return number(ksvc, "status", "observedGeneration") < number(ksvc, "metadata", "generation") ||
		conditionOf(ksvc, "ConfigurationsReady").reason == "OutOfDate"
}

// refusedRevision is what KServe has against a version. What it says of pods is of those of the
// revision that it calls the latest created in the same status.
func refusedRevision(isvc, ksvc map[string]any, carried bool) (Readiness, bool) {
	switch text(isvc, "status", "modelStatus", "transitionStatus") {
	case "InvalidSpec":
		if !carried {
			return failed("KServe cannot use its spec: %s", lastFailure(isvc)), true
		}
	case "BlockedByFailedLoad":
		created := text(ksvc, "status", "latestCreatedRevisionName")
		if carried && !outdated(ksvc) && created != text(ksvc, "status", "latestReadyRevisionName") &&
			created == text(isvc, "status", "components", "predictor", "latestCreatedRevision") {
			return failed("the model does not load: %s", lastFailure(isvc)), true
		}
	}
	return Readiness{}, false
}

// reachable is the readiness of a version that has all traffic: the way to it has to be there.
func (k knative) reachable(isvc map[string]any, newest Readiness) Readiness {
	if c := conditionOf(isvc, "Ready"); newest.Ready && c.status != "True" {
		return waiting("%s", c)
	}
	return newest
}

// rolledOut is how the revision is that had all traffic before the one that is brought up.
// InferenceService and Knative Service are not ready while that one is not; the route is.
func (k knative) rolledOut(isvc, ksvc map[string]any, newest Readiness) Readiness {
	if r, is := stopped(isvc); is {
		return r
	}
	former := text(isvc, "status", "components", "predictor", "latestRolledoutRevision")
	if newest.Ready && former == text(ksvc, "status", "latestCreatedRevisionName") {
		former = text(isvc, "status", "components", "predictor", "previousRolledoutRevision")
	}
	c := conditionOf(ksvc, "RoutesReady")
	switch {
	case former == "":
		return waiting("no revision has had all traffic yet")
	case c.status != "True":
		return waiting("%s", c)
	}
	return ready
}

// share adds up what Knative says it sends to the revision that got ready last.
func (k knative) share(ksvc map[string]any, newest Readiness) int32 {
	if !newest.Ready {
		return 0
	}
	var percent int64
	for _, target := range list(ksvc, "status", "traffic") {
		if text(target, "revisionName") == text(ksvc, "status", "latestReadyRevisionName") {
			percent += number(target, "percent")
		}
	}
	return int32(min(max(percent, 0), 100))
}

func (k knative) next(w Want, live objects) Want {
	w = w.beside()
	isvc, ksvc := live[inferenceService(w.Namespace, w.Model)], live[k.service(w)]
	predictor, _ := at(isvc, "spec", "predictor").(map[string]any)
	there := artifactOf(predictor)
	is := func(v *Version) bool { return there.Name == v.Name && there.URI == v.URI }
	percent, shared := predictor["canaryTrafficPercent"]

	alone, afresh := w, w
	if w.Candidate != nil {
		alone.Candidate, alone.Traffic = nil, 0
	}
	afresh.Candidate, afresh.Traffic = w.Stable, 0
	switch {
	case isvc == nil && owned(ksvc):
		return Want{Model: w.Model, Stage: w.Stage, Namespace: w.Namespace, Serving: w.Serving}
	case w.Stable == nil:
		return w
	case text(isvc, "status", "components", "predictor", "latestRolledoutRevision") == "":
		return alone // no percent would count
	case w.Candidate != nil && (shared || is(w.Candidate) || k.settled(isvc, ksvc, *w.Stable)):
		return w
	case !is(w.Stable):
		return afresh
	case w.Candidate == nil && shared && !k.newest(isvc, ksvc, *w.Stable).Ready:
		traffic, _ := integer(percent)
		afresh.Traffic = int32(min(max(traffic, 0), 100))
		return afresh
	}
	return alone
}

// owned tells that a Knative Service goes with the InferenceService that it belongs to. One of
// another InferenceService would get the new template, and all traffic would go to the revision
// that got ready last before.
func owned(ksvc map[string]any) bool {
	for _, owner := range list(ksvc, "metadata", "ownerReferences") {
		if text(owner, "kind") == "InferenceService" {
			return true
		}
	}
	return false
}

// settled tells that KServe has noted that the version has all traffic.
func (k knative) settled(isvc, ksvc map[string]any, v Version) bool {
	return k.newest(isvc, ksvc, v).Ready &&
		text(isvc, "status", "components", "predictor", "latestRolledoutRevision") == text(ksvc, "status", "latestReadyRevisionName")
}
