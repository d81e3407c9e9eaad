package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/trace"
)

// A large overlay is mostly a list of bases. Its parts are the entries of that list, and of
// the lists among them. A part is rendered as the whole is, through the same kustomizations,
// of which all other entries are left out: what Kustomize makes of a base depends on the way
// to it, and that way stays the same.

// Part is one entry of an overlay that consists of lists, or the plain files of one list. Two
// Parts are the same if their strings are. The zero Part is the whole overlay.
type Part struct {
	// Lists are the kustomizations on the way to the part, the overlay's own first.
	Lists []List
}

// List is a kustomization with those of its entries that lead to a part.
type List struct {
	File    string // in the repository
	Entries []string
}

// String names the part by the way to it.
func (p Part) String() string {
	var way []string
	for _, l := range p.Lists {
		way = append(way, fmt.Sprintf("%q: %q", l.File, l.Entries))
	}
	return strings.Join(way, "; ")
}

// with is both parts in one.
func (p Part) with(o Part) Part {
	both := Part{Lists: slices.Clone(p.Lists)}
	for _, l := range o.Lists {
		n := slices.IndexFunc(both.Lists, func(have List) bool { return have.File == l.File })
		if n < 0 {
			both.Lists = append(both.Lists, l)
			continue
		}
		have := both.Lists[n].Entries
		for _, entry := range l.Entries {
			if !slices.Contains(have, entry) {
				have = append(slices.Clip(have), entry)
			}
		}
		both.Lists[n].Entries = have
	}
	return both
}

// Split is how an overlay divides into parts.
type Split struct {
	// Parts, at least two; none if the overlay can only be rendered whole.
	Parts []Part
	// Trace is what was read to find out.
	Trace trace.Trace
}

// mostParts is how many parts an overlay has at most: each costs a few milliseconds.
const mostParts = 1000

// Divide finds the parts of an overlay. It has none if its directory does more than list
// resources, lists no directory, or is not valid; or if the spec has what needs to see all
// objects at once (patches, components).
func Divide(tree agent.Tree, spec Spec, limits Limits) Split {
	recorder := trace.New(tree)
	d := division{files: &files{tree: recorder, limits: limits}, seen: map[string]bool{}}
	dir, err := d.files.directory(spec.Path)
	if err != nil || len(spec.Patches)+len(spec.Components) > 0 || !d.list(dir, nil) || len(d.parts) < 2 || len(d.parts) > mostParts {
		d.parts = nil
	}
	return Split{Parts: d.parts, Trace: recorder.Trace()}
}

// division walks through lists of resources.
type division struct {
	files *files
	seen  map[string]bool
	parts []Part
}

// list divides a directory that lists directories. It is false if there is no telling.
func (d *division) list(dir string, way []List) bool {
	k, listed := d.resources(dir)
	if !listed {
		return false
	}
	file := d.files.read[len(d.files.read)-1] // which kustomizationIn has just read
	if d.seen[file] {
		return false
	}
	d.seen[file] = true
	var loose []string
	for _, entry := range k {
		full := path.Join(dir, entry)
		_, info, err := d.files.locate(full)
		if err != nil {
			return false
		}
		next := append(slices.Clip(way), List{File: file, Entries: []string{entry}})
		switch {
		case !info.IsDir():
			loose = append(loose, entry)
		case d.lists(full):
			if !d.list(full, next) {
				return false
			}
		default:
			d.parts = append(d.parts, Part{next})
		}
	}
	if len(loose) > 0 {
		d.parts = append(d.parts, Part{append(slices.Clip(way), List{File: file, Entries: loose})})
	}
	return true
}

// lists tells whether a directory does nothing but list resources, and directories among them.
func (d *division) lists(dir string) bool {
	entries, listed := d.resources(dir)
	return listed && slices.ContainsFunc(entries, func(entry string) bool { return d.files.IsDir(path.Join(dir, entry)) })
}

// resources returns what a directory lists, if that is all it does. The order in which it
// wants objects sorted is none of a Set's.
func (d *division) resources(dir string) ([]string, bool) {
	k, has, err := d.files.kustomizationIn(dir)
	k.SortOptions = nil
	return k.Resources, err == nil && has && listsOnly(k)
}

// Join puts the results of all parts together. Unlike Follow it does not know whether a whole
// build gives the same: in one, an object of one part may refer to another's by a name that
// it had before, and such names are only known there. The error says what a whole build would
// refuse, or why the parts cannot be joined; a whole build tells more.
func Join(parts []Result, limits Limits) (agent.Set, error) {
	var objects []agent.Object
	var size int64
	documents := 0
	seen := map[string]bool{}
	once := func(what string) error {
		if seen[what] {
			return fmt.Errorf("%s is in two parts", what)
		}
		seen[what] = true
		return nil
	}
	for _, p := range parts {
		if p.Ties.Alone != "" {
			return agent.Set{}, fmt.Errorf("a part has %s", p.Ties.Alone)
		}
		objects = append(objects, p.Set.Objects...)
		documents += p.Ties.Documents
		for _, o := range p.Set.Objects {
			size += int64(len(o.JSON))
			if err := once("the object " + o.Ref.String()); err != nil {
				return agent.Set{}, err
			}
		}
		for _, id := range p.Ties.IDs {
			if err := once("the object of id " + id); err != nil {
				return agent.Set{}, err
			}
		}
		for _, name := range p.Ties.Vars {
			if err := once("the var " + name); err != nil {
				return agent.Set{}, err
			}
		}
	}
	if size > limits.Output || max(documents, len(objects)) > limits.Objects {
		return agent.Set{}, fmt.Errorf("all parts together are more than the limits allow")
	}
	return agent.NewSet(objects), nil
}

// Differ lists the objects that are not the same in two sets, or that come from other files.
func Differ(a, b agent.Set) []agent.Ref {
	index := make(map[agent.Ref]agent.Object, len(a.Objects))
	for _, o := range a.Objects {
		index[o.Ref] = o
	}
	var refs []agent.Ref
	for _, o := range b.Objects {
		if other, ok := index[o.Ref]; !ok || other.Digest != o.Digest || other.Version != o.Version || other.Origin != o.Origin {
			refs = append(refs, o.Ref)
		}
		delete(index, o.Ref)
	}
	for ref := range index {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, agent.Ref.Compare)
	return refs
}
