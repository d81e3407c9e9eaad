package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const (
	// unknownFor is how long a kind that is not served is not asked for again. A CRD announces
	// itself; only an aggregated API comes unannounced.
	unknownFor = 10 * time.Second
	// settleFor is how long after the change of a CRD the API server may still answer as
	// before: it learns of the change by a watch, as its clients do. Answers given in that time
	// are kept for unsettledFor.
	settleFor    = 2 * time.Second
	unsettledFor = 500 * time.Millisecond
	// unansweredFor is how long the API server is not asked again after it failed to answer, so
	// that a pass over many kinds waits for it once.
	unansweredFor = time.Second
)

// kinds knows which kinds the cluster serves. It asks for all groups in one go, but only when
// somebody needs to know of a group of which nothing certain is known; a burst of new CRDs
// costs no more than the next look at one of them.
type kinds struct {
	ask func(context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error)
	now func() time.Time

	asking sync.Mutex // held while the API server is asked; who waits for it uses the answer

	mu      sync.Mutex
	asked   time.Time // of the last answer
	served  map[schema.GroupKind][]*meta.RESTMapping
	silent  map[schema.GroupVersion]error // aggregated APIs that did not answer
	changed map[string]time.Time          // by group, when it was last told to have changed
	failed  error                         // no answer at all, since the last one
	failure time.Time
}

// newKinds sets up the discovery of kinds. Unlike a watch, a question has its time.
func newKinds(config *rest.Config, httpClient *http.Client) (*kinds, error) {
	timed := *httpClient
	timed.Timeout = requestPatience
	client, err := discovery.NewDiscoveryClientForConfigAndClient(config, &timed)
	if err != nil {
		return nil, fmt.Errorf("cannot set up discovery: %w", err)
	}
	return &kinds{
		ask: func(ctx context.Context) ([]*metav1.APIGroup, []*metav1.APIResourceList, error) {
			return discovery.ServerGroupsAndResourcesWithContext(ctx, client)
		},
		now: time.Now, changed: map[string]time.Time{},
	}, nil
}

// change notes that what is known of a group may not be true any more.
func (k *kinds) change(group string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed[group] = k.now()
}

// answer is what is said of one kind: its resource, or why there is none to be had.
type answer struct {
	mapping *meta.RESTMapping
	err     error
}

// find returns the resource of a kind in a version, or in the preferred version if none is
// given. The error is a NoKindMatchError only if the API server said that there is none.
func (k *kinds) find(gk schema.GroupKind, version string) (*meta.RESTMapping, error) {
	if a, certain := k.recall(gk, version); certain {
		return a.mapping, a.err
	}
	k.asking.Lock()
	defer k.asking.Unlock()
	a, certain := k.recall(gk, version)
	if !certain {
		k.learn()
		a, _ = k.recall(gk, version)
	}
	return a.mapping, a.err
}

// recall answers from what is known, and tells whether that is certain.
func (k *kinds) recall(gk schema.GroupKind, version string) (answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, changed := k.now(), k.changed[gk.Group]
	age := now.Sub(k.asked)
	current := k.asked.After(changed) && (age < unsettledFor || k.asked.After(changed.Add(settleFor)))
	if k.failed != nil && !current {
		return answer{err: k.failed}, now.Sub(k.failure) < unansweredFor
	}
	for _, m := range k.served[gk] {
		if version == "" || version == m.GroupVersionKind.Version {
			return answer{mapping: m}, current
		}
	}
	fresh := current && age < unknownFor
	if k.failed != nil && !fresh {
		return answer{err: k.failed}, now.Sub(k.failure) < unansweredFor
	}
	for gv, err := range k.silent {
		if gv.Group == gk.Group && (version == "" || version == gv.Version) {
			return answer{err: err}, fresh
		}
	}
	missing := &meta.NoKindMatchError{GroupKind: gk}
	if version != "" {
		missing.SearchedVersions = []string{version}
	}
	return answer{err: missing}, fresh
}

// learn asks the API server.
func (k *kinds) learn() {
	start := k.now()
	groups, lists, err := k.ask(context.Background())
	partial := &discovery.ErrGroupDiscoveryFailed{}
	errors.As(err, &partial)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && len(partial.Groups) == 0 {
		k.failed, k.failure = err, k.now()
		return
	}
	before := k.served
	k.failed, k.asked, k.silent = nil, start, partial.Groups
	k.served = map[schema.GroupKind][]*meta.RESTMapping{}
	resources := map[string][]metav1.APIResource{}
	for _, list := range lists {
		resources[list.GroupVersion] = list.APIResources
	}
	for _, gv := range inOrder(groups) {
		k.take(gv, resources[gv.String()])
	}
	// What does not answer now is as it was.
	for gk, mappings := range before {
		for _, m := range mappings {
			if _, silent := k.silent[m.GroupVersionKind.GroupVersion()]; silent {
				k.served[gk] = append(k.served[gk], m)
			}
		}
	}
}

func (k *kinds) take(gv schema.GroupVersion, resources []metav1.APIResource) {
	for _, r := range resources {
		if strings.Contains(r.Name, "/") {
			continue // a subresource
		}
		m := &meta.RESTMapping{Resource: gv.WithResource(r.Name), GroupVersionKind: gv.WithKind(r.Kind), Scope: meta.RESTScopeRoot}
		if r.Namespaced {
			m.Scope = meta.RESTScopeNamespace
		}
		gk := m.GroupVersionKind.GroupKind()
		k.served[gk] = append(k.served[gk], m)
	}
}

// inOrder lists the versions of groups, for each group the preferred one first.
func inOrder(groups []*metav1.APIGroup) []schema.GroupVersion {
	var order []schema.GroupVersion
	for _, g := range groups {
		order = append(order, schema.GroupVersion{Group: g.Name, Version: g.PreferredVersion.Version})
		for _, v := range g.Versions {
			if v.Version != g.PreferredVersion.Version {
				order = append(order, schema.GroupVersion{Group: g.Name, Version: v.Version})
			}
		}
	}
	return order
}

// KindsChanged tells that a CRD of a group came, changed or went, so that the kinds of the
// group are asked for anew when they are needed next. It tells whether what the cluster can do for
// models may have changed with them.
func (c *Cluster) KindsChanged(group string) bool {
	c.kinds.change(group)
	return c.abilities.change(group)
}

// mapping finds the resource of a kind. The version is a wish: when it is not served any
// more, one that is served is taken, so that old objects can still be found and pruned.
func (s *Session) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	m, err := s.kinds.find(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return s.kinds.find(gvk.GroupKind(), "")
	}
	return m, err
}

// Resource is the client for the objects of a kind in its version, and tells whether they live in namespaces.
// Errors are those of the API server as they are; it is a NoKindMatchError only if the API server said that
// there is no such kind.
func (s *Session) Resource(gvk schema.GroupVersionKind) (client dynamic.NamespaceableResourceInterface, namespaced bool, err error) {
	m, err := s.kinds.find(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, false, err
	}
	return s.dynamic.Resource(m.Resource), m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// Namespaced tells whether objects of a kind live in namespaces. The error is an *Error; its
// class is NoKind when the cluster does not know the kind, or not in this version.
func (s *Session) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	m, err := s.kinds.find(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return false, explainKind(gvk, err)
	}
	return m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}
