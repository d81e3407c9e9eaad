package pull

import (
	"context"
	"fmt"
	"slices"
	gosync "sync"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/shard"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Setup registers the Desk. At most parallel tasks are done at once: they wait for a forge or for a
// render most of the time.
func (d *Desk) Setup(ctx context.Context, mgr ctrl.Manager, parallel int) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	d.tables = map[types.NamespacedName]*table{}
	c, err := controller.NewTyped("pullrequest", mgr, controller.TypedOptions[task]{
		MaxConcurrentReconciles: parallel, Reconciler: d,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[task](time.Second, longestRetry),
	})
	if err != nil {
		return err
	}
	sources := []source.TypedSource[task]{
		&d.queue,
		source.TypedKind(mgr.GetCache(), &v1alpha1.Repository{}, handler.TypedEnqueueRequestsFromMapFunc(d.looks), news[*v1alpha1.Repository](newRepository)),
		source.TypedKind(mgr.GetCache(), &v1alpha1.Overlay{}, handler.TypedEnqueueRequestsFromMapFunc(d.overlay), news[*v1alpha1.Overlay](newOverlay)),
		source.TypedKind(mgr.GetCache(), &v1alpha1.Model{}, handler.TypedEnqueueRequestsFromMapFunc(d.model), news[*v1alpha1.Model](newModel)),
		source.TypedKind(mgr.GetCache(), &v1alpha1.Promotion{}, handler.TypedEnqueueRequestsFromMapFunc(d.promotion), news[*v1alpha1.Promotion](newPromotion)),
		source.TypedKind(mgr.GetCache(), &v1alpha1.RetrainingRun{}, handler.TypedEnqueueRequestsFromMapFunc(d.run), news[*v1alpha1.RetrainingRun](newRun)),
	}
	for _, s := range sources {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("pull requests: %w", err)
		}
	}
	return nil
}

// queue is a source of tasks that the Desk gives itself.
type queue struct {
	mu    gosync.Mutex
	tasks workqueue.TypedRateLimitingInterface[task]
}

// Start makes queue a source of the controller.
func (q *queue) Start(_ context.Context, tasks workqueue.TypedRateLimitingInterface[task]) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tasks = tasks
	return nil
}

func (q *queue) add(t task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tasks != nil { // all are looked at when the controller starts
		q.tasks.Add(t)
	}
}

// news lets an update through if it is news.
func news[T client.Object](is func(before, now T) bool) predicate.TypedFuncs[T] {
	return predicate.TypedFuncs[T]{UpdateFunc: func(e event.TypedUpdateEvent[T]) bool { return is(e.ObjectOld, e.ObjectNew) }}
}

func newRepository(before, now *v1alpha1.Repository) bool {
	return before.Generation != now.Generation || asked(before) != asked(now) ||
		before.Status.SyncedRevision != now.Status.SyncedRevision || !now.DeletionTimestamp.IsZero()
}

func newOverlay(before, now *v1alpha1.Overlay) bool {
	a := apimeta.FindStatusCondition(before.Status.Conditions, v1alpha1.ReadyCondition)
	b := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ReadyCondition)
	return before.Status.Revision != now.Status.Revision || (a == nil) != (b == nil) || a != nil && (a.Status != b.Status || a.Message != b.Message)
}

func newModel(before, now *v1alpha1.Model) bool {
	return !slices.EqualFunc(before.Status.Stages, now.Status.Stages, func(a, b v1alpha1.StageStatus) bool {
		return a.Name == b.Name && a.Phase == b.Phase && a.Version == b.Version && a.Candidate == b.Candidate && a.Traffic == b.Traffic &&
			a.Proposed == b.Proposed && sameProposal(a.Proposal, b.Proposal) && a.Promotion == b.Promotion
	})
}

func newPromotion(before, now *v1alpha1.Promotion) bool {
	return !sameProposal(before.Status.Proposal, now.Status.Proposal)
}

func newRun(before, now *v1alpha1.RetrainingRun) bool { return proposes(before) != proposes(now) }

func sameProposal(a, b *v1alpha1.ProposalStatus) bool {
	return a == b || a != nil && b != nil && a.Commit == b.Commit && slices.Equal(a.Findings, b.Findings)
}

// RepositoryMoved has a Repository looked at: it has something new, or something at all after a start. Its
// status would not always tell: after a start it has the revision already.
func (d *Desk) RepositoryMoved(name types.NamespacedName) { d.queue.add(task{repository: name}) }

