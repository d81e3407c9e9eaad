package manifest

import (
	"bytes"
	"encoding/json"

	"github.com/sluice-dev/sluice/agent"
)

// WithoutNamespace returns an object of cluster scope that came with a namespace as it is
// applied: without one. Numbers keep the form in which they were written.
func WithoutNamespace(o agent.Object) (agent.Object, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(o.JSON))
	decoder.UseNumber()
	if err := decoder.Decode(&fields); err != nil {
		return o, err
	}
	if metadata, ok := fields["metadata"].(map[string]any); ok {
		delete(metadata, "namespace")
	}
	var err error
	if o.JSON, err = Canonical(fields); err != nil {
		return o, err
	}
	o.Ref.Namespace, o.Digest = "", agent.DigestOf(o.JSON)
	return o, nil
}
