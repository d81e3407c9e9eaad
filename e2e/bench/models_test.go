package bench_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// models are Models with two versions each, whose artifacts are in an object store. Each is served by
// a Deployment behind a gateway, and gets its traffic in two steps of a second.
type models struct {
	*stage
	store *objectstore.Server
	count int
}

// perOverlay is how many Models an Overlay has.
const perOverlay = 25

const bucket = "models"

// newModels has the agent run, and the Models in Git.
func newModels(t *testing.T, count int) *models {
	t.Helper()
	content := files{}
	for first := 0; first < count; first += perOverlay {
		list := "resources:\n"
		for n := first; n < min(first+perOverlay, count); n++ {
			list += "- " + modelName(n) + ".yaml\n"
			content[modelPath(n)] = modelText(n, "v1")
		}
		content[overlayName(first/perOverlay)+"/kustomization.yaml"] = list
	}
	m := &models{stage: newStage(t, cluster.Options{Nodes: 1 + count/100}, content), count: count}
	kserve.Start(t, m.Cluster.Config(), kserve.Options{Gateway: true})
	var err error
	if m.store, err = objectstore.Start(context.Background(), objectstore.Options{Progress: os.Stderr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.store.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := m.store.CreateBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	for n := range count {
		for _, version := range []string{"v1", "v2"} {
			if err := m.store.Put(context.Background(), bucket, modelName(n)+"/"+version, strings.NewReader(artifact(n, version))); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.Create(m.store.Secret(apps, "store"))
	for o := range (count + perOverlay - 1) / perOverlay {
		m.overlay(overlayName(o), overlayName(o))
	}
	return m
}

func modelName(n int) string          { return fmt.Sprintf("m%04d", n) }
func modelPath(n int) string          { return overlayName(n/perOverlay) + "/" + modelName(n) + ".yaml" }
func artifact(n int, v string) string { return fmt.Sprintf("the weights of %s of model %d\n", v, n) }

// modelText is a Model that names a version, and its two ModelVersions.
func modelText(n int, version string) string {
	text := fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: Model
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  serving:
    deployment:
      port: 8080
      gateway: {name: public}
      template:
        replicas: 1
        template:
          spec:
            containers:
            - {name: server, image: "registry.example.com/scorer:1", args: ["${uri}"]}
  stages:
  - name: production
    version: %[3]s
    gates:
    - {name: not-worse, cel: "first || candidate.metrics.auc >= current.metrics.auc"}
    rollout:
      drain: 1s
      canary: [{traffic: 10, hold: 1s}, {traffic: 50, hold: 1s}]
`, modelName(n), apps, version)
	for _, v := range []string{"v1", "v2"} {
		sum := sha256.Sum256([]byte(artifact(n, v)))
		text += fmt.Sprintf(`---
apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata: {name: %[1]s-%[2]s, namespace: %[3]s}
spec:
  model: %[1]s
  version: %[2]s
  artifact: {uri: "s3://%[4]s/%[1]s/%[2]s", digest: "sha256:%[5]s", secretRef: {name: store}}
  metrics: {auc: "0.9"}
`, modelName(n), v, apps, bucket, hex.EncodeToString(sum[:]))
	}
	return text
}

// allServe waits until every Model serves. It watches, as await does.
func (m *models) allServe() {
	m.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	serve := map[string]bool{}
	for len(serve) < m.count {
		watch, err := m.Client.Watch(ctx, &v1alpha1.ModelList{}, client.InNamespace(apps))
		if err != nil {
			m.T.Fatalf("%d of %d Models serve: %v", len(serve), m.count, err)
		}
		for event := range watch.ResultChan() {
			o, is := event.Object.(*v1alpha1.Model)
			if is && len(o.Status.Stages) == 1 && o.Status.Stages[0].Phase == v1alpha1.StageServing {
				serve[o.Name] = true
			}
			if len(serve) == m.count {
				break
			}
		}
		watch.Stop()
	}
}

// serve has the Models apply, from nothing.
func (m *models) serve() Result {
	m.T.Helper()
	t := m.metered()
	m.create()
	m.allServe()
	return t.end()
}

// promote has a Model go to a version by a commit. Live is when that gets its first traffic, and it
// has converged when it serves.
func (m *models) promote(n int, version string) Result {
	m.T.Helper()
	m.push("another version", files{modelPath(n): modelText(n, version)})
	t := m.metered()
	m.notify()
	await(m.stage, modelName(n), &v1alpha1.ModelList{}, apps, func(o *v1alpha1.Model) bool {
		s := o.Status.Stages
		return len(s) == 1 && s[0].Phase == v1alpha1.StageServing && s[0].Version == version
	})
	t.converged = time.Now()
	r := t.end()
	var all v1alpha1.PromotionList
	if err := m.Client.List(context.Background(), &all, client.InNamespace(apps), client.MatchingLabels{v1alpha1.ModelLabel: modelName(n)}); err != nil {
		m.T.Fatal(err)
	}
	for _, p := range all.Items {
		if p.Spec.Version == version && p.Status.LiveAt != nil {
			r.Live = p.Status.LiveAt.Sub(t.notified).Seconds()
		}
	}
	return r
}

// resyncs asks for a look at Models over and over, though nothing changes.
func (m *models) resyncs(times int) Result {
	m.T.Helper()
	t := m.metered()
	for n := range times {
		o := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: apps, Name: modelName(n % m.count)}}
		asked := m.request(o)
		await(m.stage, o.Name, &v1alpha1.ModelList{}, apps, func(o *v1alpha1.Model) bool { return o.Status.LastHandledReconcileAt == asked })
	}
	t.converged = t.notified.Add(time.Since(t.notified) / time.Duration(times))
	return t.end()
}

// metered is a meter that counts the requests to the object store too.
type metered struct {
	*meter
	store  *objectstore.Server
	before objectstore.Traffic
}

func (m *models) metered() *metered {
	m.T.Helper()
	return &metered{m.begin(), m.store, m.store.Traffic()}
}

func (t *metered) end() Result {
	r := t.meter.end()
	r.Store = t.store.Traffic().Sub(t.before).Requests()
	return r
}

// models measures many Models of one agent.
func (b *bench) models(count int) {
	m := newModels(b.T, count)
	b.add("first apply", m.serve())
	b.add("promotion by canary", repeated(5, func(n int) Result { return m.promote(n*(count-1)/4, "v2") }))
	b.add("back to the version before", repeated(5, func(n int) Result { return m.promote(n*(count-1)/4, "v1") }))
	b.add("60 resyncs", m.resyncs(60))
	b.add("30 s of quiet", m.quiet(30*time.Second))
	b.add("restart", m.restart())
}

// What is promised of counts for Models, in small.
func TestModelCounts(t *testing.T) {
	m := newModels(t, 8)
	first := m.serve()
	// Each Model has a Deployment, two Services and a route; each of its artifacts is listed and
	// read, and that which is to serve is listed once more.
	expectModels(t, "first apply", first, 8*4, 8*(2*2+1), limits{calls: 8 * 70, writes: 8 * 20, renders: 1})
	expectModels(t, "a promotion by canary", m.promote(3, "v2"), -1, 1, limits{calls: 120, writes: 24, renders: 1})
	expectModels(t, "back to the version before", m.promote(3, "v1"), -1, 1, limits{calls: 90, writes: 20, renders: 1})
	expectModels(t, "resyncs that find nothing", m.resyncs(10), 0, 0, limits{calls: 10})
	expectModels(t, "quiet", m.quiet(5*time.Second), 0, 0, limits{})
	expectModels(t, "a restart", m.restart(), 0, 0, limits{calls: 15, kept: 1})
}

// expectModels compares a result with its limits, and with how many requests to the object store
// there may be.
func expectModels(t *testing.T, what string, r Result, changes, store int, most limits) {
	t.Helper()
	expect(t, what, r, changes, most)
	if t.Logf("%s: %d requests to the object store", what, r.Store); r.Store > store {
		t.Errorf("%s: %d requests to the object store, want at most %d", what, r.Store, store)
	}
}
