package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// leaf is what a test puts at a path: "100644 content", "120000 target", "160000 id" and so on.
type leaf struct{ mode, content string }

func plain(content string) leaf { return leaf{"100644", content} }

// files is a tree for tests.
type files map[string]leaf

// with is the tree with some changes; an empty mode removes a file.
func (f files) with(changes files) files {
	next := maps.Clone(f)
	for name, l := range changes {
		if l.mode == "" {
			delete(next, name)
		} else {
			next[name] = l
		}
	}
	return next
}

// stream collects commits for git fast-import.
type stream struct {
	bytes.Buffer
	commits int
}

// commit makes a commit with these files, and no others, on a branch of its own.
func (s *stream) commit(branch string, tree files, parents ...string) {
	s.commits++
	fmt.Fprintf(s, "commit refs/heads/%s\ncommitter c <c@example.com> %d +0100\ndata %d\n%s\n", branch, 1700000000+s.commits, len(branch), branch)
	for i, parent := range parents {
		fmt.Fprintf(s, "%s refs/heads/%s\n", map[bool]string{true: "from", false: "merge"}[i == 0], parent)
	}
	s.WriteString("deleteall\n")
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		l := tree[name]
		quoted := strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\n", "\\n").Replace(name)
		if l.mode == "160000" {
			fmt.Fprintf(s, "M 160000 %s \"%s\"\n", l.content, quoted)
			continue
		}
		fmt.Fprintf(s, "M %s inline \"%s\"\ndata %d\n%s\n", l.mode, quoted, len(l.content), l.content)
	}
}

