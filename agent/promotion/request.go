package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// requestOf is a digest of all that is asked for: with something else another attempt is made.
// Policies are not in it: what they require counts from now on, also for attempts under way. Nor is
// what a look at the artifact found: that is no other request.
func requestOf(m *v1alpha1.Model, s v1alpha1.Stage, v *v1alpha1.ModelVersion) (string, error) {
	artifact := v1alpha1.ServedArtifact{URI: v.Spec.Artifact.URI, Digest: v.Spec.Artifact.Digest, Format: v.Spec.Format}
	text, err := json.Marshal(struct {
		Version  string
		Artifact v1alpha1.ServedArtifact
		Gates    []v1alpha1.Gate
		Rollout  v1alpha1.Rollout
		Serving  v1alpha1.Serving
	}{s.Version, artifact, s.Gates, s.Rollout, m.Spec.Serving})
	if err != nil {
		return "", fmt.Errorf("stage %s: %w", s.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// nameOf is the name of a Promotion: the same for the same number, so that it can be made only
// once. Dots are in no part of it: a-b and c make another name than a and b-c.
func nameOf(m *v1alpha1.Model, stage string, number int64) string {
	return fmt.Sprintf("%s.%s.%d", m.Name, stage, number)
}
