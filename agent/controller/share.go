package controller

import (
	"context"
	gosync "sync"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/shard"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// share are the objects of a kind that this replica works on, of those that Overlays apply, each with the name by
// which it is shared.
type share struct {
	mu gosync.Mutex
	by map[types.NamespacedName]types.NamespacedName
}

// turn has an object worked on, if it is this replica's, and forgotten, if it was and went elsewhere with its Overlay.
func (s *share) turn(ctx context.Context, shares *shard.Shares, c client.Reader, o client.Object, forget func(types.NamespacedName), work func(context.Context) (ctrl.Result, error)) (ctrl.Result, error) {
	name, by := client.ObjectKeyFromObject(o), shared(ctx, c, o)
	ctx, done, mine := shares.Hold(ctx, by)
	if !mine {
		if !shares.Mine(by) {
			forget(name)
		}
		return ctrl.Result{}, nil
	}
	defer done()
	s.mu.Lock()
	if s.by == nil {
		s.by = map[types.NamespacedName]types.NamespacedName{}
	}
	s.by[name] = by
	s.mu.Unlock()
	result, err := work(ctx)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the work was ended: what was cut off is no failure
	}
	return result, err
}

// forget takes an object out.
func (s *share) forget(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, name)
}

// in returns the objects that are worked on and belong to some shards.
func (s *share) in(of shard.Set) []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []types.NamespacedName
	for name, by := range s.by {
		if of.Has(by) {
			names = append(names, name)
		}
	}
	return names
}

// all returns the objects that are worked on.
func (s *share) all() []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []types.NamespacedName
	for name := range s.by {
		names = append(names, name)
	}
	return names
}

// shared is the name by which an object is shared among replicas: the Repository that it comes from, or to
// which its results go, so that the replica which works on it has the mirror; or its own, if it has to do
// with none.
func shared(ctx context.Context, c client.Reader, m client.Object) types.NamespacedName {
	if r, is := m.(*v1alpha1.Retraining); is && r.Spec.Result != nil && r.Spec.Result.Propose != nil {
		if ref := r.Spec.Result.Propose.RepositoryRef; ref != nil {
			return ref.In(r.Namespace)
		}
	}
	if o := overlayOf(ctx, c, m); o != nil {
		return o.Follows()
	}
	return client.ObjectKeyFromObject(m)
}

// overlayOf returns the Overlay that applies an object; nil if there is none.
func overlayOf(ctx context.Context, c client.Reader, o client.Object) *v1alpha1.Overlay {
	name := o.GetLabels()[v1alpha1.OverlayLabel]
	if name == "" {
		return nil
	}
	var overlay v1alpha1.Overlay
	if err := c.Get(ctx, client.ObjectKey{Namespace: o.GetLabels()[v1alpha1.OverlayNamespaceLabel], Name: name}, &overlay); err != nil {
		return nil
	}
	return &overlay
}

// eachShared calls do with every object of a kind, of which list is an empty list, that belongs to some shards,
// whether it is worked on or not.
func eachShared(ctx context.Context, c client.Reader, list client.ObjectList, of shard.Set, do func(client.Object)) error {
	if err := c.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	objects, err := apimeta.ExtractList(list)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o := o.(client.Object); of.Has(shared(ctx, c, o)) {
			do(o)
		}
	}
	return nil
}

// begin has every object of a kind reconciled that belongs to some shards.
func begin(c client.Reader, list client.ObjectList, of shard.Set, queue *waker) {
	_ = eachShared(context.Background(), c, list, of, func(o client.Object) { queue.wake(client.ObjectKeyFromObject(o), 0) }) // it fails only when the agent ends
}
