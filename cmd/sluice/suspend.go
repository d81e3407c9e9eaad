package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func newSuspendCommand() *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use:   "suspend overlay|repository|model|retraining NAME...",
		Short: "Stop all work on an Overlay, a Repository, a Model or a Retraining",
		Long: `Stop all work on an Overlay (no commits, no correction of drift, no pruning), on a
Repository (no looks at the remote), on a Model, or on a Retraining (no run begins; what runs
goes on). What is in the cluster stays as it is. The note tells others why; sluice get shows it.`,
		Example: `  # Leave the cluster alone while something is looked into
  sluice suspend overlay kubeflow --note "INC-42: investigating the gateway"`,
		Args: usage(cobra.MinimumNArgs(2), "say what to suspend: sluice suspend overlay, repository, model or retraining NAME"),
	}
	cmd.Flags().StringVar(&note, "note", "", "Why, for other people.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeKindAndName(func(k kind) bool { return k.suspends })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.each(cmd.Context(), args, func(ctx context.Context, c client.Client, k kind, o client.Object) error {
			return suspend(ctx, cmd.OutOrStdout(), c, k, o, note)
		})
	}
	return cmd
}

func newResumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume overlay|repository|model|retraining NAME...",
		Short: "Go on with what is suspended",
		Long: `Go on with a suspended Overlay, Repository or Model, at its newest revision, or with a
Retraining: what becomes of the slots that went by meanwhile is what its spec.missed says. The
note is removed.`,
		Example: `  # See what will happen
  sluice plan kubeflow

  # Have it happen
  sluice resume overlay kubeflow`,
		Args: usage(cobra.MinimumNArgs(2), "say what to resume: sluice resume overlay, repository, model or retraining NAME"),
	}
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeKindAndName(func(k kind) bool { return k.suspends })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.each(cmd.Context(), args, func(ctx context.Context, c client.Client, k kind, o client.Object) error {
			return resume(ctx, cmd.OutOrStdout(), c, k, o)
		})
	}
	return cmd
}

// each does something with every object that is named after a kind. One that fails does not
// stop the others.
func (a *access) each(ctx context.Context, args []string, do func(context.Context, client.Client, kind, client.Object) error) error {
	k, err := parseKind(args[0])
	if err != nil {
		return err
	}
	if !k.suspends {
		return fmt.Errorf("a %s has nothing to suspend: Overlays, Repositories, Models and Retrainings have", k.name)
	}
	c, key, err := a.named("")
	if err != nil {
		return err
	}
	var failures []error
	for _, name := range args[1:] {
		key.Name = name
		o := k.object()
		err := c.Get(ctx, key, o)
		if err == nil {
			err = do(ctx, c, k, o)
		}
		failures = append(failures, explain(err, k.name, key))
	}
	return errors.Join(failures...)
}

func suspend(ctx context.Context, out io.Writer, c client.Client, k kind, o client.Object, note string) error {
	did := "suspended"
	if suspended(o) {
		did = "is suspended already"
		if note == "" || note == o.GetAnnotations()[v1alpha1.NoteAnnotation] {
			_, err := fmt.Fprintf(out, "%s %s %s\n", k.name, client.ObjectKeyFromObject(o), did)
			return err
		}
		did += "; its note is changed"
	}
	annotation := map[string]any{}
	if note != "" {
		annotation[v1alpha1.NoteAnnotation] = note
	}
	if err := setSuspend(ctx, c, o, true, annotation); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s %s\n", k.name, client.ObjectKeyFromObject(o), did)
	return err
}

func resume(ctx context.Context, out io.Writer, c client.Client, k kind, o client.Object) error {
	if !suspended(o) {
		_, err := fmt.Fprintf(out, "%s %s is not suspended\n", k.name, client.ObjectKeyFromObject(o))
		return err
	}
	if err := setSuspend(ctx, c, o, false, map[string]any{v1alpha1.NoteAnnotation: nil}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s resumed\n", k.name, client.ObjectKeyFromObject(o))
	return err
}

func setSuspend(ctx context.Context, c client.Client, o client.Object, on bool, annotations map[string]any) error {
	return merge(ctx, c, o, map[string]any{
		"metadata": map[string]any{"annotations": annotations},
		"spec":     map[string]any{"suspend": on},
	})
}

// merge patches an object with a JSON merge patch, under the name of the command line.
func merge(ctx context.Context, c client.Client, o client.Object, patch map[string]any) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return c.Patch(ctx, o, client.RawPatch(types.MergePatchType, text), client.FieldOwner("sluice-cli"))
}
