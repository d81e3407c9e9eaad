package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-dev/sluice/agent/trace"
)

// plant writes raw objects with git and returns the commit of a tree that holds what a
// work tree could not: entries are lines as git mktree takes them.
func (o *origin) plant(entries string) string {
	o.t.Helper()
	file := o.t.TempDir() + "/tree"
	if err := os.WriteFile(file, []byte(entries), 0o600); err != nil {
		o.t.Fatal(err)
	}
	tree := o.git(o.work, "-c", "alias.plant=!git mktree --missing -z <"+file, "plant")
	commit := o.git(o.work, "commit-tree", "-m", "planted", tree)
	o.git(o.work, "push", "-q", "-f", "origin", commit+":refs/heads/main")
	return commit
}

func (o *origin) tree(commit string) *Tree {
	o.t.Helper()
	m := newMirror(o.t)
	must(o.t, m, Remote{URL: "file://" + o.bare()}, Want{Branch: "main"})
	tree, err := OpenTree(m.dir, commit)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { tree.Close() })
	return tree
}

func TestTreeIsAFileSystem(t *testing.T) {
	o := newOrigin(t)
	o.write(map[string]string{"a.txt": "a", "run.sh": "#!/bin/sh", "dir/b.txt": "b", "dir/Case.txt": "1", "dir/case.txt": "2", "new\nline": "n", "ünïcode": "u", "empty/.keep": " "})
	// TestFS wants to open everything, also links, so it sees the tree without them.
	os.Chmod(o.work+"/run.sh", 0o755)
	if err := fstest.TestFS(o.tree(o.commit("main", nil)), "a.txt", "run.sh", "dir/b.txt", "dir/Case.txt", "dir/case.txt", "new\nline", "ünïcode"); err != nil {
		t.Fatal(err)
	}
	o.write(map[string]string{"back\\slash": "b"})
	for link, to := range map[string]string{"link": "a.txt", "dir/up": "../a.txt", "out": "../../../etc/passwd", "absolute": "/etc/passwd", "dirlink": "dir"} {
		if err := os.Symlink(to, o.work+"/"+link); err != nil {
			t.Fatal(err)
		}
	}
	commit := o.commit("main", nil)
	tree := o.tree(commit)
	modes := map[string]fs.FileMode{
		".": fs.ModeDir | 0o755, "dir": fs.ModeDir | 0o755, "a.txt": 0o644, "run.sh": 0o755,
		"link": fs.ModeSymlink | 0o777, "dir/up": fs.ModeSymlink | 0o777,
	}
	for name, want := range modes {
		if info, err := tree.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %s", name, info, err, want)
		}
	}
	for name, want := range map[string]string{"out": "../../../etc/passwd", "absolute": "/etc/passwd", "dir/up": "../a.txt"} {
		if got, err := tree.ReadLink(name); got != want || err != nil {
			t.Errorf("%s -> %q, %v", name, got, err)
		}
		if content, err := tree.ReadFile(name); !errors.Is(err, errLink) {
			t.Errorf("%s was followed: %q, %v", name, content, err)
		}
	}
	if _, err := tree.ReadLink("a.txt"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a file is no link: %v", err)
	}
	if content, err := tree.ReadFile("back\\slash"); string(content) != "b" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	for _, name := range []string{"nope", "a.txt/b", "dir/nope", "dirlink/b.txt", "A.txt"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want not exist", name, err)
		}
	}
	for _, name := range []string{"", "/", "/etc/passwd", "../a.txt", "dir/../a.txt", "./a.txt", "dir/", "dir//b.txt", "a\xff"} {
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v, want invalid", name, err)
		}
	}
	for _, name := range []string{".", "dir", "a.txt", "link"} {
		want := o.git(o.work, "rev-parse", commit+":"+strings.TrimPrefix(name, "."))
		if got, ok := tree.ObjectID(name); got != want || !ok {
			t.Errorf("%s has id %s, git says %s", name, got, want)
		}
		if node, err := tree.Node(name); fmt.Sprintf("%x", node.ID) != want || err != nil {
			t.Errorf("%s has id %x, %v, git says %s", name, node.ID, err, want)
		}
	}
	if id, ok := tree.ObjectID("nope"); ok {
		t.Errorf("nope has id %s", id)
	}
}

