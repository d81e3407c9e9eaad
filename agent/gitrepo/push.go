package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// maxReport bounds what a server says about an update, with the words of its hooks.
const maxReport = 1 << 20

var (
	errReport = errorf(TooLarge, "the server said more than %d KiB about the push; look at its hooks", maxReport>>10)
	errNoPush = errorf(AuthenticationFailed, "the server forbids pushing to the repository; give the user, token or key of the Secret write access to it")
)

func boundedReport(r io.Reader) io.Reader { return &limitedReader{r, maxReport, errReport} }

// Push makes a commit on top of one that was fetched into the mirror at dir, and pushes it to a
// branch of the remote. It returns the commit that the branch then has. The mirror stays as it is.
//
// A branch of ours is created, or replaced if its tip is an earlier attempt at the same (see Commit), or
// a part of the base's history, so that nothing gets lost; the tip must still be that when the
// server changes it. If the branch has an attempt with the same files on the same base, that one
// stays and nothing is sent.
//
// A branch of people's, with Advances, has to be at the base, and to be that still when the server moves
// it: the error is Moved if it is not, unless what it is at is an attempt at the same.
//
// The error is an [*Error]. After one, the commit may be on the branch all the same, as when the
// connection broke; to push again finds out.
func Push(ctx context.Context, dir string, remote Remote, c Commit) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	id, err := c.push(ctx, dir, remote)
	if err != nil {
		return "", finish(ctx, forPush(err), remote)
	}
	return id.String(), nil
}

// DeleteBranch deletes a branch of the remote if its tip is the commit that is given, which is to
// be one that we pushed. A branch that is not there is no error, any other error is an [*Error].
func DeleteBranch(ctx context.Context, remote Remote, branch, tip string) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	return finish(ctx, forPush(deleteBranch(ctx, remote, branch, plumbing.NewHash(tip))), remote)
}

// forPush says of an account that may read that it may not write.
func forPush(err error) error {
	if err != nil && classify(err) == errNoAccess {
		return errNoPush
	}
	return err
}

func (c Commit) push(ctx context.Context, dir string, remote Remote) (plumbing.Hash, error) {
	if err := c.check(); err != nil {
		return plumbing.ZeroHash, err
	}
	made, err := c.build(dir)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	u, err := openUpdate(ctx, remote, c.Branch)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer u.close()
	switch {
	case u.tip == made.id:
		return u.tip, nil
	case c.Advances && u.tip != made.parent:
		return c.advanced(ctx, u, made)
	case !c.Advances && !u.tip.IsZero():
		tip, err := u.read(ctx, made.parent)
		switch {
		case errors.Is(err, errMissing): // the server left it out, for the base has it
		case err != nil && !errors.Is(err, errBudget):
			return plumbing.ZeroHash, err
		case u.tip.String() != c.Replaces && (err != nil || !c.replaceable(tip)):
			return plumbing.ZeroHash, errorf(NotOurs, "the branch %s is at %s, which is not an earlier attempt at this commit; merge or delete the branch", printable(c.Branch), short(u.tip))
		case err == nil && made.same(tip):
			return u.tip, nil
		}
	}
	pack, err := made.pack()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return made.id, u.set(ctx, made.id, pack)
}

// advanced is for a branch of people's that is not at the base: it has moved on by an attempt at the same,
// whose answer was lost, or otherwise.
func (c Commit) advanced(ctx context.Context, u *update, made *change) (plumbing.Hash, error) {
	if u.tip.IsZero() {
		return plumbing.ZeroHash, errorf(ReferenceNotFound, "there is no branch %s; create it, or name another", printable(c.Branch))
	}
	if tip, err := u.read(ctx, made.parent); err == nil && c.replaceable(tip) && made.same(tip) {
		return u.tip, nil
	}
	return plumbing.ZeroHash, u.moved()
}

func deleteBranch(ctx context.Context, remote Remote, branch string, tip plumbing.Hash) error {
	if err := CheckBranch(branch); err != nil {
		return err
	}
	u, err := openUpdate(ctx, remote, branch)
	if err != nil {
		return err
	}
	defer u.close()
	switch {
	case u.tip.IsZero():
		return nil
	case u.tip != tip:
		return errorf(NotOurs, "the branch %s is at %s and not at %s, which we pushed; merge or delete it", printable(branch), short(u.tip), short(tip))
	case !u.refs.Capabilities.Supports(capability.DeleteRefs):
		return errorf(Refused, "the server lets nobody delete branches; delete the branch %s there", printable(branch))
	}
	return u.set(ctx, plumbing.ZeroHash, nil)
}

func short(id plumbing.Hash) string { return id.String()[:7] }

// update is the talk with a server about one branch.
type update struct {
	conn    connection
	session receiver
	refs    *packp.AdvRefs
	branch  string
	tip     plumbing.Hash // of the branch; zero if it is not there
}

