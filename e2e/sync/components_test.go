package sync_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// component is a part of the platform as an Overlay of its own.
type component struct {
	name, path string
	dependsOn  []string
}

var entry = regexp.MustCompile(`(?m)^- \.\./(\S+)`)

// webApps are the components that this test keeps together in one Overlay, to take one out.
var webApps = []string{"applications/volumes-web-app/upstream/overlays/istio", "applications/jupyter/jupyter-web-app/upstream/overlays/istio",
	"applications/tensorboard/tensorboards-web-app/upstream/overlays/istio"}

// components cuts the platform's example into one Overlay for each of its entries. What
// defines kinds and namespaces comes first.
func components(t *testing.T, files map[string]string) []component {
	t.Helper()
	first := []string{"kubeflow-namespace", "istio-crds", "cert-manager-kubeflow"}
	var list []component
	for _, m := range entry.FindAllStringSubmatch(files["example/kustomization.yaml"], -1) {
		if strings.Contains(strings.Join(webApps, " "), m[1]) {
			continue
		}
		list = append(list, component{name: nameOf(m[1]), path: m[1]})
	}
	list = append(list, component{name: "web-apps", path: "web-apps"})
	for n, c := range list {
		if c.name != "istio-crds" && c.name != "kubeflow-namespace" && c.name != "cert-manager-kubeflow" && c.name != "istio-namespace" {
			list[n].dependsOn = first
		}
	}
	return list
}

func nameOf(dir string) string {
	var parts []string
	for _, p := range strings.Split(dir, "/") {
		switch p {
		case "common", "applications", "base", "overlays", "upstream", "istio", "installs":
		default:
			parts = append(parts, p)
		}
	}
	return strings.ToLower(strings.Join(parts, "-"))
}

func webAppsKustomization(apps []string) string {
	text := "resources:\n"
	for _, a := range apps {
		text += "- ../" + a + "\n"
	}
	return text
}

