package gitrepo

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"
)

// maxNew bounds the bytes of all objects that are made together, also of the directories along the paths.
const maxNew = 32 << 20

// newObjects are those that a commit is made of and that the repository does not have.
type newObjects struct {
	list []*plumbing.MemoryObject
	ids  map[plumbing.Hash]bool
	size int64
}

// add adds an object, once.
func (o *newObjects) add(kind plumbing.ObjectType, content []byte) (plumbing.Hash, error) {
	id := plumbing.ComputeHash(kind, content)
	if o.ids[id] {
		return id, nil
	}
	if o.size += int64(len(content)); o.size > maxNew {
		return plumbing.ZeroHash, errorf(TooLarge, "the commit has more than %d MiB of new files and directories", maxNew>>20)
	}
	made := &plumbing.MemoryObject{}
	made.SetType(kind)
	if _, err := made.Write(content); err != nil {
		return plumbing.ZeroHash, err
	}
	if o.ids == nil {
		o.ids = map[plumbing.Hash]bool{}
	}
	o.ids[id] = true
	o.list = append(o.list, made)
	return id, nil
}

// pack writes the objects as a pack.
func (o *newObjects) pack() (io.ReadCloser, error) {
	objects := memory.NewStorage()
	var ids []plumbing.Hash
	var errs []error
	for _, made := range o.list {
		id, err := objects.SetEncodedObject(made)
		ids, errs = append(ids, id), append(errs, err)
	}
	var b bytes.Buffer
	_, err := packfile.NewEncoder(&b, objects, false).Encode(ids, 0)
	return io.NopCloser(&b), errors.Join(append(errs, err)...)
}
