package record

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// shardSize is the largest number of entries in one Inventory object: about 200 kB, far below
// what the API server and etcd take, and little enough to write for a change of one entry.
const shardSize = 1000

// Inventories reads and writes the inventories of Overlays and Models. An entry stays in the shard where
// it was first put, so one write changes it as a whole, and a crash between the writes of two
// shards can neither lose nor duplicate it.
type Inventories struct {
	// Reader reads past any cache: what is read must be what was last written.
	Reader client.Reader
	Writer client.Writer

	mu     sync.Mutex
	shards map[agent.Owner][]shard
}

// shard is one Inventory object as it stands in the cluster.
type shard struct {
	object  *v1alpha1.Inventory
	entries agent.Inventory
}

// Load returns what is on record for an owner. It reads the cluster the first time, and
// remembers afterwards: nobody else writes.
func (i *Inventories) Load(ctx context.Context, owner agent.Owner) (agent.Inventory, error) {
	shards, err := i.load(ctx, owner)
	if err != nil {
		return nil, err
	}
	return together(shards), nil
}

func (i *Inventories) load(ctx context.Context, owner agent.Owner) ([]shard, error) {
	i.mu.Lock()
	shards, known := i.shards[owner]
	i.mu.Unlock()
	if known {
		return shards, nil
	}
	shards, err := i.read(ctx, owner)
	if err == nil {
		i.keep(owner, shards)
	}
	return shards, err
}

func (i *Inventories) read(ctx context.Context, owner agent.Owner) ([]shard, error) {
	var list v1alpha1.InventoryList
	if err := i.Reader.List(ctx, &list, client.InNamespace(owner.Namespace), client.MatchingLabels{labelOf(owner.Kind): owner.Name}); err != nil {
		return nil, fmt.Errorf("the inventory of %s cannot be read: %w", owner, err)
	}
	var shards []shard
	for n := range list.Items {
		shards = append(shards, shard{object: &list.Items[n], entries: entriesOf(&list.Items[n])})
	}
	return shards, nil
}

// Look reads what is on record for an Overlay that another replica works on. Nothing of it is
// remembered.
func (i *Inventories) Look(ctx context.Context, owner agent.Owner) (agent.Inventory, error) {
	shards, err := i.read(ctx, owner)
	return together(shards), err
}

func together(shards []shard) agent.Inventory {
	all := agent.Inventory{}
	for _, s := range shards {
		maps.Copy(all, s.entries)
	}
	return all
}

// Stock reads the records of many Overlays at once, as an agent does that starts: one list, a
// page at a time, instead of one for each Overlay.
func (i *Inventories) Stock(ctx context.Context, of map[agent.Owner]bool) error {
	found := map[agent.Owner][]shard{}
	for next := ""; ; {
		var page v1alpha1.InventoryList
		if err := i.Reader.List(ctx, &page, client.Limit(stockPage), client.Continue(next)); err != nil {
			return fmt.Errorf("the inventories cannot be read: %w", err)
		}
		for n := range page.Items {
			o := &page.Items[n]
			if owner := ownerOf(o); of[owner] {
				found[owner] = append(found[owner], shard{object: o, entries: entriesOf(o)})
			}
		}
		if next = page.Continue; next == "" {
			break
		}
	}
	for owner, shards := range found {
		i.keep(owner, shards)
	}
	return nil
}

// stockPage is how many Inventory objects are read at a time.
const stockPage = 200

func (i *Inventories) keep(owner agent.Owner, shards []shard) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.shards == nil {
		i.shards = map[agent.Owner][]shard{}
	}
	i.shards[owner] = shards
}

// Others counts the objects that other Overlays have on record in a namespace.
func (i *Inventories) Others(ctx context.Context, owner agent.Owner, namespace string) (int, error) {
	var list v1alpha1.InventoryList
	if err := i.Reader.List(ctx, &list); err != nil {
		return 0, fmt.Errorf("the inventories cannot be read: %w", err)
	}
	n := 0
	for _, object := range list.Items {
		if ownerOf(&object) == owner {
			continue
		}
		for _, e := range object.Entries {
			if e.Namespace == namespace {
				n++
			}
		}
	}
	return n, nil
}

// Forget drops what is remembered, so that the next Load reads the cluster.
func (i *Inventories) Forget(owner agent.Owner) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.shards, owner)
}

