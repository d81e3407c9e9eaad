package pull

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/report"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Indexes of the cache. A look goes from the Retrainings of the Repository to those of their runs that still
// propose something: what others have, and what was merged, costs nothing.
const (
	// byDestination finds Retrainings by the Overlay that applies them, or by the Repository that they name for
	// their results.
	byDestination = "destination"
	// byProposal finds the runs of a Retraining that have proposed something, and under another key those that
	// still do.
	byProposal = "proposal"
)

func index(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &v1alpha1.Retraining{}, byDestination, func(o client.Object) []string {
		return destinations(o.(*v1alpha1.Retraining))
	}); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &v1alpha1.RetrainingRun{}, byProposal, func(o client.Object) []string {
		return proposers(o.(*v1alpha1.RetrainingRun))
	})
}

// destinations is where the results of a Retraining go, as byDestination has it; nothing for nowhere.
func destinations(r *v1alpha1.Retraining) []string {
	switch result, overlay := r.Spec.Result, r.Labels[v1alpha1.OverlayLabel]; {
	case result == nil || result.Propose == nil:
		return nil
	case result.Propose.RepositoryRef != nil:
		return []string{toRepository(result.Propose.RepositoryRef.In(r.Namespace))}
	case overlay != "":
		return []string{throughOverlay(types.NamespacedName{Namespace: r.Labels[v1alpha1.OverlayNamespaceLabel], Name: overlay})}
	}
	return nil
}

func toRepository(name types.NamespacedName) string   { return "repository " + name.String() }
func throughOverlay(name types.NamespacedName) string { return "overlay " + name.String() }

// proposers is the Retraining of a run that has proposed something, as byProposal has it.
func proposers(run *v1alpha1.RetrainingRun) []string {
	switch {
	case !proposed(run):
		return nil
	case !proposes(run):
		return []string{run.Spec.Retraining}
	}
	return []string{run.Spec.Retraining, still(run.Spec.Retraining)}
}

func still(retraining string) string { return "still " + retraining }

// proposed tells whether a run has put its version on a branch that somebody is to merge.
func proposed(run *v1alpha1.RetrainingRun) bool {
	s, asked := run.Status, run.Spec.Result
	return s.Phase == v1alpha1.RunSucceeded && s.Proposal != nil && s.Proposal.Commit != "" && proposal.IsVersionBranch(s.Proposal.Branch) &&
		s.Result != nil && s.Result.ModelVersion != nil && asked != nil && asked.Propose != nil
}

// proposes tells whether it is still to be merged.
func proposes(run *v1alpha1.RetrainingRun) bool { return proposed(run) && run.Status.SettledAt == nil }

// wishesOfRuns adds what the runs of those Retrainings propose whose results go to the Repository: own are its
// Overlays.
func (w *work) wishesOfRuns(ctx context.Context, own map[types.NamespacedName]bool, into wished) error {
	keys := []string{toRepository(w.name())}
	for name := range own {
		keys = append(keys, throughOverlay(name))
	}
	for _, key := range keys {
		var retrainings v1alpha1.RetrainingList
		if err := w.Client.List(ctx, &retrainings, client.MatchingFields{byDestination: key}, client.UnsafeDisableDeepCopy); err != nil { // they are only read
			return err
		}
		for n := range retrainings.Items {
			if err := w.wishOf(ctx, &retrainings.Items[n], into); err != nil {
				return err
			}
		}
	}
	return nil
}

