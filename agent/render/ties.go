//lint:file-ignore SA1019 Kustomize still honours vars.

package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
)

// Ties is what of a part can reach into others when an overlay is built whole. At the end of a
// build Kustomize goes over all objects once more: it puts new names where objects are
// referred to by former ones, and the values of vars where they are mentioned.
type Ties struct {
	// Alone says what the part has that can only be built with all others; empty if nothing.
	Alone string
	// Moved are the objects that have, or had meanwhile, another name or namespace than in
	// their files. Only such objects are looked for behind references.
	Moved []Moved
	// Spaces are the namespaces of all objects with those in their files. By them Kustomize
	// chooses among objects that a reference may mean.
	Spaces []string
	// IDs are Kustomize's for all objects, before hashes are added to names.
	IDs []string
	// Vars are the names of those that are defined.
	Vars []string
	// Config is a digest over configurations of transformers; empty if there are none. Those
	// of one part are applied to the objects of all.
	Config string
	// Documents is how many objects were read, roughly.
	Documents int
}

// Moved is an object that has or had another name or namespace.
type Moved struct {
	// ID is all that Kustomize chooses by: kind, namespaces, names, prefixes and suffixes, of
	// now and before; but not a hash at the end of the name.
	ID string
	// Name is what it has now.
	Name string
	// Hashed: its name ends with a hash of its content.
	Hashed bool
	// Former names.
	Former []string
}

// ties are gathered while a part is rendered.
type ties struct {
	objects Ties
	vars    map[string]bool
	config  map[string]string // contents by file
	local   bool              // there may be objects that are not in the result
}

func newTies() *ties { return &ties{vars: map[string]bool{}, config: map[string]string{}} }

// tie gathers what a kustomization brings.
func (f *files) tie(dir string, k types.Kustomization) {
	for _, v := range k.Vars {
		f.ties.vars[v.Name] = true
	}
	for _, entry := range slices.Concat(k.Configurations, k.Crds) {
		file, _, err := f.locate(path.Join(dir, entry))
		if err != nil {
			continue // which inspect reports
		}
		if data, err := f.tree.ReadFile(file); err == nil {
			f.ties.config[file] = string(data)
		}
	}
}

// watched is a build whose objects are noted with what they were before. Kustomize keeps that in
// annotations and takes them off at the end, all that are in this list of its.
func (t *ties) watched(build func() (resmap.ResMap, error)) func() (resmap.ResMap, error) {
	return func() (resmap.ResMap, error) {
		all := resource.BuildAnnotations
		defer func() { resource.BuildAnnotations = all }()
		resource.BuildAnnotations = slices.DeleteFunc(slices.Clone(all), isHistory)
		result, err := build()
		if err != nil {
			return nil, err
		}
		t.objects = Ties{}
		for _, r := range result.Resources() {
			t.note(r)
		}
		resource.BuildAnnotations = all
		result.RemoveBuildAnnotations()
		return result, nil
	}
}

// isHistory matches the annotations about former names.
func isHistory(annotation string) bool {
	switch strings.TrimPrefix(annotation, konfig.ConfigAnnoDomain+"/") {
	case "previousNames", "previousNamespaces", "previousKinds", "prefixes", "suffixes":
		return true
	}
	return false
}

// hash matches what a name has after that of the generated ConfigMap or Secret.
var hash = regexp.MustCompile(`^-[a-z0-9]{10}$`)

// note gathers what an object was and is.
func (t *ties) note(r *resource.Resource) {
	now, before := r.CurId(), r.PrevIds()
	id := now
	hashed := false
	if last := len(before) - 1; last >= 0 && (now.Kind == "ConfigMap" || now.Kind == "Secret") {
		rest, cut := strings.CutPrefix(now.Name, before[last].Name)
		if hashed = cut && hash.MatchString(rest); hashed {
			id.Name = before[last].Name
		}
	}
	t.objects.IDs = append(t.objects.IDs, idOf(id))
	t.objects.Spaces = append(t.objects.Spaces, now.EffectiveNamespace()+" "+r.OrgId().EffectiveNamespace())
	if len(before) == 0 {
		return
	}
	m := Moved{Name: now.Name, Hashed: hashed}
	history := []string{idOf(id)}
	for _, b := range before {
		history = append(history, idOf(b))
		m.Former = append(m.Former, b.Name)
	}
	m.ID = fmt.Sprint(history, r.GetNamePrefixes(), r.GetNameSuffixes())
	m.Former = compacted(m.Former)
	t.objects.Moved = append(t.objects.Moved, m)
}

// idOf is what Kustomize compares of an id.
func idOf(id resid.ResId) string {
	return strings.Join([]string{id.Group, id.Version, id.Kind, id.EffectiveNamespace(), id.Name}, "/")
}

func compacted(list []string) []string {
	slices.Sort(list)
	return slices.Clip(slices.Compact(list))
}

// sum puts together what was gathered.
func (t *ties) sum(f *files, spec Spec) Ties {
	all := t.objects
	all.Spaces = compacted(all.Spaces)
	all.Vars = slices.Sorted(maps.Keys(t.vars))
	all.Documents = f.documents
	if len(t.config) > 0 {
		h := sha256.New()
		for _, file := range slices.Sorted(maps.Keys(t.config)) {
			fmt.Fprintf(h, "%q %q\n", file, t.config[file])
		}
		all.Config = hex.EncodeToString(h.Sum(nil))
	}
	switch {
	case f.schema:
		all.Alone = "an OpenAPI schema"
	case t.local:
		all.Alone = "objects that are for Kustomize only (" + localConfig + ")"
	case all.Config != "" && adds(spec):
		all.Alone = "configurations of transformers, and the Overlay transforms"
	case spec.Substitute != nil && slices.ContainsFunc(all.Moved, hasVariable):
		all.Alone = "variables in the names of objects"
	}
	return all
}

func hasVariable(m Moved) bool {
	return slices.ContainsFunc(m.Former, func(name string) bool { return strings.Contains(name, "$") })
}