// Save makes the record of an Overlay say exactly what inventory says, writing only the
// shards that change. When it fails, some shards may be written: the record then holds a mix
// of old and new entries, each of them whole.
func (i *Inventories) Save(ctx context.Context, owner agent.Owner, inventory agent.Inventory) error {
	shards, err := i.load(ctx, owner)
	if err != nil {
		return err
	}
	wanted := distribute(shards, inventory)
	for n, entries := range wanted {
		var now shard
		if n < len(shards) {
			now = shards[n]
		}
		if maps.Equal(now.entries, entries) {
			continue
		}
		written, err := i.write(ctx, owner, now.object, entries)
		if err != nil {
			i.Forget(owner)
			return fmt.Errorf("the inventory of %s cannot be written: %w", owner, err)
		}
		shards = slices.Clone(shards)
		if n < len(shards) {
			shards[n] = written
		} else {
			shards = append(shards, written)
		}
	}
	i.keep(owner, slices.DeleteFunc(slices.Clone(shards), func(s shard) bool { return s.object == nil }))
	return nil
}

// distribute leaves entries in the shards they are in and puts new ones where there is room.
func distribute(shards []shard, inventory agent.Inventory) []agent.Inventory {
	wanted := make([]agent.Inventory, len(shards))
	placed := map[agent.Ref]bool{}
	for n, s := range shards {
		wanted[n] = agent.Inventory{}
		for ref := range s.entries {
			if entry, still := inventory[ref]; still && !placed[ref] {
				wanted[n][ref], placed[ref] = entry, true
			}
		}
	}
	n := 0
	for _, ref := range inventory.Refs() {
		if placed[ref] {
			continue
		}
		for n < len(wanted) && len(wanted[n]) >= shardSize {
			n++
		}
		if n == len(wanted) {
			wanted = append(wanted, agent.Inventory{})
		}
		wanted[n][ref] = inventory[ref]
	}
	return wanted
}

// write creates, updates or deletes one Inventory object.
func (i *Inventories) write(ctx context.Context, owner agent.Owner, now *v1alpha1.Inventory, entries agent.Inventory) (shard, error) {
	switch {
	case len(entries) == 0 && now == nil:
		return shard{}, nil
	case len(entries) == 0:
		return shard{}, i.discard(ctx, now)
	case now == nil:
		object := &v1alpha1.Inventory{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: owner.Namespace, GenerateName: owner.Name + "-",
				Labels:     map[string]string{labelOf(owner.Kind): owner.Name},
				Finalizers: []string{v1alpha1.Finalizer},
			},
			Entries: listOf(entries),
		}
		return shard{object, entries}, i.Writer.Create(ctx, object, client.FieldOwner(v1alpha1.FieldManager))
	}
	object := now.DeepCopy()
	object.Entries = listOf(entries)
	return shard{object, entries}, i.Writer.Update(ctx, object, client.FieldOwner(v1alpha1.FieldManager))
}

// discard deletes an Inventory object that has nothing to remember any more. The finalizer
// goes first: it keeps the record when the namespace is deleted while no agent runs, for there
// may be objects of the Overlay elsewhere.
func (i *Inventories) discard(ctx context.Context, now *v1alpha1.Inventory) error {
	object := now.DeepCopy()
	object.Entries = nil
	controllerutil.RemoveFinalizer(object, v1alpha1.Finalizer)
	if err := i.Writer.Update(ctx, object, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(i.Writer.Delete(ctx, object, client.Preconditions{UID: &object.UID}))
}

func listOf(entries agent.Inventory) []v1alpha1.InventoryEntry {
	list := make([]v1alpha1.InventoryEntry, 0, len(entries))
	for _, ref := range entries.Refs() {
		e := entries[ref]
		list = append(list, v1alpha1.InventoryEntry{
			Group: ref.Group, Version: e.Version, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
			Digest: e.Digest, Fields: e.Fields, Released: e.Released,
		})
	}
	return list
}

// labelOf is the label of an Inventory that has the name of its owner.
func labelOf(kind agent.OwnerKind) string {
	if kind == agent.ModelOwner {
		return v1alpha1.ModelLabel
	}
	return v1alpha1.OverlayLabel
}

// ownerOf says whose record an Inventory object is.
func ownerOf(object *v1alpha1.Inventory) agent.Owner {
	if name, is := object.Labels[v1alpha1.ModelLabel]; is {
		return agent.Owner{Kind: agent.ModelOwner, Namespace: object.Namespace, Name: name}
	}
	return agent.Owner{Namespace: object.Namespace, Name: object.Labels[v1alpha1.OverlayLabel]}
}

// entriesOf reads an Inventory object.
func entriesOf(object *v1alpha1.Inventory) agent.Inventory {
	entries := make(agent.Inventory, len(object.Entries))
	for _, e := range object.Entries {
		ref := agent.Ref{Group: e.Group, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}
		entries[ref] = agent.Entry{Version: e.Version, Digest: e.Digest, Fields: e.Fields, Released: e.Released}
	}
	return entries
}
