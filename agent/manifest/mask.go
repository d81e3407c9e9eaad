package manifest

import (
	"fmt"
	"hash/fnv"
	"maps"
)

// Mask returns an object that can be printed. The values of a Secret become marks that show
// whether two values are the same and not what they are; the seed must be a secret of one
// run, or the mark of a weak password could be looked up.
func Mask(fields map[string]any, seed []byte) map[string]any {
	if fields["kind"] != "Secret" || fields["apiVersion"] != "v1" {
		return fields
	}
	masked := maps.Clone(fields)
	for _, field := range []string{"data", "stringData"} {
		values, ok := fields[field].(map[string]any)
		if !ok {
			continue
		}
		marks := make(map[string]any, len(values))
		for name, value := range values {
			h := fnv.New32a()
			h.Write(seed)
			fmt.Fprint(h, value)
			marks[name] = fmt.Sprintf("*** (%08x)", h.Sum32())
		}
		masked[field] = marks
	}
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			annotations = maps.Clone(annotations)
			delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
			metadata = maps.Clone(metadata)
			metadata["annotations"] = annotations
			masked["metadata"] = metadata
		}
	}
	return masked
}