// looks has a Repository looked at.
func (d *Desk) looks(_ context.Context, repo *v1alpha1.Repository) []task {
	return []task{{repository: client.ObjectKeyFromObject(repo)}}
}

// overlay has those merges followed that an Overlay has news of, and those plans made anew for which it was
// late.
func (d *Desk) overlay(_ context.Context, o *v1alpha1.Overlay) []task {
	name := client.ObjectKeyFromObject(o).String()
	return d.followed(o.RepositoryName(), func(r v1alpha1.PullRequestStatus) bool { return slices.Contains(r.Overlays, name) })
}

// model has those merges followed that a Model has news of, and what it proposes looked at.
func (d *Desk) model(ctx context.Context, m *v1alpha1.Model) []task {
	var o v1alpha1.Overlay
	key := client.ObjectKey{Namespace: m.Labels[v1alpha1.OverlayNamespaceLabel], Name: m.Labels[v1alpha1.OverlayLabel]}
	if key.Name == "" || d.Client.Get(ctx, key, &o) != nil {
		return nil
	}
	tasks := d.followed(o.RepositoryName(), func(r v1alpha1.PullRequestStatus) bool {
		return slices.ContainsFunc(r.Models, func(s v1alpha1.PullRequestModel) bool { return s.Namespace == m.Namespace && s.Name == m.Name })
	})
	wishes := func(s v1alpha1.StageStatus) bool { return s.Proposed != "" || s.Phase == v1alpha1.StageHeld }
	if slices.ContainsFunc(m.Status.Stages, wishes) || d.has(o.RepositoryName(), func(r v1alpha1.PullRequestStatus) bool { return r.Branch != "" }) {
		tasks = append(tasks, task{o.RepositoryName(), proposals})
	}
	return tasks
}

// has tells whether there is such a record.
func (d *Desk) has(repository types.NamespacedName, such func(v1alpha1.PullRequestStatus) bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[repository]
	return t != nil && slices.ContainsFunc(listed(t.records), such)
}

// promotion has what a Promotion proposes looked at.
func (d *Desk) promotion(ctx context.Context, p *v1alpha1.Promotion) []task {
	var m v1alpha1.Model
	if p.Status.Proposal == nil || d.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: p.Spec.Model}, &m) != nil {
		return nil
	}
	return d.model(ctx, &m)
}

// run has what a run proposes looked at.
func (d *Desk) run(ctx context.Context, run *v1alpha1.RetrainingRun) []task {
	var r v1alpha1.Retraining
	if !proposes(run) || d.Client.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.Retraining}, &r) != nil {
		return nil
	}
	if ref := run.Spec.Result.Propose.RepositoryRef; ref != nil {
		return []task{{ref.In(run.Namespace), proposals}}
	}
	var o v1alpha1.Overlay
	key := client.ObjectKey{Namespace: r.Labels[v1alpha1.OverlayNamespaceLabel], Name: r.Labels[v1alpha1.OverlayLabel]}
	if key.Name == "" || d.Client.Get(ctx, key, &o) != nil {
		return nil
	}
	return []task{{o.RepositoryName(), proposals}}
}

// followed are the merges of a Repository that something is about, and the plans that were made too early
// for it.
func (d *Desk) followed(repository types.NamespacedName, about func(v1alpha1.PullRequestStatus) bool) []task {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tables[repository]
	if t == nil {
		return nil
	}
	var tasks []task
	for number, r := range t.records {
		if (r.State == v1alpha1.PullRequestMerged || t.early[number]) && about(r) {
			tasks = append(tasks, task{repository, number})
		}
	}
	return tasks
}

// Take makes the Desk a worker on shards. What it has to know is in the status of Repositories.
func (d *Desk) Take(context.Context, shard.Set) error { return nil }

// Begin has the Repositories of the shards looked at.
func (d *Desk) Begin(of shard.Set) {
	var all v1alpha1.RepositoryList
	if err := d.Client.List(context.Background(), &all, client.UnsafeDisableDeepCopy); err != nil {
		return // only when the agent ends
	}
	for n := range all.Items {
		if name := client.ObjectKeyFromObject(&all.Items[n]); of.Has(name) {
			d.queue.add(task{repository: name})
		}
	}
}

// Leave forgets the Repositories of the shards.
func (d *Desk) Leave(of shard.Set) {
	d.mu.Lock()
	var left []types.NamespacedName
	for name := range d.tables {
		if of.Has(name) {
			left = append(left, name)
		}
	}
	d.mu.Unlock()
	for _, name := range left {
		d.forget(name)
	}
}
