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
	"github.com/spf13/pflag"
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

// Exit codes, like those of diff: 0 for yes (nothing to change, Ready, valid), negative for no,
// failed for trouble.
const (
	negative = 1
	failed   = 2
)

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "GitOps for Kubeflow",
		Long:          "Sluice keeps a cluster as Git says: Kustomize overlays, models and pipelines.",
		Version:       version(), // for --version; the verb says more
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(
		&cobra.Group{ID: "see", Title: "See what is and what would be:"},
		&cobra.Group{ID: "act", Title: "Act:"},
		&cobra.Group{ID: "files", Title: "Work on files, without a cluster:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"see":   {newPlanCommand(), newGetCommand(), newTreeCommand(), newHistoryCommand(), newWhyCommand()},
		"act":   {newSyncCommand(), newPromoteCommand(), newRollbackCommand(), newRetrainCommand(), newSuspendCommand(), newResumeCommand(), newAgentCommand()},
		"files": {newRenderCommand(), newValidateCommand(), newModelCommand()},
		"":      {newVersionCommand(), newOptionsCommand(), newRenderWorkerCommand()},
	} {
		for _, cmd := range commands {
			cmd.GroupID = group
			cmd.DisableFlagsInUseLine = true
		}
		root.AddCommand(commands...)
	}
	return root
}

// usage checks arguments, and says in the words of the command what is missing.
func usage(check cobra.PositionalArgs, hint string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil {
			return fmt.Errorf("%s (see %s --help)", hint, cmd.CommandPath())
		}
		return nil
	}
}

// newOptionsCommand lists the flags that help texts leave out.
func newOptionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "List the flags of all commands that reach a cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			probe := &cobra.Command{}
			reach(probe)
			probe.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = false })
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "These flags can be given to every command that reaches a cluster:\n\n%s", probe.Flags().FlagUsages())
			return err
		},
	}
}
