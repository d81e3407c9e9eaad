package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// Cluster is a cluster as the account sees it in whose name a run is made.
type Cluster interface {
	// Resource is the client for the objects of a kind in its version, and tells whether they are in
	// namespaces. The error is a NoKindMatchError only if the API server said that there is no such kind.
	Resource(kind schema.GroupVersionKind) (client dynamic.NamespaceableResourceInterface, namespaced bool, err error)
}

// Objects is the Engine of all runs that are objects of a cluster: each but those of Kubeflow Pipelines.
type Objects struct {
	Cluster Cluster
	// WorkflowsURL is the address of the pages of Argo Workflows for people, for links to Workflows:
	// https://argo.example.com. Empty for none.
	WorkflowsURL string
}

// patience is how long one request may take: a webhook may take half a minute.
const patience = 40 * time.Second

// Reach looks whether the API server answers, and serves the kind to the account.
func (e Objects) Reach(ctx context.Context, run Run) error {
	f, client, err := e.reach(run)
	if err != nil {
		return err
	}
	_, err = get(ctx, client, f.ref(run))
	return err
}

// Delete has nothing to remove: objects are collected with their RetrainingRun.
func (e Objects) Delete(context.Context, Run) error { return nil }

// Start creates the object of a run, unless it is there. Two at once create it once, for it has one name.
func (e Objects) Start(ctx context.Context, run Run) (string, error) {
	object, err := Build(run)
	if err != nil {
		return "", err
	}
	f, client, err := e.reach(run)
	if err != nil {
		return "", err
	}
	live, err := get(ctx, client, f.ref(run))
	switch {
	case err != nil:
		return "", err
	case live != nil:
		return started(run, f, live)
	case run.ID != "":
		return "", gone(run, f)
	}
	if err := e.prepared(ctx, run, f, object); err != nil {
		return "", err
	}
	return create(ctx, client, run, f, object)
}

func create(ctx context.Context, client dynamic.ResourceInterface, run Run, f form, object *unstructured.Unstructured) (string, error) {
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// A field that the engine does not know is refused. It would be dropped otherwise, and something
	// else would run than Git says.
	made, err := client.Create(timed, object, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager, FieldValidation: metav1.FieldValidationStrict})
	switch {
	case apierrors.IsAlreadyExists(err):
		return overtaken(ctx, client, run, f)
	case err != nil:
		return "", explain(f.ref(run), "create", err)
	}
	return string(made.GetUID()), nil
}

// overtaken looks whose the object is that came while one was to be created.
func overtaken(ctx context.Context, client dynamic.ResourceInterface, run Run, f form) (string, error) {
	live, err := get(ctx, client, f.ref(run))
	switch {
	case err != nil:
		return "", err
	case live == nil:
		return "", &Error{Temporary, fmt.Sprintf("%s came and went while it was created: it is tried again", f.ref(run))}
	}
	return started(run, f, live)
}

// started is the id of an object that is there, if it is the run's.
func started(run Run, f form, live *unstructured.Unstructured) (string, error) {
	id := string(live.GetUID())
	if run.ID != "" && run.ID != id {
		return "", gone(run, f)
	}
	if err := claim(run, f, live); err != nil {
		return "", err
	}
	return id, nil
}

// prepared refuses to create an object without what it stands on, where its engine would not say so itself.
// What the account may not look at is taken to be there.
func (e Objects) prepared(ctx context.Context, run Run, f form, object *unstructured.Unstructured) error {
	if f.needs == nil {
		return nil
	}
	need, kind := f.needs(object)
	if need.Name == "" {
		return nil
	}
	client, namespaced, err := e.Cluster.Resource(kind)
	if err != nil {
		return explainKind(need, kind.Version, f.install, err)
	}
	var where dynamic.ResourceInterface = client
	if namespaced {
		need.Namespace, where = run.Namespace, client.Namespace(run.Namespace)
	}
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err = where.Get(timed, need.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return permanentf("%s: there is no %s: create it, or name one that there is", f.ref(run), need)
	}
	return nil
}

