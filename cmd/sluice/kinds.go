package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is one of Sluice's kinds as the command line knows it.
type kind struct {
	name    string   // as in manifests
	plural  string   // as in the API
	aliases []string // further words for it
	object  func() client.Object
	list    func() client.ObjectList
	columns []column
}

// column is one column of a table of objects.
type column struct {
	title string
	wide  bool // shown with -o wide only
	// restless columns change by themselves; a watch does not print a line for them.
	restless bool
	cell     func(o client.Object, now time.Time) string
}

// kinds lists the kinds that can be asked for.
var kinds = []kind{
	{
		name: v1alpha1.OverlayKind, plural: "overlays", aliases: []string{"overlay", "ov"},
		object: func() client.Object { return &v1alpha1.Overlay{} },
		list:   func() client.ObjectList { return &v1alpha1.OverlayList{} },
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "READY", cell: readyCell},
			{title: "HEALTHY", cell: overlayCell(healthyCell)},
			{title: "REVISION", cell: overlayCell(func(o *v1alpha1.Overlay) string { return agent.Short(o.Status.Revision) })},
			{title: "SINCE", restless: true, cell: sinceCell},
			{title: "DRIFTED", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return fmt.Sprint(o.Status.Objects.Drifted) })},
			{title: "REPOSITORY", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return o.Spec.RepositoryRef.Name })},
			{title: "PATH", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return o.Spec.Path })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
	{
		name: v1alpha1.RepositoryKind, plural: "repositories", aliases: []string{"repository", "repos", "repo"},
		object: func() client.Object { return &v1alpha1.Repository{} },
		list:   func() client.ObjectList { return &v1alpha1.RepositoryList{} },
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "READY", cell: readyCell},
			{title: "REVISION", cell: repositoryCell(func(r *v1alpha1.Repository) string { return agent.Short(r.Status.Revision) })},
			{title: "SYNCED", cell: repositoryCell(func(r *v1alpha1.Repository) string { return agent.Short(r.Status.SyncedRevision) })},
			{title: "SINCE", restless: true, cell: sinceCell},
			{title: "URL", wide: true, cell: repositoryCell(func(r *v1alpha1.Repository) string { return r.Spec.URL })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
}

// parseKind finds a kind by any of its names.
func parseKind(word string) (kind, error) {
	for _, k := range kinds {
		if word == k.plural || slices.Contains(k.aliases, word) || strings.EqualFold(word, k.name) {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("there is no kind %q: use overlay or repository", word)
}

// kindOf returns a kind by its name in manifests.
func kindOf(name string) kind {
	k, _ := parseKind(name)
	return k
}

func overlayCell(cell func(*v1alpha1.Overlay) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Overlay)) }
}

func repositoryCell(cell func(*v1alpha1.Repository) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Repository)) }
}

func nameCell(o client.Object, _ time.Time) string { return o.GetName() }

// readyCell is the status of the Ready condition, or why there is none to expect.
func readyCell(o client.Object, _ time.Time) string {
	ready := readyOf(o)
	switch {
	case !o.GetDeletionTimestamp().IsZero():
		return "Deleting"
	case suspended(o):
		return "Suspended"
	case ready == nil:
		return "Unknown"
	}
	return string(ready.Status)
}

func healthyCell(o *v1alpha1.Overlay) string {
	return fmt.Sprintf("%d/%d", o.Status.Objects.Healthy, o.Status.Objects.Total)
}

// sinceCell is how long ago the last result came.
func sinceCell(o client.Object, now time.Time) string {
	at := metav1.Time{}
	if ready := readyOf(o); ready != nil {
		at = ready.LastTransitionTime
	}
	if overlay, ok := o.(*v1alpha1.Overlay); ok && len(overlay.Status.History) > 0 && at.Before(&overlay.Status.History[0].Time) {
		at = overlay.Status.History[0].Time
	}
	return age(at, now)
}

// messageCell is what the agent says, or the note of whoever suspended the object.
func messageCell(o client.Object, _ time.Time) string {
	if note := o.GetAnnotations()[v1alpha1.NoteAnnotation]; suspended(o) && note != "" {
		return note
	}
	if ready := readyOf(o); ready != nil {
		return ready.Message
	}
	return "the agent has not looked at it yet"
}

func suspended(o client.Object) bool {
	switch o := o.(type) {
	case *v1alpha1.Overlay:
		return o.Spec.Suspend
	case *v1alpha1.Repository:
		return o.Spec.Suspend
	}
	return false
}

func readyOf(o client.Object) *metav1.Condition { return condition(o, v1alpha1.ReadyCondition) }

func condition(o client.Object, name string) *metav1.Condition {
	return apimeta.FindStatusCondition(o.(interface{ GetConditions() []metav1.Condition }).GetConditions(), name)
}
