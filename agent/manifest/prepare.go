package manifest

import (
	"fmt"
	"maps"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Prepare returns the object that is applied for a rendered one. The error says what is wrong
// with it and what to do; the object then still has its Ref, as far as it has one. An object
// whose wishes are not understood is returned as Refused, without any.
func Prepare(rendered map[string]any, origin string, owner agent.Owner) (agent.Object, error) {
	ref, version, err := Identify(rendered)
	object := agent.Object{Ref: ref, Version: version, Origin: origin}
	if err != nil {
		return object, err
	}
	fields := maps.Clone(rendered)
	metadata := maps.Clone(rendered["metadata"].(map[string]any)) // Identify saw it
	fields["metadata"] = metadata
	annotations, err := texts(metadata, "annotations")
	if err != nil {
		return object, err
	}
	if object.Options, err = options(annotations); err != nil {
		object.Refused = err.Error()
	}
	labels, err := texts(metadata, "labels")
	if err != nil {
		return object, err
	}
	metadata["labels"] = owned(labels, owner)
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
var serverOwned = []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// owned returns labels with those of the owner.
func owned(labels map[string]any, owner agent.Owner) map[string]any {
	all := make(map[string]any, len(labels)+2)
	maps.Copy(all, labels)
	if owner.Kind == agent.ModelOwner {
		all[v1alpha1.ModelLabel], all[v1alpha1.ModelNamespaceLabel] = owner.Name, owner.Namespace
	} else {
		all[v1alpha1.OverlayLabel], all[v1alpha1.OverlayNamespaceLabel] = owner.Name, owner.Namespace
	}
	return all
}

// Identify reads the name of an object and the version of its API.
func Identify(fields map[string]any) (agent.Ref, string, error) {
	apiVersion, _ := fields["apiVersion"].(string)
	kind, _ := fields["kind"].(string)
	metadata, _ := fields["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	group, version, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group, version = "", apiVersion
	}
	ref := agent.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name}
	switch {
	case kind == "" && apiVersion == "":
		return ref, version, fmt.Errorf("an object has no apiVersion and no kind: every document of a manifest needs both")
	case kind == "":
		return ref, version, fmt.Errorf("an object has no kind: add one")
	case apiVersion == "":
		return ref, version, fmt.Errorf("an object of kind %s has no apiVersion: add one", kind)
	case version == "" || grouped && group == "" || strings.Contains(version, "/"):
		return ref, version, fmt.Errorf("the apiVersion %q is not of the form group/version or version: mend it", apiVersion)
	case name == "" && metadata["generateName"] != nil:
		return ref, version, fmt.Errorf("an object of kind %s has generateName, which would create another one each time: give it a name", kind)
	case name == "" && metadata["name"] != nil && metadata["name"] != "":
		return ref, version, fmt.Errorf("metadata.name of an object of kind %s is not a string: put it in quotes", kind)
	case name == "":
		return ref, version, fmt.Errorf("an object of kind %s has no metadata.name: add one", kind)
	case metadata["namespace"] != nil && metadata["namespace"] != "" && namespace == "":
		return ref, version, fmt.Errorf("metadata.namespace is not a string: put it in quotes")
	}
	return ref, version, nil
}

// texts reads a mapping of strings in metadata, and refuses what the API server would. A value
// may be empty.
func texts(metadata map[string]any, field string) (map[string]any, error) {
	if metadata[field] == nil {
		return nil, nil
	}
	m, ok := metadata[field].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("metadata.%s is not a mapping: write name: value under it", field)
	}
	for name, value := range m {
		if _, ok := value.(string); !ok && value != nil {
			return nil, fmt.Errorf("the value of %s in metadata.%s is not a string: put it in quotes", name, field)
		}
	}
	return m, nil
}
