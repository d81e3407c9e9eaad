package gitrepo

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/agent"
)

// The commit that brought a file is found behind those that changed others, and behind a merge on the
// branch itself. A mirror that has only the newest one says that.
func TestOrigin(t *testing.T) {
	o := seeded(t)
	o.commit("main", map[string]string{"model.yaml": "version: v7\n"})
	m := newMirror(t)
	remote := o.http()
	must(t, m, remote, Want{Branch: "main"})

	brought := o.commit("main", map[string]string{"model.yaml": "version: v8\n"})
	o.commit("main", map[string]string{"README.md": "notes\n"})
	o.git(o.work, "checkout", "-q", "-b", "side")
	o.commit("side", map[string]string{"other.yaml": "a: b\n"})
	o.git(o.work, "checkout", "-q", "main")
	o.commit("main", map[string]string{"README.md": "more notes\n"})
	o.git(o.work, "merge", "-q", "--no-ff", "-m", "merge side", "side")
	o.git(o.work, "push", "-q", "origin", "main")
	head := o.head()
	must(t, m, remote, Want{Branch: "main"})

	origin := func(m *Mirror) string {
		t.Helper()
		tree, err := OpenTree(m.dir, head)
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		id, _ := tree.ObjectID("model.yaml")
		return tree.Origin(func(other agent.Tree) bool {
			is, there := other.(*Tree).ObjectID("model.yaml")
			return there && is == id
		})
	}
	if got := origin(m); got != brought {
		t.Errorf("v8 was brought by %s, want %s", got, brought)
	}
	fresh := newMirror(t)
	if _, err := fresh.Fetch(context.Background(), remote, Want{Branch: "main"}); err != nil {
		t.Fatal(err)
	}
	if got := origin(fresh); got != head {
		t.Errorf("to a mirror of one commit it is %s, want %s", got, head)
	}
}
