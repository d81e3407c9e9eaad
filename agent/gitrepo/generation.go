package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Files of a generation next to what Git has there.
const (
	tipsFile    = "tips"
	damagedFile = "damaged"
)

// generation is one bare repository of a mirror, open for fetching into it.
type generation struct {
	dir   string
	store *store
	tips  []plumbing.Hash // commits that are whole, oldest first
}

// createGeneration makes an empty repository. It is enough of one for the git command to
// look into it.
func createGeneration(dir string) (*generation, error) {
	err := errors.Join(
		os.MkdirAll(packDir(dir), 0o700),
		os.MkdirAll(filepath.Join(dir, "refs"), 0o700),
		os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/none\n"), 0o600),
	)
	if err != nil {
		return nil, storageError(err)
	}
	return &generation{dir: dir, store: &store{}}, nil
}

// openGeneration opens a repository of a mirror and makes sure that it can be read.
func openGeneration(dir string) (*generation, error) {
	tips, err := readTips(dir)
	if err != nil {
		return nil, err
	}
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	if _, err := s.commit(tips[len(tips)-1]); err != nil {
		s.close()
		return nil, err
	}
	return &generation{dir: dir, store: s, tips: tips}, nil
}

// readTips lists the commits that are whole in the repository at dir, which is none if it
// is damaged.
func readTips(dir string) ([]plumbing.Hash, error) {
	if _, err := os.Stat(filepath.Join(dir, damagedFile)); err == nil {
		return nil, fmt.Errorf("%w: %s", errDamaged, dir)
	}
	raw, err := os.ReadFile(filepath.Join(dir, tipsFile))
	if err != nil {
		return nil, err
	}
	var tips []plumbing.Hash
	for line := range strings.Lines(string(raw)) {
		tip := strings.TrimSpace(line)
		if !plumbing.IsHash(tip) {
			return nil, fmt.Errorf("%w: %s", errDamaged, tipsFile)
		}
		tips = append(tips, plumbing.NewHash(tip))
	}
	if len(tips) == 0 {
		return nil, fmt.Errorf("%w: no %s", errDamaged, tipsFile)
	}
	return tips, nil
}

// markDamaged notes that a repository could not be read, for the next fetch to replace it. A
// clone, which has no generation, is left to its owner.
func markDamaged(dir string) {
	if dir == "" {
		return
	}
	if f, err := os.OpenFile(filepath.Join(dir, damagedFile), os.O_CREATE, 0o600); err == nil {
		f.Close()
	}
}

// usable tells whether the repository is still there and nobody found it damaged.
func (g *generation) usable() bool {
	_, gone := os.Stat(filepath.Join(g.dir, tipsFile))
	_, damaged := os.Stat(filepath.Join(g.dir, damagedFile))
	return gone == nil && errors.Is(damaged, fs.ErrNotExist)
}

// have returns the commit that an object id stands for if all of it is there.
func (g *generation) have(id plumbing.Hash) (commit plumbing.Hash, ok bool, err error) {
	commit, err = g.store.peel(id)
	if err == nil && !slices.Contains(g.tips, commit) {
		if err = g.store.whole(commit, g.newest()); err == nil {
			err = g.addTip(commit)
		}
	}
	if errors.Is(err, errMissing) {
		return commit, false, nil
	}
	return commit, err == nil, err
}

// lacks returns the first of several commits that is not all there, if there is one.
func (g *generation) lacks(targets []target) (target, bool, error) {
	for _, t := range targets {
		if _, ok, err := g.have(t.id); !ok || err != nil {
			return t, true, err
		}
	}
	return target{}, false, nil
}

// newest is the commit that was fetched last, or zero.
func (g *generation) newest() plumbing.Hash {
	if len(g.tips) == 0 {
		return plumbing.ZeroHash
	}
	return g.tips[len(g.tips)-1]
}

// addTip records that a commit is whole.
func (g *generation) addTip(commit plumbing.Hash) error {
	tips := append(slices.Clone(g.tips), commit)
	var b strings.Builder
	for _, tip := range tips {
		b.WriteString(tip.String() + "\n")
	}
	if err := writeFile(filepath.Join(g.dir, tipsFile), []byte(b.String())); err != nil {
		return storageError(err)
	}
	g.tips = tips
	return nil
}

// size returns the bytes of all packs and of the largest, which is about what a clone takes.
func (g *generation) size() (all, largest int64) {
	for _, p := range g.store.packs {
		all += p.size
		largest = max(largest, p.size)
	}
	return all, largest
}

// full tells whether it is time for a new generation. A large repository may pile up more
// packs, for it is dearer to clone.
func (g *generation) full() bool {
	all, largest := g.size()
	return all > 2*largest+maxSlack || len(g.store.packs) > int(min(maxPacks+largest>>20, 10*maxPacks))
}

// What a generation may grow to beyond one clone.
const (
	maxPacks       = 100
	maxSlack int64 = 64 << 20
)
