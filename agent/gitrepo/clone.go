package gitrepo

import (
	"errors"
	"io"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// clone reads the objects of a repository that git itself keeps: loose ones, packs, and what
// it borrows from others. go-git does not do that for two goroutines at once.
type clone struct {
	mu      sync.Mutex
	objects storer.EncodedObjectStorer
}

// CloneTree returns the files of a commit in somebody's clone, by the same rules as those of a
// mirror. Nothing is written to the clone, and there is nothing to close.
func CloneTree(objects storer.EncodedObjectStorer, commit *gitobject.Commit) *Tree {
	return &Tree{
		store:       &store{clone: &clone{objects: objects}},
		root:        treeEntry{name: ".", mode: modeDir, id: commit.TreeHash},
		time:        commit.Committer.When.UTC(),
		directories: map[plumbing.Hash]*directory{},
	}
}

func (c *clone) read(id plumbing.Hash, limit int64) (plumbing.ObjectType, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.objects.EncodedObject(plumbing.AnyObject, id)
	if err != nil {
		return 0, nil, explainClone(id, err)
	}
	if o.Size() > limit {
		return 0, nil, errTooBig
	}
	r, err := o.Reader()
	if err != nil {
		return 0, nil, explainClone(id, err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return 0, nil, explainClone(id, err)
	}
	return o.Type(), content, nil
}

func (c *clone) size(id plumbing.Hash) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, err := c.objects.EncodedObjectSize(id)
	return size, explainClone(id, err)
}

// explainClone says what to do about a clone, which no fetch of ours mends.
func explainClone(id plumbing.Hash, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return errorf(NotFetched, "this clone does not have the object %s, as it is a partial one or damaged: use a full clone", id)
	}
	return errorf(Storage, "the object %s of this clone cannot be read (%s): look with git fsck", id, printable(err.Error()))
}
