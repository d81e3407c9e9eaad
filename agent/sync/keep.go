package sync

import (
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
)

// Keep holds on disk what the last renders came to, so that an agent that starts anew need not
// render what has not changed. There are names and digests in it, and no contents: where
// something is to be applied, it is rendered after all. A file that is lost or damaged costs
// a render and nothing else.
type Keep struct {
	// Dir has a file for each Overlay. Empty: nothing is kept.
	Dir string
	// Program tells versions of the program apart: another one may render otherwise.
	Program string
}

// sketch is a set without what is in its objects.
type sketch struct {
	Program string
	// Spec is the digest of what the set was rendered from, besides the files in Traces.
	Spec   string
	Traces []trace.Trace
	Set    agent.Set
}

func (k Keep) file(owner agent.Owner) string {
	return filepath.Join(k.Dir, owner.Namespace+"_"+owner.Name)
}

// load returns what is kept of an Overlay, if it is from the same program and spec.
func (k Keep) load(owner agent.Owner, spec string) (sketch, bool) {
	if k.Dir == "" {
		return sketch{}, false
	}
	file, err := os.Open(k.file(owner))
	if err != nil {
		return sketch{}, false
	}
	defer file.Close()
	var s sketch
	if err := gob.NewDecoder(file).Decode(&s); err != nil {
		return sketch{}, false
	}
	return s, s.Program == k.Program && s.Spec == spec
}

// save keeps a set of an Overlay. It replaces a file as a whole or not at all.
func (k Keep) save(owner agent.Owner, s sketch) error {
	if k.Dir == "" {
		return nil
	}
	s.Program = k.Program
	s.Set.Objects = slices.Clone(s.Set.Objects)
	for n := range s.Set.Objects {
		s.Set.Objects[n].JSON = nil
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(k.Dir, ".new-*")
	if err != nil {
		return err
	}
	err = errors.Join(gob.NewEncoder(file).Encode(s), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), k.file(owner))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// forget drops what is kept of an Overlay.
func (k Keep) forget(owner agent.Owner) error {
	if k.Dir == "" {
		return nil
	}
	if err := os.Remove(k.file(owner)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
