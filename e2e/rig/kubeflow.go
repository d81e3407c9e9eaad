package rig

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/health"
)

// Kubeflow reads the real Kubeflow platform, which lies beside the checkout: content by path. The
// test is skipped where it is not.
func Kubeflow(t testing.TB) map[string]string {
	t.Helper()
	archive := filepath.Join(Root(t), "..", "shared", "kubeflow", "platform.tar.gz")
	if _, err := os.Stat(archive); err != nil {
		t.Skip("the Kubeflow platform is not beside this checkout (../shared/kubeflow/platform.tar.gz)")
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "xzf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

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
			reportsReady("cert-manager.io/v1", "Certificate"), reportsReady("cert-manager.io/v1", "Issuer"), reportsReady("cert-manager.io/v1", "ClusterIssuer"),
		},
	},
	{
		name: "profiles",
		crds: []string{"profiles.kubeflow.org"},
		stages: []string{kwokStage("kubeflow.org/v1", "Profile", ".status.conditions.[].type", "Successful", `
        conditions:
        - {type: Successful, message: simulated}`)},
	},
	{
		name:   "knative",
		crds:   []string{"certificates.networking.internal.knative.dev"},
		stages: []string{reportsReady("networking.internal.knative.dev/v1alpha1", "Certificate")},
	},
}

func reportsReady(group, kind string) string {
	return kwokStage(group, kind, `.status.conditions.[] | select( .type == "Ready" ) | .status`, "True", `
        observedGeneration: {{ .metadata.generation }}
        conditions:
        - {type: Ready, status: "True", reason: Ready, message: simulated, lastTransitionTime: {{ Now | Quote }}, observedGeneration: {{ .metadata.generation }}}`)
}

// kwokStage is a kwok Stage that writes a status once.
func kwokStage(group, kind, field, done, status string) string {
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

// SimulateKubeflow starts the stand-ins for Kubeflow's controllers, each as soon as its kinds exist.
func (r *Rig) SimulateKubeflow() {
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
