package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// reader is a file that is read.
type reader = io.ReadCloser

// maxResumes is how often a file goes on where its connection broke.
const maxResumes = 10

// buffers are what files are read through, one at a time for each.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// readAll returns the sums of files, a few read at once, and those that are known not at all.
func (i *Inspector) readAll(ctx context.Context, s store, files []file) ([]sum, error) {
	sums := make([]sum, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(i.limits.Parallel)
	for n, f := range files {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			defer tame(&err)
			if sums[n], err = i.read(ctx, s, f); err != nil {
				return &fileError{f.name, err}
			}
			return nil
		})
	}
	return sums, group.Wait()
}

// read returns the sum of one file.
func (i *Inspector) read(ctx context.Context, s store, f file) (sum, error) {
	if f.size == 0 {
		return sha256.Sum256(nil), nil
	}
	key, tells := cacheKey(s.id(), f)
	if known, ok := i.cache.get(key); ok && tells {
		return known, nil
	}
	h := sha256.New()
	if err := readWhole(ctx, s, f, h); err != nil {
		return sum{}, err
	}
	result := sum(h.Sum(nil))
	if tells {
		i.cache.put(key, result)
	}
	return result, nil
}

// readWhole reads a file from beginning to end. Where the connection breaks, another goes on.
func readWhole(ctx context.Context, s store, f file, h hash.Hash) error {
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	var at int64
	for resumes := 0; ; resumes++ {
		n, err := readFrom(ctx, s, f, at, h, buffer[:])
		at += n
		switch {
		case err == nil && at == f.size:
			return nil
		case err == nil || at > f.size:
			return errChanged // shorter or longer
		case !broken(err) || n == 0 || at == f.size || resumes == maxResumes:
			return err
		}
	}
}

// readFrom reads from an offset to the end, and stops when there is more than was listed.
func readFrom(ctx context.Context, s store, f file, offset int64, h hash.Hash, buffer []byte) (int64, error) {
	r, err := s.open(ctx, f, offset)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var total int64
	for {
		n, err := r.Read(buffer)
		total += int64(n)
		if offset+total > f.size {
			return total, nil
		}
		h.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// broken tells whether another connection may go on where this one ended.
func broken(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
