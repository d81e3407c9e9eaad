package execute

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// caretaker is the field manager that holds fields which spec.ignore leaves to somebody
// else, until that somebody writes them. Without it, server-side apply would remove a field
// at the moment Sluice stops applying it, and an autoscaled Deployment would fall to one
// replica.
const caretaker = "sluice-ignored"

// applyAround applies an object without its ignored fields. A new object is created with
// them, so that it starts as Git says; then they are handed over to the caretaker.
func applyAround(ctx context.Context, s *cluster.Session, c agent.Change) (agent.Live, error) {
	var wanted map[string]any
	if err := json.Unmarshal(c.Object.JSON, &wanted); err != nil {
		return agent.Live{}, fmt.Errorf("%s: %w", c.Ref, err)
	}
	uid := c.UID
	if c.Verb == agent.Create {
		created, err := s.Apply(ctx, c.Object, "", v1alpha1.FieldManager, c.TakeFields)
		if err != nil {
			return agent.Live{}, err
		}
		uid = created.UID
	}
	live, err := s.Get(ctx, c.Ref, c.Object.Version)
	if err != nil {
		return agent.Live{}, err
	}
	if live != nil && ownsAny(live, c.Object.Ignored) {
		handover, err := only(live, wanted, c.Object.Ignored)
		if err != nil {
			return agent.Live{}, err
		}
		if _, err := s.Apply(ctx, agent.Object{Ref: c.Ref, Version: c.Object.Version, JSON: handover}, uid, caretaker, true); err != nil {
			return agent.Live{}, err
		}
	}
	trimmed := c.Object
	if trimmed.JSON, err = without(wanted, c.Object.Ignored); err != nil {
		return agent.Live{}, err
	}
	return s.Apply(ctx, trimmed, uid, v1alpha1.FieldManager, c.TakeFields)
}

// without returns an object less the fields at the pointers, and changes it.
func without(wanted map[string]any, pointers []string) ([]byte, error) {
	for _, p := range pointers {
		drop(wanted, segments(p))
	}
	return json.Marshal(wanted)
}

// Around returns what is wanted of an object with the live values of the fields that are left
// to somebody else.
func Around(o agent.Object, live *unstructured.Unstructured) (map[string]any, error) {
	var wanted map[string]any
	if err := json.Unmarshal(o.JSON, &wanted); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Ref, err)
	}
	for _, p := range o.Ignored {
		path := segments(p)
		last := len(path) - 1
		parent, _ := at(wanted, path[:last])
		fields, ok := parent.(map[string]any)
		if !ok {
			continue // there is nothing to leave out, or a whole element of a list
		}
		if value, there := at(live.Object, inLive(path, wanted, live.Object)); there {
			fields[path[last]] = value
		} else {
			delete(fields, path[last])
		}
	}
	return wanted, nil
}

// inLive turns a path that counts the elements of lists as Git does into one that counts as
// the live object does: an element is found by its name, for somebody may have put others
// before it. Elements without a name are taken by their place.
func inLive(path []string, wanted, live any) []string {
	found := make([]string, 0, len(path))
	for _, segment := range path {
		wanted, _ = child(wanted, segment)
		if elements, ok := live.([]any); ok {
			segment = placeOf(elements, wanted, segment)
		}
		live, _ = child(live, segment)
		found = append(found, segment)
	}
	return found
}

// placeOf returns the place of the element with the name of the wanted one, or else the given.
func placeOf(elements []any, wanted any, segment string) string {
	element, _ := wanted.(map[string]any)
	if element["name"] == nil {
		return segment
	}
	for n, e := range elements {
		if e, ok := e.(map[string]any); ok && e["name"] == element["name"] {
			return strconv.Itoa(n)
		}
	}
	return segment
}

// child returns the value below a key or a place in a list.
func child(node any, segment string) (any, bool) {
	switch node := node.(type) {
	case map[string]any:
		value, there := node[segment]
		return value, there
	case []any:
		if n, err := strconv.Atoi(segment); err == nil && n >= 0 && n < len(node) {
			return node[n], true
		}
	}
	return nil, false
}

