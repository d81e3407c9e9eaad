package sync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
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
	r.AskOverlay("kubeflow")
	time.Sleep(5 * time.Second) // time in which nothing is to happen
	calls = r.Calls().Since(before).By("sluice/")
	if writes := calls.Writes().Without("repositories.sluice.dev/status", "overlays.sluice.dev/status"); len(writes) > 0 || len(calls.DryRuns()) > 0 {
		t.Errorf("nothing changed, and yet:\n%s", calls)
	}
	sameAsKustomize(r, files)

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

// sameAsKustomize compares what the Inventory of the platform says was applied with what
// Kustomize builds of the same files, object by object.
func sameAsKustomize(r *rig.Rig, files map[string]string) {
	r.T.Helper()
	disk := filesys.MakeFsInMemory()
	for name, text := range files {
		if err := disk.WriteFile("/"+name, []byte(text)); err != nil {
			r.T.Fatal(err)
		}
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(disk, "/example")
	if err != nil {
		r.T.Fatal(err)
	}
	var records v1alpha1.InventoryList
	if err := r.Client.List(context.Background(), &records, client.InNamespace(r.Namespace)); err != nil {
		r.T.Fatal(err)
	}
	applied := map[agent.Ref]string{}
	for _, i := range records.Items {
		for _, e := range i.Entries {
			applied[agent.Ref{Group: e.Group, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}] = e.Digest
		}
	}
	if len(applied) != built.Size() {
		r.T.Errorf("%d objects were applied, and Kustomize builds %d", len(applied), built.Size())
	}
	for _, resource := range built.Resources() {
		fields, err := resource.Map()
		if err != nil {
			r.T.Fatal(err)
		}
		object, err := manifest.Prepare(fields, "", agent.Owner{Namespace: r.Namespace, Name: "kubeflow"})
		if err != nil {
			r.T.Fatal(err)
		}
		if _, known := applied[object.Ref]; !known { // Kustomize gives every custom resource a namespace
			if object, err = manifest.WithoutNamespace(object); err != nil {
				r.T.Fatal(err)
			}
		}
		if applied[object.Ref] != object.Digest {
			r.T.Errorf("%s was applied as %q, and Kustomize builds %s", object.Ref, applied[object.Ref], object.Digest)
		}
	}
}
