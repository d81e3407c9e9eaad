package gitrepo

import (
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-dev/sluice/agent"
)

// farthest is how many commits Origin goes back at most.
const farthest = 10_000

// Origin follows the first parents of the commit of a tree for as long as same holds of theirs, and
// returns the last one: the commit that brought what same asks for. A mirror does not have the whole
// history; what it does not have is taken to be different.
func (t *Tree) Origin(same func(agent.Tree) bool) string {
	at := t.commit
	for range farthest {
		c, err := t.store.commit(at)
		if err != nil || len(c.ParentHashes) == 0 {
			break
		}
		parent, err := t.store.commit(c.ParentHashes[0])
		if err != nil {
			break
		}
		if !same(t.at(parent.Hash, parent.TreeHash)) {
			break
		}
		at = parent.Hash
	}
	return at.String()
}

// at is the tree of another commit in the same store. It is good for comparing: whether it is whole is
// not known.
func (t *Tree) at(commit, root plumbing.Hash) *Tree {
	return &Tree{dir: t.dir, store: t.store, commit: commit, root: treeEntry{name: ".", mode: modeDir, id: root}, directories: map[plumbing.Hash]*directory{}}
}
