package agent_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluice-dev/sluice/"

// floors says on which floor of the house each package lives. A package imports only from
// floors below its own; on floor 1 also from its neighbours, for those are pure.
var floors = map[string]int{
	"agent": 0, "agent/api/v1alpha1": 0,
	"agent/manifest": 1, "agent/plan": 1, "agent/health": 1, "agent/trace": 1, "agent/report": 1,
	"agent/decimal": 1, "agent/expression": 1, "agent/schedule": 1, "agent/gate": 1, "agent/analysis": 1, "agent/serving": 1, "agent/rollout": 1, "agent/slot": 1, "agent/task": 1, "agent/fill": 1, "agent/registration": 1,
	"agent/gitrepo": 2, "agent/render": 2, "agent/cluster": 2, "agent/record": 2, "agent/shard": 2, "agent/artifact": 2, "agent/measure": 2, "agent/engine": 2, "agent/forge": 2, "agent/forge/forgetest": 3, "agent/engine/kfp": 2,
	"agent/execute": 3, "agent/result": 3, "agent/engine/pipelines": 3,
	"agent/sync": 4, "agent/promotion": 4, "agent/retrain": 4, "agent/proposal": 4, "agent/delivery": 4,
	"agent/controller": 5, "agent/validate": 5, "agent/webhook": 5, "agent/pull": 5,
	"cmd/sluice": 6,
}

func TestImportsGoDown(t *testing.T) {
	seen := map[string]bool{}
	for _, root := range []string{"../agent", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
			floor, known := floors[pkg]
			if !known {
				t.Errorf("%s: package %s has no floor: add it to the map in this file", path, pkg)
				return nil
			}
			seen[pkg] = true
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range file.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				below, ours := strings.CutPrefix(imported, module)
				if !ours {
					continue
				}
				if to := floors[below]; to > floor || to == floor && floor > 1 {
					t.Errorf("%s (floor %d) imports %s (floor %d)", path, floor, below, to)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for pkg := range floors {
		if !seen[pkg] {
			t.Errorf("the map in this file has a floor for %s, which does not exist", pkg)
		}
	}
}
