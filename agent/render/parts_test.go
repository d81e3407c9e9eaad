package render_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// parted is an overlay that was rendered part by part.
type parted struct {
	parts   []render.Part
	results []render.Result
}

// renderParts renders the parts whose traces do not hold, and counts them. Without parts to go
// by it divides the overlay.
func renderParts(tree agent.Tree, spec render.Spec, last parted) (next parted, rendered int, err error) {
	known := map[string]render.Result{}
	for n, result := range last.results {
		known[last.parts[n].String()] = result
	}
	next.parts = last.parts
	if next.parts == nil {
		next.parts = render.Divide(tree, spec, render.DefaultLimits()).Parts
	}
	for _, p := range next.parts {
		result, ok := known[p.String()]
		if !ok || !result.Trace.Holds(tree) {
			rendered++
			var failed error
			result, failed = render.Run(tree, spec, p, render.DefaultLimits())
			err = errors.Join(err, failed)
		}
		next.results = append(next.results, result)
	}
	return next, rendered, err
}

// agreed renders an overlay whole and in parts, and merges parts until both give the same. It
// has no parts if they never do.
func agreed(tree agent.Tree, spec render.Spec) (agent.Set, parted, error) {
	set, err := render.Render(tree, spec, render.DefaultLimits())
	if err != nil {
		return set, parted{}, err
	}
	for p := (parted{}); ; {
		if p, _, err = renderParts(tree, spec, p); err != nil {
			return set, parted{}, nil
		}
		joined, err := render.Join(p.results, render.DefaultLimits())
		if err != nil {
			return set, parted{}, nil
		}
		differing := render.Differ(joined, set)
		if len(differing) == 0 {
			return set, p, nil
		}
		p = parted{parts: render.Tie(p.parts, p.results, differing)}
		if p.parts == nil {
			return set, parted{}, nil
		}
	}
}

func TestDivide(t *testing.T) {
	tree := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(`
-- top/kustomization.yaml --
resources: [a.yaml, ../base, lists, b.yaml, ../plain]
sortOptions: {order: fifo}
-- top/lists/kustomization.yaml --
resources: [../../base/sub, c.yaml]
-- base/kustomization.yaml --
namePrefix: x-
resources: [a.yaml]
-- base/sub/kustomization.yaml --
resources: [a.yaml, b.yaml]
-- plain/kustomization.yaml --
resources: [a.yaml]
-- prefixed/kustomization.yaml --
namePrefix: x-
resources: [../base, ../plain]
-- single/kustomization.yaml --
resources: [../base]
-- twice/kustomization.yaml --
resources: [../top, ../top/lists]
-- circle/kustomization.yaml --
resources: [../base, ../circle]
-- missing/kustomization.yaml --
resources: [../base, ../nothing]
-- bare/a.yaml --
`)).Files {
		addFile(t, tree, f.Name, f.Data)
	}
	for _, name := range []string{"top/a.yaml", "top/b.yaml", "top/lists/c.yaml", "base/a.yaml", "base/sub/a.yaml", "base/sub/b.yaml", "plain/a.yaml"} {
		addFile(t, tree, name, fmt.Appendf(nil, "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}}", strings.NewReplacer("/", "-", ".", "-").Replace(name)))
	}
	for dir, want := range map[string][]string{
		"top": {
			`"top/kustomization.yaml": ["../base"]`,
			`"top/kustomization.yaml": ["lists"]; "top/lists/kustomization.yaml": ["../../base/sub"]`,
			`"top/kustomization.yaml": ["lists"]; "top/lists/kustomization.yaml": ["c.yaml"]`,
			`"top/kustomization.yaml": ["../plain"]`,
			`"top/kustomization.yaml": ["a.yaml" "b.yaml"]`,
		},
		"prefixed": nil, "single": nil, "twice": nil, "circle": nil, "missing": nil, "bare": nil, "gone": nil,
	} {
		split := render.Divide(tree, render.Spec{Path: dir}, render.DefaultLimits())
		var got []string
		for _, p := range split.Parts {
			got = append(got, p.String())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q", dir, got)
		}
		if !split.Trace.Holds(tree) {
			t.Errorf("%s: the trace does not hold", dir)
		}
	}
	set, p, err := agreed(tree, render.Spec{Path: "top", Owner: owner})
	if err != nil || len(set.Objects) != 7 || len(p.parts) != 5 {
		t.Errorf("%d objects, %d parts, %v", len(set.Objects), len(p.parts), err)
	}
}

