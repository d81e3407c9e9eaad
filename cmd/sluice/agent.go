package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/controller"
	"github.com/sluice-dev/sluice/agent/delivery"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/agent/execute"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/measure"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/pull"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/result"
	"github.com/sluice-dev/sluice/agent/retrain"
	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/agent/sync"
	"github.com/sluice-dev/sluice/agent/webhook"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// agentFlags are the flags of `sluice agent`.
type agentFlags struct {
	kubeconfig       string
	dir              string
	namespace        string
	metrics          string
	probes           string
	share            bool
	lease            time.Duration
	allowInsecureGit bool
	noCrossNamespace bool
	defaultAccount   string
	parallel         int
	applyParallel    int
	requestTimeout   time.Duration
	renders          int
	limits           render.Limits
	artifacts        int
	pulls            int
	allowLoopback    bool
	pipelinesURL     string
	workflowsURL     string
	hooks            string
	development      bool
}

func newAgentCommand() *cobra.Command {
	f := agentFlags{limits: render.DefaultLimits()}
	f.limits.Long = 15 * time.Second
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent: keep the cluster as Git says",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runAgent(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "path of a kubeconfig; default: the cluster the agent runs in, or $KUBECONFIG")
	flags.StringVar(&f.dir, "dir", defaultDir(), "directory for mirrors of repositories; may be lost at any time")
	flags.StringVar(&f.namespace, "namespace", podNamespace(), "namespace of the Leases by which replicas share the work; default: $POD_NAMESPACE, or that of the Pod")
	flags.StringVar(&f.metrics, "metrics-address", ":8080", "address of /metrics; 0 for none")
	flags.StringVar(&f.probes, "probe-address", ":8081", "address of /healthz and /readyz; 0 for none")
	flags.StringVar(&f.hooks, "hooks-address", "0", "address for the hooks of forges; 0 for none")
	flags.BoolVar(&f.share, "share", true, "share the work with the other replicas; false: work on everything, for an agent that is the only one")
	flags.DurationVar(&f.lease, "lease-duration", 10*time.Second, "time after which the work of a replica that does not answer is taken over by the others; at least 5s")
	flags.BoolVar(&f.allowInsecureGit, "allow-insecure-git", false, "allow http:// and file:// repositories")
	flags.BoolVar(&f.noCrossNamespace, "no-cross-namespace-refs", false, "refuse references to Repositories and Overlays of other namespaces")
	flags.StringVar(&f.defaultAccount, "default-service-account", "", "ServiceAccount, in the Overlay's namespace, for Overlays that name none; default: the agent's own account")
	flags.IntVar(&f.parallel, "parallel", 32, "Repositories and Overlays worked on at once, of each; most of them wait for a server")
	flags.IntVar(&f.applyParallel, "apply-parallel", 16, "requests of one Overlay under way at once")
	flags.DurationVar(&f.requestTimeout, "request-timeout", time.Minute, "time for one request to the API server")
	flags.IntVar(&f.renders, "renders", 2, "render workers: renders under way at once")
	limitFlags(flags, &f.limits)
	flags.IntVar(&f.pulls, "pull-requests", 8, "pull requests worked on at once; most of them wait for a forge or a render")
	flags.IntVar(&f.artifacts, "artifacts", 2, "artifacts of models read at once")
	flags.BoolVar(&f.allowLoopback, "allow-loopback-checks", false, "let analyses ask servers on the agent's own loopback, and let Kubeflow Pipelines be there; for tests and demos")
	flags.StringVar(&f.pipelinesURL, "pipelines-url", "", "address of the pages of Kubeflow Pipelines, for links to runs, such as https://kubeflow.example.com/_/pipeline; default: no links")
	flags.StringVar(&f.workflowsURL, "workflows-url", "", "address of the pages of Argo Workflows, for links to runs, such as https://argo.example.com; default: no links")
	flags.BoolVar(&f.development, "log-text", false, "log as text for people instead of JSON")
	return cmd
}

// limitFlags gives a command that renders in workers the flags that a message about a limit
// names.
func limitFlags(flags *pflag.FlagSet, limits *render.Limits) {
	flags.Int64Var(&limits.Memory, "render-memory", limits.Memory, "bytes of memory of one render")
	flags.DurationVar(&limits.Time, "render-timeout", limits.Time, "time of one render")
	sizeFlags(flags, limits)
}

// sizeFlags are those of limits that hold without a worker too.
func sizeFlags(flags *pflag.FlagSet, limits *render.Limits) {
	flags.Int64Var(&limits.Output, "render-output", limits.Output, "bytes of JSON that one render may give")
	flags.IntVar(&limits.Objects, "render-objects", limits.Objects, "objects that one render may give")
}

func defaultDir() string { return filepath.Join(os.TempDir(), "sluice") }

// runAgent wires everything and runs until ctx ends.
func runAgent(ctx context.Context, f agentFlags) error {
	logger := zap.New(zap.UseDevMode(f.development))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	restConfig, err := clusterConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	shares, share, err := shareWork(f, restConfig)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                 scheme,
		Metrics:                server.Options{BindAddress: f.metrics},
		HealthProbeBindAddress: f.probes,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(), // nobody reads them
			ByObject:         map[client.Object]cache.ByObject{&v1alpha1.RetrainingRun{}: {Transform: retrain.Trim}},
		},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	if err != nil {
		return fmt.Errorf("cannot set the agent up: %w", err)
	}
	if err := mgr.AddHealthzCheck("alive", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("alive", healthz.Ping); err != nil {
		return err
	}
	if err := installed(mgr.GetRESTMapper()); err != nil {
		return err
	}
	renders, err := newPool(f)
	if err != nil {
		return err
	}
	defer renders.Close()
	if err := wire(ctx, mgr, f, renders, shares); err != nil {
		return err
	}
	if err := listenForHooks(mgr, f, shares, logger); err != nil {
		return err
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return share(ctrl.LoggerInto(ctx, logger)) })); err != nil {
		return err
	}
	logger.Info("agent starts", "version", version())
	return mgr.Start(ctx)
}

// installed tells whether the cluster has all kinds of this release. An agent without one would wait for it in
// vain; so it says so, and one of the release before goes on with the work.
func installed(mapper apimeta.RESTMapper) error {
	for _, kind := range []string{
		v1alpha1.RepositoryKind, v1alpha1.OverlayKind, v1alpha1.ModelKind, v1alpha1.ModelVersionKind, v1alpha1.PromotionKind, v1alpha1.PromotionPolicyKind,
		v1alpha1.RetrainingKind, v1alpha1.RetrainingRunKind, v1alpha1.PipelineKind,
	} {
		_, err := mapper.RESTMapping(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, v1alpha1.GroupVersion.Version)
		if apimeta.IsNoMatchError(err) {
			return fmt.Errorf("the cluster does not know the kind %s of this release: apply its manifests/crds first, or all of manifests/install", kind)
		}
		if err != nil {
			return fmt.Errorf("the cluster does not say whether it knows the kind %s: %w", kind, err)
		}
	}
	return nil
}

// shareWork sets up how this replica comes to its share of the work: shares, and what gives them
// some until its context ends. Restconfig is fenced: it writes only while the shares stand.
func shareWork(f agentFlags, restConfig *rest.Config) (*shard.Shares, func(context.Context) error, error) {
	shares := shard.New()
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_shards",
		Help: fmt.Sprintf("Shards of the work that this replica has, of %d.", shard.Count)}, func() float64 { return float64(shares.Held()) }))
	if !f.share {
		return shares, shares.Alone, nil
	}
	if f.namespace == "" {
		return nil, nil, errors.New("the namespace of the Leases by which replicas share the work is not known: give --namespace, or --share=false if this agent is the only one")
	}
	if f.lease < 5*time.Second {
		return nil, nil, fmt.Errorf("--lease-duration=%s is too short: a busy API server takes seconds to answer; give at least 5s", f.lease)
	}
	leases, err := coordination.NewForConfig(restConfig)
	if err != nil {
		return nil, nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	restConfig.Wrap(shares.Fence())
	replica := shard.Replica{Leases: leases.Leases(f.namespace), Host: host, Duration: f.lease}
	return shares, func(ctx context.Context) error { return shares.Share(ctx, replica) }, nil
}

