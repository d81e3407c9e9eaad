package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
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
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
)

// Git is the Repositories as promotions need them.
type Git struct {
	Repositories *Repositories
	// Author of proposals.
	Author gitrepo.Author

	// Read is called with a Model for which a commit was read.
	Read func(types.NamespacedName)

	mu   gosync.Mutex
	said map[said]*saying
}

// said names what a commit says of one stage, which never changes.
type said struct {
	commit, stage  string
	model, overlay types.UID
	spec           string // digest of what of the Overlay is rendered
}

// saying is what a commit says.
type saying struct {
	done    bool
	version string
	// origin is the commit that brought it: those since have changed nothing that the Overlay reads.
	origin string
	err    error
	at     time.Time
}

// mostSaid is how many are remembered; then it is begun anew.
const mostSaid = 1000

// sayAgain is the pause after a commit could not be read.
const sayAgain = time.Minute

// proposeTime is how long one proposal may take: renders to find the line, and a push. So may the
// render be that tells what a commit says.
const proposeTime = 30 * time.Second

// errNoGit is the error where a Model does not come from Git.
var errNoGit = errors.New("the Model is not applied by an Overlay: commit it to the repository of one")

// Signers returns the commit that brought a version to a stage, and the names of the keys that signed
// it. The revision is the one with which the Model was applied. What is written on the Model is no proof
// of what a commit says: that commit has to have the version for the stage, and so has the newest one.
func (g *Git) Signers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, keys map[string][]byte) (commit string, names []string, err error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return "", nil, errNoGit
	}
	if has, err := g.Repositories.Syncer.Inventories.Load(ctx, sync.OwnerOf(o)); err != nil {
		return "", nil, err
	} else if _, is := has[agent.Ref{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelKind, Namespace: m.Namespace, Name: m.Name}]; !is {
		return "", nil, errNoGit
	}
	source, ok := g.Repositories.Source(o.RepositoryName())
	if !ok {
		return "", nil, fmt.Errorf("Repository %s has not been fetched yet", o.RepositoryName())
	}
	spec, err := g.Repositories.Syncer.SpecOf(ctx, o)
	if err != nil {
		return "", nil, err
	}
	origin := ""
	for _, one := range []string{agent.ParseRevision(revision).Commit, source.Revision.Commit} {
		says := g.says(m, o, spec, source.Dir, one, stage)
		switch {
		case says.err != nil:
			return "", nil, fmt.Errorf("it cannot be told what commit %.7s says: %w", one, says.err)
		case says.version != version && origin == "":
			return "", nil, fmt.Errorf("commit %.7s says %s for %s: the Model was changed by other means", one, cmp.Or(says.version, "nothing"), stage)
		case says.version != version:
			return "", nil, fmt.Errorf("commit %.7s, the newest one, says %s for %s", one, cmp.Or(says.version, "nothing"), stage)
		}
		origin = cmp.Or(origin, says.origin)
	}
	tree, err := gitrepo.OpenTree(source.Dir, agent.ParseRevision(revision).Commit)
	if err != nil {
		return "", nil, err
	}
	defer tree.Close()
	signers, err := tree.Signers(origin, keys)
	for _, s := range signers {
		names = append(names, s.String())
	}
	return origin, names, err
}

// errReading is the error while a commit is being read.
var errReading = errors.New("it is being read")

// says is what a commit has for a stage. It takes a render, in the background and once.
func (g *Git) says(m *v1alpha1.Model, o *v1alpha1.Overlay, spec render.Spec, dir, commit, stage string) saying {
	text, err := json.Marshal(spec)
	if err != nil {
		return saying{err: err}
	}
	key := said{commit, stage, m.UID, o.UID, fmt.Sprintf("%x", sha256.Sum256(text))}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.said[key]
	switch {
	case known == nil:
	case !known.done:
		return saying{err: errReading}
	case known.err == nil || time.Since(known.at) < sayAgain:
		return *known
	}
	if g.said == nil || len(g.said) >= mostSaid {
		g.said = map[said]*saying{}
	}
	g.said[key] = &saying{}
	go func(into *saying, model types.NamespacedName) {
		read := g.read(spec, dir, commit, stage, model)
		g.mu.Lock()
		*into = read
		g.mu.Unlock()
		g.Read(model)
	}(g.said[key], types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
	return saying{err: errReading}
}

// read reads what a commit has for a stage.
func (g *Git) read(spec render.Spec, dir, commit, stage string, model types.NamespacedName) (read saying) {
	defer func() {
		if cause := recover(); cause != nil { // it reads what others wrote
			read.err = fmt.Errorf("a mistake in the agent: %v", cause)
		}
		read.done, read.at = true, time.Now()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), proposeTime)
	defer cancel()
	rendered, err := g.Repositories.Syncer.Renders.Run(ctx, render.Request{Source: render.Source{Dir: dir, Commit: commit}, Spec: spec})
	if err != nil {
		return saying{err: err}
	}
	version, err := proposal.VersionIn(rendered.Set, model, stage)
	if err != nil {
		return saying{err: err}
	}
	tree, err := gitrepo.OpenTree(dir, commit)
	if err != nil {
		return saying{err: err}
	}
	defer tree.Close()
	return saying{version: version, origin: tree.Origin(rendered.Trace.Holds)}
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
