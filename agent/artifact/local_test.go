package artifact_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/artifact"
)

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLocal(t *testing.T) {
	dir, files := t.TempDir(), model()
	writeAll(t, dir, files)
	found, err := newInspector().Local(t.Context(), dir)
	if err != nil || found.Digest != digestOfAll(files) || found.Size != sizeOf(files) || found.Files != len(files) {
		t.Errorf("found %+v, %v, want %s", found, err, digestOfAll(files))
	}
	found, err = newInspector().Local(t.Context(), filepath.Join(dir, "config.json"))
	if err != nil || found.Digest != digestOf("{}") || found.Files != 1 {
		t.Errorf("one file: %+v, %v", found, err)
	}
	// A directory with one file is not that file.
	writeAll(t, dir, map[string]string{"single/m": "x"})
	found, err = newInspector().Local(t.Context(), filepath.Join(dir, "single"))
	if err != nil || found.Digest != digestOfAll(map[string]string{"m": "x"}) {
		t.Errorf("a directory of one file: %+v, %v", found, err)
	}
}

// TestShell: what the documentation of the package says computes the same.
func TestShell(t *testing.T) {
	dir, files := t.TempDir(), model()
	writeAll(t, dir, files)
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(text), "a shell computes it as\n//\n")
	if !found {
		t.Fatal("doc.go has no script")
	}
	script, _, _ = strings.Cut(script, "//\n")
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(script, "//\t", ""))
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	if got := "sha256:" + strings.Fields(string(output) + " x")[0]; err != nil || got != digestOfAll(files) {
		t.Errorf("the shell computes %s (%v), want %s", output, err, digestOfAll(files))
	}
}

func TestLocalLinks(t *testing.T) {
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{"blobs/1": "weights", "model/config": "{}"})
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../blobs/1", "model/weights")
	found, err := newInspector().Local(t.Context(), filepath.Join(dir, "model"))
	if err != nil || found.Digest != digestOfAll(map[string]string{"config": "{}", "weights": "weights"}) {
		t.Errorf("with a link to a file: %+v, %v", found, err)
	}
	link("../blobs", "model/more")
	_, err = newInspector().Local(t.Context(), filepath.Join(dir, "model"))
	failsWith(t, err, artifact.Invalid, "more is not a file, nor a link to one: copy what is to be served")
}

func TestLocalRefusals(t *testing.T) {
	dir := t.TempDir()
	_, err := newInspector().Local(t.Context(), filepath.Join(dir, "nowhere"))
	failsWith(t, err, artifact.NotFound, "nowhere: it cannot be read (no such file or directory)")
	_, err = newInspector().Local(t.Context(), dir)
	failsWith(t, err, artifact.NotFound, "there is no file in it")
	writeAll(t, dir, map[string]string{"a\nb": "x"})
	_, err = newInspector().Local(t.Context(), dir)
	failsWith(t, err, artifact.Invalid, `there is a file named "a b": the path has control characters`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newInspector().Local(ctx, dir)
	failsWith(t, err, artifact.Timeout, "cancelled")
	limits := artifact.DefaultLimits()
	limits.Files = 1
	writeAll(t, dir, map[string]string{"c": "x"})
	_, err = artifact.NewInspector(limits).Local(t.Context(), dir)
	failsWith(t, err, artifact.TooLarge, "there are more than 1 file")
}
