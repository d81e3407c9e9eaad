package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	me    = agent.Owner{Namespace: "platform", Name: "shop"}
	other = agent.Owner{Namespace: "platform", Name: "bank"}
	web   = agent.Ref{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	conf  = agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "conf"}
	ns    = agent.Ref{Kind: "Namespace", Name: "shop"}
	pvc   = agent.Ref{Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data"}
	crd   = agent.Ref{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "carts.shop.dev"}
	hook  = agent.Ref{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "shop"}
	cart  = agent.Ref{Group: "shop.dev", Kind: "Cart", Namespace: "shop", Name: "one"}
)

func object(ref agent.Ref, digest string) agent.Object {
	return agent.Object{Ref: ref, Version: "v1", Digest: digest}
}

func with(o agent.Object, set func(*agent.Options)) agent.Object {
	set(&o.Options)
	return o
}

// settled are the facts of an overlay whose objects are all as Git says.
func settled(refs ...agent.Ref) Facts {
	f := Facts{
		Owner: me, Revision: agent.Revision{Name: "main", Commit: "4f2a9c1e8b7d6a5f4e3d2c1b0a9f8e7d6c5b4a39"},
		Inventory: agent.Inventory{}, Live: map[agent.Ref]agent.Live{}, Unknown: map[agent.Ref]error{},
		Kinds: map[schema.GroupKind]Kind{}, Prune: true, Drift: v1alpha1.DriftCorrect,
	}
	var objects []agent.Object
	for _, r := range refs {
		objects = append(objects, object(r, "d1"))
		f.Inventory[r] = agent.Entry{Version: "v1", Digest: "d1", Fields: "f1"}
		f.Live[r] = agent.Live{UID: "u-" + r.Name, Owner: me, Fields: "f1"}
		f.Kinds[r.GroupKind()] = Kind{Namespaced: r.Namespace != ""}
	}
	f.Set = agent.NewSet(objects)
	return f
}

// fixed is a Claims with fixed answers.
type fixed struct {
	wanted   map[agent.Ref]agent.Owner
	released bool
	settled  bool
}

func (c fixed) Wanted(r agent.Ref) (agent.Owner, bool) { o, ok := c.wanted[r]; return o, ok }
func (c fixed) Released(agent.Owner, agent.Ref) bool   { return c.released }
func (c fixed) Settled() bool                          { return c.settled }
func change(f Facts, edit func(*Facts)) Facts          { edit(&f); return f }
func drop(f Facts, ref agent.Ref) Facts {
	return change(f, func(f *Facts) { f.Set = less(f.Set, ref) })
}
func live(f Facts, r agent.Ref, e func(*agent.Live)) Facts {
	l := f.Live[r]
	e(&l)
	f.Live[r] = l
	return f
}

func less(set agent.Set, ref agent.Ref) agent.Set {
	var kept []agent.Object
	for _, o := range set.Objects {
		if o.Ref != ref {
			kept = append(kept, o)
		}
	}
	return agent.NewSet(kept)
}

func swap(f Facts, o agent.Object) Facts {
	if _, known := f.Kinds[o.Ref.GroupKind()]; !known && o.Ref != cart {
		f.Kinds[o.Ref.GroupKind()] = Kind{Namespaced: o.Ref.Namespace != ""}
	}
	f.Set = agent.NewSet(append(less(f.Set, o.Ref).Objects, o))
	return f
}

