package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	gosync "sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/health"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newTreeCommand() *cobra.Command {
	depth, output := 0, ""
	cmd := &cobra.Command{
		Use:   "tree OVERLAY",
		Short: "Show the objects of an Overlay and how each is doing",
		Long: `Show the objects that an Overlay has in the cluster, by namespace and kind, and how each
of them is doing. They are read from the cluster now, not from the Overlay's status.

With --depth, also show what controllers made of them: ReplicaSets, Jobs and Pods.`,
		Example: `  # What belongs to an Overlay
  sluice tree kubeflow

  # With the ReplicaSets of its Deployments, and their Pods
  sluice tree kubeflow --depth 2`,
		Args: usage(cobra.ExactArgs(1), "name one Overlay: sluice tree OVERLAY"),
	}
	cmd.Flags().IntVar(&depth, "depth", 0, "Levels of objects to show below those of the Overlay.")
	outputFlag(cmd, &output, "json", "yaml")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeOverlay
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, o, err := a.overlay(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		inventory, err := inventoryOf(cmd.Context(), c, o)
		if err != nil {
			return err
		}
		v := &viewer{client: c, overlay: o, seen: map[agent.Ref]*unstructured.Unstructured{}, unseen: map[agent.Ref]error{}}
		if err := v.look(cmd.Context(), inventory); err != nil {
			return err
		}
		if err := v.descend(cmd.Context(), inventory, depth); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		top := v.branches(inventory, depth)
		if output != "" {
			return encode(out, output, v.printed(top))
		}
		return v.print(out, colorful(out), top)
	}
	return cmd
}

// inventoryOf reads which objects an Overlay has.
func inventoryOf(ctx context.Context, c client.Client, o *v1alpha1.Overlay) (agent.Inventory, error) {
	var list v1alpha1.InventoryList
	if err := c.List(ctx, &list, client.InNamespace(o.Namespace), client.MatchingLabels{v1alpha1.OverlayLabel: o.Name}); err != nil {
		return nil, explain(err, v1alpha1.InventoryKind, types.NamespacedName{})
	}
	inventory := agent.Inventory{}
	for _, shard := range list.Items {
		for _, e := range shard.Entries {
			inventory[agent.Ref{Group: e.Group, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}] = agent.Entry{Version: e.Version}
		}
	}
	return inventory, nil
}

// viewer is a look at the objects of an Overlay.
type viewer struct {
	client  client.Client
	overlay *v1alpha1.Overlay

	mu       gosync.Mutex
	seen     map[agent.Ref]*unstructured.Unstructured
	unseen   map[agent.Ref]error
	children map[types.UID][]*unstructured.Unstructured
}

// sideBySide is how many requests are under way at once.
const sideBySide = 8

// look reads the objects: with one list for each kind, by label, and one by one those that
// have lost their labels.
func (v *viewer) look(ctx context.Context, inventory agent.Inventory) error {
	byKind := map[schema.GroupVersionKind][]agent.Ref{}
	for ref, entry := range inventory {
		gvk := ref.GroupKind().WithVersion(entry.Version)
		byKind[gvk] = append(byKind[gvk], ref)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sideBySide)
	for gvk, refs := range byKind {
		group.Go(func() error {
			v.lookAtKind(ctx, gvk, refs)
			return ctx.Err()
		})
	}
	return group.Wait()
}

func (v *viewer) lookAtKind(ctx context.Context, gvk schema.GroupVersionKind, refs []agent.Ref) {
	found, err := v.list(ctx, gvk, "", client.MatchingLabels{v1alpha1.OverlayLabel: v.overlay.Name, v1alpha1.OverlayNamespaceLabel: v.overlay.Namespace})
	if err == nil {
		v.mu.Lock()
		for _, o := range found {
			v.seen[agent.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}] = o
		}
		v.mu.Unlock()
	}
	for _, ref := range refs {
		v.mu.Lock()
		known := v.seen[ref] != nil
		v.mu.Unlock()
		if known {
			continue
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(gvk)
		err := v.client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, o)
		v.mu.Lock()
		switch {
		case err == nil:
			v.seen[ref] = o
		case !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err):
			v.unseen[ref] = err
		}
		v.mu.Unlock()
	}
}

func (v *viewer) list(ctx context.Context, gvk schema.GroupVersionKind, namespace string, options ...client.ListOption) ([]*unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if err := v.client.List(ctx, list, append(options, client.InNamespace(namespace))...); err != nil {
		return nil, err
	}
	found := make([]*unstructured.Unstructured, 0, len(list.Items))
	for n := range list.Items {
		found = append(found, &list.Items[n])
	}
	return found, nil
}

// made are the kinds that the controllers of workloads make.
var made = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "batch", Version: "v1", Kind: "Job"},
	{Version: "v1", Kind: "Pod"},
}

// descend finds what controllers made of the objects, by owner.
func (v *viewer) descend(ctx context.Context, inventory agent.Inventory, depth int) error {
	v.children = map[types.UID][]*unstructured.Unstructured{}
	if depth <= 0 {
		return nil
	}
	namespaces := map[string]bool{}
	for ref := range inventory {
		namespaces[ref.Namespace] = true
	}
	delete(namespaces, "")
	for namespace := range namespaces {
		for _, gvk := range made {
			found, err := v.list(ctx, gvk, namespace)
			if err != nil {
				return fmt.Errorf("%ss of namespace %s cannot be listed: %w", gvk.Kind, namespace, err)
			}
			for _, o := range found {
				if owner := metav1.GetControllerOf(o); owner != nil && !retired(o) {
					v.children[owner.UID] = append(v.children[owner.UID], o)
				}
			}
		}
	}
	return nil
}

