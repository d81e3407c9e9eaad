package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newModelHistoryCommand() *cobra.Command {
	var stage, output string
	cmd := &cobra.Command{
		Use:   "history MODEL",
		Short: "Show the promotions of a Model and what became of them",
		Long:  `Show the promotions of a Model, newest first: when, which version to which stage, how it ended and how long it took.`,
		Example: `  # What came to production lately
  sluice model history fraud --stage production`,
		Args: usage(cobra.ExactArgs(1), "name one Model: sluice model history MODEL"),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "Only this stage.")
	outputFlag(cmd, &output, "wide", "yaml", "json")
	a := reach(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, m, err := a.model(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := hasStage(m, stage); err != nil {
			return err
		}
		var list v1alpha1.PromotionList
		if err := c.List(cmd.Context(), &list, client.InNamespace(m.Namespace), client.MatchingLabels{v1alpha1.ModelLabel: m.Name}); err != nil {
			return explain(err, v1alpha1.PromotionKind, client.ObjectKey{})
		}
		all := slices.DeleteFunc(list.Items, func(p v1alpha1.Promotion) bool { return stage != "" && p.Spec.Stage != stage })
		slices.SortStableFunc(all, func(a, b v1alpha1.Promotion) int {
			return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Spec.Number, a.Spec.Number))
		})
		out := cmd.OutOrStdout()
		if output == "yaml" || output == "json" {
			for n := range all {
				dress(kindOf(v1alpha1.PromotionKind), &all[n])
			}
			return encode(out, output, append([]v1alpha1.Promotion{}, all...))
		}
		if len(all) == 0 {
			_, err := fmt.Fprintf(out, "Model %s has no promotions yet: %s\n", m.Name, oneLine(messageCell(m, time.Time{})))
			return err
		}
		rows := [][]string{{"TIME", "STAGE", "FROM", "VERSION", "RESULT", "TOOK", "REVISION", "MESSAGE"}}
		for _, p := range all {
			took := "-"
			if p.Status.EndedAt != nil {
				took = p.Status.EndedAt.Sub(p.CreationTimestamp.Time).Round(time.Second).String()
			}
			revision := agent.Short(p.Spec.Revision)
			if output == "wide" {
				revision = p.Spec.Revision
			}
			rows = append(rows, []string{p.CreationTimestamp.UTC().Format("2006-01-02 15:04:05Z"), p.Spec.Stage, cmp.Or(p.Spec.From, "-"), p.Spec.Version,
				string(p.Status.Phase), took, cmp.Or(revision, "-"), oneLine(p.Status.Message)})
		}
		return (&table{out: out, color: colorful(out)}).rows(rows)
	}
	return cmd
}
