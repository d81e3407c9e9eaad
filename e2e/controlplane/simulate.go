package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newSimulateCommand stands in for controllers that do not run: it walks custom resources
// through the Stages of the given files. It is a command of its own because kwok wants the
// kinds of its Stages to exist when it starts, and custom ones come after the cluster.
func newSimulateCommand() *cobra.Command {
	var dir, name string
	var stageFiles []string
	var followStdin bool
	command := &cobra.Command{
		Use:   "simulate",
		Short: "walk objects of a running control plane through kwok Stages until stopped",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" || name == "" || len(stageFiles) == 0 {
				return errors.New("--dir, --name and --stages are required")
			}
			l, err := existingLayout(dir)
			if err != nil {
				return err
			}
			paths, err := absolutePaths(stageFiles)
			if err != nil {
				return err
			}
			ctx, stop := untilStopped(followStdin)
			defer stop()

			components := newFamily(l)
			defer components.kill()
			if err := components.start("kwok", "kwok-"+name, simulator(l, paths)); err != nil {
				return err
			}
			return components.attend(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
		},
	}
	command.Flags().StringVar(&dir, "dir", "", "directory of the control plane")
	command.Flags().StringVar(&name, "name", "", "name of the simulation, in those of its log and pid file")
	command.Flags().StringArrayVar(&stageFiles, "stages", nil, "file with kwok Stages; may be repeated")
	registerFollowStdin(command.Flags(), &followStdin)
	return command
}

// simulator returns kwok's flags for Stages of other objects than nodes and pods.
func simulator(l layout, stageFiles []string) []string {
	return []string{
		"--kubeconfig=" + l.pki("kwok.kubeconfig"),
		"--config=" + strings.Join(stageFiles, ","),
		"--manage-all-nodes=false",
		fmt.Sprintf("--manage-nodes-with-annotation-selector=%s=none", fakeNode),
	}
}
