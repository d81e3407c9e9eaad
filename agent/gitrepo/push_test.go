package gitrepo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const proposed = "sluice/promote/fraud-production-v8"

// edit is a commit that changes files.
func edit(base string, files map[string]string) Commit {
	c := Commit{
		Base: base, Branch: proposed, Topic: "promote fraud in production to v8",
		Message: "fraud: promote v8 to production\n\n- soaked for 30m",
		Author:  Author{Name: "Sluice", Email: "sluice@example.com"},
		Time:    time.Unix(1764000000, 0),
		Files:   map[string][]byte{},
	}
	for name, content := range files {
		c.Files[name] = []byte(content)
	}
	return c
}

// mirrored is an origin with everything that a change can meet, and a mirror of it.
func mirrored(t testing.TB) (o *origin, m *Mirror, base string) {
	t.Helper()
	o = newOrigin(t)
	o.git(o.bare(), "config", "receive.fsckObjects", "true")
	o.write(map[string]string{
		"a.txt": "a1\n", "dir/b.txt": "b1\n", "dir/sub/c.txt": "c1\n", "dir/run.sh": "#!/bin/sh\n", "dir.txt": "d\n", "dir-x/e.txt": "e\n", "lonely/deep/f.txt": "f\n",
	})
	if err := errors.Join(os.Chmod(o.work+"/dir/run.sh", 0o755), os.Symlink("../a.txt", o.work+"/dir/link")); err != nil {
		t.Fatal(err)
	}
	first := o.commit("main", nil)
	base = o.commit("main", map[string]string{"a.txt": "a2\n"})
	m = newMirror(t)
	must(t, m, o.http(), Want{Branch: "main"})
	if m.gen.store.has(plumbing.NewHash(first)) {
		t.Fatal("the mirror is not shallow")
	}
	return o, m, base
}

// at is where a branch of the remote is; empty if it is not there.
func (o *origin) at(branch string) string {
	for line := range strings.Lines(o.git(o.bare(), "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"+branch) + "\n") {
		if id, name, _ := strings.Cut(strings.TrimSpace(line), " "); name == "refs/heads/"+branch {
			return id
		}
	}
	return ""
}

// list is what git says is in a commit.
func (o *origin) list(commit string) []string {
	return strings.Split(o.git(o.bare(), "ls-tree", "-r", commit), "\n")
}

