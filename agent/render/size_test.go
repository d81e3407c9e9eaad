package render_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-dev/sluice/agent/render"
)

// many returns documents of ConfigMaps.
func many(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c%d\n  namespace: x\ndata:\n  a: b\n---\n", i)
	}
	return []byte(b.String())
}

// cpu is the time that this process has computed: a busy machine does not count.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Lists of files cost time in proportion to the objects in them, however many they are.
func TestTwentyThousandObjects(t *testing.T) {
	took := map[int]time.Duration{}
	for _, n := range []int{5_000, 20_000} {
		tree := fstest.MapFS{
			"kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")},
			"a.yaml":             {Data: many(n)},
		}
		start := cpu(t)
		set, err := render.Render(tree, render.Spec{Path: "."}, render.DefaultLimits())
		if err != nil || len(set.Objects) != n {
			t.Fatalf("%d of %d objects: %v", len(set.Objects), n, err)
		}
		took[n] = cpu(t) - start
	}
	t.Logf("5,000: %s; 20,000: %s", took[5_000], took[20_000])
	if took[20_000] > 12*took[5_000] {
		t.Errorf("20,000 objects took %s, and 5,000 only %s", took[20_000], took[5_000])
	}
}

// Too many are noticed when they are read, before Kustomize compares them all.
func TestTooManyObjects(t *testing.T) {
	limits := render.DefaultLimits()
	limits.Objects = 10_000
	for name, text := range map[string]string{"listed": "resources: [a.yaml]\n", "changed": "namePrefix: x-\nresources: [a.yaml]\n"} {
		tree := fstest.MapFS{"kustomization.yaml": {Data: []byte(text)}, "a.yaml": {Data: many(10_001)}}
		start := cpu(t)
		_, err := render.Render(tree, render.Spec{Path: "."}, limits)
		expect(t, name, err, render.Limit, "more than 10000 objects were read, which is the limit: split the overlay, or raise --render-objects")
		if took := cpu(t) - start; took > 5*time.Second {
			t.Errorf("it took %s to notice", took)
		}
	}
}

func TestTooMuchOutput(t *testing.T) {
	limits := render.DefaultLimits()
	limits.Output = 2 << 20
	_, err := render.Render(large(3<<20), render.Spec{Path: "."}, limits)
	expect(t, "", err, render.Limit, "4 MiB of objects are more than the limit of 2 MiB: split the overlay, or raise --render-output")
}

func expect(t *testing.T, name string, err error, kind render.Kind, want string) {
	t.Helper()
	if e, ok := errors.AsType[*render.Error](err); !ok || e.Kind != kind || e.Error() != want {
		t.Errorf("%s: %v\nwant %s", name, err, want)
	}
}

// large is a tree with one large object.
func large(size int) fstest.MapFS {
	return fstest.MapFS{
		"kustomization.yaml": {Data: []byte("namePrefix: x-\nresources: [a.yaml]\n")},
		"a.yaml":             {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: |\n    " + strings.Repeat("0123456789abcdef\n    ", size/16) + "\n")},
	}
}

// An object of 3 MB is rendered; whether the cluster takes it is the cluster's business.
func TestThreeMegabytes(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	r := request("")
	r.Source.Dir = onDiskCopy(t, large(3<<20))
	set, err := pool.Render(t.Context(), r)
	if err != nil || len(set.Objects) != 1 || len(set.Objects[0].JSON) < 3<<20 {
		t.Fatal(len(set.Objects), err)
	}
}

// Answers of many megabytes pass.
func TestLargeAnswer(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	r := request("")
	r.Source.Dir = onDiskCopy(t, fstest.MapFS{"a.yaml": {Data: many(20_000)}})
	set, err := pool.Render(t.Context(), r)
	if err != nil || len(set.Objects) != 20_000 {
		t.Fatal(len(set.Objects), err)
	}
}

// Bombs end their worker and nothing else.
func TestBombs(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	var aliases strings.Builder
	aliases.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\nx0: &x0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for n := range 9 {
		fmt.Fprintf(&aliases, "x%d: &x%d [%s]\n", n+1, n+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d, ", n), 9), ", "))
	}
	head := "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: "
	for _, test := range []struct {
		name string
		tree fstest.MapFS
		kind render.Kind
	}{
		{"aliases", fstest.MapFS{"a.yaml": {Data: []byte(aliases.String())}}, render.Refused},
		{"aliases in a kustomization", fstest.MapFS{"kustomization.yaml": {Data: []byte(aliases.String())}}, render.Invalid},
		{"aliases with a prefix", fstest.MapFS{"kustomization.yaml": {Data: []byte("namePrefix: x-\nresources: [a.yaml]\n")}, "a.yaml": {Data: []byte(aliases.String())}}, render.Refused},
		{"an alias of itself", fstest.MapFS{"a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx: &x [*x, *x]\n")}}, render.Refused},
		{"generated", fstest.MapFS{"kustomization.yaml": {Data: []byte("generators:\n- |\n  " + strings.ReplaceAll(aliases.String(), "\n", "\n  ") + "\n")}}, render.Refused},
		{"deep lists", fstest.MapFS{"a.yaml": {Data: []byte(head + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000))}}, render.Invalid},
		{"deep mappings", fstest.MapFS{"a.yaml": {Data: []byte(head + strings.Repeat("{a: ", 100_000) + strings.Repeat("}", 100_000))}}, render.Invalid},
		{"deep kustomization", fstest.MapFS{"kustomization.yaml": {Data: []byte("resources: " + strings.Repeat("[", 100_000))}}, render.Invalid},
	} {
		r := request("")
		r.Source.Dir = onDiskCopy(t, test.tree)
		_, err := pool.Render(t.Context(), r)
		if e, ok := errors.AsType[*render.Error](err); !ok || e.Kind != test.kind {
			t.Errorf("%s: %v", test.name, err)
		}
		t.Logf("%s: %v", test.name, err)
		mustRender(t, pool, good(t))
	}
}

// Kustomizations that double what they include, level by level.
func TestExponentialBases(t *testing.T) {
	limits := workerLimits
	limits.Time = 10 * time.Second
	pool := newPool(t, 1, limits)
	tree := fstest.MapFS{"level0/kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")}, "level0/a.yaml": {Data: many(1)}}
	for n := 1; n < 40; n++ {
		for _, side := range []string{"a", "b"} {
			tree[fmt.Sprintf("level%d/%s/kustomization.yaml", n, side)] = &fstest.MapFile{Data: fmt.Appendf(nil, "namePrefix: %s-\nresources: [../../level%d]\n", side, n-1)}
		}
		tree[fmt.Sprintf("level%d/kustomization.yaml", n)] = &fstest.MapFile{Data: []byte("resources: [a, b]\n")}
	}
	r := request("")
	r.Spec.Path, r.Source.Dir = "level39", onDiskCopy(t, tree)
	_, err := pool.Render(t.Context(), r)
	if e, ok := errors.AsType[*render.Error](err); !ok || e.Kind != render.Limit {
		t.Error(err)
	}
	t.Log(err)
}

// Twenty thousand files are as good as one.
func TestTwentyThousandFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 20,000 files")
	}
	dir := t.TempDir()
	for n := range 20_000 {
		text := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\n", n)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("c%d.yaml", n)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	set, err := render.Render(onDisk(t, dir), render.Spec{Path: "."}, render.DefaultLimits())
	if err != nil || len(set.Objects) != 20_000 {
		t.Fatal(len(set.Objects), err)
	}
	t.Log(time.Since(start))
}
