package cluster

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
)

const (
	// listFrom is the number of objects of one kind in one namespace from which on one list is
	// cheaper than as many gets.
	listFrom = 8
	// looks is how many requests of one Look are under way at once.
	looks = 8
	// requestPatience is how long a read may take that no other limit holds.
	requestPatience = 10 * time.Second
)

// look is what came of looking at objects.
type look struct {
	mu     sync.Mutex
	found  map[agent.Ref]agent.Live
	failed map[agent.Ref]error
}

// Look reads the metadata of objects that no watch shows: new ones, and those that lost their
// labels. It returns those that exist, and those that could not be looked at with the reason.
func (s *Session) Look(ctx context.Context, objects []agent.Object) (map[agent.Ref]agent.Live, map[agent.Ref]error) {
	type place struct {
		schema.GroupVersionKind
		namespace string
	}
	places := map[place][]agent.Object{}
	for _, o := range objects {
		if s.misplaced(o) {
			continue
		}
		p := place{o.GroupVersionKind(), o.Ref.Namespace}
		places[p] = append(places[p], o)
	}
	l := look{found: map[agent.Ref]agent.Live{}, failed: map[agent.Ref]error{}}
	var group errgroup.Group
	group.SetLimit(looks)
	for _, of := range places {
		if len(of) >= listFrom {
			group.Go(func() error { s.lookByList(ctx, of, &l); return nil })
			continue
		}
		for _, o := range of {
			group.Go(func() error { s.lookByGet(ctx, o, &l); return nil })
		}
	}
	_ = group.Wait() // the functions return nil
	return l.found, l.failed
}

// misplaced tells that an object cannot exist: it is in a namespace and its kind is not, or the
// other way round, as after a CRD was made anew with another scope.
func (s *Session) misplaced(o agent.Object) bool {
	m, err := s.mapping(o.GroupVersionKind())
	return err == nil && (m.Scope.Name() == meta.RESTScopeNameNamespace) != (o.Ref.Namespace != "")
}

func (s *Session) lookByGet(ctx context.Context, o agent.Object, l *look) {
	got, err := s.getMetadata(ctx, o)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case apierrors.IsNotFound(err) && !unserved(err):
	case err != nil:
		l.failed[o.Ref] = s.explainRead(o, err)
	default:
		l.found[o.Ref] = sight(o.Ref.GroupKind(), got)
	}
}

func (s *Session) getMetadata(ctx context.Context, o agent.Object) (*metav1.PartialObjectMetadata, error) {
	client, err := s.metadataOf(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	return client.Get(ctx, o.Ref.Name, metav1.GetOptions{})
}

// lookByList looks at objects of one kind in one namespace.
func (s *Session) lookByList(ctx context.Context, objects []agent.Object, l *look) {
	found, err := s.listMetadata(ctx, objects)
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.found, found)
	for _, o := range objects {
		if err != nil {
			l.failed[o.Ref] = s.explainRead(o, err)
		}
	}
}

func (s *Session) listMetadata(ctx context.Context, objects []agent.Object) (map[agent.Ref]agent.Live, error) {
	client, err := s.metadataOf(objects[0])
	if err != nil {
		return nil, err
	}
	wanted := make(map[agent.Ref]bool, len(objects))
	for _, o := range objects {
		wanted[o.Ref] = true
	}
	found := map[agent.Ref]agent.Live{}
	gk := objects[0].Ref.GroupKind()
	for next := ""; ; {
		page, err := listPage(ctx, client, next)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if ref := refOf(gk, &page.Items[i]); wanted[ref] {
				found[ref] = sight(gk, &page.Items[i])
			}
		}
		if next = page.Continue; next == "" {
			return found, nil
		}
	}
}

func listPage(ctx context.Context, client metadata.ResourceInterface, next string) (*metav1.PartialObjectMetadataList, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	return client.List(ctx, metav1.ListOptions{Limit: 500, Continue: next})
}

// explainRead explains why an object could not be looked at. What is known of a kind that is
// not served the way it was is forgotten.
func (s *Session) explainRead(o agent.Object, err error) error {
	if unserved(err) {
		s.kinds.change(o.Ref.Group)
		return &Error{agent.Unavailable, fmt.Sprintf("the cluster does not serve %s as it did; its kinds are asked for anew", o.GroupVersionKind())}
	}
	if apierrors.IsForbidden(err) && aboutRights.MatchString(err.Error()) {
		where := ""
		if o.Ref.Namespace != "" {
			where = " in " + o.Ref.Namespace
		}
		return &Error{agent.Forbidden, fmt.Sprintf("%s may not read %s%s: grant it get and list", s.account, o.Ref.GroupKind(), where)}
	}
	return explain(o.Ref, s.account, err)
}

// Instances counts the objects of the kind that a CRD defines, except those in without, up to
// a page. A kind that is not served has none.
func (s *Session) Instances(ctx context.Context, gvk schema.GroupVersionKind, without map[agent.Ref]bool) (int, error) {
	m, err := s.mapping(gvk)
	if meta.IsNoMatchError(err) {
		return 0, nil
	}
	if err != nil {
		return 0, explainKind(gvk, err)
	}
	page, err := listPage(ctx, s.metadata.Resource(m.Resource), "")
	if err != nil {
		return 0, s.explainRead(agent.Object{Ref: agent.Ref{Group: gvk.Group, Kind: gvk.Kind}, Version: gvk.Version}, err)
	}
	count := 0
	if page.Continue != "" {
		count++ // there are more than one page shows
	}
	for i := range page.Items {
		if !without[refOf(gvk.GroupKind(), &page.Items[i])] {
			count++
		}
	}
	return count, nil
}
