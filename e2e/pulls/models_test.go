package pulls_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// scored is a Model with two stages, a canary, and a check that asks CHECK.
const scored = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  keyMetric: auc
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
  - name: staging
    namespace: fraud-staging
    version: v7
    rollout: {drain: 1s}
  - name: production
    namespace: fraud
    version: v7 # the line
    promoteFrom: staging
    gates:
    - {name: not-worse, cel: "first || candidate.metrics.auc >= current.metrics.auc - 0.002"}
    - {name: soaked, soak: {stage: staging, duration: 1s}}
    rollout:
      drain: 1s
      canary: [{traffic: 10, hold: 2s}, {traffic: 50, hold: 1s}]
      analysis:
      - {name: answers, interval: 500ms, http: {url: "CHECK/${version}"}}
`

// scorer answers for the versions of a model, but for those that are told to fail.
type scorer struct {
	*httptest.Server
	mu    sync.Mutex
	fails map[string]bool
}

func newScorer(t *testing.T) *scorer {
	s := &scorer{fails: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fails[strings.TrimPrefix(r.URL.Path, "/")] {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *scorer) fail(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[version] = true
}

// modelHouse is a house with a Model that comes from its repository.
type modelHouse struct {
	*house
	store  *objectstore.Server
	scorer *scorer
}

const bucket = "models"

func newModelHouse(t *testing.T, model string, versions ...string) *modelHouse {
	t.Helper()
	scorer := newScorer(t)
	content := files{
		"models/kustomization.yaml": "resources: [model.yaml, versions]\n",
		"models/model.yaml":         strings.ReplaceAll(model, "CHECK", scorer.URL),
	}
	store, err := objectstore.Start(context.Background(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := store.CreateBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	list := "resources:\n"
	for n, v := range versions {
		artifact := `{"version": "` + v + `"}`
		if err := store.Put(context.Background(), bucket, "fraud/"+v+"/model.json", strings.NewReader(artifact)); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(artifact))
		content["models/versions/fraud-"+v+".yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-%[1]s
spec:
  model: fraud
  version: %[1]s
  artifact: {uri: "s3://%[2]s/fraud/%[1]s/model.json", digest: "sha256:%[3]s", secretRef: {name: store}}
  metrics: {auc: "%[4]s"}
  lineage: {run: run-%[1]s, dataset: "payments-2026"}
`, v, bucket, hex.EncodeToString(sum[:]), fmt.Sprintf("0.94%d", n))
		list += "- fraud-" + v + ".yaml\n"
	}
	content["models/versions/kustomization.yaml"] = list
	h := &modelHouse{house: newHouse(t, cluster.Options{Nodes: 1}, content), store: store, scorer: scorer}
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Gateway: true})
	for _, name := range []string{"fraud-staging", "fraud"} {
		h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	h.Create(store.Secret(h.Namespace, "store"))
	return h
}

// begin has the first version serve in both stages.
func (h *modelHouse) begin(edits ...func(*v1alpha1.RepositorySpec)) {
	h.T.Helper()
	h.house.begin(edits...)
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	h.serves("staging", "v7")
	h.serves("production", "v7")
}

// set pushes another version of a stage to main, as somebody may who needs no pull request for it.
func (h *modelHouse) set(stage, version string) {
	h.T.Helper()
	text, err := h.repo.Git(h.owner, "show", "main:models/model.yaml")
	h.must(err)
	lines := strings.Split(text, "\n")
	at := -1
	for n, line := range lines {
		if strings.HasSuffix(line, "- name: "+stage) {
			at = n
		}
		if at >= 0 && strings.HasPrefix(strings.TrimSpace(line), "version:") {
			lines[n] = line[:strings.Index(line, "version:")] + "version: " + version
			break
		}
	}
	h.push(h.owner, "main", files{"models/model.yaml": strings.Join(lines, "\n") + "\n"})
}