// openUpdate asks where the branch is.
func openUpdate(ctx context.Context, remote Remote, branch string) (*update, error) {
	conn, err := connect(remote)
	if err != nil {
		return nil, err
	}
	u := &update{conn: conn, branch: branch}
	if u.session, u.refs, err = u.ask(ctx); err != nil {
		conn.close()
		return nil, err
	}
	u.tip = u.refs.References[branchRefs+branch]
	if other, found := inTheWay(u.refs.References, branch); found && u.tip.IsZero() {
		u.close()
		return nil, errorf(Refused, "the branch %s is in the way of %s; rename or delete it", printable(other), printable(branch))
	}
	return u, nil
}

func (u *update) close() {
	u.session.Close()
	u.conn.close()
}

func (u *update) ask(ctx context.Context) (receiver, *packp.AdvRefs, error) {
	s, err := u.conn.receive(ctx)
	if err != nil {
		return nil, nil, err
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, refs, nil
}

// read fetches the commit that the branch is at, aside from the mirror. The error is errMissing if
// it is in the history of the commit that we have.
func (u *update) read(ctx context.Context, have plumbing.Hash) (*gitobject.Commit, error) {
	if u.tip == have {
		return nil, errMissing
	}
	s, refs, err := u.conn.advertise(ctx)
	if err != nil {
		return nil, err
	}
	x := &exchange{conn: u.conn, session: s, refs: refs}
	defer x.close()
	if refs.References[branchRefs+u.branch] != u.tip {
		return nil, u.moved()
	}
	dir, err := os.MkdirTemp("", "sluice-tip-")
	if err != nil {
		return nil, storageError(err)
	}
	defer os.RemoveAll(dir)
	g, err := createGeneration(dir)
	if err != nil {
		return nil, err
	}
	defer func() { g.store.close() }()
	a := attempt{wants: []plumbing.Hash{u.tip}, haves: []plumbing.Hash{have}, limit: minBudget}
	if refs.Capabilities.Supports(capability.Shallow) {
		a.depth = 1
	}
	size, err := x.try(ctx, g, a)
	if err == nil && size == 0 {
		err = errorf(Network, "the server sent nothing of the branch %s; it is tried again", printable(u.branch))
	}
	if err != nil {
		return nil, err
	}
	return g.store.commit(u.tip)
}

// set has the server move the branch from where it was to a commit, or away. The server compares
// before it does.
func (u *update) set(ctx context.Context, to plumbing.Hash, pack io.ReadCloser) error {
	req := packp.NewReferenceUpdateRequestFromCapabilities(u.refs.Capabilities)
	name := plumbing.ReferenceName(branchRefs + u.branch)
	req.Commands = []*packp.Command{{Name: name, Old: u.tip, New: to}}
	req.Packfile = pack
	if to.IsZero() {
		_ = req.Capabilities.Set(capability.DeleteRefs)
	}
	if u.refs.Capabilities.Supports(capability.Sideband64k) {
		_ = req.Capabilities.Set(capability.Sideband64k)
	}
	said := &firstLines{}
	req.Progress = said
	report, err := u.session.ReceivePack(ctx, req)
	if report == nil {
		if err == nil {
			err = errorf(Network, "the server does not say whether it moved the branch; it is tried again")
		}
		return err
	}
	status := statusOf(report, name)
	if status == "" {
		return nil
	}
	if s, now, err := u.ask(ctx); err == nil {
		s.Close()
		if now.References[name.String()] != u.tip {
			return u.moved()
		}
	}
	return u.refused(status, said.String())
}

// statusOf is what a server has against an update; empty for nothing.
func statusOf(report *packp.ReportStatus, name plumbing.ReferenceName) string {
	const fine = "ok"
	if report.UnpackStatus != fine {
		return "it cannot use the pack: " + report.UnpackStatus
	}
	for _, s := range report.CommandStatuses {
		switch {
		case s.ReferenceName != name:
		case s.Status == fine:
			return ""
		default:
			return s.Status
		}
	}
	return "it did not say why"
}

func (u *update) moved() error {
	return errorf(Moved, "the branch %s moved while we looked at it; it is tried again", printable(u.branch))
}

// refused is the error for an update that the server does not want.
func (u *update) refused(status, said string) error {
	if said = strings.Join(strings.Fields(said), " "); said != "" {
		status += fmt.Sprintf(" (%s)", said)
	}
	may := "branches below " + Branches
	if !strings.HasPrefix(u.branch, Branches) {
		may = "to it"
	}
	return errorf(Refused, "the server refused the branch %s: %s; let the account of the Secret push %s, or see what the server checks", printable(u.branch), printable(status), may)
}

// reportIn takes the report out of an answer.
func reportIn(req *packp.ReferenceUpdateRequest, r io.Reader) io.Reader {
	if !req.Capabilities.Supports(capability.Sideband64k) {
		return r
	}
	d := sideband.NewDemuxer(sideband.Sideband64k, r)
	d.Progress = req.Progress
	return d
}
