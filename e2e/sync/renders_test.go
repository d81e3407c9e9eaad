package sync_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// What is rendered is what changed: one Overlay of three at a commit that touches one, and none
// after a restart.
func TestRendersFollowTheChange(t *testing.T) {
	colored := func(name, color string) string {
		return strings.NewReplacer("NAME", name, "COLOR", color).Replace(
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, namespace: platform}\ndata: {color: COLOR}\n")
	}
	r := rig.New(t, cluster.Options{})
	repo := r.Repository("platform", files{
		"base/kustomization.yaml": "resources: [settings.yaml]\n", "base/settings.yaml": colored("settings", "red"),
		"a/kustomization.yaml": "namePrefix: a-\nresources: [../base]\n", "b/kustomization.yaml": "namePrefix: b-\nresources: [../base]\n",
		"c/settings.yaml": colored("c-settings", "red"),
	})
	for _, name := range []string{"a", "b", "c"} {
		r.Overlay(name, name)
	}
	r.StartAgent()
	counted := func(what string, renders, kept float64, do func() (revision string)) {
		t.Helper()
		rendersBefore, keptBefore := r.Metric("sluice_render_seconds"), r.Metric("sluice_renders_kept_total")
		do()
		r.Eventually(fmt.Sprintf("%s: %v renders, %v kept", what, renders, kept), func() (bool, string) {
			is, isKept := r.Metric("sluice_render_seconds")-rendersBefore, r.Metric("sluice_renders_kept_total")-keptBefore
			return is == renders && isKept == kept, fmt.Sprintf("%v renders, %v kept", is, isKept)
		})
	}
	for _, name := range []string{"a", "b", "c"} {
		r.WaitReady(name)
	}
	push := func(changed files) func() string {
		return func() string {
			revision := r.Push(repo, gitserver.Change{Message: "a change", Files: changed})
			r.Ask("platform")
			return revision
		}
	}
	counted("nothing that an overlay reads", 0, 3, push(files{"README.md": "# Platform\n"}))
	counted("one overlay", 1, 2, push(files{"c/settings.yaml": colored("c-settings", "green")}))
	counted("a base of two", 2, 1, push(files{"base/settings.yaml": colored("settings", "green")}))
	counted("one that is broken now", 1, 2, push(files{"a/kustomization.yaml": "namePrefix: a-\nresources: [../bases]\n"}))
	r.WaitReason("a", "RenderFailed")
	counted("beside one that cannot be rendered", 0, 3, push(files{"README.md": "# The platform\n"}))
	counted("what was missing comes", 1, 2, push(files{"bases/kustomization.yaml": "resources: [../base]\n"}))
	r.WaitReady("a")

	// What is kept of a good render does not pass for one of a broken commit.
	counted("one that is broken again", 1, 2, push(files{"c/kustomization.yaml": "resources: [nothing.yaml]\n"}))
	r.WaitReason("c", "RenderFailed")
	drift := r.Get("v1", "ConfigMap", "platform", "c-settings")
	r.Update(drift, func() { drift.Object["data"] = map[string]any{"color": "black"} })
	r.Eventually("drift beside it is corrected", func() (bool, string) {
		is := field(r.Get("v1", "ConfigMap", "platform", "c-settings"), "data", "color")
		return is == "green", is
	})
	r.KillAgent()
	r.StartAgent()
	r.Ask("platform")
	r.Eventually("it is found to be broken again", func() (bool, string) {
		n := r.Metric("sluice_render_seconds")
		return n == 1, fmt.Sprint(n, " renders")
	})
	r.WaitReason("c", "RenderFailed")
	if _, err := repo.Commit(gitserver.Change{Message: "mended", Delete: []string{"c/kustomization.yaml"}}); err != nil {
		t.Fatal(err)
	}
	r.Ask("platform")
	r.WaitReady("c")

	// A new agent takes stock: it renders nothing and writes nothing.
	r.KillAgent()
	before := r.Calls()
	r.StartAgent()
	revision := push(files{"README.md": "# Our platform\n"})()
	r.WaitSynced("platform", revision)
	if is := r.Metric("sluice_render_seconds"); is != 0 {
		t.Errorf("%v renders after a restart, want none", is)
	}
	for _, write := range r.Calls().Since(before).By("sluice/").Writes() {
		if !strings.HasPrefix(write.Resource, "repositories") && write.Resource != "events" {
			t.Errorf("it wrote after a restart: %v", write)
		}
	}

	// Where something is to be written, it is rendered after all.
	drifted := r.Get("v1", "ConfigMap", "platform", "c-settings")
	r.Update(drifted, func() { drifted.Object["data"] = map[string]any{"color": "black"} })
	r.Eventually("drift is corrected", func() (bool, string) {
		is := field(r.Get("v1", "ConfigMap", "platform", "c-settings"), "data", "color")
		return is == "green", is
	})
	if is := r.Metric("sluice_render_seconds"); is != 1 {
		t.Errorf("%v renders to correct one object, want 1", is)
	}
}
