package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/yaml"
)

// maxFields and maxValue bound what a diff shows: a plan is for people.
const (
	maxFields = 100
	maxValue  = 120
)

// keys are the fields by which Kubernetes tells the elements of most lists apart.
var keys = []string{"name", "key", "containerPort", "port", "mountPath", "ip", "type"}

// Diff compares two objects and returns what changes, in the order of the paths. Fields that
// the API server keeps for itself are left out, and values that are secret are masked. A nil object
// has no fields.
func Diff(ref agent.Ref, before, after map[string]any) []agent.Field {
	d := differ{ref: ref}
	d.maps("", before, after)
	if len(d.fields) > maxFields {
		rest := len(d.fields) - maxFields
		d.fields = append(d.fields[:maxFields], agent.Field{Path: "…", New: fmt.Sprintf("and %d more fields", rest)})
	}
	return d.fields
}

// Drift compares a live object with what Git wants and returns the fields of Git that are
// different in the cluster. Fields that Git does not speak of do not count.
func Drift(ref agent.Ref, live, wanted map[string]any) []agent.Field {
	d := differ{ref: ref, wantedOnly: true}
	d.maps("", live, wanted)
	return d.fields
}

type differ struct {
	ref        agent.Ref
	wantedOnly bool
	fields     []agent.Field
	// flagged are paths of what follows on --password or its like in a list of arguments.
	flagged map[string]bool
}

// serverOwned are the fields that no diff shows.
var serverOwned = map[string]bool{
	"metadata.managedFields": true, "metadata.resourceVersion": true, "metadata.uid": true,
	"metadata.generation": true, "metadata.creationTimestamp": true, "metadata.selfLink": true, "status": true,
}

func (d *differ) maps(path string, before, after map[string]any) {
	names := map[string]bool{}
	for name := range after {
		names[name] = true
	}
	if !d.wantedOnly {
		for name := range before {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, hadOld := before[name]
		value, hasNew := after[name]
		d.values(join(path, name), old, hadOld, value, hasNew)
	}
}

func (d *differ) values(path string, before any, had bool, after any, has bool) {
	if serverOwned[path] {
		return
	}
	oldMap, oldIsMap := before.(map[string]any)
	newMap, newIsMap := after.(map[string]any)
	if (oldIsMap || !had) && (newIsMap || !has) && (oldIsMap || newIsMap) && len(oldMap)+len(newMap) > 0 {
		d.maps(path, oldMap, newMap)
		return
	}
	oldList, oldIsList := before.([]any)
	newList, newIsList := after.([]any)
	if oldIsList && newIsList {
		d.lists(path, oldList, newList)
		return
	}
	if had == has && equal(before, after) {
		return
	}
	d.fields = append(d.fields, agent.Field{Path: path, Old: d.show(path, before, had), New: d.show(path, after, has)})
}

// lists pairs the elements by name where they have one, and by place otherwise.
func (d *differ) lists(path string, before, after []any) {
	key := listKey(before, after)
	old := elements(before, key)
	seen := map[string]bool{}
	d.flag(path, before)
	d.flag(path, after)
	for n, value := range after {
		id := elementID(value, key, n)
		seen[id] = true
		was, had := old[id]
		d.values(path+"["+id+"]", was, had, value, true)
	}
	if d.wantedOnly && key != "" {
		return
	}
	for n, value := range before {
		if id := elementID(value, key, n); !seen[id] {
			d.values(path+"["+id+"]", value, true, nil, false)
		}
	}
}

// flag marks the elements of a list that are secret because of the one before.
func (d *differ) flag(path string, list []any) {
	for n := range list {
		if followsFlag(list, n) {
			if d.flagged == nil {
				d.flagged = map[string]bool{}
			}
			d.flagged[fmt.Sprintf("%s[%d]", path, n)] = true
		}
	}
}

// listKey finds a field that all elements of both lists have, with different values in each.
func listKey(lists ...[]any) string {
	for _, key := range keys {
		if slices.ContainsFunc(lists, func(l []any) bool { return !identifies(l, key) }) {
			continue
		}
		return key
	}
	return ""
}

func identifies(list []any, key string) bool {
	seen := map[string]bool{}
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok || m[key] == nil || seen[fmt.Sprint(m[key])] {
			return false
		}
		seen[fmt.Sprint(m[key])] = true
	}
	return true
}

func elements(list []any, key string) map[string]any {
	m := make(map[string]any, len(list))
	for n, e := range list {
		m[elementID(e, key, n)] = e
	}
	return m
}

func elementID(e any, key string, place int) string {
	if m, ok := e.(map[string]any); ok && key != "" {
		return fmt.Sprint(m[key])
	}
	return fmt.Sprint(place)
}

// show prints a value in one short line.
func (d *differ) show(path string, value any, present bool) string {
	if !present {
		return ""
	}
	if value = masked(d.ref, path, value); value == hidden || d.flagged[path] {
		return hidden // as it is, without the quotes of YAML
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	line := strings.Join(strings.Fields(string(text)), " ")
	if len(line) > maxValue {
		line = strings.ToValidUTF8(line[:maxValue], "") + "…"
	}
	if line == "" {
		line = `""`
	}
	return line
}

// equal compares values as JSON sees them: 1 and 1.0 are the same number.
func equal(a, b any) bool {
	switch a := a.(type) {
	case int64:
		if f, ok := b.(float64); ok {
			return float64(a) == f
		}
	case float64:
		if i, ok := b.(int64); ok {
			return a == float64(i)
		}
	}
	return fmt.Sprintf("%T%v", a, a) == fmt.Sprintf("%T%v", b, b)
}

func join(path, name string) string {
	if strings.ContainsAny(name, "./") {
		return path + "[" + name + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
