package main

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
)

func newHistoryCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "history OVERLAY",
		Short: "Show the last revisions of an Overlay and what became of them",
		Long: `Show the last five results of an Overlay, newest first: when, which revision, how it
ended, and the digest of what was rendered. Two revisions with the same digest asked for the
same objects.`,
		Example: `  # What was applied lately
  sluice history kubeflow

  # With whole revisions and digests
  sluice history kubeflow -o wide

  # Go back to one of them
  sluice rollback kubeflow --to main@4f2a9c1`,
		Args: usage(cobra.ExactArgs(1), "name one Overlay: sluice history OVERLAY"),
	}
	outputFlag(cmd, &output, "wide", "yaml", "json")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeOverlay
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, o, err := a.overlay(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if output == "yaml" || output == "json" {
			return encode(out, output, append([]v1alpha1.HistoryEntry{}, o.Status.History...))
		}
		if len(o.Status.History) == 0 {
			_, err := fmt.Fprintf(out, "Overlay %s has no history yet: %s\n", o.Name, oneLine(messageCell(o, o.CreationTimestamp.Time)))
			return err
		}
		rows := [][]string{{"TIME", "REVISION", "RESULT", "DIGEST"}}
		for _, h := range o.Status.History {
			revision, digest := agent.Short(h.Revision), shortDigest(h.Digest)
			if output == "wide" {
				revision, digest = h.Revision, h.Digest
			}
			rows = append(rows, []string{h.Time.UTC().Format("2006-01-02 15:04:05Z"), revision, h.Result, digest})
		}
		return (&table{out: out, color: colorful(out)}).rows(rows)
	}
	return cmd
}

func shortDigest(digest string) string { return digest[:min(len(digest), 12)] }
