package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gate"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/proposal"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"github.com/sluice-dev/sluice/agent/trace"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Git is the Repositories as promotions and retrainings need them.
type Git struct {
	Repositories *Repositories
	// Author of proposals.
	Author gitrepo.Author

	// Forges are where pull requests are reviewed.
	Forges Forges
	// NoCrossNamespace refuses references of Retrainings to Repositories of other namespaces.
	NoCrossNamespace bool
	// Read is called with a Model for which something was found out in the background.
	Read func(types.NamespacedName)

	said     answers[said, saying]
	reviewed answers[reviewed, gate.Approval]
}

// said names what a commit says of one stage, which never changes.
type said struct {
	commit, stage  string
	model, overlay types.UID
	spec           string // digest of what of the Overlay is rendered
	back           bool   // which commit brought it is looked for too
}

// saying is what a commit says.
type saying struct {
	version string
	// origin is the commit that brought it, if that was looked for: those since have the same version for
	// the stage.
	origin string
	err    error
}

// lasts is for how long it counts: a commit that could not be read is read again.
func (s saying) lasts() time.Duration {
	if s.err != nil {
		return askAgain
	}
	return math.MaxInt64
}

// askAgain is the pause after which something is asked again that may come out another way.
const askAgain = time.Minute

// proposeTime is how long one proposal may take: renders to find the line, and a push. So may the
// renders be that tell what a commit says, and the requests that tell who has reviewed it.
const proposeTime = 30 * time.Second

// errNoGit is the error where a Model does not come from Git.
var errNoGit = errors.New("the Model is not applied by an Overlay: commit it to the repository of one")

// errReading is the error while a commit is being read.
var errReading = errors.New("it is being read")

// Signers tells which of some keys signed the commit that brought a version to a stage.
func (g *Git) Signers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, keys map[string][]byte) gate.Approval {
	o, err := g.origin(ctx, m, revision, stage, version)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error(), Waits: errors.Is(err, errReading)}
	}
	tree, err := gitrepo.OpenTree(o.source.Dir, agent.ParseRevision(revision).Commit)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error()}
	}
	defer tree.Close()
	found := gate.Approval{Commit: o.commit}
	signers, err := tree.Signers(o.commit, keys)
	if err != nil {
		found.Reason = err.Error()
	}
	for _, s := range signers {
		found.By = append(found.By, s.String())
	}
	return found
}

// Reviewers tells who of some people approved the pull request that brought a version to a stage. What
// the forge has said counts for a minute; then it is asked again, and what it said before counts until
// it has answered, for half a minute at most.
func (g *Git) Reviewers(ctx context.Context, m *v1alpha1.Model, revision, stage, version string, whose v1alpha1.ReviewApproval) gate.Approval {
	o, err := g.origin(ctx, m, revision, stage, version)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error(), Waits: errors.Is(err, errReading)}
	}
	repo, err := g.repository(ctx, o.name)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error(), Waits: true}
	}
	branch, err := reviewedOn(repo, o.source.Revision)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error()}
	}
	people, err := json.Marshal(whose)
	if err != nil {
		return gate.Approval{Commit: o.commit, Reason: err.Error()}
	}
	key := reviewed{o.commit, branch, string(people), repo.UID, repo.Generation}
	found, known := g.reviewed.ask(key, func(gate.Approval) time.Duration { return askAgain }, func() gate.Approval {
		ctx, cancel := context.WithTimeout(context.Background(), proposeTime)
		defer cancel()
		return approvals(ctx, g.Forges, repo, branch, o.commit, whose)
	}, func() { g.Read(client.ObjectKeyFromObject(m)) })
	if !known {
		return gate.Approval{Commit: o.commit, Reason: "the forge is being asked", Waits: true}
	}
	return found
}

// origin is the commit that brought a version to a stage, and where it is.
type origin struct {
	commit string
	name   types.NamespacedName // of the Repository
	source sync.Source
}

// origin finds the commit that brought a version to a stage. The revision is the one with which the Model
// was applied. What is written on the Model is no proof of what a commit says: that commit has to have
// the version for the stage, and so has the newest one.
func (g *Git) origin(ctx context.Context, m *v1alpha1.Model, revision, stage, version string) (origin, error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return origin{}, errNoGit
	}
	if has, err := g.Repositories.Syncer.Inventories.Load(ctx, sync.OwnerOf(o)); err != nil {
		return origin{}, err
	} else if _, is := has[agent.Ref{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelKind, Namespace: m.Namespace, Name: m.Name}]; !is {
		return origin{}, errNoGit
	}
	found := origin{name: o.RepositoryName()}
	var fetched bool
	if found.source, fetched = g.Repositories.Source(found.name); !fetched {
		return origin{}, fmt.Errorf("Repository %s has not been fetched yet", found.name)
	}
	spec, err := g.Repositories.Syncer.SpecOf(ctx, o)
	if err != nil {
		return origin{}, err
	}
	commit, newest := agent.ParseRevision(revision).Commit, found.source.Revision.Commit
	says := g.says(m, o, spec, found.source.Dir, commit, stage, true)
	switch {
	case says.err != nil:
		return origin{}, fmt.Errorf("it cannot be told what commit %.7s says: %w", commit, says.err)
	case says.version != version:
		return origin{}, fmt.Errorf("commit %.7s says %s for %s: the Model was changed by other means", commit, cmp.Or(says.version, "nothing"), stage)
	}
	found.commit = says.origin
	if commit == newest {
		return found, nil
	}
	switch says := g.says(m, o, spec, found.source.Dir, newest, stage, false); {
	case says.err != nil:
		return found, fmt.Errorf("it cannot be told what commit %.7s, the newest one, says: %w", newest, says.err)
	case says.version != version:
		return found, fmt.Errorf("commit %.7s, the newest one, says %s for %s", newest, cmp.Or(says.version, "nothing"), stage)
	}
	return found, nil
}

