package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Make turns facts into a plan.
func Make(f Facts) agent.Plan {
	p := agent.Plan{Revision: f.Revision}
	wanted := make(map[agent.Ref]bool, len(f.Set.Objects))
	for _, o := range f.Set.Objects {
		wanted[o.Ref] = true
		p = add(p, apply(f, o))
	}
	for _, ref := range f.Inventory.Refs() {
		if !wanted[ref] {
			p = add(p, remove(f, ref))
		}
	}
	p = guardEverything(f, p)
	slices.SortStableFunc(p.Changes, order)
	return p
}

// decision is a change or the refusal of one.
type decision struct {
	change    agent.Change
	violation *agent.Violation
}

func add(p agent.Plan, d decision) agent.Plan {
	if d.violation != nil {
		p.Violations = append(p.Violations, *d.violation)
		return p
	}
	p.Changes = append(p.Changes, d.change)
	return p
}

// order puts applies before deletes, applies by rising wave and deletes by falling wave.
func order(a, b agent.Change) int {
	aDelete, bDelete := removes(a.Verb), removes(b.Verb)
	switch {
	case aDelete != bDelete && aDelete:
		return 1
	case aDelete != bDelete:
		return -1
	case aDelete:
		return cmp.Or(cmp.Compare(b.Wave, a.Wave), a.Ref.Compare(b.Ref))
	}
	return cmp.Or(cmp.Compare(a.Wave, b.Wave), a.Ref.Compare(b.Ref))
}

func removes(v agent.Verb) bool { return v == agent.Delete || v == agent.Forget }

// apply decides about an object that Git wants.
func apply(f Facts, o agent.Object) decision {
	change := agent.Change{Ref: o.Ref, Wave: Wave(o.Ref.GroupKind()), Object: o, TakeFields: o.Options.ForceFields}
	live, exists := f.Live[o.Ref]
	change.UID, change.Owner = live.UID, live.Owner
	entry, recorded := f.Inventory[o.Ref]
	if o.Refused != "" {
		return invalid(change, exists, o.Refused)
	}
	if o.Options.Ignore && recorded {
		return forget(change, "left alone from now on: sluice.dev/apply: never")
	}
	if o.Options.Ignore {
		return keep(change, "left alone: sluice.dev/apply: never")
	}
	if why, unknown := f.Unknown[o.Ref]; unknown {
		return unread(change, agent.Update, why.Error())
	}
	kind, known := f.Kinds[o.Ref.GroupKind()]
	if !known {
		return unknownKind(change)
	}
	if kind.Namespaced && o.Ref.Namespace == "" {
		return refuse(change, agent.Create, false, "it has no namespace: set metadata.namespace, namespace in kustomization.yaml, or spec.targetNamespace of the Overlay")
	}
	if !exists {
		change.Verb, change.Reason = agent.Create, "new in Git"
		if recorded && entry.Digest == o.Digest {
			change.Reason, change.Drifted = "gone from the cluster", true
			return byDriftPolicy(f, change)
		}
		return decision{change: change}
	}

	change.Verb = agent.Update
	if live.Owner != f.Owner {
		if d, refused := foreign(f, change, live); refused {
			return d
		}
		change.TakeFields = change.TakeFields || o.Options.ForceOwner
	}
	switch {
	case live.Deleting:
		return wait(change, agent.Update, deletingMessage(live))
	case o.Options.ApplyOnce:
		return keep(change, "left as it is: sluice.dev/apply: once")
	case !recorded || entry.Digest == "" && entry.Fields == "":
		change.Reason = "in the cluster, not yet applied by this " + f.Owner.Kind.String()
		return decision{change: change}
	}

	drifted := live.Fields != entry.Fields || live.Owner != f.Owner
	if entry.Digest != o.Digest {
		change.Reason = "changed in Git"
		// Fields that were ours and are not any more were taken by whoever changed them.
		change.TakeFields = change.TakeFields || drifted && f.Drift != v1alpha1.DriftIgnore
		return replaceIfAsked(f, change)
	}
	if drifted {
		change.Drifted, change.TakeFields, change.Reason = true, true, "changed in the cluster"
		return byDriftPolicy(f, change)
	}
	return keep(change, "")
}

