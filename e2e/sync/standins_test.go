package sync_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/e2e/rig"
)

// No controller of Kubeflow runs here. These Stages write what cert-manager, Knative and the
// Profile controller would write when all goes well, so that health has something to read.
var standIns = func() string {
	var stages []string
	for _, of := range []struct{ group, kind string }{
		{"cert-manager.io/v1", "Certificate"}, {"cert-manager.io/v1", "Issuer"}, {"cert-manager.io/v1", "ClusterIssuer"},
		{"networking.internal.knative.dev/v1alpha1", "Certificate"},
	} {
		group, _, _ := strings.Cut(of.group, ".")
		stages = append(stages, fmt.Sprintf(`
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: %s-%s-ready}
spec:
  resourceRef: {apiGroup: %s, kind: %s}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  steps:
  - patch:
      subresource: status
      root: status
      template: |
        observedGeneration: {{ .metadata.generation }}
        conditions:
        - {type: Ready, status: "True", reason: Ready, message: simulated, lastTransitionTime: {{ Now | Quote }}, observedGeneration: {{ .metadata.generation }}}
`, group, strings.ToLower(of.kind), of.group, of.kind))
	}
	stages = append(stages, `
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: profile-successful}
spec:
  resourceRef: {apiGroup: kubeflow.org/v1, kind: Profile}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[].type', operator: NotIn, values: ["Successful"]}
  steps:
  - patch:
      subresource: status
      root: status
      template: |
        conditions:
        - {type: Successful, message: simulated}
`)
	return strings.Join(stages, "---")
}()

// simulateControllers starts the stand-ins as soon as their kinds exist.
func simulateControllers(r *rig.Rig) {
	r.T.Helper()
	for _, crd := range []string{"certificates.cert-manager.io", "issuers.cert-manager.io", "clusterissuers.cert-manager.io", "certificates.networking.internal.knative.dev", "profiles.kubeflow.org"} {
		r.Eventually("CRD "+crd+" is there", func() (bool, string) {
			return r.Get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd) != nil, "not yet"
		})
	}
	if err := r.Cluster.Simulate(context.Background(), "kubeflow", standIns); err != nil {
		r.T.Fatal(err)
	}
}
