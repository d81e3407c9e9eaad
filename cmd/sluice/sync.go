package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// syncing is one call of `sluice sync`.
type syncing struct {
	wait       bool
	withSource bool
	timeout    time.Duration
	out        io.Writer
	client     client.WithWatch
}

func newSyncCommand() *cobra.Command {
	var s syncing
	cmd := &cobra.Command{
		Use:   "sync overlay|repository|model|modelversion|pipeline NAME",
		Short: "Have an Overlay, a Repository or another object reconciled now",
		Long: `Have a Repository looked at, or an Overlay reconciled, now instead of at its next turn; or
a Model, the artifact of a ModelVersion, or whether a Pipeline is where it should be. A Retraining
is not synced: to ask it for something is to ask for a run, with sluice retrain run.

With --wait, wait until the agent has answered and say what it came to. The exit code is 0 if
it is Ready, 1 if it is not, and 2 if that could not be found out.`,
		Example: `  # Fetch a commit that was just pushed, and see it through
  sluice sync overlay kubeflow --with-source --wait

  # Look at the remote now
  sluice sync repository platform`,
		Args: usage(cobra.ExactArgs(2), "say what to sync: sluice sync overlay NAME, or sluice sync repository NAME"),
	}
	cmd.Flags().BoolVar(&s.wait, "wait", false, "Wait for the answer.")
	cmd.Flags().BoolVar(&s.withSource, "with-source", false, "Have the Overlay's Repository fetched first, and wait for that.")
	cmd.Flags().DurationVar(&s.timeout, "timeout", 5*time.Minute, "How long to wait.")
	a := reach(cmd)
	cmd.ValidArgsFunction = a.completeKindAndName(func(k kind) bool { return k.syncs })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, err := parseKind(args[0])
		if err != nil {
			return err
		}
		if err := syncs(k, args[1]); err != nil {
			return err
		}
		if s.withSource && k.name != v1alpha1.OverlayKind {
			return errors.New("--with-source is for Overlays: a Repository is a source itself")
		}
		c, key, err := a.named(args[1])
		if err != nil {
			return err
		}
		s.client, s.out = c, cmd.OutOrStdout()
		ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
		defer cancel()
		return s.run(ctx, k, key)
	}
	return cmd
}

// syncs refuses the kinds that no request to reconcile is for.
func syncs(k kind, name string) error {
	switch {
	case k.syncs:
		return nil
	case k.name == v1alpha1.RetrainingKind:
		return fmt.Errorf("to ask a Retraining for something is to ask for a run: sluice retrain run %s", name)
	}
	return fmt.Errorf("a %s is a record that the agent writes: there is nothing to sync", k.name)
}

func (s *syncing) run(ctx context.Context, k kind, key types.NamespacedName) error {
	o := k.object()
	if err := s.client.Get(ctx, key, o); err != nil {
		return explain(err, k.name, key)
	}
	if s.withSource {
		if err := s.one(ctx, kindOf(v1alpha1.RepositoryKind), o.(*v1alpha1.Overlay).RepositoryName(), true); err != nil {
			return err
		}
	}
	return s.one(ctx, k, key, s.wait)
}

// one asks for one object, and waits for the answer if that is wanted.
func (s *syncing) one(ctx context.Context, k kind, key types.NamespacedName, wait bool) error {
	o := k.object()
	if err := s.client.Get(ctx, key, o); err != nil {
		return explain(err, k.name, key)
	}
	if suspended(o) {
		return fmt.Errorf("%s %s is suspended: sluice resume %s %s -n %s", k.name, key, k.aliases[0], key.Name, key.Namespace)
	}
	token := time.Now().Format(time.RFC3339Nano)
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]any{meta.ReconcileRequestAnnotation: token}}}
	if err := merge(ctx, s.client, o, patch); err != nil {
		return explain(err, k.name, key)
	}
	if !wait {
		_, err := fmt.Fprintf(s.out, "%s %s: sync requested\n", k.name, key)
		return err
	}
	answered, err := await(ctx, s.client, k, o, func(o client.Object) bool { return settled(o, token) })
	if err != nil {
		return err
	}
	return s.verdict(k, answered, token)
}

// await watches an object until it is as it is waited for, or the time is up, and returns it as it
// was last seen.
func await(ctx context.Context, c client.WithWatch, k kind, o client.Object, done func(client.Object) bool) (client.Object, error) {
	for !done(o) && ctx.Err() == nil {
		stream, err := c.Watch(ctx, k.list(), &client.ListOptions{
			Namespace: o.GetNamespace(), FieldSelector: fields.OneTermEqualSelector("metadata.name", o.GetName()),
			Raw: &metav1.ListOptions{ResourceVersion: o.GetResourceVersion()},
		})
		if err != nil && ctx.Err() == nil {
			return nil, explain(err, k.name, client.ObjectKeyFromObject(o))
		}
		if err != nil {
			break
		}
		o, err = latest(stream, o, done)
		stream.Stop()
		if err != nil {
			return nil, err
		}
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return nil, errors.New("interrupted; the request stands")
	}
	return o, nil
}

// latest reads a watch until the object is as it is waited for, or the watch ends.
func latest(stream watch.Interface, o client.Object, done func(client.Object) bool) (client.Object, error) {
	for event := range stream.ResultChan() {
		now, ok := event.Object.(client.Object)
		switch {
		case !ok:
			o.SetResourceVersion("") // it is too old; the next watch begins with what is there
			return o, nil
		case event.Type == watch.Deleted:
			return nil, fmt.Errorf("%s was deleted meanwhile", client.ObjectKeyFromObject(o))
		}
		if o = now; done(o) {
			return o, nil
		}
	}
	return o, nil
}

// settled tells whether the agent has answered a request and knows how it ended.
func settled(o client.Object, token string) bool {
	ready := readyOf(o)
	return handled(o) == token && ready != nil && ready.Status != metav1.ConditionUnknown && ready.ObservedGeneration == o.GetGeneration()
}

func handled(o client.Object) string {
	switch o := o.(type) {
	case *v1alpha1.Overlay:
		return o.Status.LastHandledReconcileAt
	case *v1alpha1.Repository:
		return o.Status.LastHandledReconcileAt
	case *v1alpha1.Model:
		return o.Status.LastHandledReconcileAt
	case *v1alpha1.ModelVersion:
		return o.Status.LastHandledReconcileAt
	case *v1alpha1.Pipeline:
		return o.Status.LastHandledReconcileAt
	case *v1alpha1.Retraining:
		return o.Status.LastHandledReconcileAt
	}
	return ""
}

// verdict says how it ended.
func (s *syncing) verdict(k kind, o client.Object, token string) error {
	ready := readyOf(o)
	name := k.name + " " + client.ObjectKeyFromObject(o).String()
	switch {
	case handled(o) != token:
		return fmt.Errorf("%s: no answer within %s: see whether the agent runs (kubectl get pods -n sluice-system)", name, s.timeout)
	case settled(o, token) && ready.Status == metav1.ConditionTrue:
		_, err := fmt.Fprintf(s.out, "%s is Ready: %s\n", name, oneLine(ready.Message))
		return err
	case settled(o, token):
		fmt.Fprintf(s.out, "%s is not Ready (%s): %s\n", name, ready.Reason, oneLine(ready.Message))
	default:
		fmt.Fprintf(s.out, "%s is not Ready within %s: %s\n", name, s.timeout, oneLine(messageCell(o, time.Time{})))
	}
	return exitCode(negative)
}
