package bench_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
)

const (
	platformDir     = "example"
	platformObjects = 683
	// The one-line commit changes this file, which is in this part of the whole, and becomes this
	// object.
	oneLineFile   = "applications/centraldashboard/upstream/base/configmap.yaml"
	oneLinePart   = "applications/centraldashboard/overlays/oauth2-proxy"
	oneLineObject = "centraldashboard-config"
	commits       = 3
)

// platform is the whole of Kubeflow as one Overlay. Webhooks are off: nobody would answer.
func (b *bench) platform() {
	content := rig.Kubeflow(b.T)
	first, oneLine := b.platformFloor(content)

	s := newStage(b.T, cluster.Options{Nodes: 3}, maps.Clone(content)) // which changes with each commit
	s.overlay("kubeflow", platformDir)
	m := s.begin()
	s.create()
	await(s, "kubeflow", &v1alpha1.OverlayList{}, s.Namespace, func(o *v1alpha1.Overlay) bool { return o.Status.Objects.Total == platformObjects })
	s.SimulateKubeflow() // without the controllers, it would not become Ready
	s.awaitSynced(s.head())
	m.converged = time.Now()
	b.add("first apply", m.end().against(first))
	b.add("one-line commit", repeated(commits, func(n int) Result {
		return s.commit("one line", files{oneLineFile: oneMoreLine(content, n)}).against(oneLine[n])
	}))
	b.add("commit elsewhere", s.commit("nothing that an overlay reads", files{"NOTES.md": "hello\n"}))
	b.add("60 resyncs", s.resync(60))
	b.add("30 s of quiet", s.quiet(30*time.Second))
	b.add("restart", s.restart())
}

// platformFloor measures the floor on a control plane of its own: there is one such platform in a
// cluster.
func (b *bench) platformFloor(content files) (first Floor, oneLine []Floor) {
	b.Helper()
	c, err := cluster.Start(context.Background(), cluster.Options{Nodes: 3, Progress: os.Stderr})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	g, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	repo, err := g.Create("platform")
	if err != nil {
		b.Fatal(err)
	}
	commit := func(changed files) {
		if _, err := repo.Commit(gitserver.Change{Files: changed}); err != nil {
			b.Fatal(err)
		}
	}
	commit(content)
	f := newFloor(b.T, c.Config(), repo.URL, "")
	first = f.do(memoryOf(content), []string{platformDir}, all)
	fs := memoryOf(content)
	for n := range commits {
		text := oneMoreLine(content, n)
		commit(files{oneLineFile: text})
		if err := fs.WriteFile("/"+oneLineFile, []byte(text)); err != nil {
			b.Fatal(err)
		}
		oneLine = append(oneLine, f.do(fs, []string{oneLinePart}, named(oneLineObject)))
	}
	return first, oneLine
}

func oneMoreLine(content files, n int) string {
	return strings.Replace(content[oneLineFile], "\ndata:\n", fmt.Sprintf("\ndata:\n  one-line: \"%d\"\n", n), 1)
}
