package proposal

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
	"k8s.io/apimachinery/pkg/types"
)

// Edit is a change of one line in one file.
type Edit struct {
	// Path of the file, and the line in it, from 1.
	Path string
	Line int
	// From is the version that the stage had before; empty for none.
	From string
	// Before and After are the line; Before is empty if the line is new.
	Before, After string
	// Content of the file with the change.
	Content []byte
	// Diff is the change as a unified diff, as git apply takes it.
	Diff string
}

// mostTries is how many places are tried, at the cost of a render each.
const mostTries = 20

// SetVersion finds the line of a tree that says which version of a model serves in a stage, and
// changes it. Render renders the overlay that has the Model. The error is an *Error, or why the
// overlay could not be rendered.
func SetVersion(ctx context.Context, tree agent.Tree, render Render, model types.NamespacedName, stage, version string) (Edit, error) {
	if err := checkModel(model, stage, version); err != nil {
		return Edit{}, err
	}
	now, err := render(ctx, nil)
	if err != nil {
		return Edit{}, fmt.Errorf("the overlay of the Model %s: %w", model, err)
	}
	a := attempt{model: model, stage: stage, version: version, before: now.Set}
	if err := a.find(); err != nil {
		return Edit{}, err
	}
	places, err := a.places(tree, now.Trace)
	if err != nil {
		return Edit{}, err
	}
	var looked []string
	for n, p := range places {
		where := fmt.Sprintf("%s:%d", printable(p.path), p.line)
		if n == mostTries {
			looked = append(looked, where+" and more, which were not tried")
			break
		}
		failed := p.refused
		if failed == "" {
			if failed, err = a.try(ctx, render, p); err != nil {
				return Edit{}, err
			}
		}
		if failed == "" {
			return a.edit(tree, p)
		}
		looked = append(looked, where+" ("+failed+")")
	}
	return Edit{}, a.noLine(looked)
}

// attempt is the version of one stage that is to be another.
type attempt struct {
	model          types.NamespacedName
	stage, version string

	before  agent.Set
	ref     agent.Ref
	current string
	want    map[string]any // the Model with the new version
}

// find finds the Model and the stage in what the overlay renders to.
func (a *attempt) find() (err error) {
	var s map[string]any
	if a.ref, a.want, s, err = stageIn(a.before, a.model, a.stage); err != nil {
		return err
	}
	a.current, _ = s["version"].(string)
	if a.current == a.version {
		return errorf(Settled, "%s has %s in the stage %s already: there is nothing to change", a.ref, a.version, a.stage)
	}
	s["version"] = a.version
	return nil
}

// VersionIn is the version that a stage of a Model has in what an overlay renders to; empty for none.
// The error, an *Error, says that there is no such stage.
func VersionIn(set agent.Set, model types.NamespacedName, stage string) (string, error) {
	_, _, s, err := stageIn(set, model, stage)
	version, _ := s["version"].(string)
	return version, err
}

// stageIn finds a Model, and a stage within it, in what an overlay renders to.
func stageIn(set agent.Set, model types.NamespacedName, name string) (ref agent.Ref, whole, stage map[string]any, err error) {
	at := slices.IndexFunc(set.Objects, func(o agent.Object) bool {
		return o.Ref.Group == v1alpha1.GroupVersion.Group && o.Ref.Kind == v1alpha1.ModelKind && o.Ref.Name == model.Name &&
			(o.Ref.Namespace == model.Namespace || o.Ref.Namespace == "")
	})
	if at < 0 {
		return ref, nil, nil, errorf(Unknown, "the overlay has no Model %s: name the overlay that has it", model)
	}
	ref = set.Objects[at].Ref
	if err := json.Unmarshal(set.Objects[at].JSON, &whole); err != nil {
		return ref, nil, nil, err
	}
	spec, _ := whole["spec"].(map[string]any)
	stages, _ := spec["stages"].([]any)
	var names []string
	for _, one := range stages {
		s, _ := one.(map[string]any)
		is, _ := s["name"].(string)
		if is == name {
			return ref, whole, s, nil
		}
		names = append(names, is)
	}
	return ref, nil, nil, errorf(Unknown, "%s has no stage %s (it has: %s): name one of them, or add it", ref, name, printable(strings.Join(names, ", ")))
}

// places looks through all that was read for the overlay.
func (a *attempt) places(tree agent.Tree, read trace.Trace) ([]place, error) {
	s := search{model: a.model.Name, stage: a.stage, current: a.current, version: a.version}
	for _, seen := range read.Seen {
		if seen.What != trace.File || seen.ID == (trace.ObjectID{}) {
			continue
		}
		content, err := tree.ReadFile(seen.Path)
		if err != nil {
			return nil, err
		}
		s.file(seen.Path, content)
	}
	slices.SortStableFunc(s.places, func(a, b place) int { return a.doubt - b.doubt })
	return s.places, nil
}

// try renders the overlay with one place changed. It returns why that is not the one.
func (a *attempt) try(ctx context.Context, again Render, p place) (failed string, err error) {
	after, err := again(ctx, map[string][]byte{p.path: p.content})
	if err != nil {
		if ctx.Err() != nil || render.Temporary(err) {
			return "", err
		}
		return "the overlay would not render with it", nil
	}
	changed := render.Differ(a.before, after.Set)
	switch other := slices.IndexFunc(changed, func(r agent.Ref) bool { return r != a.ref }); {
	case len(changed) == 0:
		return "it has no effect, as something sets it afterwards", nil
	case other >= 0:
		return fmt.Sprintf("%s would change as well", changed[other]), nil
	}
	at := slices.IndexFunc(after.Set.Objects, func(o agent.Object) bool { return o.Ref == a.ref })
	var got map[string]any
	if at < 0 || json.Unmarshal(after.Set.Objects[at].JSON, &got) != nil || !reflect.DeepEqual(got, a.want) {
		return "more would change than the version of this stage", nil
	}
	return "", nil
}

// edit describes the change.
func (a *attempt) edit(tree agent.Tree, p place) (Edit, error) {
	before, err := tree.ReadFile(p.path)
	if err != nil {
		return Edit{}, err
	}
	e := Edit{Path: p.path, Line: p.line, From: a.current, Content: p.content, Diff: diff(p.path, before, p.content)}
	old, now := lines(before), lines(p.content)
	e.After = strings.TrimRight(now[p.line-1], "\r\n")
	if len(old) == len(now) {
		e.Before = strings.TrimRight(old[p.line-1], "\r\n")
	}
	return e, nil
}

// noLine says where it was looked, and what to do.
func (a *attempt) noLine(looked []string) error {
	what := fmt.Sprintf("no line of the files can be changed so that %s has %s in the stage %s and nothing else changes", a.ref, a.version, a.stage)
	const most = 5
	if len(looked) > most {
		looked = append(looked[:most], fmt.Sprintf("and %d more", len(looked)-most))
	}
	where := "looked at " + strings.Join(looked, ", ")
	if len(looked) == 0 {
		where = "none of the overlay's files has it (it may come from a variable, a replacement or a patch of the Overlay itself)"
	}
	return errorf(NoLine, "%s; %s: change it by hand, or write name and version of the stage into a file of the overlay", what, where)
}

// printable cuts and cleans what comes from files.
func printable(s string) string {
	const longest = 200
	return strings.Trim(fmt.Sprintf("%.*q", longest, s), `"`)
}
