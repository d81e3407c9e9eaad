// Command prepare builds what the end-to-end tests stand on before they start, so that the
// first, long build shows how it stands; afterwards the tests find it in the cache.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/objectstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, build := range []func(context.Context, io.Writer) (string, error){objectstore.Build, cluster.Build, forge.Build} {
		if _, err := build(ctx, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
			os.Exit(1)
		}
	}
}
