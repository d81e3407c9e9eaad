package gitrepo

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
)

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

// deltaSizes reads the sizes of base and result, which a delta begins with.
func deltaSizes(delta []byte) (base, result int64) {
	b, n := binary.Uvarint(delta)
	if n <= 0 {
		return 0, 0
	}
	r, _ := binary.Uvarint(delta[n:])
	return int64(min(b, 1<<62)), int64(min(r, 1<<62))
}
