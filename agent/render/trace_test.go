package render_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/gob"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
)

// indexedTree is a tree with object ids, as those of Git have.
type indexedTree struct{ fstest.MapFS }

// Node gives directories an id over all that is below them.
func (t indexedTree) Node(name string) (trace.Node, error) {
	info, err := t.Lstat(name)
	if err != nil {
		return trace.Node{}, err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		h := sha1.New()
		for _, file := range slices.Sorted(maps.Keys(t.MapFS)) {
			if name == "." || strings.HasPrefix(file, name+"/") {
				fmt.Fprintf(h, "%s %s %q\x00", file, t.MapFS[file].Mode, t.MapFS[file].Data)
			}
		}
		return trace.Node{What: trace.Directory, ID: trace.ObjectID(h.Sum(nil))}, nil
	case 0:
		return trace.Node{What: trace.File, ID: t.blob(name)}, nil
	case fs.ModeSymlink:
		return trace.Node{What: trace.Link, ID: t.blob(name)}, nil
	}
	return trace.Node{What: trace.Other}, nil
}

func (t indexedTree) blob(name string) trace.ObjectID {
	data := t.MapFS[name].Data
	return sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))
}

// holds asks for a trace that went through a pipe, on a tree with and on one without ids.
func holds(t *testing.T, tr trace.Trace, tree fstest.MapFS) bool {
	t.Helper()
	var pipe bytes.Buffer
	var received trace.Trace
	if err := gob.NewEncoder(&pipe).Encode(tr); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&pipe).Decode(&received); err != nil || !reflect.DeepEqual(tr, received) {
		t.Fatal("the trace does not travel", err)
	}
	plain, indexed := received.Holds(tree), received.Holds(indexedTree{tree})
	if plain != indexed {
		t.Fatalf("holds: %v on a tree without ids, %v on one with them", plain, indexed)
	}
	return indexed
}

// A render that is kept because its trace holds is what a fresh one would give: for random
// trees and random changes.
func TestTraceHoldsOnlyForTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rounds := 400
	if testing.Short() {
		rounds = 80
	}
	held, changed, failures := 0, 0, 0
	for round := range rounds {
		g := growth{random}
		tree := g.tree()
		spec := render.Spec{Path: g.pick(".", "a", "a", "b", "a/b", "gone"), Owner: owner}
		if random.IntN(6) == 0 {
			spec.Components = []string{g.pick("../c", "b")}
		}
		before, errBefore := render.Run(indexedTree{tree}, spec, render.Part{}, render.DefaultLimits())
		if errBefore != nil {
			failures++
		}
		if !render.Temporary(errBefore) && !holds(t, before.Trace, tree) {
			t.Fatalf("round %d: the trace does not hold where it was taken", round)
		}
		for range 5 {
			next, what := g.mutated(tree)
			if what == outside && !render.Temporary(errBefore) && !slices.ContainsFunc(before.Trace.Seen, isOutside) && !holds(t, before.Trace, next) {
				t.Fatalf("round %d: the trace does not hold after a change of what was not read", round)
			}
			if !holds(t, before.Trace, next) {
				changed++
				continue
			}
			held++
			after, err := render.Run(next, spec, render.Part{}, render.DefaultLimits())
			if fmt.Sprint(err) != fmt.Sprint(errBefore) || !reflect.DeepEqual(after.Set, before.Set) {
				t.Fatalf("round %d, %s: the trace holds, but\n%v\n%s\nbecame\n%v\n%s\nof %s", round, what, errBefore, show(before.Set), err, show(after.Set), listing(next))
			}
		}
	}
	t.Logf("%d traces held, %d did not; %d of %d renders failed", held, changed, failures, rounds)
	if held < rounds/2 || changed < rounds/2 || failures < rounds/20 || failures > rounds*19/20 {
		t.Error("the trees and changes are not mixed well")
	}
}

const outside = "change outside"

func isOutside(s trace.Seen) bool { return strings.HasPrefix(s.Path, "outside") }

func listing(tree fstest.MapFS) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		fmt.Fprintf(&b, "-- %s (%s) --\n%s\n", name, tree[name].Mode, tree[name].Data)
	}
	return b.String()
}

// growth makes random trees and changes them.
type growth struct{ *rand.Rand }

func (g growth) pick(from ...string) string { return from[g.IntN(len(from))] }

// some picks a few, maybe none.
func (g growth) some(from ...string) []string {
	return slices.DeleteFunc(slices.Clone(from), func(string) bool { return g.IntN(3) > 0 })
}

var places = []string{".", "a", "a/b", "b", "c"}

// tree makes kustomizations that mention each other and files, most of which are there.
func (g growth) tree() fstest.MapFS {
	tree := fstest.MapFS{"outside/x.yaml": {Data: []byte("outside"), Mode: 0o644}}
	for _, dir := range places {
		for _, file := range []string{"x.yaml", "y.yaml", "data.txt"} {
			if g.IntN(8) > 0 {
				tree[path.Join(dir, file)] = g.file(dir, file)
			}
		}
		if g.IntN(3) == 0 {
			tree[path.Join(dir, "link")] = g.link()
		}
	}
	for _, dir := range []string{"c", "b", "a/b", "a", "."} {
		if g.IntN(6) > 0 {
			tree[path.Join(dir, g.pick("kustomization.yaml", "kustomization.yaml", "kustomization.yml"))] = g.kustomization(dir, tree)
		}
	}
	return tree
}

