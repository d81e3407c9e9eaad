package validate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/render"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Repository is what is checked.
type Repository struct {
	Tree agent.Tree
	// Path of the directory below which things are checked; "." for all.
	Path string
	// Remotes are the URLs under which the repository is known; none if that is not known.
	Remotes []string
	// Render renders a directory of Tree.
	Render func(context.Context, render.Spec) (agent.Set, error)
	// Parallel is how many renders are under way at once.
	Parallel int
}

// Report is what was looked at and what is wrong.
type Report struct {
	Findings []Finding // in the order of files and lines
	// Kustomizations that were built by themselves; one for a directory of plain manifests.
	Kustomizations    int
	Overlays, Objects int
	// Declared are the Overlays and Repositories, also those about other repositories.
	Declared int
}

// Finding is something wrong at a place in the repository.
type Finding struct {
	File    string
	Line    int
	Message string
}

// Check checks a repository. Its error is trouble; what is wrong with the files is in the
// report.
func (r Repository) Check(ctx context.Context) (Report, error) {
	v := validation{repository: r}
	var err error
	if v.schemas, err = newSchemas(); err != nil {
		return Report{}, err
	}
	if v.survey, err = look(r.Tree, r.Path); err != nil {
		return Report{}, err
	}
	for _, dir := range v.survey.roots() {
		v.roots = append(v.roots, unit{spec: render.Spec{Path: dir}})
	}
	if err := v.render(ctx, v.roots); err != nil {
		return Report{}, err
	}
	v.declarations()
	declared := len(v.overlays) + len(v.repositories)
	if v.survey.bare() && declared == 0 {
		v.roots = []unit{{spec: render.Spec{Path: r.Path}}} // nothing else says what it is for
		if err := v.render(ctx, v.roots); err != nil {
			return Report{}, err
		}
	}
	v.reuse()
	if err := v.render(ctx, v.overlays); err != nil {
		return Report{}, err
	}
	units := slices.Concat(v.uncovered(), v.overlays)
	v.failures(units)
	v.definitions(units)
	objects := v.objects(units)
	v.duplicates()
	v.references()
	v.circles()
	slices.SortFunc(v.findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Message, b.Message))
	})
	return Report{
		Findings:       slices.Compact(v.findings),
		Kustomizations: len(v.roots), Overlays: len(v.overlays), Objects: objects, Declared: declared,
	}, nil
}

// validation is a check under way.
type validation struct {
	repository Repository
	schemas    *schemas
	survey     survey

	roots        []unit // the kustomizations
	overlays     []unit
	repositories []repository
	findings     []Finding
}

// unit is something that is rendered.
type unit struct {
	spec render.Spec
	// overlay that it is for; nil for a kustomization.
	overlay *v1alpha1.Overlay
	// declared is where the Overlay is.
	declared place
	lenient  bool // variables may be left in it
	set      agent.Set
	err      error
}

// repository is a Repository that is declared.
type repository struct {
	object   *v1alpha1.Repository
	declared place
}

// place is where something is declared.
type place struct {
	file string
	line int
	// group is the kustomization or directory that declares it. Only within a group, names mean
	// the same cluster.
	group string
}

func (u unit) name() types.NamespacedName { return client.ObjectKeyFromObject(u.overlay) }

func (u unit) title() string { return "Overlay " + u.name().String() }

func (v *validation) find(file string, line int, format string, args ...any) {
	v.findings = append(v.findings, Finding{file, line, fmt.Sprintf(format, args...)})
}

// render renders what is not rendered yet. What is wrong with the files is in the units.
func (v *validation) render(ctx context.Context, units []unit) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(v.repository.Parallel, 1))
	for n := range units {
		u := &units[n]
		if u.err != nil || u.set.Digest != "" {
			continue
		}
		group.Go(func() error {
			u.set, u.err = v.repository.Render(ctx, u.spec)
			if e, ok := errors.AsType[*render.Error](u.err); !ok || e.Kind == render.Crashed || e.Kind == render.Unavailable {
				return u.err
			}
			return nil
		})
	}
	return group.Wait()
}
