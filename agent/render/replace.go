package render

import (
	"bytes"
	"io/fs"

	"github.com/sluice-dev/sluice/agent"
)

// Replace returns a tree in which some files, which have to be there, have other content.
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
	info, err := r.Tree.Lstat(name)
	if content, ok := r.files[name]; ok && err == nil {
		return sized{info, int64(len(content))}, nil
	}
	return info, err
}

func (r replaced) Open(name string) (fs.File, error) {
	content, ok := r.files[name]
	if !ok {
		return r.Tree.Open(name)
	}
	info, err := r.Lstat(name)
	return &openFile{bytes.NewReader(content), info}, err
}

// sized is a file of another size.
type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }
