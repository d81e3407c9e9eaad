package retraining_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/engines"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/objectstore"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type files = map[string]string

// street is what all houses share, besides the rig: the forge with the people who work there, the object store, and
// engines that run.
type street struct {
	gitea *forge.Server
	store *objectstore.Server
	// owner may do everything, bot is the agent's account, ann may write.
	owner, bot, ann *forge.User
	token           string // of the bot
}

var streetOnce struct {
	sync.Once
	street *street
	err    error
}

func TestMain(m *testing.M) {
	status := rig.Main(m, flags...)
	if s := streetOnce.street; s != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// argo is where the pages of Workflows would be.
const argo = "https://argo.example.com/"

// flags of the agent, whoever starts it.
var flags = []string{"--allow-loopback-checks", "--workflows-url=" + argo}

// organisation owns all repositories.
const organisation = "street"

func startStreet(r *rig.Rig) (*street, error) {
	ctx, s := context.Background(), &street{}
	err := engines.Start(ctx, r.Cluster)
	if err != nil {
		return s, err
	}
	if s.store, err = objectstore.Start(ctx, objectstore.Options{Progress: os.Stderr}); err != nil {
		return s, err
	}
	if s.gitea, err = forge.Start(ctx, forge.Options{Progress: os.Stderr}); err != nil {
		return s, err
	}
	for name, user := range map[string]**forge.User{"owner": &s.owner, "bot": &s.bot, "ann": &s.ann} {
		if *user, err = s.gitea.CreateUser(ctx, name); err != nil {
			return s, err
		}
	}
	if err := s.gitea.CreateOrganisation(ctx, s.owner, organisation); err != nil {
		return s, err
	}
	s.token, err = s.bot.Token(ctx, "read:user", "read:organization", "write:repository", "write:issue")
	return s, err
}

func (s *street) stop() error {
	var failures []error
	if s.gitea != nil {
		failures = append(failures, s.gitea.Stop())
	}
	if s.store != nil {
		failures = append(failures, s.store.Stop())
	}
	return errors.Join(failures...)
}

// house is a repository on the forge with a Retraining, what its Overlay applies to, and a bucket.
type house struct {
	*rig.Rig
	*street
	repo   *forge.Repo
	bucket string
	files  files // of main, as last pushed by us
}

// newHouse has everything in place but the Overlay: a namespace, a bucket and a repository that are the test's own.
func newHouse(t *testing.T) *house {
	t.Helper()
	r := rig.Shared(t)
	streetOnce.Do(func() { streetOnce.street, streetOnce.err = startStreet(r) })
	if streetOnce.err != nil {
		t.Fatal(streetOnce.err)
	}
	h := &house{Rig: r, street: streetOnce.street, bucket: r.Namespace, files: files{}}
	h.must(h.store.CreateBucket(t.Context(), h.bucket))
	var err error
	h.repo, err = h.gitea.CreateRepo(t.Context(), h.owner, forge.RepoSpec{Organisation: organisation, Name: h.Namespace, Private: true, Files: files{"README.md": t.Name()}})
	h.must(err)
	for _, u := range []*forge.User{h.bot, h.ann} {
		h.must(h.repo.AddCollaborator(t.Context(), u, "write"))
	}
	h.Create(h.secret("forge", map[string]string{"token": h.token}))
	h.Create(h.secret("gitea", map[string]string{"username": h.bot.Name, "password": h.token}))
	h.Create(h.secret("hooks", map[string]string{"token": rig.Canary}))
	h.Create(h.store.Secret(h.Namespace, "store"))
	t.Cleanup(func() {
		for _, secret := range []string{h.token, h.store.SecretKey} {
			if strings.Contains(h.Log(), secret) {
				t.Error("the agent's log shows a secret of the house")
			}
		}
	})
	return h
}

func (h *house) must(err error) {
	h.T.Helper()
	if err != nil {
		h.T.Fatal(err)
	}
}

func (h *house) secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: name}, StringData: data}
}

