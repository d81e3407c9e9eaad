package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// TestScenarios renders every testdata/*.txtar. Each holds the files of a repository as
// tree/<path>, what to render in spec.yaml (the root, if it is missing), and either the
// objects in want.yaml or the message, as a user sees it, in error.txt.
//
// tree/<path> -> <target> is a symbolic link, tree/<path> (submodule) a submodule, and a path
// may be quoted as in Go. The last section says what the scenario is about in its comment.
func TestScenarios(t *testing.T) {
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
			s := scenario(t, archive)
			got := s.play()
			if *update {
				s.rewrite(t, file, got)
				return
			}
			if got.name != s.want.name || got.text != s.want.text {
				t.Errorf("%s\nwant %s:\n%s\ngot %s:\n%s", strings.TrimSpace(string(archive.Comment)), s.want.name, s.want.text, got.name, got.text)
			}
		})
	}
}

type story struct {
	archive *txtar.Archive
	tree    fstest.MapFS
	spec    render.Spec
	want    result
}

// result is a section of the archive: want.yaml or error.txt.
type result struct{ name, text string }

var owner = agent.Owner{Namespace: "team", Name: "shop"}

func scenario(t *testing.T, archive *txtar.Archive) story {
	t.Helper()
	s := story{archive: archive, tree: fstest.MapFS{}, spec: render.Spec{Path: "."}}
	for _, f := range archive.Files {
		name, inTree := strings.CutPrefix(f.Name, "tree/")
		switch {
		case inTree:
			addFile(t, s.tree, name, f.Data)
		case f.Name == "spec.yaml":
			if err := yaml.UnmarshalStrict(f.Data, &s.spec); err != nil {
				t.Fatal(err)
			}
		case f.Name == "want.yaml", f.Name == "error.txt":
			s.want = result{f.Name, string(f.Data)}
		default:
			t.Fatalf("unknown section %s", f.Name)
		}
	}
	s.spec.Owner = owner
	return s
}

func addFile(t *testing.T, tree fstest.MapFS, name string, data []byte) {
	t.Helper()
	file := &fstest.MapFile{Data: data, Mode: 0o644}
	if path, target, link := strings.Cut(name, " -> "); link {
		name, file = path, &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
	}
	if path, ok := strings.CutSuffix(name, " (submodule)"); ok {
		name, file = path, &fstest.MapFile{Mode: fs.ModeIrregular}
	}
	if strings.HasPrefix(name, `"`) {
		plain, err := strconv.Unquote(name)
		if err != nil {
			t.Fatal(err)
		}
		name = plain
	}
	tree[name] = file
}

// play renders, and shows what came of it.
func (s story) play() result {
	set, err := render.Render(s.tree, s.spec, render.DefaultLimits())
	if err != nil {
		kind := "not a *render.Error"
		if e, ok := errors.AsType[*render.Error](err); ok {
			kind = string(e.Kind)
		}
		return result{"error.txt", kind + ": " + err.Error() + "\n"}
	}
	return result{"want.yaml", show(set)}
}

// show writes a set as YAML, without the ownership labels that every object has.
func show(set agent.Set) string {
	var b strings.Builder
	for _, o := range set.Objects {
		fmt.Fprintf(&b, "--- # %s, %s\n", o.Ref, o.Origin)
		if o.Options != (agent.Options{}) {
			options, _ := json.Marshal(o.Options)
			fmt.Fprintf(&b, "# options: %s\n", options)
		}
		if o.Refused != "" {
			fmt.Fprintf(&b, "# refused: %s\n", o.Refused)
		}
		text, err := yaml.JSONToYAML(o.JSON)
		if err != nil {
			text = []byte(err.Error())
		}
		text = bytes.ReplaceAll(text, []byte("    sluice.dev/overlay: shop\n    sluice.dev/overlay-namespace: team\n"), nil)
		b.Write(bytes.ReplaceAll(text, []byte("  labels:\n  name"), []byte("  name")))
	}
	return b.String()
}

func (s story) rewrite(t *testing.T, file string, got result) {
	t.Helper()
	archive := &txtar.Archive{Comment: s.archive.Comment}
	for _, f := range s.archive.Files {
		if f.Name != "want.yaml" && f.Name != "error.txt" {
			archive.Files = append(archive.Files, f)
		}
	}
	archive.Files = append(archive.Files, txtar.File{Name: got.name, Data: []byte(got.text)})
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever a scenario renders without additions, Kustomize renders too.
func TestScenariosEqualKustomize(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := scenario(t, archive)
			if !reflect.DeepEqual(s.spec, render.Spec{Path: s.spec.Path, Owner: owner}) || s.want.name != "want.yaml" {
				return
			}
			if _, ok := s.tree[filepath.Join(s.spec.Path, "kustomization.yaml")]; !ok {
				return
			}
			got, err := render.Build(s.tree, s.spec, render.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			want := kustomizeBuild(t, s.tree, s.spec.Path)
			if len(got) != len(want) {
				t.Fatalf("%d objects, and %d by Kustomize", len(got), len(want))
			}
			for _, r := range got {
				have, err := json.Marshal(r.Fields)
				if err != nil {
					t.Fatal(err)
				}
				if !want[string(have)] {
					t.Errorf("Kustomize does not build %s", have)
				}
			}
		})
	}
}