// snapshot is the content of every file below a directory.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPushOverEveryTransport(t *testing.T) {
	for _, transport := range []string{"http", "ssh", "file"} {
		t.Run(transport, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			o, m, base := mirrored(t)
			s := o.ssh("")
			remote := map[string]Remote{
				"http": o.http(),
				"ssh":  {URL: s.url(), Auth: auth(t, s.secret(), s.url())},
				"file": {URL: "file://" + o.bare()},
			}[transport]
			push := func(c Commit) string {
				t.Helper()
				id, err := Push(t.Context(), m.dir, remote, c)
				if err != nil {
					t.Fatal(err)
				}
				if got := o.at(proposed); got != id {
					t.Fatalf("the branch is at %s, want %s", got, id)
				}
				o.git(o.bare(), "fsck", "--strict", "--full")
				return id
			}

			first := push(edit(base, map[string]string{"dir/sub/c.txt": "c2\n"}))
			if got, want := o.git(o.bare(), "show", "--format=%P %an <%ae> %at %cn <%ce> %ct%n%B", first), base+` Sluice <sluice@example.com> 1764000000 Sluice <sluice@example.com> 1764000000
fraud: promote v8 to production

- soaked for 30m

Sluice-Topic: promote fraud in production to v8


diff --git a/dir/sub/c.txt b/dir/sub/c.txt
index ae93045..16f9ec0 100644
--- a/dir/sub/c.txt
+++ b/dir/sub/c.txt
@@ -1 +1 @@
-c1
+c2`; got != want {
				t.Errorf("git shows\n%s\nwant\n%s", got, want)
			}

			again := edit(base, map[string]string{"dir/sub/c.txt": "c2\n"})
			if id := push(again); id != first {
				t.Errorf("the same again is %s, want %s", id, first)
			}
			again.Time, again.Message = again.Time.Add(time.Hour), "fraud: promote v8 to production\n\n- soaked for 90m"
			if id := push(again); id != first {
				t.Errorf("the same with other evidence is %s, want %s", id, first)
			}
			second := push(edit(base, map[string]string{"dir/sub/c.txt": "c3\n"}))
			if second == first {
				t.Error("another content is no other commit")
			}

			base = o.commit("main", map[string]string{"a.txt": "a3\n"})
			must(t, m, o.http(), Want{Branch: "main"})
			before := snapshot(t, m.dir)
			third := push(edit(base, map[string]string{"dir/sub/c.txt": "c3\n"}))
			if parent := o.git(o.bare(), "rev-parse", third+"^"); parent != base || third == second {
				t.Errorf("the commit %s on a new base has the parent %s, want %s", third, parent, base)
			}

			if err := DeleteBranch(t.Context(), remote, proposed, second); kindOf(err) != NotOurs {
				t.Errorf("a branch that moved was deleted: %v", err)
			}
			for range 2 { // the second time it is gone
				if err := DeleteBranch(t.Context(), remote, proposed, third); err != nil || o.at(proposed) != "" {
					t.Errorf("the branch is still at %q: %v", o.at(proposed), err)
				}
			}
			if !maps.Equal(before, snapshot(t, m.dir)) {
				t.Error("the mirror changed")
			}
			leftovers, err := filepath.Glob(filepath.Join(os.TempDir(), "sluice-tip-*"))
			if err != nil || len(leftovers) > 0 {
				t.Errorf("left behind: %v, %v", leftovers, err)
			}
		})
	}
}

