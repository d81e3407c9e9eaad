package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/program"
	"sigs.k8s.io/yaml"
)

// Simulate stands in for a controller that does not run: until the cluster stops, custom
// resources are walked through the given kwok Stages (YAML documents). The kinds they name
// must exist. It returns when the Stages are in force; name labels the log, kwok-NAME.
func (c *Cluster) Simulate(ctx context.Context, name, stages string) error {
	file := filepath.Join(c.Dir, "run", "simulate-"+name+".yaml")
	if err := os.WriteFile(file, []byte(stages), 0o644); err != nil {
		return err
	}
	simulator, err := program.Start(c.binary, c.Log("simulate-"+name), nil, "simulate", "--dir="+c.Dir, "--name="+name, "--stages="+file)
	if err != nil {
		return err
	}
	c.simulators = append(c.simulators, simulator)
	kinds := max(kindsOf(stages), 1) // with none it ends and says so
	for {
		log, _ := os.ReadFile(c.Log("kwok-" + name)) // not there at first
		if bytes.Count(log, []byte(`"watching stages"`)) >= kinds {
			return nil
		}
		select {
		case <-simulator.Done():
			return simulator.Failure()
		case <-ctx.Done():
			return fmt.Errorf("simulation %s did not start: %w; the log ends:\n%s", name, ctx.Err(), program.LastLines(log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kindsOf counts the kinds that Stages are of: kwok begins with them one after the other, and ends when there is
// one that it does not find.
func kindsOf(stages string) int {
	type ref struct{ APIGroup, Kind string }
	kinds := map[ref]bool{}
	for _, document := range strings.Split(stages, "\n---\n") {
		var stage struct {
			Spec struct{ ResourceRef ref }
		}
		if yaml.Unmarshal([]byte(document), &stage) == nil && stage.Spec.ResourceRef.Kind != "" { // kwok says what is wrong with it
			kinds[stage.Spec.ResourceRef] = true
		}
	}
	return len(kinds)
}