// put writes an object into the bucket and returns its SHA-256.
func (h *house) put(key, content string) string {
	h.T.Helper()
	h.must(h.store.Put(context.Background(), h.bucket, key, strings.NewReader(content)))
	return digest(content)
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// model is a Model of the name fraud that Deployments serve behind a gateway, with one stage, of which a canary is
// a part. VERSION is what it serves.
const model = `apiVersion: sluice.dev/v1alpha1
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
            - name: server
              image: registry.example.com/scorer:1
              args: ["${uri}"]
  stages:
  - name: production
    namespace: NAMESPACE
    version: v7
    gates:
    - {name: better, cel: "first || candidate.metrics.auc >= current.metrics.auc"}
    rollout:
      drain: 1s
      canary:
      - {traffic: 10, hold: 1s}
      - {traffic: 50, hold: 1s}
`

// serving adds a Model that serves v7, with an AUC of 0.941.
func (h *house) serving() {
	h.T.Helper()
	h.files["models/model.yaml"] = strings.ReplaceAll(model, "NAMESPACE", h.Namespace)
	h.files["models/versions/fraud-v7.yaml"] = fmt.Sprintf(`apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-v7
spec:
  model: fraud
  version: v7
  artifact:
    uri: s3://%s/fraud/v7/model.bin
    digest: %s
    secretRef: {name: store}
  metrics: {auc: "0.941"}
`, h.bucket, h.put("fraud/v7/model.bin", "the model v7"))
	h.files["models/versions/kustomization.yaml"] = "resources:\n- fraud-v7.yaml\n"
}

// retraining adds a Retraining of the model fraud. Spec is its fields but for the model, without indentation.
// BUCKET in it is the bucket.
func (h *house) retraining(name, spec string) {
	h.T.Helper()
	text := fmt.Sprintf("apiVersion: sluice.dev/v1alpha1\nkind: Retraining\nmetadata:\n  name: %s\nspec:\n  model: fraud\n", name)
	for line := range strings.Lines(spec) {
		if strings.TrimSpace(line) != "" {
			text += "  " + line
		}
	}
	h.files["models/"+name+".yaml"] = strings.TrimSuffix(strings.ReplaceAll(text, "BUCKET", h.bucket), "\n") + "\n"
}

// job is a Job whose pods a trainer works in. It writes what it makes below OUT.
const job = `run:
  job:
    spec:
      backoffLimit: 0
      template:
        metadata: {annotations: {fake.sluice.dev/pod: Run}}
        spec:
          restartPolicy: Never
          containers:
          - name: train
            image: trainer
            args: ["--out=s3://BUCKET/runs/{{ .Run }}/{{ .Attempt }}/"]
`

// result is where a trainer leaves what it has made, and what becomes of that.
const result = `result:
  artifact:
    uri: s3://BUCKET/runs/{{ .Run }}/{{ .Attempt }}/result.json
    secretRef: {name: store}
`

// proposed continues result.
const proposed = `  propose:
    path: models/versions
    stage: production
`

// list writes the kustomization of the directory models.
func (h *house) list() {
	list := "resources:\n"
	for _, path := range slices.Sorted(maps.Keys(h.files)) {
		name, below := strings.CutPrefix(path, "models/")
		if below && !strings.Contains(name, "/") && name != "kustomization.yaml" {
			list += "- " + name + "\n"
		}
	}
	if _, has := h.files["models/versions/kustomization.yaml"]; has {
		list += "- versions\n"
	}
	h.files["models/kustomization.yaml"] = list
}

// begin pushes the files, and has the agent follow the directory models. It returns when that is live.
func (h *house) begin() {
	h.T.Helper()
	h.follow()
	h.WaitReady("models")
}

// follow does the same, for what does not become live.
func (h *house) follow() {
	h.T.Helper()
	h.push("begin")
	o := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "platform"}, Spec: v1alpha1.RepositorySpec{
		URL: h.repo.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour},
		SecretRef:    &meta.LocalObjectReference{Name: "gitea"},
		Receiver:     &v1alpha1.Receiver{SecretRef: meta.LocalObjectReference{Name: "hooks"}},
		PullRequests: &v1alpha1.PullRequests{Provider: v1alpha1.Gitea, SecretRef: meta.LocalObjectReference{Name: "forge"}, Interval: &metav1.Duration{Duration: time.Hour}},
	}}
	h.Create(o)
	_, err := h.repo.Hook(h.T.Context(), h.owner, forge.Hook{URL: "http://" + h.Hooks + "/hooks/" + h.Namespace + "/platform", Secret: rig.Canary})
	h.must(err)
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
}