func (g growth) link() *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(g.pick("x.yaml", "y.yaml", "../b", "../a/x.yaml", "../a/x.yaml", "../b/y.yaml", "../c/x.yaml", "../../out", "gone", "link")), Mode: fs.ModeSymlink | 0o777}
}

func (g growth) file(dir, file string) *fstest.MapFile {
	name := strings.ReplaceAll(dir, "/", "-") + strings.TrimSuffix(file, ".yaml") + g.pick("", "", "1")
	text := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n%s}\ndata: {k: v%d}\n", strings.ReplaceAll(name, ".", "r"), g.IntN(4))
	switch {
	case file == "data.txt":
		text = g.pick("k=v", "k=w", "no pair")
	case g.IntN(15) == 0:
		text = g.pick("broken: [", "kind: Nothing\n", text+"---\n"+text)
	}
	return &fstest.MapFile{Data: []byte(text), Mode: 0o644}
}

// kustomization mentions what is in the tree, as a rule.
func (g growth) kustomization(dir string, tree fstest.MapFS) *fstest.MapFile {
	up := strings.Repeat("../", strings.Count(dir, "/")+1)
	if dir == "." {
		up = ""
	}
	var b strings.Builder
	list := func(field string, entries ...string) {
		entries = slices.DeleteFunc(entries, func(entry string) bool {
			at := path.Join(dir, entry)
			_, file := tree[at]
			_, base := tree[at+"/kustomization.yaml"]
			return !file && !base && !strings.HasPrefix(entry, "{") && g.IntN(12) > 0
		})
		if len(entries) > 0 {
			fmt.Fprintf(&b, "%s: [%s]\n", field, strings.Join(entries, ", "))
		}
	}
	if dir == "c" && g.IntN(3) > 0 {
		b.WriteString("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n")
	}
	if dir != "c" {
		list("resources", g.some("x.yaml", "y.yaml", "link", up+"b", up+"a/b")...)
		if component := tree["c/kustomization.yaml"]; component != nil && bytes.Contains(component.Data, []byte("Component")) {
			list("components", g.some(up+"c")...)
		}
	}
	if g.IntN(3) == 0 {
		list("configMapGenerator", fmt.Sprintf("{name: gen%d, files: [%s]}", g.IntN(9), g.pick("data.txt", "data.txt", "x.yaml", "link", "d=data.txt")))
	}
	if g.IntN(6) == 0 {
		list("patches", "{target: {kind: ConfigMap}, path: "+g.pick("x.yaml", "y.yaml")+"}")
	}
	if g.IntN(4) == 0 {
		fmt.Fprintf(&b, "namePrefix: %s\n", g.pick("p-", "q-"))
	}
	return &fstest.MapFile{Data: []byte(b.String()), Mode: 0o644}
}

// mutated returns a changed copy of a tree, and what was changed.
func (g growth) mutated(tree fstest.MapFS) (fstest.MapFS, string) {
	next := maps.Clone(tree)
	names := slices.Sorted(maps.Keys(tree))
	name, dir := names[g.IntN(len(names))], g.pick(places...)
	switch g.IntN(11) {
	case 0, 1:
		next[name] = g.file(path.Dir(name), path.Base(name))
		return next, "rewrite " + name
	case 2:
		next[name] = g.kustomization(path.Dir(name), tree)
		return next, "make a kustomization of " + name
	case 3:
		delete(next, name)
		return next, "delete " + name
	case 4:
		added := path.Join(dir, g.pick("z.yaml", "kustomization.yml", "Kustomization", "link", "new/kustomization.yaml", "kustomization.yaml"))
		next[added] = g.added(dir, added, tree)
		return next, "add " + added
	case 5:
		delete(next, name)
		next[name+"/x.yaml"] = tree[name]
		return next, "put into a directory " + name
	case 6:
		next[name] = g.link()
		return next, "link " + name
	case 7:
		file := *tree[name]
		file.Mode ^= 0o111
		next[name] = &file
		return next, "chmod " + name
	case 8:
		delete(next, name)
		next[path.Join(dir, "moved.yaml")] = tree[name]
		return next, "move " + name
	case 9:
		for _, below := range names {
			if strings.HasPrefix(below, "a/") {
				delete(next, below)
			}
		}
		next["a"] = &fstest.MapFile{Data: []byte(g.pick("b", "c")), Mode: fs.ModeSymlink | 0o777}
		return next, "make a link of a"
	}
	next["outside/"+g.pick("x.yaml", "kustomization.yaml")] = g.file("outside", "x.yaml")
	return next, outside
}

func (g growth) added(dir, name string, tree fstest.MapFS) *fstest.MapFile {
	switch {
	case strings.HasSuffix(name, "link"):
		return g.link()
	case strings.Contains(path.Base(name), "ustomization"):
		return g.kustomization(dir, tree)
	}
	return g.file(dir, name)
}