// retired tells whether a ReplicaSet is only kept for a rollback.
func retired(o *unstructured.Unstructured) bool {
	replicas, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	return o.GetKind() == "ReplicaSet" && found && replicas == 0
}

// branch is one object of a tree, with what is below it.
type branch struct {
	ref    agent.Ref
	health agent.Health
	below  []branch
}

// printedTree is a tree as JSON.
type printedTree struct {
	Overlay  string          `json:"overlay"`
	Ready    string          `json:"ready"`
	Message  string          `json:"message,omitempty"`
	Revision string          `json:"revision,omitempty"`
	Objects  []printedBranch `json:"objects"`
}

type printedBranch struct {
	printedObject
	Health  agent.HealthStatus `json:"health"`
	Message string             `json:"message,omitempty"`
	Below   []printedBranch    `json:"below,omitempty"`
}

func (v *viewer) printed(top []branch) printedTree {
	return printedTree{
		Overlay: client.ObjectKeyFromObject(v.overlay).String(), Ready: readyCell(v.overlay, time.Time{}), Message: messageCell(v.overlay, time.Time{}),
		Revision: v.overlay.Status.Revision, Objects: printedBranches(top),
	}
}

func printedBranches(branches []branch) []printedBranch {
	printed := []printedBranch{}
	for _, b := range branches {
		printed = append(printed, printedBranch{printedObject(b.ref), b.health.Status, b.health.Message, printedBranches(b.below)})
	}
	return printed
}

// branches are the objects of the inventory.
func (v *viewer) branches(inventory agent.Inventory, depth int) []branch {
	var top []branch
	for _, ref := range inventory.Refs() {
		top = append(top, v.branchOf(ref, depth))
	}
	return top
}

// twig is one line of a tree as it is printed.
type twig struct {
	text  string
	below []twig
}

func (v *viewer) print(out io.Writer, color bool, objects []branch) error {
	healthy := 0
	namespaces := map[string]map[schema.GroupKind][]twig{}
	for _, b := range objects {
		if b.health.OK() {
			healthy++
		}
		if namespaces[b.ref.Namespace] == nil {
			namespaces[b.ref.Namespace] = map[schema.GroupKind][]twig{}
		}
		of := namespaces[b.ref.Namespace]
		of[b.ref.GroupKind()] = append(of[b.ref.GroupKind()], b.twig(color, b.ref.Name))
	}
	ready := readyCell(v.overlay, time.Time{})
	_, err := fmt.Fprintf(out, "Overlay %s/%s  Ready: %s  %s  %d of %s healthy\n", v.overlay.Namespace, v.overlay.Name,
		paint(color, ready), cmp.Or(agent.Short(v.overlay.Status.Revision), "no revision yet"), healthy, count(len(objects), "object"))
	if err != nil {
		return err
	}
	if ready != "True" { // then what the objects look like does not say why
		if _, err := fmt.Fprintln(out, oneLine(messageCell(v.overlay, time.Time{}))); err != nil {
			return err
		}
	}
	var top []twig
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		of := namespaces[namespace]
		t := twig{text: cmp.Or(namespace, "(cluster)")}
		for _, gk := range slices.SortedFunc(maps.Keys(of), func(a, b schema.GroupKind) int {
			return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Group, b.Group))
		}) {
			t.below = append(t.below, twig{gk.String(), of[gk]})
		}
		top = append(top, t)
	}
	return grow(out, "", top)
}

// twig is an object under a name, with how it is doing.
func (b branch) twig(color bool, name string) twig {
	t := twig{text: name + "  " + paint(color, string(b.health.Status))}
	if b.health.Message != "" {
		t.text += ": " + oneLine(b.health.Message)
	}
	for _, below := range b.below {
		t.below = append(t.below, below.twig(color, below.ref.Kind+"/"+below.ref.Name))
	}
	return t
}

func (v *viewer) branchOf(ref agent.Ref, depth int) branch {
	if err := v.unseen[ref]; err != nil {
		return branch{ref: ref, health: agent.Health{Status: "Unknown", Message: "it cannot be read: " + err.Error()}}
	}
	o := v.seen[ref]
	b := branch{ref: ref, health: health.Of(o)}
	if o != nil {
		b.below = v.below(o.GetUID(), depth)
	}
	return b
}

func (v *viewer) below(owner types.UID, depth int) []branch {
	if depth == 0 {
		return nil
	}
	var found []branch
	for _, o := range v.children[owner] {
		found = append(found, branch{
			ref:    agent.Ref{Group: o.GroupVersionKind().Group, Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()},
			health: health.Of(o), below: v.below(o.GetUID(), depth-1),
		})
	}
	slices.SortFunc(found, func(a, b branch) int {
		return cmp.Or(strings.Compare(a.ref.Kind, b.ref.Kind), strings.Compare(a.ref.Name, b.ref.Name))
	})
	return found
}

// grow prints twigs with the lines that connect them.
func grow(out io.Writer, indent string, twigs []twig) error {
	for n, t := range twigs {
		knot, below := "├── ", "│   "
		if n == len(twigs)-1 {
			knot, below = "└── ", "    "
		}
		if _, err := fmt.Fprintln(out, indent+knot+t.text); err != nil {
			return err
		}
		if err := grow(out, indent+below, t.below); err != nil {
			return err
		}
	}
	return nil
}
