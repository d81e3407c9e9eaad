package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Mirror is the local copy of one remote repository. Only one process may have it open;
// within that, it may be used from several goroutines, which take turns. Another remote
// URL wants another directory.
type Mirror struct {
	dir  string
	turn chan struct{} // holds one token; a channel, so that waiting ends with the context
	gen  *generation   // the current one, nil until it is needed
}

// Open opens the mirror in a directory and creates that if it does not exist. What an
// interrupted fetch left behind is removed; a damaged mirror is no error here.
func Open(dir string) (*Mirror, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, storageError(err)
	}
	for _, pattern := range []string{"new-*", "*.git/tmp_*", "*.git/objects/pack/tmp_*"} {
		leftovers, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, storageError(err)
		}
		for _, name := range leftovers {
			if err := os.RemoveAll(name); err != nil {
				return nil, storageError(err)
			}
		}
	}
	return &Mirror{dir: dir, turn: make(chan struct{}, 1)}, nil
}

// lock waits for the mirror as long as the context allows.
func (m *Mirror) lock(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Mirror) unlock() { <-m.turn }

// current returns the newest generation, or nil if there is none that can be used.
func (m *Mirror) current() *generation {
	if m.gen != nil && !m.gen.usable() {
		m.gen.store.close()
		m.gen = nil
	}
	if dirs := generations(m.dir); m.gen == nil && len(dirs) > 0 {
		m.gen, _ = openGeneration(dirs[0])
	}
	return m.gen
}

// generations lists the directories of a mirror's generations, newest first.
func generations(dir string) []string {
	dirs, err := filepath.Glob(filepath.Join(dir, "[0-9]*.git"))
	if err != nil {
		return nil
	}
	slices.Sort(dirs)
	slices.Reverse(dirs)
	return dirs
}

// adopt makes a generation that was built aside the current one, and removes all but the
// one before it.
func (m *Mirror) adopt(g *generation) error {
	older := generations(m.dir)
	number := 0
	if len(older) > 0 {
		fmt.Sscanf(filepath.Base(older[0]), "%d.git", &number)
	}
	dir := filepath.Join(m.dir, fmt.Sprintf("%06d.git", number+1))
	if err := os.Rename(g.dir, dir); err != nil {
		return storageError(err)
	}
	if m.gen != nil {
		m.gen.store.close()
	}
	g.dir, m.gen = dir, g
	for _, old := range older[min(1, len(older)):] {
		if err := os.RemoveAll(old); err != nil {
			return storageError(err)
		}
	}
	return nil
}

// OpenTree opens the files of a commit that was fetched into the mirror at dir. It may be
// called in another process than the one that fetches.
func OpenTree(dir, commit string) (*Tree, error) {
	// A generation can be removed between being listed and being opened; the next look
	// then finds its successors.
	for range 3 {
		t, err := openTree(dir, commit)
		if !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
	}
	return nil, errNotFetched(commit)
}

func openTree(dir, commit string) (*Tree, error) {
	for _, g := range generations(dir) {
		tips, err := readTips(g)
		if err != nil {
			continue
		}
		var merges []string
		if !slices.ContainsFunc(tips, isCommit(commit)) {
			if merges = mergeIndexes(g, commit); len(merges) == 0 {
				continue
			}
		}
		t, err := newTree(g, commit, merges...)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		if isDamage(err) {
			markDamaged(g)
			continue
		}
		return nil, storageError(err)
	}
	return nil, errNotFetched(commit)
}

func errNotFetched(commit string) error {
	return errorf(NotFetched, "the commit %s is not in the mirror; fetch it", printable(commit))
}

// isDamage tells whether an error means that a repository is not what it was written as.
func isDamage(err error) bool { return errors.Is(err, errDamaged) || errors.Is(err, errMissing) }