// State reads how far a run is from its object.
func (e Objects) State(ctx context.Context, run Run) (State, error) {
	if run.ID == "" {
		return State{Phase: v1alpha1.RunPending, Message: "it has not been started"}, nil
	}
	f, client, err := e.reach(run)
	if err != nil {
		return State{}, err
	}
	live, err := get(ctx, client, f.ref(run))
	switch {
	case err != nil:
		return State{}, err
	case live != nil && string(live.GetUID()) == run.ID:
		s := read(run, f, live)
		s.URL = e.page(run)
		return s, nil
	case run.Canceled:
		return State{Phase: v1alpha1.RunCanceled, Message: fmt.Sprintf("%s was deleted to stop it", f.ref(run))}, nil
	}
	return State{}, gone(run, f)
}

// page is the address of the page about a run; empty for what has none.
func (e Objects) page(run Run) string {
	if e.WorkflowsURL == "" || run.Template.Workflow == nil {
		return ""
	}
	return strings.TrimSuffix(e.WorkflowsURL, "/") + "/workflows/" + run.Namespace + "/" + run.Name
}

// Cancel stops what runs: as its engine wants it where that keeps the record and stays so, and by deleting
// the object otherwise.
func (e Objects) Cancel(ctx context.Context, run Run) error {
	f, client, err := e.reach(run)
	if err != nil {
		return err
	}
	live, err := get(ctx, client, f.ref(run))
	switch {
	case err != nil || live == nil:
		return err
	case run.ID != "" && run.ID != string(live.GetUID()):
		return nil // the run's own is gone
	}
	if err := claim(run, f, live); err != nil {
		return err
	}
	if read(run, f, live).Phase.Ended() || live.GetDeletionTimestamp() != nil {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if verb, err := f.stop(timed, client, live); err != nil && !apierrors.IsNotFound(err) {
		return explain(f.ref(run), verb, err)
	}
	return nil
}

// stop has an object stop. It is meant for this one, and not for another of the same name.
func (f form) stop(ctx context.Context, client dynamic.ResourceInterface, live *unstructured.Unstructured) (verb string, err error) {
	if f.stopped != nil {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": live.GetUID()}, "spec": f.stopped})
		if err != nil {
			return "patch", err
		}
		_, err = client.Patch(ctx, live.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
		return "patch", err
	}
	// In the foreground the object is there until its pods are gone. A run that takes its place finds
	// their processors and GPUs free.
	return "delete", client.Delete(ctx, live.GetName(), metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationForeground), Preconditions: &metav1.Preconditions{UID: new(live.GetUID())},
	})
}

// reach finds the form of a run, and the client for its object.
func (e Objects) reach(run Run) (form, dynamic.ResourceInterface, error) {
	f, err := formOf(run.Template)
	if err != nil {
		return f, nil, err
	}
	client, namespaced, err := e.Cluster.Resource(f.kind)
	if err != nil {
		return f, nil, explainKind(f.ref(run), f.kind.Version, f.install, err)
	}
	if !namespaced {
		return f, nil, permanentf("%s: objects of the kind %s are not in namespaces, and a run may not reach beyond its own: take a kind that is", f.ref(run), f.kind.Kind)
	}
	return f, client.Namespace(run.Namespace), nil
}

// get reads the object of a run; nil if there is none.
func get(ctx context.Context, client dynamic.ResourceInterface, ref agent.Ref) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	live, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(ref, "get", err)
	}
	return live, nil
}

// gone is the error for a run whose object is not there any more.
func gone(run Run, f form) error {
	return &Error{Forgotten, fmt.Sprintf("%s is gone, though it had begun: somebody deleted it, or its own time to live did; what became of it cannot be told", f.ref(run))}
}
