package controller

import (
	"context"
	"fmt"
	"strings"
	gosync "sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// gathering is how long events about the objects of an Overlay are collected before the next
// pass: a rollout tells of itself in bursts.
const gathering = 50 * time.Millisecond

// Overlays reconciles Overlays.
type Overlays struct {
	Client       client.Client
	Live         client.Reader // past the cache
	Events       record.Events
	Metrics      *record.Metrics
	Syncer       *sync.Syncer
	Repositories *Repositories
	// Shares says which Overlays this replica works on.
	Shares *shard.Shares
	// NoCrossNamespace refuses references to other namespaces.
	NoCrossNamespace bool

	queue waker

	mu      gosync.Mutex
	follows map[types.NamespacedName]types.NamespacedName // the Repositories of those worked on here
	waiting map[types.NamespacedName]bool                 // for kinds, namespaces or other Overlays
	latest  map[types.NamespacedName]*v1alpha1.Overlay    // as last written, until the cache has it
	written map[types.NamespacedName]time.Time
}

// Notify wakes the Overlay that owns an object that changed. It never blocks.
func (r *Overlays) Notify(owner agent.Owner) {
	if owner != (agent.Owner{}) {
		r.queue.wake(types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, gathering)
	}
}

// RepositoryMoved wakes the Overlays of a Repository.
func (r *Overlays) RepositoryMoved(name types.NamespacedName) { r.wakeIndexed(byRepository, name) }

// Arrived wakes the Overlays that wait for a kind, a namespace or another Overlay.
func (r *Overlays) Arrived() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.waiting {
		r.queue.wake(name, gathering)
	}
}

func (r *Overlays) wakeIndexed(index string, name types.NamespacedName) {
	var overlays v1alpha1.OverlayList
	if err := r.Client.List(context.Background(), &overlays, client.MatchingFields{index: name.String()}, client.UnsafeDisableDeepCopy); err != nil { // they are only read
		return // only before the cache has started, when everything is reconciled anyway
	}
	for n := range overlays.Items {
		r.queue.wake(client.ObjectKeyFromObject(&overlays.Items[n]), 0)
	}
}

// Reconcile takes one Overlay as far as it can go now.
func (r *Overlays) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	o, err := r.get(ctx, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	ctx, done, mine := r.Shares.Hold(ctx, o.Follows())
	if !mine {
		return ctrl.Result{}, nil
	}
	defer done()
	result, err := r.work(ctx, o)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil // the work was ended: what was cut off is no failure
	}
	return result, err
}

// work takes an Overlay that is this replica's as far as it can go now.
func (r *Overlays) work(ctx context.Context, o *v1alpha1.Overlay) (ctrl.Result, error) {
	if !o.DeletionTimestamp.IsZero() {
		return r.farewell(ctx, o)
	}
	if moved, err := r.admit(ctx, o); moved || err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := o.DeepCopy()
	start := time.Now()
	report := r.pass(ctx, o)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil
	}
	r.spread(o, report)
	if report.Verdict == (sync.Verdict{}) {
		return ctrl.Result{}, nil // its Repository is being looked at, and wakes it
	}
	if wait := r.settling(before, report, start); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	r.tell(ctx, before, o, report)
	if err := r.write(ctx, before, o); err != nil {
		return ctrl.Result{}, err
	}
	r.Metrics.Passed(o, string(report.Verdict.Phase), time.Since(start), report.Plan, report.Run)
	return ctrl.Result{RequeueAfter: again(o, report)}, nil
}

// again says when to come back though nothing happened: when the verdict says so, and under
// all events as a net once in an interval.
func again(o *v1alpha1.Overlay, report sync.Report) time.Duration {
	if o.Spec.Suspend {
		return 0
	}
	net := jittered(o.Spec.Interval.Duration, string(o.UID))
	if retry := report.Verdict.Retry; retry > 0 && retry < net {
		return retry
	}
	return net
}

// settling tells how long to hold back a status that would only count on: while a rollout
// goes on, every pod that gets ready changes the count, and nobody reads so fast.
func (r *Overlays) settling(before *v1alpha1.Overlay, report sync.Report, now time.Time) time.Duration {
	ready := apimeta.FindStatusCondition(before.Status.Conditions, v1alpha1.ReadyCondition)
	v := report.Verdict
	if v.Phase != sync.Progressing || ready == nil || ready.Status != metav1.ConditionUnknown || ready.Reason != v.Reason ||
		ready.ObservedGeneration != before.Generation || before.Status.AttemptedRevision != report.Plan.Revision.String() || report.Made() != "" {
		return 0
	}
	name := client.ObjectKeyFromObject(before)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written[name].Add(settleTime).Sub(now)
}

