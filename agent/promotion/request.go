package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// requestOf is a digest of all that is asked for: with something else another attempt is made.
// Policies are not in it: what they require counts from now on, also for attempts under way.
func requestOf(m *v1alpha1.Model, s v1alpha1.Stage, artifact v1alpha1.ServedArtifact) (string, error) {
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
// once.
func nameOf(m *v1alpha1.Model, stage string, number int64) string {
	return fmt.Sprintf("%s-%s-%d", m.Name, stage, number)
}
