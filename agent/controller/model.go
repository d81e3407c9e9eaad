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

	mu      gosync.Mutex
	known   map[types.NamespacedName]types.NamespacedName // of those worked on here, by what they are shared
	waiting map[types.NamespacedName]bool                 // for kinds or namespaces
	latest  map[types.NamespacedName]*v1alpha1.Model      // as last written, until the cache has it
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
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.known {
		r.queue.wake(name, gathering)
	}
}

// shared is the name by which an object is shared among replicas: the Repository that it comes from, or to
// which its results go, so that the replica which works on it has the mirror; or its own, if it has to do
// with none.
func shared(ctx context.Context, c client.Reader, m client.Object) types.NamespacedName {
	if r, is := m.(*v1alpha1.Retraining); is && r.Spec.Result != nil && r.Spec.Result.Propose != nil {
		if ref := r.Spec.Result.Propose.RepositoryRef; ref != nil {
			return ref.In(r.Namespace)
		}
	}
	if o := overlayOf(ctx, c, m); o != nil {
		return o.Follows()
	}
	return client.ObjectKeyFromObject(m)
}

// overlayOf returns the Overlay that applies an object; nil if there is none.
func overlayOf(ctx context.Context, c client.Reader, o client.Object) *v1alpha1.Overlay {
	name := o.GetLabels()[v1alpha1.OverlayLabel]
	if name == "" {
		return nil
	}
	var overlay v1alpha1.Overlay
	if err := c.Get(ctx, client.ObjectKey{Namespace: o.GetLabels()[v1alpha1.OverlayNamespaceLabel], Name: name}, &overlay); err != nil {
		return nil
	}
	return &overlay
}

// Reconcile takes one Model as far as it can go now.
func (r *Models) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	m, err := r.get(ctx, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	by := shared(ctx, r.Client, m)
	ctx, done, mine := r.Shares.Hold(ctx, by)
	if !mine {
		if !r.Shares.Mine(by) {
			r.forget(req.NamespacedName) // it was, before its Overlay went elsewhere
		}
		return ctrl.Result{}, nil
	}
	defer done()
	r.mu.Lock()
	r.known[req.NamespacedName] = by
	r.mu.Unlock()
	result, err := r.work(ctx, m)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the work was ended: what was cut off is no failure
	}
	return result, err
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
		r.remember(m)
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

// get reads a Model from the cache, or as it was last written if the cache is behind.
func (r *Models) get(ctx context.Context, name types.NamespacedName) (*v1alpha1.Model, error) {
	var m v1alpha1.Model
	if err := r.Client.Get(ctx, name, &m); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written := r.latest[name]; written != nil {
		if written.UID == m.UID && record.Older(m.ResourceVersion, written.ResourceVersion) {
			return written.DeepCopy(), nil
		}
		delete(r.latest, name)
	}
	return &m, nil
}

func (r *Models) write(ctx context.Context, before, m *v1alpha1.Model) error {
	version := m.ResourceVersion
	if err := record.ModelStatus(ctx, r.Client, before, m); err != nil {
		return err
	}
	if m.ResourceVersion != version {
		r.remember(m)
	}
	return nil
}

func (r *Models) remember(m *v1alpha1.Model) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest[client.ObjectKeyFromObject(m)] = m.DeepCopy()
}

func (r *Models) forget(name types.NamespacedName) {
	r.mu.Lock()
	delete(r.known, name)
	delete(r.waiting, name)
	delete(r.latest, name)
	r.mu.Unlock()
	r.Promoter.Forget(agent.Owner{Kind: agent.ModelOwner, Namespace: name.Namespace, Name: name.Name})
	r.Metrics.Gone(v1alpha1.ModelKind, name.Namespace, name.Name)
}

// Take reads the records of the Models of some shards.
func (r *Models) Take(ctx context.Context, of shard.Set) error {
	var all v1alpha1.ModelList
	if err := r.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil { // one that is missing here is read when it comes
		return err
	}
	taken := map[agent.Owner]bool{}
	for n := range all.Items {
		if of.Has(shared(ctx, r.Client, &all.Items[n])) {
			taken[promotion.OwnerOf(&all.Items[n])] = true
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return r.Promoter.Inventories.Stock(ctx, taken)
}

// Begin has all Models of the shards reconciled.
func (r *Models) Begin(of shard.Set) {
	var all v1alpha1.ModelList
	if err := r.Client.List(context.Background(), &all, client.UnsafeDisableDeepCopy); err != nil {
		return // only when the agent ends
	}
	for n := range all.Items {
		if of.Has(shared(context.Background(), r.Client, &all.Items[n])) {
			r.queue.wake(client.ObjectKeyFromObject(&all.Items[n]), 0)
		}
	}
}

// Leave forgets the Models of the shards.
func (r *Models) Leave(of shard.Set) {
	var left []types.NamespacedName
	r.mu.Lock()
	for name, by := range r.known {
		if of.Has(by) {
			left = append(left, name)
		}
	}
	r.mu.Unlock()
	for _, name := range left {
		r.forget(name)
	}
}