// wire connects the two reconcilers with the pipeline.
func wire(ctx context.Context, mgr ctrl.Manager, f agentFlags, renders *render.Pool, shares *shard.Shares) error {
	//lint:ignore SA1019 the recorder of the new events API takes no annotations, which Flux-style metadata is
	events := record.Events{Recorder: mgr.GetEventRecorderFor("sluice")}
	measures := record.NewMetrics(metrics.Registry)
	overlays := &controller.Overlays{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Shares: shares, Events: events, Metrics: measures, NoCrossNamespace: f.noCrossNamespace}
	models := &controller.Models{Client: mgr.GetClient(), Shares: shares, Events: events, Metrics: measures}
	retrainings := &controller.Retrainings{Client: mgr.GetClient(), Shares: shares, Events: events, Metrics: measures}
	deliveries := &controller.Pipelines{Client: mgr.GetClient(), Shares: shares, Events: events, Metrics: measures}
	target, err := cluster.New(mgr.GetConfig(), func(o agent.Owner) {
		switch o.Kind {
		case agent.ModelOwner:
			models.Notify(o)
		case agent.RetrainingOwner:
			retrainings.Notify(o)
		case agent.PipelineOwner:
			deliveries.Notify(o)
		default:
			overlays.Notify(o)
		}
	})
	if err != nil {
		return err
	}
	program, err := identity()
	if err != nil {
		return err
	}
	inventories := &record.Inventories{Reader: mgr.GetAPIReader(), Writer: mgr.GetClient()}
	syncer := &sync.Syncer{
		Cluster:        target,
		Inventories:    inventories,
		Renders:        renders,
		Keep:           sync.Keep{Dir: filepath.Join(f.dir, "renders"), Program: program},
		Metrics:        measures,
		Limits:         execute.Limits{Parallel: f.applyParallel, Request: f.requestTimeout},
		DefaultAccount: f.defaultAccount,
	}
	repositories := &controller.Repositories{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Shares: shares, Events: events, Metrics: measures, Syncer: syncer,
		Dir: filepath.Join(f.dir, "repositories"), AllowInsecure: f.allowInsecureGit,
	}
	syncer.Elsewhere = overlays
	overlays.Syncer, overlays.Repositories = syncer, repositories
	forges := &forge.Forges{Live: mgr.GetAPIReader(), AllowInsecure: f.allowInsecureGit}
	desk := &pull.Desk{
		Client: mgr.GetClient(), Forges: forges, Events: events, Shares: shares, Repositories: repositories,
		Fetcher: &pull.Fetcher{Live: mgr.GetAPIReader(), Dir: filepath.Join(f.dir, "pulls"), AllowInsecure: f.allowInsecureGit},
		Planner: pull.Planner{Syncer: syncer, Reader: mgr.GetClient(), Account: syncer.AccountOf},
	}
	repositories.PullRequests = desk.Says
	repositories.Moved = func(name types.NamespacedName) {
		overlays.RepositoryMoved(name)
		desk.RepositoryMoved(name)
	}
	shares.Add(repositories)
	shares.Add(overlays)
	if err := controller.Setup(ctx, mgr, repositories, overlays, f.parallel); err != nil {
		return err
	}

	versions := &controller.ModelVersions{Client: mgr.GetClient(), Events: events, Shares: shares, Artifacts: &promotion.Artifacts{
		Inspector: artifact.NewInspector(artifact.DefaultLimits()), Live: mgr.GetAPIReader(), Parallel: f.artifacts,
	}}
	versions.Artifacts.Looked = func(v *v1alpha1.ModelVersion) {
		versions.Looked(v)
		models.Wake(controller.ModelOf(v))
	}
	git := &controller.Git{
		Repositories: repositories, Author: gitrepo.Author{Name: "Sluice", Email: "sluice@" + v1alpha1.GroupVersion.Group},
		Forges: forges, Read: models.Wake, NoCrossNamespace: f.noCrossNamespace,
	}
	models.Promoter = &promotion.Promoter{
		Cluster:     target,
		Inventories: inventories,
		Promotions:  &record.Promotions{Cache: mgr.GetClient(), Index: promotion.ByModel, Live: mgr.GetAPIReader(), Client: mgr.GetClient()},
		Cache:       mgr.GetClient(), Live: mgr.GetAPIReader(),
		Artifacts: versions.Artifacts,
		Samples:   &promotion.Samples{Meter: &measure.Meter{AllowLoopback: f.allowLoopback}, Taken: models.Wake},
		Proposals: &promotion.Proposals{Git: git, Made: models.Wake},
		Git:       git,
		Limits:    syncer.Limits, DefaultAccount: f.defaultAccount, Namespace: f.namespace,
	}
	shares.Add(models)
	if err := controller.SetupModels(ctx, mgr, models, versions, f.parallel); err != nil {
		return err
	}
	shares.Add(desk)
	if err := desk.Setup(ctx, mgr, f.pulls); err != nil {
		return err
	}
	servers, err := newServers(mgr, f)
	if err != nil {
		return err
	}
	if err := wirePipelines(mgr, f, deliveries, target, servers); err != nil {
		return err
	}
	return wireRetrainings(ctx, mgr, f, retrainings, models.Promoter, git, servers)
}

