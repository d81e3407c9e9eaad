package gitrepo

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/sluice-dev/sluice/agent"
)

// Fetched is what a fetch found.
type Fetched struct {
	Revision agent.Revision
	// Changed is false if the mirror had the commit before.
	Changed bool
	// Bytes is the size of the packs that were transferred. Of commits that came together, the first
	// has it.
	Bytes int64
}

// longest is how long a fetch may take whose context has no deadline.
const longest = 15 * time.Minute

// Fetch finds the commit that is wanted on the remote and makes sure that the mirror has
// all of its files. If it fails the mirror keeps what it had. A commit that is wanted by its id
// and is in the mirror needs no remote.
//
// The error is an [*Error].
func (m *Mirror) Fetch(ctx context.Context, remote Remote, want Want) (Fetched, error) {
	list, err := m.FetchAll(ctx, remote, want)
	return list[0], err
}

// FetchAll is Fetch for several commits, at the cost of one. They are in the same order, and in the
// same generation of the mirror, so that Merge can use them together. A mirror that begins with several
// has their history: what is merged often began with an old commit, which then is there, and what comes
// after that is small. After an error only Bytes of the first says something.
func (m *Mirror) FetchAll(ctx context.Context, remote Remote, wants ...Want) ([]Fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	list, err := m.fetch(ctx, remote, wants)
	if err != nil {
		failed := make([]Fetched, len(wants))
		copy(failed, list)
		list = failed
	}
	return list, finish(ctx, err, remote)
}

func (m *Mirror) fetch(ctx context.Context, remote Remote, wants []Want) ([]Fetched, error) {
	for _, want := range wants {
		if err := want.check(); err != nil {
			return nil, err
		}
	}
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	if targets, ok := pinned(wants); ok {
		if list, err := m.found(targets); err != nil || len(missing(targets, list)) == 0 {
			return list, err
		}
	}
	conn, err := connect(remote)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	s, refs, err := conn.advertise(ctx)
	if err != nil {
		return nil, err
	}
	x := &exchange{conn: conn, session: s, refs: refs, history: len(wants) > 1}
	defer x.close()
	targets := make([]target, len(wants))
	for i, want := range wants {
		if targets[i], err = want.resolve(refs); err != nil {
			return nil, err
		}
	}
	list, err := m.found(targets)
	if err != nil || len(missing(targets, list)) == 0 {
		return list, err
	}
	return m.transfer(ctx, x, targets, list)
}

