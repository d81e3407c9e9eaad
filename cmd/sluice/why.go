package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newWhyCommand() *cobra.Command {
	var stage string
	cmd := &cobra.Command{
		Use:   "why MODEL",
		Short: "Say why a version of a Model is, or is not, where it should be",
		Long: `Say in one sentence for each stage of a Model which version serves there and why it is that
one, and list what the gates and analyses of the last promotion came to.`,
		Example: `  # Why is v8 not in production?
  sluice why fraud --stage production`,
		Args: usage(cobra.ExactArgs(1), "name one Model: sluice why MODEL"),
	}
	cmd.Flags().StringVar(&stage, "stage", "", "Only this stage.")
	a := reach(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, m, err := a.model(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if err := hasStage(m, stage); err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if len(m.Status.Stages) == 0 {
			_, err := fmt.Fprintf(out, "Model %s: %s\n", m.Name, messageCell(m, time.Time{}))
			return err
		}
		for _, s := range m.Status.Stages {
			if stage != "" && s.Name != stage {
				continue
			}
			if err := because(cmd.Context(), c, m, s, &table{out: out, color: colorful(out)}); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// because prints the sentence of a stage, and what the gates and analyses behind it came to.
func because(ctx context.Context, c client.Client, m *v1alpha1.Model, s v1alpha1.StageStatus, t *table) error {
	if _, err := fmt.Fprintf(t.out, "%s: %s\n", s.Name, s.Message); err != nil {
		return err
	}
	if s.Proposal != nil && s.Proposal.Branch != "" {
		if _, err := fmt.Fprintf(t.out, "  %s is proposed on branch %s\n", s.Proposed, s.Proposal.Branch); err != nil {
			return err
		}
		if err := t.rows(gateRows(s.Proposal.Findings)); err != nil {
			return err
		}
	}
	if s.Promotion == "" {
		return nil
	}
	var p v1alpha1.Promotion
	if err := c.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: s.Promotion}, &p); err != nil {
		return client.IgnoreNotFound(err)
	}
	if p.Status.Proposal != nil && p.Status.Proposal.Branch != "" && !p.Status.Released {
		if _, err := fmt.Fprintf(t.out, "  the revert to %s is proposed on branch %s\n", p.Spec.From, p.Status.Proposal.Branch); err != nil {
			return err
		}
	}
	if p.Status.Phase == v1alpha1.PromotionSucceeded && s.Proposed != "" {
		return nil // what the gates said of the version that serves would be taken for what they say of the next
	}
	rows := gateRows(p.Status.Findings)
	for _, a := range p.Status.Analyses {
		rows = append(rows, []string{"  analysis", a.Name, string(a.Result), a.Message})
	}
	return t.rows(rows)
}

// gateRows are what gates came to.
func gateRows(findings []v1alpha1.Finding) [][]string {
	rows := [][]string{}
	for _, f := range findings {
		name := f.Gate
		if f.Policy != "" {
			name += " (" + f.Policy + ")"
		}
		rows = append(rows, []string{"  gate", name, string(f.Result), f.Message})
	}
	return rows
}

// model reads one Model.
func (a *access) model(ctx context.Context, name string) (client.WithWatch, *v1alpha1.Model, error) {
	c, key, err := a.named(name)
	if err != nil {
		return nil, nil, err
	}
	var m v1alpha1.Model
	if err := c.Get(ctx, key, &m); err != nil {
		return nil, nil, explain(err, v1alpha1.ModelKind, key)
	}
	return c, &m, nil
}

// hasStage refuses a stage that a Model does not have; an empty one is all.
func hasStage(m *v1alpha1.Model, stage string) error {
	if stage == "" || slices.ContainsFunc(m.Spec.Stages, func(s v1alpha1.Stage) bool { return s.Name == stage }) {
		return nil
	}
	var names []string
	for _, s := range m.Spec.Stages {
		names = append(names, s.Name)
	}
	return fmt.Errorf("Model %s has no stage %s: it has %s", m.Name, stage, strings.Join(names, ", "))
}
