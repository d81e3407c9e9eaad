package render

import (
	"fmt"
	"regexp"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

// Rendered is one object as Kustomize gives it.
type Rendered struct {
	Fields map[string]any
	// Origin is the file that declares or generates it.
	Origin string
}

// Result is what came of a render, also of one that failed.
type Result struct {
	// Set is what the overlay wants; empty if the render failed.
	Set agent.Set
	// Trace is what was read. On a tree on which it holds, the same Spec gives the same Set, or
	// the same error. It does not cover the Spec, the Limits and the program itself: whoever
	// keeps a Result compares those. After an error that is Temporary it holds nowhere.
	Trace trace.Trace
	// Ties of a part to the others; empty for a whole overlay.
	Ties Ties
}

// Render builds and prepares in one step. The error is an *Error.
func Render(tree agent.Tree, spec Spec, limits Limits) (agent.Set, error) {
	result, err := Run(tree, spec, Part{}, limits)
	return result.Set, err
}

// Run is Render with all that is known afterwards, for the whole overlay or one part of it. Of a
// part there are the Ties that Join and Follow go by, and the trace covers its lists only as
// far as they lead to it: whoever keeps the Result compares the Part too. The Result is of use
// also with an error.
func Run(tree agent.Tree, spec Spec, part Part, limits Limits) (Result, error) {
	f := &files{limits: limits}
	if len(part.Lists) > 0 {
		f.ties, f.lists = newTies(), map[string][]string{}
	}
	for _, l := range part.Lists {
		f.lists[l.File] = l.Entries
	}
	return f.result(tree, spec)
}

// result renders what is read through a recorder.
func (f *files) result(tree agent.Tree, spec Spec) (Result, error) {
	recorder := trace.New(tree)
	f.tree = recorder
	set, err := f.prepared(spec)
	if Temporary(err) {
		return Result{}, err
	}
	result := Result{Set: set, Trace: recorder.Trace()}
	if f.ties != nil {
		result.Ties = f.ties.sum(f, spec)
	}
	return result, err
}

// prepared builds and prepares.
func (f *files) prepared(spec Spec) (agent.Set, error) {
	rendered, err := f.rendered(spec)
	if err != nil {
		return agent.Set{}, err
	}
	set, err := Prepare(f.tree, rendered, spec.Owner)
	if err != nil {
		return agent.Set{}, err
	}
	var size int64
	for _, o := range set.Objects {
		size += int64(len(o.JSON))
	}
	if size > f.limits.Output {
		return agent.Set{}, overLimit("%d MiB of objects are more than the limit of %d MiB: split the overlay, or raise --render-output", ceilMiB(size), f.limits.Output>>20)
	}
	return set, nil
}

func ceilMiB(size int64) int64 { return (size + 1<<20 - 1) >> 20 }

// Build renders a directory of a tree. The objects are those of `kustomize build`, with the
// additions of spec. The error is an *Error.
//
// Build is not safe for concurrent use: Kustomize keeps its schema in a global.
func Build(tree agent.Tree, spec Spec, limits Limits) ([]Rendered, error) {
	f := &files{tree: tree, limits: limits}
	return f.rendered(spec)
}

func (f *files) rendered(spec Spec) ([]Rendered, error) {
	goOffline()
	objects, err := f.build(spec)
	if err == nil {
		return objects, nil
	}
	if f.refusal != nil {
		return nil, f.refusal
	}
	return nil, err
}

func (f *files) build(spec Spec) ([]Rendered, error) {
	dir, err := f.directory(spec.Path)
	if err != nil {
		return nil, err
	}
	built, plain, err := f.verbatim(spec, dir)
	if err != nil {
		return nil, err
	}
	if plain && f.ties != nil {
		for _, o := range built {
			f.ties.note(o.Resource)
		}
	}
	if !plain {
		if built, err = f.kustomize(spec, dir); err != nil {
			return nil, err
		}
	}
	if len(built) > f.limits.Objects {
		return nil, overLimit("%d objects are more than the limit of %d: split the overlay, or raise --render-objects", len(built), f.limits.Objects)
	}
	return f.collect(built, spec)
}

// built is an object before its variables are replaced.
type built struct {
	*resource.Resource
	origin string
}

// kustomize lets Kustomize build the directory of an overlay.
func (f *files) kustomize(spec Spec, dir string) ([]built, error) {
	overlay, err := f.compose(spec, dir)
	if err != nil {
		return nil, err
	}
	for n, p := range spec.Patches {
		if e := inspectAliases("", []byte(p.Patch)); e != nil {
			e.Message = fmt.Sprintf("spec.patches[%d]: %s", n, e.Message)
			return nil, e
		}
	}
	patches := overlay.kustomization
	patches.Patches = marked(patches.Patches)
	result, err := f.run(patches)
	if err != nil {
		return nil, f.explain(err, spec)
	}
	if err := f.checkTargets(result, spec, overlay.kustomization); err != nil {
		return nil, err
	}
	objects := make([]built, 0, result.Size())
	for _, r := range result.Resources() {
		origin, err := overlay.takeOrigin(r)
		if err != nil {
			return nil, f.explain(err, spec)
		}
		objects = append(objects, built{r, origin})
	}
	return objects, nil
}

// run builds a kustomization as if it were in overlayRoot.
func (f *files) run(k types.Kustomization) (resmap.ResMap, error) {
	var err error
	if f.overlay, err = encode(k); err != nil {
		return nil, err
	}
	f.documents = 0 // a second run reads everything again
	build := func() (resmap.ResMap, error) {
		return krusty.MakeKustomizer(&krusty.Options{
			Reorder:          krusty.ReorderOptionNone,   // a Set has an order of its own
			LoadRestrictions: types.LoadRestrictionsNone, // the tree itself is the boundary
			PluginConfig:     types.DisabledPluginConfig(),
		}).Run(f, overlayRoot)
	}
	if f.ties != nil {
		build = f.ties.watched(build)
	}
	return f.withSchema(build)
}

// collect replaces variables and takes the objects out of Kustomize's form.
func (f *files) collect(objects []built, spec Spec) ([]Rendered, error) {
	substitute := newSubstitution(spec.Substitute)
	rendered := make([]Rendered, 0, len(objects))
	for _, o := range objects {
		if err := substitute.apply(o); err != nil {
			return nil, err
		}
		fields, err := o.Map()
		if err != nil {
			return nil, located(f.tree, unwritable(o, err))
		}
		rendered = append(rendered, Rendered{Fields: fields, Origin: o.origin})
	}
	return rendered, nil
}

var twiceDefined = regexp.MustCompile(`mapping key ("(?:[^"\\]|\\.)*") already defined`)

// unwritable says why an object has no fields. Kustomize's error prints the whole object,
// which may be a Secret; only the name of a field is taken from it.
func unwritable(o built, err error) *Error {
	e := &Error{Kind: Invalid, File: o.origin, Ref: refOf(o.CurId()), Message: "its YAML is not valid: mend it"}
	if m := twiceDefined.FindStringSubmatch(err.Error()); m != nil {
		e.Message = fmt.Sprintf("the field %s is there twice: take one out", m[1])
	}
	return e
}
