package sync_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The whole platform as one Overlay: all of it is applied and becomes healthy, and a second
// look at it writes nothing.
func TestPlatformAsOneOverlay(t *testing.T) {
	files := rig.Kubeflow(t)
	r := rig.New(t, cluster.Options{Nodes: 3})
	repo := r.Repository("platform", files)
	r.Overlay("kubeflow", "example", func(o *v1alpha1.Overlay) { o.Spec.Timeout = metav1.Duration{Duration: 10 * time.Minute} })
	start := time.Now()
	before := r.Calls()
	r.StartAgent()
	r.WaitOverlay("kubeflow", "has applied all", func(o *v1alpha1.Overlay) bool { return o.Status.Objects.Total == 683 })
	t.Logf("all 683 objects applied after %s", time.Since(start).Round(100*time.Millisecond))
	r.SimulateKubeflow()
	o := r.WaitReady("kubeflow")
	calls := r.Calls().Since(before).By("sluice/")
	t.Logf("first apply: %s, %d calls, %d writes, %d MiB", time.Since(start).Round(100*time.Millisecond), len(calls), len(calls.Writes()), r.Memory()>>20)
	if o.Status.Objects.Total != 683 || o.Status.Objects.Healthy != 683 {
		t.Errorf("%+v, want 683 of 683", o.Status.Objects)
	}

	// Nothing changed, and somebody asks: no writes but the answer to the question.
	before = r.Calls()
	r.Ask("platform")
	time.Sleep(5 * time.Second) // time in which nothing is to happen
	calls = r.Calls().Since(before).By("sluice/")
	if writes := calls.Writes().Without("repositories.sluice.dev/status", "repositories/status"); len(writes) > 0 || len(calls.DryRuns()) > 0 {
		t.Errorf("nothing changed, and yet:\n%s", calls)
	}

	// What it has in parts has been found out behind the first apply.
	r.Eventually("its parts are known", func() (bool, string) {
		return strings.Contains(r.Log(), "its parts are known"), fmt.Sprint(r.Metric("sluice_part_render_seconds"), " parts were rendered")
	})

	// A commit of one line: one part is rendered, and the whole behind it agrees.
	const file = "applications/centraldashboard/upstream/base/configmap.yaml"
	if !strings.Contains(files[file], "\ndata:\n") {
		t.Fatalf("%s of the platform has no data", file)
	}
	for n, line := range []string{"# one line", `one-line: "more"`} {
		before = r.Calls()
		whole, parts := r.Metric("sluice_render_seconds"), r.Metric("sluice_part_render_seconds")
		start = time.Now()
		revision := r.Push(repo, gitserver.Change{Message: "one line", Files: map[string]string{file: strings.Replace(files[file], "\ndata:\n", "\ndata:\n  "+line+"\n", 1)}})
		r.Ask("platform")
		r.WaitSynced("platform", revision)
		took := time.Since(start)
		r.Eventually("a whole build agrees", func() (bool, string) {
			checks := r.Metric("sluice_part_checks_total")
			return int(checks) == n+1, fmt.Sprint(checks, " checks")
		})
		calls = r.Calls().Since(before).By("sluice/")
		t.Logf("one-line commit: %s, %d calls\n%s", took.Round(10*time.Millisecond), len(calls), calls)
		if is, behind := r.Metric("sluice_part_render_seconds")-parts, r.Metric("sluice_render_seconds")-whole; is != 1 || behind != 1 {
			t.Errorf("%v parts were rendered, and %v times the whole, want 1 and 1", is, behind)
		}
		if len(calls) > 12 {
			t.Errorf("%d calls for one line", len(calls))
		}
		if log := r.Log(); strings.Contains(log, "are not what a whole build gives") {
			t.Error("the whole build disagrees")
		}
	}
}
