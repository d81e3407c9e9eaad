package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// access is the way to a cluster: kubectl's flags, under kubectl's names, read by the code that
// kubectl uses.
type access struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

// everyday are the flags that help texts show; `sluice options` lists the others.
var everyday = map[string]bool{"kubeconfig": true, "context": true, "namespace": true}

// reach gives a command the flags it takes to reach a cluster.
func reach(cmd *cobra.Command) *access {
	a := &access{rules: clientcmd.NewDefaultClientConfigLoadingRules()}
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	flags := cmd.Flags()
	if flags.ShorthandLookup("n") != nil {
		names.ContextOverrideFlags.Namespace.ShortName = "" // the command has more to say with it
	}
	before := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	flags.StringVar(&a.rules.ExplicitPath, "kubeconfig", "", "Path to the kubeconfig file to use for CLI requests.")
	clientcmd.BindOverrideFlags(&a.overrides, flags, names)
	flags.VisitAll(func(f *pflag.Flag) { f.Hidden = !before[f.Name] && !everyday[f.Name] })
	must(cmd.RegisterFlagCompletionFunc("namespace", a.completeNamespaces))
	must(cmd.RegisterFlagCompletionFunc("context", a.completeContexts))
	return a
}

func (a *access) loader() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(a.rules, &a.overrides)
}

// config leads to the cluster, and says who asks.
func (a *access) config() (*rest.Config, error) {
	c, err := a.loader().ClientConfig()
	if err != nil {
		return nil, noCluster(err)
	}
	c.QPS, c.Burst = -1, 0 // the API server holds back better than a client can
	c.UserAgent = "sluice-cli/" + version()
	c.WarningHandler = rest.NoWarnings{}
	klog.SetLogger(klog.Logger{}) // what a library would log comes as an error too, in better words
	return c, nil
}

// namespace is the one that is asked for, or that of the context.
func (a *access) namespace() (string, error) {
	namespace, _, err := a.loader().Namespace()
	return namespace, noCluster(err)
}

// noCluster says what to do where there is no kubeconfig at all.
func noCluster(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("no cluster: set $KUBECONFIG, or give --kubeconfig or --server")
	}
	return err
}

// client reads and writes Sluice's kinds.
func (a *access) client() (client.WithWatch, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return client.NewWithWatch(c, client.Options{Scheme: scheme})
}

// named opens the cluster and resolves a name in the namespace that is asked for.
func (a *access) named(name string) (client.WithWatch, types.NamespacedName, error) {
	namespace, err := a.namespace()
	if err != nil {
		return nil, types.NamespacedName{}, err
	}
	c, err := a.client()
	return c, types.NamespacedName{Namespace: namespace, Name: name}, err
}

// overlay reads one Overlay.
func (a *access) overlay(ctx context.Context, name string) (client.WithWatch, *v1alpha1.Overlay, error) {
	c, key, err := a.named(name)
	if err != nil {
		return nil, nil, err
	}
	var o v1alpha1.Overlay
	if err := c.Get(ctx, key, &o); err != nil {
		return nil, nil, explain(err, v1alpha1.OverlayKind, key)
	}
	return c, &o, nil
}

// explain says what to do about an answer of the API server.
func explain(err error, kind string, name types.NamespacedName) error {
	switch {
	case err == nil:
		return nil
	case meta.IsNoMatchError(err):
		return errors.New("the cluster does not know Sluice's kinds: install Sluice (kubectl apply -k manifests/install), or choose another cluster with --context")
	case apierrors.IsNotFound(err) && name.Name != "":
		return fmt.Errorf("there is no %s %s in namespace %s: see what there is with sluice get %s -A", kind, name.Name, name.Namespace, kindOf(kind).plural)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: ask for the right, or use another user with --context or --as", err)
	}
	if _, network := errors.AsType[net.Error](err); network {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	return err
}

func must(err error) {
	if err != nil {
		panic(err) // a flag was misspelled in the program
	}
}
