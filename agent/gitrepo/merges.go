package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// What is kept of merges. Each is a pack of its own, which only those open who read that merge, and which
// can go at any time: they cost the others nothing, and no new generation.
const (
	maxMerges           = 500
	maxMergeBytes int64 = 256 << 20

	mergePrefix = "merge-"
)

// mergeFile is the name of a merge's pack without its extension.
func mergeFile(dir, commit string) string { return filepath.Join(packDir(dir), mergePrefix+commit) }

// mergeIndexes returns the name of the index of a merge that was made in a repository, if it was.
func mergeIndexes(dir, commit string) []string {
	if len(commit) != 2*idSize || !plumbing.IsHash(commit) {
		return nil
	}
	index := mergeFile(dir, commit) + ".idx"
	if _, err := os.Stat(index); err != nil {
		return nil
	}
	return []string{index}
}

// keep writes a merge, if it is not there, and makes it the last one to go.
func (g *generation) keep(ctx context.Context, commit plumbing.Hash, made *newObjects) error {
	base := mergeFile(g.dir, commit.String())
	if len(mergeIndexes(g.dir, commit.String())) == 0 {
		if err := g.write(ctx, base, made); err != nil {
			return err
		}
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(base+".pack", now, now), g.forget(base)); err != nil {
		return storageError(err)
	}
	return nil
}

// write writes new objects as a pack.
func (g *generation) write(ctx context.Context, base string, made *newObjects) error {
	pack, err := made.pack()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(packDir(g.dir), "tmp_pack_")
	if err != nil {
		return storageError(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, pack); err != nil {
		return storageError(err)
	}
	index, err := indexPack(ctx, f)
	if err == nil {
		_, err = moveIn(f, index, base)
	}
	return err
}

// forget removes the oldest merges where there are too many, but never the one that is named; and what
// a crash left of one.
func (g *generation) forget(but string) error {
	packs, err := filepath.Glob(mergeFile(g.dir, "*.pack"))
	if err != nil {
		return err
	}
	type file struct {
		base string
		info fs.FileInfo
	}
	var files []file
	for _, name := range packs {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		files = append(files, file{strings.TrimSuffix(name, ".pack"), info})
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), strings.Compare(a.base, b.base))
	})
	var bytes int64
	for i, f := range files {
		bytes += f.info.Size()
		_, broken := os.Stat(f.base + ".idx")
		if f.base == but || i < maxMerges && bytes <= maxMergeBytes && broken == nil {
			continue
		}
		// The index goes first: without it nobody looks at the pack.
		if err := os.Remove(f.base + ".idx"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Remove(f.base + ".pack"); err != nil {
			return err
		}
	}
	return nil
}