// Named changes, and whether a trace holds on the tree with them.
func TestTraceOfNamedChanges(t *testing.T) {
	base := txtar.Parse([]byte(`
-- plain/a.yaml --
{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
-- plain/notes.txt --
not a manifest
-- top/kustomization.yaml --
resources: [../base, link.yaml]
configMapGenerator: [{name: gen, files: [data.txt]}]
-- top/data.txt --
some data
-- top/link.yaml -> ../plain/a.yaml --
-- top/unused.yaml --
nobody reads this
-- base/kustomization.yaml --
resources: [b.yaml]
-- base/b.yaml --
{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
-- broken/kustomization.yaml --
resources: [missing.yaml]
`))
	for _, test := range []struct {
		name, path, changes string
		holds               bool
	}{
		{"nothing", "top", "", true},
		{"a file that was read", "top", "-- base/b.yaml --\n", false},
		{"a kustomization", "top", "-- base/kustomization.yaml --\n", false},
		{"a generator's file", "top", "-- top/data.txt --\n", false},
		{"a file nobody reads", "top", "-- top/unused.yaml --\n", true},
		{"a new file in a directory with kustomization", "top", "-- base/c.yaml --\n", true},
		{"a new file in a directory without", "plain", "-- plain/b.yaml --\n", false},
		{"a file in a listed directory", "plain", "-- plain/notes.txt --\nchanged\n", true},
		{"a new directory beside", "top", "-- new/kustomization.yaml --\n", true},
		{"a miss becomes a hit", "broken", "-- broken/missing.yaml --\n", false},
		{"a miss stays one", "broken", "-- broken/other.yaml --\n", true},
		{"a second kustomization", "top", "-- base/kustomization.yml --\n", false},
		{"a link points elsewhere", "top", "-- top/link.yaml -> ../base/b.yaml --\n", false},
		{"what a link leads to", "top", "-- plain/a.yaml --\n", false},
		{"beside what a link leads to", "top", "-- plain/b.yaml --\n", true},
		{"a link becomes a file", "top", "-- top/link.yaml --\n{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n", false},
		{"a file becomes a directory", "top", "-- base/b.yaml/x --\n", false},
		{"a directory becomes a link", "top", "-- base -> plain --\n", false},
		{"a directory becomes a submodule", "top", "-- base (submodule) --\n", false},
		{"a file can be executed", "top", "chmod", true},
		{"the path is not there", "gone", "", true},
		{"the path comes to be", "gone", "-- gone/a.yaml --\n", false},
		{"what is there in its place", "gone", "-- other/a.yaml --\n", false}, // the message lists it
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for _, f := range base.Files {
				addFile(t, tree, f.Name, f.Data)
			}
			result, err := render.Run(tree, render.Spec{Path: test.path, Owner: owner}, render.Part{}, render.DefaultLimits())
			if (err != nil) != (test.path == "broken" || test.path == "gone") {
				t.Fatal(err)
			}
			for _, f := range txtar.Parse([]byte(test.changes)).Files {
				name, _, _ := strings.Cut(f.Name, " ")
				maps.DeleteFunc(tree, func(file string, _ *fstest.MapFile) bool {
					return file == name || strings.HasPrefix(file, name+"/") || strings.HasPrefix(name, file+"/")
				})
				addFile(t, tree, f.Name, f.Data)
			}
			if test.changes == "chmod" {
				tree["base/b.yaml"].Mode = 0o755
			}
			if got := holds(t, result.Trace, tree); got != test.holds {
				t.Errorf("holds: %v", got)
			}
		})
	}
}

// What cannot be read today may be read tomorrow, so nothing is remembered of it.
func TestTraceOfTemporaryErrors(t *testing.T) {
	files := fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")}, "a.yaml": {}}
	result, err := render.Run(unreadable{files}, render.Spec{Path: "."}, render.Part{}, render.DefaultLimits())
	if !render.Temporary(err) || result.Trace.Holds(unreadable{files}) {
		t.Error(err, result.Trace)
	}
}

// A trace arrives with the set, and with an error, from a worker; the agent checks it.
func TestPoolReturnsTraces(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	tree := fstest.MapFS{"a/x.yaml": {Data: []byte("{apiVersion: v1, kind: Namespace, metadata: {name: x}}")}, "b/kustomization.yaml": {Data: []byte("resources: [y.yaml]")}}
	dir := onDiskCopy(t, tree)
	for _, name := range []string{"a", "b"} {
		r := render.Request{Source: render.Source{Dir: dir}, Spec: render.Spec{Path: name, Owner: owner}}
		result, err := pool.Run(t.Context(), r)
		if (err != nil) != (name == "b") {
			t.Fatal(err)
		}
		if !result.Trace.Holds(tree) || !result.Trace.Holds(onDisk(t, dir)) {
			t.Error("the trace does not hold on the same files")
		}
		other := maps.Clone(tree)
		other[name+"/y.yaml"] = tree["a/x.yaml"]
		if result.Trace.Holds(other) {
			t.Error("the trace holds in spite of a new file")
		}
	}
}

var _ agent.Tree = indexedTree{}
