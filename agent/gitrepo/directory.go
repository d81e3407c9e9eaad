package gitrepo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Limits on trees.
const (
	maxDirectory = 64 << 20 // bytes of one directory
	maxDepth     = 512      // directories in directories
)

// mode is what a tree says an entry is.
type mode string

const (
	modeDir       mode = "40000"
	modeLink      mode = "120000"
	modeSubmodule mode = "160000"
)

// treeEntry is one line of a directory.
type treeEntry struct {
	name string
	mode mode
	id   plumbing.Hash
}

// ifDir and unlessDir are the entry, or empty.
func (e treeEntry) ifDir() treeEntry {
	if e.mode != modeDir {
		return treeEntry{}
	}
	return e
}

func (e treeEntry) unlessDir() treeEntry {
	if e.mode == modeDir {
		return treeEntry{}
	}
	return e
}

// isRegular tells whether the entry is a file with content, and no link or submodule.
func (e treeEntry) isRegular() bool { return strings.HasPrefix(string(e.mode), "100") }

// directory is one tree object.
type directory struct {
	entries []treeEntry // sorted by name
}

// find returns an entry; it is empty if there is none.
func (d *directory) find(name string) treeEntry {
	if d == nil {
		return treeEntry{}
	}
	i, found := slices.BinarySearchFunc(d.entries, name, func(e treeEntry, name string) int { return strings.Compare(e.name, name) })
	if !found {
		return treeEntry{}
	}
	return d.entries[i]
}

// directory reads a tree object.
func (s *store) directory(id plumbing.Hash) (*directory, error) {
	content, err := s.readAs(plumbing.TreeObject, id, maxDirectory)
	if err != nil {
		return nil, err
	}
	return parseDirectory(content)
}

// parseDirectory takes a tree object apart and refuses names that would lead out of the
// directory: whoever joined them to a path would be somewhere else.
func parseDirectory(content []byte) (*directory, error) {
	d := &directory{}
	for len(content) > 0 {
		head, rest, found := bytes.Cut(content, []byte{0})
		m, name, ok := strings.Cut(string(head), " ")
		if !found || !ok || len(rest) < idSize {
			return nil, fmt.Errorf("%w: a directory is cut off", errDamaged)
		}
		if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
			return nil, errorf(Refused, "the commit has an entry named %q, which could lead out of the repository; remove it", printable(name))
		}
		d.entries = append(d.entries, treeEntry{name: name, mode: mode(m), id: plumbing.Hash(rest[:idSize])})
		content = rest[idSize:]
	}
	slices.SortFunc(d.entries, func(a, b treeEntry) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(d.entries); i++ {
		if name := d.entries[i].name; name == d.entries[i-1].name {
			return nil, errorf(Refused, "the commit has two entries named %q in one directory; remove one", printable(name))
		}
	}
	return d, nil
}
