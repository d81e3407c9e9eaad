package controller

import (
	"context"
	"fmt"
	gosync "sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Models reconciles Models: their versions come to serve in their stages.
type Models struct {
	Client   client.Client
	Events   record.Events
	Metrics  *record.Metrics
	Promoter *promotion.Promoter
	// Shares says which Models this replica works on: those of Overlays that are its own.
	Shares *shard.Shares

	queue waker

	share  share
	latest latest[v1alpha1.Model, *v1alpha1.Model]

	mu      gosync.Mutex
	waiting map[types.NamespacedName]bool // for kinds or namespaces
}

// Notify wakes the Model that owns an object that changed. It never blocks.
func (r *Models) Notify(owner agent.Owner) {
	r.queue.wake(types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, gathering)
}

// Wake has a Model reconciled.
func (r *Models) Wake(name types.NamespacedName) { r.queue.wake(name, gathering) }

// Arrived wakes the Models that wait for a kind or a namespace.
func (r *Models) Arrived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.waiting {
		r.queue.wake(name, gathering)
	}
}

// wakeAll wakes every Model that is worked on here.
func (r *Models) wakeAll() {
	for _, name := range r.share.all() {
		r.queue.wake(name, gathering)
	}
}

// Reconcile takes one Model as far as it can go now.
func (r *Models) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	m, err := r.latest.get(ctx, r.Client, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.share.turn(ctx, r.Shares, r.Client, m, r.forget, func(ctx context.Context) (ctrl.Result, error) { return r.work(ctx, m) })
}

// work takes a Model that is this replica's as far as it can go now.
func (r *Models) work(ctx context.Context, m *v1alpha1.Model) (ctrl.Result, error) {
	if !m.DeletionTimestamp.IsZero() {
		return r.farewell(ctx, m)
	}
	if before := m.DeepCopy(); controllerutil.AddFinalizer(m, v1alpha1.Finalizer) {
		if err := r.Client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		r.latest.remember(r.Client, m)
	}
	before := m.DeepCopy()
	requested, _ := meta.ReconcileAnnotationValue(m.Annotations)
	if m.Spec.Suspend {
		m.Status.ObservedGeneration, m.Status.LastHandledReconcileAt = m.Generation, requested
		return ctrl.Result{}, r.write(ctx, before, m)
	}
	start := time.Now()
	report := r.Promoter.Pass(ctx, m, start)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil
	}
	r.mu.Lock()
	delete(r.waiting, client.ObjectKeyFromObject(m))
	if len(report.Plan.Violations) > 0 || len(report.Run.Failures()) > 0 {
		r.waiting[client.ObjectKeyFromObject(m)] = true
	}
	r.mu.Unlock()
	m.Status = report.Status
	m.Status.ObservedGeneration, m.Status.LastHandledReconcileAt = m.Generation, requested
	v := sync.Verdict{Phase: sync.Phase(report.Phase), Reason: report.Reason, Message: report.Message}
	r.announce(ctx, before, m, v, report)
	setConditions(&m.Status.Conditions, m.Generation, v)
	if len(m.Status.Stages) > 0 {
		setHealthy(&m.Status.Conditions, m.Generation, report.Healthy, report.Unhealthy)
	}
	if err := r.write(ctx, before, m); err != nil {
		return ctrl.Result{}, err
	}
	r.Metrics.Promoted(before, m, report.Ended)
	r.Metrics.Ready(v1alpha1.ModelKind, m.Namespace, m.Name, report.Phase == promotion.Ready)
	if report.Again.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(time.Until(report.Again), time.Millisecond)}, nil
}

// announce writes events and log lines about what a pass came to.
func (r *Models) announce(ctx context.Context, before, m *v1alpha1.Model, v sync.Verdict, report promotion.Report) {
	logger := log.FromContext(ctx)
	for _, p := range report.Moved {
		logger.Info("promotion", "name", p.Name, "version", p.Spec.Version, "stage", p.Spec.Stage, "phase", p.Status.Phase, "message", p.Status.Message)
		if p.Status.Phase == "" {
			continue
		}
		message := fmt.Sprintf("%s in %s: %s", p.Spec.Version, p.Spec.Stage, p.Status.Message)
		if p.Status.Phase.Held() {
			r.Events.Warning(m, p.Spec.Revision, string(p.Status.Phase), message)
		} else {
			r.Events.Normal(m, p.Spec.Revision, string(p.Status.Phase), message)
		}
	}
	for _, done := range report.Run.Outcomes {
		if done.Result == agent.Done && done.Note != "" && done.Verb == agent.Update {
			r.Events.Normal(m, "", v1alpha1.DriftCorrectedReason, done.Ref.String()+": "+done.Note+"; put back as the Model says")
		}
	}
	if changed(before.Status.Conditions, v) {
		logger.Info("verdict", "phase", v.Phase, "reason", v.Reason, "message", v.Message)
		if v.Phase == sync.Failing || v.Phase == sync.Stalled {
			r.Events.Warning(m, m.Annotations[v1alpha1.RevisionAnnotation], v.Reason, v.Message)
		}
	}
}

// farewell deletes what serves a deleted Model, then lets it go.
func (r *Models) farewell(ctx context.Context, m *v1alpha1.Model) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(m, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	before := m.DeepCopy()
	withNamespace, err := terminating(ctx, r.Client, m.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if why := r.Promoter.Farewell(ctx, m, withNamespace); why != nil {
		v := sync.Verdict{Phase: sync.Progressing, Reason: v1alpha1.ProgressingReason, Message: "being deleted; " + why.Error()}
		setConditions(&m.Status.Conditions, m.Generation, v)
		return ctrl.Result{RequeueAfter: farewellRetry}, r.write(ctx, before, m)
	}
	controllerutil.RemoveFinalizer(m, v1alpha1.Finalizer)
	return ctrl.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

func (r *Models) write(ctx context.Context, before, m *v1alpha1.Model) error {
	version := m.ResourceVersion
	if err := record.ModelStatus(ctx, r.Client, before, m); err != nil {
		return err
	}
	if m.ResourceVersion != version {
		r.latest.remember(r.Client, m)
	}
	return nil
}

func (r *Models) forget(name types.NamespacedName) {
	r.share.forget(name)
	r.latest.forget(name)
	r.mu.Lock()
	delete(r.waiting, name)
	r.mu.Unlock()
	r.Promoter.Forget(agent.Owner{Kind: agent.ModelOwner, Namespace: name.Namespace, Name: name.Name})
	r.Metrics.Gone(v1alpha1.ModelKind, name.Namespace, name.Name)
}

// Take reads the records of the Models of some shards.
func (r *Models) Take(ctx context.Context, of shard.Set) error {
	taken := map[agent.Owner]bool{}
	err := eachShared(ctx, r.Client, &v1alpha1.ModelList{}, of, func(o client.Object) { taken[promotion.OwnerOf(o.(*v1alpha1.Model))] = true })
	if err != nil || len(taken) == 0 { // one that is missing here is read when it comes
		return err
	}
	return r.Promoter.Inventories.Stock(ctx, taken)
}

// Begin has all Models of the shards reconciled.
func (r *Models) Begin(of shard.Set) {
	begin(r.Client, &v1alpha1.ModelList{}, of, &r.queue)
}

// Leave forgets the Models of the shards.
func (r *Models) Leave(of shard.Set) {
	for _, name := range r.share.in(of) {
		r.forget(name)
	}
}
