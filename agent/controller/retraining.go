package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/retrain"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Retrainings reconciles Retrainings: their runs begin when it is time, and what they make comes to Git.
type Retrainings struct {
	Client  client.Client
	Events  record.Events
	Metrics *record.Metrics
	Trainer *retrain.Trainer
	// Shares says which Retrainings this replica works on: those of Overlays that are its own.
	Shares *shard.Shares

	queue waker

	share  share
	latest latest[v1alpha1.Retraining, *v1alpha1.Retraining]
}

// Notify wakes the Retraining that has something running which changed. It never blocks.
func (r *Retrainings) Notify(owner agent.Owner) {
	name := types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
	r.Trainer.Stirred(name)
	r.queue.wake(name, gathering)
}

// Wake has a Retraining reconciled.
func (r *Retrainings) Wake(name types.NamespacedName) { r.queue.wake(name, 0) }

// Reconcile takes one Retraining as far as it can go now.
func (r *Retrainings) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	o, err := r.latest.get(ctx, r.Client, req.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.share.turn(ctx, r.Shares, r.Client, o, r.forget, func(ctx context.Context) (ctrl.Result, error) { return r.work(ctx, o) })
}

// work takes a Retraining that is this replica's as far as it can go now.
func (r *Retrainings) work(ctx context.Context, o *v1alpha1.Retraining) (ctrl.Result, error) {
	if !o.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	before := o.DeepCopy()
	report := r.Trainer.Pass(ctx, o, time.Now())
	if o.ResourceVersion != before.ResourceVersion {
		r.latest.remember(r.Client, o)
	}
	if ctx.Err() != nil {
		return ctrl.Result{}, nil
	}
	r.announce(ctx, before, o, report)
	r.Metrics.Retrained(o, report.Ended, missedSlots(report)) // whatever becomes of the rest
	if report.Failed != nil {
		log.FromContext(ctx).Info("the pass comes again", "reason", report.Failed.Error())
	}
	if report.Failed != nil && report.Brief {
		return ctrl.Result{RequeueAfter: max(time.Until(report.Again), time.Millisecond)}, nil
	}
	if err := r.tell(ctx, before.Status.Conditions, o, report); err != nil && !apierrors.IsConflict(err) {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	} else if err != nil {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	r.Metrics.Retrained(o, report.Ending, 0)
	r.Metrics.Ready(v1alpha1.RetrainingKind, o.Namespace, o.Name, report.Err == nil && report.Failed == nil)
	if report.Again.IsZero() {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{RequeueAfter: max(time.Until(report.Again), time.Millisecond)}, nil
}

func missedSlots(report retrain.Report) int {
	count := 0
	for _, s := range report.Missed {
		count += s.Count
	}
	return count
}

// tell puts on record what a pass came to, and of what was not said before the pass there is an event.
func (r *Retrainings) tell(ctx context.Context, said []metav1.Condition, o *v1alpha1.Retraining, report retrain.Report) error {
	before := o.DeepCopy()
	o.Status = report.Status
	if v := verdict(o, report); changed(said, v) && v.Phase != sync.Ready {
		r.Events.Warning(o, o.Annotations[v1alpha1.RevisionAnnotation], v.Reason, v.Message)
	}
	r.Conditions(o, report)
	if err := record.RetrainingStatus(ctx, r.Client, before, o); err != nil {
		return err
	}
	if o.ResourceVersion != before.ResourceVersion {
		r.latest.remember(r.Client, o)
	}
	return nil
}

// Conditions puts what a pass has come to into the conditions of its Retraining.
func (r *Retrainings) Conditions(o *v1alpha1.Retraining, report retrain.Report) {
	o.Status.ObservedGeneration = o.Generation
	setConditions(&o.Status.Conditions, o.Generation, verdict(o, report))
	healthy := metav1.Condition{Type: v1alpha1.HealthyCondition, Status: metav1.ConditionTrue, ObservedGeneration: o.Generation,
		Reason: v1alpha1.SucceededReason, Message: "No run has failed lately, and no slot was missed"}
	if report.Unhealthy != "" {
		healthy.Status, healthy.Reason, healthy.Message = metav1.ConditionFalse, v1alpha1.UnhealthyReason, cut(report.Unhealthy)
	}
	apimeta.SetStatusCondition(&o.Status.Conditions, healthy)
}

// verdict is how a Retraining is.
func verdict(o *v1alpha1.Retraining, report retrain.Report) sync.Verdict {
	switch {
	case report.Err != nil:
		return sync.Verdict{Phase: sync.Stalled, Reason: v1alpha1.InvalidSpecReason, Message: report.Err.Error()}
	case report.Failed != nil:
		return sync.Verdict{Phase: sync.Failing, Reason: v1alpha1.ApplyFailedReason, Message: report.Failed.Error()}
	}
	return sync.Verdict{Phase: sync.Ready, Reason: v1alpha1.SucceededReason, Message: waitsFor(o, report)}
}

// waitsFor says in a sentence what goes on, or what is waited for.
func waitsFor(o *v1alpha1.Retraining, report retrain.Report) string {
	said := ""
	switch s := report.Status; {
	case o.Spec.Suspend:
		said = "Suspended: nothing begins"
	case len(s.Active) == 1:
		said = s.Active[0] + " goes on"
	case len(s.Active) > 1:
		said = fmt.Sprintf("%d runs go on, the newest is %s", len(s.Active), s.Active[len(s.Active)-1])
	case len(s.Next) > 0:
		said = "The next run is at " + s.Next[0].UTC().Format("2006-01-02 15:04:05 UTC")
	case len(o.Spec.Schedules) > 0:
		said = "No slot is to come any more"
	default:
		said = "Runs begin by triggers and by hand"
	}
	if report.Message != "" {
		said += "; " + report.Message
	}
	return said
}

// announce writes events and log lines about what a pass came to.
func (r *Retrainings) announce(ctx context.Context, before, o *v1alpha1.Retraining, report retrain.Report) {
	logger, revision := log.FromContext(ctx), o.Annotations[v1alpha1.RevisionAnnotation]
	for _, run := range report.Moved {
		logger.Info("run", "name", run.Name, "phase", run.Status.Phase, "message", run.Status.Message)
		message := run.Name + ": " + run.Status.Message
		switch run.Status.Phase {
		case v1alpha1.RunFailed:
			r.Events.Warning(o, revision, "RunFailed", message)
		case v1alpha1.RunRunning, v1alpha1.RunSucceeded, v1alpha1.RunCanceled, v1alpha1.RunBackoff:
			r.Events.Normal(o, revision, "Run"+string(run.Status.Phase), message)
		}
	}
	for _, s := range report.Missed {
		logger.Info("missed", "slots", s.Count, "message", s.Message())
		r.Events.Warning(o, revision, "SlotMissed", s.Message())
	}
}

func (r *Retrainings) forget(name types.NamespacedName) {
	r.share.forget(name)
	r.latest.forget(name)
	r.Trainer.Forget(name)
	r.Metrics.Gone(v1alpha1.RetrainingKind, name.Namespace, name.Name)
}

// Take has nothing to read: what a Retraining has to know is in its status and its runs.
func (r *Retrainings) Take(context.Context, shard.Set) error { return nil }

// Begin has all Retrainings of the shards reconciled.
func (r *Retrainings) Begin(of shard.Set) {
	begin(r.Client, &v1alpha1.RetrainingList{}, of, &r.queue)
}

// Leave forgets the Retrainings of the shards.
func (r *Retrainings) Leave(of shard.Set) {
	for _, name := range r.share.in(of) {
		r.forget(name)
	}
}
