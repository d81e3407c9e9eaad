package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/utils/merkletrie"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/render"
	agentsync "github.com/sluice-dev/sluice/agent/sync"
)

// revert restores paths of one commit as they were in another. It writes Git objects and one
// reference, and never the work tree.
type revert struct {
	clone        *git.Repository
	base, target *object.Commit
	paths        []string
}

// rollback is the commit that does it.
type rollback struct {
	branch string
	commit *object.Commit
	files  []string // what it changes: "M overlays/web/deployment.yaml"
}

// commit writes the commit and its branch.
func (v revert) commit(overlay string, now time.Time) (rollback, error) {
	before, err := v.base.Tree()
	if err != nil {
		return rollback{}, err
	}
	restored, err := v.restore()
	if err != nil {
		return rollback{}, err
	}
	short := v.target.Hash.String()[:7]
	if restored == before.Hash {
		return rollback{}, fmt.Errorf("%s was at %s what it is now: there is nothing to restore; if the Overlay changed all the same, restore what else it reads with --path", strings.Join(v.paths, ", "), short)
	}
	author, err := v.author(now)
	if err != nil {
		return rollback{}, err
	}
	message := fmt.Sprintf("Roll back %s to %s\n\nRestores %s as of %s.\n", overlay, short, strings.Join(v.paths, ", "), v.target.Hash)
	if undone := v.undone(); len(undone) > 0 {
		message += "\nUndoes:\n" + strings.Join(undone, "\n") + "\n"
	}
	c := &object.Commit{Author: author, Committer: author, Message: message, TreeHash: restored, ParentHashes: []plumbing.Hash{v.base.Hash}}
	p := rollback{branch: "sluice/rollback-" + overlay + "-" + short}
	name := plumbing.NewBranchReferenceName(p.branch)
	if _, err := v.clone.Reference(name, false); err == nil {
		return rollback{}, fmt.Errorf("the branch %s is there already: push it, or delete it with git branch -D %s", p.branch, p.branch)
	}
	id, err := store(v.clone.Storer, c)
	if err != nil {
		return rollback{}, err
	}
	if p.commit, err = v.clone.CommitObject(id); err != nil {
		return rollback{}, err
	}
	if p.files, err = changedFiles(before, p.commit); err != nil {
		return rollback{}, err
	}
	return p, v.clone.Storer.SetReference(plumbing.NewHashReference(name, id))
}

// restore writes the root tree of base with the paths of target.
func (v revert) restore() (plumbing.Hash, error) {
	wanted, err := v.target.Tree()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	id := v.base.TreeHash
	for _, name := range v.paths {
		if name == "." {
			id = v.target.TreeHash
			continue
		}
		entry, err := wanted.FindEntry(name)
		if err != nil && !present(v.base, name) {
			return plumbing.ZeroHash, fmt.Errorf("there is no %s, neither at %s nor now: check how it is written", name, v.target.Hash.String()[:7])
		}
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("there is no %s at %s: choose a later revision", name, v.target.Hash.String()[:7])
		}
		if id, err = graft(v.clone.Storer, id, strings.Split(name, "/"), *entry); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	return id, nil
}

func present(c *object.Commit, name string) bool {
	tree, err := c.Tree()
	if err != nil {
		return false
	}
	_, err = tree.FindEntry(name)
	return err == nil
}

// graft writes a tree in which one path is another entry.
func graft(s storer.EncodedObjectStorer, id plumbing.Hash, path []string, entry object.TreeEntry) (plumbing.Hash, error) {
	tree := &object.Tree{}
	if id != plumbing.ZeroHash {
		var err error
		if tree, err = object.GetTree(s, id); err != nil {
			return id, err
		}
	}
	entry.Name = path[0]
	entries := slices.Clone(tree.Entries)
	at := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == path[0] })
	if len(path) > 1 {
		below := plumbing.ZeroHash
		if at >= 0 && entries[at].Mode == filemode.Dir {
			below = entries[at].Hash
		}
		grafted, err := graft(s, below, path[1:], entry)
		if err != nil {
			return id, err
		}
		entry = object.TreeEntry{Name: path[0], Mode: filemode.Dir, Hash: grafted}
	}
	if at >= 0 {
		entries[at] = entry
	} else {
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b object.TreeEntry) int { return strings.Compare(gitOrder(a), gitOrder(b)) })
	return store(s, &object.Tree{Entries: entries})
}

