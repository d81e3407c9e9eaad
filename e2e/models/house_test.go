package models_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/rig"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type files = map[string]string

// house is a repository with a Model, what its Overlay applies to, and an object store.
type house struct {
	*rig.Rig
	store *objectstore.Server
	repo  *gitserver.Repo
	files files // as last pushed
}

const bucket = "models"

// newHouse has everything in place but the Model: an agent that follows the directory models of a
// repository.
func newHouse(t *testing.T, o cluster.Options) *house {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	h := &house{Rig: rig.New(t, o), files: files{}}
	var err error
	if h.store, err = objectstore.Start(context.Background(), objectstore.Options{Progress: os.Stderr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.store.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := h.store.CreateBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fraud-staging", "fraud"} {
		h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	h.Create(h.store.Secret(h.Namespace, "store"))
	return h
}

// put writes an artifact and returns its digest.
func (h *house) put(version, content string) string {
	h.T.Helper()
	if err := h.store.Put(context.Background(), bucket, "fraud/"+version+"/model.json", strings.NewReader(content)); err != nil {
		h.T.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// register adds a ModelVersion to what is to be pushed.
func (h *house) register(version string, metrics string) {
	h.T.Helper()
	digest := h.put(version, `{"version": "`+version+`"}`)
	h.version(version, digest, metrics)
}

func (h *house) version(version, digest, metrics string) {
	h.files["models/versions/fraud-"+version+".yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-%[1]s
spec:
  model: fraud
  version: %[1]s
  artifact:
    uri: s3://%[2]s/fraud/%[1]s/model.json
    digest: %[3]s
    secretRef: {name: store}
  metrics: {%[4]s}
`, version, bucket, digest, metrics)
	list := "resources:\n"
	for path := range h.files {
		if name, is := strings.CutPrefix(path, "models/versions/fraud-"); is {
			list += "- fraud-" + name + "\n"
		}
	}
	h.files["models/versions/kustomization.yaml"] = list
	h.files["models/kustomization.yaml"] = "resources: [model.yaml, versions]\n"
}

// push commits what has changed, and has the agent look.
func (h *house) push(message string) string {
	h.T.Helper()
	revision := h.Push(h.repo, gitserver.Change{Message: message, Files: h.files})
	h.Ask("platform")
	return revision
}

// begin makes the Repository and the Overlay, and starts the agent.
func (h *house) begin(flags ...string) {
	h.T.Helper()
	h.repo = h.Repository("platform", h.files)
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	h.StartAgent(append([]string{"--allow-loopback-checks"}, flags...)...)
}

// set changes the line that says which version a stage serves.
func (h *house) set(stage, version string) {
	h.T.Helper()
	lines := strings.Split(h.files["models/model.yaml"], "\n")
	at := -1
	for n, line := range lines {
		if strings.HasSuffix(line, "- name: "+stage) {
			at = n
		}
		if at >= 0 && strings.HasPrefix(strings.TrimSpace(line), "version:") {
			lines[n] = line[:strings.Index(line, "version:")] + "version: " + version
			h.files["models/model.yaml"] = strings.Join(lines, "\n")
			return
		}
	}
	h.T.Fatalf("there is no stage %s in the file", stage)
}

// model reads the Model.
func (h *house) model() *v1alpha1.Model {
	h.T.Helper()
	var m v1alpha1.Model
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud"}, &m); client.IgnoreNotFound(err) != nil {
		h.T.Fatal(err)
	}
	return &m
}

// stage is a stage as its status says.
func (h *house) stage(name string) v1alpha1.StageStatus {
	h.T.Helper()
	for _, s := range h.model().Status.Stages {
		if s.Name == name {
			return s
		}
	}
	return v1alpha1.StageStatus{}
}

// await waits until a stage is as it should be.
func (h *house) await(stage, what string, is func(v1alpha1.StageStatus) bool) v1alpha1.StageStatus {
	h.T.Helper()
	var last v1alpha1.StageStatus
	h.Eventually(stage+": "+what, func() (bool, string) {
		last = h.stage(stage)
		return is(last), fmt.Sprintf("%s %s, candidate %q at %d %%: %s", last.Phase, last.Version, last.Candidate, last.Traffic, last.Message)
	})
	return last
}

// serves waits until a stage serves a version and nothing else is on its way.
func (h *house) serves(stage, version string) v1alpha1.StageStatus {
	h.T.Helper()
	return h.await(stage, version+" serves", func(s v1alpha1.StageStatus) bool {
		return s.Phase == v1alpha1.StageServing && s.Version == version
	})
}

// promotions are those of a stage, the newest first.
func (h *house) promotions(stage string) []v1alpha1.Promotion {
	h.T.Helper()
	var list v1alpha1.PromotionList
	if err := h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace)); err != nil {
		h.T.Fatal(err)
	}
	var of []v1alpha1.Promotion
	for _, p := range list.Items {
		if p.Spec.Stage == stage {
			of = append(of, p)
		}
	}
	for a := range of {
		for b := range of[:a] {
			if of[b].Spec.Number < of[a].Spec.Number {
				of[a], of[b] = of[b], of[a]
			}
		}
	}
	return of
}

// trail says how the promotions of a stage went, the oldest first: "v7 Succeeded, v8 RolledBack".
func (h *house) trail(stage string) string {
	var trail []string
	for _, p := range h.promotions(stage) {
		trail = append([]string{p.Spec.Version + " " + string(p.Status.Phase)}, trail...)
	}
	return strings.Join(trail, ", ")
}

// environment is what the first container of a Deployment is told under a name.
func (h *house) environment(namespace, deployment, name string) string {
	h.T.Helper()
	var d appsv1.Deployment
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: deployment}, &d); err != nil {
		h.T.Fatal(err)
	}
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// selected is the version that a Service leads to.
func (h *house) selected(namespace, service string) string {
	h.T.Helper()
	var s corev1.Service
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: service}, &s); err != nil {
		h.T.Fatal(err)
	}
	return s.Spec.Selector[v1alpha1.VersionLabel]
}

func (h *house) delete(o client.Object) {
	h.T.Helper()
	if err := h.Client.Delete(context.Background(), o); err != nil {
		h.T.Fatal(err)
	}
}
