package engine

import (
	"time"
)

// fields is an object as its engine has written it. Whatever is not of the type that is asked for counts as
// not there.
type fields map[string]any

func (f fields) at(path ...string) any {
	var value any = map[string]any(f)
	for _, name := range path {
		object, _ := value.(map[string]any)
		value = object[name]
	}
	return value
}

func (f fields) object(path ...string) fields {
	object, _ := f.at(path...).(map[string]any)
	return object
}

func (f fields) list(path ...string) []fields {
	items, _ := f.at(path...).([]any)
	var objects []fields
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

func (f fields) text(path ...string) string {
	text, _ := f.at(path...).(string)
	return text
}

func (f fields) texts(path ...string) []string {
	items, _ := f.at(path...).([]any)
	var texts []string
	for _, item := range items {
		if text, ok := item.(string); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func (f fields) number(path ...string) int64 {
	switch n := f.at(path...).(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

func (f fields) time(path ...string) time.Time {
	at, err := time.Parse(time.RFC3339, f.text(path...))
	if err != nil {
		return time.Time{}
	}
	return at
}

// condition is one that is True.
type condition struct {
	reason, message string
	since           time.Time
	// stale: it was written for an earlier generation of the object.
	stale bool
}

// condition finds the condition of a type if it is True.
func (f fields) condition(kind string) (condition, bool) {
	for _, c := range f.list("status", "conditions") {
		if c.text("type") != kind || c.text("status") != "True" {
			continue
		}
		observed := c.number("observedGeneration")
		return condition{
			reason: c.text("reason"), message: c.text("message"), since: c.time("lastTransitionTime"),
			stale: observed > 0 && observed < f.number("metadata", "generation"),
		}, true
	}
	return condition{}, false
}

// says is the reason and message of a condition in one text.
func (c condition) says() string {
	switch {
	case c.message == "":
		return c.reason
	case c.reason == "":
		return c.message
	}
	return c.reason + ": " + c.message
}
