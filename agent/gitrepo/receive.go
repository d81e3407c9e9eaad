package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// Limits on what a server may send.
const (
	maxPack     int64 = 4 << 30   // a pack as it is transferred
	maxObject   int64 = 256 << 20 // one object; indexing holds one or two in memory
	maxInflated int64 = 16 << 30  // all objects of a pack
	minEntry    int64 = 9         // the least bytes an object of a pack can have
)

// errBudget: a pack grew larger than this attempt was allowed.
var errBudget = errorf(TooLarge, "the pack is larger than %d MiB; remove large files from the repository's history", maxPack>>20)

// receive takes a pack from r into the repository at dir and returns the name of its
// index, or "" for a pack without objects, and how many bytes came.
func receive(ctx context.Context, dir string, r io.Reader, limit int64) (index string, n int64, err error) {
	f, err := os.CreateTemp(packDir(dir), "tmp_pack_")
	if err != nil {
		return "", 0, storageError(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err = io.Copy(f, &limitedReader{r, limit, errBudget})
	if err != nil {
		return "", n, err
	}
	count, err := inspect(ctx, f, n)
	if err != nil || count == 0 {
		return "", n, err
	}
	index, err = install(ctx, dir, f)
	return index, n, err
}

// inspect reads a whole pack once and refuses it before anything is built from it: the
// library that indexes it believes the counts and sizes that are written there.
func inspect(ctx context.Context, f *os.File, size int64) (count uint32, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, storageError(err)
	}
	s := packfile.NewScanner(f)
	_, count, err = s.Header()
	if err != nil || int64(count) > size/minEntry {
		return 0, brokenPack(err)
	}
	var total int64
	for range count {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		length, err := inspectObject(s)
		if err != nil {
			return 0, err
		}
		if total += length; total > maxInflated {
			return 0, errorf(TooLarge, "the pack unfolds to more than %d GiB; remove large files from the repository's history", maxInflated>>30)
		}
	}
	if _, err := s.Checksum(); err != nil {
		return 0, brokenPack(err)
	}
	return count, nil
}

// inspectObject reads the next object and returns its size, for a delta that of its result.
func inspectObject(s *packfile.Scanner) (int64, error) {
	h, err := s.NextObjectHeader()
	if err != nil {
		return 0, brokenPack(err)
	}
	var head prefix
	if h.Length <= maxObject {
		if n, _, err := s.NextObject(&head); err != nil || n != h.Length {
			return 0, brokenPack(err)
		}
	}
	length := h.Length
	if h.Type.IsDelta() {
		base, result := deltaSizes(head.bytes)
		length = max(base, result, length)
	}
	if length > maxObject {
		return 0, errorf(TooLarge, "the repository has a file of %d MiB, more than the %d MiB allowed; keep it outside of Git, or in Git LFS", length>>20, maxObject>>20)
	}
	return length, nil
}

// brokenPack is the error for a pack that is not one, most likely because the transfer
// was cut.
func brokenPack(err error) error {
	if err == nil {
		err = errDamaged
	}
	return &Error{Kind: Network, Message: "the server sent a damaged or truncated pack (" + printable(err.Error()) + "); it is tried again", Err: errDamaged}
}

// prefix keeps the beginning of what is written to it.
type prefix struct{ bytes []byte }

func (p *prefix) Write(b []byte) (int, error) {
	const enough = 20
	p.bytes = append(p.bytes, b[:min(len(b), enough-len(p.bytes))]...)
	return len(b), nil
}

// install indexes a pack and moves it into place.
func install(ctx context.Context, dir string, f *os.File) (string, error) {
	index, err := indexPack(ctx, f)
	if err != nil {
		return "", err
	}
	return moveIn(f, index, filepath.Join(packDir(dir), "pack-"+plumbing.Hash(index.PackfileChecksum).String()))
}

// moveIn moves a pack into place with its index, whose name it returns. The index comes last: a pack
// without one is not looked at.
func moveIn(f *os.File, index *idxfile.MemoryIndex, base string) (string, error) {
	var encoded bytes.Buffer
	if _, err := idxfile.NewEncoder(&encoded).Encode(index); err != nil {
		return "", storageError(err)
	}
	// On some file systems the data may otherwise come to the disk after the names.
	err := errors.Join(f.Sync(), f.Chmod(0o444), os.Rename(f.Name(), base+".pack"))
	if err == nil {
		err = writeFile(base+".idx", encoded.Bytes())
	}
	if err != nil {
		return "", storageError(err)
	}
	return base + ".idx", nil
}

func indexPack(ctx context.Context, f *os.File) (*idxfile.MemoryIndex, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, storageError(err)
	}
	var w idxfile.Writer
	parser, err := packfile.NewParser(packfile.NewScanner(f), &w, &observer{ctx: ctx})
	if err != nil {
		return nil, brokenPack(err)
	}
	if _, err := parser.Parse(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, brokenPack(err)
	}
	return w.Index()
}

// observer ends the indexing of a pack when the context ends.
type observer struct{ ctx context.Context }

func (o *observer) OnHeader(uint32) error        { return nil }
func (o *observer) OnFooter(plumbing.Hash) error { return nil }
func (o *observer) OnInflatedObjectHeader(plumbing.ObjectType, int64, int64) error {
	return o.ctx.Err()
}
func (o *observer) OnInflatedObjectContent(plumbing.Hash, int64, uint32, []byte) error { return nil }

// writeFile writes a file that is either not there or whole.
func writeFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "tmp_")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}
