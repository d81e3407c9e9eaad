package render

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/manifest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// Rendered is one object as Kustomize gives it.
type Rendered struct {
	Fields map[string]any
	// Origin is the file that declares or generates it.
	Origin string
}

// Build renders a directory of a tree. The objects are those of `kustomize build`, with the
// additions of spec. The error is an *Error.
//
// Build is not safe for concurrent use: Kustomize keeps its schema in a global.
func Build(tree agent.Tree, spec Spec, limits Limits) ([]Rendered, error) {
	f := &files{tree: tree}
	overlay, err := f.compose(spec)
	if err != nil {
		return nil, err
	}
	if f.overlay, err = yaml.Marshal(overlay.kustomization); err != nil {
		return nil, fmt.Errorf("the overlay's own kustomization cannot be written: %w", err)
	}
	built, err := krusty.MakeKustomizer(&krusty.Options{
		LoadRestrictions: types.LoadRestrictionsNone, // the tree itself is the boundary
		PluginConfig:     types.DisabledPluginConfig(),
	}).Run(f, overlayRoot)
	if err != nil {
		return nil, f.explain(err)
	}
	if built.Size() > limits.Objects {
		return nil, &Error{Kind: Limit, Message: fmt.Sprintf("%d objects are more than the limit of %d: split the overlay, or raise --render-objects", built.Size(), limits.Objects)}
	}
	if err := checkTargets(built, spec); err != nil {
		return nil, err
	}
	return f.collect(built, spec, overlay.keepOrigins)
}

// Prepare turns rendered objects into a Set.
func Prepare(tree agent.Tree, rendered []Rendered, owner agent.Owner) (agent.Set, error) {
	objects := make([]agent.Object, 0, len(rendered))
	seen := map[agent.Ref]string{}
	for _, r := range rendered {
		o, err := manifest.Prepare(r.Fields, r.Origin, owner)
		if err != nil {
			return agent.Set{}, located(tree, &Error{Kind: Invalid, File: r.Origin, Ref: o.Ref, Message: err.Error()})
		}
		if other, twice := seen[o.Ref]; twice {
			return agent.Set{}, located(tree, &Error{Kind: Invalid, File: r.Origin, Ref: o.Ref,
				Message: fmt.Sprintf("it is there twice: %s has it too; take one out or rename it", cmp.Or(other, "another file"))})
		}
		seen[o.Ref] = r.Origin
		objects = append(objects, o)
	}
	return agent.NewSet(objects), nil
}

// located adds the line of the object to an error, if its file can be read.
func located(tree agent.Tree, e *Error) *Error {
	if data, err := tree.ReadFile(e.File); err == nil && e.Ref.Name != "" {
		e.Line = manifest.Line(data, e.Ref)
	}
	return e
}

// composed is the kustomization that stands for an Overlay.
type composed struct {
	kustomization types.Kustomization
	// keepOrigins: the user's own kustomization asks for the annotations that say where
	// objects come from.
	keepOrigins bool
}

