package pull

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/promotion"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

var monday = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// made is the run of the n-th week, which has proposed version v<n> to the Repository that its Retraining comes
// from.
func made(n int, edits ...func(*v1alpha1.RetrainingRun)) *v1alpha1.RetrainingRun {
	run := &v1alpha1.RetrainingRun{}
	run.Namespace, run.Name = "ml", fmt.Sprintf("weekly-%d", n)
	run.Spec = v1alpha1.RetrainingRunSpec{
		Retraining: "weekly", Model: "fraud", Slot: metav1.NewTime(monday.AddDate(0, 0, 7*n)),
		Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: "0 3 * * 1 in UTC"},
		Result:  &v1alpha1.ResultSpec{Propose: &v1alpha1.ResultProposal{Path: "models/versions"}},
	}
	version := fmt.Sprintf("v%d", n)
	started, ended := metav1.NewTime(run.Spec.Slot.Add(time.Second)), metav1.NewTime(run.Spec.Slot.Add(61*time.Second))
	run.Status = v1alpha1.RetrainingRunStatus{
		Phase: v1alpha1.RunSucceeded, StartedAt: &started, EndedAt: &ended, Attempts: []v1alpha1.RunAttempt{{Number: 1}},
		Result: &v1alpha1.RunResult{Version: version, Better: true, ModelVersion: &v1alpha1.ModelVersionSpec{
			Model: "fraud", Version: version, Artifact: v1alpha1.Artifact{URI: "s3://models/fraud/" + version, Digest: "sha256:1", Size: new(int64(5))}, Metrics: map[string]v1alpha1.Metric{"auc": "0.95"},
			Lineage: v1alpha1.Lineage{Run: run.Name, Dataset: "payments"},
		}},
		Proposal: &v1alpha1.ProposalStatus{Branch: "sluice/retrain/fraud-" + version, Commit: strings.Repeat(fmt.Sprint(n%10), 40)},
	}
	for _, edit := range edits {
		edit(run)
	}
	return run
}

// staged has the version set in a stage.
func staged(run *v1alpha1.RetrainingRun) { run.Spec.Result.Propose.Stage = "production" }

// versionOf is a ModelVersion of the cluster.
func versionOf(version, auc string) *v1alpha1.ModelVersion {
	v := &v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: "fraud", Version: version, Metrics: map[string]v1alpha1.Metric{"auc": v1alpha1.Metric(auc)}}}
	v.Namespace, v.Name = "ml", "fraud-"+version
	return v
}

// retrained is a cluster with a Retraining of Repository sluice/platform, whose Model serves v0.
func retrained(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	labels := map[string]string{v1alpha1.OverlayNamespaceLabel: "sluice", v1alpha1.OverlayLabel: "models"}
	retraining := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "weekly", Labels: labels}}
	retraining.Spec.Result = &v1alpha1.ResultSpec{Propose: &v1alpha1.ResultProposal{Path: "models/versions"}}
	model := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "fraud", Labels: labels}}
	model.Spec.Stages = []v1alpha1.Stage{{Name: "production", Version: "v0", Merge: v1alpha1.MergeAuto, Gates: []v1alpha1.Gate{{Name: "not-worse", CEL: "candidate.metrics.auc >= current.metrics.auc"}, {Name: "read", CEL: "candidate.artifact.verified"}}}}
	model.Status.Stages = []v1alpha1.StageStatus{{Name: "production", Version: "v0", Phase: v1alpha1.StageServing}}
	overlay := &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: "sluice", Name: "models"}}
	overlay.Spec.RepositoryRef.Name = "platform"
	serving := &v1alpha1.Promotion{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "fraud.production.1", Labels: map[string]string{v1alpha1.ModelLabel: "fraud"}}}
	serving.Spec = v1alpha1.PromotionSpec{Model: "fraud", Stage: "production", Version: "v0", Number: 1}
	serving.Status.Phase = v1alpha1.PromotionSucceeded
	all := []client.Object{serving, retraining, model, overlay, versionOf("v0", "0.94"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ml"}}}
	byName := map[string]client.Object{}
	for _, o := range append(all, objects...) {
		byName[fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())] = o // the later one counts
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(slices.Collect(maps.Values(byName))...).
		WithStatusSubresource(&v1alpha1.RetrainingRun{}).
		WithIndex(&v1alpha1.Retraining{}, byDestination, func(o client.Object) []string { return destinations(o.(*v1alpha1.Retraining)) }).
		WithIndex(&v1alpha1.RetrainingRun{}, byProposal, func(o client.Object) []string { return proposers(o.(*v1alpha1.RetrainingRun)) }).
		WithIndex(&v1alpha1.ModelVersion{}, promotion.ByModel, func(o client.Object) []string { return []string{o.(*v1alpha1.ModelVersion).Spec.Model} }).
		Build()
}

// looking is the work on Repository sluice/platform, with the pull requests that are open and on record.
func looking(c client.Client, open []forge.Pull, records ...v1alpha1.PullRequestStatus) *work {
	d := &Desk{Client: c, Planner: Planner{Reader: c}, Repositories: fetched{}}
	repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "sluice", Name: "platform"}}
	repo.Spec.PullRequests = &v1alpha1.PullRequests{}
	t := &table{open: map[int]forge.Pull{}, records: map[int]v1alpha1.PullRequestStatus{}, drafts: map[int]string{}, looked: monday}
	for _, p := range open {
		t.open[p.Number] = p
	}
	for _, r := range records {
		t.records[int(r.Number)] = r
	}
	return &work{Desk: d, repo: repo, table: t, now: monday.AddDate(1, 0, 0)}
}

// settled are the names of the runs of which nothing more is to become.
func settled(t *testing.T, c client.Client) []string {
	t.Helper()
	var runs v1alpha1.RetrainingRunList
	if err := c.List(t.Context(), &runs); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, run := range runs.Items {
		if run.Status.SettledAt != nil {
			names = append(names, run.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWishesOfRuns(t *testing.T) {
	onceSettled := func(run *v1alpha1.RetrainingRun) {
		at := metav1.NewTime(monday)
		run.Status.SettledAt = &at
	}
	named := func(namespace, name string) func(*v1alpha1.RetrainingRun) {
		return func(run *v1alpha1.RetrainingRun) {
			run.Spec.Result.Propose.RepositoryRef = &v1alpha1.RepositoryReference{Namespace: namespace, Name: name}
		}
	}
	elsewhere := func(namespace, name string) *v1alpha1.Retraining {
		r := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "weekly"}}
		r.Spec.Result = &v1alpha1.ResultSpec{Propose: &v1alpha1.ResultProposal{Path: "x", RepositoryRef: &v1alpha1.RepositoryReference{Namespace: namespace, Name: name}}}
		return r
	}
	for _, c := range []struct {
		name    string
		objects []client.Object
		open    []forge.Pull
		records []v1alpha1.PullRequestStatus
		wishes  []string
		ended   map[string]string
		settled []string
	}{
		{name: "none", objects: nil},
		{name: "one", objects: []client.Object{made(1)}, wishes: []string{one}},
		{name: "one that goes on", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Phase = v1alpha1.RunProposing })}},
		{name: "one that failed", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Phase = v1alpha1.RunFailed })}},
		{name: "one that is not proposed", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Proposal = nil })}},
		{name: "one that Git had", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Proposal.Commit, r.Status.Proposal.Branch = "", "" })}},
		{name: "one that was pushed to main", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Proposal.Branch = "main" })}},
		{name: "one on a branch of another kind", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Proposal.Branch = "sluice/promote/fraud-production-v1" })}},
		{name: "the newest", objects: []client.Object{made(1), made(2)}, wishes: []string{two},
			ended: map[string]string{one: "superseded: v2 of the run weekly-2 has taken its place"}, settled: []string{"weekly-1"}},
		{name: "the newest, and the other is to be closed first", objects: []client.Object{made(1), made(2)},
			records: []v1alpha1.PullRequestStatus{{Number: 3, Branch: one, State: v1alpha1.PullRequestPlanned}}, wishes: []string{two},
			ended: map[string]string{one: "superseded: v2 of the run weekly-2 has taken its place"}},
		{name: "one that another agent has opened is closed too", objects: []client.Object{made(1), made(2)}, open: []forge.Pull{pullOf(3, one)}, wishes: []string{two},
			ended: map[string]string{one: "superseded: v2 of the run weekly-2 has taken its place"}},
		{name: "a newer one that goes on takes no place", objects: []client.Object{made(1), made(2, func(r *v1alpha1.RetrainingRun) { r.Status.Phase = v1alpha1.RunRunning })}, wishes: []string{one}},
		{name: "a newer one that was not better takes no place", objects: []client.Object{made(1), made(2, func(r *v1alpha1.RetrainingRun) { r.Status.Proposal = nil })}, wishes: []string{one}},
		{name: "Git has it", objects: []client.Object{made(1), versionOf("v1", "0.95")}, ended: map[string]string{one: "Git has v1 by other means"}, settled: []string{"weekly-1"}},
		{name: "Git has it, and it is open", objects: []client.Object{made(1), versionOf("v1", "0.95")}, records: []v1alpha1.PullRequestStatus{{Number: 3, Branch: one}},
			ended: map[string]string{one: "Git has v1 by other means"}},
		{name: "another model has such a version", objects: []client.Object{made(1), func() client.Object {
			v := versionOf("v1", "0.9")
			v.Name, v.Spec.Model = "churn-v1", "churn"
			return v
		}()}, wishes: []string{one}},
		{name: "it was merged, and has left Git", objects: []client.Object{made(1, onceSettled)}, settled: []string{"weekly-1"}},
		{name: "the newest was merged, and the one before it does not come back", objects: []client.Object{made(1), made(2, onceSettled)},
			ended: map[string]string{one: "superseded: v2 of the run weekly-2 has taken its place"}, settled: []string{"weekly-1", "weekly-2"}},
		{name: "of a Repository that is named", objects: []client.Object{elsewhere("sluice", "platform"), made(1, named("sluice", "platform"))}, wishes: []string{one}},
		{name: "of another Repository", objects: []client.Object{elsewhere("sluice", "other"), made(1, named("sluice", "other"))}},
		{name: "of one of this name in another namespace", objects: []client.Object{elsewhere("", "platform"), made(1, named("", "platform"))}},
		{name: "proposed to another Repository than the Retraining has now", objects: []client.Object{made(1, named("sluice", "other"))}},
		{name: "of another namespace", objects: []client.Object{made(1, func(r *v1alpha1.RetrainingRun) { r.Namespace = "other" })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := retrained(t, c.objects...)
			w := looking(cluster, c.open, c.records...)
			found, err := w.wishes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(found.wishes)); !slices.Equal(got, c.wishes) {
				t.Errorf("it wishes %v, want %v", got, c.wishes)
			}
			if !maps.Equal(found.ended, c.ended) {
				t.Errorf("ended are %v, want %v", found.ended, c.ended)
			}
			if got := settled(t, cluster); !slices.Equal(got, c.settled) {
				t.Errorf("settled are %v, want %v", got, c.settled)
			}
			for _, p := range c.open {
				if _, is := c.ended[p.Head.Name]; is && w.table.records[p.Number].Branch != p.Head.Name {
					t.Errorf("%s is not the agent's own", p.Head.Name)
				}
			}
		})
	}
}

