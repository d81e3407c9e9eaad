package controller

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// house is a Repository of namespace sluice, fetched from a Git server, whose Overlay applies the Retraining
// ml/weekly.
type house struct {
	t      *testing.T
	repo   *gitserver.Repo
	client client.Client
	git    *Git
}

// TestMain makes the test binary a render worker too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "render-worker" {
		if err := render.Serve(os.Stdin, os.Stdout, renderLimits, func(s render.Source) (agent.Tree, error) { return gitrepo.OpenTree(s.Dir, s.Commit) }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var renderLimits = render.Limits{Memory: 1 << 30, Time: time.Minute, Output: 64 << 20, Objects: 1000}

var platform = types.NamespacedName{Namespace: "sluice", Name: "platform"}

func newHouse(t *testing.T, objects ...client.Object) *house {
	t.Helper()
	server, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	h := &house{t: t}
	if h.repo, err = server.Create("platform"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.repo.Commit(gitserver.Change{Files: map[string]string{"models/versions/kustomization.yaml": "resources: [] # none yet\n"}}); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	repository := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: platform.Namespace, Name: platform.Name}}
	repository.Spec.URL, repository.Spec.Timeout = h.repo.URL, metav1.Duration{Duration: time.Minute}
	repository.Spec.Ref = &v1alpha1.RepositoryRef{Branch: "main"}
	beside := repository.DeepCopy()
	beside.Namespace = "ml"
	overlay := &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: "sluice", Name: "models"}}
	overlay.Spec.RepositoryRef.Name = platform.Name
	h.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, repository, beside, overlay)...).Build()
	inventories := &record.Inventories{Reader: h.client, Writer: h.client}
	if err := inventories.Save(t.Context(), sync.OwnerOf(overlay), agent.Inventory{{Group: "sluice.dev", Kind: "Retraining", Namespace: "ml", Name: "weekly"}: {}}); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	there, err := cluster.New(&rest.Config{Host: "http://127.0.0.1:1"}, func(agent.Owner) {}) // nothing is asked of it
	if err != nil {
		t.Fatal(err)
	}
	pool := render.NewPool([]string{self, "render-worker"}, 1, renderLimits)
	t.Cleanup(pool.Close)
	h.git = &Git{
		Repositories: &Repositories{
			Client: h.client, Live: h.client, AllowInsecure: true, Syncer: &sync.Syncer{Inventories: inventories, Cluster: there, Renders: pool},
			heads: map[types.NamespacedName]head{}, wanted: map[types.NamespacedName]bool{},
		},
		Author: gitrepo.Author{Name: "Sluice", Email: "sluice@example.com"},
	}
	h.fetch()
	return h
}

// fetch does what a look at both Repositories does.
func (h *house) fetch() {
	h.t.Helper()
	for _, name := range []types.NamespacedName{platform, {Namespace: "ml", Name: platform.Name}} {
		now, known := h.git.Repositories.heads[name]
		if !known {
			now.source.Dir = filepath.Join(h.t.TempDir(), "mirror")
		}
		mirror, err := gitrepo.Open(now.source.Dir)
		if err != nil {
			h.t.Fatal(err)
		}
		got, err := mirror.Fetch(h.t.Context(), gitrepo.Remote{URL: h.repo.URL}, gitrepo.Want{Branch: "main"})
		if err != nil {
			h.t.Fatal(err)
		}
		now.source.Revision = got.Revision
		h.git.Repositories.heads[name] = now
	}
}

func (h *house) at(branch string) string {
	h.t.Helper()
	out, err := h.repo.Git("for-each-ref", "--format=%(objectname)", "refs/heads/"+branch)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// weekly is the Retraining, as the Overlay applies it.
func weekly() *v1alpha1.Retraining {
	return &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "weekly",
		Labels: map[string]string{v1alpha1.OverlayNamespaceLabel: "sluice", v1alpha1.OverlayLabel: "models"}}}
}

// runOf is a run that has made v1.
func runOf(edits ...func(*v1alpha1.ResultProposal)) (*v1alpha1.RetrainingRun, v1alpha1.ModelVersion) {
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "weekly-1"}}
	run.Spec = v1alpha1.RetrainingRunSpec{Retraining: "weekly", Model: "fraud", Slot: metav1.NewTime(time.Unix(1764000000, 0)),
		Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: "0 3 * * 1"},
		Result:  &v1alpha1.ResultSpec{Propose: &v1alpha1.ResultProposal{Path: "models/versions"}}}
	for _, edit := range edits {
		edit(run.Spec.Result.Propose)
	}
	return run, v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: "fraud", Version: "v1", Artifact: v1alpha1.Artifact{URI: "s3://models/fraud/v1"}}}
}

