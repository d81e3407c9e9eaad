package validate

import (
	"encoding/json"
	"path"
	"reflect"
	"slices"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// declarations collects the Overlays and Repositories: out of what was rendered, and out of
// the manifests that no kustomization names.
func (v *validation) declarations() {
	for _, u := range v.roots {
		for _, o := range u.set.Objects {
			if o.Ref.Group == v1alpha1.GroupVersion.Group {
				file, line := v.placeOf(u, o, "")
				v.declare(o, place{file, line, u.spec.Path})
			}
		}
	}
	for _, file := range v.survey.plain() {
		text, err := v.repository.Tree.ReadFile(file)
		if err != nil {
			v.find(file, 1, "%v", err)
			continue
		}
		for _, d := range documentsOf(text) {
			o, err := agent.Object{}, d.err
			if err == nil {
				o, err = manifest.Prepare(d.fields, file, agent.Owner{})
			}
			if err != nil {
				v.find(file, d.line, "%v", err)
				continue
			}
			if o.Refused != "" {
				v.find(file, d.line, "%s: %s", o.Ref, o.Refused)
			}
			for _, p := range v.schemas.check(o) {
				v.find(file, fieldLine(text, d.line, p.field), "%s: %s", o.Ref, p.message)
			}
			v.declare(o, place{file, d.line, path.Dir(file)})
		}
	}
}

// declare takes in an object of Sluice's kinds. One that cannot be decoded is left out: the
// schema says better what is wrong with it.
func (v *validation) declare(o agent.Object, at place) {
	switch o.Ref.Kind {
	case v1alpha1.RepositoryKind:
		var r v1alpha1.Repository
		if json.Unmarshal(o.JSON, &r) == nil {
			v.repositories = append(v.repositories, repository{&r, at})
		}
	case v1alpha1.OverlayKind:
		var overlay v1alpha1.Overlay
		if json.Unmarshal(o.JSON, &overlay) == nil {
			v.overlays = append(v.overlays, unitOf(&overlay, at))
		}
	}
}

// unitOf is what the agent would render for an Overlay. Variables that come from the cluster
// are left as they are.
func unitOf(o *v1alpha1.Overlay, at place) unit {
	u := unit{overlay: o, declared: at, spec: sync.SpecOf(o, nil)}
	switch s := o.Spec.Substitute; {
	case s == nil:
	case len(s.From) > 0:
		u.lenient, u.spec.Substitute = true, nil
	default:
		u.spec.Substitute.Variables = s.Variables
	}
	return u
}

// reuse takes for Overlays what was rendered of their directory, if they add nothing to it,
// and leaves out those of other repositories.
func (v *validation) reuse() {
	v.overlays = slices.DeleteFunc(v.overlays, func(u unit) bool { return !v.ours(u) })
	for n := range v.overlays {
		u := &v.overlays[n]
		plain := render.Spec{Path: u.spec.Path, Owner: u.spec.Owner}
		for _, root := range v.roots {
			if root.spec.Path == path.Clean(u.spec.Path) && reflect.DeepEqual(u.spec, plain) {
				u.set, u.err = root.set, root.err
			}
		}
	}
}

// uncovered lists the kustomizations that no Overlay is for. One that has an Overlay may need
// what that adds, so it is judged with it alone.
func (v *validation) uncovered() []unit {
	return slices.DeleteFunc(slices.Clone(v.roots), func(root unit) bool {
		return slices.ContainsFunc(v.overlays, func(u unit) bool { return path.Clean(u.spec.Path) == root.spec.Path })
	})
}

// ours tells whether an Overlay is about this repository: always, unless it names one that is
// declared next to others and is none of the remotes.
func (v *validation) ours(u unit) bool {
	r, found := v.findRepository(u.declared.group, u.overlay.RepositoryName())
	if !found || len(v.repositories) == 1 || len(v.repository.Remotes) == 0 {
		return true
	}
	return slices.ContainsFunc(v.repository.Remotes, func(url string) bool {
		return gitrepo.Address(url) == gitrepo.Address(r.object.Spec.URL)
	})
}

// findRepository finds a declared Repository, in the group first.
func (v *validation) findRepository(group string, name types.NamespacedName) (repository, bool) {
	var elsewhere repository
	for _, r := range v.repositories {
		if client.ObjectKeyFromObject(r.object) != name {
			continue
		}
		if r.declared.group == group {
			return r, true
		}
		elsewhere = r
	}
	return elsewhere, elsewhere.object != nil
}
