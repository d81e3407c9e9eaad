package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/validate"
	"github.com/spf13/cobra"
)

func newValidateCommand() *cobra.Command {
	renders, limits := 2, render.DefaultLimits()
	cmd := &cobra.Command{
		Use:   "validate [PATH...]",
		Short: "Check a repository before it is pushed, without a cluster",
		Long: `Check what is below a path, for a repository's own CI: find the kustomizations that no
other one uses and the Overlays and Repositories that are declared, render each as the agent
would, and check

- that everything renders, with no object twice, in one Overlay or in two. A path with manifests
  and nothing else below it stands for all of them, as it does for an Overlay;
- objects of Kubernetes for fields and types that it does not know;
- custom resources against the CRDs that are rendered, and Sluice's own kinds;
- that every repositoryRef and dependsOn leads somewhere and none goes in a circle. References
  to Repositories are checked where at least one is declared.

Paths in an Overlay are relative to the root of the Git repository that PATH is in, or to PATH
if it is in none. The CEL rules of CRDs are left to the API server.

Variables that come from ConfigMaps and Secrets of the cluster are not known here: they stay as
they are, and objects that hold them are not checked against schemas. Overlays are compared
when they are declared by the same kustomization or in the same directory, for others may be
meant for another cluster.

Findings are printed as file:line: message. The exit code is 0 if there are none, 1 if there
are some or nothing was there to check, and 2 if that could not be found out.`,
		Example: `  # Everything
  sluice validate

  # What belongs to one team
  sluice validate teams/ml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			pool, err := newPool(agentFlags{renders: renders, limits: limits})
			if err != nil {
				return err
			}
			defer pool.Close()
			return validateAll(cmd.Context(), cmd.OutOrStdout(), pool, renders, args)
		},
	}
	limitFlags(cmd.Flags(), &limits)
	cmd.Flags().IntVar(&renders, "renders", renders, "Renders under way at once; each may take a gigabyte of memory.")
	return cmd
}

// validateAll checks paths one by one and prints what was found.
func validateAll(ctx context.Context, out io.Writer, pool *render.Pool, parallel int, paths []string) error {
	printed := map[string]bool{}
	var total validate.Report
	for _, name := range paths {
		at, err := locate(name)
		if err != nil {
			return err
		}
		report, err := validateOne(ctx, at, pool, parallel)
		if err != nil {
			return err
		}
		total.Kustomizations += report.Kustomizations
		total.Overlays += report.Overlays
		total.Objects += report.Objects
		total.Declared += report.Declared
		for _, f := range report.Findings {
			line := fmt.Sprintf("%s:%d: %s", oneLine(fromHere(at, f.File)), f.Line, oneLine(f.Message))
			if printed[line] {
				continue // another path has it too
			}
			printed[line] = true
			if _, err := fmt.Fprintln(out, line); err != nil {
				return err
			}
		}
	}
	if len(printed) > 0 {
		return exitCode(negative)
	}
	if total.Objects == 0 && total.Declared == 0 {
		// A misspelled path in a pipeline must not pass.
		if _, err := fmt.Fprintf(out, "There is nothing to check below %s: no kustomization that makes objects, no manifest, and no Overlay or Repository.\n", strings.Join(paths, ", ")); err != nil {
			return err
		}
		return exitCode(negative)
	}
	_, err := fmt.Fprintf(out, "No findings in %s and %s with %s.\n", count(total.Kustomizations, "kustomization"), count(total.Overlays, "Overlay"), count(total.Objects, "object"))
	return err
}

func validateOne(ctx context.Context, at place, pool *render.Pool, parallel int) (validate.Report, error) {
	tree, err := gitrepo.WorkTree(at.root)
	if err != nil {
		return validate.Report{}, err
	}
	return validate.Repository{
		Tree: tree, Path: at.path, Remotes: at.remotes(), Parallel: parallel,
		Render: func(ctx context.Context, spec render.Spec) (agent.Set, error) {
			return pool.Render(ctx, render.Request{Source: render.Source{Dir: at.root}, Spec: spec})
		},
	}.Check(ctx)
}

// fromHere is the path of a repository's file from where the user is.
func fromHere(at place, file string) string {
	name := filepath.Join(at.root, filepath.FromSlash(file))
	here, err := os.Getwd()
	if err != nil {
		return name
	}
	if here, err = filepath.EvalSymlinks(here); err != nil { // as the root is
		return name
	}
	if relative, err := filepath.Rel(here, name); err == nil {
		return relative
	}
	return name
}
