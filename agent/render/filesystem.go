package render

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Where things are in the file system that Kustomize sees.
const (
	treeRoot    = "/tree"    // the repository
	overlayRoot = "/overlay" // the kustomization that stands for the Overlay itself
)

// maxLinks is how many symlinks a path may lead through.
const maxLinks = 40

// files is a Tree as Kustomize wants it: absolute paths, read-only. Every access goes through
// locate, which follows symlinks inside the tree and nowhere else.
type files struct {
	tree    agent.Tree
	overlay []byte // the kustomization in overlayRoot
	// read holds the files that were read, in order; errors are explained from them.
	read []string
	// refusal is the first access that was refused. Kustomize buries errors in its own or
	// takes them for "not found"; this one is what the user has to know.
	refusal *Error
}

var errReadOnly = errors.New("the files of a commit cannot be changed")

// locate resolves a path to one in the tree, without symlinks. The path in the tree is empty
// for what is not in it.
func (f *files) locate(name string) (string, fs.FileInfo, error) {
	inTree, ok := strings.CutPrefix(path.Clean(name), treeRoot)
	if !ok || inTree != "" && inTree[0] != '/' {
		return "", nil, fs.ErrNotExist
	}
	done, left := ".", strings.Split(strings.Trim(inTree, "/"), "/")
	if inTree == "" || inTree == "/" {
		left = nil
	}
	info, err := f.tree.Lstat(".")
	for links := 0; err == nil && len(left) > 0; {
		var part string
		part, left = left[0], left[1:]
		if part == "." || part == "" {
			continue
		}
		if part == ".." {
			if done == "." {
				return "", nil, f.refuse(refused(inTree[1:], "it leads out of the repository"))
			}
			done = path.Dir(done)
			continue
		}
		if part == ".git" {
			return "", nil, fs.ErrNotExist
		}
		next := path.Join(done, part)
		if info, err = f.tree.Lstat(next); err != nil {
			return "", nil, fs.ErrNotExist
		}
		switch {
		case info.Mode()&fs.ModeIrregular != 0:
			return "", nil, f.refuse(refused(next, "it is a Git submodule, and those are not followed: copy the files, or make a Repository and an Overlay of their own for it"))
		case info.Mode()&fs.ModeSymlink == 0:
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", nil, f.refuse(refused(next, "this symbolic link goes in a circle"))
		}
		target, err := f.tree.ReadLink(next)
		if err != nil {
			return "", nil, err
		}
		if path.IsAbs(target) || !fs.ValidPath(path.Join(done, target)) && path.Join(done, target) != "." {
			return "", nil, f.refuse(refused(next, "this symbolic link leads out of the repository, to %s: point it inside or put the files there", printable(target)))
		}
		left = append(strings.Split(target, "/"), left...)
		info, err = f.tree.Lstat(done)
		if err != nil {
			return "", nil, err
		}
	}
	if err != nil {
		return "", nil, err
	}
	info, err = f.tree.Lstat(done)
	return done, info, err
}

func (f *files) refuse(e *Error) error {
	if f.refusal == nil {
		f.refusal = e
	}
	return e
}

// ReadFile reads a file. Kustomizations are looked through before Kustomize gets them.
func (f *files) ReadFile(name string) ([]byte, error) {
	if clean := path.Clean(name); strings.HasPrefix(clean, overlayRoot+"/") {
		if clean == overlayRoot+"/kustomization.yaml" {
			return f.overlay, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	file, info, err := f.locate(name)
	if err == nil && info.IsDir() {
		err = errors.New("is a directory")
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: inRepository(name), Err: err}
	}
	data, err := f.tree.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f.read = append(f.read, file)
	if kustomizationNames[path.Base(name)] {
		if e := f.inspect(strings.TrimPrefix(path.Clean(name), treeRoot+"/"), data); e != nil {
			return nil, f.refuse(e)
		}
	}
	return data, nil
}

// Exists tells whether a path is there.
func (f *files) Exists(name string) bool {
	clean := path.Clean(name)
	if clean == overlayRoot || clean == overlayRoot+"/kustomization.yaml" {
		return true
	}
	_, _, err := f.locate(name)
	return err == nil
}

// IsDir tells whether a path is a directory.
func (f *files) IsDir(name string) bool {
	if path.Clean(name) == overlayRoot {
		return true
	}
	_, info, err := f.locate(name)
	return err == nil && info.IsDir()
}

// ReadDir lists the names in a directory.
func (f *files) ReadDir(name string) ([]string, error) {
	dir, _, err := f.locate(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: inRepository(name), Err: err}
	}
	entries, err := f.tree.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// CleanedAbs splits a path into a directory, without symlinks, and a file name.
func (f *files) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	clean := path.Clean("/" + name)
	switch clean {
	case overlayRoot:
		return filesys.ConfirmedDir(overlayRoot), "", nil
	case overlayRoot + "/kustomization.yaml":
		return filesys.ConfirmedDir(overlayRoot), "kustomization.yaml", nil
	}
	real, info, err := f.locate(clean)
	if err != nil {
		return "", "", &fs.PathError{Op: "open", Path: inRepository(name), Err: err}
	}
	full := path.Join(treeRoot, real)
	if info.IsDir() {
		return filesys.ConfirmedDir(full), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(full)), path.Base(full), nil
}

// Open is not used by Kustomize to read.
func (f *files) Open(string) (filesys.File, error) { return nil, errReadOnly }

// Create refuses.
func (f *files) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir refuses.
func (f *files) Mkdir(string) error { return errReadOnly }

// MkdirAll refuses.
func (f *files) MkdirAll(string) error { return errReadOnly }

// RemoveAll refuses.
func (f *files) RemoveAll(string) error { return errReadOnly }

// WriteFile refuses.
func (f *files) WriteFile(string, []byte) error { return errReadOnly }

// Glob is not used by builds.
func (f *files) Glob(string) ([]string, error) { return nil, errReadOnly }

// Walk is not used by builds.
func (f *files) Walk(string, filepath.WalkFunc) error { return errReadOnly }

// inRepository shows a path as the user knows it.
func inRepository(name string) string {
	if rest, ok := strings.CutPrefix(path.Clean(name), treeRoot); ok {
		return strings.TrimPrefix(rest, "/")
	}
	return name
}
