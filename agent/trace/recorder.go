package trace

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// Recorder is an agent.Tree that remembers what is read through it. It shows nothing of the tree
// below that it does not remember, so the trace is complete whatever the reader does: no
// times, no permissions, no sizes without the content. It may be used from several goroutines.
type Recorder struct {
	tree agent.Tree

	mu   sync.Mutex
	seen map[string]Seen
	lost bool // something was seen that a trace cannot tell
}

var _ agent.Tree = (*Recorder)(nil)

// New returns a Recorder of what is read of a tree.
func New(tree agent.Tree) *Recorder { return &Recorder{tree: tree, seen: map[string]Seen{}} }

// Trace returns what was read so far. It holds on no tree if something could not be read for
// another reason than that it is not there.
func (r *Recorder) Trace() Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost {
		return Trace{}
	}
	list := slices.SortedFunc(maps.Values(r.seen), func(a, b Seen) int { return inWalk(a.Path, b.Path) })
	var above []int // the directories that the current path is in
	for n := range list {
		for len(above) > 0 && !isBelow(list[n].Path, list[above[len(above)-1]].Path) {
			above = above[:len(above)-1]
		}
		for _, dir := range above {
			list[dir].Below++
		}
		above = append(above, n)
	}
	return Trace{Seen: list}
}

// inWalk compares paths so that what is below a directory comes right after it.
func inWalk(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	}
	for n := range min(len(a), len(b)) {
		switch {
		case a[n] == b[n]:
		case a[n] == '/':
			return -1
		case b[n] == '/':
			return 1
		default:
			return int(a[n]) - int(b[n])
		}
	}
	return len(a) - len(b)
}

func isBelow(name, dir string) bool {
	return dir == "." || strings.HasPrefix(name, dir) && name[len(dir)] == '/'
}

// note remembers what was seen of a path. What was seen of it before must agree: a working
// directory may have changed meanwhile.
func (r *Recorder) note(s Seen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.seen[s.Path]
	if known {
		r.lost = r.lost || before.What != s.What || differ(before.ID, s.ID) || differ(before.Names, s.Names)
		s.ID, s.Names = either(s.ID, before.ID), either(s.Names, before.Names)
	}
	r.seen[s.Path] = s
}

func differ(a, b ObjectID) bool { return a != ObjectID{} && b != ObjectID{} && a != b }

func either(a, b ObjectID) ObjectID {
	if a == (ObjectID{}) {
		return b
	}
	return a
}

// fail remembers that a path could not be read, and why; the error is returned as it is.
func (r *Recorder) fail(name string, err error) error {
	switch {
	case !fs.ValidPath(name): // which is so on every tree
	case isAbsent(err):
		r.note(Seen{Path: name})
	default:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lost = true
	}
	return err
}

// Lstat tells what is at a path.
func (r *Recorder) Lstat(name string) (fs.FileInfo, error) {
	e, err := nodeOf(r.tree, name)
	if err != nil {
		return nil, r.fail(name, err)
	}
	s := Seen{Path: name, What: e.What}
	if e.What == Directory {
		s.ID = e.ID
	}
	r.note(s)
	if e.What == Absent {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	return seenInfo{r, name, e.What.mode()}, nil
}

var errLink = errors.New("is a symbolic link, and a tree follows none")

// ReadFile returns the content of a file. It follows no link, as the contract of a Tree has it:
// the trees of working directories do.
func (r *Recorder) ReadFile(name string) ([]byte, error) {
	if n, err := nodeOf(r.tree, name); err == nil && n.What == Link {
		r.note(Seen{Path: name, What: Link})
		return nil, &fs.PathError{Op: "read", Path: name, Err: errLink}
	}
	data, err := r.tree.ReadFile(name)
	if err != nil {
		return nil, r.fail(name, err)
	}
	r.note(Seen{Path: name, What: File, ID: blobID(data)})
	return data, nil
}

// ReadLink returns the target of a link.
func (r *Recorder) ReadLink(name string) (string, error) {
	target, err := r.tree.ReadLink(name)
	if err != nil {
		return "", r.fail(name, err)
	}
	r.note(Seen{Path: name, What: Link, ID: blobID([]byte(target))})
	return target, nil
}

// ReadDir lists a directory.
func (r *Recorder) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := r.tree.ReadDir(name)
	if err != nil {
		return nil, r.fail(name, err)
	}
	r.note(Seen{Path: name, What: Directory, Names: namesID(list)})
	shown := make([]fs.DirEntry, len(list))
	for n, e := range list {
		shown[n] = fs.FileInfoToDirEntry(seenInfo{r, path.Join(name, e.Name()), whatIs(e.Type()).mode()})
	}
	return shown, nil
}

// Open opens a file or directory. What an open file shows, no trace can tell: after it, the
// trace holds nowhere.
func (r *Recorder) Open(name string) (fs.File, error) {
	r.mu.Lock()
	r.lost = true
	r.mu.Unlock()
	return r.tree.Open(name)
}

// seenInfo describes what was seen. Permissions and times are the same for all.
type seenInfo struct {
	recorder *Recorder
	path     string
	mode     fs.FileMode
}

func (i seenInfo) Name() string       { return path.Base(i.path) }
func (i seenInfo) Mode() fs.FileMode  { return i.mode | 0o444 }
func (i seenInfo) ModTime() time.Time { return time.Time{} }
func (i seenInfo) IsDir() bool        { return i.mode.IsDir() }
func (i seenInfo) Sys() any           { return nil }

// Size reads the file: its size is a part of its content.
func (i seenInfo) Size() int64 {
	if !i.mode.IsRegular() {
		return 0
	}
	data, err := i.recorder.ReadFile(i.path)
	if err != nil {
		return 0
	}
	return int64(len(data))
}