// settleTime is the least time between two statuses that differ only in a count.
const settleTime = 2 * time.Second

// get reads an Overlay from the cache, or as it was last written if the cache is behind.
func (r *Overlays) get(ctx context.Context, name types.NamespacedName) (*v1alpha1.Overlay, error) {
	var o v1alpha1.Overlay
	if err := r.Client.Get(ctx, name, &o); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if written := r.latest[name]; written != nil {
		if written.UID == o.UID && record.Older(o.ResourceVersion, written.ResourceVersion) {
			o.Status = *written.Status.DeepCopy()
			o.ResourceVersion = written.ResourceVersion
		} else {
			delete(r.latest, name)
		}
	}
	return &o, nil
}

func (r *Overlays) write(ctx context.Context, before, o *v1alpha1.Overlay) error {
	version := o.ResourceVersion
	if err := record.OverlayStatus(ctx, r.Client, before, o); err != nil {
		return err
	}
	if o.ResourceVersion != version {
		r.mu.Lock()
		r.written[client.ObjectKeyFromObject(o)] = time.Now()
		r.latest[client.ObjectKeyFromObject(o)] = o.DeepCopy()
		r.mu.Unlock()
	}
	return nil
}

// admit puts on an Overlay what the agent needs before it touches anything: the finalizer, and
// the Repository that it follows. One that follows another Repository than it did has moved: all
// that was known of it is forgotten, and whoever works on the other Repository goes on.
func (r *Overlays) admit(ctx context.Context, o *v1alpha1.Overlay) (moved bool, err error) {
	before, to := o.DeepCopy(), o.RepositoryName()
	moved = o.Follows() != to
	finalizer := controllerutil.AddFinalizer(o, v1alpha1.Finalizer)
	if !finalizer && o.Annotations[v1alpha1.FollowsAnnotation] == to.String() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.follows[client.ObjectKeyFromObject(o)] = to
		return false, nil
	}
	if moved {
		r.forget(client.ObjectKeyFromObject(o))
	}
	metav1.SetMetaDataAnnotation(&o.ObjectMeta, v1alpha1.FollowsAnnotation, to.String())
	return moved, r.Client.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// pass checks what stands before a pass, and makes it.
func (r *Overlays) pass(ctx context.Context, o *v1alpha1.Overlay) sync.Report {
	if v := r.denied(o); v != nil {
		r.Syncer.Note(o, false)
		return sync.Report{Verdict: *v}
	}
	r.Syncer.Note(o, !o.Spec.Suspend)
	if o.Spec.Suspend {
		return sync.Report{Verdict: sync.Verdict{Reason: v1alpha1.SuspendedReason}}
	}
	name := o.RepositoryName()
	source, ok := r.Repositories.Source(name)
	if !ok {
		return sync.Report{Verdict: r.noSource(ctx, o, name)}
	}
	return r.Syncer.Pass(ctx, o, source, func() *sync.Verdict { return r.blocked(ctx, o) }, time.Now())
}

// noSource says why there is nothing to apply. It is the zero Verdict if there will be something
// in a moment: an agent that starts does not take back what is said of an Overlay.
func (r *Overlays) noSource(ctx context.Context, o *v1alpha1.Overlay, name types.NamespacedName) sync.Verdict {
	v := sync.Verdict{Phase: sync.Progressing, Reason: v1alpha1.RepositoryNotReadyReason, Message: fmt.Sprintf("Repository %s has not been fetched yet", name)}
	var repo v1alpha1.Repository
	switch err := r.Client.Get(ctx, name, &repo); {
	case apierrors.IsNotFound(err):
		v.Message = fmt.Sprintf("Repository %s is not there: create it, or name another in spec.repositoryRef", name)
	case r.Repositories.Failure(name) != nil:
		v.Message = fmt.Sprintf("Repository %s cannot be fetched: %s", name, r.Repositories.Failure(name))
	case len(o.Status.Conditions) > 0 && !r.Repositories.Asked(&repo):
		return sync.Verdict{}
	case repo.Spec.Suspend:
		v.Message = fmt.Sprintf("Repository %s is suspended and has not been fetched yet: resume it", name)
	}
	return v
}

// denied refuses references to other namespaces where they are locked down.
func (r *Overlays) denied(o *v1alpha1.Overlay) *sync.Verdict {
	if !r.NoCrossNamespace {
		return nil
	}
	for _, ref := range append(o.Dependencies(), o.RepositoryName()) {
		if ref.Namespace != o.Namespace {
			return &sync.Verdict{Phase: sync.Stalled, Reason: v1alpha1.AccessDeniedReason, Message: fmt.Sprintf(
				"the reference to %s in another namespace is refused: the agent runs with --no-cross-namespace-refs", ref)}
		}
	}
	return nil
}

