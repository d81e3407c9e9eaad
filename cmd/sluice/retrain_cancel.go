package main

import (
	"cmp"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
)

// longestReason is what fits into a status with the words around it.
const longestReason = 512

func newRetrainCancelCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel RUN",
		Short: "Cancel a run of a Retraining",
		Long: `Ask the agent to end a run: its engine is told to stop, nothing is tried again, and the result
is not proposed. The record stays, with the reason.`,
		Example: `  # It trains on the wrong data
  sluice retrain cancel fraud-weekly-20261123-0300 --reason "INC-42: the data is bad"`,
		Args: usage(cobra.ExactArgs(1), "name one RetrainingRun: sluice retrain cancel RUN"),
	}
	cmd.Flags().StringVar(&reason, "reason", "it was canceled by hand", "Why, for other people.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeGoing
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case reason == "":
			return errors.New("--reason says nothing: leave it out, or say why")
		case utf8.RuneCountInString(reason) > longestReason:
			return fmt.Errorf("--reason is longer than %d characters: say it shorter, or where to read more", longestReason)
		}
		c, key, err := a.named(args[0])
		if err != nil {
			return err
		}
		var run v1alpha1.RetrainingRun
		if err := c.Get(cmd.Context(), key, &run); err != nil {
			return explain(err, v1alpha1.RetrainingRunKind, key)
		}
		if run.Status.Phase.Ended() {
			return fmt.Errorf("RetrainingRun %s has ended, and is %s: %s", key, run.Status.Phase, oneLine(runMessage(&run)))
		}
		if before := canceling(&run); before != "" {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "RetrainingRun %s is being canceled already: %s\n", key, oneLine(before))
			return err
		}
		patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{v1alpha1.CancelAnnotation: reason}}}
		if err := merge(cmd.Context(), c, &run, patch); err != nil {
			return explain(err, v1alpha1.RetrainingRunKind, key)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "RetrainingRun %s: cancel requested\n", key)
		return err
	}
	return cmd
}

// canceling is why a run is to end; empty if it is not.
func canceling(run *v1alpha1.RetrainingRun) string {
	return cmp.Or(run.Status.Canceling, run.Annotations[v1alpha1.CancelAnnotation])
}
