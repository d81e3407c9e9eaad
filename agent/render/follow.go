package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// Follow joins the parts of an overlay after some were rendered again. Last are the results of
// the same parts with the same Spec, in the same order, at an earlier revision, of which it is known that
// together they are what a whole build gives: because the set of Join was compared with that
// of a whole build, or because they followed from such results themselves.
//
// The set is then that of a whole build too: objects that have not changed are what they were,
// as long as nothing has changed that Kustomize goes by when it looks behind their references;
// and in those that have changed, nothing new refers to other parts. Where that is in doubt
// there is an error, which says why; a whole build decides then.
//
// One thing is taken for granted, and left to a whole build afterwards: that vars do not make
// it fail. It does where some part defines vars and another has, in a list in which they may be
// used (such as args of a container), something that is not a string.
func Follow(last, next []Result, limits Limits) (agent.Set, error) {
	set, err := Join(next, limits)
	if err != nil {
		return set, err
	}
	if len(last) != len(next) {
		return agent.Set{}, fmt.Errorf("there are other parts")
	}
	all := union(next)
	for n := range next {
		if err := all.follows(n, last[n], next[n]); err != nil {
			return agent.Set{}, err
		}
	}
	return set, nil
}

// together is what is known of all parts.
type together struct {
	parts []Result
	// former tells in which parts objects had a name, vars which define a var.
	former, vars map[string][]int
}

func union(parts []Result) together {
	t := together{parts: parts, former: map[string][]int{}, vars: map[string][]int{}}
	for n, p := range parts {
		for _, m := range p.Ties.Moved {
			for _, name := range m.Former {
				t.former[name] = append(t.former[name], n)
			}
		}
		for _, v := range p.Ties.Vars {
			t.vars[v] = append(t.vars[v], n)
		}
	}
	return t
}

// byName returns the parts with objects that once had a name, or one for which it may stand
// already. Names are those of the moved objects of the part that the text is in.
func (t together) byName(text string, names map[string][]Moved) []int {
	parts := slices.Clone(t.former[text])
	for _, m := range names[text] {
		for _, name := range m.Former {
			parts = append(parts, t.former[name]...)
		}
	}
	return parts
}

// byVar returns the parts that define a var which a text mentions.
func (t together) byVar(text string, _ map[string][]Moved) (parts []int) {
	for v, in := range t.vars {
		if strings.Contains(text, "$("+v+")") {
			parts = append(parts, in...)
		}
	}
	return parts
}

// follows makes sure that a part has changed in nothing that matters to others, and that others
// do not matter to what has changed in it.
func (t together) follows(n int, last, next Result) error {
	a, b := last.Ties, next.Ties
	switch {
	case a.Config != b.Config:
		return fmt.Errorf("a part has other configurations of transformers")
	case !slices.Equal(a.Vars, b.Vars):
		return fmt.Errorf("a part has other vars")
	case !slices.Equal(a.Spaces, b.Spaces):
		return fmt.Errorf("a part has objects in other namespaces")
	}
	for _, name := range renamed(a.Moved, b.Moved) {
		if slices.ContainsFunc(t.former[name], isNot(n)) || t.mentioned(n, name) {
			return fmt.Errorf("a part has an object more or less that is, or was, called %s, and another part knows that name", printable(name))
		}
	}
	names, before := namesOf(b.Moved), named(last)
	namesBefore := namesOf(a.Moved)
	for key, o := range named(next) {
		old, known := before[key]
		if known && old.Digest == o.Digest && old.Version == o.Version {
			continue
		}
		var had map[mention]string
		if known && o.Ref.Kind != "RoleBinding" { // what that refers to depends on all its subjects
			had = mentionsOf(old, namesBefore)
		}
		if err := t.understood(n, mentionsOf(o, names), had, names); err != nil {
			return fmt.Errorf("%s %w", o.Ref, err)
		}
	}
	return nil
}

// understood makes sure that what is new in an object means nothing to other parts. Names are
// those of the part's own moved objects.
func (t together) understood(n int, have, had map[mention]string, names map[string][]Moved) error {
	for m, text := range have {
		if _, known := had[m]; known {
			continue
		}
		// A var of its own that is still there may be replaced by the configuration of another
		// part; and where there are vars at all, $$ becomes $.
		vars := t.byVar(text, names)
		if slices.ContainsFunc(t.byName(text, names), isNot(n)) || len(vars) > 0 || len(t.vars) > 0 && strings.Contains(text, "$$") {
			return errors.New("mentions what may mean something to another part")
		}
	}
	return nil
}

func isNot(n int) func(int) bool { return func(other int) bool { return other != n } }

// renamed lists the former names of the objects that are in one list and not in the other.
func renamed(a, b []Moved) []string {
	count := map[string]int{}
	for _, m := range a {
		count[m.ID]--
	}
	for _, m := range b {
		count[m.ID]++
	}
	var names []string
	for _, m := range slices.Concat(a, b) {
		if count[m.ID] != 0 {
			names = append(names, m.Former...)
		}
	}
	return compacted(names)
}

// mentioned tells whether a name is, somewhere in another part, the whole of a text.
func (t together) mentioned(n int, name string) bool {
	quoted, err := json.Marshal(name)
	if err != nil {
		return true
	}
	for in, p := range t.parts {
		if in != n && slices.ContainsFunc(p.Set.Objects, func(o agent.Object) bool { return bytes.Contains(o.JSON, quoted) }) {
			return true
		}
	}
	return false
}

// namesOf finds the moved objects by their names.
func namesOf(moved []Moved) map[string][]Moved {
	names := make(map[string][]Moved, len(moved))
	for _, m := range moved {
		names[m.Name] = append(names[m.Name], m)
	}
	return names
}

// named finds the objects of a part by what they are called without a hash.
func named(r Result) map[agent.Ref]agent.Object {
	names := namesOf(r.Ties.Moved)
	objects := make(map[agent.Ref]agent.Object, len(r.Set.Objects))
	for _, o := range r.Set.Objects {
		key := o.Ref
		key.Name = unhashed(o.Ref.Name, names)
		objects[key] = o
	}
	return objects
}

// unhashed is what stands for a name whatever its hash is.
func unhashed(name string, names map[string][]Moved) string {
	for _, m := range names[name] {
		if m.Hashed {
			return "\x00" + m.ID
		}
	}
	return name
}

// mention is a text in an object, or the name in a mapping with what may be beside it to say
// which object is meant. Names that differ in a hash only are the same.
type mention struct{ name, namespace, kind string }

// mentionsOf collects what may be references in an object, as they are written.
func mentionsOf(o agent.Object, names map[string][]Moved) map[mention]string {
	found := map[mention]string{}
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case string:
			found[mention{name: unhashed(value, names)}] = value
		case json.Number:
			found[mention{name: value.String()}] = value.String()
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			if name, ok := value["name"].(string); ok {
				namespace, _ := value["namespace"].(string)
				kind, _ := value["kind"].(string)
				found[mention{unhashed(name, names), namespace, kind}] = name
			}
			for _, v := range value {
				walk(v)
			}
		}
	}
	walk(fieldsOf(o))
	return found
}

// fieldsOf reads the JSON of an object, which was written by this program.
func fieldsOf(o agent.Object) (fields any) {
	decoder := json.NewDecoder(bytes.NewReader(o.JSON))
	decoder.UseNumber()
	_ = decoder.Decode(&fields) // it is valid
	return fields
}

// Tie merges parts after a whole build has made something else of some objects, which are
// sorted, than their parts did: into one with all parts that define a var which such an object
// mentions; or, if there are none, that have objects which once had a name that it mentions.
// It returns fewer parts than it was given, or none if nothing explains the difference; then
// the overlay can only be rendered whole. If the merged parts still differ, Tie may find more.
func Tie(parts []Part, results []Result, differing []agent.Ref) []Part {
	all := union(results)
	for _, known := range []func(string, map[string][]Moved) []int{all.byVar, all.byName} {
		if tied := all.tied(parts, differing, known); len(tied) < len(parts) && len(tied) > 1 {
			return tied
		}
	}
	return nil
}

// tied merges the parts of the objects with those that are known to have to do with them.
func (t together) tied(parts []Part, differing []agent.Ref, known func(string, map[string][]Moved) []int) []Part {
	group := make([]int, len(parts)) // the first part of each part's group
	for n := range group {
		group[n] = n
	}
	for n, r := range t.parts {
		names := namesOf(r.Ties.Moved)
		for _, o := range r.Set.Objects {
			if _, differs := slices.BinarySearchFunc(differing, o.Ref, agent.Ref.Compare); !differs {
				continue
			}
			for _, text := range mentionsOf(o, names) {
				for _, other := range known(text, names) {
					merge(group, n, other)
				}
			}
		}
	}
	var tied []Part
	at := map[int]int{}
	for n, p := range parts {
		if first, known := at[group[n]]; known {
			tied[first] = tied[first].with(p)
			continue
		}
		at[group[n]] = len(tied)
		tied = append(tied, p)
	}
	return tied
}

// merge makes one of the groups of two parts.
func merge(group []int, a, b int) {
	from, to := max(group[a], group[b]), min(group[a], group[b])
	for n := range group {
		if group[n] == from {
			group[n] = to
		}
	}
}