// blocked tells whether an Overlay has to wait for those it depends on.
func (r *Overlays) blocked(ctx context.Context, o *v1alpha1.Overlay) *sync.Verdict {
	if cycle := r.cycle(ctx, o, nil); cycle != nil {
		return &sync.Verdict{Phase: sync.Stalled, Reason: v1alpha1.DependencyNotReadyReason,
			Message: "spec.dependsOn goes in a circle: " + strings.Join(cycle, " -> ")}
	}
	for _, ref := range o.Dependencies() {
		if why := r.notReady(ctx, o, ref); why != "" {
			return &sync.Verdict{Phase: sync.Progressing, Reason: v1alpha1.DependencyNotReadyReason, Message: why}
		}
	}
	return nil
}

// notReady says why an Overlay has to wait for another; empty if it need not. One of the same
// Repository has to have come to the revision; between Repositories, revisions have no order, and
// the other has to be Ready.
func (r *Overlays) notReady(ctx context.Context, o *v1alpha1.Overlay, name types.NamespacedName) string {
	var dep v1alpha1.Overlay
	if err := r.Client.Get(ctx, name, &dep); err != nil {
		return fmt.Sprintf("waiting for Overlay %s, which is not there", name)
	}
	if dep.Spec.Suspend {
		if wasReady(&dep) {
			return ""
		}
		return fmt.Sprintf("waiting for Overlay %s, which is suspended and not Ready", name)
	}
	ready := isReady(&dep)
	if dep.RepositoryName() == o.RepositoryName() {
		source, ok := r.Repositories.Source(dep.RepositoryName())
		var at bool
		if at, ready = r.Syncer.Reached(&dep, source.Revision.String()); !ok || !at {
			return fmt.Sprintf("waiting for Overlay %s to come to the newest revision", name)
		}
	}
	if !ready {
		return fmt.Sprintf("waiting for Overlay %s to be Ready", name)
	}
	return ""
}

// cycle returns the names along a circle of dependencies that leads back to o.
func (r *Overlays) cycle(ctx context.Context, o *v1alpha1.Overlay, path []string) []string {
	me := client.ObjectKeyFromObject(o).String()
	for n, name := range path {
		if name == me {
			if n == 0 {
				return append(path, me)
			}
			return nil // a circle further down, which is its members' trouble
		}
	}
	for _, ref := range o.Dependencies() {
		var dep v1alpha1.Overlay
		if err := r.Client.Get(ctx, ref, &dep); err != nil {
			continue
		}
		if found := r.cycle(ctx, &dep, append(path[:len(path):len(path)], me)); found != nil {
			return found
		}
	}
	return nil
}

// spread wakes those who may be waiting for what a pass came to.
func (r *Overlays) spread(o *v1alpha1.Overlay, report sync.Report) {
	name := client.ObjectKeyFromObject(o)
	r.mu.Lock()
	delete(r.waiting, name)
	if report.Waits() {
		r.waiting[name] = true
	}
	r.mu.Unlock()
	if report.News {
		r.wakeIndexed(byDependency, name)
		r.Arrived()
		r.Repositories.Wake(o.RepositoryName())
	}
}

// farewell deals with the objects of a deleted Overlay, then lets it go.
func (r *Overlays) farewell(ctx context.Context, o *v1alpha1.Overlay) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(o, v1alpha1.Finalizer) {
		return ctrl.Result{}, nil
	}
	before := o.DeepCopy()
	withNamespace, err := terminating(ctx, r.Client, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if why := r.Syncer.Farewell(ctx, o, withNamespace); why != nil {
		v := sync.Verdict{Phase: sync.Progressing, Reason: v1alpha1.ProgressingReason, Message: "being deleted; " + why.Error()}
		setConditions(&o.Status.Conditions, o.Generation, v)
		return ctrl.Result{RequeueAfter: farewellRetry}, r.write(ctx, before, o)
	}
	controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer)
	if err := r.Client.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	log.FromContext(ctx).Info("overlay deleted", "deletionPolicy", o.Spec.DeletionPolicy)
	return ctrl.Result{}, nil
}

// terminating tells whether a namespace is being deleted.
func terminating(ctx context.Context, c client.Reader, name string) (bool, error) {
	var namespace metav1.PartialObjectMetadata
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := c.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	return namespace.DeletionTimestamp != nil, client.IgnoreNotFound(err)
}

// farewellRetry is the net below the watches while objects are going away.
const farewellRetry = 5 * time.Second

