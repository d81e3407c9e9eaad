package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// local is a file or a directory on disk.
type local struct{ root string }

// Local reads a file or a directory on disk and returns what it found: the same digest as of the
// same files in a store.
func (i *Inspector) Local(ctx context.Context, path string) (Found, error) {
	at := location{uri: path, dir: true}
	found, err := i.measure(ctx, local{path}, at, func(Found) (string, error) { return "", nil })
	return found, i.finish(ctx, err, at, Credentials{})
}

func (l local) id() string { return "local " + l.root }

func (l local) close() {}

// list finds one file, or all files below a directory.
func (l local) list(ctx context.Context, most int) (listing, error) {
	info, err := os.Stat(l.root)
	if err != nil {
		return listing{}, onDisk(err)
	}
	if info.Mode().IsRegular() {
		return listing{files: []file{fileOf(filepath.Base(l.root), l.root, info)}, single: true}, nil
	}
	var found listing
	err = filepath.WalkDir(l.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if entry.IsDir() {
			return nil
		}
		name, err := filepath.Rel(l.root, path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path) // what a link leads to
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return errorf(Invalid, "%s is not a file, nor a link to one: copy what is to be served", printable(name))
		}
		if len(found.files) == most {
			return tooMany(most)
		}
		found.files = append(found.files, fileOf(filepath.ToSlash(name), path, info))
		return nil
	})
	if err == nil && len(found.files) == 0 {
		err = errorf(NotFound, "there is no file in it")
	}
	return found, onDisk(err)
}

// onDisk says what the operating system said.
func onDisk(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		kind := Unavailable
		switch {
		case errors.Is(err, fs.ErrNotExist):
			kind = NotFound
		case errors.Is(err, fs.ErrPermission):
			kind = Forbidden
		}
		return errorf(kind, "it cannot be read (%s)", printable(e.Err.Error()))
	}
	return err
}

func fileOf(name, path string, info fs.FileInfo) file {
	return file{name: name, key: path, size: info.Size(), modified: info.ModTime()}
}

// open reads a file from an offset on.
func (l local) open(_ context.Context, f file, offset int64) (reader, error) {
	opened, err := os.Open(f.key)
	if err != nil {
		return nil, onDisk(err)
	}
	info, err := opened.Stat()
	if err == nil && (info.Size() != f.size || !info.ModTime().Equal(f.modified)) {
		err = errChanged
	}
	if err == nil {
		_, err = opened.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, closing(opened, err)
	}
	return opened, nil
}
