// Package trace tells whether a reader of one Tree would see the same on another.
//
// A Recorder goes between a reader and a tree and remembers what is seen. The Trace that comes
// of it is checked against other trees, by object ids and without reading what is in files.
// The package never changes a tree and never asks what the reader makes of it.
package trace

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/sluice-dev/sluice/agent"
)

// Trace is what a reader has seen of an agent.Tree: which paths there were and of what type, what
// was in the files and links that were read, which names there were in the directories that
// were listed, and what was not there. Whoever decides by nothing but a tree, and reads it
// through a Recorder, decides the same on every tree on which the trace holds.
//
// It covers the tree and nothing else. What else a reader goes by, such as a spec, values
// from elsewhere or the version of the program, is for the caller to compare.
//
// The zero Trace holds on no tree.
type Trace struct {
	// Seen is in the order of a walk: what is below a directory comes right after it.
	Seen []Seen
}

// Seen is what was seen of one path.
type Seen struct {
	Path string
	What What
	// ID of the content of a file or link, if it was read. Of a directory the id of its Git
	// tree, if it has one: as long as that stays, so does all below.
	ID ObjectID
	// Names is a digest over the names and types in a directory, if it was listed.
	Names ObjectID
	// Below is how many of those that follow are below this path.
	Below int
}

// What says what is at a path.
type What uint8

const (
	// Absent: nothing is there.
	Absent What = iota
	// File: a regular file. Whether it can be executed is not seen.
	File
	// Directory: a directory.
	Directory
	// Link: a symbolic link.
	Link
	// Other: something that cannot be opened, such as a submodule.
	Other
)

// ObjectID is a SHA-1 as Git computes it; the zero ObjectID says that it is not known.
type ObjectID [sha1.Size]byte

// Node is what a tree says of one path.
type Node struct {
	What What
	// ID in Git, if the tree is one of Git.
	ID ObjectID
}

// indexed is a Tree that knows the ids of what is in it without reading it, as those of Git
// do. Node returns fs.ErrNotExist, wrapped or not, where nothing is.
type indexed interface {
	Node(name string) (Node, error)
}

// Holds tells whether a reader would see on a tree what this trace has seen. On a tree that
// knows object ids (gitrepo.Tree) it reads no content, and of directories only those that
// have changed; on any other it reads again what was read. It may be called from several
// goroutines, also for the same tree.
func (t Trace) Holds(tree agent.Tree) bool {
	for n := 0; n < len(t.Seen); n++ {
		s := &t.Seen[n]
		now, err := nodeOf(tree, s.Path)
		if err != nil || now.What != s.What {
			return false
		}
		if s.What == Directory && now.ID != (ObjectID{}) && now.ID == s.ID {
			n += s.Below // nothing below it has changed
			continue
		}
		if !s.same(tree, now) {
			return false
		}
	}
	return len(t.Seen) > 0
}

// Changed returns the files that were read and are not the same on a tree, in the order of a walk.
func (t Trace) Changed(tree agent.Tree) []string {
	var files []string
	for n := range t.Seen {
		s := &t.Seen[n]
		if s.What != File || s.ID == (ObjectID{}) {
			continue
		}
		if now, err := nodeOf(tree, s.Path); err != nil || now.What != File || !s.same(tree, now) {
			files = append(files, s.Path)
		}
	}
	return files
}

// same compares what was read at a path, if anything, with what is there now.
func (s *Seen) same(tree agent.Tree, now Node) bool {
	switch {
	case s.What == Directory:
		if s.Names == (ObjectID{}) {
			return true
		}
		list, err := tree.ReadDir(s.Path)
		return err == nil && namesID(list) == s.Names
	case s.ID == ObjectID{}:
		return true
	case now.ID != ObjectID{}:
		return now.ID == s.ID
	case s.What == Link:
		target, err := tree.ReadLink(s.Path)
		return err == nil && blobID([]byte(target)) == s.ID
	}
	data, err := tree.ReadFile(s.Path)
	return err == nil && blobID(data) == s.ID
}

// nodeOf looks at a path. An error means that it could not be found out what is there.
func nodeOf(tree agent.Tree, name string) (Node, error) {
	var e Node
	var err error
	if t, ok := tree.(indexed); ok {
		e, err = t.Node(name)
	} else {
		var info fs.FileInfo
		if info, err = tree.Lstat(name); err == nil {
			e.What = whatIs(info.Mode())
		}
	}
	if isAbsent(err) {
		return Node{}, nil
	}
	return e, err
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func whatIs(mode fs.FileMode) What {
	switch mode.Type() {
	case 0:
		return File
	case fs.ModeDir:
		return Directory
	case fs.ModeSymlink:
		return Link
	}
	return Other
}

// mode is the type of what is there, as fs says it.
func (w What) mode() fs.FileMode {
	switch w {
	case File:
		return 0
	case Directory:
		return fs.ModeDir
	case Link:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

// blobID is the id that Git gives to a file, or to a link by its target.
func blobID(data []byte) ObjectID {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return ObjectID(h.Sum(nil))
}

// namesID is a digest over what ReadDir returns: names, sorted, and types.
func namesID(list []fs.DirEntry) ObjectID {
	h := sha1.New()
	for _, e := range list {
		fmt.Fprintf(h, "%s\x00%d", e.Name(), whatIs(e.Type()))
	}
	return ObjectID(h.Sum(nil))
}
