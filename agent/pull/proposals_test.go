package pull

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const one, two = "sluice/retrain/fraud-v1", "sluice/retrain/fraud-v2"

// pullOf is an open pull request, as a look has found it.
func pullOf(number int, branch string) forge.Pull {
	p := forge.Pull{Number: number, Open: true}
	p.Head.Name = branch
	return p
}

// fetched are Repositories that are at a commit of main.
type fetched struct{}

func (fetched) Source(types.NamespacedName) (sync.Source, bool) {
	return sync.Source{Revision: agent.Revision{Name: "main", Commit: strings.Repeat("e", 40)}}, true
}
func (fetched) Looked(types.NamespacedName) time.Time { return time.Time{} }
func (fetched) Look(types.NamespacedName)             {}
func (fetched) Wake(types.NamespacedName)             {}

// Closed by somebody is a no for what the run has made, also if somebody has pushed to the branch.
func TestClosedIsANo(t *testing.T) {
	record := v1alpha1.PullRequestStatus{Number: 1, Branch: one, State: v1alpha1.PullRequestPlanned}
	cluster := retrained(t, made(1))
	w := looking(cluster, nil, record)
	g := on(t, w, map[int]*giteaPull{1: {head: one, closed: true}})
	g.branches[one] = strings.Repeat("a", 40) // and not what the run has proposed
	if err := w.closed(t.Context(), 1, "main"); err != nil {
		t.Fatal(err)
	}
	if got := settled(t, cluster); !slices.Equal(got, []string{"weekly-1"}) {
		t.Errorf("settled are %v", got)
	}
	if err := w.propose(t.Context()); err != nil || len(g.open()) > 0 || g.branches[one] == "" {
		t.Errorf("%v, open are %v, branches %v", err, g.open(), g.branches)
	}

	t.Run("before the cache knows", func(t *testing.T) {
		declined := w.table.records[1]
		declined.Number, declined.Branch, declined.State, declined.Head = 1, one, v1alpha1.PullRequestDeclined, strings.Repeat("a", 40)
		w := looking(retrained(t, made(1)), nil, declined)
		g := on(t, w, map[int]*giteaPull{1: {head: one, closed: true}})
		if err := w.propose(t.Context()); err != nil || len(g.open()) > 0 {
			t.Errorf("%v, open are %v", err, g.open())
		}
	})
	t.Run("who opens it again has it", func(t *testing.T) {
		declined := v1alpha1.PullRequestStatus{Number: 1, Branch: one, State: v1alpha1.PullRequestDeclined}
		w := looking(cluster, nil, declined)
		g := on(t, w, map[int]*giteaPull{1: {head: one}})
		w.take([]forge.Pull{pullOf(1, one)})
		if err := w.propose(t.Context()); err != nil || !slices.Equal(g.open(), []int{1}) || len(g.comments) > 0 {
			t.Errorf("%v, open are %v, comments %v", err, g.open(), g.comments)
		}
	})
}