// load puts the commits into the origin.
func (o *origin) load(s *stream) {
	o.t.Helper()
	cmd := exec.Command("git", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Stdin = o.bare(), &s.Buffer
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

// tips are the commits of all branches.
func (o *origin) tips() map[string]string {
	o.t.Helper()
	tips := map[string]string{}
	for line := range strings.Lines(o.git(o.bare(), "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads")) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		tips[name] = id
	}
	return tips
}

// merge is what git makes of a merge: the tree, and the paths in conflict.
func (o *origin) merge(ours, theirs string) (tree string, conflicts []string) {
	o.t.Helper()
	cmd := exec.Command("git", "-c", "merge.renames=false", "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
	cmd.Dir = o.bare()
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.Output()
	exit := &exec.ExitError{}
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		o.t.Fatalf("git merge-tree: %v", err)
	}
	parts := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	return parts[0], parts[1:]
}

// three fetches the branches base, ours and theirs with a prefix into a mirror.
func (o *origin) three(m *Mirror, prefix string) MergeSpec {
	o.t.Helper()
	list, err := m.FetchAll(o.t.Context(), o.http(), Want{Branch: prefix + "base"}, Want{Branch: prefix + "ours"}, Want{Branch: prefix + "theirs"})
	if err != nil {
		o.t.Fatal(err)
	}
	return MergeSpec{Name: "refs/pull/7/merge", Ancestor: list[0].Revision.Commit, Ours: list[1].Revision.Commit, Theirs: list[2].Revision.Commit}
}

// sides makes an origin of three trees, the last two made from the first.
func sides(t testing.TB, base, ours, theirs files) *origin {
	t.Helper()
	o := newOrigin(t)
	s := &stream{}
	s.commit("base", base)
	s.commit("ours", ours, "base")
	s.commit("theirs", theirs, "base")
	o.load(s)
	return o
}

func TestMerge(t *testing.T) {
	lines := func(n int, changed ...int) leaf {
		var b strings.Builder
		for i := range n {
			if slices.Contains(changed, i) {
				b.WriteString("changed ")
			}
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return plain(b.String())
	}
	gone := leaf{}
	base := files{"a.txt": lines(9), "dir/b.txt": plain("b\n"), "dir/sub/c.txt": plain("c\n"), "link": {"120000", "a.txt"}, "run.sh": {"100755", "#!\n"},
		"module": {"160000", strings.Repeat("1", 40)}, "no.bin": plain("\x00\x01"), "large": plain(strings.Repeat("0123456789\n", maxText/11+1))}
	for _, c := range []struct {
		name         string
		ours, theirs files
		files        string // that change in ours
		conflict     string // the files in conflict
	}{
		{name: "nobody changed"},
		{name: "ours changed", ours: files{"a.txt": lines(9, 1)}},
		{name: "theirs changed", theirs: files{"a.txt": lines(9, 1)}, files: "a.txt"},
		{name: "different files", ours: files{"a.txt": lines(9, 1)}, theirs: files{"dir/b.txt": plain("B\n")}, files: "dir/b.txt"},
		{name: "files of one directory", ours: files{"dir/b.txt": plain("B\n")}, theirs: files{"dir/sub/c.txt": plain("C\n"), "dir/new": plain("")}, files: "dir/new dir/sub/c.txt"},
		{name: "different lines", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": lines(9, 7)}, files: "a.txt"},
		{name: "the same line", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": plain("x\n")}, conflict: "a.txt"},
		{name: "the same change", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": lines(9, 1)}},
		{name: "the same, and one more", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": lines(9, 1, 7)}, files: "a.txt"},
		{name: "the mode, and the content", ours: files{"a.txt": {"100755", base["a.txt"].content}}, theirs: files{"a.txt": lines(9, 2)}, files: "a.txt"},
		{name: "the content, and the mode", ours: files{"a.txt": lines(9, 2)}, theirs: files{"a.txt": {"100755", base["a.txt"].content}}, files: "a.txt"},
		{name: "the content, and the mode with the content", ours: files{"a.txt": lines(9, 2)}, theirs: files{"a.txt": {"100755", lines(9, 7).content}}, files: "a.txt"},
		{name: "both add the same", ours: files{"n/n": plain("1")}, theirs: files{"n/n": plain("1")}},
		{name: "both add", ours: files{"n/n": plain("1")}, theirs: files{"n/n": plain("2")}, conflict: "n/n"},
		{name: "both add in one directory", ours: files{"n/a": plain("1")}, theirs: files{"n/b": plain("2")}, files: "n/b"},
		{name: "both add, of different modes", ours: files{"n": plain("1")}, theirs: files{"n": {"100755", "1"}}, conflict: "n"},
		{name: "removed by theirs", ours: files{"a.txt": lines(9, 1)}, theirs: files{"dir/b.txt": gone}, files: "dir/b.txt"},
		{name: "the last of a directory removed", ours: files{"dir/b.txt": plain("B\n")}, theirs: files{"dir/sub/c.txt": gone}, files: "dir/sub/c.txt"},
		{name: "each removes one, nothing is left", ours: files{"dir/b.txt": gone}, theirs: files{"dir/sub/c.txt": gone}, files: "dir/sub/c.txt"},
		{name: "both remove", ours: files{"a.txt": gone}, theirs: files{"a.txt": gone}},
		{name: "ours removed, theirs changed", ours: files{"a.txt": gone}, theirs: files{"a.txt": lines(9, 1)}, conflict: "a.txt"},
		{name: "ours changed, theirs removed", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": gone}, conflict: "a.txt"},
		{name: "ours removed a directory, theirs changed in it", ours: files{"dir/b.txt": gone, "dir/sub/c.txt": gone}, theirs: files{"dir/sub/c.txt": plain("C\n")}, conflict: "dir/sub/c.txt"},
		{name: "ours removed a directory, theirs added in it", ours: files{"dir/b.txt": gone, "dir/sub/c.txt": gone}, theirs: files{"dir/d.txt": plain("d\n")}, files: "dir/d.txt"},
		{name: "theirs put a file in the place of a directory", ours: files{"a.txt": gone}, theirs: files{"dir/b.txt": gone, "dir/sub/c.txt": gone, "dir": plain("file")}, files: "dir dir/b.txt dir/sub/c.txt"},
		{name: "theirs put a directory in the place of a file", ours: files{"dir/b.txt": plain("B")}, theirs: files{"a.txt": gone, "a.txt/x": plain("x"), "a.txt/y": plain("y")}, files: "a.txt a.txt/x a.txt/y"},
		{name: "a file, and a directory", ours: files{"n": plain("n")}, theirs: files{"n/n": plain("n")}, conflict: "n"},
		{name: "ours changed what theirs made a directory", ours: files{"a.txt": lines(9, 1)}, theirs: files{"a.txt": gone, "a.txt/x": plain("x")}, conflict: "a.txt"},
		{name: "theirs changed a link", ours: files{"a.txt": lines(9, 1)}, theirs: files{"link": {"120000", "b"}}, files: "link"},
		{name: "both changed a link", ours: files{"link": {"120000", "a"}}, theirs: files{"link": {"120000", "b"}}, conflict: "link"},
		{name: "a link made a file, and changed", ours: files{"link": plain("a.txt")}, theirs: files{"link": {"120000", "b"}}, conflict: "link"},
		{name: "both made a link the same file", ours: files{"link": plain("f")}, theirs: files{"link": plain("f")}},
		{name: "theirs moved a submodule", ours: files{"a.txt": lines(9, 1)}, theirs: files{"module": {"160000", strings.Repeat("2", 40)}}, files: "module"},
		{name: "both moved a submodule", ours: files{"module": {"160000", strings.Repeat("3", 40)}}, theirs: files{"module": {"160000", strings.Repeat("2", 40)}}, conflict: "module"},
		{name: "theirs changed what is no text", ours: files{"a.txt": lines(9, 1)}, theirs: files{"no.bin": plain("\x00\x02")}, files: "no.bin"},
		{name: "both changed what is no text", ours: files{"no.bin": plain("\x00\x03")}, theirs: files{"no.bin": plain("\x00\x02")}, conflict: "no.bin"},
		{name: "odd names", ours: files{"x\ny": plain("1")}, theirs: files{"$(x)\n\x1b/ä \"b\"": plain("2")}, files: "$(x)\n\x1b/ä \"b\""},
		{name: "many conflicts", conflict: "dir/b.txt dir/sub/c.txt link no.bin run.sh",
			ours:   files{"dir/b.txt": plain("1"), "dir/sub/c.txt": plain("1"), "link": {"120000", "1"}, "no.bin": plain("1"), "run.sh": plain("1")},
			theirs: files{"dir/b.txt": plain("2"), "dir/sub/c.txt": plain("2"), "link": {"120000", "2"}, "no.bin": plain("2"), "run.sh": plain("2")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := sides(t, base, base.with(c.ours), base.with(c.theirs))
			m := newMirror(t)
			spec := o.three(m, "")
			merged, err := m.Merge(t.Context(), spec)
			tree, conflicts := o.merge("ours", "theirs")
			if (err != nil) != (len(conflicts) > 0) {
				t.Errorf("git says %q, we say %v", conflicts, err)
			}
			if c.conflict != "" {
				want := "both sides have changed the same in different ways, in " + strings.ReplaceAll(c.conflict, " ", ", ") + "; merge the base branch into the branch of the pull request, and settle it there"
				if kindOf(err) != Conflict || err.Error() != want || Conflict.Temporary() {
					t.Errorf("got %v\nwant %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := o.wholeTree(m, merged.Revision.Commit); got != tree {
				t.Errorf("the tree is %s, git says %s", got, tree)
			}
			if got := strings.Join(merged.Files, " "); got != c.files || merged.Count != len(merged.Files) {
				t.Errorf("it changes %q (%d), want %q", got, merged.Count, c.files)
			}
		})
	}
	t.Run("large files", func(t *testing.T) {
		o := sides(t, base, base.with(files{"large": plain("x" + base["large"].content)}), base.with(files{"large": plain(base["large"].content + "x")}))
		m := newMirror(t)
		if _, err := m.Merge(t.Context(), o.three(m, "")); kindOf(err) != Conflict {
			t.Errorf("got %v", err)
		}
	})
}

// wholeTree reads the id of a commit's tree from a mirror, and makes sure that all of it is there.
func (o *origin) wholeTree(m *Mirror, commit string) string {
	o.t.Helper()
	tree, err := OpenTree(m.dir, commit)
	if err != nil {
		o.t.Fatal(err)
	}
	defer tree.Close()
	if err := tree.store.whole(plumbing.NewHash(commit), plumbing.ZeroHash); err != nil {
		o.t.Errorf("the merge is not whole: %v", err)
	}
	return tree.root.id.String()
}

// TestMergeIsACommit: of the two, that comes out the same each time and is written once.
func TestMergeIsACommit(t *testing.T) {
	base := files{"a": plain("1\n2\n3\n"), "d/b": plain("b")}
	o := sides(t, base, base.with(files{"a": plain("1\n2\n3\n4\n")}), base.with(files{"a": plain("0\n2\n3\n"), "d/c": plain("c")}))
	m := newMirror(t)
	spec := o.three(m, "")
	merged, err := m.Merge(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	r := merged.Revision
	if r.Name != spec.Name || r.Subject != "Merge "+spec.Theirs[:7]+" into "+spec.Ours[:7] || r.Time.Unix() != 1700000003 {
		t.Errorf("revision %+v", r)
	}
	if got := contents(t, m, r.Commit); got["a"] != "0\n2\n3\n4\n" || got["d/b"] != "b" || got["d/c"] != "c" || len(got) != 3 {
		t.Errorf("it has %q", got)
	}
	// git can read it too.
	generation := generations(m.dir)[0]
	shown := o.git(generation, "--git-dir", generation, "log", "-1", "--format=%P|%an|%ct|%s", r.Commit)
	if want := spec.Ours + " " + spec.Theirs + "|Sluice|1700000003|" + r.Subject; shown != want {
		t.Errorf("git shows %q, want %q", shown, want)
	}
	o.git(generation, "--git-dir", generation, "cat-file", "-e", r.Commit+":d/c")

	before, _ := os.ReadDir(packDir(generation))
	for _, again := range []*Mirror{m, reopened(t, m)} {
		if next, err := again.Merge(t.Context(), spec); err != nil || next.Revision != r {
			t.Errorf("again it is %v, %v", next.Revision, err)
		}
	}
	if after, _ := os.ReadDir(packDir(generation)); len(after) != len(before) {
		t.Errorf("%d files after the same merge, %d before", len(after), len(before))
	}
	// What is only here is nothing to tell a server about.
	if tips, _ := readTips(generation); len(tips) != 3 {
		t.Errorf("tips %v", tips)
	}
}

func reopened(t *testing.T, m *Mirror) *Mirror {
	t.Helper()
	again, err := Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestMergeWhatIsNoMerge(t *testing.T) {
	base := files{"a": plain("a"), "d/b": plain("b")}
	o := sides(t, base, base, base.with(files{"d/b": plain("B")}))
	m := newMirror(t)
	spec := o.three(m, "")
	for _, c := range []struct {
		name                   string
		ancestor, ours, theirs string
		same                   string // commit whose tree it has
		changes                int
	}{
		{"a fast forward", spec.Ancestor, spec.Ancestor, spec.Theirs, spec.Theirs, 1},
		{"nothing new", spec.Ancestor, spec.Theirs, spec.Ancestor, spec.Theirs, 0},
		{"itself", spec.Theirs, spec.Theirs, spec.Theirs, spec.Theirs, 0},
		{"an older ancestor, with the same on both sides", spec.Ancestor, spec.Theirs, spec.Theirs, spec.Theirs, 0},
	} {
		merged, err := m.Merge(t.Context(), MergeSpec{Ancestor: c.ancestor, Ours: c.ours, Theirs: c.theirs})
		if err != nil || merged.Count != c.changes {
			t.Errorf("%s: %+v, %v", c.name, merged, err)
			continue
		}
		if got, want := o.wholeTree(m, merged.Revision.Commit), o.wholeTree(m, c.same); got != want {
			t.Errorf("%s: tree %s, want %s", c.name, got, want)
		}
	}
}

func TestMergeOfWhatIsNotThere(t *testing.T) {
	o := sides(t, files{"a": plain("a")}, files{"a": plain("a")}, files{"a": plain("a")})
	m := newMirror(t)
	if _, err := m.Merge(t.Context(), MergeSpec{Ancestor: o.tips()["base"], Ours: o.tips()["ours"], Theirs: o.tips()["theirs"]}); kindOf(err) != NotFetched {
		t.Errorf("an empty mirror: %v", err)
	}
	spec := o.three(m, "")
	for name, c := range map[string]struct {
		change func(*MergeSpec)
		kind   Kind
	}{
		"another commit": {func(s *MergeSpec) { s.Theirs = strings.Repeat("ab", 20) }, NotFetched},
		"no ancestor":    {func(s *MergeSpec) { s.Ancestor = "" }, NotFetched},
		"no commit":      {func(s *MergeSpec) { s.Ours = "../../etc/passwd" }, Invalid},
		"half a commit":  {func(s *MergeSpec) { s.Ours = s.Ours[:7] }, Invalid},
	} {
		changed := spec
		c.change(&changed)
		if _, err := m.Merge(t.Context(), changed); kindOf(err) != c.kind {
			t.Errorf("%s: %v (%s)", name, err, kindOf(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Merge(ctx, spec); kindOf(err) != Timeout || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, commit := range []string{"", "../../../x", strings.Repeat("g", 40), strings.Repeat("ab", 20), "*"} {
		if _, err := OpenTree(m.dir, commit); kindOf(err) != NotFetched {
			t.Errorf("open %q: %v", commit, err)
		}
	}
}

// TestMergeElsewhere: another process reads what was merged.
func TestMergeElsewhere(t *testing.T) {
	if dir := os.Getenv("GITREPO_MERGE_DIR"); dir != "" {
		tree, err := OpenTree(dir, os.Getenv("GITREPO_MERGE_COMMIT"))
		if err != nil {
			t.Fatal(err)
		}
		content, err := tree.ReadFile("a")
		fmt.Printf("it is %q, %v.", content, err)
		return
	}
	base := files{"a": plain("1\n2\n3\n")}
	o := sides(t, base, files{"a": plain("1\n2\nC\n")}, files{"a": plain("A\n2\n3\n")})
	m := newMirror(t)
	merged, err := m.Merge(t.Context(), o.three(m, ""))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMergeElsewhere$")
	cmd.Env = append(os.Environ(), "GITREPO_MERGE_DIR="+m.dir, "GITREPO_MERGE_COMMIT="+merged.Revision.Commit)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `it is "A\n2\nC\n", <nil>.`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestMergeAfterACrash: whatever a crash leaves of a merge is no merge, and makes way for one.
func TestMergeAfterACrash(t *testing.T) {
	base := files{"a": plain("1\n2\n3\n")}
	o := sides(t, base, files{"a": plain("1\n2\nC\n")}, files{"a": plain("A\n2\n3\n")})
	m := newMirror(t)
	spec := o.three(m, "")
	merged, err := m.Merge(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	commit := merged.Revision.Commit
	made := mergeFile(generations(m.dir)[0], commit)
	other := mergeFile(generations(m.dir)[0], strings.Repeat("c", 40))
	for name, crash := range map[string]func() error{
		"before the pack": func() error {
			return errors.Join(os.Remove(made+".idx"), os.Rename(made+".pack", filepath.Join(filepath.Dir(made), "tmp_pack_1")))
		},
		"between pack and index": func() error { return os.Remove(made + ".idx") },
		"while writing the index": func() error {
			return errors.Join(os.Rename(made+".idx", filepath.Join(filepath.Dir(made), "tmp_2")), os.WriteFile(made+".pack", []byte("PACK"), 0o600))
		},
		"while one is removed": func() error {
			return errors.Join(os.Remove(made+".idx"), os.WriteFile(other+".pack", []byte("PACK"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.Chmod(made+".pack", 0o600); err != nil {
				t.Fatal(err)
			}
			if err := crash(); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenTree(m.dir, commit); kindOf(err) != NotFetched {
				t.Errorf("after the crash: %v", err)
			}
			again := reopened(t, m)
			if next, err := again.Merge(t.Context(), spec); err != nil || next.Revision.Commit != commit {
				t.Fatalf("%v, %v", next, err)
			}
			if got := contents(t, again, commit); got["a"] != "A\n2\nC\n" {
				t.Errorf("it has %q", got)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(made), "*"))
			if err != nil || len(left) != 4 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// TestMergeOfADamagedMirror: it asks for a fetch, which mends it.
func TestMergeOfADamagedMirror(t *testing.T) {
	base := files{"a": plain("1\n2\n3\n")}
	o := sides(t, base, files{"a": plain("1\n2\nC\n")}, files{"a": plain("A\n2\n3\n")})
	m := newMirror(t)
	spec := o.three(m, "")
	packs, _ := filepath.Glob(filepath.Join(packDir(generations(m.dir)[0]), "*.pack"))
	for _, pack := range packs {
		if err := os.Truncate(pack, 12); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Merge(t.Context(), spec); kindOf(err) != NotFetched {
		t.Errorf("got %v (%s)", err, kindOf(err))
	}
	o.three(m, "")
	merged, err := m.Merge(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, m, merged.Revision.Commit); got["a"] != "A\n2\nC\n" {
		t.Errorf("it has %q", got)
	}
}

// TestMergesAreForgotten: the oldest go when there are many, or they are large.
func TestMergesAreForgotten(t *testing.T) {
	o := sides(t, files{"a": plain("a")}, files{"a": plain("a")}, files{"a": plain("b")})
	m := newMirror(t)
	spec := o.three(m, "")
	dir := generations(m.dir)[0]
	add := func(n int, size int64, age time.Duration) string {
		name := mergeFile(dir, fmt.Sprintf("%040x", n))
		for _, ext := range []string{".idx", ".pack"} {
			if err := os.WriteFile(name+ext, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		then := time.Now().Add(-age)
		if err := errors.Join(os.Truncate(name+".pack", size), os.Chtimes(name+".pack", then, then)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	there := func(name string) bool {
		_, idx := os.Stat(name + ".idx")
		_, pack := os.Stat(name + ".pack")
		if (idx == nil) != (pack == nil) {
			t.Errorf("half of %s is left", name)
		}
		return idx == nil
	}
	merged, err := m.Merge(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-24 * time.Hour)
	first := mergeFile(dir, merged.Revision.Commit)
	if err := os.Chtimes(first+".pack", old, old); err != nil {
		t.Fatal(err)
	}
	var names []string
	for n := range maxMerges {
		names = append(names, add(n, 1, time.Duration(n)*time.Minute))
	}
	// Made again, the oldest becomes the newest, and another one goes.
	if _, err := m.Merge(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if !there(first) || !there(names[maxMerges-2]) || there(names[maxMerges-1]) {
		t.Errorf("there are %v %v %v", there(first), there(names[maxMerges-2]), there(names[maxMerges-1]))
	}
	// A large one makes all that are older go.
	large := add(maxMerges, maxMergeBytes-100, 10*time.Minute+30*time.Second)
	if _, err := m.Merge(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if there(large) || !there(names[10]) || there(names[11]) {
		t.Errorf("there are %v %v %v", there(large), there(names[10]), there(names[11]))
	}
	o.wholeTree(m, merged.Revision.Commit)
}

// TestMergeHostile: large and odd pull requests work, or say that they are too large.
func TestMergeHostile(t *testing.T) {
	base := files{"a/base": plain("1\n2\n3\n")}
	ours := base.with(files{"a/ours": plain("o")})
	many := func(n int, name func(int) string) files {
		f := files{}
		for i := range n {
			f[name(i)] = plain(fmt.Sprint(i % 100))
		}
		return f
	}
	for name, c := range map[string]struct {
		base, ours, theirs files
		count              int
		kind               Kind
	}{
		"5,000 files":                {base, ours, base.with(many(5000, func(i int) string { return fmt.Sprintf("a/%d", i) })), 5000, ""},
		"more files than are said":   {base, ours, base.with(many(maxListed+5, func(i int) string { return fmt.Sprintf("a/%d", i) })), maxListed + 5, ""},
		"100,000 directories":        {base, ours, base.with(many(100_000, func(i int) string { return fmt.Sprintf("a/%d/%d/x", i/300, i) })), 100_000, ""},
		"directories in directories": {base, ours, base.with(many(1, func(i int) string { return strings.Repeat("d/", maxDepth-2) + "x" })), 1, ""},
		"a long path":                {base, ours, base.with(many(1, func(i int) string { return strings.Repeat(strings.Repeat("d", 100)+"/", 42) + "x" })), 0, TooLarge},
		"5,000 files on both sides": {many(5000, func(i int) string { return fmt.Sprintf("a/%d", i) }), many(5000, func(i int) string { return fmt.Sprintf("a/%d", i+1) }),
			many(5000, func(i int) string { return fmt.Sprintf("a/%d", i+2) }), 0, Conflict},
		"names of many kinds": {base, ours, base.with(many(1000, func(i int) string { return fmt.Sprintf("a/\n%c\x1b%d/\"\\", rune(1+i), i) })), 1000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := sides(t, c.base, c.ours, c.theirs)
			m := newMirror(t)
			spec := o.three(m, "")
			merged, err := m.Merge(t.Context(), spec)
			if kindOf(err) != c.kind || merged.Count != c.count || len(merged.Files) != min(c.count, maxListed) || !slices.IsSorted(merged.Files) {
				t.Errorf("%d of %d files, %v (%s)", len(merged.Files), merged.Count, err, kindOf(err))
			}
			if err != nil {
				if len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x1b") {
					t.Errorf("%q", err)
				}
				return
			}
			if tree, _ := o.merge("ours", "theirs"); o.wholeTree(m, merged.Revision.Commit) != tree {
				t.Errorf("it is not %s", tree)
			}
		})
	}
}

// TestMergeBomb: a few trees that unfold into more directories than there is time for.
func TestMergeBomb(t *testing.T) {
	o := sides(t, files{"a": plain("a")}, files{"a": plain("A")}, files{"a": plain("a"), "b": plain("b")})
	tree := o.git(o.bare(), "rev-parse", "theirs^{tree}")
	for range 10 {
		var b strings.Builder
		for i := range 10 {
			fmt.Fprintf(&b, "040000 tree %s\td%d\n", tree, i)
		}
		input := filepath.Join(t.TempDir(), "tree")
		os.WriteFile(input, []byte(b.String()), 0o600)
		tree = o.git(o.bare(), "-c", "alias.make=!git mktree <"+input, "make")
	}
	bomb := o.git(o.bare(), "commit-tree", "-p", "base", "-m", "bomb", tree)
	o.git(o.bare(), "update-ref", "refs/heads/theirs", bomb)
	m := newMirror(t)
	if _, err := m.Merge(t.Context(), o.three(m, "")); kindOf(err) != TooLarge {
		t.Errorf("got %v (%s)", err, kindOf(err))
	}
}

// TestMergesLikeGit compares the merges of random changes to random trees with what git makes of them.
func TestMergesLikeGit(t *testing.T) {
	seeds := 250
	if testing.Short() {
		seeds = 60
	}
	o := newOrigin(t)
	s := &stream{}
	for seed := range seeds {
		w := &world{Rand: rand.New(rand.NewPCG(uint64(seed), 5))}
		base := w.tree()
		name := fmt.Sprintf("%d-", seed)
		s.commit(name+"base", base)
		s.commit(name+"ours", w.edit(base), name+"base")
		s.commit(name+"theirs", w.edit(base), name+"base")
	}
	o.load(s)
	tips := o.tips()
	var wants []Want
	for name := range tips {
		wants = append(wants, Want{Branch: name})
	}
	m := newMirror(t)
	if _, err := m.FetchAll(t.Context(), Remote{URL: "file://" + o.bare()}, wants...); err != nil {
		t.Fatal(err)
	}
	clean := 0
	for seed := range seeds {
		name := fmt.Sprintf("%d-", seed)
		ours, theirs := tips[name+"ours"], tips[name+"theirs"]
		tree, conflicts := o.merge(ours, theirs)
		merged, err := m.Merge(t.Context(), MergeSpec{Ancestor: tips[name+"base"], Ours: ours, Theirs: theirs})
		if err != nil && kindOf(err) != Conflict || (err != nil) != (len(conflicts) > 0) {
			t.Errorf("seed %d: git says %q, we say %v", seed, conflicts, err)
		}
		if err != nil || len(conflicts) > 0 {
			continue
		}
		clean++
		if got := o.wholeTree(m, merged.Revision.Commit); got != tree {
			t.Errorf("seed %d: tree %s, git says %s\n%s", seed, got, tree, o.git(o.bare(), "diff", "--no-renames", ours, tree))
		}
		changed := o.git(o.bare(), "diff", "--no-renames", "--name-only", "-z", ours, tree)
		if got := strings.Join(merged.Files, "\x00"); got != strings.TrimRight(changed, "\x00") || len(merged.Files) != merged.Count {
			t.Errorf("seed %d: it changes %q (%d), git says %q", seed, got, merged.Count, changed)
		}
	}
	if t.Logf("%d of %d merge", clean, seeds); clean < seeds/5 || clean > seeds*4/5 {
		t.Error("the test has lost its balance")
	}
}

// world makes things up.
type world struct{ *rand.Rand }

func (w *world) tree() files {
	f := files{}
	for range 1 + w.IntN(20) {
		f.put(w.path(), w.leaf())
	}
	return f
}

// put puts something at a path, in the place of what is in the way.
func (f files) put(path string, l leaf) {
	for other := range f {
		if strings.HasPrefix(other, path+"/") || strings.HasPrefix(path, other+"/") {
			delete(f, other)
		}
	}
	f[path] = l
}

// path is one of not too many.
func (w *world) path() string {
	parts := []string{"a", "a-b", "a.b", "b", "c\nd", "a0"}
	path := parts[w.IntN(len(parts))]
	for w.IntN(2) == 0 {
		path += "/" + parts[w.IntN(len(parts))]
	}
	return path
}

func (w *world) leaf() leaf {
	switch w.IntN(12) {
	case 0:
		return leaf{"120000", w.path()}
	case 1:
		return leaf{"160000", strings.Repeat(fmt.Sprint(1+w.IntN(3)), 40)}
	case 2:
		return leaf{"100755", w.lines(5)}
	}
	return plain(w.lines(40))
}

func (w *world) lines(most int) string {
	var b strings.Builder
	of := 1 + w.IntN(200)
	for range w.IntN(most + 1) {
		fmt.Fprintln(&b, w.IntN(of))
	}
	return strings.TrimSuffix(b.String(), []string{"\n", ""}[min(w.IntN(5), 1)])
}

// edit makes some changes.
func (w *world) edit(f files) files {
	f = maps.Clone(f)
	for range 1 + w.IntN(6) {
		names := slices.Sorted(maps.Keys(f))
		if len(names) == 0 || w.IntN(6) == 0 {
			f.put(w.path(), w.leaf())
			continue
		}
		name := names[w.IntN(len(names))]
		l := f[name]
		switch w.IntN(8) {
		case 0:
			delete(f, name)
		case 1:
			f[name] = w.leaf()
		case 2:
			if strings.HasPrefix(l.mode, "100") {
				f[name] = leaf{map[string]string{"100644": "100755", "100755": "100644"}[l.mode], l.content}
			}
		default:
			if strings.HasPrefix(l.mode, "100") {
				f[name] = leaf{l.mode, w.changeLines(l.content)}
			}
		}
	}
	return f
}

// changeLines changes some lines.
func (w *world) changeLines(content string) string {
	lines := slices.Collect(strings.Lines(content))
	for range 1 + w.IntN(2) {
		at := w.IntN(len(lines) + 1)
		end := min(len(lines), at+w.IntN(3))
		var with []string
		for range w.IntN(3) {
			with = append(with, fmt.Sprintf("%d\n", w.IntN(30)))
		}
		lines = slices.Replace(lines, at, end, with...)
	}
	return strings.Join(lines, "")
}

// TestTextsMergeLikeGit compares merges of many random texts with those of git: long ones, and with lines
// that are there often.
func TestTextsMergeLikeGit(t *testing.T) {
	texts := 1500
	if testing.Short() {
		texts = 500
	}
	trees := [3]files{{}, {}, {}}
	for i := range texts {
		w := &world{Rand: rand.New(rand.NewPCG(uint64(i), 9))}
		name := fmt.Sprintf("%04d", i)
		var b strings.Builder
		of := 1 + w.IntN(1+w.IntN(150))
		for range 1 + w.IntN(300) {
			fmt.Fprintln(&b, w.IntN(of))
		}
		trees[0][name] = plain(b.String())
		for side := 1; side < 3; side++ {
			content := b.String()
			for range w.IntN(3) {
				content = w.changeLines(content)
			}
			trees[side][name] = plain(content)
		}
	}
	o := sides(t, trees[0], trees[1], trees[2])
	tree, conflicts := o.merge("ours", "theirs")
	list := exec.Command("git", "cat-file", "--batch")
	list.Dir = o.bare()
	var input strings.Builder
	for i := range texts {
		fmt.Fprintf(&input, "%s:%04d\n", tree, i)
	}
	list.Stdin = strings.NewReader(input.String())
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bytes.NewBuffer(out)
	wrong, clean := 0, 0
	for i := range texts {
		name := fmt.Sprintf("%04d", i)
		var id, kind string
		var size int
		if _, err := fmt.Fscanf(answers, "%s %s %d\n", &id, &kind, &size); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, size+1)
		if _, err := io.ReadFull(answers, want); err != nil {
			t.Fatal(err)
		}
		effort := maxEffort
		got, ok := mergeText([]byte(trees[0][name].content), []byte(trees[1][name].content), []byte(trees[2][name].content), &effort)
		if conflict := slices.Contains(conflicts, name); ok == conflict || ok && string(got) != string(want[:size]) {
			wrong++
			t.Errorf("%s: clean %v, git %v, the same: %v", name, ok, !conflict, string(got) == string(want[:size]))
		}
		if ok {
			clean++
		}
	}
	t.Logf("%d of %d texts merge, %d not as in git", clean, texts, wrong)
}

// TestFetchForPullRequests: heads of pull requests and commits that are no tips come together, for one
// look at the references and one pack.
func TestFetchForPullRequests(t *testing.T) {
	base := files{"a": plain("1\n2\n3\n")}
	s := &stream{}
	s.commit("base", base)
	s.commit("main", base.with(files{"b": plain("b")}), "base")
	s.commit("pull", base.with(files{"a": plain("A\n2\n3\n")}), "base")
	o := newOrigin(t)
	o.load(s)
	tips := o.tips()
	for ref, branch := range map[string]string{"refs/pull/7/head": "pull", "refs/merge-requests/7/head": "pull"} {
		o.git(o.bare(), "update-ref", ref, tips[branch])
	}
	o.git(o.bare(), "update-ref", "-d", "refs/heads/pull")
	o.git(o.bare(), "update-ref", "-d", "refs/heads/base")
	for name, c := range map[string]struct {
		config   string
		requests int64 // for a new mirror
	}{
		"any commit":      {"allowAnySHA1InWant", 2},
		"no other commit": {"", 2},
	} {
		for _, head := range []string{"refs/pull/7/head", "refs/merge-requests/7/head"} {
			t.Run(name+"/"+head, func(t *testing.T) {
				o.git(o.bare(), "config", "uploadpack.allowAnySHA1InWant", fmt.Sprint(c.config != ""))
				var requests atomic.Int64
				m, remote := newMirror(t), Remote{URL: serve(t, counted(o.backend(), &requests))}
				list, err := m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Name: head}, Want{Commit: tips["base"], Branch: "main"})
				if err != nil {
					t.Fatal(err)
				}
				if got := requests.Load(); got != c.requests {
					t.Errorf("%d requests, want %d", got, c.requests)
				}
				for i, want := range []string{"main@sha1:" + tips["main"], head + "@sha1:" + tips["pull"], "main@sha1:" + tips["base"]} {
					if got := list[i]; got.Revision.String() != want || !got.Changed || (got.Bytes > 0) != (i == 0) {
						t.Errorf("%d is %+v, want %s", i, got, want)
					}
				}
				merged, err := m.Merge(t.Context(), MergeSpec{Ours: tips["main"], Theirs: tips["pull"], Ancestor: tips["base"]})
				if err != nil {
					t.Fatal(err)
				}
				if got := contents(t, m, merged.Revision.Commit); got["a"] != "A\n2\n3\n" || got["b"] != "b" {
					t.Errorf("it has %q", got)
				}
				requests.Store(0)
				list, err = m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Name: head}, Want{Commit: tips["base"], Branch: "main"})
				if err != nil || list[0].Changed || list[1].Changed || list[2].Changed || requests.Load() != 1 {
					t.Errorf("again %+v, %v, %d requests", list, err, requests.Load())
				}
			})
		}
	}
	m, remote := newMirror(t), o.http()
	if list, err := m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Name: "refs/pull/8/head"}); kindOf(err) != ReferenceNotFound || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
	if list, err := m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Commit: strings.Repeat("ab", 20)}); kindOf(err) != ReferenceNotFound || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
	if list, err := m.FetchAll(t.Context(), remote); err != nil || len(list) != 0 {
		t.Errorf("nothing: %v, %v", list, err)
	}
}

// TestFetchedTogetherStaysTogether: when a mirror begins a new generation, what else is wanted moves there
// too.
func TestFetchedTogetherStaysTogether(t *testing.T) {
	base := files{"a": plain("1\n2\n3\n")}
	o := sides(t, base, base.with(files{"b": plain("b")}), base.with(files{"c": plain("c")}))
	m := newMirror(t)
	spec := o.three(m, "")
	for len(m.gen.store.packs) <= maxPacks {
		m.gen.store.packs = append(m.gen.store.packs, m.gen.store.packs[0])
	}
	s := &stream{}
	s.commit("theirs", base.with(files{"c": plain("C")}), "base")
	o.load(s)
	next := o.three(m, "")
	if next.Theirs == spec.Theirs || next.Ours != spec.Ours || len(generations(m.dir)) != 2 {
		t.Fatalf("%+v after %+v, %v", next, spec, generations(m.dir))
	}
	merged, err := m.Merge(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, m, merged.Revision.Commit); got["b"] != "b" || got["c"] != "C" {
		t.Errorf("it has %q", got)
	}
	if _, err := m.Merge(t.Context(), spec); kindOf(err) != NotFetched {
		t.Errorf("of another generation: %v", err)
	}
}

// TestFetchOlderCommitsCheaply: what a pull request began with was never in the mirror, nor are the files that
// the branch had then. Only those come.
func TestFetchOlderCommitsCheaply(t *testing.T) {
	w := &world{Rand: rand.New(rand.NewPCG(1, 1))}
	noise := func(size int) leaf {
		content := make([]byte, size)
		for i := range content {
			content[i] = byte(w.IntN(256))
		}
		return plain(string(content))
	}
	base := files{"large": noise(1 << 20), "dir/a": noise(1 << 10), "dir/b": plain("b")}
	s := &stream{}
	s.commit("before", base.with(files{"dir/z": noise(1 << 18)}))
	s.commit("base", base, "before")
	s.commit("pull", base.with(files{"dir/b": plain("B")}), "base")
	s.commit("later", base.with(files{"dir/a": noise(1 << 10)}), "base")
	s.commit("first", base.with(files{"dir/d": plain("d")}), "later")
	s.commit("main", base.with(files{"dir/a": noise(1 << 10), "dir/c": plain("c")}), "later")
	o := newOrigin(t)
	o.load(s)
	o.git(o.bare(), "config", "uploadpack.allowAnySHA1InWant", "true")
	o.git(o.bare(), "repack", "-adbq")
	tips := o.tips()
	for _, branch := range []string{"before", "base", "later"} {
		o.git(o.bare(), "update-ref", "-d", "refs/heads/"+branch)
	}
	m, remote := newMirror(t), o.http()
	if _, err := m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Branch: "first"}, Want{Commit: tips["later"]}); err != nil {
		t.Fatal(err)
	}
	list, err := m.FetchAll(t.Context(), remote, Want{Branch: "main"}, Want{Branch: "pull"}, Want{Commit: tips["base"]})
	if err != nil {
		t.Fatal(err)
	}
	if bytes := list[0].Bytes + list[1].Bytes + list[2].Bytes; bytes > 1<<10 || list[2].Changed {
		t.Errorf("%d bytes were transferred: %+v", bytes, list)
	}
	merged, err := m.Merge(t.Context(), MergeSpec{Ours: tips["main"], Theirs: tips["pull"], Ancestor: tips["base"]})
	if err != nil || !slices.Equal(merged.Files, []string{"dir/b"}) {
		t.Fatalf("%v, %v", merged, err)
	}
	for _, commit := range []string{merged.Revision.Commit, tips["base"], tips["pull"]} {
		o.wholeTree(m, commit)
	}
}

func BenchmarkMerge(b *testing.B) {
	base := files{}
	for d := range 200 {
		for f := range 50 {
			base[fmt.Sprintf("overlays/d%d/f%d.yaml", d, f)] = plain(fmt.Sprintf("kind: ConfigMap\nname: cm-%d-%d\ndata:\n  key: value\n", d, f))
		}
	}
	o := sides(b, base, base.with(files{"overlays/d0/f0.yaml": plain("kind: ConfigMap\nname: x\ndata:\n  key: value\n")}),
		base.with(files{"overlays/d0/f0.yaml": plain("kind: ConfigMap\nname: cm-0-0\ndata:\n  key: value2\n"), "overlays/d7/f0.yaml": plain("x")}))
	m := newMirror(b)
	spec := o.three(m, "")
	for b.Loop() {
		if _, err := m.Merge(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
	}
}