// A worker divides and renders parts as this process does.
func TestPoolParts(t *testing.T) {
	pool := newPool(t, 1, workerLimits)
	g := growth{rand.New(rand.NewPCG(2, 0))}
	tree, _ := g.aggregate()
	r := render.Request{Source: render.Source{Dir: onDiskCopy(t, tree)}, Spec: render.Spec{Path: "top", Owner: owner}}
	split, err := pool.Divide(t.Context(), r)
	if err != nil || !reflect.DeepEqual(split, render.Divide(onDisk(t, r.Source.Dir), r.Spec, render.DefaultLimits())) || len(split.Parts) != 5 {
		t.Fatal(split, err)
	}
	for _, r.Part = range split.Parts {
		got, err := pool.Run(t.Context(), r)
		want, errHere := render.Run(onDisk(t, r.Source.Dir), r.Spec, r.Part, render.DefaultLimits())
		if err != nil || errHere != nil || !reflect.DeepEqual(got, want) || len(got.Ties.IDs) == 0 {
			t.Error(got, want, err, errHere)
		}
	}
	if _, err := pool.Divide(t.Context(), request("nope")); !render.Temporary(err) {
		t.Error(err)
	}
}

// Parts whose files have not changed are kept, and the others rendered again: then Follow gives
// what a whole build gives, or says that only a whole build can tell. For random overlays with
// prefixes, namespaces, hashes, vars and references that lead from part to part.
func TestFollowEqualsWhole(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	divided, followed, doubted, refused := 0, 0, 0, 0
	for round := range rounds {
		g := growth{rand.New(rand.NewPCG(seed, uint64(round)))}
		tree, spec := g.aggregate()
		_, last, err := agreed(tree, spec)
		if err != nil || last.parts == nil {
			continue
		}
		divided++
		for step := range 4 {
			tree = g.edited(tree)
			next, _, failed := renderParts(tree, spec, last)
			var set agent.Set
			if failed == nil {
				set, failed = render.Follow(last.results, next.results, render.DefaultLimits())
			}
			want, err := render.Render(tree, spec, render.DefaultLimits())
			switch {
			case failed == nil && err != nil:
				t.Fatalf("round %d, step %d: a whole build fails: %v\n%s", round, step, err, listing(tree))
			case failed == nil && (set.Digest != want.Digest || len(render.Differ(set, want)) > 0):
				t.Fatalf("round %d, step %d, %+v: these differ: %v\n%s\nwant\n%s\nof %s", round, step, spec, render.Differ(set, want), show(set), show(want), listing(tree))
			case failed == nil:
				followed++
				last = next
				continue
			case err != nil:
				refused++
			default:
				doubted++
			}
			if _, last, err = agreed(tree, spec); err != nil || last.parts == nil {
				break
			}
		}
	}
	t.Logf("%d of %d overlays were divided; %d steps were followed, %d doubted, %d refused", divided, rounds, followed, doubted, refused)
	if divided < rounds/4 || followed < rounds/4 || doubted == 0 {
		t.Error("the trees and changes are not mixed well")
	}
}

var bases = []string{"p0", "p1", "p2", "p3"}

// aggregate makes an overlay that lists parts.
func (g growth) aggregate() (fstest.MapFS, render.Spec) {
	tree := fstest.MapFS{"top/kustomization.yaml": text("resources: [../p0, ../p1, lists, loose.yaml]\n"),
		"top/lists/kustomization.yaml": text("resources: [../../p2, ../../p3]\n"), "top/loose.yaml": text(g.objects("loose"))}
	for _, p := range bases {
		tree[p+"/objects.yaml"] = text(g.objects(p))
		tree[p+"/kustomization.yaml"] = text(g.part(p))
		tree[p+"/params.env"] = text("key=" + g.name() + "\n")
	}
	spec := render.Spec{Path: "top", Owner: owner}
	switch g.IntN(8) {
	case 0:
		spec.TargetNamespace = g.pick("one", "three")
	case 1:
		spec.NamePrefix = "o-"
	case 2:
		spec.CommonMetadata.Labels = map[string]string{"l": "v"}
		spec.Images = []kustomize.Image{{Name: "image", NewTag: "2"}}
	case 3:
		spec.Substitute = &render.Substitute{Variables: map[string]string{"x": g.name()}}
	}
	return tree, spec
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }

// name is one that other parts use too, now and then.
func (g growth) name() string {
	return g.pick("web", "config", "x-web", "x-config") + g.pick("", "", "0", "1", "2", "3")
}

// part is the kustomization of a part.
func (g growth) part(p string) string {
	var b strings.Builder
	b.WriteString("resources: [objects.yaml]\n")
	if g.IntN(3) == 0 {
		b.WriteString("namePrefix: " + g.pick("x-", "y-") + "\n")
	}
	if g.IntN(2) == 0 {
		b.WriteString("namespace: " + g.pick("one", "one", "two") + "\n")
	}
	if g.IntN(3) == 0 {
		fmt.Fprintf(&b, "configMapGenerator: [{name: %s, envs: [params.env]}]\n", g.pick("config"+p[1:], "generated", "generated"+p))
	}
	if g.IntN(8) == 0 {
		fmt.Fprintf(&b, "vars: [{name: %s, objref: {apiVersion: v1, kind: ServiceAccount, name: sa%s}}]\n", g.pick("V", "V"+p), p)
	}
	if g.IntN(12) == 0 {
		b.WriteString("patches: [{target: {kind: Deployment}, patch: '[{op: add, path: /spec/x, value: web}]'}]\n")
	}
	return b.String()
}

// objects refer to each other, and to those of other parts.
func (g growth) objects(p string) string {
	list := []string{
		fmt.Sprintf("{apiVersion: v1, kind: ServiceAccount, metadata: {name: sa%s%s}}", p, g.namespace()),
		fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: d%s%s}, spec: {replicas: %d, template: {spec: {serviceAccountName: %s, containers: [{name: %s, image: 'image:1', args: [%q], env: [{name: E, valueFrom: {configMapKeyRef: {name: %s}}}]}]}}}}",
			p, g.namespace(), g.IntN(3), g.account(), g.name(), g.pick("plain", "plain", "plain", "$(V)", "$(Vp1)", "$$(X)", "$(HOME)"), g.pick(g.name(), g.name(), "config0", "config1", "generated")),
	}
	if g.IntN(2) == 0 {
		list = append(list, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s%s}, data: {k: %s}}", g.name(), g.namespace(), g.name()))
	}
	if g.IntN(3) == 0 {
		kind := g.pick("ClusterRoleBinding", "RoleBinding")
		list = append(list, fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: %s, metadata: {name: b%s%s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %s}, subjects: [{kind: ServiceAccount, name: %s%s}]}",
			kind, p, g.namespace(), g.name(), g.account(), g.namespace()))
	}
	if g.IntN(4) == 0 {
		list = append(list, fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: %s}, rules: [{apiGroups: [''], resources: [configmaps], resourceNames: [%s], verbs: [get]}]}", g.name()+p, g.name()))
	}
	if g.IntN(40) == 0 {
		list = append(list, "{apiVersion: v1, kind: ConfigMap, metadata: {name: local, annotations: {config.kubernetes.io/local-config: 'true'}}}")
	}
	return strings.Join(list, "\n---\n")
}

func (g growth) account() string { return "sa" + g.pick(bases...) }

func (g growth) namespace() string {
	return g.pick("", "", ", namespace: one", ", namespace: two", ", namespace: default")
}

// edited changes a file or two.
func (g growth) edited(tree fstest.MapFS) fstest.MapFS {
	next := maps.Clone(tree)
	for range 1 + g.IntN(2) {
		p := g.pick(bases...)
		switch g.IntN(10) {
		case 0:
			next[p+"/kustomization.yaml"] = text(g.part(p))
		case 1:
			next["top/loose.yaml"] = text(g.objects("loose"))
		case 2, 3:
			next[p+"/params.env"] = text("key=" + g.name() + "\n")
		case 4, 5, 6:
			next[p+"/objects.yaml"] = text(g.objects(p))
		default: // one word
			file := path.Join(p, "objects.yaml")
			words := slices.Collect(strings.FieldsFuncSeq(string(next[file].Data), func(r rune) bool { return strings.ContainsRune(" {}[],\n", r) }))
			old := words[g.IntN(len(words))]
			if strings.HasSuffix(old, ":") || strings.ContainsAny(old, "'\"-/$") || strings.ToLower(old) != old {
				continue
			}
			next[file] = text(strings.Replace(string(next[file].Data), old, g.pick(g.name(), g.account(), "one", "7"), 1))
		}
	}
	return next
}
