package main

import (
	"cmp"
	"context"
	"encoding/json"

	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/slot"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// asking is one call of `sluice retrain run`.
type asking struct {
	parameters []string
	wait       bool
	timeout    time.Duration
	out        io.Writer
	client     client.WithWatch
}

// answerPatience is how long an answer is waited for where the end of the run is not: it comes at once,
// unless the run has to wait for another, or no agent runs.
const answerPatience = 10 * time.Second

func newRetrainRunCommand() *cobra.Command {
	var r asking
	cmd := &cobra.Command{
		Use:   "run RETRAINING",
		Short: "Run a Retraining now",
		Long: `Ask the agent to run a Retraining now, whatever its schedules say, and print the name of the
run. Its slot is the time at which it was asked for. With concurrencyPolicy Forbid it waits until
no other run goes on.

With --wait, wait until the run has ended and print each phase it comes to. The exit code is 0 if
it succeeded, 1 if it ended otherwise, and 2 if that could not be found out.`,
		Example: `  # Run it, and see it through
  sluice retrain run fraud-weekly --wait

  # With other parameters than those in Git, once
  sluice retrain run fraud-weekly --param epochs=3 --param learning_rate=0.01`,
		Args: usage(cobra.ExactArgs(1), "name one Retraining: sluice retrain run RETRAINING"),
	}
	cmd.Flags().StringArrayVar(&r.parameters, "param", nil, "A parameter of this run, as name=value; may be given several times. It goes before that of spec.run.parameters.")
	cmd.Flags().BoolVar(&r.wait, "wait", false, "Wait for the end of the run.")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 0, "How long to wait for the end, or without --wait for the answer. Default: as long as it takes, or 10s.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeName(v1alpha1.RetrainingKind)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		parameters, err := parametersOf(r.parameters)
		if err != nil {
			return err
		}
		c, retraining, err := a.retraining(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		r.client, r.out = c, cmd.OutOrStdout()
		if !r.wait {
			r.timeout = cmp.Or(r.timeout, answerPatience)
		}
		ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
		if r.timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, r.timeout)
		}
		defer cancel()
		return r.run(ctx, retraining, parameters)
	}
	return cmd
}

// mostParameters is how many a RetrainingRun may have.
const mostParameters = 128

// parametersOf reads parameters that are written as name=value.
func parametersOf(words []string) (map[string]string, error) {
	parameters := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if _, twice := parameters[name]; twice {
			return nil, fmt.Errorf("--param gives %s twice: give it once", name)
		}
		if name == "" || !ok {
			return nil, fmt.Errorf("--param %s is no parameter: write it as name=value, for instance --param epochs=3", word)
		}
		parameters[name] = value
	}
	if len(parameters) > mostParameters {
		return nil, fmt.Errorf("%d parameters were given, and a run takes at most %d: put what is more into the pipeline", len(parameters), mostParameters)
	}
	return parameters, nil
}

func (r *asking) run(ctx context.Context, retraining *v1alpha1.Retraining, parameters map[string]string) error {
	at := time.Now().UTC()
	token := at.Format(time.RFC3339Nano)
	retraining, err := r.ask(ctx, retraining, token, parameters)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(retraining)
	run := slot.RunName(retraining.Name, at, v1alpha1.TriggerManual, token)
	if _, err := fmt.Fprintf(r.out, "Retraining %s: run %s requested\n", key, run); err != nil {
		return err
	}
	answered, err := await(ctx, r.client, kindOf(v1alpha1.RetrainingKind), retraining, func(o client.Object) bool { return handled(o) == token })
	if err != nil {
		return err
	}
	if handled(answered) != token {
		return r.unanswered(answered, run)
	}
	key.Name = run
	var made v1alpha1.RetrainingRun
	if err := r.client.Get(ctx, key, &made); err != nil {
		return explain(err, v1alpha1.RetrainingRunKind, key)
	}
	if r.wait {
		return r.follow(ctx, &made)
	}
	return r.say(&made)
}