// push commits the files to main in the name of ann; the agent is told by a hook. It returns the commit.
func (h *house) push(message string) string {
	h.T.Helper()
	h.list()
	commit, err := h.repo.Push(h.T.Context(), h.ann, gitserver.Change{Message: message, Files: h.files})
	h.must(err)
	return commit
}

// pull waits for the one open pull request of a run, by its branch.
func (h *house) pull(branch string) *forge.Pull {
	h.T.Helper()
	var found *forge.Pull
	h.Eventually("a pull request of "+branch+" is open", func() (bool, string) {
		list, err := h.repo.Pulls(h.T.Context(), "open")
		h.must(err)
		var heads []string
		found = nil
		for _, p := range list {
			heads = append(heads, p.Head.Ref)
			if p.Head.Ref == branch {
				if found != nil {
					h.T.Fatalf("%s has two pull requests", branch)
				}
				found = p
			}
		}
		return found != nil, fmt.Sprintf("those of %q are; %s", heads, h.standing())
	})
	return found
}

// merge merges a pull request in the name of ann. What is pushed next builds on it.
func (h *house) merge(p *forge.Pull) {
	h.T.Helper()
	h.must(p.Merge(h.T.Context(), h.ann, forge.Merge))
	h.refresh()
}

// refresh reads the files of main again.
func (h *house) refresh() {
	h.T.Helper()
	names, err := h.repo.Git(h.owner, "ls-tree", "-r", "--name-only", "main", "models")
	h.must(err)
	for _, name := range strings.Fields(names) {
		content, err := h.repo.Git(h.owner, "show", "main:"+name)
		h.must(err)
		h.files[name] = content + "\n"
	}
}

// get reads the Retraining.
func (h *house) get(name string) *v1alpha1.Retraining {
	h.T.Helper()
	var o v1alpha1.Retraining
	if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: name}, &o); client.IgnoreNotFound(err) != nil {
		h.T.Fatal(err)
	}
	return &o
}

// says waits until a condition of a Retraining is as it should be, and says the words.
func (h *house) says(name, condition string, status metav1.ConditionStatus, words ...string) metav1.Condition {
	h.T.Helper()
	var c metav1.Condition
	h.Eventually(fmt.Sprintf("%s of %s is %s and says %q", condition, name, status, words), func() (bool, string) {
		c = metav1.Condition{}
		if found := apimeta.FindStatusCondition(h.get(name).Status.Conditions, condition); found != nil {
			c = *found
		}
		return c.Status == status && contains(c.Message, words...), fmt.Sprintf("%s %s: %s; %s", c.Status, c.Reason, c.Message, h.standing())
	})
	return c
}

func contains(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// event waits until an event about a Retraining is there, of a type, with a reason, that says the words.
func (h *house) event(name, severity, reason string, words ...string) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("an event of %s is %s %s and says %q", name, severity, reason, words), func() (bool, string) {
		var all []string
		for _, e := range h.Events(v1alpha1.RetrainingKind, name) {
			if e.Type == severity && e.Reason == reason && contains(e.Message, words...) {
				return true, ""
			}
			all = append(all, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Message))
		}
		return false, strings.Join(all, "\n")
	})
}

// measures are the agent's of a Retraining, by their names without the sluice_ of all.
type measures map[string]float64

// measured waits until the agent measures of a Retraining what it should, and nothing else; with labels, of what has
// them.
func (h *house) measured(name string, want measures, labels ...string) {
	h.T.Helper()
	h.Eventually(fmt.Sprintf("of %s %v are measured %v", name, want, labels), func() (bool, string) {
		got := measures{}
		for metric, value := range h.Metrics(append(labels, "namespace="+h.Namespace, "name="+name)...) {
			got[strings.TrimPrefix(metric, "sluice_")] = value
		}
		return maps.Equal(got, want), fmt.Sprint(got)
	})
}

