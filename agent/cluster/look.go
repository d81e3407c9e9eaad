package cluster

import (
	"context"

	"github.com/sluice-dev/sluice/agent"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// listFrom is the number of objects of one kind in one namespace from which on one list is
// cheaper than as many gets.
const listFrom = 8

// Look reads the metadata of objects that no watch shows: new ones, and those that lost their
// labels. It returns those that exist, and those that could not be looked at with the reason.
func (s *Session) Look(ctx context.Context, objects []agent.Object) (map[agent.Ref]agent.Live, map[agent.Ref]error) {
	type place struct {
		schema.GroupVersionKind
		namespace string
	}
	places := map[place][]agent.Object{}
	for _, o := range objects {
		p := place{o.GroupVersionKind(), o.Ref.Namespace}
		places[p] = append(places[p], o)
	}
	found, failed := map[agent.Ref]agent.Live{}, map[agent.Ref]error{}
	for p, of := range places {
		if len(of) >= listFrom {
			s.lookByList(ctx, p.GroupKind(), of, found, failed)
			continue
		}
		for _, o := range of {
			s.lookByGet(ctx, o, found, failed)
		}
	}
	return found, failed
}

func (s *Session) lookByGet(ctx context.Context, o agent.Object, found map[agent.Ref]agent.Live, failed map[agent.Ref]error) {
	client, err := s.metadataOf(o)
	if err != nil {
		failed[o.Ref] = err
		return
	}
	got, err := client.Get(ctx, o.Ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		failed[o.Ref] = explain(o.Ref, s.account, err)
	default:
		found[o.Ref] = sight(o.Ref.GroupKind(), got)
	}
}

func (s *Session) lookByList(ctx context.Context, gk schema.GroupKind, objects []agent.Object, found map[agent.Ref]agent.Live, failed map[agent.Ref]error) {
	wanted := map[agent.Ref]bool{}
	for _, o := range objects {
		wanted[o.Ref] = true
	}
	client, err := s.metadataOf(objects[0])
	for next := ""; err == nil; {
		var page *metav1.PartialObjectMetadataList
		page, err = client.List(ctx, metav1.ListOptions{Limit: 500, Continue: next})
		if err != nil {
			break
		}
		for i := range page.Items {
			if ref := refOf(gk, &page.Items[i]); wanted[ref] {
				found[ref] = sight(gk, &page.Items[i])
			}
		}
		if next = page.Continue; next == "" {
			return
		}
	}
	for _, o := range objects {
		failed[o.Ref] = explain(o.Ref, s.account, err)
	}
}

// Instances counts the objects of the kind that a CRD defines, except those in without, up to
// a page. A kind that is not served has none.
func (s *Session) Instances(ctx context.Context, gvk schema.GroupVersionKind, without map[agent.Ref]bool) (int, error) {
	m, err := s.mapping(gvk)
	if err != nil {
		return 0, nil
	}
	page, err := s.metadata.Resource(m.Resource).List(ctx, metav1.ListOptions{Limit: 500})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, explainKind(gvk, err)
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
