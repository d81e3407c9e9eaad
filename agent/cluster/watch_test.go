package cluster

import (
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An object may be deleted right after it was written, and its watch may say so before the
// answer to the write arrives.
func TestDeletionOvertakesTheAnswer(t *testing.T) {
	ref := agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "settings"}
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "settings", UID: "a", ResourceVersion: "100",
		Labels: map[string]string{v1alpha1.OverlayLabel: "app", v1alpha1.OverlayNamespaceLabel: "platform"},
	}}
	for _, c := range []struct {
		name  string
		gone  string
		stays bool
	}{
		{"it is gone since", "101", false},
		{"one before it was gone", "99", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan agent.Owner, 10)
			s := &Session{seen: map[agent.Ref]sighting{}, writing: map[agent.Ref]*write{}, notify: func(o agent.Owner) { told <- o }}
			w := &watcher{key: watchKey{GroupKind: ref.GroupKind()}, session: s}
			gone := answer.DeepCopy()
			gone.ResourceVersion = c.gone

			s.beginWrite(ref)
			if err := w.Delete(gone); err != nil {
				t.Fatal(err)
			}
			s.observe(ref, answer)
			s.endWrite(ref)

			if _, seen := s.Seen(ref); seen != c.stays {
				t.Errorf("it is seen: %v, want %v", seen, c.stays)
			}
			if !c.stays && (<-told) != (agent.Owner{Namespace: "platform", Name: "app"}) {
				t.Error("its owner was not told")
			}
			if len(s.writing) != 0 {
				t.Error("the write is remembered for ever")
			}
		})
	}
}
