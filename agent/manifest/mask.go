package manifest

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
)

// lastApplied is where kubectl keeps a copy of the whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Mask returns an object that can be printed. The values of a Secret become marks that show
// whether two values are the same and not what they are; the key must be a secret of one run,
// or the mark of a weak password could be looked up.
func Mask(fields map[string]any, key []byte) map[string]any {
	if fields["kind"] != "Secret" || fields["apiVersion"] != "v1" {
		return fields
	}
	masked := maps.Clone(fields)
	for _, field := range []string{"data", "stringData"} {
		switch values := fields[field].(type) {
		case nil:
		case map[string]any:
			marks := make(map[string]any, len(values))
			for name, value := range values {
				marks[name] = mark(value, key)
			}
			masked[field] = marks
		default:
			masked[field] = mark(values, key) // not what it should be, but perhaps a secret
		}
	}
	metadata, _ := fields["metadata"].(map[string]any)
	if annotations, _ := metadata["annotations"].(map[string]any); annotations[lastApplied] != nil {
		annotations, metadata = maps.Clone(annotations), maps.Clone(metadata)
		delete(annotations, lastApplied)
		metadata["annotations"], masked["metadata"] = annotations, metadata
	}
	return masked
}

func mark(value any, key []byte) string {
	h := hmac.New(sha256.New, key)
	fmt.Fprint(h, value)
	return fmt.Sprintf("*** (%x)", h.Sum(nil)[:4])
}
