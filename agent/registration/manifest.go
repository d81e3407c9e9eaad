package registration

import (
	"encoding/json"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// JSON is the manifest of a ModelVersion, with its fields in the order in which they are read. Without a
// namespace it is for Kustomize to set one.
func JSON(namespace string, spec v1alpha1.ModelVersionSpec) ([]byte, error) {
	type metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace,omitempty"`
	}
	text, err := json.MarshalIndent(struct {
		APIVersion string                    `json:"apiVersion"`
		Kind       string                    `json:"kind"`
		Metadata   metadata                  `json:"metadata"`
		Spec       v1alpha1.ModelVersionSpec `json:"spec"`
	}{v1alpha1.GroupVersion.String(), v1alpha1.ModelVersionKind, metadata{Name(spec.Model, spec.Version), namespace}, spec}, "", "  ")
	return append(text, '\n'), err
}

// YAML is the same manifest, as people write it.
func YAML(namespace string, spec v1alpha1.ModelVersionSpec) ([]byte, error) {
	text, err := JSON(namespace, spec)
	if err != nil {
		return nil, err
	}
	node, err := kyaml.Parse(string(text))
	if err != nil {
		return nil, err
	}
	block(node.YNode())
	out, err := node.String()
	return []byte(out), err
}

// block writes nodes as people do.
func block(node *kyaml.Node) {
	node.Style = 0
	for _, inner := range node.Content {
		block(inner)
	}
}
