package forge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/forge"
)

// between is a pull request from one commit to another.
func between(base, head string) forge.Pull {
	return forge.Pull{Number: 1, Base: forge.Branch{Name: "main", Commit: base}, Head: forge.Branch{Name: "x", Commit: head}}
}

// TestMergeBase: histories of every form, on all forges.
func TestMergeBase(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		w.most = 2
		root := w.branches["main"]
		one := w.commit(root)
		two := w.commit(one)
		three := w.commit(two)
		side := w.commit(one)
		more := w.commit(w.commit(w.commit(side)))
		merged := w.commit(side, two)
		again := w.commit(merged, three)
		late := w.commit(w.commit(two), one) // an older commit of the base was merged into it
		for _, c := range []struct{ name, base, head, want string }{
			{"a branch", two, side, one}, {"a longer branch", three, more, one}, {"the base is merged in", three, merged, two},
			{"and once more", w.commit(three), again, three}, {"an older one is merged in", three, late, two},
			{"nothing of its own", three, one, one}, {"the same", two, two, two}, {"ahead", one, three, one},
		} {
			if have, err := f.MergeBase(t.Context(), between(c.base, c.head)); err != nil || have != c.want {
				t.Errorf("%s: %s, want %s; %v", c.name, strings.TrimLeft(have, "0"), strings.TrimLeft(c.want, "0"), err)
			}
		}
		_, err := f.MergeBase(t.Context(), between(two, w.commit(w.commit())))
		wantError(t, err, forge.NotFound, "cannot find the merge base of pull request 1: its head has no history in common with main: begin the branch at a commit of that")
		_, err = f.MergeBase(t.Context(), between(two, strings.Repeat("e", 40)))
		wantError(t, err, forge.Unavailable, "does not have its head or its base", "it is tried again")
		for _, odd := range []forge.Pull{between(two, ""), between(two, "main"), between("../../user", two), between(two, "a...b")} {
			_, err = f.MergeBase(t.Context(), odd)
			wantError(t, err, forge.Invalid, "full names of commits")
		}
	})
}

// TestGitLabBase: a merge request does not say where its base is, so that the branch has to do.
func TestGitLabBase(t *testing.T) {
	w := gitLabWorld(t)
	f := w.open(forge.GitLab)
	base := w.branches["main"]
	p := prepare(t, w, f)
	w.push("main")
	if have, err := f.MergeBase(t.Context(), p); p.Base.Commit != "" || err != nil || have != base {
		t.Errorf("%s, want %s; %v", have, base, err)
	}
	p.Base.Name = ""
	_, err := f.MergeBase(t.Context(), p)
	wantError(t, err, forge.Invalid, "full names of commits")
}

// TestGiteaMergeBases: whatever the history, what we work out is what Git finds, or one of those.
func TestGiteaMergeBases(t *testing.T) {
	w := giteaWorld(t)
	w.most = 3
	f := w.open(forge.Gitea)
	random := rand.New(rand.NewPCG(5, 17))
	for range 150 {
		made := []string{w.branches["main"]}
		for range 2 + random.IntN(12) {
			parents := []string{made[random.IntN(len(made))]}
			if other := made[random.IntN(len(made))]; random.IntN(2) == 0 && other != parents[0] {
				parents = append(parents, other)
			}
			made = append(made, w.commit(parents...))
		}
		base, head := made[random.IntN(len(made))], made[random.IntN(len(made))]
		have, err := f.MergeBase(t.Context(), between(base, head))
		if want := w.mergeBases(base, head); err != nil || !slices.Contains(want, have) {
			t.Fatalf("%s, want one of %v; %v", have, want, err)
		}
	}
	base, head := w.branches["main"], w.branches["main"]
	for range 25 { // a branch into which each commit of the base is merged
		base = w.commit(base)
		head = w.commit(head, base)
	}
	if have, err := f.MergeBase(t.Context(), between(w.commit(base), head)); err != nil || have != base {
		t.Errorf("%s, want %s; %v", have, base, err)
	}
}

// TestMergeBaseCost: one request, and on Gitea one more where the base was merged in.
func TestMergeBaseCost(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		base := w.commit(w.branches["main"])
		head := w.commit(w.commit(w.branches["main"]), base)
		for range 2 {
			if _, err := f.MergeBase(t.Context(), between(base, head)); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{"GET ", "GET "}
		if strings.HasSuffix(t.Name(), "gitea") {
			want = []string{
				fmt.Sprintf("GET /api/v1/repos/ml/platform/commits?files=false&limit=50&not=%s&page=1&sha=%s", base, head), fmt.Sprintf("GET /api/v1/repos/ml/platform/commits?files=false&limit=50&not=%s&page=1&sha=%s", base, base),
				fmt.Sprintf("GET /api/v1/repos/ml/platform/commits?files=false&limit=50&not=%s&page=1&sha=%s", base, head), fmt.Sprintf("GET /api/v1/repos/ml/platform/commits?files=false&limit=50&not=%s&page=1&sha=%s", base, base),
			}
		}
		w.wantRequests("a merge base", want...)
	})
}
