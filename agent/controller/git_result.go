package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ProposeResult commits the ModelVersion that a run has made to the Repository that its Retraining names, or
// comes from, on top of its newest revision. What Git has already is no error: the status says so, and has no
// commit. After a *gitrepo.Error of the kind Moved it is to be called again, on what is fetched meanwhile.
func (g *Git) ProposeResult(ctx context.Context, r *v1alpha1.Retraining, run *v1alpha1.RetrainingRun, version v1alpha1.ModelVersion, evidence []string) (v1alpha1.ProposalStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeTime)
	defer cancel()
	d, err := g.destination(ctx, r, run)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	tree, err := gitrepo.OpenTree(d.source.Dir, d.source.Revision.Commit)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	defer tree.Close()
	rendered, err := g.renders(ctx, d)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	push := func(ctx context.Context, c gitrepo.Commit) (string, error) {
		return gitrepo.PushRepository(ctx, d.source.Dir, d.repo, g.Repositories.Live, g.Repositories.AllowInsecure, c)
	}
	a := proposal.Addition{
		Version: version, Dir: d.asked.Path, Model: d.model, Stage: d.asked.Stage, Branch: d.asked.Branch,
		Retraining: r.Name, Run: run.Name, Slot: run.Spec.Slot.Time, Trigger: string(run.Spec.Trigger.Kind) + ": " + run.Spec.Trigger.Message,
		Evidence: evidence, Author: g.Author, Time: time.Now(),
	}
	made, err := proposal.ProposeVersion(ctx, tree, rendered, push, d.source.Revision.Commit, a)
	if e, is := errors.AsType[*proposal.Error](err); is && e.Kind == proposal.Settled {
		return v1alpha1.ProposalStatus{Message: "in Git already"}, nil
	}
	if e, is := errors.AsType[*gitrepo.Error](err); d.asked.Branch != "" && (err == nil || is && e.Kind == gitrepo.Moved) {
		g.Repositories.Look(client.ObjectKeyFromObject(d.repo)) // there is something new on the branch
	}
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	message := "proposed on branch " + made.Branch
	if d.asked.Branch != "" {
		message = "pushed to branch " + made.Branch
	}
	return v1alpha1.ProposalStatus{Branch: made.Branch, Commit: made.Commit, Message: message}, nil
}

// destination is where the result of a run goes.
type destination struct {
	asked  v1alpha1.ResultProposal
	repo   *v1alpha1.Repository
	source sync.Source
	model  types.NamespacedName
	// overlay that has the Model, or else the Retraining; nil if none of the Repository has.
	overlay *v1alpha1.Overlay
}

func (g *Git) destination(ctx context.Context, r *v1alpha1.Retraining, run *v1alpha1.RetrainingRun) (d destination, err error) {
	if run.Spec.Result == nil || run.Spec.Result.Propose == nil {
		return d, invalid("the run %s/%s has no spec.result.propose: its result is not proposed", run.Namespace, run.Name)
	}
	d.asked = *run.Spec.Result.Propose
	home, err := g.home(ctx, r)
	if err != nil {
		return d, err
	}
	name, err := g.destined(d.asked, r, home)
	if err != nil {
		return d, err
	}
	if d.repo, err = g.repository(ctx, name); err != nil {
		return d, err
	}
	var fetched bool
	if d.source, fetched = g.Repositories.Source(name); !fetched {
		return d, fmt.Errorf("Repository %s has not been fetched yet", name)
	}
	if err := mayAdvance(d.asked.Branch, r, d.repo, d.source, home); err != nil {
		return d, err
	}
	d.model = types.NamespacedName{Namespace: r.Namespace, Name: run.Spec.Model}
	d.overlay, err = g.overlayWith(ctx, d.model, name, d.asked.Stage)
	if d.overlay == nil && home != nil && home.RepositoryName() == name {
		d.overlay = home
	}
	return d, err
}

