package gitrepo

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-dev/sluice/agent"
)

// maxCommit bounds a commit or tag object.
const maxCommit = 1 << 20

// peel follows annotated tags to a commit.
func (s *store) peel(id plumbing.Hash) (plumbing.Hash, error) {
	for range 10 {
		kind, content, err := s.read(id, maxCommit)
		switch {
		case err != nil:
			return id, err
		case kind == plumbing.CommitObject:
			return id, nil
		case kind != plumbing.TagObject:
			return id, errorf(ReferenceNotFound, "the reference points at a %s and not at a commit; correct it", kind)
		}
		line, _, _ := bytes.Cut(content, []byte("\n"))
		next, ok := strings.CutPrefix(string(line), "object ")
		if !ok || !plumbing.IsHash(next) {
			return id, fmt.Errorf("%w: tag %s", errDamaged, id)
		}
		id = plumbing.NewHash(next)
	}
	return id, errorf(ReferenceNotFound, "the tag points at a tag, and so on without an end; correct it")
}

// commit reads a commit.
func (s *store) commit(id plumbing.Hash) (*gitobject.Commit, error) {
	content, err := s.readAs(plumbing.CommitObject, id, maxCommit)
	if err != nil {
		return nil, err
	}
	o := &plumbing.MemoryObject{}
	o.SetType(plumbing.CommitObject)
	if _, err := o.Write(content); err != nil {
		return nil, err
	}
	c := &gitobject.Commit{}
	if err := c.Decode(o); err != nil {
		return nil, fmt.Errorf("%w: commit %s: %w", errDamaged, id, err)
	}
	return c, nil
}

// revision describes a commit that was found through a name.
func (s *store) revision(name string, id plumbing.Hash) (agent.Revision, error) {
	c, err := s.commit(id)
	if err != nil {
		return agent.Revision{}, err
	}
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return agent.Revision{Name: name, Commit: id.String(), Time: c.Committer.When.UTC(), Subject: printable(subject)}, nil
}

// whole tells whether every object of a commit's tree is there, given that those of
// another commit's tree are; that one may be zero. Only what differs is looked at.
func (s *store) whole(id, known plumbing.Hash) error {
	c, err := s.commit(id)
	if err != nil {
		return err
	}
	var knownTree plumbing.Hash
	if k, err := s.commit(known); err == nil {
		knownTree = k.TreeHash
	}
	return s.wholeTree(c.TreeHash, knownTree, map[plumbing.Hash]bool{}, 0)
}

// wholeTree is whole for a tree. Trees that were seen are not looked at again, or a small
// commit could make for endless work.
func (s *store) wholeTree(id, known plumbing.Hash, seen map[plumbing.Hash]bool, depth int) error {
	if id == known || seen[id] {
		return nil
	}
	seen[id] = true
	if depth > maxDepth {
		return errorf(TooLarge, "the repository has directories nested more than %d deep; flatten them", maxDepth)
	}
	d, err := s.directory(id)
	if err != nil {
		return err
	}
	// If the other one cannot be read there is nothing to compare with; all is looked at.
	before, _ := s.directory(known)
	for _, e := range d.entries {
		old := before.find(e.name)
		switch {
		case e.mode == modeSubmodule || e.id == old.id:
		case e.mode != modeDir:
			if !s.has(e.id) {
				return errMissing
			}
		default:
			if old.mode != modeDir {
				old.id = plumbing.ZeroHash
			}
			if err := s.wholeTree(e.id, old.id, seen, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