// invalid refuses an object that must not be applied as it is written. What is in the cluster
// of it stays.
func invalid(change agent.Change, exists bool, why string) decision {
	verb := agent.Create
	if exists {
		verb = agent.Update
	}
	d := refuse(change, verb, false, why)
	d.violation.Class = agent.Invalid
	return d
}

// unknownKind refuses an object until the cluster knows its kind, and with it whether it lives
// in a namespace.
func unknownKind(change agent.Change) decision {
	d := wait(change, agent.Create, fmt.Sprintf("the cluster does not know the kind %s in %s (yet): install its CRD, or let the Overlay that brings it come first with dependsOn",
		change.Ref.Kind, change.Object.GroupVersionKind().GroupVersion()))
	d.violation.Class = agent.NoKind
	return d
}

// byDriftPolicy keeps a drifted object unless drift is to be corrected.
func byDriftPolicy(f Facts, change agent.Change) decision {
	switch f.Drift {
	case v1alpha1.DriftIgnore:
		change.Drifted = false
		return keep(change, "drift is ignored: spec.drift")
	case v1alpha1.DriftReport:
		return keep(change, change.Reason+"; only reported: spec.drift")
	}
	if why, fighting := f.Fighting[change.Ref]; fighting {
		return keep(change, why)
	}
	return decision{change: change}
}

// foreign decides whether an object that is not ours may be taken over.
func foreign(f Facts, change agent.Change, live agent.Live) (decision, bool) {
	if change.Object.Options.ForceOwner {
		return decision{}, false
	}
	if live.Owner != (agent.Owner{}) {
		if f.Claims != nil && f.Claims.Released(live.Owner, change.Ref) {
			return decision{}, false
		}
		d := refuse(change, agent.Update, true, fmt.Sprintf(
			"it belongs to %s: remove it from one of the two, or annotate it with %s: owner to take it over",
			live.Owner, v1alpha1.ForceAnnotation))
		d.violation.Holder = live.Owner
		return d, true
	}
	if live.Foreign != "" {
		return refuse(change, agent.Update, true, fmt.Sprintf(
			"it belongs to %s: remove it there first, or annotate it with %s: owner to take it over",
			live.Foreign, v1alpha1.ForceAnnotation)), true
	}
	return decision{}, false
}

// replaceIfAsked turns an update into a replace where the dry run showed that it must be one
// and may be one.
func replaceIfAsked(f Facts, change agent.Change) decision {
	dry, tried := f.Replaceable[change.Ref]
	if !tried || !dry.Immutable {
		return decision{change: change}
	}
	if why := irreplaceable(change.Ref); why != "" {
		return refuse(change, agent.Replace, false, "an immutable field changes, and it is never replaced: "+why)
	}
	if !dry.Valid {
		return refuse(change, agent.Replace, false, "an immutable field changes, but the new object would be refused, so the live one stays: "+dry.Message)
	}
	change.Verb, change.Reason = agent.Replace, "an immutable field changes, and the object asks for "+v1alpha1.ForceAnnotation+": replace"
	return decision{change: change}
}

// irreplaceable says what deleting an object of the kind would destroy with it.
func irreplaceable(ref agent.Ref) string {
	switch ref.Group + "/" + ref.Kind {
	case "/Namespace":
		return "everything in the namespace would go with it"
	case "apiextensions.k8s.io/CustomResourceDefinition":
		return "all objects of the kind would go with it"
	case "/PersistentVolumeClaim", "/PersistentVolume":
		return "the data would go with it; create one under a new name and move the data"
	case "kubeflow.org/Profile":
		return "the user's namespace would go with it"
	}
	return ""
}

