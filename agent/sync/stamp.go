package sync

import (
	"encoding/json"
	"slices"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// marked are the kinds that have to know which commit asked for what they say.
var marked = []string{v1alpha1.ModelKind, v1alpha1.PipelineKind, v1alpha1.RetrainingKind}

// stamped writes the revision on what a plan applies of these kinds. The digest of the object stays that
// of what Git says, so nothing is applied for the sake of a stamp.
func stamped(p agent.Plan) agent.Plan {
	changes := slices.Clone(p.Changes)
	for n, c := range changes {
		if c.Ref.Group != v1alpha1.GroupVersion.Group || !slices.Contains(marked, c.Ref.Kind) || len(c.Object.JSON) == 0 {
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