// found returns those of the wanted commits that the current generation has; the others have no
// Revision.
func (m *Mirror) found(targets []target) ([]Fetched, error) {
	list := make([]Fetched, len(targets))
	for i, t := range targets {
		g := m.current()
		if g == nil {
			return make([]Fetched, len(targets)), nil
		}
		commit, ok, err := g.have(t.id)
		if err == nil && ok {
			list[i].Revision, err = g.store.revision(t.name, commit)
		}
		if isDamage(err) {
			markDamaged(g.dir)
		} else if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// missing lists what was not found.
func missing(targets []target, list []Fetched) []target {
	var left []target
	for i, t := range targets {
		if list[i].Revision.Commit == "" {
			left = append(left, t)
		}
	}
	return left
}

// transfer makes attempts until all commits are there, given which ones are. A generation that is
// missing or full makes way for a new one, which only comes into being if that works.
func (m *Mirror) transfer(ctx context.Context, x *exchange, targets []target, before []Fetched) ([]Fetched, error) {
	g := m.current()
	if g != nil && !g.full() {
		bytes, err := x.into(ctx, g, missing(targets, before))
		return m.result(targets, before, bytes, err)
	}
	dir, err := os.MkdirTemp(m.dir, "new-")
	if err != nil {
		return nil, storageError(err)
	}
	defer os.RemoveAll(dir)
	fresh, err := createGeneration(dir)
	if err != nil {
		return nil, err
	}
	bytes, err := x.into(ctx, fresh, targets)
	if err == nil {
		err = m.adopt(fresh)
	} else {
		fresh.store.close()
	}
	return m.result(targets, before, bytes, err)
}

// result describes the commits after those that were missing before were transferred.
func (m *Mirror) result(targets []target, before []Fetched, bytes int64, err error) ([]Fetched, error) {
	if err != nil {
		return []Fetched{{Bytes: bytes}}, err
	}
	list, err := m.found(targets)
	if err == nil && len(missing(targets, list)) > 0 {
		err = storageError(errDamaged)
	}
	for i := range list {
		if before[i].Revision.Commit == "" {
			list[i].Changed, list[i].Bytes = true, bytes
			bytes = 0
		}
	}
	return list, err
}

// attempt is one way to ask a server for a pack.
type attempt struct {
	wants, haves []plumbing.Hash
	depth        int
	limit        int64 // of the pack, in bytes
}

// attempts lists the ways to get commits into a generation, cheapest first. A clone with the history is
// cheaper in the end where old commits are wanted again and again.
func attempts(g *generation, refs *packp.AdvRefs, targets []target, history bool) []attempt {
	var wants, tips []plumbing.Hash // by themselves, and as parts of branches
	for _, t := range targets {
		wants = append(wants, t.id)
		if t.advertised {
			tips = append(tips, t.id)
		} else {
			tips = append(tips, branches(refs, t.name)...)
		}
	}
	clone := attempt{wants: tips, limit: maxPack}
	if !givesAnyCommit(refs) && slices.ContainsFunc(targets, func(t target) bool { return !t.advertised }) {
		return []attempt{clone}
	}
	var list []attempt
	if haves := g.tips[max(0, len(g.tips)-maxHaves):]; len(haves) > 0 {
		_, largest := g.size()
		list = append(list, attempt{wants: wants, haves: slices.Clone(haves), limit: min(largest+minBudget, maxPack)})
	}
	if history {
		list = append(list, attempt{wants: wants, limit: maxPack})
	}
	if refs.Capabilities.Supports(capability.Shallow) {
		list = append(list, attempt{wants: wants, depth: 1, limit: maxPack})
	}
	return append(list, clone)
}

const (
	// maxHaves is how many commits we tell a server about; one would nearly always do.
	maxHaves = 16
	// minBudget is how much more than a clone an incremental fetch may take.
	minBudget int64 = 8 << 20
)

// givesAnyCommit tells whether a server gives away commits that no reference points at.
func givesAnyCommit(refs *packp.AdvRefs) bool {
	return refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) ||
		refs.Capabilities.Supports("allow-any-sha1-in-want")
}

// branches are the tips of the branch that was named, or of all.
func branches(refs *packp.AdvRefs, branch string) []plumbing.Hash {
	if id, ok := refs.References["refs/heads/"+branch]; ok {
		return []plumbing.Hash{id}
	}
	var ids []plumbing.Hash
	for name, id := range refs.References {
		if strings.HasPrefix(name, "refs/heads/") && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// exchange is the talk with a server during one fetch.
type exchange struct {
	conn    connection
	session session // open and unused, or nil
	refs    *packp.AdvRefs
	history bool // is worth having
}

// close ends the session that no attempt used.
func (x *exchange) close() {
	if x.session != nil {
		x.session.Close()
	}
}

// into makes attempts until the generation has all of the targets, and returns how many
// bytes they took.
func (x *exchange) into(ctx context.Context, g *generation, targets []target) (total int64, err error) {
	var failed error
	var lacks target
	for _, a := range attempts(g, x.refs, targets, x.history) {
		var n int64
		n, failed = x.try(ctx, g, a)
		total += n
		if failed != nil {
			if !worthMore(ctx, failed) {
				return total, failed
			}
			continue
		}
		var some bool
		if lacks, some, err = g.lacks(targets); !some || err != nil {
			return total, err
		}
	}
	switch {
	case failed != nil:
		return total, failed
	case !lacks.advertised:
		return total, errorf(ReferenceNotFound, "the commit %s is not on any branch of the remote, and the server gives away no others; push it to a branch, or correct it", lacks.id)
	}
	return total, errorf(Refused, "the server sent only a part of the commit %s; its repository may be damaged: run git fsck there", lacks.id)
}

// worthMore tells whether another attempt could succeed where this one failed.
func worthMore(ctx context.Context, err error) bool {
	e := classify(err)
	return ctx.Err() == nil && (e == errBudget || e.Kind == Refused)
}

// try makes one attempt. It returns the size of the pack, which need not hold everything.
func (x *exchange) try(ctx context.Context, g *generation, a attempt) (int64, error) {
	if err := x.reopen(ctx); err != nil {
		return 0, err
	}
	s := x.session
	x.session = nil
	defer s.Close()
	req := request(x.refs, a)
	if x.conn.multiACK {
		_ = req.Capabilities.Set(capability.MultiACKDetailed)
	}
	res, err := s.UploadPack(ctx, req)
	if errors.Is(err, transport.ErrEmptyUploadPackRequest) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer res.Close()
	index, n, err := receive(ctx, g.dir, demultiplex(req, res), a.limit)
	if err == nil && index != "" {
		err = g.store.add(index)
	}
	return n, err
}

// reopen makes sure that there is an unused session.
func (x *exchange) reopen(ctx context.Context) (err error) {
	if x.session == nil {
		x.session, _, err = x.conn.advertise(ctx)
	}
	return err
}

// request is what an attempt says to the server.
func request(refs *packp.AdvRefs, a attempt) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	req.Wants, req.Haves = a.wants, a.haves
	if refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	if a.depth > 0 {
		req.Depth = packp.DepthCommits(a.depth)
		_ = req.Capabilities.Set(capability.Shallow)
	}
	return req
}

// demultiplex takes the pack out of an answer.
func demultiplex(req *packp.UploadPackRequest, r io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}