func (r *Overlays) forget(name types.NamespacedName) {
	r.mu.Lock()
	delete(r.follows, name)
	delete(r.waiting, name)
	delete(r.latest, name)
	delete(r.written, name)
	r.mu.Unlock()
	r.Syncer.Forget(agent.Owner{Namespace: name.Namespace, Name: name.Name})
	r.Metrics.Gone(v1alpha1.OverlayKind, name.Namespace, name.Name)
	r.wakeIndexed(byDependency, name)
	r.Arrived()
}

// tell puts a report into the status and says in events and in the log what is new.
func (r *Overlays) tell(ctx context.Context, before, o *v1alpha1.Overlay, report sync.Report) {
	requested, _ := meta.ReconcileAnnotationValue(o.Annotations)
	o.Status.LastHandledReconcileAt = requested
	o.Status.ObservedGeneration = o.Generation
	v := report.Verdict
	if v.Reason == v1alpha1.SuspendedReason {
		return
	}
	source, _ := r.Repositories.Source(o.RepositoryName())
	revision := source.Revision.String()
	if v.Phase == sync.Ready && !report.Moved() && untouched(before, report) {
		// The commit leaves this Overlay alone; so does the status. SyncedRevision of the
		// Repository tells how far all have come.
		v.Message = readyMessage(before)
	} else if report.Digest != "" || v.Reason == v1alpha1.RenderFailedReason {
		o.Status.AttemptedRevision = revision
		if v.Phase == sync.Ready {
			o.Status.Revision = revision
		}
	}
	if report.Plan.Revision.Commit != "" {
		o.Status.Objects, o.Status.Claims = report.Objects, claimed(report.Plan)
		setHealthy(&o.Status.Conditions, o.Generation, report.Healthy, report.Unhealthy)
	}
	if v.Phase != sync.Progressing && o.Status.AttemptedRevision != "" {
		at := o.Status.AttemptedRevision
		o.Status.History = remembered(o.Status.History, v1alpha1.HistoryEntry{Revision: at, Digest: report.Digest, Time: metav1.Now(), Result: v.Reason})
	}
	r.announce(ctx, before, o, revision, v, report)
	setConditions(&o.Status.Conditions, o.Generation, v)
	r.Metrics.Ready(v1alpha1.OverlayKind, o.Namespace, o.Name, v.Phase == sync.Ready)
}

// claimed lists the objects that belong to other Overlays, as far as there is room.
func claimed(p agent.Plan) []v1alpha1.ObjectReference {
	var refs []v1alpha1.ObjectReference
	for _, v := range p.Violations {
		if v.Holder != (agent.Owner{}) && len(refs) < maxClaims {
			refs = append(refs, v1alpha1.ObjectReference{Group: v.Ref.Group, Kind: v.Ref.Kind, Namespace: v.Ref.Namespace, Name: v.Ref.Name})
		}
	}
	return refs
}

// maxClaims is the bound of status.claims.
const maxClaims = 100

// untouched tells that an Overlay was Ready with the same objects before.
func untouched(before *v1alpha1.Overlay, report sync.Report) bool {
	h := before.Status.History
	return isReady(before) && len(h) > 0 && h[0].Digest == report.Digest && before.Status.Revision != "" &&
		before.Status.AttemptedRevision == before.Status.Revision && before.Status.Objects == report.Objects
}

// announce writes events and log lines about what a pass did and what changed in its verdict.
func (r *Overlays) announce(ctx context.Context, before, o *v1alpha1.Overlay, revision string, v sync.Verdict, report sync.Report) {
	logger := log.FromContext(ctx).WithValues("revision", revision)
	told := true // by an event of its own, for each object
	for _, done := range report.Run.Outcomes {
		if done.Result != agent.Done {
			continue
		}
		logger.V(1).Info("applied", "verb", done.Verb, "object", done.Ref.String(), "note", done.Note, "took", done.Took.String())
		if done.Note != "" && done.Verb == agent.Update {
			r.Events.Normal(o, revision, v1alpha1.DriftCorrectedReason, done.Ref.String()+": "+done.Note+"; put back as Git says")
		} else {
			told = false
		}
	}
	if made := report.Made(); made != "" {
		logger.Info("applied", "changes", made)
		if !told {
			r.Events.Normal(o, revision, "Applied", made)
		}
	}
	if !changed(before.Status.Conditions, v) {
		return
	}
	logger.Info("verdict", "phase", v.Phase, "reason", v.Reason, "message", v.Message)
	switch {
	case v.Phase == sync.Failing || v.Phase == sync.Stalled:
		r.Events.Warning(o, revision, v.Reason, v.Message)
	case v.Phase == sync.Ready && !isReady(before):
		r.Events.Normal(o, revision, v.Reason, v.Message)
	}
}
