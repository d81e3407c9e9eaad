package validate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// references reports names of Overlays and Repositories that lead nowhere.
func (v *validation) references() {
	for _, u := range v.overlays {
		if name := u.overlay.RepositoryName(); len(v.repositories) > 0 {
			if _, found := v.findRepository(u.declared.group, name); !found {
				v.findField(u, "repositoryRef", "%s: spec.repositoryRef: there is no Repository %s", u.title(), name)
			}
		}
		for _, name := range u.overlay.Dependencies() {
			if !slices.ContainsFunc(v.overlays, func(u unit) bool { return u.name() == name }) {
				v.findField(u, "dependsOn", "%s: spec.dependsOn: there is no Overlay %s", u.title(), name)
			}
		}
	}
}

// circles reports dependencies that lead back to where they began, once each.
func (v *validation) circles() {
	type node struct {
		group string
		name  types.NamespacedName
	}
	nodes := map[node]unit{}
	for _, u := range v.overlays {
		nodes[node{u.declared.group, u.name()}] = u
	}
	done := map[node]bool{}
	var visit func(at node, trail []string)
	visit = func(at node, trail []string) {
		u, known := nodes[at]
		if n := slices.Index(trail, at.name.String()); n >= 0 {
			v.findField(u, "dependsOn", "%s: spec.dependsOn goes in a circle: %s", u.title(), strings.Join(append(trail[n:], at.name.String()), " -> "))
			return
		}
		if !known || done[at] {
			return
		}
		for _, next := range u.overlay.Dependencies() {
			visit(node{at.group, next}, append(slices.Clone(trail), at.name.String()))
		}
		done[at] = true
	}
	for _, at := range slices.SortedFunc(maps.Keys(nodes), func(a, b node) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.name.String(), b.name.String()))
	}) {
		visit(at, nil)
	}
}

// findField reports something about a field of an Overlay.
func (v *validation) findField(u unit, field, format string, args ...any) {
	line := u.declared.line
	if text, err := v.repository.Tree.ReadFile(u.declared.file); err == nil {
		line = fieldLine(text, line, field)
	}
	v.find(u.declared.file, line, format, args...)
}