func toMain(p *v1alpha1.ResultProposal) { p.Branch = "main" }

func to(namespace, name string) func(*v1alpha1.ResultProposal) {
	return func(p *v1alpha1.ResultProposal) {
		p.RepositoryRef = &v1alpha1.RepositoryReference{Namespace: namespace, Name: name}
	}
}

func (h *house) propose(r *v1alpha1.Retraining, edits ...func(*v1alpha1.ResultProposal)) (v1alpha1.ProposalStatus, error) {
	h.t.Helper()
	run, version := runOf(edits...)
	return h.git.ProposeResult(h.t.Context(), r, run, version, []string{"auc is 0.95"})
}

func TestProposeResult(t *testing.T) {
	h := newHouse(t)
	first, err := h.propose(weekly())
	if err != nil || first.Branch != "sluice/retrain/fraud-v1" || h.at(first.Branch) != first.Commit || first.Message != "proposed on branch sluice/retrain/fraud-v1" {
		t.Fatalf("%+v, %v, the branch is at %s", first, err, h.at(first.Branch))
	}
	message, err := h.repo.Git("log", "-1", "--format=%B", first.Commit)
	if err != nil || !strings.HasPrefix(message, "fraud: v1 from weekly\n\nRun: weekly-1\nSlot: 2025-11-24T16:00:00Z\nTrigger: Schedule: 0 3 * * 1\n\n- auc is 0.95\n\n") {
		t.Errorf("%v\n%s", err, message)
	}
	if again, err := h.propose(weekly()); err != nil || again.Commit != first.Commit {
		t.Errorf("%+v, %v, want %s again", again, err, first.Commit)
	}
	if _, err := h.repo.Git("update-ref", "refs/heads/main", first.Commit); err != nil {
		t.Fatal(err)
	}
	h.fetch()
	if merged, err := h.propose(weekly()); err != nil || merged.Commit != "" || merged.Message != "in Git already" {
		t.Errorf("%+v, %v", merged, err)
	}
}