// wishOf adds what the newest run of a Retraining proposes, of those that have proposed something: each takes
// the place of those before it, whatever becomes of it.
func (w *work) wishOf(ctx context.Context, r *v1alpha1.Retraining, into wished) error {
	open, err := w.runs(ctx, r, still(r.Name))
	if err != nil || len(open) == 0 {
		return err
	}
	all, err := w.runs(ctx, r, r.Name)
	if err != nil || len(all) == 0 {
		return err
	}
	newest := all[0].DeepCopy()
	version := newest.Status.Result.ModelVersion.Version
	for n := range open {
		if run := &open[n]; run.Name != newest.Name {
			if err := w.ends(ctx, run, into, fmt.Sprintf("superseded: %s of the run %s has taken its place", version, newest.Name)); err != nil {
				return err
			}
		}
	}
	if !proposes(newest) {
		return nil
	}
	switch there, err := w.inGit(ctx, newest); {
	case err != nil:
		return err
	case there:
		return w.ends(ctx, newest, into, fmt.Sprintf("Git has %s by other means", version))
	}
	p := newest.Status.Proposal
	into.wishes[p.Branch] = wish{run: newest, branch: p.Branch, commit: p.Commit, version: version}
	return nil
}

// runs are those of a Retraining with a key of byProposal, the newest first. One that was put on a branch of
// another Repository than results go to now is none of them. They are only read.
func (w *work) runs(ctx context.Context, r *v1alpha1.Retraining, key string) ([]v1alpha1.RetrainingRun, error) {
	var runs v1alpha1.RetrainingRunList
	if err := w.Client.List(ctx, &runs, client.InNamespace(r.Namespace), client.MatchingFields{byProposal: key}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(runs.Items, func(run v1alpha1.RetrainingRun) bool { return !sameDestination(&run, r) })
	slices.SortFunc(found, newestFirst)
	return found, nil
}

// ends notes that nothing more is to become of what a run proposes. What is still open is to be closed first,
// with the reason.
func (w *work) ends(ctx context.Context, run *v1alpha1.RetrainingRun, into wished, reason string) error {
	branch := run.Status.Proposal.Branch
	into.ended[branch], into.commits[branch] = reason, run.Status.Proposal.Commit
	if w.isOpen(branch) {
		return nil
	}
	return record.Settled(ctx, w.Client, run, metav1.NewTime(w.now.UTC()))
}

// isOpen tells whether there is a pull request for a branch that is not over, as far as is known. One that an
// agent has opened and then forgotten is noted to be the agent's own.
func (w *work) isOpen(branch string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for number, p := range w.table.open {
		if p.Head.Fork == "" && p.Head.Name == branch {
			r := w.table.records[number]
			r.Number, r.Branch = int64(number), branch
			w.table.records[number] = r
			return true
		}
	}
	return slices.ContainsFunc(listed(w.table.records), func(r v1alpha1.PullRequestStatus) bool { return r.Branch == branch && !over(r) })
}

// sameDestination tells whether a run has proposed to where its Retraining proposes now.
func sameDestination(run *v1alpha1.RetrainingRun, r *v1alpha1.Retraining) bool {
	then := *r
	then.Spec.Result = run.Spec.Result
	return slices.Equal(destinations(&then), destinations(r))
}

func newestFirst(a, b v1alpha1.RetrainingRun) int {
	if c := b.Spec.Slot.Compare(a.Spec.Slot.Time); c != 0 {
		return c
	}
	return strings.Compare(b.Name, a.Name)
}

// inGit tells whether the cluster has the version that a run proposes, and so Git.
func (w *work) inGit(ctx context.Context, run *v1alpha1.RetrainingRun) (bool, error) {
	spec := run.Status.Result.ModelVersion
	var versions v1alpha1.ModelVersionList
	if err := w.Client.List(ctx, &versions, client.InNamespace(run.Namespace), client.MatchingFields{promotion.ByModel: spec.Model}, client.UnsafeDisableDeepCopy); err != nil {
		return false, err
	}
	return slices.ContainsFunc(versions.Items, func(v v1alpha1.ModelVersion) bool { return v.Spec.Version == spec.Version }), nil
}

// decided notes that somebody has merged a branch or said no to it, if it is one of a run: it is not to be opened
// again, also if the version never comes to the cluster, or leaves Git.
func (w *work) decided(ctx context.Context, branch string) error {
	if !proposal.IsVersionBranch(branch) {
		return nil
	}
	wished, err := w.wishes(ctx)
	if i, is := wished.wishes[branch]; is && err == nil {
		return record.Settled(ctx, w.Client, i.run, metav1.NewTime(w.now.UTC()))
	}
	return err
}

// change is the Model of a run with the version that it has made, as if Git had it.
func (i wish) change(ctx context.Context, p Planner, now time.Time) (modelChange, error) {
	m := modelChange{planner: p, now: now}
	m.after.Namespace, m.after.Name = i.run.Namespace, i.run.Spec.Model
	if i.model != nil {
		m.before, m.after = *i.model, *i.model
	}
	if err := m.relatives(ctx); err != nil {
		return m, err
	}
	made := v1alpha1.ModelVersion{Spec: *i.run.Status.Result.ModelVersion}
	made.Namespace, made.CreationTimestamp = i.run.Namespace, metav1.NewTime(now)
	if a := made.Spec.Artifact; a.Size != nil && artifact.Verified(a.URI) { // it was read before it became a result
		made.Status.Artifact = &v1alpha1.ArtifactStatus{Verified: true, Digest: a.Digest, Size: *a.Size}
	}
	m.versions = append(m.versions, made)
	return m, nil
}

// judged completes the wish of a run: with its Model, its stage, and what the gates of that say. That of a Model
// is complete.
func (p Planner) judged(ctx context.Context, i wish, now time.Time) (wish, error) {
	if i.run == nil {
		return i, nil
	}
	var model v1alpha1.Model
	switch err := p.Reader.Get(ctx, client.ObjectKey{Namespace: i.run.Namespace, Name: i.run.Spec.Model}, &model); {
	case client.IgnoreNotFound(err) != nil:
		return i, err
	case err != nil:
		return i, nil
	}
	i.model, i.stage = &model, stageOf(model, i.run.Spec.Result.Propose.Stage)
	if i.stage.Name == "" {
		return i, nil
	}
	m, err := i.change(ctx, p, now)
	if err != nil {
		return i, err
	}
	to := i.stage
	to.Version = i.version
	i.findings, err = m.findings(ctx, to)
	return i, err
}

// retrained is what is said of a version that a run has made.
func (p Planner) retrained(ctx context.Context, i wish, now time.Time) (report.Proposal, error) {
	m, err := i.change(ctx, p, now)
	if err != nil {
		return report.Proposal{}, err
	}
	run := i.run
	said := report.Proposal{
		Branch: i.branch, Commit: i.commit, Auto: i.stage.Merge == v1alpha1.MergeAuto,
		Model: report.Model{Name: run.Spec.Model, Stage: i.stage.Name, From: m.version(m.current(i)), To: m.version(i.version), Findings: i.findings},
		Retrained: &report.Retrained{
			Retraining: run.Spec.Retraining, Run: run.Namespace + "/" + run.Name, Slot: run.Spec.Slot.Time,
			Trigger: run.Spec.Trigger, Attempts: len(run.Status.Attempts), Artifact: run.Status.Result.ModelVersion.Artifact.URI,
		},
	}
	if from, to := run.Status.StartedAt, run.Status.EndedAt; from != nil && to != nil {
		said.Retrained.Took = to.Sub(from.Time)
	}
	if stage := i.stage; stage.Name != "" {
		if stage.Version = i.version; !m.returns(stage) {
			said.Model.Canary = stage.Rollout.Canary
		}
	}
	return said, nil
}

// current is the version that what a run has made is compared with: the one that serves in the stage; without
// a stage, the one that the run was judged by, or that serves where the Model's way ends.
func (m *modelChange) current(i wish) string {
	switch stages := m.after.Spec.Stages; {
	case i.stage.Name != "":
		return m.serves(i.stage.Name)
	case i.run.Status.Result.Current != "":
		return i.run.Status.Result.Current
	case len(stages) > 0:
		return m.serves(stages[len(stages)-1].Name)
	}
	return ""
}