func TestTreeRefusesWhatIsNoFile(t *testing.T) {
	o := newOrigin(t)
	o.commit("main", map[string]string{"x": "blob"})
	blob := o.git(o.work, "rev-parse", "HEAD:x")
	inner := o.git(o.work, "rev-parse", "HEAD^{tree}")
	commit := o.plant(strings.Join([]string{
		"160000 commit " + strings.Repeat("ab", 20) + "\tmodule",
		"040000 tree " + inner + "\t.git",
		"100644 blob " + blob + "\tfile",
		"100755 blob " + blob + "\tsub.sh", ""}, "\x00"))
	tree := o.tree(commit)
	for name, want := range map[string]error{"module": errSubmodule, "module/x": errSubmodule, ".git": errGitDir, ".git/x": errGitDir} {
		_, open := tree.Open(name)
		_, read := tree.ReadFile(name)
		_, list := tree.ReadDir(name)
		if !errors.Is(open, want) || !errors.Is(read, want) || !errors.Is(list, want) {
			t.Errorf("%s: %v, %v, %v", name, open, read, list)
		}
	}
	for _, name := range []string{"module", ".git"} {
		if info, err := tree.Lstat(name); err != nil || info.Mode() != fs.ModeIrregular {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if list, err := tree.ReadDir("."); len(list) != 4 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

// tree is the content of a tree object.
func treeObject(entries ...treeEntry) []byte {
	var b []byte
	for _, e := range entries {
		b = append(fmt.Appendf(b, "%s %s\x00", e.mode, e.name), e.id[:]...)
	}
	return b
}

func TestParseDirectoryRefusesNamesThatLeadOut(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/etc"} {
		if d, err := parseDirectory(treeObject(treeEntry{name: name, mode: "100644"})); kindOf(err) != Refused {
			t.Errorf("%q: %v, %v", name, d, err)
		}
	}
	if _, err := parseDirectory(treeObject(treeEntry{name: "a", mode: "100644"}, treeEntry{name: "b", mode: "100644"}, treeEntry{name: "a", mode: modeDir})); kindOf(err) != Refused {
		t.Errorf("twice: %v", err)
	}
	for _, cut := range []string{"100644", "100644 a", "100644 a\x00short"} {
		if _, err := parseDirectory([]byte(cut)); !errors.Is(err, errDamaged) {
			t.Errorf("%q: %v", cut, err)
		}
	}
}

func TestTreeRefusesLargeFiles(t *testing.T) {
	o := newOrigin(t)
	commit := o.commit("main", map[string]string{"large": strings.Repeat("\x00", int(maxFile)+1)})
	tree := o.tree(commit)
	var e *Error
	if _, err := tree.ReadFile("large"); !errors.As(err, &e) || e.Kind != TooLarge {
		t.Errorf("got %v", err)
	}
	if info, err := tree.Lstat("large"); err != nil || info.Size() != maxFile+1 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestTreeIsSafeForConcurrentUse(t *testing.T) {
	o := large200(t)
	tree := o.tree(o.head())
	want := readAll(t, tree)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			fresh := readAll(t, tree)
			if len(fresh) != len(want) {
				t.Errorf("%d files, want %d", len(fresh), len(want))
			}
			for name := range fresh {
				if fresh[name] != want[name] {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
	wait.Wait()
}

// large200 is an origin whose files are packed as deltas of each other.
func large200(t testing.TB) *origin {
	o := newOrigin(t)
	files := map[string]string{}
	for i := range 200 {
		files[fmt.Sprintf("d%d/f%d.yaml", i%10, i)] = strings.Repeat("the same line in all of them\n", 100) + fmt.Sprint(i)
	}
	o.commit("main", files)
	o.git(o.bare(), "repack", "-adfq", "--depth=50", "--window=50")
	return o
}

func TestStoreReadsWhatGitPacked(t *testing.T) {
	o := large200(t)
	for i := range 20 {
		o.commit("main", map[string]string{"d0/f0.yaml": strings.Repeat("the same line in all of them\n", 100-i)})
	}
	for name, args := range map[string][]string{
		"deltas by offset": {"repack", "-adfq", "--depth=4000", "--window=250"},
		"deltas by id":     {"-c", "repack.usedeltabaseoffset=false", "repack", "-adfq", "--depth=50", "--window=50"},
	} {
		t.Run(name, func(t *testing.T) {
			o.git(o.bare(), args...)
			s, err := openStore(o.bare())
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for line := range strings.Lines(o.git(o.bare(), "cat-file", "--batch-all-objects", "--batch-check")) {
				var id, kind string
				var size int64
				fmt.Sscan(line, &id, &kind, &size)
				k, content, err := s.read(plumbing.NewHash(id), maxObject)
				if err != nil || k.String() != kind || plumbing.ComputeHash(k, content).String() != id {
					t.Fatalf("%s: read a %s of %d bytes, %v", strings.TrimSpace(line), k, len(content), err)
				}
				if n, err := s.size(plumbing.NewHash(id)); n != size || err != nil {
					t.Errorf("%s: size %d, %v", strings.TrimSpace(line), n, err)
				}
			}
		})
	}
}

func FuzzTreePaths(f *testing.F) {
	o := seeded(f)
	m := newMirror(f)
	must(f, m, Remote{URL: "file://" + o.bare()}, Want{Branch: "main"})
	tree, err := OpenTree(m.dir, o.head())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"a.txt", "dir/sub/c.txt", "../a.txt", "dir//b.txt", ".git/config", "dir/\x00", "./a.txt"} {
		f.Add(seed)
	}
	known := readAll(f, tree)
	f.Fuzz(func(t *testing.T, name string) {
		content, err := tree.ReadFile(name)
		if want, ok := known[name]; ok != (err == nil) || want != string(content) {
			t.Errorf("%q: %q, %v", name, content, err)
		}
		_, ok := tree.ObjectID(name)
		if _, err := tree.Lstat(name); ok != (err == nil) || ok && !fs.ValidPath(name) {
			t.Errorf("%q: id %v, %v", name, ok, err)
		}
	})
}

func FuzzParseDirectory(f *testing.F) {
	f.Add(treeObject(treeEntry{name: "a", mode: "100644"}, treeEntry{name: "b", mode: modeDir}))
	f.Add([]byte("100644 ../x\x00aaaaaaaaaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parseDirectory(content)
		if err != nil {
			return
		}
		for _, e := range d.entries {
			if e.name != "." && !fs.ValidPath(strings.ToValidUTF8(e.name, "?")) || strings.Contains(e.name, "/") {
				t.Errorf("name %q", e.name)
			}
			if d.find(e.name) != e {
				t.Errorf("%q is not found", e.name)
			}
		}
	})
}

// A trace of one commit holds on another as far as what was read is the same there.
func TestTraces(t *testing.T) {
	o := newOrigin(t)
	first := o.tree(o.commit("main", map[string]string{"a/x": "1", "a/y": "1", "b/x": "1"}))
	recorder := trace.New(first)
	for _, name := range []string{"a/x", "a/missing"} {
		if data, err := recorder.ReadFile(name); (err == nil) != (string(data) == "1") {
			t.Fatal(string(data), err)
		}
	}
	if _, err := recorder.ReadDir("b"); err != nil {
		t.Fatal(err)
	}
	seen := recorder.Trace()
	for _, step := range []struct {
		files map[string]string
		holds bool
	}{
		{map[string]string{"c": "new", "a/y": "2", "a/z": "new", "b/x": "2"}, true},
		{map[string]string{"b/y": "new"}, false},
		{map[string]string{"b/y": ""}, true}, // removed
		{map[string]string{"a/x": "2"}, false},
		{map[string]string{"a/x": "1", "a/missing": "no more"}, false},
	} {
		for name, content := range step.files {
			if content == "" {
				o.git(o.work, "rm", "-q", name)
				delete(step.files, name)
			}
		}
		if got := seen.Holds(o.tree(o.commit("main", step.files))); got != step.holds {
			t.Errorf("after %v: %v", step.files, got)
		}
	}
}

// BenchmarkTraceHolds checks what a thousand overlays have read, after a commit that changes
// one of them, against a tree that was just opened.
func BenchmarkTraceHolds(b *testing.B) {
	const overlays, each = 1000, 10
	o := newOrigin(b)
	content := map[string]string{"base/kustomization.yaml": "resources: [x.yaml]", "base/x.yaml": "x"}
	for n := range overlays {
		for f := range each {
			content[fmt.Sprintf("overlays/o%d/f%d.yaml", n, f)] = fmt.Sprint(n, f)
		}
	}
	before := o.tree(o.commit("main", content))
	traces := make([]trace.Trace, overlays)
	for n := range traces {
		r := trace.New(before)
		dir := fmt.Sprintf("overlays/o%d", n)
		for _, seen := range []string{".", "overlays", dir, dir + "/kustomization.yml", dir + "/Kustomization", "base"} {
			_, _ = r.Lstat(seen) // what is not there was seen too
		}
		for f := range each {
			_, _ = r.ReadFile(fmt.Sprintf("%s/f%d.yaml", dir, f))
		}
		_, _ = r.ReadFile("base/kustomization.yaml")
		traces[n] = r.Trace()
	}
	m := newMirror(b)
	commit := o.commit("main", map[string]string{"overlays/o7/f3.yaml": "changed"})
	must(b, m, Remote{URL: "file://" + o.bare()}, Want{Branch: "main"})
	b.ReportAllocs()
	for b.Loop() {
		tree, err := OpenTree(m.dir, commit)
		if err != nil {
			b.Fatal(err)
		}
		held := 0
		for _, seen := range traces {
			if seen.Holds(tree) {
				held++
			}
		}
		tree.Close()
		if held != overlays-1 {
			b.Fatal(held)
		}
	}
}
