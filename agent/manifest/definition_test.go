package manifest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
)

// A definition reads the same from Git and from the cluster.
func TestDefinition(t *testing.T) {
	carts := Definition{
		Group: "shop.dev", Kind: "Cart", Plural: "carts", Namespaced: true,
		Versions: []DefinedVersion{{Name: "v1alpha1"}, {Name: "v1", Served: true}, {Name: "v2", Served: true, Storage: true}},
	}
	for _, test := range []struct {
		name, in string
		want     Definition
		defines  bool
	}{
		{"all of it", `spec: {group: shop.dev, scope: Namespaced, names: {kind: Cart, plural: carts, shortNames: [c]}, versions: [{name: v1alpha1, served: false}, {name: v1, served: true, schema: {openAPIV3Schema: {type: object}}}, {name: v2, served: true, storage: true}]}`, carts, true},
		{"cluster scope, no versions", `spec: {group: shop.dev, scope: Cluster, names: {kind: Cart}}`, Definition{Group: "shop.dev", Kind: "Cart"}, true},
		{"no kind", `spec: {group: shop.dev}`, Definition{Group: "shop.dev"}, false},
		{"no group", `spec: {names: {kind: Cart}}`, Definition{Kind: "Cart"}, false},
		{"no spec", `status: {}`, Definition{}, false},
		{"names in other letters", `Spec: {group: shop.dev, names: {kind: Cart}}`, Definition{}, false},
		{"a spec that is none", `spec: [shop.dev]`, Definition{}, false},
		{"versions that are none", `spec: {group: shop.dev, names: {kind: Cart}, versions: {v1: {}}}`, Definition{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := fields(t, test.in)
			text, err := Canonical(in)
			if err != nil {
				t.Fatal(err)
			}
			crd := agent.Ref{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "carts.shop.dev"}
			got, defines := DefinitionOf(agent.Object{Ref: crd, JSON: text})
			if defines != test.defines || !reflect.DeepEqual(got, test.want) {
				t.Errorf("from Git: %+v, %t", got, defines)
			}
			if got, defines = LiveDefinition(in); defines != test.defines || !reflect.DeepEqual(got, test.want) {
				t.Errorf("from the cluster: %+v, %t", got, defines)
			}
		})
	}
	if got := strings.Join(carts.Served(), " "); got != "v1 v2" || carts.GroupKind().String() != "Cart.shop.dev" {
		t.Errorf("served: %s, of %s", got, carts.GroupKind())
	}
	text := []byte(`{"spec":{"group":"shop.dev","names":{"kind":"Cart"}}}`)
	for _, ref := range []agent.Ref{
		{Group: "shop.dev", Kind: "CustomResourceDefinition", Name: "a"}, {Group: "apiextensions.k8s.io", Kind: "Cart", Name: "a"},
	} {
		if got, defines := DefinitionOf(agent.Object{Ref: ref, JSON: text}); defines {
			t.Errorf("%s defines %+v", ref, got)
		}
	}
	if _, defines := DefinitionOf(agent.Object{Ref: agent.Ref{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}}); defines {
		t.Error("an object without JSON, as in a delete, defines something")
	}
}