func (h *modelHouse) stage(name string) v1alpha1.StageStatus {
	h.T.Helper()
	var m v1alpha1.Model
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud"}, &m); client.IgnoreNotFound(err) != nil {
		h.T.Fatal(err)
	}
	for _, s := range m.Status.Stages {
		if s.Name == name {
			return s
		}
	}
	return v1alpha1.StageStatus{}
}

func (h *modelHouse) serves(stage, version string) {
	h.T.Helper()
	h.Eventually(version+" serves "+stage, func() (bool, string) {
		s := h.stage(stage)
		return s.Phase == v1alpha1.StageServing && s.Version == version, fmt.Sprintf("%s %s, candidate %q at %d %%: %s", s.Phase, s.Version, s.Candidate, s.Traffic, s.Message)
	})
}

// pullOf waits until there is an open pull request from a branch.
func (h *house) pullOf(branch string) *forge.Pull {
	h.T.Helper()
	var found *forge.Pull
	h.Eventually("a pull request from "+branch, func() (bool, string) {
		list, err := h.repo.Pulls(h.T.Context(), "open")
		h.must(err)
		for n := range list {
			if list[n].Head.Ref == branch {
				found = list[n]
			}
		}
		return found != nil, fmt.Sprintf("%d are open", len(list))
	})
	return found
}

// pull waits until a pull request is as it should be.
func (h *house) pull(p *forge.Pull, what string, is func(*forge.Pull) bool) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("pull request %d %s", p.Number, what), func() (bool, string) {
		h.must(p.Refresh(h.T.Context()))
		return is(p), fmt.Sprintf("%s, draft %v: %s", p.State, p.Draft, p.Title)
	})
}

// What serves in staging is proposed for production by a pull request: merged, it serves. Closed, it is
// not proposed again. A newer version takes the place of an older one. What fails its canary is
// reverted by a pull request.
func TestPromotion(t *testing.T) {
	h := newModelHouse(t, scored, "v7", "v8", "v9", "v10", "v11")
	h.begin()

	h.set("staging", "v8")
	p := h.pullOf("sluice/promote/fraud-production-v8")
	h.pull(p, "has its label", func(p *forge.Pull) bool { return len(p.Labels) == 1 && p.Labels[0].Name == "sluice/promotion" })
	if p.Title != "fraud: promote v8 to production" || p.User.Login != h.bot.Name || p.Draft {
		t.Errorf("the pull request is %+v", p)
	}
	if !contains(p.Body, "auc", "0.941", "run-v8", "not-worse", "staging") {
		t.Errorf("its body:\n%s", p.Body)
	}
	h.status(p.Head.SHA, "sluice/plan", "success", "1 model promotes")
	h.comment(p, "plan", "auc", "0.940", "0.941", "10 %")
	before := gitea.Traffic()
	h.must(p.Merge(t.Context(), h.ann, forge.Merge))
	h.status(p.MergeCommit, "sluice/fraud-production", "pending")
	h.comment(p, "merged", "v8 at 10 %")
	h.serves("production", "v8")
	h.status(p.MergeCommit, "sluice/fraud-production", "success", "v8 serves production")
	h.status(p.MergeCommit, "sluice/models", "success")
	h.comment(p, "merged", "v8 serves production")
	t.Logf("from the merge to the end:\n%s", calls(before))

	// The rejected twin: a no holds, also for an agent that starts anew.
	h.set("staging", "v9")
	rejected := h.pullOf("sluice/promote/fraud-production-v9")
	h.status(rejected.Head.SHA, "sluice/plan", "success")
	h.must(rejected.Edit(t.Context(), h.ann, "", "closed"))
	h.Eventually("the no is on record", func() (bool, string) {
		list := h.GetRepository("platform").Status.PullRequests
		return len(list) == 1 && list[0].State == v1alpha1.PullRequestDeclined, fmt.Sprintf("%+v", list)
	})
	h.comment(rejected, "plan", "Closed without a merge")
	h.KillAgent()
	h.StartAgent("--allow-loopback-checks")
	h.Ask("platform")

	// The superseded twin.
	h.set("staging", "v10")
	superseded := h.pullOf("sluice/promote/fraud-production-v10")
	h.status(superseded.Head.SHA, "sluice/plan", "success")
	h.set("staging", "v11")
	p = h.pullOf("sluice/promote/fraud-production-v11")
	h.pull(superseded, "is closed", func(p *forge.Pull) bool { return p.State == "closed" && !p.Merged })
	h.comment(superseded, "merged", "v11")
	list, err := h.repo.Pulls(t.Context(), "all")
	h.must(err)
	for _, other := range list {
		if other.Head.Ref == rejected.Head.Ref && other.Number != rejected.Number {
			t.Errorf("what was rejected is proposed again: %+v", other)
		}
	}

	// The revert.
	h.scorer.fail("v11")
	h.status(p.Head.SHA, "sluice/plan", "success")
	h.must(p.Merge(t.Context(), h.ann, forge.Rebase))
	h.status(p.MergeCommit, "sluice/fraud-production", "failure", "answers")
	revert := h.pullOf("sluice/revert/fraud-production-v11")
	if revert.Title != "fraud: revert production from v11 to v8" || !contains(revert.Body, "answers", "500") {
		t.Errorf("the revert is %q:\n%s", revert.Title, revert.Body)
	}
	h.comment(p, "merged", "v11 does not serve production")
	h.status(revert.Head.SHA, "sluice/plan", "success")
	h.must(revert.Merge(t.Context(), h.ann, forge.Squash))
	h.serves("production", "v8")
	h.CheckSecrets()
}

