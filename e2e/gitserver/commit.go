package gitserver

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	authorName  = "Gitserver"
	authorEmail = "gitserver@example.com"
)

// Change is what a commit does. Paths have slashes, and any other bytes a name can have.
type Change struct {
	// Branch the commit is added to: main when empty. A branch that is not there begins
	// with it.
	Branch string
	// Message of the commit.
	Message string
	// Author and committer, "Name <email>": the server's own when empty.
	Author string
	// Files to write: content by path.
	Files map[string]string
	// Executables to write: content by path.
	Executables map[string]string
	// Symlinks to write: target by path.
	Symlinks map[string]string
	// Submodules to write: commit by path.
	Submodules map[string]string
	// Delete removes files, or directories with all they hold.
	Delete []string
	// Time of the commit: now when zero.
	Time time.Time
	// Orphan begins the branch anew: the commit has no parent and no files but its own.
	Orphan bool
}

// Commit makes a commit and returns its hash.
func (r *Repo) Commit(change Change) (hash string, err error) {
	if change.Branch == "" {
		change.Branch = "main"
	}
	if change.Message == "" {
		change.Message = "Change " + change.Branch
	}
	if change.Author == "" {
		change.Author = authorName + " <" + authorEmail + ">"
	}
	if change.Time.IsZero() {
		change.Time = time.Now()
	}
	ref := "refs/heads/" + change.Branch
	parent := ""
	if !change.Orphan {
		if parent, err = r.Git("for-each-ref", "--format=%(objectname)", ref); err != nil {
			return "", err
		}
	}
	arguments := []string{"fast-import", "--quiet", "--date-format=raw"}
	if change.Orphan {
		arguments = append(arguments, "--force") // the branch loses what it had
	}
	if _, err := git(r.Dir, change.stream(ref, parent), arguments...); err != nil {
		return "", fmt.Errorf("committing to %s: %w", change.Branch, err)
	}
	return r.Hash(ref)
}

// stream is the commit in the language of git fast-import.
func (c Change) stream(ref, parent string) *bytes.Buffer {
	var b bytes.Buffer
	fmt.Fprintf(&b, "commit %s\ncommitter %s %d +0000\n%s", ref, c.Author, c.Time.Unix(), data(c.Message))
	if parent != "" {
		fmt.Fprintf(&b, "from %s\n", parent)
	}
	for _, path := range c.Delete {
		fmt.Fprintf(&b, "D %s\n", quoted(path))
	}
	for _, kind := range []struct {
		mode    string
		content map[string]string
	}{
		{"100644", c.Files},
		{"100755", c.Executables},
		{"120000", c.Symlinks},
	} {
		for _, path := range slices.Sorted(maps.Keys(kind.content)) {
			fmt.Fprintf(&b, "M %s inline %s\n%s", kind.mode, quoted(path), data(kind.content[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(c.Submodules)) {
		fmt.Fprintf(&b, "M 160000 %s %s\n", c.Submodules[path], quoted(path))
	}
	return &b
}

func data(content string) string { return fmt.Sprintf("data %d\n%s\n", len(content), content) }

// quoted is a path as fast-import wants one that may hold anything.
func quoted(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(path) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
