package render

import (
	"bytes"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// Replace returns a tree in which some files have other content, or are new in directories that are there.
func Replace(tree agent.Tree, files map[string][]byte) agent.Tree {
	return replaced{Tree: tree, files: files}
}

type replaced struct {
	agent.Tree
	files map[string][]byte
}

func (r replaced) ReadFile(name string) ([]byte, error) {
	if content, ok := r.files[name]; ok {
		return bytes.Clone(content), nil
	}
	return r.Tree.ReadFile(name)
}

func (r replaced) Lstat(name string) (fs.FileInfo, error) {
	content, ok := r.files[name]
	if !ok {
		return r.Tree.Lstat(name)
	}
	return written{path.Base(name), int64(len(content))}, nil
}

func (r replaced) Open(name string) (fs.File, error) {
	content, ok := r.files[name]
	if !ok {
		return r.Tree.Open(name)
	}
	info, err := r.Lstat(name)
	return &openFile{bytes.NewReader(content), info}, err
}

func (r replaced) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := r.Tree.ReadDir(name)
	if err != nil {
		return nil, err
	}
	for file, content := range r.files {
		if path.Dir(file) != path.Clean(name) {
			continue
		}
		entry := fs.FileInfoToDirEntry(written{path.Base(file), int64(len(content))})
		at, is := slices.BinarySearchFunc(list, entry.Name(), func(e fs.DirEntry, name string) int { return strings.Compare(e.Name(), name) })
		if !is {
			list = slices.Insert(slices.Clone(list), at, entry)
		}
	}
	return list, nil
}

// written is a file whose content is given.
type written struct {
	name string
	size int64
}

func (w written) Name() string       { return w.name }
func (w written) Size() int64        { return w.size }
func (w written) Mode() fs.FileMode  { return 0o644 }
func (w written) ModTime() time.Time { return time.Time{} }
func (w written) IsDir() bool        { return false }
func (w written) Sys() any           { return nil }

type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }
