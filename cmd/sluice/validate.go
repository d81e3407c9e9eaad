package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/sync"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newValidateCommand() *cobra.Command {
	renders := 2
	cmd := &cobra.Command{
		Use:   "validate [PATH...]",
		Short: "Check a repository before it is pushed, without a cluster",
		Long: `Check what is below a path, for a repository's own CI: find the kustomizations that no
other one uses and the Overlays and Repositories that are declared, render each as the agent
would, and check

- that everything renders, with no object twice, in one Overlay or in two;
- objects of Kubernetes for fields and types that it does not know;
- custom resources against the CRDs that are rendered, and Sluice's own kinds;
- that every repositoryRef and dependsOn leads somewhere and none goes in a circle. References
  to Repositories are checked where at least one is declared.

Paths in an Overlay are relative to the root of the Git repository that PATH is in, or to PATH
if it is in none. The CEL rules of CRDs are left to the API server.

Variables that come from ConfigMaps and Secrets of the cluster are not known here: they stay as
they are, and objects that hold them are not checked against schemas. Overlays are compared
when they are declared by the same kustomization or in the same directory, for others may be
meant for another cluster.

Findings are printed as file:line: message. The exit code is 0 if there are none, 1 if there
are some, and 2 if that could not be found out.`,
		Example: `  # Everything
  sluice validate

  # What belongs to one team
  sluice validate teams/ml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			pool, err := newPool(agentFlags{renders: renders, limits: render.DefaultLimits()})
			if err != nil {
				return err
			}
			defer pool.Close()
			return validateAll(cmd.Context(), cmd.OutOrStdout(), pool, renders, args)
		},
	}
	cmd.Flags().IntVar(&renders, "renders", renders, "Renders under way at once; each may take a gigabyte of memory.")
	return cmd
}

// validateAll checks paths one by one and prints what was found.
func validateAll(ctx context.Context, out io.Writer, pool *render.Pool, parallel int, paths []string) error {
	printed := map[string]bool{}
	var total count
	for _, name := range paths {
		at, err := locate(name)
		if err != nil {
			return err
		}
		v, err := newValidation(at, pool, parallel)
		if err != nil {
			return err
		}
		if err := v.run(ctx); err != nil {
			return err
		}
		total = total.plus(v.count)
		for _, line := range v.lines() {
			if printed[line] {
				continue // another path has it too
			}
			printed[line] = true
			if _, err := fmt.Fprintln(out, line); err != nil {
				return err
			}
		}
	}
	if len(printed) > 0 {
		return exitCode(negative)
	}
	_, err := fmt.Fprintf(out, "No findings in %d kustomizations and %d Overlays with %d objects.\n", total.kustomizations, total.overlays, total.objects)
	return err
}

// count is what was looked at.
type count struct{ kustomizations, overlays, objects int }

func (c count) plus(o count) count {
	return count{c.kustomizations + o.kustomizations, c.overlays + o.overlays, c.objects + o.objects}
}

// finding is something wrong at a place in the repository.
type finding struct {
	file    string
	line    int
	message string
}

// declared is an Overlay or a Repository that is in the files.
type declared struct {
	object client.Object
	file   string
	line   int
	// group is the kustomization or directory that declares it. Only within a group, names mean
	// the same cluster.
	group string
}

// unit is something that is rendered.
type unit struct {
	spec    render.Spec
	overlay *declared // nil for a kustomization
	lenient bool      // variables may be left in it
	set     agent.Set
	err     error
}

// validation is the check of one path.
type validation struct {
	at       place
	tree     agent.Tree
	pool     *render.Pool
	parallel int
	schemas  *schemas
	survey   survey

	roots        []unit
	overlays     []unit
	repositories []declared
	findings     []finding
	count        count
}

func newValidation(at place, pool *render.Pool, parallel int) (*validation, error) {
	v := &validation{at: at, pool: pool, parallel: parallel}
	var err error
	if v.tree, err = workTree(at.root); err != nil {
		return nil, err
	}
	if v.schemas, err = newSchemas(); err != nil {
		return nil, err
	}
	v.survey, err = look(v.tree, at.path)
	return v, err
}

func (v *validation) run(ctx context.Context) error {
	for _, dir := range v.survey.roots() {
		v.roots = append(v.roots, unit{spec: render.Spec{Path: dir}})
	}
	if err := v.render(ctx, v.roots); err != nil {
		return err
	}
	v.declarations()
	v.reuse()
	if err := v.render(ctx, v.overlays); err != nil {
		return err
	}
	units := slices.Concat(v.uncovered(), v.overlays)
	v.failures(units)
	v.definitions(units)
	v.objects(units)
	v.duplicates()
	v.references()
	v.circles()
	v.count.kustomizations, v.count.overlays = len(v.roots), len(v.overlays)
	return nil
}

func (v *validation) find(file string, line int, format string, args ...any) {
	v.findings = append(v.findings, finding{file, line, fmt.Sprintf(format, args...)})
}

// render renders what is not rendered yet. Its error is trouble; what is wrong with the files
// is in the units.
func (v *validation) render(ctx context.Context, units []unit) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(v.parallel, 1))
	for n := range units {
		u := &units[n]
		if u.err != nil || u.set.Digest != "" {
			continue
		}
		group.Go(func() error {
			u.set, u.err = v.pool.Render(ctx, render.Request{Source: render.Source{Dir: v.at.root}, Spec: u.spec})
			if e, ok := errors.AsType[*render.Error](u.err); !ok || e.Kind == render.Crashed || e.Kind == render.Unavailable {
				return u.err
			}
			return nil
		})
	}
	return group.Wait()
}

// declarations collects the Overlays and Repositories: out of what was rendered, and out of
// the manifests that no kustomization names.
func (v *validation) declarations() {
	for _, u := range v.roots {
		for _, o := range u.set.Objects {
			if o.Ref.Group == v1alpha1.GroupVersion.Group {
				file, line := v.placeOf(u, o, "")
				v.declare(o, file, line, u.spec.Path)
			}
		}
	}
	for _, file := range v.survey.plain() {
		text, err := v.tree.ReadFile(file)
		if err != nil {
			v.find(file, 1, "%v", err)
			continue
		}
		documents, err := documentsOf(text)
		if err != nil {
			v.find(file, 1, "%v", err)
		}
		for _, d := range documents {
			o, err := manifest.Prepare(d.fields, file, agent.Owner{})
			if err != nil {
				v.find(file, d.line, "%v", err)
				continue
			}
			for _, p := range v.schemas.check(o) {
				v.find(file, v.fieldLine(file, d.line, p.field), "%s: %s", o.Ref, p.message)
			}
			v.declare(o, file, d.line, path.Dir(file))
		}
	}
}

// declare takes in one object of Sluice's kinds.
func (v *validation) declare(o agent.Object, file string, line int, group string) {
	k := kindOf(o.Ref.Kind)
	if k.object == nil {
		return
	}
	object := k.object()
	if err := json.Unmarshal(o.JSON, object); err != nil {
		return // the schema says it better
	}
	d := declared{object, file, line, group}
	if _, is := object.(*v1alpha1.Repository); is {
		v.repositories = append(v.repositories, d)
		return
	}
	overlay := object.(*v1alpha1.Overlay)
	u := unit{overlay: &d, spec: sync.SpecOf(overlay, variables(overlay))}
	if s := overlay.Spec.Substitute; s != nil && len(s.From) > 0 {
		u.lenient, u.spec.Substitute = true, nil
	}
	v.overlays = append(v.overlays, u)
}

func variables(o *v1alpha1.Overlay) map[string]string {
	if o.Spec.Substitute == nil {
		return nil
	}
	return o.Spec.Substitute.Variables
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

// ours tells whether an Overlay is about this repository.
func (v *validation) ours(u unit) bool {
	o := u.overlay.object.(*v1alpha1.Overlay)
	d := v.repository(u.overlay.group, o.RepositoryName())
	if d == nil || len(v.repositories) == 1 || !v.at.inGit {
		return true
	}
	clone, err := openClone(v.at.root)
	if err != nil {
		return true
	}
	remotes, err := clone.Remotes()
	if err != nil || len(remotes) == 0 {
		return true
	}
	url := normalURL(d.object.(*v1alpha1.Repository).Spec.URL)
	for _, remote := range remotes {
		if slices.ContainsFunc(remote.Config().URLs, func(u string) bool { return normalURL(u) == url }) {
			return true
		}
	}
	return false
}

// repository finds a declared Repository, in the group first.
func (v *validation) repository(group string, name types.NamespacedName) *declared {
	var elsewhere *declared
	for n := range v.repositories {
		d := &v.repositories[n]
		if client.ObjectKeyFromObject(d.object) == name {
			if d.group == group {
				return d
			}
			elsewhere = d
		}
	}
	return elsewhere
}

// failures reports what could not be rendered.
func (v *validation) failures(units []unit) {
	for _, u := range units {
		e, ok := errors.AsType[*render.Error](u.err)
		if !ok {
			continue
		}
		file, line, message := e.File, e.Line, e.Message
		if e.Ref != (agent.Ref{}) {
			message = e.Ref.String() + ": " + message
		}
		switch {
		case file == "" && u.overlay != nil:
			file, line, message = u.overlay.file, u.overlay.line, u.title()+": "+message
		case file == "":
			file = v.survey.kustomizations[u.spec.Path]
		}
		v.find(file, max(line, 1), "%s", message)
	}
}

func (u unit) title() string {
	return "Overlay " + client.ObjectKeyFromObject(u.overlay.object).String()
}

// definitions takes in all CRDs before objects are checked.
func (v *validation) definitions(units []unit) {
	for _, u := range units {
		for _, o := range u.set.Objects {
			if o.Ref.Kind != "CustomResourceDefinition" {
				continue
			}
			if err := v.schemas.define(o.JSON); err != nil {
				file, line := v.placeOf(u, o, "")
				v.find(file, line, "%s: %v", o.Ref, err)
			}
		}
	}
}

// objects checks what was rendered against schemas.
func (v *validation) objects(units []unit) {
	checked := map[string]bool{} // the same object in several units is checked once
	for _, u := range units {
		for _, o := range u.set.Objects {
			id := o.Ref.String() + "\x00" + o.Origin + "\x00" + o.Digest
			if checked[id] {
				continue
			}
			checked[id] = true
			if u.lenient && bytes.Contains(o.JSON, []byte("${")) {
				continue
			}
			for _, p := range v.schemas.check(o) {
				file, line := v.placeOf(u, o, p.field)
				v.find(file, line, "%s: %s", o.Ref, p.message)
			}
		}
	}
	v.count.objects = len(checked)
}

// placeOf is where an object, or a field of it, is written.
func (v *validation) placeOf(u unit, o agent.Object, field string) (string, int) {
	file := o.Origin
	if file == "" {
		if file = v.survey.kustomizations[path.Clean(u.spec.Path)]; file == "" && u.overlay != nil {
			return u.overlay.file, u.overlay.line
		}
		return cmp.Or(file, u.spec.Path), 1
	}
	text, err := v.tree.ReadFile(file)
	if err != nil {
		return file, 1
	}
	return file, v.fieldLine(file, max(manifest.Line(text, o.Ref), 1), field)
}

// fieldLine looks below the line at which a document begins for the last name of a field's
// path, and keeps to that line if it is not there: patches and generators write fields too.
func (v *validation) fieldLine(file string, start int, field string) int {
	text, err := v.tree.ReadFile(file)
	name := field[strings.LastIndexAny(field, ".]")+1:]
	if err != nil || name == "" {
		return start
	}
	for n, line := range bytes.Split(text, []byte("\n")) {
		switch line := strings.TrimLeft(string(line), " -"); {
		case n+1 < start:
		case n+1 > start && line == "":
		case n+1 > start && bytes.HasPrefix(bytes.Split(text, []byte("\n"))[n], []byte("---")):
			return start
		case strings.HasPrefix(line, name+":"):
			return n + 1
		}
	}
	return start
}

// duplicates reports objects that two Overlays of one cluster have, and Overlays that are
// declared twice.
func (v *validation) duplicates() {
	type key struct {
		group string
		ref   agent.Ref
	}
	owners := map[key]unit{}
	names := map[key]declared{}
	for _, u := range v.overlays {
		me := key{u.overlay.group, agent.Ref{Namespace: u.overlay.object.GetNamespace(), Name: u.overlay.object.GetName()}}
		if other, twice := names[me]; twice {
			v.find(u.overlay.file, u.overlay.line, "%s is declared twice: %s:%d has it too", u.title(), other.file, other.line)
			continue
		}
		names[me] = *u.overlay
		for _, o := range u.set.Objects {
			k := key{u.overlay.group, o.Ref}
			if other, twice := owners[k]; twice {
				file, line := v.placeOf(u, o, "")
				v.find(file, line, "%s belongs to %s and to %s: take it out of one of them", o.Ref, other.title(), u.title())
				continue
			}
			owners[k] = u
		}
	}
}

// references reports names of Overlays and Repositories that lead nowhere.
func (v *validation) references() {
	for _, u := range v.overlays {
		o := u.overlay.object.(*v1alpha1.Overlay)
		if name := o.RepositoryName(); len(v.repositories) > 0 && v.repository(u.overlay.group, name) == nil {
			v.find(u.overlay.file, v.fieldLine(u.overlay.file, u.overlay.line, "repositoryRef"), "%s: spec.repositoryRef: there is no Repository %s", u.title(), name)
		}
		for _, name := range o.Dependencies() {
			if !slices.ContainsFunc(v.overlays, func(u unit) bool { return client.ObjectKeyFromObject(u.overlay.object) == name }) {
				v.find(u.overlay.file, v.fieldLine(u.overlay.file, u.overlay.line, "dependsOn"), "%s: spec.dependsOn: there is no Overlay %s", u.title(), name)
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
	nodes := map[node]*declared{}
	for _, u := range v.overlays {
		nodes[node{u.overlay.group, client.ObjectKeyFromObject(u.overlay.object)}] = u.overlay
	}
	done := map[node]bool{}
	var visit func(at node, trail []string)
	visit = func(at node, trail []string) {
		d := nodes[at]
		if n := slices.Index(trail, at.name.String()); n >= 0 {
			v.find(d.file, v.fieldLine(d.file, d.line, "dependsOn"), "Overlay %s: spec.dependsOn goes in a circle: %s", at.name, strings.Join(append(trail[n:], at.name.String()), " -> "))
			return
		}
		if d == nil || done[at] {
			return
		}
		for _, next := range d.object.(*v1alpha1.Overlay).Dependencies() {
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

// lines prints the findings in the order of the files, with paths relative to where the user is.
func (v *validation) lines() []string {
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	slices.SortStableFunc(v.findings, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line), strings.Compare(a.message, b.message))
	})
	var lines []string
	for _, f := range v.findings {
		name := filepath.Join(v.at.root, filepath.FromSlash(f.file))
		if relative, relErr := filepath.Rel(here, name); err == nil && relErr == nil {
			name = relative
		}
		lines = append(lines, fmt.Sprintf("%s:%d: %s", oneLine(name), f.line, oneLine(f.message)))
	}
	return lines
}
