package agent

import (
	"io/fs"
	"strings"
	"time"
)

// Revision names one commit of a repository.
type Revision struct {
	// Name is how the commit was found: a branch or tag name, or a full reference name.
	// It is empty when the commit itself was asked for.
	Name string
	// Commit is the commit's object id in lower-case hexadecimal.
	Commit string
	// Time is when the commit was made, by the committer's clock.
	Time time.Time
	// Subject is the first line of the commit's message.
	Subject string
}

// String gives the form Flux uses too: main@sha1:<commit>, or sha1:<commit> when the
// commit was not found through a name.
func (r Revision) String() string {
	if r.Commit == "" {
		return ""
	}
	digest := "sha1:" + r.Commit
	if r.Name == "" {
		return digest
	}
	return r.Name + "@" + digest
}

// ParseRevision reads the string of a revision back. Time and Subject are not in it.
func ParseRevision(text string) Revision {
	name, commit, _ := strings.Cut(text, "sha1:")
	return Revision{Name: strings.TrimSuffix(name, "@"), Commit: commit}
}

// Short shortens a revision's string for people: main@4f2a9c1. It returns a string that
// is no revision unchanged.
func Short(revision string) string {
	name, commit, found := strings.Cut(revision, "sha1:")
	if !found || len(commit) < 7 {
		return revision
	}
	return name + commit[:7]
}

// Tree is the files of one revision, or of a working directory. Paths are slash-separated
// and relative to the root, as io/fs wants them. Links are not followed by a Tree: Lstat
// and ReadLink show them, and the reader decides (render follows them only inside the
// tree). A submodule shows as a directory entry of mode fs.ModeIrregular and cannot be
// opened.
//
// A Tree may be used from several goroutines at once.
type Tree interface {
	fs.ReadLinkFS
	fs.ReadDirFS
	fs.ReadFileFS
}
