package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	gosync "sync"
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

	mu   gosync.Mutex
	said map[said]string
}

// said names what a commit says of one stage, which never changes.
type said struct {
	commit, stage string
	model         types.UID
	overlay       types.UID
	generation    int64 // of the overlay
}

// mostSaid is how many are remembered; then it is begun anew.
const mostSaid = 1000

// proposeTime is how long one proposal may take: renders to find the line, and a push. So may the
// render be that tells what a commit says.
const proposeTime = 30 * time.Second

// errNoGit is the error where a Model does not come from Git.
var errNoGit = errors.New("the Model is not applied by an Overlay: commit it to the repository of one")

// Signers returns the names of the keys that signed the commit of a revision. What is written on the
// Model is no proof of what a commit says: it has to have the version for the stage, and so has the
// newest one.
func (g *Git) Signers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, keys map[string][]byte) ([]string, error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return nil, errNoGit
	}
	source, ok := g.Repositories.Source(o.RepositoryName())
	if !ok {
		return nil, fmt.Errorf("Repository %s has not been fetched yet", o.RepositoryName())
	}
	commit := agent.ParseRevision(revision).Commit
	err := g.mustSay(ctx, m, o, source.Dir, commit, stage, version)
	if err != nil { // the Model was changed first, and Git followed
		commit = agent.ParseRevision(m.Annotations[v1alpha1.RevisionAnnotation]).Commit
		if g.mustSay(ctx, m, o, source.Dir, commit, stage, version) != nil {
			return nil, err
		}
	}
	signers, err := gitrepo.Signers(source.Dir, commit, keys)
	if err != nil {
		return nil, err
	}
	if err := g.mustSay(ctx, m, o, source.Dir, source.Revision.Commit, stage, version); err != nil { // an approval of another day
		return nil, err
	}
	var names []string
	for _, s := range signers {
		names = append(names, s.String())
	}
	return names, nil
}

// mustSay fails unless a commit has a version for a stage.
func (g *Git) mustSay(ctx context.Context, m *v1alpha1.Model, o *v1alpha1.Overlay, dir, commit, stage, version string) error {
	says, err := g.says(ctx, m, o, dir, commit, stage)
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be told what commit %.7s says: %w", commit, err)
	case says != version:
		return fmt.Errorf("commit %.7s says %s for %s: the Model was changed by other means than that commit", commit, cmp.Or(says, "nothing"), stage)
	}
	return nil
}

// says is the version that a commit has for a stage. It takes a render, once for each commit.
func (g *Git) says(ctx context.Context, m *v1alpha1.Model, o *v1alpha1.Overlay, dir, commit, stage string) (string, error) {
	key := said{commit, stage, m.UID, o.UID, o.Generation}
	g.mu.Lock()
	known, is := g.said[key]
	g.mu.Unlock()
	if is {
		return known, nil
	}
	spec, err := g.Repositories.Syncer.SpecOf(ctx, o)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTime)
	defer cancel()
	rendered, err := g.Repositories.Syncer.Renders.Run(ctx, render.Request{Source: render.Source{Dir: dir, Commit: commit}, Spec: spec})
	if err != nil {
		return "", err
	}
	version, err := proposal.VersionIn(rendered.Set, types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, stage)
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.said == nil || len(g.said) >= mostSaid {
		g.said = map[said]string{}
	}
	g.said[key] = version
	return version, nil
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