// home is the Overlay that applies a Retraining; nil if there is none. What is written on the Retraining is no
// proof.
func (g *Git) home(ctx context.Context, r *v1alpha1.Retraining) (*v1alpha1.Overlay, error) {
	o := overlayOf(ctx, g.Repositories.Client, r)
	if o == nil {
		return nil, nil
	}
	has, err := g.Repositories.Syncer.Inventories.Load(ctx, sync.OwnerOf(o))
	if err != nil {
		return nil, err
	}
	if _, is := has[agent.Ref{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.RetrainingKind, Namespace: r.Namespace, Name: r.Name}]; !is {
		return nil, nil
	}
	return o, nil
}

// destined is the Repository that a result goes to.
func (g *Git) destined(asked v1alpha1.ResultProposal, r *v1alpha1.Retraining, home *v1alpha1.Overlay) (types.NamespacedName, error) {
	switch ref := asked.RepositoryRef; {
	case ref == nil && home == nil:
		return types.NamespacedName{}, invalid("the Retraining %s/%s is not applied by an Overlay: name a Repository in spec.result.propose.repositoryRef, or commit the Retraining to the repository of one", r.Namespace, r.Name)
	case ref == nil:
		return home.RepositoryName(), nil
	case g.NoCrossNamespace && ref.Namespace != "" && ref.Namespace != r.Namespace:
		return types.NamespacedName{}, invalid("the reference to %s/%s in another namespace is refused: the agent runs with --no-cross-namespace-refs", ref.Namespace, ref.Name)
	default:
		return ref.In(r.Namespace), nil
	}
}

// mayAdvance refuses to push to a named branch that the Repository does not follow, for what is on top of
// another is not known; and one of a Repository that the Retraining neither comes from nor lives beside:
// who may make Retrainings in some namespace is nobody to commit to the repositories of others unasked.
func mayAdvance(branch string, r *v1alpha1.Retraining, repo *v1alpha1.Repository, source sync.Source, home *v1alpha1.Overlay) error {
	name := client.ObjectKeyFromObject(repo)
	follows, _ := repo.Branch(source.Revision.Name)
	switch {
	case branch == "":
		return nil
	case branch != follows:
		return invalid("spec.result.propose.branch is %q, and Repository %s follows %q: name that, or a Repository that follows the other", branch, name, follows)
	case repo.Namespace != r.Namespace && (home == nil || home.RepositoryName() != name):
		return invalid("nothing is pushed to the branch %s of Repository %s, which is of another namespace: commit the Retraining to that repository, or leave out spec.result.propose.branch, and it is proposed", branch, name)
	}
	return nil
}

// overlayWith is the Overlay of a Repository that has a Model. There has to be one if a stage is asked for.
func (g *Git) overlayWith(ctx context.Context, model, repository types.NamespacedName, stage string) (*v1alpha1.Overlay, error) {
	var m v1alpha1.Model
	err := g.Repositories.Client.Get(ctx, model, &m)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	o := overlayOf(ctx, g.Repositories.Client, &m)
	switch {
	case err == nil && o != nil && o.RepositoryName() == repository:
		return o, nil
	case stage == "":
		return nil, nil
	case err != nil:
		return nil, invalid("there is no Model %s whose stage %s could be set: add it to the repository, or leave out spec.result.propose.stage", model, stage)
	}
	return nil, invalid("no Overlay of Repository %s applies the Model %s, so that its stage %s cannot be set there: name the Repository that has it, or leave out spec.result.propose.stage", repository, model, stage)
}

// renders renders the Overlay that has the Model, or the Retraining, where that is called for: a stage is to be found, or
// nobody looks at the branch before the cluster follows it. Nil is for what the plan of a pull request shows.
func (g *Git) renders(ctx context.Context, d destination) (proposal.Render, error) {
	if d.overlay == nil || d.asked.Stage == "" && d.asked.Branch == "" {
		return nil, nil
	}
	spec, err := g.Repositories.Syncer.SpecOf(ctx, d.overlay)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, replaced map[string][]byte) (render.Result, error) {
		return g.Repositories.Syncer.Renders.Run(ctx, render.Request{
			Source: render.Source{Dir: d.source.Dir, Commit: d.source.Revision.Commit}, Spec: spec, Replaced: replaced,
		})
	}, nil
}

func invalid(format string, args ...any) error {
	return &proposal.Error{Kind: proposal.Invalid, Message: fmt.Sprintf(format, args...)}
}
