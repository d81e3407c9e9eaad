package sync_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent/health"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// standIn writes what a controller of Kubeflow would write when all goes well, so that health
// has something to read: no such controller runs here.
type standIn struct {
	name   string
	crds   []string
	stages []string
}

var standIns = []standIn{
	{
		name: "cert-manager",
		crds: []string{"certificates.cert-manager.io", "issuers.cert-manager.io", "clusterissuers.cert-manager.io"},
		stages: []string{
			ready("cert-manager.io/v1", "Certificate"), ready("cert-manager.io/v1", "Issuer"), ready("cert-manager.io/v1", "ClusterIssuer"),
		},
	},
	{
		name: "profiles",
		crds: []string{"profiles.kubeflow.org"},
		stages: []string{stage("kubeflow.org/v1", "Profile", ".status.conditions.[].type", "Successful", `
        conditions:
        - {type: Successful, message: simulated}`)},
	},
	{
		name:   "knative",
		crds:   []string{"certificates.networking.internal.knative.dev"},
		stages: []string{ready("networking.internal.knative.dev/v1alpha1", "Certificate")},
	},
}

func ready(group, kind string) string {
	return stage(group, kind, `.status.conditions.[] | select( .type == "Ready" ) | .status`, "True", `
        observedGeneration: {{ .metadata.generation }}
        conditions:
        - {type: Ready, status: "True", reason: Ready, message: simulated, lastTransitionTime: {{ Now | Quote }}, observedGeneration: {{ .metadata.generation }}}`)
}

// stage is a kwok Stage that writes a status once.
func stage(group, kind, field, done, status string) string {
	return fmt.Sprintf(`
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: %s}
spec:
  resourceRef: {apiGroup: %s, kind: %s}
  selector:
    matchExpressions:
    - {key: '%s', operator: NotIn, values: ["%s"]}
  steps:
  - patch:
      subresource: status
      root: status
      template: |%s
`, strings.ToLower(kind), group, kind, field, done, status)
}

// simulateControllers starts the stand-ins, each as soon as its kinds exist.
func simulateControllers(r *rig.Rig) {
	r.T.Helper()
	for _, s := range standIns {
		for _, crd := range s.crds {
			r.Eventually("CRD "+crd+" is established", func() (bool, string) {
				object := r.Get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd)
				return object != nil && health.Of(object).OK(), "not yet"
			})
		}
		// A kind is in the API server's OpenAPI, which kwok reads, a moment after it is established.
		r.Eventually(s.name+" is simulated", func() (bool, string) {
			err := r.Cluster.Simulate(context.Background(), s.name, strings.Join(s.stages, "---"))
			return err == nil, fmt.Sprint(err)
		})
	}
}
