// Command prepare builds what the end-to-end tests stand on before they start, so that the
// first, long build shows how it stands; afterwards the tests find it in the cache.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/sluice-dev/sluice/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if _, err := cluster.Build(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
