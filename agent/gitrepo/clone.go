package gitrepo

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/sluice-dev/sluice/agent"
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

// OpenFiles opens files wherever they are: those of a commit in the mirror at dir, or in the clone there
// if it is one; without a commit, those of the directory as they are on disk. Whoever is done with them
// calls done.
func OpenFiles(dir, commit string) (files agent.Tree, done func(), err error) {
	if commit == "" {
		files, err = WorkTree(dir)
		return files, func() {}, err
	}
	open := OpenTree
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		open = openClone
	}
	tree, err := open(dir, commit)
	if err != nil {
		return nil, nil, err
	}
	return tree, func() { _ = tree.Close() }, nil
}

// WorkTree is a directory as it is on disk. No link leads out of it.
func WorkTree(dir string) (agent.Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return root.FS().(agent.Tree), nil
}

// openClone opens a commit of the clone at dir, which may be a linked work tree.
func openClone(dir, commit string) (*Tree, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return nil, errorf(Storage, "the clone at %s cannot be read (%s)", printable(dir), printable(err.Error()))
	}
	id := plumbing.NewHash(commit)
	c, err := repo.CommitObject(id)
	if err != nil {
		return nil, explainClone(id, err)
	}
	return CloneTree(repo.Storer, c), nil
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