// newServers are the servers of Kubeflow Pipelines, which Pipelines are brought to and Retrainings run on.
func newServers(mgr ctrl.Manager, f agentFlags) (*pipelines.Servers, error) {
	accounts, err := corev1client.NewForConfig(mgr.GetConfig())
	if err != nil {
		return nil, err
	}
	return &pipelines.Servers{Transport: kfp.NewTransport(f.allowLoopback), Tokens: &pipelines.Tokens{Accounts: accounts}, UI: f.pipelinesURL}, nil
}

// wirePipelines connects the reconciler of Pipelines with what delivers them.
func wirePipelines(mgr ctrl.Manager, f agentFlags, deliveries *controller.Pipelines, target *cluster.Cluster, servers *pipelines.Servers) error {
	deliveries.Deliverer = &delivery.Deliverer{
		Cluster: target, Servers: servers, Cache: mgr.GetClient(), DefaultAccount: f.defaultAccount, Done: deliveries.Wake,
	}
	deliveries.Shares.Add(deliveries)
	return controller.SetupPipelines(mgr, deliveries, f.parallel)
}

// wireRetrainings connects the reconciler of Retrainings with its pipeline. It looks at artifacts and measures with
// what promotions have for that.
func wireRetrainings(ctx context.Context, mgr ctrl.Manager, f agentFlags, retrainings *controller.Retrainings, promoter *promotion.Promoter, git *controller.Git, servers *pipelines.Servers) error {
	data := artifact.DefaultLimits() // of what is only listed
	data.Files = 100_000
	retrainings.Trainer = &retrain.Trainer{
		Cluster: promoter.Cluster,
		Runs:    &record.Runs{Cache: mgr.GetClient(), Index: retrain.ByRetraining, Live: mgr.GetAPIReader(), Client: mgr.GetClient()},
		Client:  mgr.GetClient(), Cache: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Pipelines: func(a cluster.Account) engine.Engine { return pipelines.Engine{Servers: servers, Account: a} }, WorkflowsURL: f.workflowsURL,
		Results:   result.Reader{Inspector: promoter.Artifacts.Inspector, Live: mgr.GetAPIReader()},
		Inspector: artifact.NewInspector(data), Meter: promoter.Samples.Meter,
		Git: git, DefaultAccount: f.defaultAccount, Wake: retrainings.Wake, Conditions: retrainings.Conditions,
	}
	retrainings.Shares.Add(retrainings)
	return controller.SetupRetrainings(ctx, mgr, retrainings, f.parallel)
}

// listenForHooks serves the hooks of forges, if there is an address for them.
func listenForHooks(mgr ctrl.Manager, f agentFlags, shares *shard.Shares, logger logr.Logger) error {
	if f.hooks == "0" || f.hooks == "" {
		return nil
	}
	//lint:ignore SA1019 as in wire
	events := record.Events{Recorder: mgr.GetEventRecorderFor("sluice")}
	receivers := &webhook.Receivers{Mailbox: webhook.NewMailbox(), Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: events, Shares: shares}
	if err := receivers.Setup(mgr); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.hooks)
	if err != nil {
		return fmt.Errorf("--hooks-address: %w", err)
	}
	server := webhook.Server{Handler: webhook.New(receivers, metrics.Registry, logger), Limits: webhook.DefaultLimits(), Log: logger}
	for _, run := range []manager.RunnableFunc{
		func(ctx context.Context) error { return server.Run(ctx, listener) },
		func(ctx context.Context) error { return receivers.Deliver(ctrl.LoggerInto(ctx, logger)) },
	} {
		if err := mgr.Add(run); err != nil {
			return err
		}
	}
	return nil
}

// podNamespace is the namespace that the agent runs in; empty outside of a cluster.
func podNamespace() string {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	namespace, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(namespace))
}

// clusterConfig finds the cluster. The client holds nothing back: the API server's priority
// and fairness does that better.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
			return nil, err
		}
	}
	c, err := config.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster: run in one, or give --kubeconfig or $KUBECONFIG: %w", err)
	}
	c.QPS, c.Burst = -1, 0
	c.UserAgent = "sluice/" + version()
	return c, nil
}

// identity tells this program from others of the same version, as developers have them.
func identity() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	info, err := os.Stat(self)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %s", version(), info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano)), nil
}

// newPool starts render workers as processes of this same program.
func newPool(f agentFlags) (*render.Pool, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program's own file, which render workers run: %w", err)
	}
	return render.NewPool([]string{self, "render-worker",
		fmt.Sprintf("--render-memory=%d", f.limits.Memory),
		fmt.Sprintf("--render-output=%d", f.limits.Output),
		fmt.Sprintf("--render-objects=%d", f.limits.Objects),
	}, f.renders, f.limits), nil
}
