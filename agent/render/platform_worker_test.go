package render_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/render"
)

// A worker renders the whole platform, again and again, far below the default limit.
func TestPlatformFitsAWorker(t *testing.T) {
	pool := newPool(t, 1, render.DefaultLimits())
	r := request("")
	r.Source.Dir, r.Spec.Path = platform(t), "example"
	for range 2 {
		set, err := pool.Render(t.Context(), r)
		if err != nil || len(set.Objects) != 683 {
			t.Fatal(len(set.Objects), err)
		}
	}
	for _, pid := range childrenOf(os.Getpid()) {
		peak := peakOf(t, pid)
		t.Logf("peak memory of the worker: %d MiB", peak>>20)
		if peak > render.DefaultLimits().Memory/2 {
			t.Errorf("a worker took %d MiB; half of the default limit is %d MiB", peak>>20, render.DefaultLimits().Memory>>21)
		}
	}
}

// peakOf is the most memory that a process had in use.
func peakOf(t *testing.T, pid string) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
