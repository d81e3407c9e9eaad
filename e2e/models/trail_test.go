package models_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stand is where a Promotion stood once.
type stand struct {
	stage, version string
	phase          v1alpha1.PromotionPhase
	step, traffic  int32
	since          time.Time
	of             types.UID
}

func (s stand) String() string {
	switch {
	case s.phase == "":
		return "New"
	case s.traffic == 0:
		return string(s.phase)
	}
	return fmt.Sprintf("%s %d", s.phase, s.traffic)
}

// record is everywhere that the Promotions of a house have stood, in the order in which it was
// written. It is what a watch sees, and so leaves out nothing, whatever the agent did meanwhile.
type record struct {
	// moved has something in it when a Promotion has gone on.
	moved chan struct{}

	mu     sync.Mutex
	stands []stand
	broken bool
}

// watch records from now on where the Promotions stand.
func (h *house) watch() *record {
	h.T.Helper()
	events, err := h.Client.Watch(context.Background(), &v1alpha1.PromotionList{}, client.InNamespace(h.Namespace))
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(events.Stop)
	r := &record{moved: make(chan struct{}, 1)}
	go func() {
		for event := range events.ResultChan() {
			p, is := event.Object.(*v1alpha1.Promotion)
			if !is {
				break
			}
			r.note(p)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.broken = true
	}()
	return r
}

func (r *record) note(p *v1alpha1.Promotion) {
	now := stand{stage: p.Spec.Stage, version: p.Spec.Version, phase: p.Status.Phase, step: p.Status.Step, traffic: p.Status.Traffic, of: p.UID}
	if p.Status.PhaseSince != nil {
		now.since = p.Status.PhaseSince.Time
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, before := range slices.Backward(r.stands) {
		if before.of == now.of {
			if before == now {
				return
			}
			break
		}
	}
	r.stands = append(r.stands, now)
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// of are the stands of a version in a stage.
func (r *record) of(stage, version string) []stand {
	r.mu.Lock()
	defer r.mu.Unlock()
	var of []stand
	for _, s := range r.stands {
		if s.stage == stage && s.version == version {
			of = append(of, s)
		}
	}
	return of
}

// whole fails the test if the watch has broken off.
func (h *house) whole(r *record) {
	h.T.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		h.T.Fatal("the watch of the test broke off")
	}
}

// way waits until the newest Promotion of a stage has ended, for a version, and says where it has
// stood: "New, Verifying, Gated, Preparing, Canary 10, RolledBack".
func (h *house) way(r *record, stage, version string) string {
	h.T.Helper()
	h.Eventually("the Promotion of "+version+" to "+stage+" has ended", func() (bool, string) {
		of := r.of(stage, version)
		return len(of) > 0 && of[len(of)-1].phase.Ended(), fmt.Sprint(of)
	})
	h.whole(r)
	return way(r.of(stage, version))
}

func way(stands []stand) string {
	var text []string
	for _, s := range stands {
		text = append(text, s.String())
	}
	return strings.Join(text, ", ")
}

// shares are the divisions of the traffic among versions over time, as HTTPRoute fraud has had them:
// "fraud-v7=90 fraud-v8=10".
type shares struct {
	mu  sync.Mutex
	all []string
}

func (s *shares) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

var routes = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRouteList"}

// shares records from now on how the route in a namespace divides the traffic.
func (h *house) shares(namespace string) *shares {
	h.T.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(routes)
	events, err := h.Client.Watch(context.Background(), list, client.InNamespace(namespace))
	if err != nil {
		h.T.Fatal(err)
	}
	h.T.Cleanup(events.Stop)
	s := &shares{}
	go func() {
		for event := range events.ResultChan() {
			if o, is := event.Object.(*unstructured.Unstructured); is && o.GetName() == "fraud" {
				s.note(division(o))
			}
		}
	}()
	return s
}

func (s *shares) note(division string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 || s.all[len(s.all)-1] != division {
		s.all = append(s.all, division)
	}
}

// division is how a route divides the traffic.
func division(route *unstructured.Unstructured) string {
	var parts []string
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, rule := range rules {
		backends, _, _ := unstructured.NestedSlice(rule.(map[string]any), "backendRefs")
		for _, b := range backends {
			backend := b.(map[string]any)
			parts = append(parts, fmt.Sprintf("%v=%v", backend["name"], backend["weight"]))
		}
	}
	return strings.Join(parts, " ")
}

// route is how the route in namespace fraud divides the traffic now.
func (h *house) route() string {
	h.T.Helper()
	route := h.Get("gateway.networking.k8s.io/v1", "HTTPRoute", "fraud", "fraud")
	if route == nil {
		return "there is no route"
	}
	return division(route)
}

// percents is what a version had of the traffic over time.
func percents(divisions []string, version string) []int {
	var percents []int
	for _, division := range divisions {
		percent := 0
		for part := range strings.FieldsSeq(division) {
			backend, weight, _ := strings.Cut(part, "=")
			if strings.Contains(backend, version) {
				fmt.Sscan(weight, &percent)
			}
		}
		percents = append(percents, percent)
	}
	return percents
}

// owned are the objects that the Model owns, by their labels. What controllers made of them is not
// counted.
func (h *house) owned() []string {
	h.T.Helper()
	var names []string
	for _, kind := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Service"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
		{Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"},
		{Group: "serving.kserve.io", Version: "v1alpha1", Kind: "InferenceGraph"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := h.Client.List(context.Background(), list, client.MatchingLabels{v1alpha1.ModelLabel: "fraud"}); err != nil {
			h.T.Fatal(err)
		}
		for _, o := range list.Items {
			if len(o.GetOwnerReferences()) == 0 {
				names = append(names, fmt.Sprintf("%s %s/%s", kind.Kind, o.GetNamespace(), o.GetName()))
			}
		}
	}
	slices.Sort(names)
	return names
}

// inventory is what is on record of the Model.
func (h *house) inventory() []string {
	h.T.Helper()
	var list v1alpha1.InventoryList
	if err := h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace), client.MatchingLabels{v1alpha1.ModelLabel: "fraud"}); err != nil {
		h.T.Fatal(err)
	}
	var names []string
	for _, i := range list.Items {
		for _, e := range i.Entries {
			names = append(names, fmt.Sprintf("%s %s/%s", e.Kind, e.Namespace, e.Name))
		}
	}
	slices.Sort(names)
	return names
}

// nothingLeft waits until nothing of a version is there any more, and what is on record is what is
// there.
func (h *house) nothingLeft(of ...string) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("nothing is left of %v, and what is on record is there", of), func() (bool, string) {
		owned, inventory := h.owned(), h.inventory()
		for _, name := range owned {
			for _, version := range of {
				if strings.HasSuffix(name, "-"+version) {
					return false, name + " is there"
				}
			}
		}
		return len(owned) > 0 && slices.Equal(owned, inventory), fmt.Sprintf("there are %v, on record are %v", owned, inventory)
	})
}

// look has the agent look at the Model, and waits until it has.
func (h *house) look() {
	h.T.Helper()
	now := time.Now().Format(time.RFC3339Nano)
	m := h.model()
	h.Update(m, func() {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations["reconcile.fluxcd.io/requestedAt"] = now
	})
	h.Eventually("the Model has been looked at", func() (bool, string) {
		handled := h.model().Status.LastHandledReconcileAt
		return handled == now, handled
	})
}
