package sync

import (
	"encoding/json"
	"slices"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// stamped writes the revision on the Models that a plan applies: a promotion has to know which
// commit asked for it. The digest of the object stays that of what Git says, so no Model is applied
// for the sake of a stamp.
func stamped(p agent.Plan) agent.Plan {
	models := schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelKind}
	changes := slices.Clone(p.Changes)
	for n, c := range changes {
		if c.Ref.GroupKind() != models || len(c.Object.JSON) == 0 {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal(c.Object.JSON, &object); err != nil {
			continue // the API server says what is wrong with it
		}
		metadata := object["metadata"].(map[string]any) // it has a name
		annotations, _ := metadata["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
			metadata["annotations"] = annotations
		}
		annotations[v1alpha1.RevisionAnnotation] = p.Revision.String()
		if stamp, err := json.Marshal(object); err == nil {
			changes[n].Object.JSON = stamp
		}
	}
	p.Changes = changes
	return p
}