// remove decides about an object that was applied and is no longer in Git.
func remove(f Facts, ref agent.Ref) decision {
	live, exists := f.Live[ref]
	change := agent.Change{
		Ref: ref, Verb: agent.Delete, Wave: Wave(ref.GroupKind()), Reason: "left Git", UID: live.UID, Owner: live.Owner,
		Object: agent.Object{Ref: ref, Version: f.Inventory[ref].Version},
	}
	if why, unknown := f.Unknown[ref]; unknown {
		return unread(change, agent.Delete, why.Error())
	}
	switch {
	case !exists:
		return forget(change, "gone from the cluster")
	case live.Owner != f.Owner && live.Owner != (agent.Owner{}):
		return forget(change, "moved to "+live.Owner.String())
	case live.Owner != f.Owner:
		return forget(change, "left Git; its ownership labels were removed, so it stays")
	case !f.Prune:
		return forget(change, "left Git; it stays: spec.prune is false")
	case live.KeepOnPrune:
		return forget(change, "left Git; it stays: "+v1alpha1.PruneAnnotation+": disabled")
	case live.Deleting:
		return wait(change, agent.Delete, deletingMessage(live))
	}
	if f.Claims != nil {
		if other, wanted := f.Claims.Wanted(ref); wanted {
			d := wait(change, agent.Delete, other.String()+" is about to take it over")
			d.violation.Heir = other
			return d
		}
		if !f.Claims.Settled() {
			return wait(change, agent.Delete, "waiting for the other Overlays of the Repository to look at this revision: one of them may take it over")
		}
	}
	if what, held := f.Held[ref]; held && !allowed(f) {
		return refuse(change, agent.Delete, false, fmt.Sprintf("deleting it would also delete %s: move them away, or annotate the Overlay with %s: %s",
			what, v1alpha1.AllowPruneAnnotation, shortCommit(f.Revision)))
	}
	return decision{change: change}
}

// guardEverything refuses all deletes when nothing would be left of a whole overlay: a path
// that moved or an emptied file must not take the cluster down.
func guardEverything(f Facts, p agent.Plan) agent.Plan {
	deletes := p.Count(agent.Delete)
	left := slices.ContainsFunc(f.Set.Objects, func(o agent.Object) bool { return !o.Options.Ignore })
	if deletes == 0 || left || f.Farewell || allowed(f) {
		return p
	}
	kept := p.Changes[:0:0]
	for _, c := range p.Changes {
		if c.Verb != agent.Delete {
			kept = append(kept, c)
			continue
		}
		p.Violations = append(p.Violations, agent.Violation{Ref: c.Ref, Verb: agent.Delete, Message: fmt.Sprintf(
			"this revision would delete all %d objects of the Overlay: if that is meant, annotate the Overlay with %s: %s",
			deletes, v1alpha1.AllowPruneAnnotation, shortCommit(f.Revision))})
	}
	p.Changes = kept
	return p
}

// allowed tells whether large prunes were allowed for exactly this commit.
func allowed(f Facts) bool {
	return len(f.AllowPrune) >= 7 && strings.HasPrefix(f.Revision.Commit, f.AllowPrune)
}

func shortCommit(r agent.Revision) string {
	if len(r.Commit) < 12 {
		return r.Commit
	}
	return r.Commit[:12]
}

func deletingMessage(live agent.Live) string {
	if len(live.Finalizers) == 0 {
		return "it is being deleted"
	}
	return "it is being deleted and waits for its finalizers: " + strings.Join(live.Finalizers, ", ")
}

// unread refuses what to do about an object that could not be looked at.
func unread(change agent.Change, verb agent.Verb, why string) decision {
	d := refuse(change, verb, true, why)
	d.violation.Unread = true
	return d
}

// wait refuses for now: what it waits for is on its way.
func wait(change agent.Change, verb agent.Verb, message string) decision {
	d := refuse(change, verb, true, message)
	d.violation.Class = agent.Waiting
	return d
}

func keep(change agent.Change, reason string) decision {
	change.Verb, change.Reason = agent.Keep, reason
	return decision{change: change}
}

func forget(change agent.Change, reason string) decision {
	change.Verb, change.Reason = agent.Forget, reason
	return decision{change: change}
}

func refuse(change agent.Change, verb agent.Verb, waits bool, message string) decision {
	return decision{violation: &agent.Violation{Ref: change.Ref, Verb: verb, Message: message, Waits: waits}}
}