// What a commit holds beside the files that it changes stays as it was.
func TestPushChangesNothingElse(t *testing.T) {
	o, m, base := mirrored(t)
	remote := Remote{URL: "file://" + o.bare()}
	before := o.list(base)
	blob := func(content string) string {
		id := plumbing.ComputeHash(plumbing.BlobObject, []byte(content))
		return id.String()
	}
	cases := map[string]struct {
		files   map[string]string
		deleted []string
		removed []string // lines of before
		added   []string
	}{
		"a file":                       {files: map[string]string{"a.txt": "x"}, removed: []string{"a.txt"}, added: []string{"100644 blob " + blob("x") + "\ta.txt"}},
		"an executable":                {files: map[string]string{"dir/run.sh": "x"}, removed: []string{"dir/run.sh"}, added: []string{"100755 blob " + blob("x") + "\tdir/run.sh"}},
		"a new file":                   {files: map[string]string{"dir/new.txt": "x"}, added: []string{"100644 blob " + blob("x") + "\tdir/new.txt"}},
		"an empty file":                {files: map[string]string{"empty": ""}, added: []string{"100644 blob " + blob("") + "\tempty"}},
		"new directories":              {files: map[string]string{"new/deep/er/x.txt": "x", "new/y.txt": "x"}, added: []string{"100644 blob " + blob("x") + "\tnew/deep/er/x.txt", "100644 blob " + blob("x") + "\tnew/y.txt"}},
		"a directory that sorts oddly": {files: map[string]string{"a.txt.d/x": "x", "a/x": "x", "dir0/x": "x"}, added: []string{"100644 blob " + blob("x") + "\ta.txt.d/x", "100644 blob " + blob("x") + "\ta/x", "100644 blob " + blob("x") + "\tdir0/x"}},
		"a deletion":                   {deleted: []string{"dir/b.txt"}, removed: []string{"dir/b.txt"}},
		"a directory that gets empty":  {deleted: []string{"lonely/deep/f.txt"}, removed: []string{"lonely/deep/f.txt"}},
		"all at once": {files: map[string]string{"dir/sub/c.txt": "x", "ünïcode name": "x"}, deleted: []string{"a.txt"}, removed: []string{"a.txt", "dir/sub/c.txt"},
			added: []string{"100644 blob " + blob("x") + "\tdir/sub/c.txt", "100644 blob " + blob("x") + "\t\"\\303\\274n\\303\\257code name\""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			commit := edit(base, c.files)
			commit.Branch = "sluice/" + strings.ReplaceAll(name, " ", "-")
			for _, name := range c.deleted {
				commit.Files[name] = nil
			}
			id, err := Push(t.Context(), m.dir, remote, commit)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.DeleteFunc(slices.Clone(before), func(line string) bool {
				_, name, _ := strings.Cut(line, "\t")
				return slices.Contains(c.removed, name)
			})
			want = append(want, c.added...)
			got := o.list(id)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("git lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
	o.git(o.bare(), "fsck", "--strict", "--full")
}

func TestPushRefusesWhatIsNoCommit(t *testing.T) {
	o := newOrigin(t)
	o.commit("main", map[string]string{"a.txt": "a", "dir/b.txt": "b"})
	if err := os.Symlink("a.txt", o.work+"/link"); err != nil {
		t.Fatal(err)
	}
	o.git(o.work, "add", "-A")
	o.git(o.work, "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("ab", 20)+",module")
	o.git(o.work, "commit", "-q", "-m", "links")
	o.git(o.work, "push", "-q", "origin", "main")
	base := o.head()
	m := newMirror(t)
	remote := Remote{URL: "file://" + o.bare()}
	must(t, m, remote, Want{Branch: "main"})
	with := func(change func(*Commit)) Commit {
		c := edit(base, map[string]string{"a.txt": "x"})
		change(&c)
		return c
	}
	writes := func(names ...string) Commit {
		return with(func(c *Commit) {
			c.Files = map[string][]byte{}
			for _, name := range names {
				c.Files[name] = []byte("x")
			}
		})
	}
	deletes := func(name string) Commit { return with(func(c *Commit) { c.Files = map[string][]byte{name: nil} }) }
	cases := map[string]struct {
		commit Commit
		kind   Kind
		says   string
	}{
		"base not fetched":    {with(func(c *Commit) { c.Base = strings.Repeat("12", 20) }), NotFetched, "fetch it"},
		"base is no commit":   {with(func(c *Commit) { c.Base = "main" }), NotFetched, "fetch it"},
		"nothing changes":     {with(func(c *Commit) { c.Files["a.txt"] = []byte("a") }), Invalid, "would change nothing"},
		"no files":            {writes(), Invalid, "would change nothing"},
		"branch main":         {with(func(c *Commit) { c.Branch = "main" }), Invalid, "begin with sluice/"},
		"a tag":               {with(func(c *Commit) { c.Branch = "../tags/sluice/x" }), Invalid, "begin with sluice/"},
		"no message":          {with(func(c *Commit) { c.Message = "\n\nbody" }), Invalid, "message"},
		"message too long":    {with(func(c *Commit) { c.Message = strings.Repeat("x", maxMessage+1) }), Invalid, "message"},
		"message with NUL":    {with(func(c *Commit) { c.Message = "a\x00b" }), Invalid, "message"},
		"no topic":            {with(func(c *Commit) { c.Topic = "" }), Invalid, "topic"},
		"topic of two lines":  {with(func(c *Commit) { c.Topic = "a\nb" }), Invalid, "topic"},
		"author with newline": {with(func(c *Commit) { c.Author.Name = "a\ncommitter b" }), Invalid, "author"},
		"author with bracket": {with(func(c *Commit) { c.Author.Email = "a> b <c" }), Invalid, "author"},
		"no author":           {with(func(c *Commit) { c.Author = Author{} }), Invalid, "author"},
		"no time":             {with(func(c *Commit) { c.Time = time.Time{} }), Invalid, "no time"},
		"path up":             {writes("../x"), Invalid, "no path"},
		"absolute path":       {writes("/etc/passwd"), Invalid, "no path"},
		"the root":            {writes("."), Invalid, "no path"},
		"into .git":           {writes("dir/.Git/hooks/x"), Invalid, "no path"},
		"NUL in a path":       {writes("a\x00b"), Invalid, "no path"},
		"a link":              {writes("link"), Invalid, "symbolic link"},
		"through a link":      {writes("link/x"), Invalid, "symbolic link"},
		"a submodule":         {writes("module"), Invalid, "submodule"},
		"a directory":         {writes("dir"), Invalid, "is a directory"},
		"through a file":      {writes("a.txt/x"), Invalid, "is a file"},
		"file and directory":  {writes("n", "n/x"), Invalid, "a file and a directory"},
		"delete a directory":  {deletes("dir"), Invalid, "is a directory"},
		"delete what is not":  {deletes("dir/nope"), Invalid, "dir/nope is not there"},
		"delete in nothing":   {deletes("nope/nope"), Invalid, "nope/nope is not there"},
		"too deep":            {writes(strings.Repeat("d/", maxDepth+2) + "x"), TooLarge, "deep"},
		"too large":           {with(func(c *Commit) { c.Files["a.txt"] = make([]byte, maxNew+1) }), TooLarge, "MiB"},
		"too many files": {with(func(c *Commit) {
			for n := range maxChanged {
				c.Files[strings.Repeat("x", n+1)] = nil
			}
		}), TooLarge, "1000"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			id, err := Push(t.Context(), m.dir, remote, c.commit)
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || id != "" {
				t.Errorf("%q, %v (%s), want %s, %q", id, err, kindOf(err), c.kind, c.says)
			}
		})
	}
	if refs := o.git(o.bare(), "for-each-ref", "--format=%(refname)"); refs != "refs/heads/main" {
		t.Errorf("the remote has %s", refs)
	}
}

func TestCheckBranch(t *testing.T) {
	good := []string{proposed, "sluice/revert/fraud-staging-v1.2.3", "sluice/a", "sluice/a/b/c_d", "sluice/ünïcode"}
	bad := []string{
		"", "main", "sluice", "sluice/", "Sluice/a", "sluicer/a", "/sluice/a", "refs/heads/sluice/a", "sluice//a", "sluice/a/", "sluice/a//b",
		"sluice/../main", "sluice/a..b", "sluice/.a", "sluice/a.lock", "sluice/a.lock/b", "sluice/a.", "sluice/-a", "sluice/a/--force", "sluice/a b", "sluice/a~b",
		"sluice/a^b", "sluice/a:b", "sluice/a?b", "sluice/a*b", "sluice/a[b", `sluice/a\b`, "sluice/@{a}", "sluice/@", "sluice/a\nb", "sluice/a\x7fb", "sluice/a\x00b", "sluice/a\xffb",
		"sluice/a\u202eb", "sluice/" + strings.Repeat("a", longestBranch),
	}
	for _, branch := range good {
		if err := CheckBranch(branch); err != nil {
			t.Errorf("%q: %v", branch, err)
		}
		if err := exec.Command("git", "check-ref-format", "refs/heads/"+branch).Run(); err != nil {
			t.Errorf("git refuses %q: %v", branch, err)
		}
	}
	for _, branch := range bad {
		if err := CheckBranch(branch); kindOf(err) != Invalid {
			t.Errorf("%q: %v", branch, err)
		}
	}
}

// others is what somebody else may have done to the branch before we look at it.
func TestPushLeavesOthersAlone(t *testing.T) {
	elsewhere := func(o *origin, id string, args ...string) string {
		o.git(o.work, "fetch", "-q", "origin", id)
		o.git(o.work, "checkout", "-q", id)
		o.git(o.work, args...)
		o.git(o.work, "push", "-q", "-f", "origin", "HEAD:refs/heads/"+proposed)
		return o.head()
	}
	cases := map[string]struct {
		change func(o *origin, id string) string
	}{
		"a commit on top of ours": {change: func(o *origin, id string) string {
			return elsewhere(o, id, "commit", "-q", "--allow-empty", "-m", "more")
		}},
		"ours amended": {change: func(o *origin, id string) string {
			return elsewhere(o, id, "commit", "-q", "--amend", "-m", o.git(o.bare(), "log", "-1", "--format=%B", id))
		}},
		"a merge": {change: func(o *origin, id string) string {
			o.git(o.work, "checkout", "-q", "-b", "other")
			o.commit("other", map[string]string{"other.txt": "o"})
			return elsewhere(o, id, "merge", "-q", "--no-ff", "-m", "merge", "other")
		}},
		"another topic of ours": {change: func(o *origin, id string) string {
			return elsewhere(o, id, "-c", "user.name=x", "-c", "alias.again=!GIT_COMMITTER_NAME=Sluice GIT_COMMITTER_EMAIL=sluice@example.com git commit -q --amend -m other", "again")
		}},
		"a huge commit": {change: func(o *origin, id string) string {
			noise := make([]byte, minBudget+1<<20)
			for n := range noise {
				noise[n] = byte(n * n >> 3 * n >> 7)
			}
			return o.commit(proposed, map[string]string{"noise": string(noise)})
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o, m, base := mirrored(t)
			remote := o.http()
			id, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"}))
			if err != nil {
				t.Fatal(err)
			}
			theirs := c.change(o, id)
			again := edit(base, map[string]string{"a.txt": "y"})
			again.Replaces = id // which it is not any more
			_, err = Push(t.Context(), m.dir, remote, again)
			want := remote.URL + ": the branch " + proposed + " is at " + theirs[:7] + ", which is not an earlier attempt at this commit; merge or delete the branch"
			if kindOf(err) != NotOurs || err.Error() != want || o.at(proposed) != theirs {
				t.Errorf("%v (%s)\nwant %s\nthe branch is at %s, want %s", err, kindOf(err), want, o.at(proposed), theirs)
			}
			again.Replaces = theirs
			id, err = Push(t.Context(), m.dir, remote, again)
			if err != nil || o.at(proposed) != id {
				t.Errorf("what is on record was not replaced: %v", err)
			}
		})
	}
}

// A branch that was merged, or that somebody made of main, has nothing that could get lost.
func TestPushReplacesWhatTheBaseHas(t *testing.T) {
	for _, transport := range []string{"http", "file"} {
		o, m, base := mirrored(t)
		remote := map[string]Remote{"http": o.http(), "file": {URL: "file://" + o.bare()}}[transport]
		id, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"}))
		if err != nil {
			t.Fatal(err)
		}
		o.git(o.work, "fetch", "-q", "origin", proposed)
		o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge", id)
		o.commit("main", nil)
		base = o.commit("main", map[string]string{"a.txt": "a2\n"})
		must(t, m, remote, Want{Branch: "main"})
		again, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"}))
		if err != nil || o.at(proposed) != again || again == id {
			t.Errorf("%s: %s, %v, the branch is at %s", transport, again, err, o.at(proposed))
		}
		o.git(o.bare(), "update-ref", "refs/heads/"+proposed, base)
		if last, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"})); err != nil || last != again {
			t.Errorf("%s: %s, %v, want %s", transport, last, err, again)
		}
	}
}

// A server that says nothing about a branch has not said that nothing would get lost.
func TestPushTakesNoSilenceForConsent(t *testing.T) {
	o, m, base := mirrored(t)
	theirs := o.commit(proposed, map[string]string{"a.txt": "theirs\n"})
	backend := o.backend()
	remote := Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "receive-pack") {
			backend.ServeHTTP(w, r)
		}
	}))}
	if _, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"})); kindOf(err) != Network || o.at(proposed) != theirs {
		t.Errorf("%v (%s), the branch is at %s, want %s", err, kindOf(err), o.at(proposed), theirs)
	}
}

