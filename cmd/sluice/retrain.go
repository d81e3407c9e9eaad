package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newRetrainCommand has the verbs about Retrainings and their runs.
func newRetrainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retrain",
		Short: "Run Retrainings by hand, and look at their runs and what comes next",
		Args:  usage(cobra.NoArgs, "say what to do with a Retraining"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, verb := range []*cobra.Command{newRetrainNextCommand(), newRetrainRunCommand(), newRetrainRunsCommand(), newRetrainCancelCommand(), newRetrainLogsCommand()} {
		verb.DisableFlagsInUseLine = true
		cmd.AddCommand(verb)
	}
	return cmd
}

// retraining reads one Retraining.
func (a *access) retraining(ctx context.Context, name string) (client.WithWatch, *v1alpha1.Retraining, error) {
	c, key, err := a.named(name)
	if err != nil {
		return nil, nil, err
	}
	var r v1alpha1.Retraining
	if err := c.Get(ctx, key, &r); err != nil {
		return nil, nil, explain(err, v1alpha1.RetrainingKind, key)
	}
	return c, &r, nil
}

// runsOf reads the runs of a Retraining, the newest first.
func runsOf(ctx context.Context, c client.Client, r *v1alpha1.Retraining) ([]v1alpha1.RetrainingRun, error) {
	var list v1alpha1.RetrainingRunList
	if err := c.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabels{v1alpha1.RetrainingLabel: r.Name}); err != nil {
		return nil, explain(err, v1alpha1.RetrainingRunKind, types.NamespacedName{})
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.RetrainingRun) int { return newestFirst(&a, &b) })
	return list.Items, nil
}

// newestFirst orders objects by their creation; those of a Retraining are named in the order of time.
func newestFirst(a, b client.Object) int {
	return cmp.Or(b.GetCreationTimestamp().Compare(a.GetCreationTimestamp().Time), strings.Compare(b.GetName(), a.GetName()))
}

func retrainingCell(cell func(*v1alpha1.Retraining) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Retraining)) }
}

func runCell(cell func(*v1alpha1.RetrainingRun) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.RetrainingRun)) }
}

func pipelineCell(cell func(*v1alpha1.Pipeline) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Pipeline)) }
}

// statusOf is the status of a condition.
func statusOf(o client.Object, name string) string {
	if c := condition(o, name); c != nil {
		return string(c.Status)
	}
	return "Unknown"
}

// streakCell is how many runs in a row ended alike: + well, - not.
func streakCell(r *v1alpha1.Retraining) string {
	if r.Status.Streak == 0 {
		return "-"
	}
	return fmt.Sprintf("%+d", r.Status.Streak)
}

// lastCell is how the last run ended, and how long ago.
func lastCell(o client.Object, now time.Time) string {
	status := o.(*v1alpha1.Retraining).Status
	if status.LastResult == "" || status.LastEnded == nil {
		return "-"
	}
	return fmt.Sprintf("%s %s", status.LastResult, age(*status.LastEnded, now))
}

// nextCell is how long it is until the next slot.
func nextCell(o client.Object, now time.Time) string {
	r := o.(*v1alpha1.Retraining)
	switch {
	case r.Spec.Suspend || len(r.Status.Next) == 0:
		return "-"
	case r.Status.Next[0].After(now):
		return duration.HumanDuration(r.Status.Next[0].Sub(now))
	}
	return "now"
}

// schedulesCell is when a Retraining is run.
func schedulesCell(r *v1alpha1.Retraining) string {
	if len(r.Spec.Schedules) == 0 {
		return "-"
	}
	return strings.Join(r.Spec.Schedules, "; ") + " " + cmp.Or(r.Spec.TimeZone, "UTC")
}

// retrainingMessage is the note of who suspended it, or why it is not Ready or not Healthy.
func retrainingMessage(o client.Object, now time.Time) string {
	healthy := condition(o, v1alpha1.HealthyCondition)
	if ready := readyOf(o); suspended(o) || ready == nil || ready.Status != metav1.ConditionTrue || healthy == nil || healthy.Status != metav1.ConditionFalse {
		return messageCell(o, now)
	}
	return healthy.Message
}

// phaseOf is how far a run is; one that the agent has only just made waits.
func phaseOf(r *v1alpha1.RetrainingRun) v1alpha1.RunPhase {
	return cmp.Or(r.Status.Phase, v1alpha1.RunPending)
}

// runMessage is why a run is where it is, or what started it.
func runMessage(r *v1alpha1.RetrainingRun) string {
	return cmp.Or(r.Status.Message, r.Spec.Trigger.Message)
}

func runVersion(r *v1alpha1.RetrainingRun) string {
	if r.Status.Result == nil {
		return "-"
	}
	return cmp.Or(r.Status.Result.Version, "-")
}

// newestAttempt is the last attempt of a run, which may have none.
func newestAttempt(r *v1alpha1.RetrainingRun) v1alpha1.RunAttempt {
	if len(r.Status.Attempts) == 0 {
		return v1alpha1.RunAttempt{}
	}
	return r.Status.Attempts[len(r.Status.Attempts)-1]
}

// took is how long something took, or has taken until now.
func took(began, ended *metav1.Time, now time.Time) string {
	if began == nil {
		return "-"
	}
	if ended != nil {
		now = ended.Time
	}
	return age(*began, now)
}

// utc is a time in a table.
func utc(t time.Time) string {
	if t = t.UTC(); t.Second() != 0 {
		return t.Format("2006-01-02 15:04:05Z")
	}
	return t.Format("2006-01-02 15:04Z")
}
