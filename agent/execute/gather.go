package execute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/plan"
	"github.com/sluice-dev/sluice/agent/record"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Gather reads the facts that a plan is made from. Watches have most of them; only objects
// that no watch shows are asked for.
func Gather(ctx context.Context, session *cluster.Session, records *record.Inventories, facts plan.Facts, limits Limits) plan.Facts {
	return gather(ctx, session, records, facts, limits, session.Watch(ctx, facts.Owner, needs(facts)))
}

// Glance reads the same facts for a plan that is only shown: it uses the watches that there are, and
// begins and ends none.
func Glance(ctx context.Context, session *cluster.Session, records *record.Inventories, facts plan.Facts, limits Limits) plan.Facts {
	return gather(ctx, session, records, facts, limits, nil)
}

// gather reads facts. Unseen are the kinds that cannot be watched, with the reason.
func gather(ctx context.Context, session *cluster.Session, records *record.Inventories, facts plan.Facts, limits Limits, unseen map[schema.GroupKind]error) plan.Facts {
	facts.Live, facts.Unknown = map[agent.Ref]agent.Live{}, map[agent.Ref]error{}
	var ask []agent.Object
	for _, o := range everything(facts) {
		if _, recorded := facts.Inventory[o.Ref]; o.Options.Ignore && !recorded {
			continue // it is nobody's business here
		}
		if err := unseen[o.Ref.GroupKind()]; err != nil && cluster.ClassOf(err) != agent.NoKind {
			facts.Unknown[o.Ref] = err
			continue
		}
		live, seen := session.Seen(o.Ref)
		if seen && live.Owner == facts.Owner {
			facts.Live[o.Ref] = live
		} else if unseen[o.Ref.GroupKind()] == nil {
			ask = append(ask, o)
		}
	}
	found, failed := session.Look(ctx, ask)
	maps.Copy(facts.Live, found)
	maps.Copy(facts.Unknown, failed)
	facts.Held = held(ctx, session, records, facts)
	facts.Replaceable = replaceable(ctx, session, facts, limits)
	return facts
}

// everything returns the objects of the set, and those of the inventory by name.
func everything(facts plan.Facts) []agent.Object {
	all := slices.Clone(facts.Set.Objects)
	for ref, entry := range facts.Inventory {
		if _, wanted := facts.Set.Find(ref); !wanted {
			all = append(all, agent.Object{Ref: ref, Version: entry.Version})
		}
	}
	return all
}

// Scope asks what the cluster knows of the kinds in a set, and takes the namespace off
// objects of cluster scope: Kustomize puts one on every custom resource it does not know.
func Scope(session *cluster.Session, set agent.Set) (agent.Set, map[schema.GroupKind]plan.Kind, error) {
	kinds := map[schema.GroupKind]plan.Kind{}
	asked := map[schema.GroupVersionKind]bool{}
	var objects []agent.Object
	for n, o := range set.Objects {
		gvk := o.GroupVersionKind()
		if !asked[gvk] {
			asked[gvk] = true
			if namespaced, err := session.Namespaced(gvk); err == nil {
				kinds[gvk.GroupKind()] = plan.Kind{Namespaced: namespaced}
			}
		}
		if kind, known := kinds[gvk.GroupKind()]; !known || kind.Namespaced || o.Ref.Namespace == "" {
			continue
		}
		if objects == nil {
			objects = slices.Clone(set.Objects)
		}
		var err error
		if objects[n], err = manifest.WithoutNamespace(o); err != nil {
			return set, kinds, fmt.Errorf("%s: %w", o.Ref, err)
		}
	}
	if objects == nil {
		return set, kinds, nil
	}
	set = agent.NewSet(objects)
	for n := range len(set.Objects) - 1 {
		if a, b := set.Objects[n], set.Objects[n+1]; a.Ref == b.Ref {
			return set, kinds, fmt.Errorf("%s is defined twice, in %s and %s, in two namespaces that it does not have: remove one of them", a.Ref, a.Origin, b.Origin)
		}
	}
	return set, kinds, nil
}

