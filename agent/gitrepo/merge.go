package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-dev/sluice/agent"
)

// MergeSpec says what is to be merged into what: commits, by their ids, that were fetched into the mirror.
type MergeSpec struct {
	// Name becomes the one of the merge's revision, such as refs/pull/7/merge.
	Name string
	// Ours is the tip of the branch that gets the merge.
	Ours string
	// Theirs is the head of what is merged into it.
	Theirs string
	// Ancestor is the newest commit that both come from. With an older one, what both sides have got
	// since then counts as changed by both: the merge is the same, but for two things. Where one of
	// them went on to change it there is a conflict, and what one of them took back stays.
	Ancestor string
}

// Merged is a merge that was made.
type Merged struct {
	Revision agent.Revision
	// Files that it changes, adds or removes in Ours, in order: the first of them, if they are many.
	// Their names are as they are in Git, which can be anything but empty.
	Files []string
	// Count is how many files that are.
	Count int
}

// Limits on merges.
const (
	maxListed = 10_000      // files, and those in conflict
	maxVisits = 500_000     // directories that are read
	maxText   = 1 << 20     // bytes of a file that both sides have changed
	maxEffort = 500_000_000 // comparisons of lines, of all files together; a second or two
	maxPath   = 4 << 10     // bytes of a directory's path; no system opens longer ones
)

// merger is the author of merges. Nobody but us ever sees them.
var merger = Author{Name: "Sluice", Email: "sluice@localhost"}

// Merge makes the commit that merging one commit into another comes to, as git merge would make it
// where it does not look for renamed files. It stays in the mirror, where OpenTree reads it like one
// that was fetched, until about as many others as are kept were made after it. The same merge made
// again is the same commit.
//
// Only what both sides have changed is read; the rest is taken over as it is.
//
// The error is an [*Error]: of Kind Conflict if people have to say what should become of a file.
func (m *Mirror) Merge(ctx context.Context, spec MergeSpec) (Merged, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	merged, err := m.merge(ctx, spec)
	switch {
	case err == nil:
		return merged, nil
	case ctx.Err() != nil:
		return Merged{}, &Error{Kind: Timeout, Message: "the merge was not done in time; it is tried again", Err: ctx.Err()}
	case kindOf(err) == "":
		return Merged{}, storageError(err)
	}
	return Merged{}, err
}

func (m *Mirror) merge(ctx context.Context, spec MergeSpec) (Merged, error) {
	if err := m.lock(ctx); err != nil {
		return Merged{}, err
	}
	defer m.unlock()
	g := m.current()
	if g == nil {
		return Merged{}, errNotFetched(spec.Ours)
	}
	merged, err := g.merge(ctx, spec)
	if isDamage(err) {
		err = damaged(g.dir, err)
	}
	return merged, err
}

// merge makes a merge in a repository that has all of the three commits.
func (g *generation) merge(ctx context.Context, spec MergeSpec) (Merged, error) {
	var ids, trees [3]plumbing.Hash
	var made time.Time
	for i, commit := range []string{spec.Ancestor, spec.Ours, spec.Theirs} {
		if err := (Want{Commit: commit}).check(); err != nil {
			return Merged{}, err
		}
		id, ok, err := g.have(plumbing.NewHash(commit))
		if err != nil {
			return Merged{}, err
		}
		if !ok {
			return Merged{}, errNotFetched(commit)
		}
		c, err := g.store.commit(id)
		if err != nil {
			return Merged{}, err
		}
		ids[i], trees[i] = id, c.TreeHash
		if i > 0 && c.Committer.When.After(made) {
			made = c.Committer.When
		}
	}
	w := &merging{ctx: ctx, store: g.store, visits: maxVisits, effort: maxEffort}
	tree, err := w.directory("", 0, trees[0], trees[1], trees[2])
	if err == nil {
		err = w.conflict()
	}
	if err != nil {
		return Merged{}, err
	}
	subject := fmt.Sprintf("Merge %s into %s", short(ids[2]), short(ids[1]))
	who := fmt.Sprintf("%s <%s> %d +0000", merger.Name, merger.Email, max(made.Unix(), 0))
	commit, err := w.new.add(plumbing.CommitObject, fmt.Appendf(nil, "tree %s\nparent %s\nparent %s\nauthor %s\ncommitter %s\n\n%s\n", tree, ids[1], ids[2], who, who, subject))
	if err == nil {
		err = g.keep(ctx, commit, &w.new)
	}
	if err != nil {
		return Merged{}, err
	}
	slices.Sort(w.files)
	return Merged{
		Revision: agent.Revision{Name: spec.Name, Commit: commit.String(), Time: time.Unix(max(made.Unix(), 0), 0).UTC(), Subject: subject},
		Files:    w.files,
		Count:    w.count,
	}, nil
}