// What ends is closed with the reason, unless it was merged since the last look.
func TestEnded(t *testing.T) {
	const commit = "1111111111111111111111111111111111111111" // of weekly-1
	model := func() client.Object {
		m := &v1alpha1.Model{}
		m.Namespace, m.Name, m.Labels = "ml", "fraud", map[string]string{v1alpha1.OverlayNamespaceLabel: "sluice", v1alpha1.OverlayLabel: "models"}
		m.Spec.Stages = []v1alpha1.Stage{{Name: "production", Version: "v0"}}
		m.Status.Stages = []v1alpha1.StageStatus{{Name: "production", Version: "v0", Proposed: "v3", Proposal: &v1alpha1.ProposalStatus{Branch: "sluice/promote/fraud-production-v3", Commit: commit}}}
		return m
	}
	for _, c := range []struct {
		name    string
		objects []client.Object
		now     giteaPull
		at      string // the branch
		open    []int
		says    string // in the comment; empty for none
		branch  bool   // is left
		merged  bool
	}{
		{name: "superseded", objects: []client.Object{made(1), made(2)}, at: commit, open: []int{2}, says: "superseded: v2 of the run `weekly-2` has taken its place"},
		{name: "superseded, and somebody has pushed to it", objects: []client.Object{made(1), made(2)}, at: strings.Repeat("a", 40), open: []int{2}, says: "superseded", branch: true},
		{name: "the stage has a proposal of its own", objects: []client.Object{made(1, staged), made(2, staged), model()}, at: commit, open: []int{2, 3}, says: "v2 of the run `weekly-2` has taken its place"},
		{name: "Git has it", objects: []client.Object{made(1), versionOf("v1", "0.95")}, at: commit, says: "Git has v1 by other means"},
		{name: "it was merged", objects: []client.Object{made(1), versionOf("v1", "0.95")}, now: giteaPull{merged: true}, at: commit, merged: true},
		{name: "it was closed", objects: []client.Object{made(1), versionOf("v1", "0.95")}, now: giteaPull{closed: true}, at: commit, branch: true},
		{name: "nobody proposes it any more", at: commit, says: "its Retraining is gone, or proposes its results elsewhere, or not at all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			open := pullOf(1, one)
			open.Head.Commit = c.at
			record := v1alpha1.PullRequestStatus{Number: 1, Branch: one, State: v1alpha1.PullRequestPlanned, Head: c.at,
				Overlays: []string{"sluice/models"}, Models: []v1alpha1.PullRequestModel{{Namespace: "ml", Name: "fraud", Stage: "production", Version: "v1"}}}
			w := looking(retrained(t, c.objects...), []forge.Pull{open}, record)
			c.now.head = one
			g := on(t, w, map[int]*giteaPull{1: &c.now})
			g.branches[one] = c.at
			if err := w.propose(t.Context()); err != nil {
				t.Fatal(err)
			}
			if said := strings.Join(g.comments, "\n"); (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Errorf("it says %q, want %q", said, c.says)
			}
			if !slices.Equal(g.open(), c.open) || (g.branches[one] != "") != c.branch {
				t.Errorf("open are %v, want %v; branches are %v", g.open(), c.open, g.branches)
			}
			if merged := w.table.records[1].Merge != nil; merged != c.merged {
				t.Errorf("the record is %+v", w.table.records[1])
			}
		})
	}
}

// failing is a cluster in which a Model cannot be read.
type failing struct{ client.Client }

func (f failing) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, is := o.(*v1alpha1.Model); is && key.Name == "churn" {
		return errors.New("churn cannot be read")
	}
	return f.Client.Get(ctx, key, o, opts...)
}

// What stands against judging one is its own matter.
func TestTroubleOfOne(t *testing.T) {
	daily := &v1alpha1.Retraining{}
	daily.Namespace, daily.Name, daily.Labels = "ml", "daily", map[string]string{v1alpha1.OverlayNamespaceLabel: "sluice", v1alpha1.OverlayLabel: "models"}
	daily.Spec.Result = &v1alpha1.ResultSpec{Propose: &v1alpha1.ResultProposal{Path: "models/versions"}}
	of := made(3, func(r *v1alpha1.RetrainingRun) {
		r.Name, r.Spec.Retraining, r.Spec.Model, r.Status.Result.ModelVersion.Model = "daily-3", "daily", "churn", "churn"
		r.Status.Proposal.Branch = "sluice/retrain/churn-v3"
	})
	cluster := failing{retrained(t, daily, of, made(1))}
	w := looking(cluster, nil)
	g := on(t, w, map[int]*giteaPull{})
	if err := w.propose(t.Context()); err == nil || !strings.Contains(err.Error(), "churn cannot be read") || len(g.open()) != 1 || g.pulls[1].head != one {
		t.Errorf("%v, open are %v", err, g.open())
	}
	if err := w.decided(t.Context(), one); err != nil || !slices.Equal(settled(t, cluster), []string{"weekly-1"}) {
		t.Errorf("%v, settled are %v", err, settled(t, cluster))
	}
}
