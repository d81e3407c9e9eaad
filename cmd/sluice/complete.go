package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// completionPatience is how long a shell waits for names from the cluster.
const completionPatience = 3 * time.Second

// completeKindAndName completes one of some kinds, then names of objects of it.
func (a *access) completeKindAndName(of func(kind) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			var words []string
			for _, k := range kinds {
				if of(k) {
					words = append(words, k.plural, k.aliases[0])
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		k, err := parseKind(args[0])
		if err != nil || !of(k) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := slices.DeleteFunc(a.names(cmd.Context(), k.list()), func(name string) bool { return slices.Contains(args[1:], name) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeListed completes what can be listed, then names.
func (a *access) completeListed(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	complete := a.completeKindAndName(func(kind) bool { return true })
	if len(args) > 0 {
		if k, err := parseListed(args[0]); err == nil {
			args = append([]string{kindOf(k.name).plural}, args[1:]...) // pull requests go by their Repository
		}
		return complete(cmd, args, word)
	}
	words, directive := complete(cmd, args, word)
	return append(words, pullRequests.plural, pullRequests.aliases[0]), directive
}

// completeOverlay completes the name of an Overlay.
func (a *access) completeOverlay(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.completeName(v1alpha1.OverlayKind)(cmd, args, word)
}

// completeName completes the name of one object, of any of some kinds.
func (a *access) completeName(of ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, name := range of {
			if len(args) == 0 {
				names = append(names, a.names(cmd.Context(), kindOf(name).list())...)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeRepository completes the name of a Repository.
func (a *access) completeRepository(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd.Context(), &v1alpha1.RepositoryList{}), cobra.ShellCompDirectiveNoFileComp
}

// completeOverlayOrPath completes the name of an Overlay, or a path.
func (a *access) completeOverlayOrPath(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.names(cmd.Context(), kinds[0].list()), cobra.ShellCompDirectiveDefault
}

// completeHistory completes a revision out of the history of the Overlay that is named.
func (a *access) completeHistory(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	_, o, err := a.overlay(ctx, args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var revisions []string
	for _, h := range o.Status.History {
		revisions = append(revisions, agent.Short(h.Revision)+"\t"+h.Result)
	}
	return revisions, cobra.ShellCompDirectiveNoFileComp
}

func (a *access) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	a.overrides.Context.Namespace = "" // what is being typed is not a choice yet
	return a.cluster(cmd.Context(), &corev1.NamespaceList{}, ""), cobra.ShellCompDirectiveNoFileComp
}

func (a *access) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	config, err := a.rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

// names lists the names of objects in the namespace that is asked for.
func (a *access) names(ctx context.Context, list client.ObjectList) []string {
	namespace, err := a.namespace()
	if err != nil {
		return nil
	}
	return a.cluster(ctx, list, namespace)
}

// cluster asks the cluster for names. A shell has no use for an error.
func (a *access) cluster(ctx context.Context, list client.ObjectList, namespace string) []string {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	c, err := a.client()
	if err != nil || c.List(ctx, list, client.InNamespace(namespace)) != nil {
		return nil
	}
	objects, err := objectsOf(list)
	if err != nil {
		return nil
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetName())
	}
	return names
}

// completeGoing completes the name of a RetrainingRun that goes on.
func (a *access) completeGoing(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var list v1alpha1.RetrainingRunList
	var names []string
	if len(args) == 0 {
		a.names(cmd.Context(), &list)
	}
	for _, run := range list.Items {
		if !run.Status.Phase.Ended() {
			names = append(names, run.Name+"\t"+string(phaseOf(&run)))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
