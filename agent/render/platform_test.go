package render_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// platform unpacks the real Kubeflow platform, which lies beside the checkout.
func platform(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the whole platform is left out with -short")
	}
	archive, err := filepath.Abs("../../../shared/kubeflow/platform.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Skip("the Kubeflow platform is not beside this checkout (../shared/kubeflow/platform.tar.gz)")
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "xzf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func onDisk(t testing.TB, dir string) agent.Tree {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root.FS().(agent.Tree)
}

// The whole platform, object by object, is what Kustomize itself makes of it.
func TestPlatformEqualsKustomize(t *testing.T) {
	dir := platform(t)
	got, err := render.Build(onDisk(t, dir), render.Spec{Path: "example"}, render.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "example"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[agent.Ref]map[string]any{}
	for _, r := range built.Resources() {
		fields, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		ref, _, err := manifest.Identify(fields)
		if err != nil {
			t.Fatal(err)
		}
		want[ref] = fields
	}
	if len(got) != 683 || len(want) != 683 {
		t.Fatalf("%d objects, and %d by Kustomize; both must be 683", len(got), len(want))
	}
	for _, r := range got {
		ref, _, err := manifest.Identify(r.Fields)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(r.Fields, want[ref]) {
			t.Errorf("%s differs from what Kustomize builds", ref)
		}
		if r.Origin == "" {
			t.Errorf("%s has no origin", ref)
		} else if _, err := os.Stat(filepath.Join(dir, r.Origin)); err != nil {
			t.Errorf("the origin of %s: %v", ref, err)
		}
	}
}

func BenchmarkPlatform(b *testing.B) {
	tree := onDisk(b, platform(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render.Render(tree, render.Spec{Path: "example"}, render.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
