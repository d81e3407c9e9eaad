package render

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Where things are in the file system that Kustomize sees.
const (
	treeRoot    = "/tree"    // the repository
	overlayRoot = "/overlay" // the kustomization that stands for the Overlay itself
	overlayFile = overlayRoot + "/kustomization.yaml"
)

// maxLinks is how many symlinks a path may lead through.
const maxLinks = 40

// files is a Tree as Kustomize wants it: absolute paths, read-only. Every access goes through
// locate, which follows symlinks inside the tree and nowhere else.
type files struct {
	tree    agent.Tree
	limits  Limits
	overlay []byte // the kustomization in overlayRoot
	// read holds the files that were read, in order; errors are explained from them.
	read []string
	// opaque are the files that generators take as they are, whatever is in them.
	opaque map[string]bool
	// documents counts the objects read so far, roughly.
	documents int
	// schema tells whether a kustomization that was read brings an OpenAPI schema.
	schema bool
	// lists replaces what these kustomizations list, when a part is rendered.
	lists map[string][]string
	// ties of the part that is rendered; nil for a whole overlay.
	ties *ties
	// refusal is the first access that was refused. Kustomize buries errors in its own or
	// takes them for "not found"; this one is what the user has to know.
	refusal *Error
}

var errReadOnly = errors.New("the files of a commit cannot be changed")

// locate resolves a path to one in the tree, without symlinks.
func (f *files) locate(name string) (string, fs.FileInfo, error) {
	inTree, ok := strings.CutPrefix(path.Clean(name), treeRoot)
	if !ok || inTree != "" && inTree[0] != '/' {
		return "", nil, fs.ErrNotExist
	}
	done, first, last, links := ".", "", "", 0
	info, err := f.tree.Lstat(".")
	for left := strings.Split(inTree, "/"); err == nil && len(left) > 0; {
		part := left[0]
		left = left[1:]
		switch {
		case part == "." || part == "":
			continue
		case part == ".." && done == ".":
			return "", nil, f.refuse(leadsOut(last, f.tree))
		case part == "..":
			done = path.Dir(done)
			info, err = f.tree.Lstat(done)
			continue
		case strings.EqualFold(part, ".git") || !info.IsDir():
			return "", nil, fs.ErrNotExist
		}
		next := path.Join(done, part)
		if info, err = f.tree.Lstat(next); err != nil {
			return "", nil, f.absent(next, err)
		}
		if info.Mode()&fs.ModeIrregular != 0 {
			return "", nil, f.refuse(refused(next, "it is a Git submodule, and those are not followed: copy its files, or give it a Repository and an Overlay of its own"))
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		target, err := f.tree.ReadLink(next)
		if err != nil {
			return "", nil, err
		}
		first, last = cmp.Or(first, next), next
		if links++; links > maxLinks {
			return "", nil, f.refuse(refused(first, "this symbolic link goes in a circle: point it at a file"))
		}
		if path.IsAbs(target) {
			return "", nil, f.refuse(leadsOut(next, f.tree))
		}
		left = append(strings.Split(target, "/"), left...)
		if info, err = f.tree.Lstat(done); err != nil {
			return "", nil, err
		}
	}
	return done, info, err
}

// absent tells a file that is not there from one that cannot be reached just now.
func (f *files) absent(name string, err error) error {
	for _, gone := range []error{fs.ErrNotExist, fs.ErrInvalid, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, gone) {
			return fs.ErrNotExist
		}
	}
	return f.refuse(&Error{Kind: Unavailable, File: name, Message: "it cannot be read: " + cause(err)})
}

func leadsOut(link string, tree agent.Tree) *Error {
	target, err := tree.ReadLink(link)
	if err != nil {
		return refused("", "a path leads out of the repository")
	}
	return refused(link, "this symbolic link leads out of the repository, to %s: point it inside, or put the files there", printable(target))
}

// refuse remembers the first refusal.
func (f *files) refuse(e *Error) error {
	if f.refusal == nil {
		f.refusal = e
	}
	return e
}

// ReadFile reads a file. Kustomizations are looked through before Kustomize gets them.
func (f *files) ReadFile(name string) ([]byte, error) {
	name = path.Clean(name)
	if name == overlayFile {
		return f.overlay, nil
	}
	file, info, err := f.locate(name)
	if err == nil && info.IsDir() {
		err = errIsDir
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: inRepository(name), Err: err}
	}
	data, err := f.content(file)
	if err != nil {
		return nil, f.refuse(&Error{Kind: Unavailable, File: file, Message: "it cannot be read: " + cause(err)})
	}
	f.read = append(f.read, file)
	if e := f.inspect(name, file, data); e != nil {
		return nil, f.refuse(e)
	}
	return data, nil
}

// content reads a file of the tree, or makes one of those lists that belong to a part.
func (f *files) content(file string) ([]byte, error) {
	if entries, ok := f.lists[file]; ok {
		return encode(types.Kustomization{Resources: entries})
	}
	data, err := f.tree.ReadFile(file)
	if f.ties != nil {
		f.ties.local = f.ties.local || bytes.Contains(data, []byte(localConfig))
	}
	return data, err
}

var errIsDir = errors.New("is a directory")

// cause leaves the operation and the path out of an error of a file system.
func cause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Exists tells whether a path is there.
func (f *files) Exists(name string) bool {
	if clean := path.Clean(name); clean == overlayRoot || clean == overlayFile {
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

// entries lists a directory.
func (f *files) entries(name string) ([]fs.DirEntry, error) {
	dir, _, err := f.locate(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: inRepository(name), Err: err}
	}
	return f.tree.ReadDir(dir)
}

// ReadDir lists the names in a directory.
func (f *files) ReadDir(name string) ([]string, error) {
	entries, err := f.entries(name)
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
	case overlayFile:
		return filesys.ConfirmedDir(overlayRoot), path.Base(overlayFile), nil
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
