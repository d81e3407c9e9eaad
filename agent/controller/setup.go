package controller

import (
	"context"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/retrain"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Names of the cache's indexes over Overlays.
const (
	byRepository = "repository"
	byDependency = "dependency"
)

// Setup registers the reconcilers of Repositories and Overlays. Parallel is how many objects of a
// kind are worked on at once.
func Setup(ctx context.Context, mgr ctrl.Manager, repositories *Repositories, overlays *Overlays, parallel int) error {
	repositories.heads, repositories.latest = map[types.NamespacedName]head{}, map[types.NamespacedName]*v1alpha1.Repository{}
	repositories.wanted = map[types.NamespacedName]bool{}
	overlays.follows = map[types.NamespacedName]types.NamespacedName{}
	overlays.waiting, overlays.latest = map[types.NamespacedName]bool{}, map[types.NamespacedName]*v1alpha1.Overlay{}
	overlays.written = map[types.NamespacedName]time.Time{}
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.Overlay{}, byRepository, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Overlay).RepositoryName().String()}
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Overlay{}, byDependency, func(o client.Object) []string {
		var names []string
		for _, ref := range o.(*v1alpha1.Overlay).Dependencies() {
			names = append(names, ref.String())
		}
		return names
	}); err != nil {
		return err
	}
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, requested{}, predicate.AnnotationChangedPredicate{})
	options := controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("repository")}
	if err := ctrl.NewControllerManagedBy(mgr).Named("repository").
		For(&v1alpha1.Repository{}, builder.WithPredicates(asked)).
		WatchesRawSource(&repositories.queue).WithOptions(options).Complete(repositories); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("overlay").
		For(&v1alpha1.Overlay{}, builder.WithPredicates(asked)).
		WatchesRawSource(&overlays.queue).
		Watches(&v1alpha1.Overlay{}, overlays.elsewhere(), builder.WithPredicates(tells{})).
		WatchesMetadata(partial("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), overlays.definitions(), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		WatchesMetadata(partial("", "v1", "Namespace"), overlays.arrivals(), builder.WithPredicates(appears)).
		WithOptions(controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("overlay")}).Complete(overlays)
}

// SetupModels registers the reconcilers of Models and ModelVersions.
func SetupModels(ctx context.Context, mgr ctrl.Manager, models *Models, versions *ModelVersions, parallel int) error {
	models.waiting = map[types.NamespacedName]bool{}
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.ModelVersion{}, promotion.ByModel, func(o client.Object) []string {
		return []string{o.(*v1alpha1.ModelVersion).Spec.Model}
	}); err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Promotion{}, promotion.ByModel, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Promotion).Spec.Model}
	}); err != nil {
		return err
	}
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, requested{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
	if err := ctrl.NewControllerManagedBy(mgr).Named("modelversion").
		For(&v1alpha1.ModelVersion{}, builder.WithPredicates(asked)).
		WatchesRawSource(&versions.queue).
		WithOptions(controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("modelversion")}).Complete(versions); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("model").
		For(&v1alpha1.Model{}, builder.WithPredicates(asked)).
		WatchesRawSource(&models.queue).
		Watches(&v1alpha1.Model{}, models.latest.arrivals()).
		Watches(&v1alpha1.ModelVersion{}, models.versions(), builder.WithPredicates(asked)).
		Watches(&v1alpha1.Promotion{}, models.promotions(), builder.WithPredicates(disappears)).
		Watches(&v1alpha1.PromotionPolicy{}, models.policies(), builder.WithPredicates(asked)).
		Watches(&v1alpha1.Overlay{}, applied(models.Client, func() client.ObjectList { return &v1alpha1.ModelList{} }, models.Wake), builder.WithPredicates(moves)).
		WatchesMetadata(partial("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), models.definitions(), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		WatchesMetadata(partial("", "v1", "Namespace"), models.arrivals(), builder.WithPredicates(appears)).
		WithOptions(controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("model")}).Complete(models)
}

// SetupRetrainings registers the reconciler of Retrainings.
func SetupRetrainings(ctx context.Context, mgr ctrl.Manager, retrainings *Retrainings, parallel int) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.RetrainingRun{}, retrain.ByRetraining, func(o client.Object) []string {
		return []string{o.(*v1alpha1.RetrainingRun).Spec.Retraining}
	}); err != nil {
		return err
	}
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, requested{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).Named("retraining").
		For(&v1alpha1.Retraining{}, builder.WithPredicates(asked)).
		WatchesRawSource(&retrainings.queue).
		Watches(&v1alpha1.Retraining{}, retrainings.latest.arrivals()).
		Watches(&v1alpha1.RetrainingRun{}, retrainings.runs(), builder.WithPredicates(predicate.Or(disappears, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.Pipeline{}, retrainings.pipelines()).
		Watches(&v1alpha1.Overlay{}, applied(retrainings.Client, func() client.ObjectList { return &v1alpha1.RetrainingList{} }, retrainings.Wake), builder.WithPredicates(moves)).
		WatchesMetadata(partial("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), retrainings.definitions(), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: parallel, LogConstructor: logger("retraining")}).Complete(retrainings)
}

// runs wakes the Retraining of a run that was deleted, or is to be canceled.
func (r *Retrainings) runs() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	wake := func(o client.Object) {
		run := o.(*v1alpha1.RetrainingRun)
		r.Wake(types.NamespacedName{Namespace: run.Namespace, Name: run.Spec.Retraining})
	}
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) { wake(e.ObjectNew) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			r.Trainer.Runs.Gone(e.Object.(*v1alpha1.RetrainingRun))
			wake(e.Object)
		},
	}
}

