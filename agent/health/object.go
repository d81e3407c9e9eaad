package health

import (
	"fmt"
	"iter"

	"github.com/sluice-dev/sluice/agent"
)

// object reads a live object leniently: a field that is missing or of another type than
// expected reads as its zero value. It never copies, and must not be written to.
type object map[string]any

// at returns the value at a path, nil if there is none.
func (o object) at(path ...string) any {
	var value any = map[string]any(o)
	for _, key := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[key]
	}
	return value
}

func (o object) text(path ...string) string {
	text, _ := o.at(path...).(string)
	return text
}

func (o object) flag(path ...string) bool {
	flag, _ := o.at(path...).(bool)
	return flag
}

// number reads a whole number; JSON decoders disagree on its type.
func (o object) number(path ...string) int64 {
	switch number := o.at(path...).(type) {
	case int64:
		return number
	case float64:
		return int64(number)
	default:
		return 0
	}
}

// replicas is spec.replicas, which is 1 if it is not there.
func (o object) replicas() int64 {
	if o.at("spec", "replicas") == nil {
		return 1
	}
	return o.number("spec", "replicas")
}

// list iterates over the objects in a list, skipping whatever is no object.
func (o object) list(path ...string) iter.Seq[object] {
	return func(yield func(object) bool) {
		items, _ := o.at(path...).([]any)
		for _, item := range items {
			if fields, ok := item.(map[string]any); ok && !yield(fields) {
				return
			}
		}
	}
}

func (o object) deleting() bool {
	stamp := o.at("metadata", "deletionTimestamp")
	return stamp != nil && stamp != ""
}

func (o object) annotation(key string) string { return o.text("metadata", "annotations", key) }

func (o object) annotated(key string) bool { return o.at("metadata", "annotations", key) != nil }

func (o object) finalizers() []string {
	var names []string
	items, _ := o.at("metadata", "finalizers").([]any)
	for _, item := range items {
		if name, ok := item.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// observed tells that the status is about the present generation of the object.
func (o object) observed() bool {
	return o.number("status", "observedGeneration") >= o.number("metadata", "generation")
}

// unobserved is the verdict on an object whose status is about an earlier generation.
func (o object) unobserved() agent.Health {
	return progressing("its controller has not seen generation %d yet", o.number("metadata", "generation"))
}

// condition is one entry of status.conditions.
type condition struct {
	Type, Status, Reason, Message, Severity string
	Generation                              int64 // that it is about; 0 if it does not say
}

func conditionFrom(o object) condition {
	return condition{
		Type:       o.text("type"),
		Status:     o.text("status"),
		Reason:     o.text("reason"),
		Message:    o.text("message"),
		Severity:   o.text("severity"),
		Generation: o.number("observedGeneration"),
	}
}

func (c condition) True() bool  { return c.Status == "True" }
func (c condition) False() bool { return c.Status == "False" }

// String gives for instance: PredictorReady is False (MinimumReplicasUnavailable):
// Deployment does not have minimum availability.
func (c condition) String() string {
	verdict := fmt.Sprintf("%s is %s", c.Type, c.Status)
	if c.Status == "" {
		verdict = c.Type + " is not reported yet"
	}
	if c.Reason != "" {
		verdict += " (" + c.Reason + ")"
	}
	if c.Message != "" {
		verdict += ": " + c.Message
	}
	return verdict
}

func (o object) conditions() iter.Seq[condition] {
	return func(yield func(condition) bool) {
		for item := range o.list("status", "conditions") {
			if !yield(conditionFrom(item)) {
				return
			}
		}
	}
}

// condition returns the condition of a type; without one, its Status is empty.
func (o object) condition(name string) condition {
	for c := range o.conditions() {
		if c.Type == name {
			return c
		}
	}
	return condition{Type: name}
}

// fresh tells that a condition is about the present generation, or does not say which.
func (o object) fresh(c condition) bool {
	return c.Generation == 0 || c.Generation >= o.number("metadata", "generation")
}

// over judges what runs to an end: whether the condition that means success or the one
// that means failure is there.
func (o object) over(success, failure string) (agent.Health, bool) {
	if c := o.condition(failure); c.True() {
		return degraded("%s", c), true
	}
	return healthy, o.condition(success).True()
}
