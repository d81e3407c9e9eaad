package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// getting is one call of `sluice get`.
type getting struct {
	access        *access
	kind          kind
	names         []string // empty for all
	of            string   // the Retraining whose runs are listed, newest first; empty for all
	empty         string   // what is said where nothing shows; empty for the usual
	allNamespaces bool
	watch         bool
	output        string
	out           io.Writer

	client    client.WithWatch
	namespace string // empty for all
	table     *table
	shown     map[types.NamespacedName]string // what a watch printed last
}

func newGetCommand() *cobra.Command {
	var g getting
	cmd := &cobra.Command{
		Use:   "get " + strings.Join(append(plurals(), pullRequests.plural), "|") + " [NAME...]",
		Short: "List Overlays, Repositories, Models, Retrainings and what belongs to them, and watch them",
		Long: `List Overlays or Repositories: whether they are Ready, at which revision, and what the
agent says of them. Of Models, which version serves in which stage, and what is on its way.
Of Retrainings, how the last run ended, when the next slot is, and how many runs in a row have
succeeded (+) or failed (-); of RetrainingRuns, what started them and how far they are.
Of pull requests, what the agent has said on them; NAME is that of their Repository, which is
what -o yaml, json and name print. With --watch, go on and print a line for every change.`,
		Example: `  # All Overlays of all namespaces
  sluice get overlays -A

  # See a commit arrive
  sluice get overlays --watch

  # Which version of which model serves where
  sluice get models -A

  # Which models are not retrained as they should be
  sluice get retrainings -A

  # What the agent has said on pull requests
  sluice get pullrequests -A

  # One Repository with its URL and the whole message
  sluice get repository platform -o wide`,
		Args: usage(cobra.MinimumNArgs(1), "say what to list: sluice get "+listed()),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if g.kind, err = parseListed(args[0]); err != nil {
				return err
			}
			g.names = args[1:]
			g.out = cmd.OutOrStdout()
			return g.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&g.allNamespaces, "all-namespaces", "A", false, "List the objects of all namespaces.")
	cmd.Flags().BoolVarP(&g.watch, "watch", "w", false, "After listing, print a line for every change.")
	outputFlag(cmd, &g.output, "wide", "yaml", "json", "name")
	g.access = reach(cmd)
	cmd.ValidArgsFunction = g.access.completeListed
	return cmd
}

func (g *getting) run(ctx context.Context) error {
	if len(g.names) > 0 && g.allNamespaces {
		return fmt.Errorf("%s is one object: give its namespace with -n instead of -A", g.names[0])
	}
	var err error
	if g.client, err = g.access.client(); err != nil {
		return err
	}
	if !g.allNamespaces {
		if g.namespace, err = g.access.namespace(); err != nil {
			return err
		}
	}
	g.table = &table{out: g.out, color: colorful(g.out)}
	if g.output != "wide" {
		g.table.width = terminalWidth(g.out)
	}
	g.shown = map[types.NamespacedName]string{}
	version, err := g.list(ctx)
	if err != nil || !g.watch {
		return err
	}
	return g.follow(ctx, version)
}

// options select what is asked for.
func (g *getting) options(version string) *client.ListOptions {
	o := &client.ListOptions{Namespace: g.namespace, Raw: &metav1.ListOptions{ResourceVersion: version}}
	if len(g.names) == 1 {
		o.FieldSelector = fields.OneTermEqualSelector("metadata.name", g.names[0])
	}
	if g.of != "" {
		o.LabelSelector = labels.SelectorFromSet(labels.Set{v1alpha1.RetrainingLabel: g.of})
	}
	return o
}

// wants tells whether an object is asked for: the API server selects one name, and not several.
func (g *getting) wants(o client.Object) bool {
	return len(g.names) == 0 || slices.Contains(g.names, o.GetName())
}

// list prints what there is, and returns the resource version from which on to watch.
func (g *getting) list(ctx context.Context) (string, error) {
	list := g.kind.list()
	if err := g.client.List(ctx, list, g.options("")); err != nil {
		return "", explain(err, g.kind.name, types.NamespacedName{})
	}
	objects, err := g.wanted(list)
	if err != nil {
		return "", err
	}
	shows := slices.ContainsFunc(objects, func(o client.Object) bool { return len(g.partsOf(o)) > 0 })
	if !shows && !g.watch {
		return "", g.nothing(objects)
	}
	if err := g.print(objects); err != nil || g.watch {
		return list.GetResourceVersion(), err
	}
	return list.GetResourceVersion(), g.missing(objects)
}

// wanted are the objects of a list that are asked for.
func (g *getting) wanted(list client.ObjectList) ([]client.Object, error) {
	objects, err := objectsOf(list)
	if g.of != "" {
		slices.SortFunc(objects, newestFirst)
	}
	return slices.DeleteFunc(objects, func(o client.Object) bool { return !g.wants(o) }), err
}

// missing is an error for every name that no object has.
func (g *getting) missing(objects []client.Object) error {
	var errs []error
	for _, name := range g.names {
		if !slices.ContainsFunc(objects, func(o client.Object) bool { return o.GetName() == name }) {
			errs = append(errs, fmt.Errorf("there is no %s %s in namespace %s: see what there is with sluice get %s -A", g.kind.name, name, g.namespace, kindOf(g.kind.name).plural))
		}
	}
	return errors.Join(errs...)
}

// nothing explains a list of which nothing shows: an error for a name that no object has, a remark otherwise.
func (g *getting) nothing(objects []client.Object) error {
	if err := g.missing(objects); err != nil {
		return err
	}
	switch g.output {
	case "yaml", "json", "name":
		return g.print(objects)
	}
	where := "any namespace"
	if g.namespace != "" {
		where = "namespace " + g.namespace + "; -A looks into all"
	}
	_, err := fmt.Fprintln(g.out, cmp.Or(g.empty, fmt.Sprintf("There are no %s in %s.", g.kind.plural, where)))
	return err
}

