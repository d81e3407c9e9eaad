package gitrepo

import (
	"io/fs"
	"strings"
	"testing"
)

// readAll reads every regular file of a tree.
func readAll(t testing.TB, tree fs.FS) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFetchFollowsABranch(t *testing.T) {
	o := seeded(t)
	m, remote := newMirror(t), o.http()
	first := must(t, m, remote, Want{Branch: "main"})
	if got, want := first.Revision.String(), "main@sha1:"+o.head(); got != want || !first.Changed || first.Bytes == 0 {
		t.Fatalf("got %+v, want %s", first, want)
	}
	if first.Revision.Subject != "change main" || first.Revision.Time.IsZero() {
		t.Errorf("revision %+v", first.Revision)
	}
	o.sameAsGit(m, first.Revision.Commit)

	if again := must(t, m, remote, Want{Branch: "main"}); again.Changed || again.Bytes != 0 || again.Revision != first.Revision {
		t.Errorf("nothing changed, got %+v", again)
	}
	for i := range 5 {
		o.commit("main", map[string]string{"a.txt": strings.Repeat("x", i+1), "dir/new.txt": "n"})
		next := must(t, m, remote, Want{Branch: "main"})
		if !next.Changed || next.Revision.Commit != o.head() {
			t.Fatalf("got %+v", next)
		}
		o.sameAsGit(m, next.Revision.Commit)
	}
	o.sameAsGit(m, first.Revision.Commit)
}
