package record

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Runs reads and writes the RetrainingRuns of Retrainings. What was written is known at once, also where
// the cache is behind.
type Runs struct {
	// Cache has the RetrainingRuns, with the index Index: namespace/retraining.
	Cache client.Reader
	Index string
	// Live reads past the cache.
	Live   client.Reader
	Client client.Client

	kept kept[v1alpha1.RetrainingRun, *v1alpha1.RetrainingRun]
}

// Of returns the runs of a Retraining, in the order of their names. Those of a Retraining that had the name
// before are not its own: they are about to be collected. What its status says to go on and the cache does not
// have yet, because another replica has made it, is read past the cache: a run that is not there was deleted.
func (r *Runs) Of(ctx context.Context, of *v1alpha1.Retraining) ([]v1alpha1.RetrainingRun, error) {
	var list v1alpha1.RetrainingRunList
	if err := r.Cache.List(ctx, &list, client.InNamespace(of.Namespace), client.MatchingFields{r.Index: of.Name}); err != nil {
		return nil, err
	}
	all := r.kept.merge(client.ObjectKeyFromObject(of), list.Items)
	for _, name := range of.Status.Active {
		if slices.ContainsFunc(all, func(o v1alpha1.RetrainingRun) bool { return o.Name == name }) {
			continue
		}
		var run v1alpha1.RetrainingRun
		switch err := r.Live.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: name}, &run); {
		case err == nil:
			all = append(all, run)
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	own := slices.DeleteFunc(all, func(o v1alpha1.RetrainingRun) bool { return !owns(of, &o) || !o.DeletionTimestamp.IsZero() })
	slices.SortFunc(own, func(a, b v1alpha1.RetrainingRun) int { return strings.Compare(a.Name, b.Name) })
	return own, nil
}

// Create makes a run of a Retraining. One that is there already under its name, because another replica was
// faster or an answer was lost, is returned as it is, and made is false.
func (r *Runs) Create(ctx context.Context, of *v1alpha1.Retraining, run *v1alpha1.RetrainingRun) (made bool, err error) {
	if err := controllerutil.SetControllerReference(of, run, r.Client.Scheme()); err != nil {
		return false, err
	}
	err = r.Client.Create(ctx, run, client.FieldOwner(v1alpha1.FieldManager))
	made = err == nil
	if apierrors.IsAlreadyExists(err) {
		if err = r.Live.Get(ctx, client.ObjectKeyFromObject(run), run); err == nil && !owns(of, run) {
			return false, fmt.Errorf("there is a RetrainingRun %s that is no run of this Retraining: delete it", run.Name)
		}
	}
	if err != nil {
		return false, err
	}
	r.kept.keep(client.ObjectKeyFromObject(of), run)
	return made, nil
}

// Write puts a status on record: one patch against the version that was read, and none if nothing changed.
// It returns the run as it is then.
func (r *Runs) Write(ctx context.Context, before, after *v1alpha1.RetrainingRun) (*v1alpha1.RetrainingRun, error) {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return before, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, after, patch, client.FieldOwner(v1alpha1.FieldManager)); err != nil {
		if apierrors.IsNotFound(err) {
			r.Gone(before)
		}
		return nil, err
	}
	r.kept.keep(retrainingOf(after), after)
	return after, nil
}

// Delete removes one that is not kept any longer, as it was read: not one that has begun meanwhile.
func (r *Runs) Delete(ctx context.Context, run *v1alpha1.RetrainingRun) error {
	as := client.Preconditions{UID: &run.UID, ResourceVersion: &run.ResourceVersion}
	err := client.IgnoreNotFound(r.Client.Delete(ctx, run, as, client.PropagationPolicy("Background")))
	if err == nil {
		r.Gone(run)
	}
	return err
}

// Gone forgets a run that was deleted.
func (r *Runs) Gone(run *v1alpha1.RetrainingRun) { r.kept.gone(retrainingOf(run), run.Name) }

// Forget drops what is remembered of a Retraining.
func (r *Runs) Forget(retraining types.NamespacedName) { r.kept.forget(retraining) }

func retrainingOf(run *v1alpha1.RetrainingRun) types.NamespacedName {
	return types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.Retraining}
}
