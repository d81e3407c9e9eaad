package serving

import (
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Version is a version of a model, as far as serving it matters.
type Version struct {
	Name, URI string
	// Digest of the artifact; empty if it is not known.
	Digest string
	Format v1alpha1.ModelFormat
}

// Want is what is to serve in one stage.
type Want struct {
	Model, Stage string
	// Namespace of the stage.
	Namespace string
	Serving   v1alpha1.Serving
	// Stable has the traffic that the candidate does not have; nil if nothing has served yet.
	Stable *Version
	// Candidate is brought up beside it; nil for none. One with the name of the stable version
	// brings that up afresh, where there is such a thing (Knative mode), and is none elsewhere.
	Candidate *Version
	// Traffic of the candidate in percent. 0: it is brought up and waits. Without a stable
	// version beside it, it gets all once it gets any.
	Traffic int32
	// Retiring are former versions that drain: they run, and get no traffic.
	Retiring []Version
}

// State is how a stage is.
type State struct {
	// Stable and Candidate are how the versions of the Want are; a version that is not wanted is
	// neither ready nor failed.
	Stable, Candidate Readiness
	// Traffic that really goes to the candidate in percent, as far as the cluster says.
	Traffic int32
	// Message says why it is not known, or cannot be, where the traffic goes; empty for most.
	Message string
	// URL at which the stage serves, as far as it is known.
	URL string
}

// Readiness is how one version is.
type Readiness struct {
	// Ready: the version's own artifact is loaded and its pods are available.
	Ready bool
	// Up: it is Ready, or some of its pods are available, as while it is scaled.
	Up bool
	// Failed: it does not get ready by waiting.
	Failed bool
	// Message says why it is not ready, in one sentence; empty if it is.
	Message string
}

// Settle is how long after a write a Failed can be about what was before it.
const Settle = 15 * time.Second

// layout is one way to serve. What it is given has passed check.
type layout interface {
	// objects are the manifests for a Want.
	objects(Want) ([]map[string]any, error)
	// reads are the objects that observe and next look at.
	reads(Want) []agent.Ref
	observe(Want, objects) State
	// next is what to apply now on the way to a Want.
	next(Want, objects) Want
	// means says in a sentence how traffic is shared.
	means() string
	// splits tells whether a part of the traffic can go to one version.
	splits() bool
	// serviceName is that of one version.
	serviceName(w Want, version string) string
}

// objects are live objects by name.
type objects = map[agent.Ref]map[string]any

// Objects gives the manifests for a Want. They never hold a field that KServe's webhook
// rewrites, and are the same for the same Want. The error names the field at fault.
func Objects(w Want, can Abilities) ([]map[string]any, error) {
	l, err := layoutOf(w.Serving, can)
	if err != nil {
		return nil, err
	}
	if err := check(w); err != nil {
		return nil, err
	}
	return l.objects(w)
}

// Reads names the objects that Observe and Next have to be shown, as far as they are there:
// those of Objects, and those that controllers make of them. Their kinds may be missing.
func Reads(w Want, can Abilities) []agent.Ref {
	l, err := layoutOf(w.Serving, can)
	if err != nil {
		return nil
	}
	return l.reads(w)
}

// Observe says how the stage is. The live objects are the content of what the API server
// gave, and at least as new as the last apply.
func Observe(w Want, can Abilities, live map[agent.Ref]map[string]any) State {
	l, err := layoutOf(w.Serving, can)
	if err != nil {
		return impossible(w, err)
	}
	return l.observe(w, live)
}

// impossible is the State where nothing can serve as wanted.
func impossible(w Want, err error) State {
	s := State{Message: err.Error()}
	if w.Stable != nil {
		s.Stable = waiting("%s", err)
	}
	if w.Candidate != nil {
		s.Candidate = waiting("%s", err)
	}
	return s
}

// Next is what to apply now on the way to a Want, so that nothing is cut off: the Want itself,
// or a step before it. It looks at the same objects as Observe. A step without any version means
// that nothing can be applied until what was deleted is gone.
func Next(w Want, can Abilities, live map[agent.Ref]map[string]any) Want {
	l, err := layoutOf(w.Serving, can)
	if err != nil {
		return w
	}
	return l.next(w, live)
}

// Means says in a sentence how traffic is shared, or what is missing.
func Means(s v1alpha1.Serving, can Abilities) string {
	l, err := layoutOf(s, can)
	if err != nil {
		return err.Error()
	}
	return l.means()
}

// Layout names the way in which versions are served: Knative, Standard, SideBySide or Deployment;
// empty where there is none. Another layout has other objects.
func Layout(s v1alpha1.Serving, can Abilities) string {
	l, err := layoutOf(s, can)
	if err != nil {
		return ""
	}
	switch l.(type) {
	case knative:
		return "Knative"
	case canary:
		return "Standard"
	case beside:
		return "SideBySide"
	}
	return "Deployment"
}

// Splits tells whether a part of the traffic can go to a candidate. Where it cannot, steps of a
// canary below 100 percent leave all traffic on the stable version.
func Splits(s v1alpha1.Serving, can Abilities) bool {
	l, err := layoutOf(s, can)
	return err == nil && l.splits()
}

// beside returns the Want without a candidate that is the stable version itself.
func (w Want) beside() Want {
	if w.Stable != nil && w.Candidate != nil && w.Stable.Name == w.Candidate.Name {
		w.Candidate, w.Traffic = nil, 0
	}
	return w
}

// main is the version that has the traffic at the end of the day: all of it if the candidate
// has 100 percent or nothing is beside it, and otherwise all that the candidate does not have.
// It is nil while nothing is to have traffic.
func (w Want) main() *Version {
	switch {
	case w.Candidate != nil && (w.Traffic == 100 || w.Stable == nil && w.Traffic > 0):
		return w.Candidate
	case w.Stable != nil:
		return w.Stable
	}
	return nil
}

// running lists all versions that run, each once: the stable one, the candidate, those that
// retire.
func (w Want) running() []Version {
	var all []Version
	add := func(v Version) {
		for _, other := range all {
			if other.Name == v.Name {
				return
			}
		}
		all = append(all, v)
	}
	if w.Stable != nil {
		add(*w.Stable)
	}
	if w.Candidate != nil {
		add(*w.Candidate)
	}
	for _, v := range w.Retiring {
		add(v)
	}
	return all
}
