package render

import (
	"path"
	"reflect"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
)

// Kustomize compares every object with every other, several times: 8,000 ConfigMaps take it
// two minutes, 20,000 a quarter of an hour. Directories that only list files need none of
// that. Their objects are read here, by Kustomize's own reader, and passed on as they are,
// which takes time in proportion to their number. At the first doubt Kustomize does it.

// verbatim returns the objects of an overlay that changes nothing: no additions in the spec,
// and kustomizations that do nothing but list resources. It is false if this is not one.
func (f *files) verbatim(spec Spec, dir string) ([]built, bool, error) {
	if !adds(spec) {
		v := verbatim{files: f, factory: provider.NewDefaultDepProvider().GetResourceFactory(), open: map[string]bool{}}
		plain, err := v.directory(dir)
		if err != nil || plain {
			return v.objects, plain, err
		}
	}
	f.read, f.documents = nil, 0
	return nil, false, nil
}

// adds tells whether a spec changes objects by means of Kustomize.
func adds(s Spec) bool {
	return s.TargetNamespace != "" || s.NamePrefix != "" || s.NameSuffix != "" ||
		len(s.CommonMetadata.Labels)+len(s.CommonMetadata.Annotations)+len(s.Patches)+len(s.Images)+len(s.Components) > 0
}

type verbatim struct {
	files   *files
	factory *resource.Factory
	objects []built
	open    map[string]bool // the directories that are being read
}

// directory reads a directory; it is false if Kustomize has to.
func (v *verbatim) directory(dir string) (bool, error) {
	real, _, err := v.files.locate(dir)
	if dir = path.Join(treeRoot, real); err != nil || v.open[dir] {
		return false, nil
	}
	v.open[dir] = true
	defer delete(v.open, dir)
	k, has, err := v.files.kustomizationIn(dir)
	if err != nil {
		return false, err
	}
	if !has {
		return v.plain(dir)
	}
	if !listsOnly(k) {
		return false, nil
	}
	for _, entry := range k.Resources {
		full := path.Join(dir, entry)
		_, info, err := v.files.locate(full)
		if err != nil {
			return false, nil
		}
		read := v.file
		if info.IsDir() {
			read = v.directory
		}
		if plain, err := read(full); err != nil || !plain {
			return false, err
		}
	}
	return true, nil
}

// plain reads a directory without kustomization.
func (v *verbatim) plain(dir string) (bool, error) {
	entries, err := v.files.manifests(dir)
	if err != nil {
		return false, nil
	}
	for _, entry := range entries {
		full := path.Join(overlayRoot, entry)
		read := v.file
		if !isManifest(full) || v.files.IsDir(full) {
			read = v.directory
		}
		if plain, err := read(full); err != nil || !plain {
			return false, err
		}
	}
	return true, nil
}

// listsOnly tells whether a kustomization has resources and nothing else.
func listsOnly(k types.Kustomization) bool {
	return k.Kind != types.ComponentKind && len(k.Resources) > 0 && reflect.DeepEqual(k, types.Kustomization{TypeMeta: k.TypeMeta, MetaData: k.MetaData, Resources: k.Resources})
}

// file reads the objects of a file.
func (v *verbatim) file(name string) (bool, error) {
	data, err := v.files.ReadFile(name)
	if err != nil {
		return false, err
	}
	objects, err := v.factory.SliceFromBytes(data)
	if err != nil {
		return false, v.files.explainFile(v.files.read[len(v.files.read)-1], data, err)
	}
	for _, r := range objects {
		if !untouched(r) {
			return false, nil
		}
		if isLocal(r) {
			continue
		}
		v.objects = append(v.objects, built{r, inRepository(name)})
	}
	return true, nil
}

// localConfig marks objects that are for Kustomize and not for the cluster.
const localConfig = "config.kubernetes.io/local-config"

func isLocal(r *resource.Resource) bool {
	value, marked := r.GetAnnotations()[localConfig]
	return marked && value != "false"
}

// untouched tells whether Kustomize would leave an object as it is. It acts on annotations of
// its own, and fills in the namespaces of subjects that have none.
func untouched(r *resource.Resource) bool {
	for name := range r.GetAnnotations() {
		if name != localConfig && (strings.Contains(name, "config.kubernetes.io/") || strings.HasPrefix(name, "kustomize.config.k8s.io/")) {
			return false
		}
	}
	if !strings.HasSuffix(r.GetKind(), "RoleBinding") {
		return true
	}
	fields, err := r.Map()
	if err != nil {
		return false
	}
	subjects, _ := fields["subjects"].([]any)
	for _, s := range subjects {
		subject, _ := s.(map[string]any)
		if subject["kind"] == "ServiceAccount" && subject["namespace"] == nil {
			return false
		}
	}
	return true
}