// took is how many seconds a run took.
func took(r v1alpha1.RetrainingRun) float64 {
	return r.Status.EndedAt.Sub(r.Status.StartedAt.Time).Seconds()
}

// ask asks for a run by hand.
func (h *house) ask(name string) {
	h.T.Helper()
	h.Eventually(name+" is there", func() (bool, string) { return h.get(name).Name != "", fmt.Sprint(rig.Ready(h.GetOverlay("models"))) })
	o := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: name}}
	h.Update(o, func() {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[meta.ReconcileRequestAnnotation] = time.Now().Format(time.RFC3339Nano)
	})
}

// runs are the RetrainingRuns of a Retraining by their slots, the oldest first.
func (h *house) runs(name string) []v1alpha1.RetrainingRun {
	h.T.Helper()
	var list v1alpha1.RetrainingRunList
	if err := h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace)); err != nil {
		h.T.Fatal(err)
	}
	runs := slices.DeleteFunc(list.Items, func(r v1alpha1.RetrainingRun) bool { return r.Spec.Retraining != name })
	slices.SortFunc(runs, func(a, b v1alpha1.RetrainingRun) int {
		if at := a.Spec.Slot.Compare(b.Spec.Slot.Time); at != 0 {
			return at
		}
		return strings.Compare(a.Name, b.Name)
	})
	return runs
}

// begun are those of runs that are no mere records of slots that were skipped.
func begun(runs []v1alpha1.RetrainingRun) []v1alpha1.RetrainingRun {
	return slices.DeleteFunc(slices.Clone(runs), func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunSkipped })
}

// standing says how all runs in the namespace are, for failures.
func (h *house) standing() string {
	h.T.Helper()
	var list v1alpha1.RetrainingRunList
	if err := h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace)); err != nil {
		return err.Error()
	}
	var lines []string
	for _, r := range list.Items {
		lines = append(lines, fmt.Sprintf("%s %s: %s", r.Name, r.Status.Phase, r.Status.Message))
	}
	return "runs:\n" + strings.Join(lines, "\n")
}

// run waits until a run of a Retraining that has begun is as it should be: the oldest of those that are.
func (h *house) run(name, what string, is func(v1alpha1.RetrainingRun) bool) v1alpha1.RetrainingRun {
	h.T.Helper()
	var found v1alpha1.RetrainingRun
	h.Eventually("a run of "+name+" "+what, func() (bool, string) {
		for _, found = range begun(h.runs(name)) {
			if is(found) {
				return true, ""
			}
		}
		return false, h.standing()
	})
	return found
}

// ended waits until all runs of a Retraining are over, of which there have to be so many, and returns them.
func (h *house) ended(name string, count int) []v1alpha1.RetrainingRun {
	h.T.Helper()
	var runs []v1alpha1.RetrainingRun
	h.Eventually(fmt.Sprintf("%d runs of %s are over", count, name), func() (bool, string) {
		runs = begun(h.runs(name))
		over := !slices.ContainsFunc(runs, func(r v1alpha1.RetrainingRun) bool { return !r.Status.Phase.Ended() })
		return over && len(runs) >= count, h.standing()
	})
	if len(runs) != count {
		h.T.Fatalf("%d runs were wanted: %s", count, h.standing())
	}
	return runs
}

// ends waits until the one run of a Retraining is over, and fails the test if it ends otherwise than it should, or
// without the words in its message.
func (h *house) ends(name string, phase v1alpha1.RunPhase, words ...string) v1alpha1.RetrainingRun {
	h.T.Helper()
	r := h.ended(name, 1)[0]
	if r.Status.Phase != phase || !contains(r.Status.Message, words...) {
		h.T.Errorf("%s is %s and should be %s with %q: %s", r.Name, r.Status.Phase, phase, words, r.Status.Message)
	}
	return r
}