// at returns the value at the end of a path.
func at(node any, path []string) (any, bool) {
	there := true
	for _, segment := range path {
		if node, there = child(node, segment); !there {
			return nil, false
		}
	}
	return node, true
}

// only returns the identity of a live object and its values at the pointers, which count as
// the wanted object does. The resource version makes the API server refuse it when somebody
// changed a value meanwhile.
func only(live *unstructured.Unstructured, wanted map[string]any, pointers []string) ([]byte, error) {
	part := map[string]any{}
	for _, p := range pointers {
		part, _ = pick(part, live.Object, inLive(segments(p), wanted, live.Object)).(map[string]any)
	}
	part["apiVersion"], part["kind"] = live.GetAPIVersion(), live.GetKind()
	metadata, _ := part["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["name"], metadata["resourceVersion"] = live.GetName(), live.GetResourceVersion()
	if ns := live.GetNamespace(); ns != "" {
		metadata["namespace"] = ns
	}
	part["metadata"] = metadata
	return json.Marshal(part)
}

// pick copies the value at a path of from into part and returns part. Elements of lists keep
// their name, by which the API server finds them.
func pick(part, from any, path []string) any {
	if len(path) == 0 {
		return from
	}
	switch from := from.(type) {
	case map[string]any:
		value, ok := from[path[0]]
		if !ok {
			return part
		}
		m, _ := part.(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		if picked := pick(m[path[0]], value, path[1:]); picked != nil {
			m[path[0]] = picked
		}
		return m
	case []any:
		n, err := strconv.Atoi(path[0])
		if err != nil || n < 0 || n >= len(from) {
			return part
		}
		picked := pick(nil, from[n], path[1:])
		if m, ok := picked.(map[string]any); ok {
			if element, ok := from[n].(map[string]any); ok && element["name"] != nil {
				m["name"] = element["name"]
			}
		}
		list, _ := part.([]any)
		return append(list, picked)
	}
	return part
}

func drop(from any, path []string) {
	switch from := from.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(from, path[0])
			return
		}
		drop(from[path[0]], path[1:])
	case []any:
		if n, err := strconv.Atoi(path[0]); err == nil && n >= 0 && n < len(from) && len(path) > 1 {
			drop(from[n], path[1:])
		}
	}
}

// ownsAny tells whether Sluice owns one of the fields. Inside lists it does not look closer
// and says yes, which costs one write more than needed and no more.
func ownsAny(live *unstructured.Unstructured, pointers []string) bool {
	for _, e := range live.GetManagedFields() {
		if e.Manager != v1alpha1.FieldManager || e.Operation != metav1.ManagedFieldsOperationApply || e.FieldsV1 == nil {
			continue
		}
		var owned map[string]any
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &owned); err != nil {
			return true
		}
		for _, p := range pointers {
			if owns(owned, segments(p)) {
				return true
			}
		}
	}
	return false
}

func owns(owned map[string]any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	if _, err := strconv.Atoi(path[0]); err == nil {
		return true
	}
	next, ok := owned["f:"+path[0]].(map[string]any)
	return ok && owns(next, path[1:])
}

// segments splits a JSON pointer.
func segments(pointer string) []string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for n, p := range parts {
		parts[n] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts
}

// lastWriter names the manager that wrote last, other than Sluice and status writers. Some
// entries, those of the scale subresource among them, have no time; they count as oldest.
func lastWriter(object *unstructured.Unstructured) string {
	name, newest := "somebody", time.Time{}
	for _, e := range object.GetManagedFields() {
		if e.Manager == v1alpha1.FieldManager || e.Subresource == "status" {
			continue
		}
		at := time.Time{}
		if e.Time != nil {
			at = e.Time.Time
		}
		if !at.Before(newest) {
			name, newest = e.Manager, at
		}
	}
	return name
}
