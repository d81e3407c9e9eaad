package serving

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/health"
)

// at returns the value at a path of a live object, nil if there is none. A field of another
// type than expected counts as not there.
func at(o map[string]any, path ...string) any {
	var value any = o
	for _, key := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[key]
	}
	return value
}

func text(o map[string]any, path ...string) string {
	text, _ := at(o, path...).(string)
	return text
}

func flag(o map[string]any, path ...string) bool {
	flag, _ := at(o, path...).(bool)
	return flag
}

// number reads a whole number; decoders disagree on its type.
func number(o map[string]any, path ...string) int64 {
	n, _ := integer(at(o, path...))
	return n
}

func integer(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == float64(int64(n))
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	}
	return 0, false
}

// list returns the objects in a list, without whatever is no object.
func list(o map[string]any, path ...string) []map[string]any {
	items, _ := at(o, path...).([]any)
	var objects []map[string]any
	for _, item := range items {
		if fields, ok := item.(map[string]any); ok {
			objects = append(objects, fields)
		}
	}
	return objects
}

// condition is one entry of status.conditions.
type condition struct{ name, status, reason, message string }

// conditionOf returns the condition of a type; without one, its status is empty.
func conditionOf(o map[string]any, name string) condition {
	for _, c := range list(o, "status", "conditions") {
		if text(c, "type") == name {
			return condition{name, text(c, "status"), text(c, "reason"), text(c, "message")}
		}
	}
	return condition{name: name}
}

// String gives for instance: PredictorReady is False (MinimumReplicasUnavailable): Deployment
// does not have minimum availability.
func (c condition) String() string {
	if c.status == "" {
		return c.name + " is not reported yet"
	}
	verdict := c.name + " is " + c.status
	if c.reason != "" {
		verdict += " (" + c.reason + ")"
	}
	if c.message != "" {
		verdict += ": " + c.message
	}
	return verdict
}

// healthOf is the health of a live object, Missing for nil.
func healthOf(o map[string]any) agent.Health {
	return health.Of(&unstructured.Unstructured{Object: o})
}

// clone copies a part of a template, so that it can be written to.
func clone(value map[string]any) map[string]any {
	if value == nil {
		return map[string]any{}
	}
	return runtime.DeepCopyJSON(value)
}

// child returns the object under a key, made if it is not there. The template was checked: if
// it is there, it is an object.
func child(o map[string]any, key string) map[string]any {
	fields, ok := o[key].(map[string]any)
	if !ok {
		fields = map[string]any{}
		o[key] = fields
	}
	return fields
}

var ready = Readiness{Ready: true, Up: true}

func waiting(format string, args ...any) Readiness {
	return Readiness{Message: sentence(fmt.Sprintf(format, args...))}
}

func failed(format string, args ...any) Readiness {
	return Readiness{Failed: true, Message: sentence(fmt.Sprintf(format, args...))}
}

// most is how much of a message is kept, in bytes. Controllers quote whole logs.
const most = 500

// sentence puts a message on one line and bounds it.
func sentence(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "…"
}
