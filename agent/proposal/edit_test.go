package proposal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// ask is what is asked for; the default is version v8 of ml/fraud in production, of the overlay in
// models.
type ask struct {
	Overlay, Model, Stage, Version string
	Spec                           render.Spec
}

// TestEdits edits the tree of every testdata/*.txtar: files are tree/<path>, of which
// "(crlf)" and "(no newline)" behind the path say how its lines end and "-> <target>" that it is a
// link. What comes of it is in want.diff, with CR as ␍, or error.txt.
func TestEdits(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tree, a, want := scenario(t, archive)
			got := play(t, tree, a)
			if *update {
				archive.Files = append(slices.DeleteFunc(archive.Files, isWant), got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.Name != want.Name || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("%s\nwant %s:\n%s\ngot %s:\n%s", strings.TrimSpace(string(archive.Comment)), want.Name, want.Data, got.Name, got.Data)
			}
		})
	}
}

func isWant(f txtar.File) bool { return f.Name == "want.diff" || f.Name == "error.txt" }

func scenario(t *testing.T, archive *txtar.Archive) (tree fstest.MapFS, a ask, want txtar.File) {
	t.Helper()
	tree, a = fstest.MapFS{}, ask{Overlay: "models", Model: "ml/fraud", Stage: "production", Version: "v8"}
	for _, f := range archive.Files {
		name, inTree := strings.CutPrefix(f.Name, "tree/")
		switch {
		case inTree:
			addFile(tree, name, f.Data)
		case f.Name == "ask.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &a); err != nil {
				t.Fatal(err)
			}
		case isWant(f):
			want = f
		default:
			t.Fatalf("unknown section %s", f.Name)
		}
	}
	a.Spec.Path = a.Overlay
	a.Spec.Owner = agent.Owner{Namespace: "team", Name: "models"}
	return tree, a, want
}

func addFile(tree fstest.MapFS, name string, data []byte) {
	file := &fstest.MapFile{Data: data, Mode: 0o644}
	if plain, target, found := strings.Cut(name, " -> "); found {
		name, file = plain, &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
	}
	if plain, found := strings.CutSuffix(name, " (crlf)"); found {
		name, file.Data = plain, bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	}
	if plain, found := strings.CutSuffix(name, " (no newline)"); found {
		name, file.Data = plain, bytes.TrimSuffix(data, []byte("\n"))
	}
	tree[name] = file
}

func (a ask) edit(t *testing.T, tree agent.Tree) (proposal.Edit, error) {
	namespace, name, _ := strings.Cut(a.Model, "/")
	inProcess := proposal.InProcess(tree, a.Spec, render.DefaultLimits())
	return proposal.SetVersion(t.Context(), tree, inProcess, types.NamespacedName{Namespace: namespace, Name: name}, a.Stage, a.Version)
}

// play edits, and makes sure by other means that the edit is what it says.
func play(t *testing.T, tree fstest.MapFS, a ask) txtar.File {
	t.Helper()
	e, err := a.edit(t, tree)
	if err != nil {
		kind := "not ours"
		if e, ok := errors.AsType[*proposal.Error](err); ok {
			kind = string(e.Kind)
		}
		return txtar.File{Name: "error.txt", Data: []byte(kind + ": " + err.Error() + "\n")}
	}
	checkLines(t, e, tree[e.Path].Data)
	checkDiff(t, e, tree)
	checkRender(t, a, e, tree)
	return txtar.File{Name: "want.diff", Data: []byte(strings.ReplaceAll(e.Diff, "\r", "␍"))}
}

// checkLines makes sure that one line differs and is the one that the edit names.
func checkLines(t *testing.T, e proposal.Edit, before []byte) {
	t.Helper()
	old, now := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(e.Content), "\n")
	if e.Before != "" {
		if got := strings.TrimRight(old[e.Line-1], "\r\n"); got != e.Before {
			t.Errorf("line %d was %q, not %q", e.Line, got, e.Before)
		}
		old = slices.Delete(old, e.Line-1, e.Line)
	}
	if got := strings.TrimRight(now[e.Line-1], "\r\n"); got != e.After {
		t.Errorf("line %d is %q, not %q", e.Line, got, e.After)
	}
	now = slices.Delete(now, e.Line-1, e.Line)
	if a, b := strings.TrimSpace(strings.Join(old, "")), strings.TrimSpace(strings.Join(now, "")); a != b {
		t.Errorf("other lines differ:\n%q\n%q", a, b)
	}
}

// checkDiff lets git apply the diff.
func checkDiff(t *testing.T, e proposal.Edit, tree fstest.MapFS) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, filepath.FromSlash(e.Path))
	patch := filepath.Join(t.TempDir(), "patch")
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, tree[e.Path].Data, 0o644), os.WriteFile(patch, []byte(e.Diff), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("git", "apply", "--whitespace=nowarn", patch)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("git apply: %v\n%s\n%s", err, out, e.Diff)
		return
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, e.Content) {
		t.Errorf("git makes %q of the diff, want %q (%v)", got, e.Content, err)
	}
	if strings.Contains(e.Diff, "hush") {
		t.Errorf("the diff shows what is beside:\n%s", e.Diff)
	}
}

// checkRender compares what is rendered field by field.
func checkRender(t *testing.T, a ask, e proposal.Edit, tree fstest.MapFS) {
	t.Helper()
	edited := maps.Clone(tree)
	edited[e.Path] = &fstest.MapFile{Data: e.Content, Mode: 0o644}
	before, after := fields(t, tree, a.Spec), fields(t, edited, a.Spec)
	var changed []string
	for field := range after {
		if after[field] != before[field] {
			changed = append(changed, field)
		}
	}
	for field := range before {
		if _, there := after[field]; !there {
			changed = append(changed, field)
		}
	}
	want := fmt.Sprintf("Model.sluice.dev/%s/spec/stages/%s/version", a.Model, a.Stage)
	if len(changed) != 1 || changed[0] != want || after[want] != a.Version || before[want] != e.From {
		t.Errorf("%q changed, from %q to %q, want only %s", changed, before[want], after[want], want)
	}
}

// fields flattens what an overlay renders to. Stages go by their names.
func fields(t *testing.T, tree agent.Tree, spec render.Spec) map[string]string {
	t.Helper()
	set, err := render.Render(tree, spec, render.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	flat := map[string]string{}
	var walk func(at string, value any)
	walk = func(at string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, below := range v {
				walk(at+"/"+key, below)
			}
		case []any:
			for n, below := range v {
				key := fmt.Sprint(n)
				if item, ok := below.(map[string]any); ok && item["name"] != nil {
					key = fmt.Sprint(item["name"])
				}
				walk(at+"/"+key, below)
			}
		case nil:
		case string:
			flat[at] = v
		default:
			flat[at] = fmt.Sprintf("%T %v", v, v)
		}
	}
	for _, o := range set.Objects {
		var object map[string]any
		if err := json.Unmarshal(o.JSON, &object); err != nil {
			t.Fatal(err)
		}
		walk(o.Ref.String(), object)
	}
	return flat
}