// Where the stage says so, the agent merges what passes.
func TestAutoMerge(t *testing.T) {
	h := newModelHouse(t, strings.Replace(scored, "    promoteFrom: staging\n", "    promoteFrom: staging\n    merge: Auto\n", 1), "v7", "v8")
	h.begin()
	h.set("staging", "v8")
	h.serves("production", "v8")
	list, err := h.repo.Pulls(t.Context(), "all")
	h.must(err)
	if len(list) != 1 {
		t.Fatalf("there are %d pull requests", len(list))
	}
	if h.must(list[0].Refresh(t.Context())); !list[0].Merged || list[0].MergedBy.Login != h.bot.Name {
		t.Errorf("the pull request is %+v", list[0])
	}
	h.Eventually("its branch is gone", func() (bool, string) {
		err := h.owner.Call(t.Context(), http.MethodGet, "/repos/"+h.repo.FullName()+"/branches/"+list[0].Head.Ref, nil, nil)
		refusal, refused := errors.AsType[*forge.Refusal](err)
		return refused && refusal.Status == http.StatusNotFound, fmt.Sprint(err)
	})
}

// A version that no longer passes is not ready to be merged, and says why; when it passes again it is.
func TestDraft(t *testing.T) {
	h := newModelHouse(t, scored, "v7", "v8")
	h.begin()
	h.set("staging", "v8")
	p := h.pullOf("sluice/promote/fraud-production-v8")
	policy := &v1alpha1.PromotionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "better-" + h.Namespace}, Spec: v1alpha1.PromotionPolicySpec{
		Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": h.Namespace}}, Stages: []string{"production"},
		Gates: []v1alpha1.Gate{{Name: "good", CEL: "candidate.metrics.auc >= 0.99"}},
	}}
	h.Create(policy)
	t.Cleanup(func() { _ = h.Client.Delete(context.Background(), policy) })
	h.pull(p, "is a draft", func(p *forge.Pull) bool { return p.Draft && contains(p.Body, "Not ready", "good", "0.99") })
	h.must(h.Client.Delete(t.Context(), policy))
	h.pull(p, "is ready", func(p *forge.Pull) bool { return !p.Draft && !strings.Contains(p.Body, "Not ready") })
	h.must(p.Merge(t.Context(), h.ann, forge.Merge))
	h.serves("production", "v8")
}