// What is merged or closed is settled at once, before the cluster has the version.
func TestDecided(t *testing.T) {
	cluster := retrained(t, made(1), made(2))
	w := looking(cluster, nil, v1alpha1.PullRequestStatus{Number: 3, Branch: "sluice/retrain/fraud-v1"})
	for _, branch := range []string{"", "main", "sluice/promote/fraud-production-v2", "sluice/retrain/fraud-v7"} {
		if err := w.decided(t.Context(), branch); err != nil || len(settled(t, cluster)) > 0 {
			t.Errorf("%s: %v, settled are %v", branch, err, settled(t, cluster))
		}
	}
	if err := w.decided(t.Context(), "sluice/retrain/fraud-v2"); err != nil || !slices.Equal(settled(t, cluster), []string{"weekly-2"}) {
		t.Errorf("%v, settled are %v", err, settled(t, cluster))
	}
	found, err := w.wishes(t.Context())
	if err != nil || len(found.wishes) > 0 {
		t.Errorf("%v, it wishes %v", err, found.wishes)
	}
}

func TestDraftOfARun(t *testing.T) {
	for _, c := range []struct {
		name        string
		run         *v1alpha1.RetrainingRun
		auc         string // of what serves
		held, auto  bool
		says, never []string
	}{
		{"without a stage", made(1), "0.94", false, false,
			[]string{"A run of the retraining `weekly` has made `v1` of the model `fraud`", "no stage gets it", "`ml/weekly-1`", "2026-11-30 03:00:00 UTC", "Schedule: `0 3 * * 1 in UTC`", "| took     | 1m ", "s3://models/fraud/v1", "| 0.94     | 0.95", "+0.01", "payments"},
			[]string{"not-worse", "attempts", "merged by itself"}},
		{"compared with what it was judged by", made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Result.Current = "v-1" }), "0.94", false, false, []string{"`v-1` now"}, []string{"`v0` now"}},
		{"for a stage", made(1, staged), "0.94", false, true, []string{"and it serves in production, in the place of `v0`", "| not-worse | passes", "| read ", "It is merged by itself"}, []string{"Not ready"}},
		{"for a stage that has only what was read, and nobody has", made(1, staged, func(r *v1alpha1.RetrainingRun) {
			r.Status.Result.ModelVersion.Artifact = v1alpha1.Artifact{URI: "pvc://models/fraud/v1", Digest: "sha256:1", Size: new(int64(5))}
		}), "0.94", true, true, []string{"`artifact.verified` of v1 is false", "**Not ready**"}, nil},
		{"for a stage whose gate fails", made(1, staged), "0.96", true, true, []string{"| not-worse | **fails**", "**Not ready**", "-0.01"}, nil},
		{"for a stage that is gone", made(1, func(r *v1alpha1.RetrainingRun) { r.Spec.Result.Propose.Stage = "canada" }), "0.94", false, false, []string{"no stage gets it"}, nil},
		{"of a Model that is gone", made(1, func(r *v1alpha1.RetrainingRun) {
			r.Spec.Model, r.Status.Result.ModelVersion.Model = "churn", "churn"
		}), "0.94", false, false, []string{"`v1` of the model `churn`"}, []string{" now "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := looking(retrained(t, c.run, versionOf("v0", c.auc)), nil)
			found, err := w.wishes(t.Context())
			if err != nil || len(found.wishes) != 1 {
				t.Fatalf("%v, it wishes %v", err, found.wishes)
			}
			i, err := w.Planner.judged(t.Context(), found.wishes[c.run.Status.Proposal.Branch], w.now)
			if err != nil {
				t.Fatal(err)
			}
			said, err := w.Planner.proposal(t.Context(), i, w.now)
			if err != nil {
				t.Fatal(err)
			}
			body := said.Markdown(0)
			for _, text := range c.says {
				if !strings.Contains(body, text) {
					t.Errorf("it does not say %q:\n%s", text, body)
				}
			}
			for _, text := range c.never {
				if strings.Contains(body, text) {
					t.Errorf("it says %q:\n%s", text, body)
				}
			}
			if said.Title() != c.run.Spec.Model+": v1 from weekly" || (said.Held() != "") != c.held || said.Auto != c.auto || i.passes() == c.held {
				t.Errorf("%q, held %q, auto %v, passes %v", said.Title(), said.Held(), said.Auto, i.passes())
			}
			later := *w
			later.now = w.now.Add(time.Hour)
			if again, err := later.Planner.proposal(t.Context(), i, later.now); err != nil || again.Markdown(0) != body {
				t.Errorf("an hour later it says something else (%v):\n%s", err, again.Markdown(0))
			}
		})
	}
}

// News of a run is that it proposes something, and that only.
func TestNewsOfRuns(t *testing.T) {
	running := made(1, func(r *v1alpha1.RetrainingRun) { r.Status.Phase = v1alpha1.RunRunning })
	merged := made(1)
	at := metav1.NewTime(monday)
	merged.Status.SettledAt = &at
	if !newRun(running, made(1)) || newRun(running, running) || newRun(made(1), made(1)) {
		t.Error("what is news is none, or the other way round")
	}
	d := &Desk{Client: retrained(t)}
	if tasks := d.run(t.Context(), made(1)); len(tasks) != 1 || tasks[0].repository.String() != "sluice/platform" || tasks[0].number != proposals {
		t.Errorf("%v", tasks)
	}
	for _, run := range []*v1alpha1.RetrainingRun{running, merged} {
		if tasks := d.run(t.Context(), run); len(tasks) != 0 {
			t.Errorf("%v", tasks)
		}
	}
}
