package kserve

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// status is a status in Knative's style: conditions sorted by type, of which Ready sums up those
// that are not of severity Info.
type status map[string]any

func statusOf(o *unstructured.Unstructured) status {
	fields, _, _ := unstructured.NestedMap(o.Object, "status")
	if fields == nil {
		fields = map[string]any{}
	}
	return fields
}

// at returns the object at a path, made if it is not there.
func (s status) at(path ...string) map[string]any {
	fields := map[string]any(s)
	for _, key := range path {
		next, ok := fields[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			fields[key] = next
		}
		fields = next
	}
	return fields
}

// condition is one of the conditions.
type condition struct{ name, value, reason, message, severity string }

// mark sets a condition. Its time only changes with its value.
func (s status) mark(c condition) {
	fields := map[string]any{"type": c.name, "status": c.value, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}
	for key, value := range map[string]string{"reason": c.reason, "message": c.message, "severity": c.severity} {
		if value != "" {
			fields[key] = value
		}
	}
	items, _ := s["conditions"].([]any)
	at := slices.IndexFunc(items, func(item any) bool { return item.(map[string]any)["type"] == c.name })
	if at < 0 {
		items = append(items, fields)
	} else {
		if before := items[at].(map[string]any); before["status"] == c.value {
			fields["lastTransitionTime"] = before["lastTransitionTime"]
		}
		items[at] = fields
	}
	slices.SortFunc(items, func(a, b any) int {
		return cmp.Compare(a.(map[string]any)["type"].(string), b.(map[string]any)["type"].(string))
	})
	s["conditions"] = items
}

// unmark removes a condition.
func (s status) unmark(name string) {
	items, _ := s["conditions"].([]any)
	s["conditions"] = slices.DeleteFunc(items, func(item any) bool { return item.(map[string]any)["type"] == name })
}

func (s status) condition(name string) condition {
	items, _ := s["conditions"].([]any)
	for _, item := range items {
		if fields := item.(map[string]any); fields["type"] == name {
			text := func(key string) string { text, _ := fields[key].(string); return text }
			return condition{name, text("status"), text("reason"), text("message"), text("severity")}
		}
	}
	return condition{name: name, value: "Unknown"}
}

// sum makes Ready of others: False if one is, Unknown if one is not known.
func (s status) sum(of ...string) {
	ready := condition{name: "Ready", value: "True"}
	for _, name := range of {
		c := s.condition(name)
		if c.value == "False" || c.value != "True" && ready.value == "True" {
			ready.value, ready.reason, ready.message = c.value, c.reason, c.message
		}
		if c.value == "False" {
			break
		}
	}
	s.mark(ready)
}

// write writes a status if it is another one.
func (s *StandIn) write(ctx context.Context, o *unstructured.Unstructured, st status) error {
	before, _, _ := unstructured.NestedMap(o.Object, "status")
	if before == nil {
		before = map[string]any{}
	}
	after := runtime.DeepCopyJSON(st)
	if reflect.DeepEqual(before, after) {
		return nil
	}
	o.Object["status"] = after
	return s.client.Status().Update(ctx, o)
}
