package render

import (
	"cmp"
	"path"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/resource"
)

// transformations is the annotation in which Kustomize keeps what changed an object.
const transformations = "alpha.config.kubernetes.io/transformations"

// takeOrigin returns the file of an object, relative to the root of the repository. The
// annotations in which Kustomize keeps such files go, unless the user asked for them; then
// they are as `kustomize build` of the user's own directory would write them.
func (c composed) takeOrigin(r *resource.Resource) (string, error) {
	origin, err := r.GetOrigin()
	if err != nil || origin == nil {
		return "", err
	}
	file := path.Join(overlayRoot, cmp.Or(origin.Path, origin.ConfiguredIn))
	if file == overlayFile {
		file = "" // a patch of the overlay took the annotation away
	}
	file = inRepository(file)
	if !c.keepOrigins {
		if err := r.SetOrigin(nil); err != nil {
			return "", err
		}
		return file, c.relocateTransformations(r)
	}
	kept := *origin
	c.relocate(&kept)
	if err := r.SetOrigin(&kept); err != nil {
		return "", err
	}
	return file, c.relocateTransformations(r)
}

// relocateTransformations does for the record of changes what takeOrigin does for the origin.
func (c composed) relocateTransformations(r *resource.Resource) error {
	changes, err := r.GetTransformations()
	if err != nil || changes == nil {
		return err
	}
	for _, change := range changes {
		c.relocate(change)
	}
	text, err := changes.String()
	if err != nil {
		return err
	}
	annotations := r.GetAnnotations()
	annotations[transformations] = text
	return r.SetAnnotations(annotations)
}

// relocate makes the paths of an origin relative to the user's directory.
func (c composed) relocate(o *resource.Origin) {
	for _, p := range []*string{&o.Path, &o.ConfiguredIn} {
		if *p == "" {
			continue
		}
		if rel, err := filepath.Rel(c.dir, path.Join(overlayRoot, *p)); err == nil {
			*p = rel
		}
	}
}
