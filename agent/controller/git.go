package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"k8s.io/apimachinery/pkg/types"
)

// Git is the Repositories as promotions need them.
type Git struct {
	Repositories *Repositories
	// Author of proposals.
	Author gitrepo.Author
}

// proposeTime is how long one proposal may take: renders to find the line, and a push.
const proposeTime = 30 * time.Second

// errNoGit is the error where a Model does not come from Git.
var errNoGit = errors.New("the Model is not applied by an Overlay: commit it to the repository of one")

// Signers returns the names of the keys that signed the commit of a revision.
func (g *Git) Signers(ctx context.Context, m *v1alpha1.Model, revision string, keys map[string][]byte) ([]string, error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return nil, errNoGit
	}
	source, ok := g.Repositories.Source(o.RepositoryName())
	if !ok {
		return nil, fmt.Errorf("Repository %s has not been fetched yet", o.RepositoryName())
	}
	signers, err := gitrepo.Signers(source.Dir, agent.ParseRevision(revision).Commit, keys)
	var names []string
	for _, s := range signers {
		names = append(names, s.String())
	}
	return names, err
}

// Propose commits the version of a stage to a branch of the Repository that the Model comes from, on
// top of its newest revision.
func (g *Git) Propose(ctx context.Context, m *v1alpha1.Model, p promotion.Proposal) (v1alpha1.ProposalStatus, error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return v1alpha1.ProposalStatus{}, errNoGit
	}
	name := o.RepositoryName()
	var repo v1alpha1.Repository
	if err := g.Repositories.Client.Get(ctx, name, &repo); err != nil {
		return v1alpha1.ProposalStatus{}, fmt.Errorf("Repository %s cannot be read: %w", name, err)
	}
	source, ok := g.Repositories.Source(name)
	if !ok {
		return v1alpha1.ProposalStatus{}, fmt.Errorf("Repository %s has not been fetched yet", name)
	}
	spec, err := g.Repositories.Syncer.SpecOf(ctx, o)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	tree, err := gitrepo.OpenTree(source.Dir, source.Revision.Commit)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	defer tree.Close()
	rendered := func(ctx context.Context, replaced map[string][]byte) (render.Result, error) {
		return g.Repositories.Syncer.Renders.Run(ctx, render.Request{
			Source: render.Source{Dir: source.Dir, Commit: source.Revision.Commit}, Spec: spec, Replaced: replaced,
		})
	}
	push := func(ctx context.Context, c gitrepo.Commit) (string, error) {
		return gitrepo.PushRepository(ctx, source.Dir, &repo, g.Repositories.Live, g.Repositories.AllowInsecure, c)
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTime)
	defer cancel()
	made, err := proposal.Propose(ctx, tree, rendered, push, source.Revision.Commit, proposal.Proposal{
		Model: types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, Stage: p.Stage, Version: p.Version, Reverts: p.Reverts,
		Evidence: p.Evidence, Author: g.Author, Time: time.Now(), Replaces: p.Replaces,
	})
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	return v1alpha1.ProposalStatus{Branch: made.Branch, Commit: made.Commit, Message: "proposed on branch " + made.Branch}, nil
}
