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
	// Bytes is the size of the packs that were transferred.
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
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	f, err := m.fetch(ctx, remote, want)
	return f, finish(ctx, err, remote)
}

func (m *Mirror) fetch(ctx context.Context, remote Remote, want Want) (Fetched, error) {
	if err := want.check(); err != nil {
		return Fetched{}, err
	}
	if err := m.lock(ctx); err != nil {
		return Fetched{}, err
	}
	defer m.unlock()
	if want.Commit != "" {
		t := target{name: want.Branch, id: plumbing.NewHash(want.Commit)}
		if f, ok, err := m.found(t); ok || err != nil {
			return f, err
		}
	}
	conn, err := connect(remote)
	if err != nil {
		return Fetched{}, err
	}
	defer conn.close()
	s, refs, err := conn.advertise(ctx)
	if err != nil {
		return Fetched{}, err
	}
	x := &exchange{conn: conn, session: s, refs: refs}
	defer x.close()
	t, err := want.resolve(refs)
	if err != nil {
		return Fetched{}, err
	}
	if f, ok, err := m.found(t); ok || err != nil {
		return f, err
	}
	return m.transfer(ctx, x, t, want.Branch)
}

// found returns the wanted commit if the current generation has it.
func (m *Mirror) found(t target) (Fetched, bool, error) {
	g := m.current()
	if g == nil {
		return Fetched{}, false, nil
	}
	commit, ok, err := g.have(t.id)
	if err == nil && ok {
		var revision agent.Revision
		revision, err = g.store.revision(t.name, commit)
		if err == nil {
			return Fetched{Revision: revision}, true, nil
		}
	}
	if isDamage(err) {
		markDamaged(g.dir)
		return Fetched{}, false, nil
	}
	return Fetched{}, false, err
}

// transfer makes attempts until the commit is there. A generation that is missing or full
// makes way for a new one, which only comes into being if that works.
func (m *Mirror) transfer(ctx context.Context, x *exchange, t target, branch string) (Fetched, error) {
	g := m.current()
	if g != nil && !g.full() {
		bytes, err := x.into(ctx, g, attempts(g, x.refs, t, branch), t)
		return m.result(t, bytes, err)
	}
	dir, err := os.MkdirTemp(m.dir, "new-")
	if err != nil {
		return Fetched{}, storageError(err)
	}
	defer os.RemoveAll(dir)
	fresh, err := createGeneration(dir)
	if err != nil {
		return Fetched{}, err
	}
	bytes, err := x.into(ctx, fresh, attempts(fresh, x.refs, t, branch), t)
	if err == nil {
		err = m.adopt(fresh)
	} else {
		fresh.store.close()
	}
	return m.result(t, bytes, err)
}

// result describes the commit that was just transferred.
func (m *Mirror) result(t target, bytes int64, err error) (Fetched, error) {
	if err != nil {
		return Fetched{Bytes: bytes}, err
	}
	f, ok, err := m.found(t)
	if err == nil && !ok {
		err = storageError(errDamaged)
	}
	f.Changed, f.Bytes = true, bytes
	return f, err
}

// attempt is one way to ask a server for a pack.
type attempt struct {
	wants, haves []plumbing.Hash
	depth        int
	limit        int64 // of the pack, in bytes
}

// attempts lists the ways to get a commit into a generation, cheapest first.
func attempts(g *generation, refs *packp.AdvRefs, t target, branch string) []attempt {
	var list []attempt
	wants := []plumbing.Hash{t.id}
	if t.advertised || givesAnyCommit(refs) {
		if haves := g.tips[max(0, len(g.tips)-maxHaves):]; len(haves) > 0 {
			_, clone := g.size()
			list = append(list, attempt{wants: wants, haves: slices.Clone(haves), limit: min(clone+minBudget, maxPack)})
		}
		if refs.Capabilities.Supports(capability.Shallow) {
			list = append(list, attempt{wants: wants, depth: 1, limit: maxPack})
		}
	}
	if !t.advertised {
		wants = branches(refs, branch)
	}
	return append(list, attempt{wants: wants, limit: maxPack})
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
}

// close ends the session that no attempt used.
func (x *exchange) close() {
	if x.session != nil {
		x.session.Close()
	}
}

// into makes attempts until the generation has all of the target, and returns how many
// bytes they took.
func (x *exchange) into(ctx context.Context, g *generation, list []attempt, t target) (total int64, err error) {
	var failed error
	for _, a := range list {
		var n int64
		n, failed = x.try(ctx, g, a)
		total += n
		if failed != nil {
			if !worthMore(ctx, failed) {
				return total, failed
			}
			continue
		}
		if _, ok, err := g.have(t.id); ok || err != nil {
			return total, err
		}
	}
	switch {
	case failed != nil:
		return total, failed
	case !t.advertised:
		return total, errorf(ReferenceNotFound, "the commit %s is not on any branch of the remote, and the server gives away no others; push it to a branch, or correct it", t.id)
	}
	return total, errorf(Refused, "the server sent only a part of the commit %s; its repository may be damaged: run git fsck there", t.id)
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
