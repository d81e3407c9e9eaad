package render

import (
	"cmp"
	"fmt"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/manifest"
)

// Prepare turns rendered objects into a Set.
func Prepare(tree agent.Tree, rendered []Rendered, owner agent.Owner) (agent.Set, error) {
	objects := make([]agent.Object, 0, len(rendered))
	seen := make(map[agent.Ref]string, len(rendered))
	for _, r := range rendered {
		o, err := manifest.Prepare(r.Fields, r.Origin, owner)
		if err != nil {
			return agent.Set{}, located(tree, &Error{Kind: Invalid, File: r.Origin, Ref: o.Ref, Message: err.Error()})
		}
		if other, twice := seen[o.Ref]; twice {
			return agent.Set{}, duplicate(tree, o.Ref, r.Origin, other)
		}
		if o.Refused != "" {
			e := located(tree, &Error{File: r.Origin, Ref: o.Ref})
			o.Refused += fmt.Sprintf(" (%s)", e.place())
		}
		seen[o.Ref] = r.Origin
		objects = append(objects, o)
	}
	return agent.NewSet(objects), nil
}

// duplicate says where an object is for the second and for the first time.
func duplicate(tree agent.Tree, ref agent.Ref, second, first string) *Error {
	e := &Error{Kind: Invalid, File: second, Ref: ref}
	lines, others := linesIn(tree, second, ref), linesIn(tree, first, ref)
	if second == first && len(lines) > 1 {
		others, lines = lines[:1], lines[1:]
	}
	if len(lines) > 0 {
		e.Line = lines[0]
	}
	where := cmp.Or(printable(first), "another file")
	if len(others) > 0 {
		where = fmt.Sprintf("%s:%d", where, others[0])
	}
	e.Message = fmt.Sprintf("the object is there twice, also in %s: take one out, or rename it", where)
	return e
}

func linesIn(tree agent.Tree, file string, ref agent.Ref) []int {
	data, err := tree.ReadFile(file)
	if err != nil {
		return nil // a message without lines
	}
	return manifest.Lines(data, ref)
}

// located adds the line of the object to an error, if its file can be read.
func located(tree agent.Tree, e *Error) *Error {
	if lines := linesIn(tree, e.File, e.Ref); len(lines) > 0 {
		e.Line = lines[0]
	}
	return e
}
