package controller

import (
	"context"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/delivery"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Pipelines reconciles Pipelines: what is compiled comes to Kubeflow Pipelines.
type Pipelines struct {
	Client    client.Client
	Events    record.Events
	Metrics   *record.Metrics
	Deliverer *delivery.Deliverer
	// Shares says which Pipelines this replica works on: those of Overlays that are its own.
	Shares *shard.Shares

	queue waker

	share share
}

// SetupPipelines registers the reconciler of Pipelines.
func SetupPipelines(mgr ctrl.Manager, pipelines *Pipelines, parallel int) error {
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, requested{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).Named("pipeline").
		For(&v1alpha1.Pipeline{}, builder.WithPredicates(asked)).
		WatchesRawSource(&pipelines.queue).
		Watches(&v1alpha1.Overlay{}, applied(pipelines.Client, func() client.ObjectList { return &v1alpha1.PipelineList{} }, pipelines.Wake), builder.WithPredicates(moves)).
		WithOptions(controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("pipeline")}).Complete(pipelines)
}

// Notify wakes a Pipeline whose package has changed. It never blocks.
func (r *Pipelines) Notify(owner agent.Owner) {
	r.queue.wake(types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, gathering)
}

// Wake has a Pipeline reconciled.
func (r *Pipelines) Wake(name types.NamespacedName) { r.queue.wake(name, 0) }

// Reconcile takes one Pipeline as far as it can go now.
func (r *Pipelines) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.Pipeline
	err := r.Client.Get(ctx, req.NamespacedName, &p)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.share.turn(ctx, r.Shares, r.Client, &p, r.forget, func(ctx context.Context) (ctrl.Result, error) { return r.work(ctx, &p) })
}

// work takes a Pipeline that is this replica's as far as it can go now.
func (r *Pipelines) work(ctx context.Context, p *v1alpha1.Pipeline) (ctrl.Result, error) {
	if !p.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	report := r.Deliverer.Pass(ctx, p, time.Now())
	if ctx.Err() != nil || report.Nothing {
		return ctrl.Result{}, nil
	}
	before := p.DeepCopy()
	p.Status = report.Status
	p.Status.ObservedGeneration = p.Generation
	p.Status.LastHandledReconcileAt, _ = meta.ReconcileAnnotationValue(p.Annotations)
	v := sync.Verdict{Phase: sync.Phase(report.Phase), Reason: report.Reason, Message: report.Message}
	r.announce(ctx, before, p, v, report)
	setConditions(&p.Status.Conditions, p.Generation, v)
	if err := record.PipelineStatus(ctx, r.Client, before, p); err != nil {
		return ctrl.Result{}, err
	}
	r.Metrics.Ready(v1alpha1.PipelineKind, p.Namespace, p.Name, report.Phase == delivery.Ready)
	if report.Again.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(time.Until(report.Again), time.Millisecond)}, nil
}

// announce writes events and log lines about what a pass came to.
func (r *Pipelines) announce(ctx context.Context, before, p *v1alpha1.Pipeline, v sync.Verdict, report delivery.Report) {
	logger, revision := log.FromContext(ctx), p.Annotations[v1alpha1.RevisionAnnotation]
	for _, version := range report.Pruned {
		logger.Info("version deleted", "version", version)
		r.Events.Normal(p, revision, "Pruned", version+" was deleted from Kubeflow Pipelines: no run has it, and newer ones are kept")
	}
	if !changed(before.Status.Conditions, v) {
		return
	}
	logger.Info("verdict", "phase", v.Phase, "reason", v.Reason, "message", v.Message)
	switch v.Phase {
	case sync.Ready:
		r.Events.Normal(p, revision, "Delivered", v.Message)
	case sync.Failing, sync.Stalled:
		r.Events.Warning(p, revision, v.Reason, v.Message)
	}
}

func (r *Pipelines) forget(name types.NamespacedName) {
	r.share.forget(name)
	r.Deliverer.Forget(name)
	r.Metrics.Gone(v1alpha1.PipelineKind, name.Namespace, name.Name)
}

// Take has nothing to prepare: all that counts is in the status of Pipelines.
func (r *Pipelines) Take(context.Context, shard.Set) error { return nil }

// Begin has all Pipelines of the shards reconciled.
func (r *Pipelines) Begin(of shard.Set) {
	begin(r.Client, &v1alpha1.PipelineList{}, of, &r.queue)
}

// Leave forgets the Pipelines of the shards.
func (r *Pipelines) Leave(of shard.Set) {
	for _, name := range r.share.in(of) {
		r.forget(name)
	}
}
