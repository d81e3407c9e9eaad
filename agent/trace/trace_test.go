package trace_test

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
)

func files(names ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for _, name := range names {
		tree[name] = &fstest.MapFile{Data: []byte(name), Mode: 0o644}
	}
	return tree
}

// look makes a trace of what a reader sees.
func look(tree agent.Tree, reader func(agent.Tree)) trace.Trace {
	r := trace.New(tree)
	reader(r)
	return r.Trace()
}

// What was seen is in the order of a walk, which names that sort before a slash do not upset.
func TestOrder(t *testing.T) {
	got := look(files("a/b/c", "a-b", "a.b", "b"), func(tree agent.Tree) {
		for _, name := range []string{"b", "a-b", "a/b/c", "a.b", "a/b", "a", ".", "a/z"} {
			_, _ = tree.Lstat(name)
		}
	})
	want := []string{".", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "b"}
	below := []int{7, 3, 1, 0, 0, 0, 0, 0}
	for n, s := range got.Seen {
		if len(got.Seen) != len(want) || s.Path != want[n] || s.Below != below[n] {
			t.Fatalf("%v", got.Seen)
		}
	}
}

func TestHolds(t *testing.T) {
	tree := files("a/x", "a/y", "b/x")
	for _, test := range []struct {
		name   string
		reader func(agent.Tree)
		other  fstest.MapFS
		want   bool
	}{
		{"nothing was seen", func(agent.Tree) {}, tree, false},
		{"a look", func(tree agent.Tree) { tree.Lstat("a/x") }, fstest.MapFS{"a/x": {Data: []byte("other")}}, true},
		{"a look at what goes", func(tree agent.Tree) { tree.Lstat("a/x") }, files("a/y"), false},
		{"a look at what comes", func(tree agent.Tree) { tree.Lstat("a/z") }, files("a/z"), false},
		{"below what is no directory", func(tree agent.Tree) { tree.Lstat("a/x/y") }, files("a/x", "a/y"), true},
		{"a size", func(tree agent.Tree) { info, _ := tree.Lstat("a/x"); info.Size() }, fstest.MapFS{"a/x": {Data: []byte("other")}}, false},
		{"the size of an entry", func(tree agent.Tree) { list, _ := tree.ReadDir("a"); info, _ := list[0].Info(); info.Size() },
			fstest.MapFS{"a/x": {Data: []byte("other")}, "a/y": {}}, false},
		{"names", func(tree agent.Tree) { tree.ReadDir("a") }, fstest.MapFS{"a/x": {Data: []byte("other")}, "a/y": {}}, true},
		{"a name more", func(tree agent.Tree) { tree.ReadDir("a") }, files("a/x", "a/y", "a/z"), false},
		{"another type", func(tree agent.Tree) { tree.ReadDir("a") }, files("a/x", "a/y/z"), false},
		{"an open file", func(tree agent.Tree) { tree.Open("a/x") }, tree, false},
		{"an invalid path", func(tree agent.Tree) { tree.Lstat("a"); tree.Lstat("/a"); tree.ReadFile("a/../b") }, tree, true},
		{"a directory read as a file", func(tree agent.Tree) { tree.ReadFile("a") }, tree, false},
	} {
		if got := look(tree, test.reader).Holds(test.other); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestChanged(t *testing.T) {
	read := look(files("a/x", "a/y", "b", "c"), func(tree agent.Tree) {
		for _, name := range []string{"c", "b", "a/y", "a/x", "nothing"} {
			tree.ReadFile(name)
		}
		tree.ReadDir("a")
		tree.Lstat("b")
	})
	other := files("a/x", "b/now-a-directory", "nothing", "new")
	other["a/y"] = &fstest.MapFile{Data: []byte("other")}
	if got, want := read.Changed(other), []string{"a/y", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (trace.Trace{}).Changed(other); len(got) > 0 {
		t.Errorf("nothing was read, and %q has changed", got)
	}
}

// unsteady is a working directory that changes while it is read.
type unsteady struct {
	fstest.MapFS
	reads *int
}

func (u unsteady) ReadFile(name string) ([]byte, error) {
	*u.reads++
	return []byte{byte(*u.reads)}, nil
}

func TestUnsteady(t *testing.T) {
	tree := unsteady{files("a"), new(int)}
	got := look(tree, func(tree agent.Tree) { tree.ReadFile("a"); tree.ReadFile("a") })
	if !reflect.DeepEqual(got, trace.Trace{}) {
		t.Error(got)
	}
}

// A link is not followed, though the tree below would.
func TestLinks(t *testing.T) {
	tree := files("a")
	tree["link"] = &fstest.MapFile{Data: []byte("a"), Mode: fs.ModeSymlink}
	read := func(tree agent.Tree) {
		if data, err := tree.ReadFile("link"); err == nil {
			t.Errorf("read %s", data)
		}
	}
	if seen := look(tree, read); !seen.Holds(tree) || seen.Holds(files("link")) {
		t.Error(seen)
	}
	if seen := look(tree, func(tree agent.Tree) { tree.ReadLink("link") }); !seen.Holds(tree) {
		t.Error(seen)
	}
	other := fstest.MapFS{"a": tree["a"], "b": tree["a"], "link": {Data: []byte("b"), Mode: fs.ModeSymlink}}
	if look(tree, func(tree agent.Tree) { tree.ReadLink("link") }).Holds(other) {
		t.Error("the link points elsewhere")
	}
}

func TestMissing(t *testing.T) {
	r := trace.New(files("a"))
	if _, err := r.Lstat("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := r.ReadFile("c"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if seen := r.Trace(); !seen.Holds(files("d")) || seen.Holds(files("c")) {
		t.Error(seen)
	}
}