func TestMake(t *testing.T) {
	cases := []struct {
		name  string
		facts Facts
		want  string
	}{
		{"nothing changed", settled(web, conf), `
0 to do, 2 unchanged`},
		{"a kind that is not known stops only its objects", swap(change(settled(web, cart), func(f *Facts) { delete(f.Kinds, cart.GroupKind()) }), object(web, "d2")), `
~ update Deployment/shop/web  (changed in Git)
! create Cart.shop.dev/shop/one: the cluster does not know the kind Cart in shop.dev/v1 (yet): install its CRD, or let the Overlay that brings it come first with dependsOn
1 to update, 1 refused, 0 unchanged`},
		{"an object that is refused stops nothing and stays", swap(swap(settled(web, conf), object(web, "d2")), agent.Object{Ref: conf, Version: "v1", Digest: "d2", Refused: "mend it (a.yaml:3)"}), `
~ update Deployment/shop/web  (changed in Git)
! update ConfigMap/shop/conf: mend it (a.yaml:3)
1 to update, 1 refused, 0 unchanged`},
		{"a new object that is refused", swap(settled(web), agent.Object{Ref: conf, Version: "v1", Refused: "mend it"}), `
! create ConfigMap/shop/conf: mend it
1 refused, 1 unchanged`},
		{"an object that is refused is still there: nothing is pruned by accident", swap(drop(settled(web, conf), web), agent.Object{Ref: conf, Version: "v1", Refused: "mend it"}), `
- delete Deployment/shop/web  (left Git)
! update ConfigMap/shop/conf: mend it
1 to delete, 1 refused, 0 unchanged`},
		{"a new object", change(settled(web), func(f *Facts) { *f = swap(*f, object(conf, "d1")) }), `
+ create ConfigMap/shop/conf  (new in Git)
1 to create, 1 unchanged`},
		{"changed in Git", swap(settled(web), object(web, "d2")), `
~ update Deployment/shop/web  (changed in Git)
1 to update, 0 unchanged`},
		{"waves: definitions, settings, workloads, resources, admission",
			change(settled(), func(f *Facts) {
				f.Kinds = settled(hook, cart, web, conf, crd, ns).Kinds
				f.Set = agent.NewSet([]agent.Object{object(hook, "d"), object(cart, "d"), object(web, "d"), object(conf, "d"), object(crd, "d"), object(ns, "d")})
			}), `
+ create Namespace/shop  (new in Git)
+ create CustomResourceDefinition/carts.shop.dev  (new in Git)
+ create ConfigMap/shop/conf  (new in Git)
+ create Deployment/shop/web  (new in Git)
+ create Cart.shop.dev/shop/one  (new in Git)
+ create ValidatingWebhookConfiguration/shop  (new in Git)
6 to create, 0 unchanged`},
		{"an object that left Git, after everything else and in reverse order",
			drop(drop(swap(settled(ns, web, conf, hook), object(conf, "d2")), web), hook), `
~ update ConfigMap/shop/conf  (changed in Git)
- delete ValidatingWebhookConfiguration/shop  (left Git)
- delete Deployment/shop/web  (left Git)
1 to update, 2 to delete, 1 unchanged`},
		{"deleted by somebody", change(settled(web, conf), func(f *Facts) { delete(f.Live, web) }), `
+ create Deployment/shop/web  (gone from the cluster)
1 to create, 1 unchanged`},
		{"drift is corrected", live(settled(web), web, func(l *agent.Live) { l.Fields = "f2" }), `
~ update Deployment/shop/web  (changed in the cluster)
1 to update, 0 unchanged`},
		{"the ownership label is removed", live(settled(web), web, func(l *agent.Live) { l.Owner = agent.Owner{} }), `
~ update Deployment/shop/web  (changed in the cluster)
1 to update, 0 unchanged`},
		{"drift is only reported", change(live(settled(web), web, func(l *agent.Live) { l.Fields = "f2" }), func(f *Facts) { f.Drift = v1alpha1.DriftReport }), `
0 to do, 1 unchanged`},
		{"drift of a fought-over object waits", change(live(settled(web), web, func(l *agent.Live) { l.Fields = "f2" }), func(f *Facts) { f.Fighting = map[agent.Ref]string{web: "a fight"} }), `
0 to do, 1 unchanged`},
		{"a commit wins over a fight", swap(change(live(settled(web), web, func(l *agent.Live) { l.Fields = "f2" }), func(f *Facts) { f.Fighting = map[agent.Ref]string{web: "a fight"} }), object(web, "d2")), `
~ update Deployment/shop/web  (changed in Git)
1 to update, 0 unchanged`},
		{"announced and never applied", change(settled(web), func(f *Facts) { f.Inventory[web] = agent.Entry{Version: "v1"} }), `
~ update Deployment/shop/web  (in the cluster, not yet applied by this Overlay)
1 to update, 0 unchanged`},
		{"another overlay's object", live(settled(web), web, func(l *agent.Live) { l.Owner = other }), `
! update Deployment/shop/web: it belongs to Overlay platform/bank: remove it from one of the two, or annotate it with sluice.dev/force: owner to take it over
1 refused, 0 unchanged`},
		{"another overlay's object that it has let go",
			change(live(settled(web), web, func(l *agent.Live) { l.Owner = other }), func(f *Facts) {
				f.Claims = fixed{released: true}
				f.Inventory = agent.Inventory{}
			}), `
~ update Deployment/shop/web  (in the cluster, not yet applied by this Overlay)
1 to update, 0 unchanged`},
		{"another tool's object", change(live(settled(web), web, func(l *agent.Live) { l.Owner, l.Foreign = agent.Owner{}, "Helm release web" }), func(f *Facts) { f.Inventory = agent.Inventory{} }), `
! update Deployment/shop/web: it belongs to Helm release web: remove it there first, or annotate it with sluice.dev/force: owner to take it over
1 refused, 0 unchanged`},
		{"another tool's object, taken over on request",
			swap(change(live(settled(web), web, func(l *agent.Live) { l.Owner, l.Foreign = agent.Owner{}, "Helm release web" }), func(f *Facts) { f.Inventory = agent.Inventory{} }),
				with(object(web, "d1"), func(o *agent.Options) { o.ForceOwner = true })), `
~ update Deployment/shop/web  (in the cluster, not yet applied by this Overlay)
1 to update, 0 unchanged`},
		{"apply once", swap(settled(web), with(object(web, "d2"), func(o *agent.Options) { o.ApplyOnce = true })), `
0 to do, 1 unchanged`},
		{"apply never, after it was applied", swap(settled(web), with(object(web, "d2"), func(o *agent.Options) { o.Ignore = true })), `
  forget Deployment/shop/web  (left alone from now on: sluice.dev/apply: never)
1 to forget, 0 unchanged`},
		{"interrupted between the delete and the create of a replace, though drift is only reported", change(settled(web), func(f *Facts) {
			delete(f.Live, web)
			f.Inventory[web] = agent.Entry{Version: "v1", Fields: "f1"}
			f.Drift = v1alpha1.DriftReport
		}), `
+ create Deployment/shop/web  (new in Git)
1 to create, 0 unchanged`},
		{"interrupted between an update and its record", change(settled(web), func(f *Facts) { f.Inventory[web] = agent.Entry{Version: "v1", Fields: "f1"} }), `
~ update Deployment/shop/web  (changed in Git)
1 to update, 0 unchanged`},
		{"apply never", swap(change(settled(web), func(f *Facts) { f.Inventory = agent.Inventory{} }), with(object(web, "d2"), func(o *agent.Options) { o.Ignore = true })), `
0 to do, 1 unchanged`},
		{"no namespace where there must be one", change(settled(), func(f *Facts) {
			f.Set = agent.NewSet([]agent.Object{object(agent.Ref{Kind: "ConfigMap", Name: "x"}, "d")})
			f.Kinds[schema.GroupKind{Kind: "ConfigMap"}] = Kind{Namespaced: true}
		}), `
! create ConfigMap/x: it has no namespace: set metadata.namespace, namespace in kustomization.yaml, or spec.targetNamespace of the Overlay
1 refused, 0 unchanged`},
		{"an object being deleted", live(settled(web), web, func(l *agent.Live) { l.Deleting, l.Finalizers = true, []string{"shop.dev/wait"} }), `
! update Deployment/shop/web: it is being deleted and waits for its finalizers: shop.dev/wait
1 refused, 0 unchanged`},
		{"an API group that does not answer stops only its objects",
			swap(change(settled(web, cart), func(f *Facts) { f.Unknown[cart] = errors.New("the API server cannot list Cart.shop.dev") }), object(web, "d2")), `
~ update Deployment/shop/web  (changed in Git)
! update Cart.shop.dev/shop/one: the API server cannot list Cart.shop.dev
1 to update, 1 refused, 0 unchanged`},
		{"replace on request", swap(change(settled(web), func(f *Facts) { f.Replaceable = map[agent.Ref]Replaceable{web: {Immutable: true, Valid: true}} }), object(web, "d2")), `
± replace Deployment/shop/web  (an immutable field changes, and the object asks for sluice.dev/force: replace)
1 to replace, 0 unchanged`},
		{"replace of an invalid object is refused", swap(change(settled(web), func(f *Facts) {
			f.Replaceable = map[agent.Ref]Replaceable{web: {Immutable: true, Message: "spec.replicas: must be >= 0"}}
		}), object(web, "d2")), `
! replace Deployment/shop/web: an immutable field changes, but the new object would be refused, so the live one stays: spec.replicas: must be >= 0
1 refused, 0 unchanged`},
		{"replace of a claim is refused", swap(change(settled(pvc), func(f *Facts) { f.Replaceable = map[agent.Ref]Replaceable{pvc: {Immutable: true, Valid: true}} }), object(pvc, "d2")), `
! replace PersistentVolumeClaim/shop/data: an immutable field changes, and it is never replaced: the data would go with it; create one under a new name and move the data
1 refused, 0 unchanged`},
		{"prune: moved to another overlay", live(drop(settled(web, conf), web), web, func(l *agent.Live) { l.Owner = other }), `
  forget Deployment/shop/web  (moved to Overlay platform/bank)
1 to forget, 1 unchanged`},
		{"prune: another overlay is about to take it", change(drop(settled(web, conf), web), func(f *Facts) { f.Claims = fixed{wanted: map[agent.Ref]agent.Owner{web: other}, settled: true} }), `
! delete Deployment/shop/web: Overlay platform/bank is about to take it over
1 refused, 1 unchanged`},
		{"prune: others have not looked yet", change(drop(settled(web, conf), web), func(f *Facts) { f.Claims = fixed{} }), `
! delete Deployment/shop/web: waiting for the other Overlays of the Repository to look at this revision: one of them may take it over
1 refused, 1 unchanged`},
		{"prune: labels were removed", live(drop(settled(web, conf), web), web, func(l *agent.Live) { l.Owner = agent.Owner{} }), `
  forget Deployment/shop/web  (left Git; its ownership labels were removed, so it stays)
1 to forget, 1 unchanged`},
		{"prune: off", change(drop(settled(web, conf), web), func(f *Facts) { f.Prune = false }), `
  forget Deployment/shop/web  (left Git; it stays: spec.prune is false)
1 to forget, 1 unchanged`},
		{"prune: disabled for the object", live(drop(settled(web, conf), web), web, func(l *agent.Live) { l.KeepOnPrune = true }), `
  forget Deployment/shop/web  (left Git; it stays: sluice.dev/prune: disabled)
1 to forget, 1 unchanged`},
		{"prune: everything", drop(drop(settled(web, conf), web), conf), `
! delete ConfigMap/shop/conf: this revision would delete all 2 objects of the Overlay: if that is meant, annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
! delete Deployment/shop/web: this revision would delete all 2 objects of the Overlay: if that is meant, annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
2 refused, 0 unchanged`},
		{"prune: everything but what is left alone", swap(drop(drop(settled(web, conf), web), conf), with(object(pvc, "d1"), func(o *agent.Options) { o.Ignore = true })), `
! delete ConfigMap/shop/conf: this revision would delete all 2 objects of the Overlay: if that is meant, annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
! delete Deployment/shop/web: this revision would delete all 2 objects of the Overlay: if that is meant, annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
2 refused, 1 unchanged`},
		{"prune: everything, allowed for this commit", change(drop(drop(settled(web, conf), web), conf), func(f *Facts) { f.AllowPrune = "4f2a9c1" }), `
- delete Deployment/shop/web  (left Git)
- delete ConfigMap/shop/conf  (left Git)
2 to delete, 0 unchanged`},
		{"prune: everything, allowed for another commit", change(drop(settled(conf), conf), func(f *Facts) { f.AllowPrune = "0000000" }), `
! delete ConfigMap/shop/conf: this revision would delete all 1 objects of the Overlay: if that is meant, annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
1 refused, 0 unchanged`},
		{"prune: a namespace with other overlays' objects", change(drop(settled(ns, conf), ns), func(f *Facts) { f.Held = map[agent.Ref]string{ns: "3 objects of other Overlays in the namespace"} }), `
! delete Namespace/shop: deleting it would also delete 3 objects of other Overlays in the namespace: move them away, or annotate the Overlay with sluice.dev/allow-prune: 4f2a9c1e8b7d
1 refused, 1 unchanged`},
		{"farewell: everything goes", change(drop(drop(settled(web, conf), web), conf), func(f *Facts) { f.Farewell = true }), `
- delete Deployment/shop/web  (left Git)
- delete ConfigMap/shop/conf  (left Git)
2 to delete, 0 unchanged`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := strings.TrimPrefix(strings.TrimPrefix(c.want, "\n"), "0 to do, ") + "\n"
			if got := Make(c.facts).String(); got != want {
				t.Errorf("plan:\n%swant:\n%s", got, want)
			}
		})
	}
}