// merging is a merge in the making. What is merged comes in threes, always in the order of its ancestor,
// ours, theirs; what is not there is zero.
type merging struct {
	ctx    context.Context
	store  *store
	new    newObjects
	visits int // directories that may still be read
	effort int // lines that may still be compared

	files     []string // that change in ours
	count     int
	conflicts []string
}

// conflict is the error for what could not be merged, nil for nothing.
func (w *merging) conflict() error {
	if len(w.conflicts) == 0 {
		return nil
	}
	slices.Sort(w.conflicts)
	return errorf(Conflict, "both sides have changed the same in different ways, in %s; merge the base branch into the branch of the pull request, and settle it there", few(slices.Compact(w.conflicts)))
}

// disagree notes what could not be merged. The merge goes on, to find the rest, but nothing comes of it.
func (w *merging) disagree(path string) error {
	w.conflicts = append(w.conflicts, path)
	if len(w.conflicts) == maxListed {
		return w.conflict()
	}
	return nil
}

// changed notes a file that is not as it is in ours.
func (w *merging) changed(path string) {
	if w.count++; w.count <= maxListed {
		w.files = append(w.files, path)
	}
}

// read reads directories at one path, which ends in a slash.
func (w *merging) read(at string, depth int, ids ...plumbing.Hash) ([]*directory, []string, error) {
	switch {
	case w.ctx.Err() != nil:
		return nil, nil, w.ctx.Err()
	case depth > maxDepth || len(at) > maxPath:
		return nil, nil, errorf(TooLarge, "the path %q is longer than %d KiB, or more than %d directories deep; shorten it", printable(at), maxPath>>10, maxDepth)
	}
	list := make([]*directory, len(ids))
	var names []string
	for i, id := range ids {
		if list[i] = (&directory{}); id.IsZero() {
			continue
		}
		if w.visits--; w.visits < 0 {
			return nil, nil, errorf(TooLarge, "the two sides differ in more than %d directories; merge them in smaller steps", maxVisits)
		}
		d, err := w.store.directory(id)
		if errors.Is(err, errTooBig) {
			err = errorf(TooLarge, "the directory %q has more than %d MiB of entries; split it", printable(at), maxDirectory>>20)
		}
		if err != nil {
			return nil, nil, err
		}
		list[i] = d
		for _, e := range d.entries {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return list, slices.Compact(names), nil
}

// directory merges three directories and returns the id of what comes out: zero if that is nothing.
func (w *merging) directory(at string, depth int, base, ours, theirs plumbing.Hash) (plumbing.Hash, error) {
	three, names, err := w.read(at, depth, base, ours, theirs)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	var entries []treeEntry
	for _, name := range names {
		merged, err := w.entry(at+name, depth, three[0].find(name), three[1].find(name), three[2].find(name))
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if merged.name != "" {
			entries = append(entries, merged)
		}
	}
	if len(entries) == 0 && depth > 0 {
		return plumbing.ZeroHash, nil
	}
	return w.add(plumbing.TreeObject, encodeDirectory(entries))
}

// add adds an object unless the repository has it.
func (w *merging) add(kind plumbing.ObjectType, content []byte) (plumbing.Hash, error) {
	if id := plumbing.ComputeHash(kind, content); w.store.has(id) {
		return id, nil
	}
	return w.new.add(kind, content)
}

// entry merges what is at one path: files on their own, and directories on their own. Both can come of
// it, where one side has put a directory in the place of a file; then they disagree.
func (w *merging) entry(path string, depth int, base, ours, theirs treeEntry) (treeEntry, error) {
	file, err := w.file(path, depth, base.unlessDir(), ours.unlessDir(), theirs.unlessDir())
	if err != nil {
		return treeEntry{}, err
	}
	dir, err := w.subdirectory(path, depth, base.ifDir(), ours.ifDir(), theirs.ifDir())
	switch {
	case err != nil || file.name == "":
		return dir, err
	case dir.name == "":
		return file, nil
	}
	return dir, w.disagree(path)
}

// unchanged merges what at least one side has left as it was, or both have changed in the same way.
func (w *merging) unchanged(path string, depth int, base, ours, theirs treeEntry) (merged treeEntry, ok bool, err error) {
	switch {
	case ours == theirs || base == theirs:
		return ours, true, nil
	case base == ours:
		return theirs, true, w.differ(path, depth, ours, theirs)
	}
	return treeEntry{}, false, nil
}

// differ notes all files that are not the same in two entries.
func (w *merging) differ(path string, depth int, ours, merged treeEntry) error {
	if ours.unlessDir() != merged.unlessDir() {
		w.changed(path)
	}
	a, b := ours.ifDir(), merged.ifDir()
	if a == b {
		return nil
	}
	both, names, err := w.read(path+"/", depth+1, a.id, b.id)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.differ(path+"/"+name, depth+1, both[0].find(name), both[1].find(name)); err != nil {
			return err
		}
	}
	return nil
}

// subdirectory merges a directory, which may not be on all sides.
func (w *merging) subdirectory(path string, depth int, base, ours, theirs treeEntry) (treeEntry, error) {
	if merged, ok, err := w.unchanged(path, depth, base, ours, theirs); ok || err != nil {
		return merged, err
	}
	id, err := w.directory(path+"/", depth+1, base.id, ours.id, theirs.id)
	if err != nil || id.IsZero() {
		return treeEntry{}, err
	}
	return treeEntry{name: path[strings.LastIndexByte(path, '/')+1:], mode: modeDir, id: id}, nil
}

// file merges what is no directory. Links and submodules are never taken apart.
func (w *merging) file(path string, depth int, base, ours, theirs treeEntry) (treeEntry, error) {
	if merged, ok, err := w.unchanged(path, depth, base, ours, theirs); ok || err != nil {
		return merged, err
	}
	if !ours.isRegular() || !theirs.isRegular() {
		return ours, w.disagree(path)
	}
	if !base.isRegular() {
		base = treeEntry{}
	}
	merged := ours
	var same, ok bool
	if merged.mode, same = choose(base.mode, ours.mode, theirs.mode); !same {
		return ours, w.disagree(path)
	}
	if merged.id, ok = choose(base.id, ours.id, theirs.id); !ok {
		var err error
		if merged.id, ok, err = w.content(base.id, ours.id, theirs.id); err != nil {
			return ours, err
		}
		if !ok {
			return ours, w.disagree(path)
		}
	}
	if merged != ours {
		w.changed(path)
	}
	return merged, nil
}

// choose takes the side that changed a value; false if both did, each in its own way.
func choose[T comparable](base, ours, theirs T) (T, bool) {
	if base == ours {
		return theirs, true
	}
	return ours, ours == theirs || base == theirs
}

// content merges the lines of files; false if that is for people to do.
func (w *merging) content(ids ...plumbing.Hash) (plumbing.Hash, bool, error) {
	var texts [3][]byte
	for i, id := range ids {
		if id.IsZero() {
			continue
		}
		text, err := w.store.readAs(plumbing.BlobObject, id, maxText)
		if errors.Is(err, errTooBig) {
			return plumbing.ZeroHash, false, nil
		}
		if err != nil {
			return plumbing.ZeroHash, false, err
		}
		texts[i] = text
	}
	merged, ok := mergeText(texts[0], texts[1], texts[2], &w.effort)
	if !ok {
		return plumbing.ZeroHash, false, nil
	}
	id, err := w.add(plumbing.BlobObject, merged)
	return id, err == nil, err
}