// gitOrder is what Git sorts the entries of a tree by.
func gitOrder(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}

func store(s storer.EncodedObjectStorer, o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := s.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return s.SetEncodedObject(encoded)
}

// author is whoever Git is configured for.
func (v revert) author(now time.Time) (object.Signature, error) {
	c, err := v.clone.ConfigScoped(config.SystemScope)
	if err != nil {
		return object.Signature{}, err
	}
	if c.User.Name == "" || c.User.Email == "" {
		return object.Signature{}, errors.New("Git does not know who you are: git config user.name NAME, and git config user.email ADDRESS")
	}
	return object.Signature{Name: c.User.Name, Email: c.User.Email, When: now}, nil
}

func changedFiles(before *object.Tree, c *object.Commit) ([]string, error) {
	after, err := c.Tree()
	if err != nil {
		return nil, err
	}
	changes, err := before.Diff(after)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, change := range changes {
		action, err := change.Action()
		if err != nil {
			return nil, err
		}
		switch action {
		case merkletrie.Insert:
			files = append(files, "A "+change.To.Name)
		case merkletrie.Delete:
			files = append(files, "D "+change.From.Name)
		default:
			files = append(files, "M "+change.To.Name)
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return files, nil
}

// maxWalk is how many commits are looked at for those that are undone.
const maxWalk = 1000

// undone lists the commits between target and base, along first parents, that changed the
// paths: newest first.
func (v revert) undone() []string {
	var found []string
	for c, n := v.base, 0; c.Hash != v.target.Hash && n < maxWalk && c.NumParents() > 0; n++ {
		parent, err := c.Parent(0)
		if err != nil {
			break // a shallow clone ends here
		}
		if slices.ContainsFunc(v.paths, func(name string) bool { return idAt(c, name) != idAt(parent, name) }) {
			found = append(found, c.Hash.String()[:7]+" "+subject(c))
		}
		c = parent
	}
	return found
}

// idAt is the object id of a path in a commit, zero if there is none.
func idAt(c *object.Commit, name string) plumbing.Hash {
	if name == "." {
		return c.TreeHash
	}
	tree, err := c.Tree()
	if err != nil {
		return plumbing.ZeroHash
	}
	entry, err := tree.FindEntry(name)
	if err != nil {
		return plumbing.ZeroHash
	}
	return entry.Hash
}

// left lists the files which the Overlay reads, then or with the proposal, and which the
// proposal does not restore.
func (v revert) left(p rollback, o *v1alpha1.Overlay) ([]string, error) {
	read := map[string]bool{}
	for _, c := range []*object.Commit{v.target, p.commit} {
		spec := agentsync.SpecOf(o, nil)
		spec.Substitute = nil // it changes values, not what is read
		if _, err := render.Build(tracing{gitrepo.CloneTree(v.clone.Storer, c), &sync.Mutex{}, read}, spec, render.DefaultLimits()); err != nil {
			return nil, err
		}
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if idAt(v.target, name) != idAt(p.commit, name) {
			differ = append(differ, name)
		}
	}
	return differ, nil
}

// tracing notes which files of a tree are read.
type tracing struct {
	agent.Tree
	mu   *sync.Mutex
	read map[string]bool
}

// ReadFile notes the name and reads the file.
func (t tracing) ReadFile(name string) ([]byte, error) {
	t.mu.Lock()
	t.read[name] = true
	t.mu.Unlock()
	return t.Tree.ReadFile(name)
}
