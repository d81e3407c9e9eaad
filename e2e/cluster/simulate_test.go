package cluster_test

import (
	"context"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSimulate uses a kind that is there from the start; a custom one needs its CRD first.
func TestSimulate(t *testing.T) {
	const stages = `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: hold}
spec:
  resourceRef: {apiGroup: coordination.k8s.io/v1, kind: Lease}
  selector:
    matchLabels: {simulated: "yes"}
    matchExpressions:
    - {key: .spec.holderIdentity, operator: DoesNotExist}
  steps:
  - patch:
      root: spec
      template: |
        holderIdentity: simulation
`
	if err := shared.Simulate(t.Context(), "leases", stages); err != nil {
		t.Fatal(err)
	}
	leases := client(t, shared.Config()).CoordinationV1().Leases("default")
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "simulated", Labels: map[string]string{"simulated": "yes"}}}
	if _, err := leases.Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the simulation holds the lease", func(ctx context.Context) (bool, error) {
		lease, err := leases.Get(ctx, "simulated", metav1.GetOptions{})
		return err == nil && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity == "simulation", err
	})
}
