package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
)

// fileReceiver takes an update into a repository on the local disk. The library's own server
// does not look at where a reference was before. No hook runs, as no program does.
type fileReceiver struct {
	receiver // of the library, for the references
	dir      string
	storer   storer.Storer
}

func openFileReceiver(client transport.Transport, ep *transport.Endpoint) (receiver, error) {
	objects, err := server.NewFilesystemLoader(osfs.New("/")).Load(ep)
	if err != nil {
		return nil, err
	}
	s, err := client.NewReceivePackSession(ep, nil)
	return &fileReceiver{receiver: s, dir: ep.Path, storer: objects}, err
}

// ReceivePack takes the objects in and moves the one reference.
func (r *fileReceiver) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	if req.Packfile != nil {
		if err := errors.Join(packfile.UpdateObjectStorage(r.storer, req.Packfile), req.Packfile.Close()); err != nil {
			return nil, err
		}
	}
	c := req.Commands[0]
	status := &packp.CommandStatus{ReferenceName: c.Name, Status: "ok"}
	if err := r.move(c); err != nil {
		status.Status = err.Error()
	}
	return &packp.ReportStatus{UnpackStatus: "ok", CommandStatuses: []*packp.CommandStatus{status}}, nil
}

// move moves a reference, as git does: whoever could create its lock may compare and change it.
func (r *fileReceiver) move(c *packp.Command) error {
	file := filepath.Join(r.dir, filepath.FromSlash(c.Name.String()))
	lock := file + ".lock"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(lock)
	_, err = fmt.Fprintln(f, c.New)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	now, err := r.storer.Reference(c.Name)
	if err != nil && !errors.Is(err, plumbing.ErrReferenceNotFound) {
		return err
	}
	if err == nil && now.Hash() != c.Old || err != nil && !c.Old.IsZero() {
		return errors.New("it is no longer where it was")
	}
	if c.Action() == packp.Delete {
		return r.storer.RemoveReference(c.Name)
	}
	if err := r.connected(c.New); err != nil {
		return err
	}
	return os.Rename(lock, file)
}

// connected tells whether the repository has what a commit is made on.
func (r *fileReceiver) connected(id plumbing.Hash) error {
	c, err := gitobject.GetCommit(r.storer, id)
	if err != nil {
		return err
	}
	for _, parent := range c.ParentHashes {
		if err := r.storer.HasEncodedObject(parent); err != nil {
			return fmt.Errorf("the commit %s, on which it is made, is not there", short(parent))
		}
	}
	return nil
}
