// Command sluice is GitOps for Kubeflow: the agent that makes a cluster what Git says, and
// the command line that shows what the agent would do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	if code, ok := errors.AsType[exitCode](err); ok {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(failed)
	}
}

// exitCode ends the program with a code and without a message.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Exit codes. Those of `sluice plan` are like those of diff: 0 for no difference, 1 for some.
const (
	differs = 1
	failed  = 2
)

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "GitOps for Kubeflow",
		Long:          "Sluice keeps a cluster as Git says: Kustomize overlays, models and pipelines.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newAgentCommand(), newRenderWorkerCommand(), newVersionCommand())
	return root
}
