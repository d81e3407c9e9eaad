package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/sluice-dev/sluice/agent"
)

// gitTree is the files of a commit in a local clone.
type gitTree struct {
	mu   sync.Mutex // object.Tree remembers what it has read
	root *object.Tree
	at   time.Time
}

var _ agent.Tree = (*gitTree)(nil)

func openGitTree(commit *object.Commit) (*gitTree, error) {
	root, err := commit.Tree()
	if err != nil {
		return nil, err
	}
	return &gitTree{root: root, at: commit.Committer.When}, nil
}

// find returns the entry of a path, and the tree if it is a directory.
func (t *gitTree) find(name string) (object.TreeEntry, error) {
	if !fs.ValidPath(name) {
		return object.TreeEntry{}, fs.ErrInvalid
	}
	if name == "." {
		return object.TreeEntry{Name: ".", Mode: filemode.Dir, Hash: t.root.Hash}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.root.FindEntry(name)
	if err != nil {
		return object.TreeEntry{}, fs.ErrNotExist
	}
	return *e, nil
}

// Lstat describes what is at a path.
func (t *gitTree) Lstat(name string) (fs.FileInfo, error) {
	e, err := t.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return gitFile{t, e, name}, nil
}

// ReadDir lists a directory by name.
func (t *gitTree) ReadDir(name string) ([]fs.DirEntry, error) {
	dir := t.root
	if name != "." {
		t.mu.Lock()
		defer t.mu.Unlock()
		var err error
		if dir, err = t.root.Tree(name); err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
		}
	}
	list := make([]fs.DirEntry, 0, len(dir.Entries))
	for _, e := range dir.Entries {
		list = append(list, fs.FileInfoToDirEntry(gitFile{t, e, path.Join(name, e.Name)}))
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// ReadFile returns the content of a regular file.
func (t *gitTree) ReadFile(name string) ([]byte, error) {
	e, err := t.find(name)
	if err == nil && !e.Mode.IsRegular() && e.Mode != filemode.Executable {
		err = errors.New("is no regular file")
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return t.content(name)
}

// ReadLink returns what a symbolic link points at.
func (t *gitTree) ReadLink(name string) (string, error) {
	e, err := t.find(name)
	if err == nil && e.Mode != filemode.Symlink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	target, err := t.content(name)
	return string(target), err
}

// Open opens a regular file; ReadDir is for directories.
func (t *gitTree) Open(name string) (fs.File, error) {
	e, err := t.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	content, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return openGitFile{bytes.NewReader(content), gitFile{t, e, name}}, nil
}

func (t *gitTree) content(name string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	file, err := t.root.File(name)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	reader, err := file.Reader()
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	content, err := io.ReadAll(reader)
	return content, errors.Join(err, reader.Close())
}

// gitFile describes an entry.
type gitFile struct {
	tree  *gitTree
	entry object.TreeEntry
	path  string
}

func (f gitFile) Name() string       { return f.entry.Name }
func (f gitFile) IsDir() bool        { return f.Mode().IsDir() }
func (f gitFile) ModTime() time.Time { return f.tree.at }
func (f gitFile) Sys() any           { return nil }

func (f gitFile) Size() int64 {
	f.tree.mu.Lock()
	defer f.tree.mu.Unlock()
	size, err := f.tree.root.Size(f.path)
	if err != nil {
		return 0
	}
	return size
}

func (f gitFile) Mode() fs.FileMode {
	switch f.entry.Mode {
	case filemode.Dir:
		return fs.ModeDir | 0o755
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Submodule:
		return fs.ModeIrregular
	case filemode.Executable:
		return 0o755
	}
	return 0o644
}

type openGitFile struct {
	*bytes.Reader
	info gitFile
}

func (f openGitFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f openGitFile) Close() error               { return nil }
