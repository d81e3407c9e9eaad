package gitrepo

import (
	"sync"
	"time"
)

// keepTree is how long a tree stays open after it was used last.
const keepTree = 10 * time.Second

// Trees keeps the tree of each mirror that was opened last, for the many who look at the same
// commit: what one of them has read of its directories, the others need not read again. It
// may be used from several goroutines; its zero value is ready.
type Trees struct {
	mu   sync.Mutex
	last map[string]*sharedTree // by the directory of the mirror
}

type sharedTree struct {
	tree   *Tree
	commit string
	users  int
	since  time.Time // it has had no users
}

// Open returns the files of a commit, as OpenTree does, and a function that gives them back.
func (t *Trees) Open(dir, commit string) (*Tree, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared := t.last[dir]
	if shared == nil || shared.commit != commit {
		tree, err := OpenTree(dir, commit)
		if err != nil {
			return nil, nil, err
		}
		t.drop(dir)
		shared = &sharedTree{tree: tree, commit: commit}
		if t.last == nil {
			t.last = map[string]*sharedTree{}
		}
		t.last[dir] = shared
	}
	shared.users++
	return shared.tree, sync.OnceFunc(func() { t.giveBack(dir, shared) }), nil
}

// drop closes the tree of a mirror as soon as nobody uses it.
func (t *Trees) drop(dir string) {
	if shared := t.last[dir]; shared != nil && shared.users == 0 {
		_ = shared.tree.Close()
	}
	delete(t.last, dir)
}

func (t *Trees) giveBack(dir string, shared *sharedTree) {
	t.mu.Lock()
	defer t.mu.Unlock()
	shared.users--
	switch {
	case shared.users > 0:
	case t.last[dir] != shared:
		_ = shared.tree.Close()
	default:
		shared.since = time.Now()
		time.AfterFunc(keepTree, func() { t.expire(dir, shared) })
	}
}

func (t *Trees) expire(dir string, shared *sharedTree) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last[dir] == shared && shared.users == 0 && time.Since(shared.since) >= keepTree {
		t.drop(dir)
	}
}
