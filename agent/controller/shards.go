package controller

import (
	"context"
	"slices"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Take makes Repositories a worker on shards. It reads what others wrote last, which the cache may
// not have yet.
func (r *Repositories) Take(ctx context.Context, of shard.Set) error {
	var all v1alpha1.RepositoryList
	if err := r.Live.List(ctx, &all); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range all.Items {
		if name := client.ObjectKeyFromObject(&all.Items[n]); of.Has(name) {
			r.latest[name] = &all.Items[n]
		}
	}
	return nil
}

// Begin has all Repositories of the shards reconciled.
func (r *Repositories) Begin(of shard.Set) {
	var all v1alpha1.RepositoryList
	if err := r.Client.List(context.Background(), &all, client.UnsafeDisableDeepCopy); err != nil {
		return // only when the agent ends
	}
	for n := range all.Items {
		if name := client.ObjectKeyFromObject(&all.Items[n]); of.Has(name) {
			r.Wake(name)
		}
	}
}

// Leave forgets the Repositories of the shards. Their mirrors stay: they may come back.
func (r *Repositories) Leave(of shard.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.heads {
		if of.Has(name) {
			delete(r.heads, name)
			delete(r.latest, name)
			r.Metrics.Gone(v1alpha1.RepositoryKind, name.Namespace, name.Name)
		}
	}
}

// Take tells the pipeline which Overlays there are in the shards, and reads their records: until
// each has looked at its revision, nothing that one of them may want is pruned or taken over.
func (r *Overlays) Take(ctx context.Context, of shard.Set) error {
	var all v1alpha1.OverlayList
	if err := r.Live.List(ctx, &all); err != nil {
		return err
	}
	taken := map[agent.Owner]bool{}
	for n := range all.Items {
		o := &all.Items[n]
		if !of.Has(o.Follows()) {
			continue
		}
		name := client.ObjectKeyFromObject(o)
		r.mu.Lock()
		r.follows[name], r.latest[name] = o.Follows(), o
		r.mu.Unlock()
		r.Syncer.Note(o, !o.Spec.Suspend && r.denied(o) == nil && o.DeletionTimestamp.IsZero())
		taken[sync.OwnerOf(o)] = true
	}
	return r.Syncer.Inventories.Stock(ctx, taken)
}

// Begin has all Overlays of the shards reconciled.
func (r *Overlays) Begin(of shard.Set) {
	var all v1alpha1.OverlayList
	if err := r.Client.List(context.Background(), &all, client.UnsafeDisableDeepCopy); err != nil {
		return // only when the agent ends
	}
	for n := range all.Items {
		if of.Has(all.Items[n].Follows()) {
			r.queue.wake(client.ObjectKeyFromObject(&all.Items[n]), 0)
		}
	}
}

// Leave forgets the Overlays of the shards.
func (r *Overlays) Leave(of shard.Set) {
	var left []types.NamespacedName
	r.mu.Lock()
	for name, repository := range r.follows {
		if of.Has(repository) {
			left = append(left, name)
		}
	}
	r.mu.Unlock()
	for _, name := range left {
		r.forget(name)
	}
}

// Has makes Overlays the Elsewhere of the pipeline: it tells whether another replica works on an
// Overlay.
func (r *Overlays) Has(owner agent.Owner) bool {
	var o v1alpha1.Overlay
	err := r.Client.Get(context.Background(), types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, &o)
	return err == nil && !r.Shares.Mine(o.Follows())
}

// Claiming returns an Overlay of a namespace that another replica works on and that wants an object
// which belongs to another.
func (r *Overlays) Claiming(namespace string, object agent.Ref) (agent.Owner, bool) {
	var all v1alpha1.OverlayList
	if err := r.Client.List(context.Background(), &all, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return agent.Owner{}, false
	}
	want := v1alpha1.ObjectReference{Group: object.Group, Kind: object.Kind, Namespace: object.Namespace, Name: object.Name}
	for n := range all.Items {
		o := &all.Items[n]
		if slices.Contains(o.Status.Claims, want) && o.DeletionTimestamp.IsZero() && !r.Shares.Mine(o.Follows()) {
			return sync.OwnerOf(o), true
		}
	}
	return agent.Owner{}, false
}
