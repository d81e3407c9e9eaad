package gitrepo

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

var (
	// errMissing: an object is in no pack.
	errMissing = errors.New("object missing")
	// errTooBig: an object is larger than the reader allows.
	errTooBig = errors.New("object too large")
	// errDamaged: a pack holds what no pack can hold.
	errDamaged = errors.New("damaged pack")
)

// maxChain bounds a chain of deltas; git itself writes no longer ones.
const maxChain = 4095

// store reads objects from the packs of one directory, or from a clone. It sees the packs that
// were there when it was opened, keeps their files open, and may be used from several
// goroutines.
type store struct {
	packs []*pack
	bases baseCache
	clone *clone // instead of packs
}

// openStore opens all packs of a repository.
func openStore(dir string) (*store, error) {
	indexes, err := filepath.Glob(filepath.Join(packDir(dir), "pack-*.idx"))
	if err != nil {
		return nil, err
	}
	s := &store{}
	for _, index := range indexes {
		if err := s.add(index); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func packDir(dir string) string { return filepath.Join(dir, "objects", "pack") }

// add opens one more pack, by the name of its index.
func (s *store) add(index string) error {
	p, err := openPack(index)
	if err != nil {
		return err
	}
	s.packs = append(s.packs, p)
	return nil
}

func (s *store) close() {
	for _, p := range s.packs {
		p.file.Close()
	}
	s.packs = nil
}

// find looks an object up, in the newest pack first: that is where new commits are.
func (s *store) find(id plumbing.Hash) (*pack, int64, bool) {
	for _, p := range slices.Backward(s.packs) {
		if offset, ok := p.find(id); ok {
			return p, offset, true
		}
	}
	return nil, 0, false
}

func (s *store) has(id plumbing.Hash) bool {
	_, _, ok := s.find(id)
	return ok
}

// read returns an object of at most limit bytes.
func (s *store) read(id plumbing.Hash, limit int64) (plumbing.ObjectType, []byte, error) {
	if s.clone != nil {
		return s.clone.read(id, limit)
	}
	p, offset, ok := s.find(id)
	if !ok {
		return 0, nil, errMissing
	}
	return s.readAt(p, offset, limit, 0)
}

// readAs is read for an object that has to be of one type.
func (s *store) readAs(want plumbing.ObjectType, id plumbing.Hash, limit int64) ([]byte, error) {
	kind, content, err := s.read(id, limit)
	if err == nil && kind != want {
		err = fmt.Errorf("%w: %s is a %s and not a %s", errDamaged, id, kind, want)
	}
	return content, err
}

func (s *store) readAt(p *pack, offset, limit int64, depth int) (plumbing.ObjectType, []byte, error) {
	e, err := p.entry(offset)
	if err != nil {
		return 0, nil, err
	}
	if e.size > limit {
		return 0, nil, errTooBig
	}
	content, err := p.inflate(e.data, e.size)
	if err != nil || !e.isDelta() {
		return e.kind, content, err
	}
	if _, size := deltaSizes(content); size > limit {
		return 0, nil, errTooBig
	}
	kind, base, err := s.base(p, e, limit, depth)
	if err != nil {
		return 0, nil, err
	}
	content, err = packfile.PatchDelta(base, content)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return kind, content, nil
}

// base returns the object that a delta changes.
func (s *store) base(p *pack, e entry, limit int64, depth int) (plumbing.ObjectType, []byte, error) {
	if depth == maxChain {
		return 0, nil, errDamaged
	}
	if e.kind == plumbing.REFDeltaObject {
		offset, ok := p.find(e.baseID)
		if !ok {
			return 0, nil, errMissing
		}
		e.base = offset
	}
	place := place{p, e.base}
	if o, ok := s.bases.get(place); ok {
		return o.kind, o.content, nil
	}
	// A base may be larger than what is made of it, so it gets the limit of all objects.
	kind, content, err := s.readAt(p, e.base, max(limit, maxObject), depth+1)
	if err == nil {
		s.bases.put(place, object{kind, content})
	}
	return kind, content, err
}

// size returns the size of an object without reading all of it.
func (s *store) size(id plumbing.Hash) (int64, error) {
	if s.clone != nil {
		return s.clone.size(id)
	}
	p, offset, ok := s.find(id)
	if !ok {
		return 0, errMissing
	}
	e, err := p.entry(offset)
	if err != nil || !e.isDelta() {
		return e.size, err
	}
	delta, err := p.inflate(e.data, e.size)
	if err != nil {
		return 0, err
	}
	_, size := deltaSizes(delta)
	return size, nil
}

// place is where an object is; object is what is there.
type (
	place struct {
		pack   *pack
		offset int64
	}
	object struct {
		kind    plumbing.ObjectType
		content []byte
	}
)

// baseCache remembers the bases of deltas: neighbours in a pack share them. When it is
// full it forgets everything, which costs less than knowing what to forget.
type baseCache struct {
	mu    sync.Mutex
	held  map[place]object
	bytes int
}

const maxBases = 16 << 20

func (c *baseCache) get(at place) (object, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.held[at]
	return o, ok
}

func (c *baseCache) put(at place, o object) {
	if len(o.content) > maxBases/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil || c.bytes+len(o.content) > maxBases {
		c.held, c.bytes = map[place]object{}, 0
	}
	c.held[at] = o
	c.bytes += len(o.content)
}
