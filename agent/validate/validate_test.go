package validate

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

var update = flag.Bool("update", false, "write what is found into the archives")

// Each archive is a repository, with what is found in it under the name want. A line
// "remote: URL" above the files is a remote of it.
func TestCheck(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(archives, err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			repository := Repository{Path: ".", Parallel: 1} // a render in this process keeps a global
			for line := range strings.Lines(string(archive.Comment)) {
				if url, ok := strings.CutPrefix(line, "remote: "); ok {
					repository.Remotes = append(repository.Remotes, strings.TrimSpace(url))
				}
			}
			files, want := fstest.MapFS{}, (*txtar.File)(nil)
			for n, f := range archive.Files {
				if f.Name == "want" {
					want = &archive.Files[n]
					continue
				}
				files[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			repository.Tree = files
			repository.Render = func(_ context.Context, spec render.Spec) (agent.Set, error) {
				return render.Render(files, spec, render.DefaultLimits())
			}
			report, err := repository.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, f := range report.Findings {
				fmt.Fprintf(&got, "%s:%d: %s\n", f.File, f.Line, f.Message)
			}
			fmt.Fprintf(&got, "%d kustomizations, %d Overlays, %d objects\n", report.Kustomizations, report.Overlays, report.Objects)
			if *update {
				want.Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got.String() != string(want.Data) {
				t.Errorf("found\n%s\nwant\n%s", got.String(), want.Data)
			}
		})
	}
}
