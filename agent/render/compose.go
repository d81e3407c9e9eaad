package render

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// composed is the kustomization that stands for an Overlay.
type composed struct {
	kustomization types.Kustomization
	// dir is the directory of the overlay.
	dir string
	// keepOrigins: the user's own kustomization asks for the annotations that say where
	// objects come from.
	keepOrigins bool
}

// directory finds the directory of an overlay.
func (f *files) directory(name string) (string, error) {
	dir := path.Join(treeRoot, path.Clean("/"+name))
	if !f.IsDir(dir) {
		return "", f.noSuchPath(name)
	}
	return dir, nil
}

// compose writes the kustomization of an Overlay: its directory with the additions of spec.
// What Kustomize honours only at the top (buildMetadata, openapi) is taken up from the
// directory's own kustomization.
func (f *files) compose(spec Spec, dir string) (composed, error) {
	k, err := f.additions(spec, dir)
	if err != nil {
		return composed{}, err
	}
	c := composed{kustomization: k, dir: dir}
	own, has, err := f.kustomizationIn(dir)
	if err != nil {
		return c, err
	}
	if !has {
		c.kustomization.Resources, err = f.manifests(dir)
		return c, err
	}
	c.kustomization.Resources = []string{".." + dir}
	c.keepOrigins = slices.Contains(own.BuildMetadata, types.OriginAnnotations)
	for _, option := range own.BuildMetadata {
		if option != types.OriginAnnotations {
			c.kustomization.BuildMetadata = append(c.kustomization.BuildMetadata, option)
		}
	}
	for key, value := range own.OpenAPI {
		if c.kustomization.OpenAPI == nil {
			c.kustomization.OpenAPI = map[string]string{}
		}
		if key == "path" {
			value = ".." + path.Join(dir, value)
		}
		c.kustomization.OpenAPI[key] = value
	}
	return c, nil
}

// additions turns what a spec adds into a kustomization without resources.
func (f *files) additions(spec Spec, dir string) (types.Kustomization, error) {
	k := types.Kustomization{
		TypeMeta:      types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Namespace:     spec.TargetNamespace,
		NamePrefix:    spec.NamePrefix,
		NameSuffix:    spec.NameSuffix,
		BuildMetadata: []string{types.OriginAnnotations},
	}
	if len(spec.CommonMetadata.Labels) > 0 {
		k.Labels = []types.Label{{Pairs: spec.CommonMetadata.Labels}}
	}
	if len(spec.CommonMetadata.Annotations) > 0 {
		annotate, err := annotator(spec.CommonMetadata.Annotations)
		if err != nil {
			return k, err
		}
		k.Transformers = []string{annotate}
	}
	for _, image := range spec.Images {
		k.Images = append(k.Images, types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest})
	}
	for _, p := range spec.Patches {
		patch := types.Patch{Patch: p.Patch}
		if p.Target != nil {
			target := selectorOf(*p.Target)
			patch.Target = &target
		}
		k.Patches = append(k.Patches, patch)
	}
	for _, component := range spec.Components {
		target := path.Join(dir, component)
		switch {
		case remote.MatchString(component) || remoteBase.MatchString(component):
			e := refuseRemote(component)
			e.Message = "spec.components: " + e.Message
			return k, e
		case target != treeRoot && !strings.HasPrefix(target, treeRoot+"/"):
			return k, refused("", "spec.components: %s leads out of the repository", printable(component))
		case !f.IsDir(target):
			return k, invalid("", "spec.components: there is no directory %s (%s seen from the root of the repository)", printable(component), printable(inRepository(target)))
		}
		k.Components = append(k.Components, ".."+target)
	}
	return k, nil
}

// annotator configures a transformer that annotates objects and nothing in them:
// commonAnnotations would change the templates of Pods too, and restart them all.
func annotator(annotations map[string]string) (string, error) {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion":  "builtin",
		"kind":        "AnnotationsTransformer",
		"metadata":    map[string]any{"name": "common-metadata"},
		"annotations": annotations,
		"fieldSpecs":  []types.FieldSpec{{Path: "metadata/annotations", CreateIfNotPresent: true}},
	})
	return string(text), err
}

// selectorOf turns a selector of an Overlay into Kustomize's.
func selectorOf(s kustomize.Selector) types.Selector {
	return types.Selector{
		ResId: resid.ResId{
			Gvk:  resid.Gvk{Group: s.Group, Version: s.Version, Kind: s.Kind},
			Name: s.Name, Namespace: s.Namespace,
		},
		LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector,
	}
}

func encode(k types.Kustomization) ([]byte, error) { return yaml.Marshal(k) }

// kustomizationIn reads the kustomization of a directory, if it has one.
func (f *files) kustomizationIn(dir string) (k types.Kustomization, has bool, err error) {
	names := slices.DeleteFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		return !f.Exists(path.Join(dir, name))
	})
	switch len(names) {
	case 0:
		return k, false, nil
	case 1:
		data, err := f.ReadFile(path.Join(dir, names[0]))
		if err != nil {
			return k, true, err
		}
		return k, true, k.Unmarshal(data) // which went well once, in inspect
	}
	return k, true, invalid(inRepository(dir), "the directory has several kustomizations, %s: keep one of them", strings.Join(names, " and "))
}

// manifests lists the manifests of a directory without kustomization: all YAML files below
// it, and the directories below it that have a kustomization. It passes over names with a dot
// in front and over links to directories, which could go in circles.
func (f *files) manifests(dir string) ([]string, error) {
	var found []string
	entries, err := f.entries(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		full := path.Join(dir, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "."):
		case entry.IsDir() && f.hasKustomization(full):
			found = append(found, ".."+full)
		case entry.IsDir():
			below, err := f.manifests(full)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		case isManifest(entry.Name()) && !(entry.Type()&fs.ModeSymlink != 0 && f.IsDir(full)):
			found = append(found, ".."+full)
		}
	}
	return found, nil
}

func isManifest(file string) bool {
	return strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml")
}

// noSuchPath says what is there instead.
func (f *files) noSuchPath(name string) error {
	at := path.Join(treeRoot, path.Clean("/"+name))
	for at != treeRoot && !f.IsDir(at) {
		at = path.Dir(at)
	}
	names, err := f.ReadDir(at)
	if err != nil {
		return &Error{Kind: Unavailable, Message: "the repository cannot be read: " + cause(err)}
	}
	const few = 10
	if len(names) > few {
		names = append(names[:few:few], "…")
	}
	for n, name := range names {
		names[n] = printable(name)
	}
	where := cmp.Or(inRepository(at), "the root")
	return invalid("", "spec.path: there is no directory %s at this revision: mend the path (%s has %s)",
		printable(name), printable(where), cmp.Or(strings.Join(names, ", "), "no files"))
}
