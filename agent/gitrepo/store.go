package gitrepo

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// store reads objects from the packs of one directory. It sees the packs that were there
// when it was opened, keeps their files open, and may be used from several goroutines.
type store struct {
	packs []*pack
	bases baseCache
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

// size returns the type and size of an object without reading all of it.
func (s *store) size(id plumbing.Hash) (int64, error) {
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

// deltaSizes reads the sizes of base and result, which a delta begins with.
func deltaSizes(delta []byte) (base, result int64) {
	b, n := binary.Uvarint(delta)
	if n <= 0 {
		return 0, 0
	}
	r, _ := binary.Uvarint(delta[n:])
	return int64(min(b, 1<<62)), int64(min(r, 1<<62))
}

// pack is one open pack with its index in memory.
type pack struct {
	file  *os.File
	size  int64
	names []byte // sorted object ids
	fan   []byte // how many ids begin with at most this byte
	small []byte // offsets, 4 bytes each
	large []byte // offsets too large for 4 bytes
}

const (
	idSize     = 20
	fanStart   = 8
	namesStart = fanStart + 256*4
)

// openPack reads an index, version 2, and opens its pack.
func openPack(index string) (*pack, error) {
	raw, err := os.ReadFile(index)
	if err != nil {
		return nil, err
	}
	if len(raw) < namesStart+2*idSize || string(raw[:fanStart]) != "\xfftOc\x00\x00\x00\x02" {
		return nil, fmt.Errorf("%w: %s is no index", errDamaged, filepath.Base(index))
	}
	count := int(binary.BigEndian.Uint32(raw[namesStart-4:]))
	smallStart := namesStart + count*(idSize+4)
	largeStart := smallStart + count*4
	if largeStart > len(raw)-2*idSize {
		return nil, fmt.Errorf("%w: %s is too short", errDamaged, filepath.Base(index))
	}
	p := &pack{
		fan:   raw[fanStart:namesStart],
		names: raw[namesStart : namesStart+count*idSize],
		small: raw[smallStart:largeStart],
		large: raw[largeStart : len(raw)-2*idSize],
	}
	p.file, err = os.Open(strings.TrimSuffix(index, ".idx") + ".pack")
	if err != nil {
		return nil, err
	}
	info, err := p.file.Stat()
	if err != nil {
		p.file.Close()
		return nil, err
	}
	p.size = info.Size()
	return p, nil
}

// find returns where in the pack an object begins.
func (p *pack) find(id plumbing.Hash) (int64, bool) {
	low, high := 0, p.below(id[0])
	if id[0] > 0 {
		low = p.below(id[0] - 1)
	}
	for low < high {
		middle := (low + high) / 2
		if (middle+1)*idSize > len(p.names) {
			return 0, false
		}
		switch bytes.Compare(p.names[middle*idSize:(middle+1)*idSize], id[:]) {
		case 0:
			return p.offset(middle), true
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return 0, false
}

func (p *pack) below(first byte) int { return int(binary.BigEndian.Uint32(p.fan[int(first)*4:])) }

// offset returns the offset of the n-th object; one outside of the pack is found when it
// is read.
func (p *pack) offset(n int) int64 {
	offset := binary.BigEndian.Uint32(p.small[n*4:])
	if offset>>31 == 0 {
		return int64(offset)
	}
	at := int(offset&^(1<<31)) * 8
	if at+8 > len(p.large) {
		return -1
	}
	return int64(binary.BigEndian.Uint64(p.large[at:]))
}

// entry is the head of an object in a pack.
type entry struct {
	kind   plumbing.ObjectType
	size   int64 // of what is packed: the object, or the delta
	base   int64 // offset of the base of a delta
	baseID plumbing.Hash
	data   int64 // offset of the compressed content
}

func (e entry) isDelta() bool { return e.kind.IsDelta() }

// entry reads the head of the object at an offset.
func (p *pack) entry(offset int64) (entry, error) {
	var buf [64]byte
	n, err := p.file.ReadAt(buf[:], max(offset, 0))
	if offset < 0 || n == 0 {
		return entry{}, fmt.Errorf("%w: no object at %d: %w", errDamaged, offset, err)
	}
	head := buf[:n]
	e := entry{kind: plumbing.ObjectType(head[0] >> 4 & 7), size: int64(head[0] & 15)}
	i := 1
	for shift := 4; head[i-1]&0x80 != 0; i, shift = i+1, shift+7 {
		if i == len(head) || shift > 56 {
			return entry{}, errDamaged
		}
		e.size |= int64(head[i]&0x7f) << shift
	}
	switch e.kind {
	case plumbing.OFSDeltaObject:
		back, n := backward(head[i:])
		if n == 0 || back <= 0 || back > offset {
			return entry{}, errDamaged
		}
		e.base, i = offset-back, i+n
	case plumbing.REFDeltaObject:
		i += copy(e.baseID[:], head[i:])
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	default:
		return entry{}, errDamaged
	}
	e.data = offset + int64(i)
	return e, nil
}

// backward reads how far before a delta its base is, and how many bytes say so.
func backward(b []byte) (distance int64, n int) {
	for i, c := range b {
		distance = distance<<7 | int64(c&0x7f)
		if c&0x80 == 0 {
			return distance, i + 1
		}
		if i == 8 {
			break
		}
		distance++
	}
	return 0, 0
}

// inflater is the machinery of one decompression, reused because it is large.
type inflater struct {
	buffer *bufio.Reader
	zlib   io.ReadCloser
}

var inflaters = sync.Pool{New: func() any { return &inflater{buffer: bufio.NewReaderSize(nil, 4<<10)} }}

// inflate decompresses what begins at an offset and has to become size bytes.
func (p *pack) inflate(offset, size int64) ([]byte, error) {
	in := inflaters.Get().(*inflater)
	defer inflaters.Put(in)
	in.buffer.Reset(io.NewSectionReader(p.file, offset, p.size-offset))
	var err error
	if in.zlib == nil {
		in.zlib, err = zlib.NewReader(in.buffer)
	} else {
		err = in.zlib.(zlib.Resetter).Reset(in.buffer, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	// One byte more than promised, so that the checksum at the end is read and a longer
	// content is noticed.
	content := make([]byte, size+1)
	n, err := io.ReadFull(in.zlib, content)
	if int64(n) != size || err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return content[:size:size], nil
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