// needs lists the kinds to watch, with the namespaces in which the overlay has objects.
func needs(facts plan.Facts) []cluster.Need {
	versions := map[schema.GroupKind]string{}
	namespaces := map[schema.GroupKind]map[string]bool{}
	for _, o := range everything(facts) {
		gk := o.Ref.GroupKind()
		if versions[gk] == "" {
			versions[gk], namespaces[gk] = o.Version, map[string]bool{}
		}
		if o.Ref.Namespace != "" {
			namespaces[gk][o.Ref.Namespace] = true
		}
	}
	list := make([]cluster.Need, 0, len(versions))
	for gk, version := range versions {
		list = append(list, cluster.Need{Kind: gk.WithVersion(version), Namespaces: slices.Sorted(maps.Keys(namespaces[gk]))})
	}
	return list
}

// held finds out what would go with the namespaces, CRDs and Profiles that left Git. What it
// cannot find out counts as held: nothing is deleted on the strength of an error.
func held(ctx context.Context, session *cluster.Session, records *record.Inventories, facts plan.Facts) map[agent.Ref]string {
	leaving := map[agent.Ref]bool{}
	for ref := range facts.Inventory {
		if _, wanted := facts.Set.Find(ref); !wanted {
			leaving[ref] = true
		}
	}
	found := map[agent.Ref]string{}
	for ref := range leaving {
		if _, exists := facts.Live[ref]; !exists {
			continue
		}
		n, what, err := 0, "", error(nil)
		switch ref.Group + "/" + ref.Kind {
		case "/Namespace":
			n, err = records.Others(ctx, facts.Owner, ref.Name)
			what = "objects of other Overlays in the namespace"
		case "kubeflow.org/Profile":
			found[ref] = "the namespace " + ref.Name + " and all that its user has in it"
		case "apiextensions.k8s.io/CustomResourceDefinition":
			n, err = instances(ctx, session, ref, facts.Inventory[ref].Version, leaving)
			what = "objects of that kind that did not leave Git with it"
		}
		switch {
		case err != nil:
			found[ref] = "what cannot be counted now (" + err.Error() + ")"
		case n > 0:
			found[ref] = fmt.Sprintf("%d %s", n, what)
		}
	}
	return found
}

// instances counts the objects of the kind that a CRD defines, other than those leaving too.
func instances(ctx context.Context, session *cluster.Session, crd agent.Ref, version string, leaving map[agent.Ref]bool) (int, error) {
	object, err := session.Get(ctx, crd, version)
	if err != nil || object == nil {
		return 0, err
	}
	definition, ok := manifest.LiveDefinition(object.Object)
	if !ok || len(definition.Served()) == 0 {
		return 0, errors.New("it serves no version")
	}
	return session.Instances(ctx, definition.GroupKind().WithVersion(definition.Served()[0]), leaving)
}

// replaceable tries, without writing, the changed objects that ask to be replaced when they
// must be: whether they must, and whether the new object would be accepted.
func replaceable(ctx context.Context, session *cluster.Session, facts plan.Facts, limits Limits) map[agent.Ref]plan.Replaceable {
	tried := map[agent.Ref]plan.Replaceable{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(max(limits.Parallel, 1))
	for _, o := range facts.Set.Objects {
		_, exists := facts.Live[o.Ref]
		if !o.Options.ForceReplace || !exists || len(o.JSON) == 0 || facts.Inventory[o.Ref].Digest == o.Digest {
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, limits.Request)
			defer cancel()
			_, err := session.DryRun(ctx, o, true)
			if cluster.ClassOf(err) != agent.Immutable {
				return nil
			}
			result := plan.Replaceable{Immutable: true, Valid: true}
			if err := session.Creatable(ctx, o); err != nil {
				result.Valid, result.Message = false, err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			tried[o.Ref] = result
			return nil
		})
	}
	_ = group.Wait() // the functions return nil
	return tried
}
