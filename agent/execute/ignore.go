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
	trimmed, err := without(c.Object, c.Ignored)
	if err != nil {
		return agent.Live{}, err
	}
	if c.Verb == agent.Create {
		if _, err := s.Apply(ctx, c.Object, v1alpha1.FieldManager, c.TakeFields); err != nil {
			return agent.Live{}, err
		}
	}
	live, err := s.Get(ctx, c.Ref, c.Object.Version)
	if err != nil {
		return agent.Live{}, err
	}
	if live != nil && ownsAny(live, c.Ignored) {
		handover, err := only(live, c.Ignored)
		if err != nil {
			return agent.Live{}, err
		}
		if _, err := s.Apply(ctx, agent.Object{Ref: c.Ref, Version: c.Object.Version, JSON: handover}, caretaker, true); err != nil {
			return agent.Live{}, err
		}
	}
	return s.Apply(ctx, trimmed, v1alpha1.FieldManager, c.TakeFields)
}

// without returns the object less the fields at the pointers.
func without(o agent.Object, pointers []string) (agent.Object, error) {
	var fields map[string]any
	if err := json.Unmarshal(o.JSON, &fields); err != nil {
		return o, fmt.Errorf("%s: %w", o.Ref, err)
	}
	for _, p := range pointers {
		drop(fields, segments(p))
	}
	trimmed, err := json.Marshal(fields)
	if err != nil {
		return o, fmt.Errorf("%s: %w", o.Ref, err)
	}
	o.JSON = trimmed
	return o, nil
}

// only returns the identity of a live object and its values at the pointers. The resource
// version makes the API server refuse it when somebody changed a value meanwhile.
func only(live *unstructured.Unstructured, pointers []string) ([]byte, error) {
	part := map[string]any{}
	for _, p := range pointers {
		part, _ = pick(part, live.Object, segments(p)).(map[string]any)
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
