package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newRetrainRunsCommand() *cobra.Command {
	var g getting
	cmd := &cobra.Command{
		Use:   "runs RETRAINING",
		Short: "Show the runs of a Retraining and what became of them",
		Long: `Show the runs of a Retraining, newest first: the slot they were for, what started them, how
far they came, which version they made and how long they took. With -o wide, each attempt has a
line. With --watch, go on and print a line for every change.`,
		Example: `  # How did the last ones end?
  sluice retrain runs fraud-weekly

  # Which attempt failed at which step?
  sluice retrain runs fraud-weekly -o wide`,
		Args: usage(cobra.ExactArgs(1), "name one Retraining: sluice retrain runs RETRAINING"),
	}
	cmd.Flags().BoolVarP(&g.watch, "watch", "w", false, "After listing, print a line for every change.")
	outputFlag(cmd, &g.output, "wide", "yaml", "json", "name")
	g.access = reach(cmd)
	cmd.ValidArgsFunction = g.access.completeName(v1alpha1.RetrainingKind)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, r, err := g.access.retraining(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		g.out, g.of, g.kind = cmd.OutOrStdout(), r.Name, kindOf(v1alpha1.RetrainingRunKind)
		g.empty = fmt.Sprintf("Retraining %s has no runs yet: %s", r.Name, oneLine(retrainingMessage(r, time.Time{})))
		g.kind.columns = runColumns(g.kind.columns)
		if g.output == "wide" {
			g.kind.parts = attemptsOf
		}
		return g.run(cmd.Context())
	}
	return cmd
}

// runColumns are the columns of runs of one Retraining, with those of their attempts.
func runColumns(columns []column) []column {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool { return c.title == "RETRAINING" || c.title == "ATTEMPTS" })
	return slices.Insert(columns, slices.IndexFunc(columns, func(c column) bool { return c.title == "URL" }),
		column{title: "ATTEMPT", wide: true, cell: runCell(func(r *v1alpha1.RetrainingRun) string {
			if a := newestAttempt(r); a.Number > 0 {
				return fmt.Sprintf("%d %s", a.Number, cmp.Or(a.Phase, v1alpha1.RunPending))
			}
			return "-"
		})},
		column{title: "TOOK", wide: true, restless: true, cell: func(o client.Object, now time.Time) string {
			a := newestAttempt(o.(*v1alpha1.RetrainingRun))
			return took(a.StartedAt, a.EndedAt, now)
		}})
}

// attemptsOf takes a run apart into its attempts, each with what is said of it.
func attemptsOf(o client.Object) []client.Object {
	r := o.(*v1alpha1.RetrainingRun)
	if len(r.Status.Attempts) == 0 {
		return []client.Object{r}
	}
	var parts []client.Object
	for _, a := range r.Status.Attempts {
		part := *r
		part.Status.Attempts = []v1alpha1.RunAttempt{a}
		if message := attemptMessage(a); message != "" {
			part.Status.Message = message
		}
		parts = append(parts, &part)
	}
	return parts
}

// attemptMessage is what an engine says of an attempt.
func attemptMessage(a v1alpha1.RunAttempt) string {
	if a.Step == "" {
		return a.Message
	}
	return fmt.Sprintf("step %s: %s", a.Step, a.Message)
}
