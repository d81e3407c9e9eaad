package pull

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/report"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wish is a pull request that is to be open: a branch that proposes a version.
type wish struct {
	model          *v1alpha1.Model
	stage          v1alpha1.Stage
	branch, commit string
	version        string
	findings       []v1alpha1.Finding
	// reverts is the Promotion that was turned back; nil for a promotion.
	reverts *v1alpha1.Promotion
	// run that has made the version; nil for one that Git has. Its Model and its stage are missing until it is
	// judged, and where there are none.
	run *v1alpha1.RetrainingRun
}

// passes tells whether all gates are passed that need no commit.
func (i wish) passes() bool {
	return !slices.ContainsFunc(i.findings, func(f v1alpha1.Finding) bool { return f.Result != v1alpha1.FindingPassed })
}

// wished is what is to be open for a Repository, by the names of the branches.
type wished struct {
	wishes map[string]wish
	// ended says of branches why nothing is to be open for them any more, where that is known.
	ended map[string]string
	// commits that were proposed on those.
	commits map[string]string
}

// wishes are the branches that Models of the Repository propose, and the runs of Retrainings.
func (w *work) wishes(ctx context.Context) (wished, error) {
	found := wished{map[string]wish{}, map[string]string{}, map[string]string{}}
	own := map[types.NamespacedName]bool{}
	var overlays v1alpha1.OverlayList
	if err := w.Client.List(ctx, &overlays, client.UnsafeDisableDeepCopy); err != nil {
		return found, err
	}
	for n := range overlays.Items {
		if o := &overlays.Items[n]; o.RepositoryName() == w.name() {
			own[client.ObjectKeyFromObject(o)] = true
		}
	}
	var models v1alpha1.ModelList
	if err := w.Client.List(ctx, &models, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return found, err
	}
	for n := range models.Items {
		m := &models.Items[n]
		if own[types.NamespacedName{Namespace: m.Labels[v1alpha1.OverlayNamespaceLabel], Name: m.Labels[v1alpha1.OverlayLabel]}] {
			if err := w.wishesOf(ctx, m, found.wishes); err != nil {
				return found, err
			}
		}
	}
	return found, w.wishesOfRuns(ctx, own, found)
}

// wishesOf adds what one Model proposes.
func (w *work) wishesOf(ctx context.Context, m *v1alpha1.Model, into map[string]wish) error {
	for _, s := range m.Status.Stages {
		stage := stageOf(*m, s.Name)
		if stage.Name == "" {
			continue
		}
		if p := s.Proposal; p != nil && p.Commit != "" && s.Proposed != "" && s.Proposed != stage.Version {
			into[p.Branch] = wish{model: m, stage: stage, branch: p.Branch, commit: p.Commit, version: s.Proposed, findings: p.Findings}
		}
		if s.Phase != v1alpha1.StageHeld || s.Promotion == "" {
			continue
		}
		var held v1alpha1.Promotion
		if err := w.Client.Get(ctx, types.NamespacedName{Namespace: m.Namespace, Name: s.Promotion}, &held); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return err
			}
			continue
		}
		if p := held.Status.Proposal; p != nil && p.Commit != "" && held.Spec.Version == stage.Version && !held.Status.Released {
			into[p.Branch] = wish{model: m, stage: stage, branch: p.Branch, commit: p.Commit, version: held.Spec.From, reverts: &held}
		}
	}
	return nil
}

// propose opens, renews and closes the pull requests for what Models and runs propose. What fails for one of them
// is nothing to the others.
func (w *work) propose(ctx context.Context) error {
	source, fetched := w.Repositories.Source(w.name())
	w.mu.Lock()
	looked := !w.table.looked.IsZero()
	w.mu.Unlock()
	if !fetched || !looked { // a look comes first, which has this done
		return nil
	}
	base, err := BranchOf(w.repo, source.Revision.Name)
	if err != nil {
		return nil // the look says so
	}
	wished, err := w.wishes(ctx)
	if err != nil {
		return err
	}
	open := map[string]forge.Pull{}
	w.mu.Lock()
	for _, p := range w.table.open {
		if p.Head.Fork == "" {
			open[p.Head.Name] = p
		}
	}
	w.mu.Unlock()
	for _, r := range w.records() {
		if _, is := wished.wishes[r.Branch]; r.Branch != "" && !is {
			err = cmp.Or(err, w.settle(ctx, r, open, wished))
		}
	}
	for _, branch := range slices.Sorted(maps.Keys(wished.wishes)) {
		err = cmp.Or(err, w.want(ctx, wished.wishes[branch], open, base))
	}
	return err
}

// want makes sure that a wish has its pull request, unless somebody has said no to it.
func (w *work) want(ctx context.Context, i wish, open map[string]forge.Pull, base string) error {
	i, err := w.Planner.judged(ctx, i, w.now)
	if err != nil {
		return err
	}
	draft, err := w.draft(ctx, i, base)
	if err != nil {
		return err
	}
	digest := digestOf(draft.Title, draft.Body, fmt.Sprint(draft.Labels, draft.NotReady))
	if p, is := open[i.branch]; is {
		w.mu.Lock()
		same := w.table.drafts[p.Number] == digest
		w.mu.Unlock()
		if !same {
			err := w.forge.Edit(ctx, p.Number, draft)
			if isKind(err, forge.Conflict) {
				return nil // it is not open any more, which the next look finds
			}
			if err != nil {
				return err
			}
			p.Draft = draft.NotReady
		}
		w.ours(p, i, digest, false)
		return nil
	}
	for _, r := range w.records() {
		if r.Branch == i.branch && (i.run != nil || r.State != v1alpha1.PullRequestDeclined || r.Head == i.commit) {
			return nil // merged, declined (by a run at any commit: it has only one), or a look is just finding out what has become of it
		}
	}
	p, err := w.forge.Open(ctx, draft)
	if err != nil {
		return err
	}
	w.ours(p, i, digest, true)
	return nil
}