// A branch that moves between our look and our update is not overwritten.
func TestPushComparesAndSwaps(t *testing.T) {
	for _, there := range []bool{false, true} {
		o, m, base := mirrored(t)
		direct := o.http()
		if there {
			if _, err := Push(t.Context(), m.dir, direct, edit(base, map[string]string{"a.txt": "x"})); err != nil {
				t.Fatal(err)
			}
		}
		backend := o.backend()
		moving := Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "receive-pack") {
				o.git(o.bare(), "update-ref", "refs/heads/"+proposed, "main")
			}
			backend.ServeHTTP(w, r)
		}))}
		_, err := Push(t.Context(), m.dir, moving, edit(base, map[string]string{"a.txt": "y"}))
		if kindOf(err) != Moved || !Moved.Temporary() || o.at(proposed) != base {
			t.Errorf("there %v: %v (%s), the branch is at %s, want %s", there, err, kindOf(err), o.at(proposed), base)
		}
	}
	// A repository on the disk compares as well.
	o, m, base := mirrored(t)
	u, err := openUpdate(t.Context(), Remote{URL: "file://" + o.bare()}, proposed)
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	if _, err := Push(t.Context(), m.dir, Remote{URL: "file://" + o.bare()}, edit(base, map[string]string{"a.txt": "x"})); err != nil {
		t.Fatal(err)
	}
	tip := o.at(proposed)
	if err := u.set(t.Context(), plumbing.NewHash(base), nil); kindOf(err) != Moved || o.at(proposed) != tip {
		t.Errorf("%v, the branch is at %s, want %s", err, o.at(proposed), tip)
	}
}

