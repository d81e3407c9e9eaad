package gitrepo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
)

// openClone opens the work tree of an origin as a clone, at a commit.
func (o *origin) openClone(commit string) *Tree {
	o.t.Helper()
	repo, err := git.PlainOpen(o.work)
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := gitobject.GetCommit(repo.Storer, plumbing.NewHash(commit))
	if err != nil {
		o.t.Fatal(err)
	}
	return CloneTree(repo.Storer, c)
}

// A clone shows the same files as a mirror, whether git has packed them or not.
func TestCloneIsLikeAMirror(t *testing.T) {
	o := newOrigin(t)
	if err := os.Symlink("a.txt", filepath.Join(o.work, "link")); err != nil {
		t.Fatal(err)
	}
	commit := o.commit("main", map[string]string{"a.txt": "a", "dir/b.txt": "b", "dir/deep/c.txt": "c"})
	mirror := o.tree(commit)
	for _, packed := range []bool{false, true} {
		if packed {
			o.git(o.work, "gc", "-q")
		}
		clone := o.openClone(commit)
		for _, name := range []string{".", "a.txt", "dir", "dir/b.txt", "dir/deep", "link", "nope"} {
			want, wantErr := mirror.Lstat(name)
			got, err := clone.Lstat(name)
			if errors.Is(err, fs.ErrNotExist) != errors.Is(wantErr, fs.ErrNotExist) || err == nil && fs.FormatFileInfo(got) != fs.FormatFileInfo(want) {
				t.Errorf("%s is %v (%v), in the mirror %v (%v)", name, got, err, want, wantErr)
			}
			id, _ := clone.ObjectID(name)
			if wantID, _ := mirror.ObjectID(name); id != wantID {
				t.Errorf("%s is %s, in the mirror %s", name, id, wantID)
			}
		}
		if target, err := clone.ReadLink("link"); target != "a.txt" || err != nil {
			t.Errorf("link: %q, %v", target, err)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for name, want := range map[string]string{"a.txt": "a", "dir/b.txt": "b", "dir/deep/c.txt": "c"} {
					if got, err := clone.ReadFile(name); string(got) != want || err != nil {
						t.Errorf("%s: %q, %v", name, got, err)
					}
				}
			})
		}
		group.Wait()
	}
}

// What a clone lacks is said, and not written into the directory one happens to be in.
func TestCloneThatIsNotWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	o := newOrigin(t)
	commit := o.commit("main", map[string]string{"a.txt": "a", "b.txt": "b"})
	lost := o.git(o.work, "rev-parse", commit+":a.txt")
	if err := os.Remove(filepath.Join(o.work, ".git/objects", lost[:2], lost[2:])); err != nil {
		t.Fatal(err)
	}
	clone := o.openClone(commit)
	_, err := clone.ReadFile("a.txt")
	if want := "read a.txt: this clone does not have the object " + lost + ", as it is a partial one or damaged: use a full clone"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if got, err := clone.ReadFile("b.txt"); string(got) != "b" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	clone.root.id = plumbing.NewHash(o.git(o.work, "rev-parse", commit+":b.txt")) // a directory that is none
	if _, err := clone.ReadFile("b.txt"); !isDamage(err) {
		t.Errorf("a file was read as a directory: %v", err)
	}
	here, err := os.ReadDir(".")
	if err != nil || len(here) > 0 {
		t.Errorf("left behind: %v, %v", here, err)
	}
}

// Files are opened where they are: in a mirror, in a clone or a linked work tree of it, or on disk.
func TestOpenFiles(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit("main", map[string]string{"a.txt": "committed"})
	m := newMirror(t)
	must(t, m, Remote{URL: "file://" + o.bare()}, Want{Branch: "main"})
	linked := filepath.Join(t.TempDir(), "linked")
	o.git(o.work, "worktree", "add", "-q", "--detach", linked)
	o.write(map[string]string{"a.txt": "edited"})
	for _, test := range []struct{ name, dir, commit, want string }{
		{"a mirror", m.dir, commit, "committed"},
		{"a clone", o.work, commit, "committed"},
		{"a linked work tree", linked, commit, "committed"},
		{"a work tree", o.work, "", "edited"},
		{"a linked work tree as it is", linked, "", "committed"},
	} {
		files, done, err := OpenFiles(test.dir, test.commit)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got, err := files.ReadFile("a.txt"); string(got) != test.want || err != nil {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
		done()
	}
	absent := "1234567890123456789012345678901234567890"
	for _, test := range []struct{ name, dir, commit, want string }{
		{"a mirror without it", m.dir, absent, "the commit " + absent + " is not in the mirror; fetch it"},
		{"a clone without it", o.work, absent, "this clone does not have the object " + absent + ", as it is a partial one or damaged: use a full clone"},
		{"no directory", filepath.Join(o.work, "nope"), absent, "the commit " + absent + " is not in the mirror; fetch it"},
	} {
		if _, _, err := OpenFiles(test.dir, test.commit); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, _, err := OpenFiles(filepath.Join(o.work, "nope"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no work tree: %v", err)
	}
}