// says is what a commit has for a stage, and which commit brought that if back. It takes renders, in the
// background and once.
func (g *Git) says(m *v1alpha1.Model, o *v1alpha1.Overlay, spec render.Spec, dir, commit, stage string, back bool) saying {
	text, err := json.Marshal(spec)
	if err != nil {
		return saying{err: err}
	}
	model := client.ObjectKeyFromObject(m)
	key := said{commit, stage, m.UID, o.UID, fmt.Sprintf("%x", sha256.Sum256(text)), back}
	says, known := g.said.ask(key, saying.lasts, func() saying { return g.read(spec, dir, commit, stage, model, back) }, func() { g.Read(model) })
	if !known {
		return saying{err: errReading}
	}
	return says
}

// read reads what a commit has for a stage, and which commit brought that if back.
func (g *Git) read(spec render.Spec, dir, commit, stage string, model types.NamespacedName, back bool) (read saying) {
	defer func() {
		if cause := recover(); cause != nil { // it reads what others wrote
			read.err = fmt.Errorf("a mistake in the agent: %v", cause)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), proposeTime)
	defer cancel()
	has := func(replaced map[string][]byte) (version string, seen trace.Trace, err error) {
		r, err := g.Repositories.Syncer.Renders.Run(ctx, render.Request{Source: render.Source{Dir: dir, Commit: commit}, Spec: spec, Replaced: replaced})
		if err != nil {
			return "", trace.Trace{}, err
		}
		version, err = proposal.VersionIn(r.Set, model, stage)
		return version, r.Trace, err
	}
	version, seen, err := has(nil)
	if err != nil || !back {
		return saying{version: version, err: err}
	}
	tree, err := gitrepo.OpenTree(dir, commit)
	if err != nil {
		return saying{err: err}
	}
	defer tree.Close()
	b := backward{tree: tree, version: version, seen: seen, has: has}
	origin := tree.Origin(b.same)
	if b.err == nil {
		b.err = ctx.Err() // what was cut off has told nothing
	}
	return saying{version, origin, b.err}
}

// farthest is how many changes to what the Overlay reads are looked at to find the one that brought a
// version.
const farthest = 16

// backward goes back from a commit to the one that brought its version.
type backward struct {
	tree    agent.Tree
	version string
	// seen is what the rendering of the last tree that differed has read.
	seen trace.Trace
	// has renders the commit with other content in some of its files.
	has     func(replaced map[string][]byte) (version string, seen trace.Trace, err error)
	renders int
	err     error
}

// same tells whether an earlier tree has the version too: a commit that has changed something else
// approves nothing of it. To tell, what differs of what was read is put in the place of what is there
// now. Where that does not come to what the earlier tree renders to, because files were taken away since,
// the version is taken to be new.
func (b *backward) same(earlier agent.Tree) bool {
	if b.seen.Holds(earlier) {
		return true
	}
	if b.renders++; b.renders > farthest {
		b.err = fmt.Errorf("%s is older than the last %d changes, and no more are looked at: propose it anew", b.version, farthest)
		return false
	}
	replaced := map[string][]byte{}
	for _, s := range b.seen.Seen {
		if s.What != trace.File || s.ID == (trace.ObjectID{}) || sameFile(b.tree, earlier, s.Path) {
			continue
		}
		if content, err := earlier.ReadFile(s.Path); err == nil {
			replaced[s.Path] = content
		}
	}
	version, seen, err := b.has(replaced)
	b.seen = seen
	return err == nil && version == b.version && seen.Holds(earlier)
}

// sameFile tells by object ids that a file is the same in two trees.
func sameFile(a, b agent.Tree, name string) bool {
	type identified interface {
		ObjectID(name string) (string, bool)
	}
	one, is := a.(identified)
	other, also := b.(identified)
	if !is || !also {
		return false
	}
	id, known := one.ObjectID(name)
	otherID, otherKnown := other.ObjectID(name)
	return known && otherKnown && id == otherID
}

// repository reads a Repository.
func (g *Git) repository(ctx context.Context, name types.NamespacedName) (*v1alpha1.Repository, error) {
	var repo v1alpha1.Repository
	if err := g.Repositories.Client.Get(ctx, name, &repo); err != nil {
		return nil, fmt.Errorf("Repository %s cannot be read: %w", name, err)
	}
	return &repo, nil
}

// Propose commits the version of a stage to a branch of the Repository that the Model comes from, on
// top of its newest revision.
func (g *Git) Propose(ctx context.Context, m *v1alpha1.Model, p promotion.Proposal) (v1alpha1.ProposalStatus, error) {
	o := overlayOf(ctx, g.Repositories.Client, m)
	if o == nil {
		return v1alpha1.ProposalStatus{}, errNoGit
	}
	name := o.RepositoryName()
	repo, err := g.repository(ctx, name)
	if err != nil {
		return v1alpha1.ProposalStatus{}, err
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
		return gitrepo.PushRepository(ctx, source.Dir, repo, g.Repositories.Live, g.Repositories.AllowInsecure, c)
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