// pipelines wakes the Retrainings that run a Pipeline.
func (r *Retrainings) pipelines() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var all v1alpha1.RetrainingList
		if err := r.Client.List(ctx, &all, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
			return nil // only when the agent ends
		}
		for n := range all.Items {
			if kfp := all.Items[n].Spec.Run.KFP; kfp != nil && kfp.Pipeline == o.GetName() {
				r.Wake(client.ObjectKeyFromObject(&all.Items[n]))
			}
		}
		return nil
	})
}

// definitions has the cluster look anew at the kinds of a group whose CRD has changed.
func (r *Retrainings) definitions() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, crd client.Object) []reconcile.Request {
		_, group, _ := strings.Cut(crd.GetName(), ".") // it is plural.group
		r.Trainer.Cluster.KindsChanged(group)
		return nil
	})
}

// versions wakes the Model of a ModelVersion, and has one that is gone forgotten.
func (r *Models) versions() handler.EventHandler {
	wake := func(o client.Object) { r.Wake(ModelOf(o.(*v1alpha1.ModelVersion))) }
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, _ queue) { wake(e.Object) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) { wake(e.ObjectNew) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			r.Promoter.Artifacts.Forget(e.Object.GetUID())
			wake(e.Object)
		},
	}
}

// promotions wakes the Model of a Promotion that was deleted.
func (r *Models) promotions() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		p := o.(*v1alpha1.Promotion)
		r.Promoter.Promotions.Gone(p)
		r.Wake(types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.Model})
		return nil
	})
}

// policies wakes all Models: what is required of them has changed.
func (r *Models) policies() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		r.wakeAll()
		return nil
	})
}

// arrivals wakes the Models that wait when something appears.
func (r *Models) arrivals() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		r.Arrived()
		return nil
	})
}

// definitions wakes the Models that wait when a CRD comes or changes, and all if it may change what
// the cluster can do for models.
func (r *Models) definitions() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, crd client.Object) []reconcile.Request {
		_, group, _ := strings.Cut(crd.GetName(), ".") // it is plural.group
		if r.Promoter.Cluster.KindsChanged(group) {
			r.wakeAll()
		}
		r.Arrived()
		return nil
	})
}

// applied wakes what an Overlay applies when the Overlay goes, or follows another Repository: another replica
// works on it then.
func applied(c client.Reader, list func() client.ObjectList, wake func(types.NamespacedName)) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		all := list()
		of := client.MatchingLabels{v1alpha1.OverlayLabel: o.GetName(), v1alpha1.OverlayNamespaceLabel: o.GetNamespace()}
		if err := c.List(ctx, all, of, client.UnsafeDisableDeepCopy); err != nil {
			return nil // only when the agent ends
		}
		objects, err := apimeta.ExtractList(all)
		if err != nil {
			return nil // a list of our own kinds always can be read
		}
		for _, object := range objects {
			wake(client.ObjectKeyFromObject(object.(client.Object)))
		}
		return nil
	})
}

// moves lets an Overlay through that goes, or follows another Repository.
var moves = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.(*v1alpha1.Overlay).Follows() != e.ObjectNew.(*v1alpha1.Overlay).Follows()
	},
}

// logger names the object in every line of its log, and says nothing twice.
func logger(kind string) func(*reconcile.Request) logr.Logger {
	return func(req *reconcile.Request) logr.Logger {
		if req == nil {
			return ctrl.Log
		}
		return ctrl.Log.WithValues(kind, req.NamespacedName.String())
	}
}

// arrivals wakes the Overlays that wait when something appears.
func (r *Overlays) arrivals() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		r.Arrived()
		return nil
	})
}

// definitions wakes the Overlays that wait when a CRD comes or changes, and has the cluster look
// anew at the kinds of its group.
func (r *Overlays) definitions() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, crd client.Object) []reconcile.Request {
		_, group, _ := strings.Cut(crd.GetName(), ".") // it is plural.group
		r.Syncer.Cluster.KindsChanged(group)
		r.Arrived()
		return nil
	})
}

// elsewhere wakes the Overlays that wait when one that other replicas work on has come further.
func (r *Overlays) elsewhere() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if !r.Shares.Mine(o.(*v1alpha1.Overlay).Follows()) {
			r.wakeIndexed(byDependency, client.ObjectKeyFromObject(o))
			r.Arrived()
		}
		return nil
	})
}

// tells lets an Overlay through whose status says something else than before.
type tells struct{ predicate.Funcs }

// Update compares the conditions, without the counting of objects on their way.
func (tells) Update(e event.UpdateEvent) bool {
	before, now := e.ObjectOld.(*v1alpha1.Overlay), e.ObjectNew.(*v1alpha1.Overlay)
	return isReady(before) != isReady(now) || readyMessage(before) != readyMessage(now)
}

// appears lets only creations through.
var appears = predicate.Funcs{
	UpdateFunc: func(event.UpdateEvent) bool { return false },
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// disappears lets only deletions through.
var disappears = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(event.UpdateEvent) bool { return false },
}

func partial(group, version, kind string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
	return o
}

// requested lets an object through whose request to be reconciled now is new, or that is
// being deleted.
type requested struct{ predicate.Funcs }

// Update compares the requests.
func (requested) Update(e event.UpdateEvent) bool {
	before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
	after, asked := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
	return asked && before != after || !e.ObjectNew.GetDeletionTimestamp().IsZero()
}

func isReady(o *v1alpha1.Overlay) bool {
	ready := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == o.Generation
}

// wasReady does not ask for which generation: suspending an Overlay makes a new one.
func wasReady(o *v1alpha1.Overlay) bool {
	return apimeta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ReadyCondition)
}

func readyMessage(o *v1alpha1.Overlay) string {
	if ready := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return ready.Message
	}
	return ""
}
