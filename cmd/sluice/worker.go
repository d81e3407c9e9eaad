package main

import (
	"os"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/spf13/cobra"
)

// newRenderWorkerCommand is how the program runs itself as a render worker.
func newRenderWorkerCommand() *cobra.Command {
	limits := render.DefaultLimits()
	cmd := &cobra.Command{
		Use:    "render-worker",
		Short:  "Render for the agent: requests on standard input, answers on standard output",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return render.Serve(os.Stdin, os.Stdout, limits, openTree)
		},
	}
	cmd.Flags().Int64Var(&limits.Memory, "render-memory", limits.Memory, "bytes of memory")
	sizeFlags(cmd.Flags(), &limits)
	return cmd
}

// openTree opens the files of a source. The worker closes them.
func openTree(s render.Source) (agent.Tree, error) {
	files, _, err := gitrepo.OpenFiles(s.Dir, s.Commit)
	return files, err
}
