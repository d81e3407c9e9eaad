package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Prepare returns the object that is applied for a rendered one. The error says what is wrong
// with it and what to do.
func Prepare(rendered map[string]any, origin string, owner agent.Owner) (agent.Object, error) {
	ref, version, err := Identify(rendered)
	if err != nil {
		return agent.Object{}, err
	}
	object := agent.Object{Ref: ref, Version: version, Origin: origin}
	fields := maps.Clone(rendered)
	metadata, _ := fields["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	fields["metadata"] = metadata
	annotations, err := stringMap(metadata["annotations"])
	if err != nil {
		return object, fmt.Errorf("metadata.annotations: %w", err)
	}
	if object.Options, err = options(annotations); err != nil {
		return object, err
	}
	labels, err := stringMap(metadata["labels"])
	if err != nil {
		return object, fmt.Errorf("metadata.labels: %w", err)
	}
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]any{}
	}
	labels[v1alpha1.OverlayLabel], labels[v1alpha1.OverlayNamespaceLabel] = owner.Name, owner.Namespace
	metadata["labels"] = labels
	for _, field := range serverOwned {
		delete(metadata, field)
	}
	delete(fields, "status")
	yield(ref, fields)
	if object.JSON, err = Canonical(fields); err != nil {
		return object, err
	}
	object.Digest = agent.DigestOf(object.JSON)
	return object, nil
}

// serverOwned are the fields of metadata that only the API server sets.
var serverOwned = []string{"creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// Identify reads the name of an object.
func Identify(fields map[string]any) (agent.Ref, string, error) {
	apiVersion, _ := fields["apiVersion"].(string)
	kind, _ := fields["kind"].(string)
	metadata, _ := fields["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		group, version = "", apiVersion
	}
	ref := agent.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name}
	switch {
	case apiVersion == "" || kind == "":
		return ref, version, fmt.Errorf("an object without apiVersion or kind: every document of a manifest needs both")
	case name == "" && metadata["generateName"] != nil:
		return ref, version, fmt.Errorf("%s: generateName cannot be applied again and again: give it a name", kind)
	case name == "":
		return ref, version, fmt.Errorf("%s: metadata.name is missing", kind)
	}
	return ref, version, nil
}

// Canonical encodes an object: keys sorted, no space, no HTML escapes.
func Canonical(fields map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		return nil, fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stringMap checks that all values are strings, as the API server will.
func stringMap(value any) (map[string]any, error) {
	m, _ := value.(map[string]any)
	for key, v := range m {
		if _, ok := v.(string); !ok && v != nil {
			return nil, fmt.Errorf("the value of %s must be a string: put it in quotes", key)
		}
	}
	return m, nil
}

// WithoutNamespace returns an object of cluster scope that came with a namespace as it is
// applied: without one.
func WithoutNamespace(o agent.Object) (agent.Object, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(o.JSON))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return o, err
	}
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "namespace")
	}
	var err error
	if o.JSON, err = Canonical(fields); err != nil {
		return o, err
	}
	o.Ref.Namespace, o.Digest = "", agent.DigestOf(o.JSON)
	return o, nil
}
