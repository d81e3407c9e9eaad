package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// file is one file of an artifact as its store lists it.
type file struct {
	name     string // relative to the prefix; the last element of the path for a single object
	key      string // in the store
	size     int64
	tag      string // what changes with the content: an ETag or a generation
	modified time.Time
}

// listing is what an artifact consists of.
type listing struct {
	files  []file
	single bool // one object, and not everything below a prefix
}

// sum is a SHA-256.
type sum [sha256.Size]byte

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// check refuses names that cannot be written to a disk in just one way, and sizes that make no
// sense, and sorts the files by name.
func (l *listing) check() error {
	slices.SortFunc(l.files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	var total int64
	for n, f := range l.files {
		if problem := problemOf(f.name); problem != "" {
			return errorf(Invalid, "there is a file named %q: %s", printable(f.name), problem)
		}
		if n > 0 && f.name == l.files[n-1].name {
			return errorf(Invalid, "the store lists %q twice: check the endpoint", printable(f.name))
		}
		if f.size < 0 || f.size > math.MaxInt64-total {
			return errorf(Invalid, "the store says that %q has %d bytes: check the endpoint", printable(f.name), f.size)
		}
		total += f.size
	}
	return nil
}

func (l listing) size() int64 {
	var total int64
	for _, f := range l.files {
		total += f.size
	}
	return total
}

// fingerprint changes when any file may have changed. It is empty if the store gives no means
// to tell.
func (l listing) fingerprint(store string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %t\n", store, l.single)
	for _, f := range l.files {
		if f.tag == "" && f.modified.IsZero() {
			return ""
		}
		fmt.Fprintf(h, "%q %d %q %d\n", f.name, f.size, f.tag, f.modified.UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// digest is that of the artifact, of the sums of its files.
func (l listing) digest(sums []sum) string {
	if l.single {
		return "sha256:" + sums[0].String()
	}
	h := sha256.New()
	for n, f := range l.files {
		fmt.Fprintf(h, "%s  %d  %s\n", sums[n], f.size, f.name)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