// The same platform as one Overlay for each component converges in any order of arrival, and
// then lives through the everyday life of a repository.
func TestPlatformAsComponents(t *testing.T) {
	files := rig.Kubeflow(t)
	files["web-apps/kustomization.yaml"] = webAppsKustomization(webApps)
	r := rig.New(t, cluster.Options{Nodes: 3})
	repo := r.Repository("platform", files)
	list := components(t, files)
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d Overlays, order from seed %d", len(list), seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	start := time.Now()
	before := r.Calls()
	r.StartAgent()
	for _, c := range list {
		r.Overlay(c.name, c.path, func(o *v1alpha1.Overlay) {
			o.Spec.Timeout = metav1.Duration{Duration: 10 * time.Minute}
			for _, d := range c.dependsOn {
				o.Spec.DependsOn = append(o.Spec.DependsOn, v1alpha1.OverlayReference{Name: d})
			}
		})
	}
	r.SimulateKubeflow()
	total := 0
	for _, c := range list {
		total += int(r.WaitReady(c.name).Status.Objects.Total)
	}
	calls := r.Calls().Since(before).By("sluice/")
	t.Logf("all Ready: %s, %d calls, %d writes, %d MiB", time.Since(start).Round(100*time.Millisecond), len(calls), len(calls.Writes()), r.Memory()>>20)
	if total != 683 {
		t.Errorf("the Overlays have %d objects, want 683", total)
	}
	head, err := repo.Hash("main")
	if err != nil {
		t.Fatal(err)
	}
	r.WaitSynced("platform", "main@sha1:"+head)

	commit := func(what string, change gitserver.Change) cluster.Requests {
		t.Helper()
		before, start := r.Calls(), time.Now()
		change.Message = what
		revision := r.Push(repo, change)
		r.Ask("platform")
		r.WaitSynced("platform", revision)
		calls := r.Calls().Since(before).By("sluice/")
		t.Logf("%s: %s, %d calls, %d writes", what, time.Since(start).Round(100*time.Millisecond), len(calls), len(calls.Writes()))
		return calls
	}

	const links = "applications/centraldashboard/upstream/overlays/kserve/patches/configmap.yaml"
	dashboardParameters := []string{"applications/centraldashboard/upstream/base/kustomization.yaml", "applications/centraldashboard/upstream/overlays/istio/kustomization.yaml"}
	dashboard := func() map[string]any {
		data, _ := r.Get("v1", "ConfigMap", "kubeflow", "centraldashboard-config").Object["data"].(map[string]any)
		return data
	}

	t.Run("nothing changed", func(t *testing.T) {
		calls := commit("a file that no overlay reads", gitserver.Change{Files: map[string]string{"NOTES.md": "hello\n"}})
		if n := len(calls.DryRuns()); n > 0 {
			t.Errorf("%d dry-runs", n)
		}
		if writes := calls.Writes().Without("repositories.sluice.dev/status", "events"); len(writes) > 0 {
			t.Errorf("writes:\n%s", writes)
		}
	})
	t.Run("one line", func(t *testing.T) {
		calls := commit("one line", gitserver.Change{Files: map[string]string{links: strings.Replace(files[links], `"text": "Notebooks"`, `"text": "My notebooks"`, 1)}})
		if text := fmt.Sprint(dashboard()["links"]); !strings.Contains(text, "My notebooks") {
			t.Errorf("the ConfigMap says %s", text)
		}
		if writes := calls.Writes().Of("configmaps"); len(writes) != 1 {
			t.Errorf("writes of ConfigMaps:\n%s", writes)
		}
		if len(calls) > 10 {
			t.Errorf("%d calls for one line:\n%s", len(calls), calls)
		}
	})
	t.Run("a removed component", func(t *testing.T) {
		if r.Get("apps/v1", "Deployment", "kubeflow", "volumes-web-app-deployment") == nil {
			t.Fatal("the web app is not there to begin with")
		}
		commit("remove the volumes web app", gitserver.Change{Files: map[string]string{"web-apps/kustomization.yaml": webAppsKustomization(webApps[1:])}})
		r.Eventually("the web app and its account are gone", func() (bool, string) {
			return r.Get("apps/v1", "Deployment", "kubeflow", "volumes-web-app-deployment") == nil &&
				r.Get("v1", "ServiceAccount", "kubeflow", "volumes-web-app-service-account") == nil, "they are there"
		})
	})
	t.Run("a moved object", func(t *testing.T) {
		uid := r.Get("apps/v1", "Deployment", "kubeflow", "jupyter-web-app-deployment").GetUID()
		dashboardPath := pathOf(list, "centraldashboard-oauth2-proxy")
		moved := files[dashboardPath+"/kustomization.yaml"]
		moved = strings.Replace(moved, "resources:\n", "resources:\n- ../../../jupyter/jupyter-web-app/upstream/overlays/istio\n", 1)
		commit("move a web app to another overlay", gitserver.Change{Files: map[string]string{
			"web-apps/kustomization.yaml":         webAppsKustomization(webApps[2:]),
			dashboardPath + "/kustomization.yaml": moved,
		}})
		got := r.Get("apps/v1", "Deployment", "kubeflow", "jupyter-web-app-deployment")
		if got == nil || got.GetUID() != uid {
			t.Errorf("the moved Deployment was deleted or created anew")
		} else if owner := got.GetLabels()[v1alpha1.OverlayLabel]; owner != "centraldashboard-oauth2-proxy" {
			t.Errorf("it belongs to %s", owner)
		}
	})
	good, err := repo.Hash("main")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a broken commit and its fix", func(t *testing.T) {
		r.Push(repo, gitserver.Change{Message: "break the dashboard", Files: map[string]string{links: "apiVersion: v1\n  kind: [ConfigMap\n"}})
		r.Ask("platform")
		o := r.WaitReason("centraldashboard-oauth2-proxy", v1alpha1.RenderFailedReason)
		if message := rig.Ready(o).Message; !strings.Contains(message, links) {
			t.Errorf("the message does not name the file: %s", message)
		}
		for _, c := range list {
			if c.name != "centraldashboard-oauth2-proxy" {
				r.WaitReady(c.name)
			}
		}
		if dashboard() == nil {
			t.Error("the live ConfigMap is gone")
		}
		commit("fix it", gitserver.Change{Files: map[string]string{links: files[links]}})
	})
	t.Run("a renamed object", func(t *testing.T) {
		renamed := map[string]string{}
		for _, file := range dashboardParameters {
			renamed[file] = strings.ReplaceAll(files[file], "name: centraldashboard-parameters", "name: centraldashboard-settings")
		}
		commit("rename the parameters", gitserver.Change{Files: renamed})
		r.Eventually("the old ConfigMap is gone", func() (bool, string) {
			return r.Get("v1", "ConfigMap", "kubeflow", "centraldashboard-parameters") == nil, "it is there"
		})
		if r.Get("v1", "ConfigMap", "kubeflow", "centraldashboard-settings") == nil {
			t.Error("the new ConfigMap is not there")
		}
	})
	t.Run("a force-push back", func(t *testing.T) {
		if err := repo.SetBranch("main", good); err != nil {
			t.Fatal(err)
		}
		r.Ask("platform")
		r.WaitSynced("platform", "main@sha1:"+good)
		if text := fmt.Sprint(dashboard()["links"]); !strings.Contains(text, "My notebooks") {
			t.Errorf("the ConfigMap says %s", text)
		}
	})
}

func pathOf(list []component, name string) string {
	for _, c := range list {
		if c.name == name {
			return path.Clean(c.path)
		}
	}
	return ""
}
