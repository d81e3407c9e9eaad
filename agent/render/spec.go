package render

import (
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/sluice-dev/sluice/agent"
)

// Spec is what is rendered and how.
type Spec struct {
	// Path of the directory, relative to the root of the tree.
	Path string

	TargetNamespace string            `json:",omitempty"`
	NamePrefix      string            `json:",omitempty"`
	NameSuffix      string            `json:",omitempty"`
	CommonMetadata  CommonMetadata    `json:",omitzero"`
	Patches         []kustomize.Patch `json:",omitempty"`
	Images          []kustomize.Image `json:",omitempty"`
	// Components are paths relative to Path.
	Components []string `json:",omitempty"`
	// Substitute replaces variables; nil for none.
	Substitute *Substitute `json:",omitempty"`

	// Owner is the Overlay whose objects they are.
	Owner agent.Owner
}

// CommonMetadata is set on every object.
type CommonMetadata struct {
	Labels      map[string]string `json:",omitempty"`
	Annotations map[string]string `json:",omitempty"`
}

// Substitute gives values to ${VARIABLES} in the objects that ask for it.
type Substitute struct {
	Variables map[string]string
	Targets   []kustomize.Selector `json:",omitempty"`
}