// ours notes that a pull request is the agent's own: one that it has just opened, or that a look has found.
func (w *work) ours(p forge.Pull, i wish, digest string, opened bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, still := w.table.open[p.Number]; !still && !opened {
		return // a look has found meanwhile that it is not
	}
	r := w.table.records[p.Number]
	r.Number, r.Branch = int64(p.Number), i.branch
	w.table.records[p.Number], w.table.drafts[p.Number] = r, digest
	w.table.open[p.Number] = p
	if r.Head != p.Head.Commit || r.State == "" || i.stage.Merge == v1alpha1.MergeAuto {
		w.queue.add(task{w.name(), p.Number})
	}
}

// draft is what a pull request is to say.
func (w *work) draft(ctx context.Context, i wish, base string) (forge.Draft, error) {
	said, err := w.Planner.proposal(ctx, i, w.now)
	if err != nil {
		return forge.Draft{}, err
	}
	said.Name = w.repo.Spec.PullRequests.Name
	label := "sluice/promotion"
	switch {
	case i.run != nil:
		label = "sluice/retraining"
	case i.reverts != nil:
		label = "sluice/revert"
	}
	return forge.Draft{Base: base, Head: i.branch, Title: said.Title(), Body: said.Markdown(w.forge.MaxBody()), Labels: []string{label}, NotReady: said.Held() != ""}, nil
}

// settle ends a pull request of the agent's own that nothing wishes any more: a newer version has taken
// its place, or Git says by other means what it proposes.
func (w *work) settle(ctx context.Context, r v1alpha1.PullRequestStatus, open map[string]forge.Pull, wished wished) error {
	number := int(r.Number)
	switch {
	case r.State == v1alpha1.PullRequestMerged:
		return nil
	case open[r.Branch].Number != number:
		w.drop(number)
		return nil
	}
	p, err := w.forge.Pull(ctx, number)
	switch {
	case isKind(err, forge.NotFound):
		w.drop(number)
		return nil
	case err != nil:
		return err
	case p.Merged: // since the last look, and Git has it therefore
		w.mu.Lock()
		delete(w.table.open, number)
		w.mu.Unlock()
		return w.merged(ctx, r, p)
	case !p.Open:
		return nil // the next look finds out
	}
	reason := cmp.Or(wished.ended[r.Branch], "what it proposes is not proposed any more: Git or the stage has moved on")
	if wished.ended[r.Branch] == "" && proposal.IsVersionBranch(r.Branch) {
		reason = "it is not proposed any more: its Retraining is gone, or proposes its results elsewhere, or not at all"
	}
	for _, i := range wished.wishes {
		if i.run == nil && !proposal.IsVersionBranch(r.Branch) && slices.ContainsFunc(r.Models, func(m v1alpha1.PullRequestModel) bool {
			return m.Name == i.model.Name && m.Namespace == i.model.Namespace && m.Stage == i.stage.Name
		}) {
			reason = fmt.Sprintf("superseded: %s is proposed for %s by now", i.version, i.stage.Name)
		}
	}
	if err := w.comment(ctx, number, mergedComment, report.Settled(w.repo.Spec.PullRequests.Name, reason)); err != nil {
		return err
	}
	if err := w.forge.Close(ctx, number); err != nil && !isKind(err, forge.Conflict) {
		return err
	}
	if err := w.forge.DeleteBranch(ctx, r.Branch, cmp.Or(wished.commits[r.Branch], p.Head.Commit)); err != nil && !isKind(err, forge.Conflict) {
		return err
	}
	w.drop(number)
	return nil
}

// declined notes that somebody has closed a pull request of the agent's own: a no for that version.
func (w *work) declined(ctx context.Context, r v1alpha1.PullRequestStatus, p forge.Pull) error {
	if err := w.decided(ctx, r.Branch); err != nil {
		return err
	}
	r.State, r.Summary, r.Head = v1alpha1.PullRequestDeclined, "closed by somebody: it is not proposed again", p.Head.Commit
	r.Overlays, r.Base, r.Said = nil, "", ""
	w.drop(p.Number)
	w.keep(r)
	return nil
}

// merge merges a pull request of the agent's own that is planned, if the stage says so and all gates are
// passed that need no commit.
func (w *work) merge(ctx context.Context, p forge.Pull, r v1alpha1.PullRequestStatus) error {
	if r.Branch == "" || r.State != v1alpha1.PullRequestPlanned {
		return nil
	}
	wished, err := w.wishes(ctx)
	if err != nil {
		return err
	}
	i, is := wished.wishes[r.Branch]
	if !is {
		return nil
	}
	if i, err = w.Planner.judged(ctx, i, w.now); err != nil {
		return err
	}
	if i.stage.Merge != v1alpha1.MergeAuto || i.reverts != nil || i.commit != p.Head.Commit || !i.passes() || p.Draft {
		return nil
	}
	if err := w.forge.Merge(ctx, p.Number, p.Head.Commit, forge.Merge); err != nil {
		return err
	}
	merged, err := w.forge.Pull(ctx, p.Number)
	if err != nil {
		return err
	}
	if merged.Merged {
		w.mu.Lock()
		delete(w.table.open, p.Number)
		w.mu.Unlock()
		return w.merged(ctx, r, merged)
	}
	return nil
}