// A named branch moves on; if somebody was faster, the Repository is looked at and it goes on top of that.
func TestProposeResultToABranch(t *testing.T) {
	h := newHouse(t)
	theirs, err := h.repo.Commit(gitserver.Change{Files: map[string]string{"README.md": "theirs\n"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.propose(weekly(), toMain)
	if e, is := errors.AsType[*gitrepo.Error](err); !is || e.Kind != gitrepo.Moved || h.at("main") != theirs || !h.git.Repositories.wanted[platform] {
		t.Fatalf("%v, main is at %s, want %s; looked at: %v", err, h.at("main"), theirs, h.git.Repositories.wanted)
	}
	h.fetch()
	delete(h.git.Repositories.wanted, platform)
	made, err := h.propose(weekly(), toMain)
	if err != nil || made.Branch != "main" || h.at("main") != made.Commit || made.Message != "pushed to branch main" || !h.git.Repositories.wanted[platform] {
		t.Fatalf("%+v, %v, main is at %s", made, err, h.at("main"))
	}
	if parent, err := h.repo.Git("rev-parse", "main^"); err != nil || parent != theirs {
		t.Errorf("it is on %s, want %s (%v)", parent, theirs, err)
	}
	h.fetch()
	if again, err := h.propose(weekly(), toMain); err != nil || again.Commit != "" || h.at("main") != made.Commit {
		t.Errorf("%+v, %v, main is at %s", again, err, h.at("main"))
	}
}

// Nobody looks at what is pushed to a named branch before the cluster has it: the Overlay of the Retraining has to
// render with it, though none of the Repository has the Model.
func TestProposeResultIsSeenFirst(t *testing.T) {
	h := newHouse(t)
	before, err := h.repo.Commit(gitserver.Change{Files: map[string]string{"kustomization.yaml": "resources: [models/versions]\n",
		"models/versions/kustomization.yaml": "resources: []\npatches:\n- target: {kind: ModelVersion}\n  patch: |-\n    - op: remove\n      path: /spec/nothing\n"}})
	if err != nil {
		t.Fatal(err)
	}
	h.fetch()
	_, err = h.propose(weekly(), toMain)
	if e, is := errors.AsType[*proposal.Error](err); !is || e.Kind != proposal.NoPlace || !strings.Contains(err.Error(), "would not render") || h.at("main") != before {
		t.Errorf("%v, main is at %s, want %s", err, h.at("main"), before)
	}
}

func TestProposeResultGoesWhereItMay(t *testing.T) {
	alone := weekly()
	alone.Labels = nil
	forged := weekly() // it says that the Overlay applies it
	forged.Name = "forged"
	model := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "fraud"}}
	stage := func(p *v1alpha1.ResultProposal) { p.Stage = "production" }
	branch := func(name string) func(*v1alpha1.ResultProposal) {
		return func(p *v1alpha1.ResultProposal) { p.Branch = name }
	}
	type edits = []func(*v1alpha1.ResultProposal)
	for name, c := range map[string]struct {
		retraining *v1alpha1.Retraining
		edits      edits
		locked     bool
		models     []client.Object
		branch     string // that is pushed; empty for none
		says       string
	}{
		"from Git, to its Repository":              {weekly(), nil, true, nil, "sluice/retrain/fraud-v1", ""},
		"from Git, to its main":                    {weekly(), edits{toMain}, true, nil, "main", ""},
		"from Git, to its Repository by its name":  {weekly(), edits{toMain, to("sluice", "platform")}, false, nil, "main", ""},
		"to one beside it":                         {alone, edits{to("", "platform")}, true, nil, "sluice/retrain/fraud-v1", ""},
		"to the main of one beside it":             {alone, edits{to("ml", "platform"), toMain}, true, nil, "main", ""},
		"to another namespace":                     {alone, edits{to("sluice", "platform")}, false, nil, "sluice/retrain/fraud-v1", ""},
		"to another namespace, where it is locked": {alone, edits{to("sluice", "platform")}, true, nil, "", "the reference to sluice/platform in another namespace is refused: the agent runs with --no-cross-namespace-refs"},
		"to the main of another namespace":         {alone, edits{to("sluice", "platform"), toMain}, false, nil, "", "nothing is pushed to the branch main of Repository sluice/platform, which is of another namespace"},
		"from nowhere":                             {alone, nil, false, nil, "", "ml/weekly is not applied by an Overlay: name a Repository"},
		"by a forged label":                        {forged, nil, false, nil, "", "ml/forged is not applied by an Overlay"},
		"to main by a forged label":                {forged, edits{to("sluice", "platform"), toMain}, false, nil, "", "nothing is pushed to the branch main"},
		"to a Repository that is not there":        {weekly(), edits{to("ml", "other")}, false, nil, "", "Repository ml/other cannot be read"},
		"to a branch that is not followed":         {weekly(), edits{branch("candidates")}, false, nil, "", `spec.result.propose.branch is "candidates", and Repository sluice/platform follows "main"`},
		"to a branch of the agent's":               {weekly(), edits{branch("sluice/retrain/fraud-v1")}, false, nil, "", "follows"},
		"for a stage of no Model":                  {weekly(), edits{stage}, false, nil, "", "there is no Model ml/fraud whose stage production could be set"},
		"for a stage of a Model from elsewhere":    {weekly(), edits{stage}, false, []client.Object{model}, "", "no Overlay of Repository sluice/platform applies the Model ml/fraud"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, c.models...)
			h.git.NoCrossNamespace = c.locked
			before := h.at("main")
			made, err := h.propose(c.retraining, c.edits...)
			if c.branch != "" {
				if err != nil || made.Branch != c.branch || h.at(c.branch) != made.Commit {
					t.Errorf("%+v, %v, the branch is at %q", made, err, h.at(c.branch))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) || h.at("main") != before || h.at("sluice") != "" {
				t.Errorf("%+v, %v, want %q", made, err, c.says)
			}
		})
	}
}

func TestProposeResultNeedsAPlace(t *testing.T) {
	h := newHouse(t)
	run, version := runOf()
	run.Spec.Result = nil
	_, err := h.git.ProposeResult(t.Context(), weekly(), run, version, nil)
	if e, is := errors.AsType[*proposal.Error](err); !is || e.Kind != proposal.Invalid {
		t.Error(err)
	}
	delete(h.git.Repositories.heads, platform)
	if _, err := h.propose(weekly()); err == nil || !strings.Contains(err.Error(), "has not been fetched yet") {
		t.Error(err)
	}
}
