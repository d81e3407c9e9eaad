package kserve

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Options of a stand-in. The zero value is KServe 0.16 in Standard mode, without a gateway.
type Options struct {
	// Canary: InferenceServices have spec.canary, as from 0.20.
	Canary bool
	// Knative Serving is there, and InferenceServices run on it unless they say otherwise.
	Knative bool
	// Gateway: the Gateway API is there, KServe makes HTTPRoutes, and a gateway takes them all.
	Gateway bool
	// Lag is how long nobody looks at what was written. 0 means 100ms.
	Lag time.Duration
	// ReadyAfter is how long pods take to get ready.
	ReadyAfter time.Duration
	// Idle is how long a revision keeps its pods without traffic, and one that may have no pods
	// with it. 0: for ever.
	Idle time.Duration
}

// StandIn plays the controllers.
type StandIn struct {
	options Options
	client  client.Client
	paused  atomic.Bool

	mu         sync.Mutex
	seen       map[string]sighting
	served     map[types.UID]predictor // what InferenceServices had as their main predictor
	complaints []string
	flows      map[types.NamespacedName][]string
}

// sighting is when a generation of an object was seen first.
type sighting struct {
	generation int64
	at         time.Time
}

var (
	serviceKind = schema.GroupVersionKind{Group: "serving.kserve.io", Version: "v1beta1", Kind: "InferenceService"}
	graphKind   = schema.GroupVersionKind{Group: "serving.kserve.io", Version: "v1alpha1", Kind: "InferenceGraph"}
	knativeKind = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Service"}
)

// Start installs the kinds and plays their controllers until the test ends.
func Start(t testing.TB, access *rest.Config, o Options) *StandIn {
	t.Helper()
	if o.Lag == 0 {
		o.Lag = 100 * time.Millisecond
	}
	log.SetLogger(logr.Discard()) // the library complains if nobody does
	c, err := client.New(access, client.Options{Scheme: scheme()})
	if err != nil {
		t.Fatal(err)
	}
	s := &StandIn{options: o, client: c, seen: map[string]sighting{}, served: map[types.UID]predictor{}, flows: map[types.NamespacedName][]string{}}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	if err := s.install(ctx); err != nil {
		t.Fatal(err)
	}
	mgr, err := s.manager(access)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, complaint := range s.Complaints() {
			t.Error(complaint)
		}
	})
	return s
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, gatewayv1.Install} {
		if err := add(s); err != nil {
			panic(err) // these do not fail
		}
	}
	return s
}

// manager has a controller for each kind that is played.
func (s *StandIn) manager(access *rest.Config) (manager.Manager, error) {
	again := true
	mgr, err := manager.New(access, manager.Options{
		Scheme: scheme(), Logger: logr.Discard(), Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: &again},
	})
	if err != nil {
		return nil, err
	}
	type player struct {
		of   client.Object
		owns []client.Object
		play func(context.Context, types.NamespacedName) (time.Duration, error)
	}
	players := []player{
		{objectOf(serviceKind), []client.Object{&appsv1.Deployment{}}, s.playService},
		{objectOf(graphKind), []client.Object{&appsv1.Deployment{}}, s.playGraph},
	}
	if s.options.Knative {
		players[0].owns = append(players[0].owns, objectOf(knativeKind))
		players = append(players, player{objectOf(knativeKind), []client.Object{&appsv1.Deployment{}}, s.playKnative})
	}
	if s.options.Gateway {
		players[0].owns = append(players[0].owns, &gatewayv1.HTTPRoute{})
		players = append(players, player{&gatewayv1.HTTPRoute{}, nil, s.playRoute})
	}
	for _, p := range players {
		b := builder.ControllerManagedBy(mgr).For(p.of)
		for _, owned := range p.owns {
			b = b.Owns(owned)
		}
		if err := b.Complete(s.reconciler(p.play)); err != nil {
			return nil, err
		}
	}
	return mgr, nil
}

// reconciler looks at an object when it or what it owns changes, and again when play says so.
func (s *StandIn) reconciler(play func(context.Context, types.NamespacedName) (time.Duration, error)) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
		if s.paused.Load() {
			return reconcile.Result{RequeueAfter: 20 * time.Millisecond}, nil
		}
		again, err := play(ctx, r.NamespacedName)
		if err != nil { // somebody wrote in between, or something is not there yet
			again = 50 * time.Millisecond
		}
		return reconcile.Result{RequeueAfter: again}, nil
	})
}

// Pause stops all the controllers: what is written from now on is not looked at.
func (s *StandIn) Pause() { s.paused.Store(true) }

// Resume lets them go on.
func (s *StandIn) Resume() { s.paused.Store(false) }

// Complaints are what KServe would not have stood for.
func (s *StandIn) Complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.complaints)
}

func (s *StandIn) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := fmt.Sprintf(format, args...); !slices.Contains(s.complaints, c) {
		s.complaints = append(s.complaints, c)
	}
}

// Flows are the divisions of the traffic of an InferenceService or InferenceGraph over time, as
// artifacts with percents: "s3://models/fraud/v7=90 s3://models/fraud/v8=10".
func (s *StandIn) Flows(namespace, name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.flows[types.NamespacedName{Namespace: namespace, Name: name}])
}

func (s *StandIn) flow(name types.NamespacedName, division string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.flows[name]; division != "" && (len(before) == 0 || before[len(before)-1] != division) {
		s.flows[name] = append(before, division)
	}
}

// due is how long nobody has to look at an object yet.
func (s *StandIn) due(o client.Object) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%T %s %s", o, o.GetObjectKind().GroupVersionKind().Kind, o.GetUID())
	seen := s.seen[key]
	if seen.generation != o.GetGeneration() {
		seen = sighting{o.GetGeneration(), time.Now()}
		s.seen[key] = seen
	}
	return max(0, s.options.Lag-time.Since(seen.at))
}

func objectOf(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u
}

// get reads an object; nil if it is not there or being deleted.
func (s *StandIn) get(ctx context.Context, gvk schema.GroupVersionKind, name types.NamespacedName) (*unstructured.Unstructured, error) {
	u := objectOf(gvk)
	if err := s.client.Get(ctx, name, u); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return u, nil
}
