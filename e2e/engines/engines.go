package engines

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

//go:embed crds/*.yaml
var definitions embed.FS

// Kinds by the plurals that Define knows them by.
var Kinds = []string{
	"workflows", "workflowtemplates", "clusterworkflowtemplates", "trainjobs", "trainingruntimes", "clustertrainingruntimes",
	"pytorchjobs", "tfjobs", "mpijobs", "experiments", "trainings",
}

// Define makes some of the kinds, all if none are named, and returns when objects of them can be written.
func Define(ctx context.Context, c *cluster.Cluster, kinds ...string) error {
	if len(kinds) == 0 {
		kinds = Kinds
	}
	var all []string
	for _, kind := range kinds {
		data, err := definitions.ReadFile("crds/" + kind + ".yaml")
		if err != nil {
			return fmt.Errorf("there is no kind %s here: %w", kind, err)
		}
		all = append(all, string(data))
	}
	return c.Define(ctx, all...)
}

// Start makes all of the kinds and has their objects go on until the cluster stops.
func Start(ctx context.Context, c *cluster.Cluster) error {
	if err := Define(ctx, c); err != nil {
		return err
	}
	for {
		err := c.Simulate(ctx, "engines", stages())
		if err == nil {
			return nil
		}
		// A kind is in the API server's OpenAPI, which kwok reads, a moment after it is established.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
