package manifest

import (
	"github.com/sluice-dev/sluice/agent"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/json"
)

// Definition is what a CustomResourceDefinition says about the kind it defines.
type Definition struct {
	Group, Kind, Plural string
	// Namespaced: objects of the kind live in a namespace.
	Namespaced bool
	Versions   []DefinedVersion
}

// DefinedVersion is one version in which a kind can be written.
type DefinedVersion struct {
	Name            string
	Served, Storage bool
}

// GroupKind is the kind that is defined.
func (d Definition) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: d.Group, Kind: d.Kind}
}

// Served lists the versions that can be asked for.
func (d Definition) Served() []string {
	var names []string
	for _, v := range d.Versions {
		if v.Served {
			names = append(names, v.Name)
		}
	}
	return names
}

// Defines tells whether an object is a definition, by its name alone.
func Defines(ref agent.Ref) bool {
	return ref.Group == "apiextensions.k8s.io" && ref.Kind == "CustomResourceDefinition"
}

// DefinitionOf reads what an object defines. It is false for objects that are no definitions,
// and for those that name no kind, which the API server would refuse.
func DefinitionOf(o agent.Object) (Definition, bool) {
	var d definition
	if !Defines(o.Ref) || json.UnmarshalCaseSensitivePreserveInts(o.JSON, &d) != nil {
		return Definition{}, false
	}
	return d.read()
}

// LiveDefinition is DefinitionOf for the fields of an object in the cluster.
func LiveDefinition(fields map[string]any) (Definition, bool) {
	var d definition
	if runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &d) != nil {
		return Definition{}, false
	}
	return d.read()
}

// definition is the part of a CustomResourceDefinition that is read. Schemas, which make them
// large, are passed over.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Scope string `json:"scope"`
		Names struct {
			Kind   string `json:"kind"`
			Plural string `json:"plural"`
		} `json:"names"`
		Versions []struct {
			Name    string `json:"name"`
			Served  bool   `json:"served"`
			Storage bool   `json:"storage"`
		} `json:"versions"`
	} `json:"spec"`
}

func (d definition) read() (Definition, bool) {
	read := Definition{Group: d.Spec.Group, Kind: d.Spec.Names.Kind, Plural: d.Spec.Names.Plural, Namespaced: d.Spec.Scope == "Namespaced"}
	for _, v := range d.Spec.Versions {
		read.Versions = append(read.Versions, DefinedVersion(v))
	}
	return read, read.Group != "" && read.Kind != ""
}