func TestPushOfTheSameCostsNoPack(t *testing.T) {
	o, m, base := mirrored(t)
	var packs, requests atomic.Int64
	backend := o.backend()
	remote := Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "receive-pack") {
			packs.Add(1)
		}
		backend.ServeHTTP(w, r)
	}))}
	c := edit(base, map[string]string{"a.txt": "x"})
	for n, want := range []struct{ packs, requests int64 }{{1, 2}, {1, 3}, {1, 4}} {
		if _, err := Push(t.Context(), m.dir, remote, c); err != nil {
			t.Fatal(err)
		}
		if packs.Load() != want.packs || requests.Load() != want.requests {
			t.Errorf("push %d: %d packs and %d requests so far, want %+v", n, packs.Load(), requests.Load(), want)
		}
	}
}

func (o *origin) hook(name, script string) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.bare(), "hooks", name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		o.t.Fatal(err)
	}
}

func TestPushSaysWhyItIsRefused(t *testing.T) {
	const password = "s3cret-p@ss/word"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+password))
	const noPush = "the server forbids pushing to the repository; give the user, token or key of the Secret write access to it"
	secret := data("username", "ana", "password", password)
	// unless serves what matches with a status, and all else with git.
	unless := func(o *origin, status int, matches func(*http.Request) bool) Remote {
		backend := o.backend()
		return Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if matches(r) {
				http.Error(w, "no, "+r.Header.Get("Authorization"), status)
				return
			}
			backend.ServeHTTP(w, r)
		}))}
	}
	asks := func(r *http.Request) bool { return r.URL.Query().Get("service") == "git-receive-pack" }
	sends := func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack")
	}
	withBasic := func(r Remote) Remote { r.Auth = auth(t, secret, r.URL); return r }
	cases := map[string]struct {
		remote func(o *origin) Remote
		kind   Kind
		says   string
	}{
		"read only, when asked": {func(o *origin) Remote { return withBasic(unless(o, http.StatusForbidden, asks)) }, AuthenticationFailed, noPush},
		"read only, when sent":  {func(o *origin) Remote { return withBasic(unless(o, http.StatusForbidden, sends)) }, AuthenticationFailed, noPush},
		"no push over http": {func(o *origin) Remote {
			o.git(o.bare(), "config", "http.receivepack", "false")
			return o.http()
		}, AuthenticationFailed, noPush},
		"wrong password": {func(o *origin) Remote {
			return withBasic(Remote{URL: serve(t, guarded(o.backend(), "Basic b3RoZXI="))})
		}, AuthenticationFailed, "does not accept the credentials"},
		"with the password": {func(o *origin) Remote { return withBasic(Remote{URL: serve(t, guarded(o.backend(), basic))}) }, "", ""},
		"not found":         {func(o *origin) Remote { return unless(o, http.StatusNotFound, asks) }, NotFound, "no such repository"},
		"server error":      {func(o *origin) Remote { return unless(o, http.StatusBadGateway, sends) }, Network, "502"},
		"pre-receive hook": {func(o *origin) Remote {
			o.hook("pre-receive", "echo only Ana may push to $PWD >&2; exit 1")
			return o.http()
		}, Refused, "pre-receive hook declined (only Ana may push to"},
		"pre-receive hook over ssh": {func(o *origin) Remote {
			o.hook("pre-receive", "echo only Ana >&2; exit 1")
			s := o.ssh("")
			return Remote{URL: s.url(), Auth: auth(t, s.secret(), s.url())}
		}, Refused, "the server refused the branch " + proposed + ": pre-receive hook declined (only Ana); let the account of the Secret push branches below sluice/, or see what the server checks"},
		"protected branch": {func(o *origin) Remote {
			o.hook("update", "case $1 in refs/heads/sluice/*) exit 1;; esac")
			return o.http()
		}, Refused, "the server refused the branch " + proposed + ": hook declined (error: hook declined to update"},
		"hook that echoes the secret": {func(o *origin) Remote {
			o.hook("pre-receive", "echo '"+password+"' >&2; exit 1")
			return withBasic(o.http())
		}, Refused, "hook declined (***)"},
		"hidden references": {func(o *origin) Remote {
			o.git(o.bare(), "config", "receive.hideRefs", "refs/heads/sluice")
			return o.http()
		}, Refused, "deny updating a hidden ref"},
		"a branch in the way": {func(o *origin) Remote {
			o.git(o.bare(), "branch", "sluice", "main")
			return o.http()
		}, Refused, "the branch sluice is in the way of " + proposed},
		"branches in the way": {func(o *origin) Remote {
			o.git(o.bare(), "branch", proposed+"/more", "main")
			return o.http()
		}, Refused, "the branch " + proposed + "/more is in the way of " + proposed},
		"the base is gone": {func(o *origin) Remote {
			o.git(o.bare(), "update-ref", "-d", "refs/heads/main")
			o.git(o.bare(), "gc", "-q", "--prune=now")
			o.git(o.work, "checkout", "-q", "--orphan", "new")
			o.commit("main", nil)
			return o.http()
		}, Refused, "the server refused the branch"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o, m, base := mirrored(t)
			remote := c.remote(o)
			_, err := Push(t.Context(), m.dir, remote, edit(base, map[string]string{"a.txt": "x"}))
			if kindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v (%s)\nwant %s, %q", err, kindOf(err), c.kind, c.says)
			}
			if err == nil {
				return
			}
			noSecrets(t, err.Error(), secret)
			if at := o.at(proposed); at != "" {
				t.Errorf("the branch is at %s", at)
			}
		})
	}
}

