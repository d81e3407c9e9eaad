package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// The parts of the whole platform make what a whole build makes, object by object, also after
// one line was changed, and then only the part with that line is rendered again.
func TestPlatformInParts(t *testing.T) {
	dir := platform(t)
	tree := onDisk(t, dir)
	spec := render.Spec{Path: "example", Owner: owner}
	whole := func() agent.Set {
		t.Helper()
		set, err := render.Render(tree, spec, render.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	first, n, err := renderParts(tree, spec, parted{})
	if err != nil || n < 25 {
		t.Fatal(n, err)
	}
	joined, err := render.Join(first.results, render.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	// The CRD of JobSets mentions vars that are not its own: those of the PVC viewer.
	differing := render.Differ(joined, whole())
	if len(differing) != 1 || differing[0].Name != "jobsets.jobset.x-k8s.io" {
		t.Errorf("these differ: %v", differing)
	}
	tied := parted{parts: render.Tie(first.parts, first.results, differing)}
	if len(tied.parts) != n-1 {
		t.Fatalf("%d parts of %d are left", len(tied.parts), n)
	}
	first, _, err = renderParts(tree, spec, tied)
	if err != nil {
		t.Fatal(err)
	}
	if joined, err = render.Join(first.results, render.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	if differing := render.Differ(joined, whole()); len(differing) > 0 {
		t.Fatalf("these differ: %v", differing)
	}
	for _, edit := range []struct{ file, old, new string }{
		{"applications/jupyter/jupyter-web-app/upstream/base/params.env", "JWA_PREFIX=/jupyter", "JWA_PREFIX=/notebooks"},
		{"applications/jupyter/notebook-controller/upstream/manager/params.env", "ENABLE_CULLING=false", "ENABLE_CULLING=true"},
		{"applications/kserve/kserve/kserve_kubeflow.yaml", "memory: 300Mi", "memory: 400Mi"},
		{"applications/pipeline/upstream/base/pipeline/ml-pipeline-ui-deployment.yaml", "memory: 70Mi", "memory: 80Mi"},
		{"applications/trainer/upstream/overlays/manager/kustomization.yaml", "newTag: v2.2.0", "newTag: v2.2.1"},
		{"common/dex/overlays/oauth2-proxy/config-map.yaml", "/oauth2/callback", "/oauth2/return"},
		{"common/istio/istio-install/base/install.yaml", "memory: 2048Mi", "memory: 1024Mi"},
		{"common/kubeflow-roles/base/cluster-roles.yaml", "  - watch", "  - list"},
		{"common/oauth2-proxy/base/oauth2_proxy.cfg", "skip_provider_button = false", "skip_provider_button = true"},
		{"common/user-namespace/base/profile-instance.yaml", "name: user@example.com", "name: admin@example.com"},
	} {
		file := filepath.Join(dir, edit.file)
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), edit.old) {
			t.Fatalf("%s has no %s: %v", edit.file, edit.old, err)
		}
		write(t, file, strings.Replace(string(text), edit.old, edit.new, 1))
		start := time.Now()
		second, n, err := renderParts(tree, spec, first)
		if err != nil || n != 1 {
			t.Fatalf("%s: %d parts were rendered, %v", edit.file, n, err)
		}
		set, err := render.Follow(first.results, second.results, render.DefaultLimits())
		t.Logf("%s: %s", edit.file, time.Since(start))
		if err != nil {
			t.Errorf("%s: %v", edit.file, err)
			write(t, file, string(text))
			continue
		}
		want := whole()
		if set.Digest != want.Digest || len(render.Differ(set, want)) > 0 || set.Digest == joined.Digest {
			t.Errorf("%s: these differ from those of a whole build: %v", edit.file, render.Differ(set, want))
		}
		write(t, file, string(text))
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