// ask has a Retraining run, unless that cannot be or would take the place of another who asks. What was
// looked at is what is written to.
func (r *asking) ask(ctx context.Context, retraining *v1alpha1.Retraining, token string, parameters map[string]string) (*v1alpha1.Retraining, error) {
	for {
		if err := mayAsk(retraining, parameters); err != nil {
			return nil, err
		}
		annotations := map[string]any{meta.ReconcileRequestAnnotation: token, v1alpha1.ParametersAnnotation: nil}
		if len(parameters) > 0 {
			text, err := json.Marshal(parameters)
			if err != nil {
				return nil, err
			}
			annotations[v1alpha1.ParametersAnnotation] = string(text)
		}
		err := merge(ctx, r.client, retraining, map[string]any{"metadata": map[string]any{
			"resourceVersion": retraining.ResourceVersion, "annotations": annotations,
		}})
		key := client.ObjectKeyFromObject(retraining)
		if !apierrors.IsConflict(err) {
			return retraining, explain(err, v1alpha1.RetrainingKind, key)
		}
		if err := r.client.Get(ctx, key, retraining); err != nil {
			return nil, explain(err, v1alpha1.RetrainingKind, key)
		}
	}
}

// mayAsk refuses what the agent would have to refuse, or forget.
func mayAsk(r *v1alpha1.Retraining, parameters map[string]string) error {
	name := "Retraining " + client.ObjectKeyFromObject(r).String()
	before := r.Annotations[meta.ReconcileRequestAnnotation]
	switch {
	case r.Spec.Suspend:
		return fmt.Errorf("%s is suspended: sluice resume retraining %s -n %s", name, r.Name, r.Namespace)
	case !r.DeletionTimestamp.IsZero():
		return fmt.Errorf("%s is being deleted", name)
	case len(parameters) > 0 && r.Spec.Run.KFP == nil && r.Spec.Run.Workflow == nil:
		return fmt.Errorf("%s runs what has no parameters: only pipelines of spec.run.kfp and spec.run.workflow have; leave --param out", name)
	case before != "" && before != r.Status.LastHandledReconcileAt:
		return fmt.Errorf("%s has a request for a run already that has not begun, of %s, and has one at a time: wait until it has, or take it back with kubectl annotate retraining %s -n %s %s-",
			name, oneLine(before), r.Name, r.Namespace, meta.ReconcileRequestAnnotation)
	}
	return nil
}

// unanswered says that the request stands, and what is known of why it is not carried out.
func (r *asking) unanswered(o client.Object, run string) error {
	key := client.ObjectKeyFromObject(o)
	if _, err := fmt.Fprintf(r.out, "It has not begun within %s, and the request stands: %s\n", r.timeout, oneLine(messageCell(o, time.Time{}))); err != nil || !r.wait {
		return err
	}
	return fmt.Errorf("Retraining %s: run %s has not begun within %s: see whether another run goes on (sluice retrain runs %s -n %s), and whether the agent runs (kubectl get pods -n sluice-system)",
		key, run, r.timeout, key.Name, key.Namespace)
}

// follow prints each phase of a run until it has ended.
func (r *asking) follow(ctx context.Context, run *v1alpha1.RetrainingRun) error {
	for {
		if err := r.say(run); err != nil {
			return err
		}
		phase, message := phaseOf(run), runMessage(run)
		if phase.Ended() {
			return ended(phase)
		}
		o, err := await(ctx, r.client, kindOf(v1alpha1.RetrainingRunKind), run, func(o client.Object) bool {
			now := o.(*v1alpha1.RetrainingRun)
			return phaseOf(now) != phase || runMessage(now) != message
		})
		if err != nil {
			return err
		}
		run = o.(*v1alpha1.RetrainingRun)
		if ctx.Err() != nil && !phaseOf(run).Ended() {
			return fmt.Errorf("RetrainingRun %s has not ended within %s; it goes on", client.ObjectKeyFromObject(run), r.timeout)
		}
	}
}

// say prints how far a run is.
func (r *asking) say(run *v1alpha1.RetrainingRun) error {
	_, err := fmt.Fprintf(r.out, "RetrainingRun %s is %s: %s\n", client.ObjectKeyFromObject(run), phaseOf(run), oneLine(runMessage(run)))
	return err
}

// ended is the exit code for the end of a run.
func ended(phase v1alpha1.RunPhase) error {
	if phase == v1alpha1.RunSucceeded {
		return nil
	}
	return exitCode(negative)
}