// What an ssh server says before it hangs up is about rights, in each forge's own words.
func TestServerSaidNoToAPush(t *testing.T) {
	for _, said := range []string{
		"ERROR: The key you are authenticating with has been marked as read only.",
		"ERROR: Permission to ml/platform.git denied to deploy key",
		"ERROR: You are not allowed to push code to this project.",
		"remote: This deploy key does not have write access to this project.: forbidden",
		"FATAL: W access denied for platform by fallthru",
	} {
		if err := forPush(serverSaid(said)); err != error(errNoPush) {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestPushDoesNotTrustTheServer(t *testing.T) {
	o, m, base := mirrored(t)
	backend := o.backend()
	answering := func(answer func(w http.ResponseWriter, r *http.Request)) Remote {
		return Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				io.Copy(io.Discard, r.Body)
				answer(w, r)
				return
			}
			backend.ServeHTTP(w, r)
		}))}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cases := map[string]struct {
		remote Remote
		kind   Kind
	}{
		"nothing": {answering(func(w http.ResponseWriter, _ *http.Request) {}), Network},
		"endless": {answering(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("000b\x02hello"), 1000)); err != nil {
					return
				}
			}
		}), TooLarge},
		"garbage": {answering(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }), Network},
		"another branch": {answering(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "0030\x01000eunpack ok\n0019ok refs/heads/other\n00000000")
		}), Refused},
		"silent": {Remote{URL: "http://" + silent.Addr().String() + "/repo.git"}, Timeout},
		"silent after the pack": {answering(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}), Timeout},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if c.kind == Timeout {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			_, err := Push(ctx, m.dir, c.remote, edit(base, map[string]string{"a.txt": "x"}))
			if kindOf(err) != c.kind {
				t.Errorf("%v (%s), want %s", err, kindOf(err), c.kind)
			}
		})
	}
}