func (g *getting) print(objects []client.Object) error {
	switch g.output {
	case "yaml", "json":
		if len(g.names) == 1 && len(objects) == 1 {
			return g.encode(objects[0])
		}
		for _, o := range objects {
			dress(g.kind, o)
		}
		return encode(g.out, g.output, map[string]any{"apiVersion": "v1", "kind": "List", "items": append([]client.Object{}, objects...)})
	case "name":
		for _, o := range objects {
			if err := g.printName(o); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{g.titles()}
	for _, o := range objects {
		rows = append(rows, g.lines(o)...)
		g.shown[client.ObjectKeyFromObject(o)] = g.settled(o)
	}
	return g.table.rows(rows)
}

func (g *getting) encode(o client.Object) error {
	dress(g.kind, o)
	return encode(g.out, g.output, o)
}

func (g *getting) printName(o client.Object) error {
	_, err := fmt.Fprintf(g.out, "%s.%s/%s\n", strings.ToLower(g.kind.name), v1alpha1.GroupVersion.Group, o.GetName())
	return err
}

// follow prints a line for every change until the context ends. When a watch ends, as they
// do, what is there is listed again, and only what is new is printed.
func (g *getting) follow(ctx context.Context, version string) error {
	for ctx.Err() == nil {
		stream, err := g.client.Watch(ctx, g.kind.list(), g.options(version))
		if err != nil {
			return explain(err, g.kind.name, types.NamespacedName{})
		}
		err = g.stream(stream)
		stream.Stop()
		if err != nil {
			return err
		}
		list := g.kind.list()
		if err := g.client.List(ctx, list, g.options("")); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return explain(err, g.kind.name, types.NamespacedName{})
		}
		if err := g.catchUp(list); err != nil {
			return err
		}
		version = list.GetResourceVersion()
	}
	return nil
}

// stream prints the events of one watch until it ends.
func (g *getting) stream(stream watch.Interface) error {
	for event := range stream.ResultChan() {
		o, ok := event.Object.(client.Object)
		if !ok || event.Type == watch.Error {
			return nil
		}
		if !g.wants(o) {
			continue
		}
		if err := g.change(o, event.Type == watch.Deleted); err != nil {
			return err
		}
	}
	return nil
}

// catchUp prints what happened between two watches.
func (g *getting) catchUp(list client.ObjectList) error {
	objects, err := g.wanted(list)
	if err != nil {
		return err
	}
	gone := maps.Clone(g.shown)
	for _, o := range objects {
		delete(gone, client.ObjectKeyFromObject(o))
		if err := g.change(o, false); err != nil {
			return err
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(gone), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }) {
		o := g.kind.object()
		o.SetNamespace(name.Namespace)
		o.SetName(name.Name)
		if err := g.change(o, true); err != nil {
			return err
		}
	}
	return nil
}

// change prints one object if it does not look as it did.
func (g *getting) change(o client.Object, deleted bool) error {
	name := client.ObjectKeyFromObject(o)
	looks := g.settled(o)
	before, known := g.shown[name]
	if deleted {
		delete(g.shown, name)
	} else {
		g.shown[name] = looks
	}
	switch {
	case !deleted && known && before == looks && (g.output == "" || g.output == "wide"):
		return nil
	case g.output == "yaml" || g.output == "json":
		if g.output == "yaml" {
			if _, err := fmt.Fprintln(g.out, "---"); err != nil {
				return err
			}
		}
		return g.encode(o)
	case g.output == "name":
		return g.printName(o)
	}
	lines := g.lines(o)
	if deleted && len(lines) > 0 {
		lines = [][]string{append(lines[0][:min(len(lines[0]), g.lead()+1)], "Deleted")}
	}
	for _, row := range lines {
		if err := g.table.row(row); err != nil {
			return err
		}
	}
	return nil
}

// lines shows an object: one line, or one for each of its parts.
func (g *getting) lines(o client.Object) [][]string {
	var rows [][]string
	for _, part := range g.partsOf(o) {
		rows = append(rows, g.cells(part))
	}
	return rows
}

func (g *getting) partsOf(o client.Object) []client.Object {
	if g.kind.parts == nil {
		return []client.Object{o}
	}
	return g.kind.parts(o)
}

// lead is the number of columns before the name.
func (g *getting) lead() int {
	if g.namespace == "" {
		return 1
	}
	return 0
}

func (g *getting) titles() []string {
	var row []string
	if g.lead() > 0 {
		row = append(row, "NAMESPACE")
	}
	for _, c := range g.columns() {
		row = append(row, c.title)
	}
	return row
}

func (g *getting) columns() []column {
	return slices.DeleteFunc(slices.Clone(g.kind.columns), func(c column) bool { return c.wide && g.output != "wide" })
}

func (g *getting) cells(o client.Object) []string {
	var row []string
	if g.lead() > 0 {
		row = append(row, o.GetNamespace())
	}
	for _, c := range g.columns() {
		row = append(row, oneLine(c.cell(o, time.Now())))
	}
	return row
}

// settled is what a line says, less what changes by itself.
func (g *getting) settled(o client.Object) string {
	var b strings.Builder
	for _, part := range g.partsOf(o) {
		for _, c := range g.columns() {
			if !c.restless {
				b.WriteString(c.cell(part, time.Time{}) + "\x00")
			}
		}
	}
	return b.String()
}

// objectsOf takes the objects out of a list, in the order of their names.
func objectsOf(list client.ObjectList) ([]client.Object, error) {
	items, err := apimeta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	objects := make([]client.Object, 0, len(items))
	for _, item := range items {
		objects = append(objects, item.(client.Object))
	}
	slices.SortFunc(objects, func(a, b client.Object) int {
		return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
	})
	return objects, nil
}

// dress makes an object print as it is in a manifest: the client leaves its kind out, and
// nobody reads managed fields.
func dress(k kind, o client.Object) {
	o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(k.name))
	o.SetManagedFields(nil)
}
