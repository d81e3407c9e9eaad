package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Canonical encodes an object: keys sorted, no space, no HTML escapes. The error names the
// field that JSON cannot express, and never its value.
func Canonical(fields map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		if problem := inexpressible("", fields); problem != "" {
			return nil, fmt.Errorf("%s", problem)
		}
		return nil, fmt.Errorf("it cannot be written as JSON: mend its YAML")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// inexpressible finds what has no JSON: names of fields that are no strings, and numbers that
// are none.
func inexpressible(path string, value any) string {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if problem := inexpressible(join(path, name), value[name]); problem != "" {
				return problem
			}
		}
	case []any:
		for n, element := range value {
			if problem := inexpressible(fmt.Sprintf("%s[%d]", path, n), element); problem != "" {
				return problem
			}
		}
	case map[any]any:
		return fmt.Sprintf("a name of a field in %s is not a string: put it in quotes", path)
	case float64:
		if math.IsInf(value, 0) || math.IsNaN(value) {
			return fmt.Sprintf("%s is not a number that JSON has: put it in quotes, or write another", path)
		}
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