// What counts as taking fields from others decides whether a conflict is reported or overruled.
func TestTakeFields(t *testing.T) {
	cases := []struct {
		name  string
		facts Facts
		want  bool
	}{
		{"new objects never take", change(settled(), func(f *Facts) { *f = swap(*f, object(web, "d")) }), false},
		{"a commit does not take", swap(settled(web), object(web, "d2")), false},
		{"a commit over drift takes back", live(swap(settled(web), object(web, "d2")), web, func(l *agent.Live) { l.Fields = "f2" }), true},
		{"drift takes back", live(settled(web), web, func(l *agent.Live) { l.Fields = "f2" }), true},
		{"the annotation takes", swap(settled(web), with(object(web, "d2"), func(o *agent.Options) { o.ForceFields = true })), true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := Make(c.facts)
			if len(p.Changes) != 1 || p.Changes[0].TakeFields != c.want {
				t.Errorf("TakeFields of %v, want %v", p.Changes, c.want)
			}
		})
	}
}

func TestPlanDigestNamesTheChanges(t *testing.T) {
	a, b := Make(swap(settled(web), object(web, "d2"))), Make(swap(settled(web), object(web, "d3")))
	if a.Digest() == b.Digest() {
		t.Error("two different plans have one digest")
	}
	if a.Digest() != Make(swap(settled(web), object(web, "d2"))).Digest() {
		t.Error("the same plan has two digests")
	}
}

func BenchmarkMakeNothingChanged(b *testing.B) {
	var refs []agent.Ref
	for n := range 1000 {
		refs = append(refs, agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "c" + string(rune('a'+n%26)) + strings.Repeat("x", n/26)})
	}
	f := settled(refs...)
	b.ReportAllocs()
	for b.Loop() {
		Make(f)
	}
}
