package render_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kustomizeBuild builds a directory the way `kustomize build` does and returns the objects as JSON.
func kustomizeBuild(t testing.TB, tree fstest.MapFS, dir string) map[string]bool {
	t.Helper()
	root := onDiskCopy(t, tree)
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join(root, dir))
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]bool{}
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		data, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		objects[string(data)] = true
	}
	return objects
}

// onDiskCopy writes a tree to a directory.
func onDiskCopy(t testing.TB, tree fstest.MapFS) string {
	t.Helper()
	root := t.TempDir()
	for name, file := range tree {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case file.Mode&fs.ModeSymlink != 0:
			err = os.Symlink(string(file.Data), full)
		case file.Mode&fs.ModeIrregular == 0:
			err = os.WriteFile(full, file.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}