// A push whose answer got lost is found by the next one.
func TestPushFindsWhatItPushedBefore(t *testing.T) {
	o, m, base := mirrored(t)
	backend, lost := o.backend(), true
	remote := Remote{URL: serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !lost {
			backend.ServeHTTP(w, r)
			return
		}
		backend.ServeHTTP(httptest.NewRecorder(), r)
		lost = false
		panic(http.ErrAbortHandler)
	}))}
	c := edit(base, map[string]string{"a.txt": "x"})
	if _, err := Push(t.Context(), m.dir, remote, c); !kindOf(err).Temporary() {
		t.Fatalf("%v (%s)", err, kindOf(err))
	}
	there := o.at(proposed)
	c.Time = c.Time.Add(time.Minute)
	if id, err := Push(t.Context(), m.dir, remote, c); err != nil || id != there || there == "" {
		t.Errorf("%s, %v, want %s", id, err, there)
	}
}

func TestPushRepository(t *testing.T) {
	o, m, base := mirrored(t)
	url := serve(t, guarded(o.backend(), "Basic "+base64.StdEncoding.EncodeToString([]byte("git:hunter22"))))
	held := secrets{"good": data("username", "git", "password", "hunter22")}
	repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "platform"}}
	repo.Spec.URL, repo.Spec.Timeout.Duration = url, time.Minute
	repo.Spec.SecretRef = &meta.LocalObjectReference{Name: "good"}
	c := edit(base, map[string]string{"a.txt": "x"})
	if _, err := PushRepository(t.Context(), m.dir, repo, held, false, c); kindOf(err) != Invalid {
		t.Errorf("pushed over http: %v", err)
	}
	id, err := PushRepository(t.Context(), m.dir, repo, held, true, c)
	if err != nil || o.at(proposed) != id {
		t.Fatalf("%s, %v", id, err)
	}
	if err := DeleteRepositoryBranch(t.Context(), repo, held, true, proposed, id); err != nil || o.at(proposed) != "" {
		t.Errorf("%v, the branch is at %q", err, o.at(proposed))
	}
	repo.Spec.SecretRef.Name = "gone"
	if err := DeleteRepositoryBranch(t.Context(), repo, held, true, proposed, id); err == nil || err.Error() != "Secret ml/gone is not there: create it, or name another in spec.secretRef" {
		t.Error(err)
	}
}