// compose writes the kustomization of an Overlay: its directory with the additions of spec.
// What Kustomize honours only at the top (buildMetadata, openapi) is taken up from the
// directory's own kustomization.
func (f *files) compose(spec Spec) (composed, error) {
	dir := path.Join(treeRoot, path.Clean("/"+spec.Path))
	if !f.IsDir(dir) {
		return composed{}, f.noSuchPath(spec.Path)
	}
	k := types.Kustomization{
		TypeMeta:      types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Namespace:     spec.TargetNamespace,
		NamePrefix:    spec.NamePrefix,
		NameSuffix:    spec.NameSuffix,
		BuildMetadata: []string{types.OriginAnnotations},
	}
	for _, image := range spec.Images {
		k.Images = append(k.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	for _, p := range spec.Patches {
		k.Patches = append(k.Patches, patchOf(p.Patch, p.Target))
	}
	for _, component := range spec.Components {
		target := path.Join(dir, component)
		if target != treeRoot && !strings.HasPrefix(target, treeRoot+"/") {
			return composed{}, refused("", "spec.components: %s leads out of the repository", component)
		}
		if !f.IsDir(target) {
			return composed{}, invalid("", "spec.components: %s is not a directory of the repository (%s)", component, inRepository(target))
		}
		k.Components = append(k.Components, ".."+target)
	}
	if len(spec.CommonMetadata.Labels) > 0 {
		k.Labels = []types.Label{{Pairs: spec.CommonMetadata.Labels}}
	}
	k.CommonAnnotations = spec.CommonMetadata.Annotations
	own, name := f.kustomizationIn(dir)
	if name == "" {
		resources, err := f.plain(dir)
		if err != nil {
			return composed{}, err
		}
		k.Resources = resources
		return composed{kustomization: k}, nil
	}
	k.Resources = []string{".." + dir}
	keep := slices.Contains(own.BuildMetadata, types.OriginAnnotations)
	for _, option := range own.BuildMetadata {
		if option != types.OriginAnnotations {
			k.BuildMetadata = append(k.BuildMetadata, option)
		}
	}
	if own.OpenAPI != nil {
		k.OpenAPI = map[string]string{}
		for key, value := range own.OpenAPI {
			if key == "path" {
				value = ".." + path.Join(dir, value)
			}
			k.OpenAPI[key] = value
		}
	}
	return composed{kustomization: k, keepOrigins: keep}, nil
}

// kustomizationIn reads the kustomization of a directory as far as it can be read.
func (f *files) kustomizationIn(dir string) (types.Kustomization, string) {
	for name := range kustomizationNames {
		if !f.Exists(path.Join(dir, name)) {
			continue
		}
		var k types.Kustomization
		file, _, err := f.locate(path.Join(dir, name))
		if err != nil {
			return k, name
		}
		data, err := f.tree.ReadFile(file)
		if err != nil || yaml.Unmarshal(data, &k) != nil {
			return types.Kustomization{}, name
		}
		return k, name
	}
	return types.Kustomization{}, ""
}

// plain lists the manifests of a directory without kustomization: all YAML files below it,
// and directories below it that have a kustomization.
func (f *files) plain(dir string) ([]string, error) {
	var found []string
	names, err := f.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		full := path.Join(dir, name)
		switch {
		case strings.HasPrefix(name, "."):
		case f.IsDir(full):
			if _, has := f.kustomizationIn(full); has != "" {
				found = append(found, ".."+full)
				continue
			}
			below, err := f.plain(full)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		case strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml"):
			found = append(found, ".."+full)
		}
	}
	return found, nil
}

// noSuchPath names what is there instead.
func (f *files) noSuchPath(name string) error {
	if f.refusal != nil {
		return f.refusal
	}
	at := path.Join(treeRoot, path.Clean("/"+name))
	for at != treeRoot && !f.IsDir(at) {
		at = path.Dir(at)
	}
	names, err := f.ReadDir(at)
	if err != nil {
		return err
	}
	const few = 10
	if len(names) > few {
		names = append(names[:few:few], "…")
	}
	where := cmp.Or(inRepository(at), "the root")
	return invalid("", "spec.path: there is no directory %s at this revision; %s has: %s", printable(name), where, printable(strings.Join(names, ", ")))
}

// collect takes the objects out of Kustomize's result.
func (f *files) collect(built resmap.ResMap, spec Spec, keepOrigins bool) ([]Rendered, error) {
	substitute, err := newSubstitution(spec.Substitute)
	if err != nil {
		return nil, err
	}
	rendered := make([]Rendered, 0, built.Size())
	for _, r := range built.Resources() {
		origin := originOf(r)
		if !keepOrigins {
			if err := dropOrigin(r); err != nil {
				return nil, err
			}
		}
		if err := substitute.apply(r, origin); err != nil {
			return nil, err
		}
		fields, err := r.Map()
		if err != nil {
			return nil, invalid(origin, "%s cannot be read", r.CurId())
		}
		rendered = append(rendered, Rendered{Fields: fields, Origin: origin})
	}
	return rendered, nil
}

const originAnnotation = "config.kubernetes.io/origin"

// originOf is the file of an object, relative to the root of the repository.
func originOf(r *resource.Resource) string {
	origin, err := r.GetOrigin()
	if err != nil || origin == nil {
		return ""
	}
	file := cmp.Or(origin.Path, origin.ConfiguredIn)
	if file == "" {
		return ""
	}
	return strings.TrimPrefix(inRepository(path.Join(overlayRoot, file)), "/")
}

func dropOrigin(r *resource.Resource) error {
	annotations := r.GetAnnotations()
	if _, has := annotations[originAnnotation]; !has {
		return nil
	}
	delete(annotations, originAnnotation)
	return r.SetAnnotations(annotations)
}

// checkTargets makes sure that every patch of the overlay finds something: Kustomize applies
// a patch whose target matches nothing to nothing, without a word.
func checkTargets(built resmap.ResMap, spec Spec) error {
	for n, p := range spec.Patches {
		if p.Target == nil {
			continue
		}
		found, err := built.Select(*patchOf(p.Patch, p.Target).Target)
		if err != nil {
			return invalid("", "spec.patches[%d].target: %v", n, err)
		}
		if len(found) == 0 {
			return invalid("", "spec.patches[%d].target matches no object: mend the target or take the patch out", n)
		}
	}
	return nil
}

// explain says what is wrong in the user's words: what was refused, else the file that does
// not parse, else what Kustomize said, with paths as the user knows them.
func (f *files) explain(err error) error {
	if f.refusal != nil {
		return f.refusal
	}
	for _, file := range slices.Backward(f.read) {
		if e := f.unreadable(file); e != nil {
			return e
		}
	}
	return f.translate(err)
}

// idOf turns Kustomize's id into a Ref.
func idOf(id resid.ResId) agent.Ref {
	return agent.Ref{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}
