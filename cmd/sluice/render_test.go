package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-dev/sluice/agent/render"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// What is printed is what kustomize build prints, byte by byte, in both of its orders.
func TestRenderPrintsWhatKustomizeDoes(t *testing.T) {
	archive, err := filepath.Abs("../../../shared/kubeflow/platform.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Skip("the Kubeflow platform is not beside this checkout (../shared/kubeflow/platform.tar.gz)")
	}
	root := t.TempDir()
	if out, err := exec.Command("tar", "xzf", archive, "-C", root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fifo := filepath.Join(root, "fifo")
	if err := os.Mkdir(fifo, 0o700); err != nil {
		t.Fatal(err)
	}
	kustomization := "sortOptions: {order: fifo}\nresources: [../applications/katib/upstream/installs/katib-with-kubeflow]\n"
	if err := os.WriteFile(filepath.Join(fifo, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"applications/katib/upstream/installs/katib-with-kubeflow", "fifo"} {
		tree, where, err := source(filepath.Join(root, dir), "")
		if err != nil {
			t.Fatal(err)
		}
		objects, err := build(tree, where, render.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := printObjects(&got, "yaml", objects); err != nil {
			t.Fatal(err)
		}
		built, err := krusty.MakeKustomizer(&krusty.Options{Reorder: krusty.ReorderOptionUnspecified, PluginConfig: types.DisabledPluginConfig()}).Run(filesys.MakeFsOnDisk(), filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		want, err := built.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes differ from the %d of kustomize build", dir, got.Len(), len(want))
		}
	}
}
