package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ModelVersions reconciles ModelVersions: each artifact is looked at once when it is registered,
// so that people know before a promotion, and again when they ask.
type ModelVersions struct {
	Client    client.Client
	Events    record.Events
	Artifacts *promotion.Artifacts
	Shares    *shard.Shares

	queue waker
}

// Looked wakes a ModelVersion whose artifact was looked at.
func (r *ModelVersions) Looked(v *v1alpha1.ModelVersion) {
	r.queue.wake(client.ObjectKeyFromObject(v), 0)
}

// Reconcile looks at the artifact of one ModelVersion, unless its status says what came of that.
func (r *ModelVersions) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var v v1alpha1.ModelVersion
	if err := r.Client.Get(ctx, req.NamespacedName, &v); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctx, done, mine := r.Shares.Hold(ctx, shared(ctx, r.Client, &v))
	if !mine {
		return ctrl.Result{}, nil
	}
	defer done()
	requested, _ := meta.ReconcileAnnotationValue(v.Annotations)
	ready := apimeta.FindStatusCondition(v.Status.Conditions, v1alpha1.ReadyCondition)
	asked := v.Status.LastHandledReconcileAt != requested
	if ready != nil && v.Status.ObservedGeneration == v.Generation && !asked && ready.Status == "True" {
		return ctrl.Result{}, nil
	}
	since := v.CreationTimestamp.Time
	if at, err := time.Parse(time.RFC3339Nano, requested); asked && err == nil && at.Before(time.Now()) {
		since = at
	}
	found, err, looked := r.Artifacts.Look(&v, since)
	if !looked {
		return ctrl.Result{}, nil
	}
	before := v.DeepCopy()
	v.Status.ObservedGeneration, v.Status.LastHandledReconcileAt = v.Generation, requested
	if err == nil || found.Digest != "" {
		v.Status.Artifact = &found
	}
	verdict := verdictOf(v, found, err)
	if changed(before.Status.Conditions, verdict) && verdict.Phase != sync.Ready {
		r.Events.Warning(&v, "", verdict.Reason, verdict.Message)
	}
	setConditions(&v.Status.Conditions, v.Generation, verdict)
	if err := record.ModelVersionStatus(ctx, r.Client, before, &v); err != nil {
		return ctrl.Result{}, err
	}
	if again := r.Artifacts.Again(&v); !again.IsZero() {
		return ctrl.Result{RequeueAfter: max(time.Until(again), time.Millisecond)}, nil
	}
	return ctrl.Result{}, nil
}

// verdictOf says what came of the look at an artifact.
func verdictOf(v v1alpha1.ModelVersion, found v1alpha1.ArtifactStatus, err error) sync.Verdict {
	var e *artifact.Error
	switch {
	case err == nil && !found.Verified:
		return sync.Verdict{Phase: sync.Ready, Reason: "NotVerified", Message: "Not verified: what " + v.Spec.Artifact.URI + " holds is taken as it is"}
	case err == nil:
		files := "1 file"
		if found.Files != 1 {
			files = fmt.Sprintf("%d files", found.Files)
		}
		return sync.Verdict{Phase: sync.Ready, Reason: v1alpha1.SucceededReason, Message: fmt.Sprintf("Verified: %s with %d bytes, %s", files, found.Size, found.Digest)}
	case errors.As(err, &e) && !e.Temporary():
		return sync.Verdict{Phase: sync.Stalled, Reason: string(e.Kind), Message: err.Error()}
	case e != nil:
		return sync.Verdict{Phase: sync.Failing, Reason: string(e.Kind), Message: err.Error()}
	}
	return sync.Verdict{Phase: sync.Failing, Reason: v1alpha1.ArtifactUnreadReason, Message: err.Error()}
}

// ModelOf names the Model that a ModelVersion belongs to.
func ModelOf(v *v1alpha1.ModelVersion) types.NamespacedName {
	return types.NamespacedName{Namespace: v.Namespace, Name: v.Spec.Model}
}
