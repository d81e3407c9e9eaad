package sync_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// platformFiles reads the real Kubeflow platform, which lies beside the checkout.
func platformFiles(t *testing.T) map[string]string {
	t.Helper()
	archive := filepath.Join(rig.Root(t), "..", "shared", "kubeflow", "platform.tar.gz")
	if _, err := os.Stat(archive); err != nil {
		t.Skip("the Kubeflow platform is not beside this checkout (../shared/kubeflow/platform.tar.gz)")
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "xzf", archive, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The whole platform as one Overlay: all of it is applied and becomes healthy, and a second
// look at it writes nothing.
func TestPlatformAsOneOverlay(t *testing.T) {
	files := platformFiles(t)
	r := rig.New(t, cluster.Options{Nodes: 3})
	repo := r.Repository("platform", files)
	r.Overlay("kubeflow", "example", func(o *v1alpha1.Overlay) { o.Spec.Timeout = metav1.Duration{Duration: 10 * time.Minute} })
	start := time.Now()
	before := r.Calls()
	r.StartAgent()
	r.WaitOverlay("kubeflow", "has applied all", func(o *v1alpha1.Overlay) bool { return o.Status.Objects.Total == 683 })
	t.Logf("all 683 objects applied after %s", time.Since(start).Round(100*time.Millisecond))
	simulateControllers(r)
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

	// A commit of one line.
	const file = "applications/centraldashboard/upstream/base/configmap.yaml"
	if files[file] == "" {
		t.Fatalf("%s is not in the platform", file)
	}
	before = r.Calls()
	start = time.Now()
	revision := r.Push(repo, gitserver.Change{Message: "one line", Files: map[string]string{file: files[file] + "\n  # one line\n"}})
	r.Ask("platform")
	r.WaitSynced("platform", revision)
	calls = r.Calls().Since(before).By("sluice/")
	t.Logf("one-line commit: %s, %d calls\n%s", time.Since(start).Round(100*time.Millisecond), len(calls), calls)
}
