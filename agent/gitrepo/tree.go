package gitrepo

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
)

// maxFile is how large a file may be that is read.
const maxFile int64 = 64 << 20

// Reasons not to open something.
var (
	errSubmodule = errors.New("is a submodule, and submodules are not supported; commit its files, or make it a Repository of its own")
	errGitDir    = errors.New("is named .git, which no commit may contain; remove it")
	errLink      = errors.New("is a symbolic link, and a tree follows none")
	errIsDir     = errors.New("is a directory")
	errNotDir    = errors.New("is not a directory")
)

// Tree is the files of one commit. It implements agent.Tree, and may be used from several
// goroutines. It keeps the files of the mirror open until it is closed or forgotten.
type Tree struct {
	dir    string // of the generation
	store  *store
	commit plumbing.Hash
	root   treeEntry
	time   time.Time

	mu          sync.RWMutex
	directories map[plumbing.Hash]*directory
}

var _ agent.Tree = (*Tree)(nil)

// newTree opens the files of a commit in a repository that has it, with those packs next to the ones of
// all commits.
func newTree(dir, commit string, indexes ...string) (*Tree, error) {
	s, err := openStore(dir)
	if err != nil {
		return nil, err
	}
	for _, index := range indexes {
		err = errors.Join(err, s.add(index))
	}
	var c *gitobject.Commit
	if err == nil {
		c, err = s.commit(plumbing.NewHash(commit))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return &Tree{
		dir:         dir,
		store:       s,
		commit:      c.Hash,
		root:        treeEntry{name: ".", mode: modeDir, id: c.TreeHash},
		time:        c.Committer.When.UTC(),
		directories: map[plumbing.Hash]*directory{},
	}, nil
}

// isCommit compares with a commit that is written in hexadecimal.
func isCommit(commit string) func(plumbing.Hash) bool {
	return func(id plumbing.Hash) bool { return id.String() == commit }
}

// Close closes the files of the mirror. The tree cannot be used any more.
func (t *Tree) Close() error {
	t.store.close()
	return nil
}

// ObjectID returns the Git object id of a file or directory: two trees in which a path has
// the same one hold the same there. It is false if there is no such path.
func (t *Tree) ObjectID(name string) (string, bool) {
	e, err := t.lookup(name)
	if err != nil {
		return "", false
	}
	return e.id.String(), true
}

// Node says what is at a path, with its Git object id, and reads no more than the directories
// on the way, each once. The error is fs.ErrNotExist where nothing is.
func (t *Tree) Node(name string) (trace.Node, error) {
	e, err := t.lookup(name)
	if err != nil {
		return trace.Node{}, err
	}
	what := trace.File
	switch closed := e.closed(); {
	case closed == errLink:
		what = trace.Link
	case closed != nil:
		what = trace.Other
	case e.mode == modeDir:
		what = trace.Directory
	}
	return trace.Node{What: what, ID: trace.ObjectID(e.id)}, nil
}

// Open opens a file or directory for reading.
func (t *Tree) Open(name string) (fs.File, error) {
	e, err := t.lookup(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	info := fileInfo{t, e}
	if e.mode == modeDir {
		list, err := t.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{info, list}, nil
	}
	content, err := t.content(e)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openFile{bytes.NewReader(content), info}, nil
}

// ReadFile returns a file's content.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	e, err := t.lookup(name)
	var content []byte
	if err == nil {
		content, err = t.content(e)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return content, nil
}

// ReadDir lists a directory, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.lookup(name)
	var d *directory
	if err == nil {
		d, err = t.directory(e)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	list := make([]fs.DirEntry, len(d.entries))
	for i, e := range d.entries {
		list[i] = fs.FileInfoToDirEntry(fileInfo{t, e})
	}
	return list, nil
}

// Lstat describes what is at a path, without following a link.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	e, err := t.lookup(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return fileInfo{t, e}, nil
}

// Stat is Lstat: a tree follows no links.
func (t *Tree) Stat(name string) (fs.FileInfo, error) { return t.Lstat(name) }

// ReadLink returns what a symbolic link points at, as it is written.
func (t *Tree) ReadLink(name string) (string, error) {
	e, err := t.lookup(name)
	if err == nil && e.closed() != errLink {
		err = fs.ErrInvalid
	}
	var target []byte
	if err == nil {
		target, err = t.blob(e, 4<<10)
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(target), nil
}

// lookup walks to a path. Below what is no directory there is nothing; below what cannot
// be opened the reason is returned.
func (t *Tree) lookup(name string) (treeEntry, error) {
	if !fs.ValidPath(name) {
		return treeEntry{}, fs.ErrInvalid
	}
	e := t.root
	if name == "." {
		return e, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		d, err := t.directory(e)
		if errors.Is(err, errNotDir) || errors.Is(err, errLink) {
			return treeEntry{}, fs.ErrNotExist
		}
		if err != nil {
			return treeEntry{}, err
		}
		if e = d.find(part); e.name == "" {
			return treeEntry{}, fs.ErrNotExist
		}
	}
	return e, nil
}

// directory returns the content of a directory, and remembers it.
func (t *Tree) directory(e treeEntry) (*directory, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	if e.mode != modeDir {
		return nil, errNotDir
	}
	t.mu.RLock()
	d, ok := t.directories[e.id]
	t.mu.RUnlock()
	if ok {
		return d, nil
	}
	d, err := t.store.directory(e.id)
	if err != nil {
		return nil, t.explain(err, maxDirectory)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.directories[e.id] = d
	return d, nil
}

// content returns what is in a regular file.
func (t *Tree) content(e treeEntry) ([]byte, error) {
	if err := e.closed(); err != nil {
		return nil, err
	}
	if e.mode == modeDir {
		return nil, errIsDir
	}
	return t.blob(e, maxFile)
}

func (t *Tree) blob(e treeEntry, limit int64) ([]byte, error) {
	content, err := t.store.readAs(plumbing.BlobObject, e.id, limit)
	if err != nil {
		return nil, t.explain(err, limit)
	}
	return content, nil
}

// explain turns an error of the store into one for people. A mirror that turns out to be
// damaged is marked, so that the next fetch mends it.
func (t *Tree) explain(err error, limit int64) error {
	switch {
	case errors.Is(err, errTooBig):
		return errorf(TooLarge, "it is larger than the %d KiB allowed; keep it outside of Git", limit>>10)
	case isDamage(err):
		return damaged(t.dir, err)
	}
	return err
}

// damaged marks a repository that cannot be read, and says so.
func damaged(dir string, err error) error {
	markDamaged(dir)
	return &Error{Kind: NotFetched, Message: "the mirror is damaged (" + printable(err.Error()) + "); the next fetch mends it", Err: err}
}

// closed returns why an entry must not be opened at all, if so.
func (e treeEntry) closed() error {
	switch {
	case strings.EqualFold(e.name, ".git"):
		return errGitDir
	case e.mode == modeSubmodule:
		return errSubmodule
	case e.mode == modeLink:
		return errLink
	}
	return nil
}

// fileInfo describes an entry; its size is only looked up when somebody asks.
type fileInfo struct {
	tree  *Tree
	entry treeEntry
}

func (i fileInfo) Name() string       { return i.entry.name }
func (i fileInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i fileInfo) ModTime() time.Time { return i.tree.time }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) String() string     { return fs.FormatFileInfo(i) }

func (i fileInfo) Mode() fs.FileMode {
	err := i.entry.closed()
	switch {
	case err == errGitDir, err == errSubmodule:
		return fs.ModeIrregular
	case err == errLink:
		return fs.ModeSymlink | 0o777
	case i.entry.mode == modeDir:
		return fs.ModeDir | 0o755
	case strings.HasPrefix(string(i.entry.mode), "1007"):
		return 0o755
	}
	return 0o644
}

func (i fileInfo) Size() int64 {
	if t := i.Mode().Type(); t != 0 && t != fs.ModeSymlink {
		return 0
	}
	size, err := i.tree.store.size(i.entry.id)
	if err != nil {
		return 0
	}
	return size
}

// openFile is a file being read.
type openFile struct {
	*bytes.Reader
	info fileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is a directory being read.
type openDir struct {
	info fileInfo
	left []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: errIsDir}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.left) {
		if n > 0 && len(d.left) == 0 {
			return nil, io.EOF
		}
		n = len(d.left)
	}
	list := d.left[:n:n]
	d.left = d.left[n:]
	return list, nil
}
