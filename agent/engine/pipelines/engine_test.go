package pipelines

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	server "github.com/sluice-dev/sluice/e2e/kfp"
	authenticationv1 "k8s.io/api/authentication/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

const compiled = `
pipelineInfo: {name: fraud-train}
schemaVersion: 2.1.0
sdkVersion: kfp-2.14.3
components: {comp-train: {executorLabel: exec-train}}
deploymentSpec: {executors: {exec-train: {container: {image: trainer}}}}
root:
  inputDefinitions:
    parameters:
      data: {parameterType: STRING}
      epochs: {parameterType: NUMBER_INTEGER, defaultValue: 3}
  dag: {tasks: {train: {componentRef: {name: comp-train}}}}
`

var trainer = cluster.Account{Namespace: "fraud", Name: "trainer"}

// accounts makes tokens as the stand-in reads them.
type accounts struct {
	corev1client.ServiceAccountInterface
	namespace string
	life      time.Duration
	now       func() time.Time
	audience  string

	mu   *sync.Mutex
	made *int
	err  *error
}

func newAccounts(now func() time.Time) accounts {
	return accounts{life: time.Hour, now: now, mu: &sync.Mutex{}, made: new(int), err: new(error)}
}

func (a accounts) ServiceAccounts(namespace string) corev1client.ServiceAccountInterface {
	a.namespace = namespace
	return a
}

func (a accounts) CreateToken(_ context.Context, name string, r *authenticationv1.TokenRequest, _ metav1.CreateOptions) (*authenticationv1.TokenRequest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *a.err != nil {
		return nil, *a.err
	}
	*a.made++
	audiences := r.Spec.Audiences
	if a.audience != "" {
		audiences = []string{a.audience}
	}
	r.Status.Token = server.Token("system:serviceaccount:"+a.namespace+":"+name, audiences...)
	r.Status.ExpirationTimestamp = metav1.NewTime(a.now().Add(a.life))
	return r, nil
}

// world is a server with a pipeline, and the engine of an account.
type world struct {
	*server.Server
	engine   Engine
	accounts accounts
	version  kfp.Version
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := server.Start(server.Options{MultiUser: true, May: func(user, _, _, namespace string) bool {
		return user == "system:serviceaccount:fraud:trainer" && namespace == "fraud"
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	transport := kfp.NewTransport(true)
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{Server: s, accounts: newAccounts(time.Now)}
	w.engine = Engine{Servers: &Servers{Transport: transport, Tokens: &Tokens{Accounts: w.accounts}, UI: "https://kubeflow.example.com/_/pipeline"}, Account: trainer}
	p, err := kfp.ReadPackage([]byte(compiled))
	if err != nil {
		t.Fatal(err)
	}
	if w.version, err = w.engine.Servers.As(trainer, s.URL).Deliver(t.Context(), "fraud", "fraud-train", p); err != nil {
		t.Fatal(err)
	}
	return w
}

// run is an attempt, by a name of its own.
func (w *world) run(name string) engine.Run {
	return engine.Run{
		Namespace: "fraud", Record: "fraud-1", UID: "uid-1", Retraining: "fraud", Name: name, Parameters: map[string]string{"data": "s3://data/"},
		Template: v1alpha1.RunTemplate{KFP: &v1alpha1.KFPRun{Pipeline: "fraud-train", Version: w.version.Name, Address: w.URL, Experiment: "fraud"}},
	}
}

func (w *world) started(t *testing.T, name string) engine.Run {
	t.Helper()
	run := w.run(name)
	id, err := w.engine.Start(t.Context(), run)
	if err != nil || id == "" {
		t.Fatalf("%q, %v", id, err)
	}
	run.ID = id
	return run
}

func (w *world) state(t *testing.T, run engine.Run) engine.State {
	t.Helper()
	s, err := w.engine.State(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheWayOfARun(t *testing.T) {
	w := newWorld(t)
	run := w.run("a-1")
	if s := w.state(t, run); s.Phase != v1alpha1.RunPending {
		t.Errorf("before it begins it is %+v", s)
	}
	before := w.Count("POST", "")
	if err := w.engine.Reach(t.Context(), run); err != nil || w.Count("POST", "") != before {
		t.Errorf("reach: %v", err)
	}
	run = w.started(t, "a-1")
	if id, err := w.engine.Start(t.Context(), run); err != nil || id != run.ID || len(w.Made(RunName("a-1", "uid-1"))) != 1 {
		t.Errorf("again: %s, %v", id, err)
	}
	w.Run(run.ID).Go()
	if s := w.state(t, run); s.Phase != v1alpha1.RunRunning || s.URL != "https://kubeflow.example.com/_/pipeline/#/runs/details/"+run.ID {
		t.Errorf("it is %+v", s)
	}
	w.Run(run.ID).Succeed()
	if s := w.state(t, run); s.Phase != v1alpha1.RunSucceeded || s.StartedAt.IsZero() || s.EndedAt.IsZero() || s.Message != "" {
		t.Errorf("it is %+v", s)
	}
	failed := w.started(t, "a-2")
	w.Run(failed.ID).FailSaying("train", "out of memory")
	if s := w.state(t, failed); s.Phase != v1alpha1.RunFailed || s.Step != "train" || s.Message != "out of memory" {
		t.Errorf("it is %+v", s)
	}
	skipped := w.started(t, "a-3")
	w.Run(skipped.ID).Become("SKIPPED")
	if s := w.state(t, skipped); s.Phase != v1alpha1.RunSucceeded || s.Outputs != nil || !strings.Contains(s.Message, "skipped it") {
		t.Errorf("it is %+v", s)
	}
	canceled := w.started(t, "a-4")
	if err := w.engine.Cancel(t.Context(), canceled); err != nil {
		t.Error(err)
	}
	w.Run(canceled.ID).Stopped()
	canceled.Canceled = true
	if s := w.state(t, canceled); s.Phase != v1alpha1.RunCanceled {
		t.Errorf("it is %+v", s)
	}
	for range 2 {
		if err := w.engine.Delete(t.Context(), run); err != nil || len(w.Made(RunName("a-1", "uid-1"))) != 0 {
			t.Errorf("deleted: %v", err)
		}
	}
}

// A run whose id never came back is found by its name.
func TestWithoutAnID(t *testing.T) {
	w := newWorld(t)
	run := w.started(t, "a-1")
	run.ID = ""
	if err := w.engine.Cancel(t.Context(), run); err != nil || len(w.Counting(RunName("a-1", "uid-1"))) != 0 {
		t.Errorf("%v, and %v goes on", err, w.Counting(RunName("a-1", "uid-1")))
	}
	if err := w.engine.Delete(t.Context(), run); err != nil || len(w.Made(RunName("a-1", "uid-1"))) != 0 {
		t.Errorf("%v, and %v is there", err, w.Made(RunName("a-1", "uid-1")))
	}
	none := w.run("none")
	if err := w.engine.Cancel(t.Context(), none); err != nil {
		t.Errorf("a run that never was: %v", err)
	}
	none.Template.KFP.Experiment = "none"
	if err := w.engine.Delete(t.Context(), none); err != nil {
		t.Errorf("an experiment that never was: %v", err)
	}
}

// Of two of a name one counts. What is done to it is done to that one, whichever is on record.
func TestTwoOfAName(t *testing.T) {
	w := newWorld(t)
	run := w.started(t, "a-1")
	copied := w.Copy(run.ID)
	s := w.state(t, run)
	if !strings.Contains(s.Message, "it was made 2 times") || len(w.Counting(RunName("a-1", "uid-1"))) != 1 {
		t.Errorf("%+v, and %v count", s, w.Counting(RunName("a-1", "uid-1")))
	}
	counts := w.Counting(RunName("a-1", "uid-1"))[0]
	for _, id := range []string{run.ID, copied.ID()} {
		run.ID = id
		if err := w.engine.Cancel(t.Context(), run); err != nil {
			t.Error(err)
		}
	}
	if got := w.Counting(RunName("a-1", "uid-1")); len(got) != 0 {
		t.Errorf("%v goes on, and %s counted", got, counts)
	}
	run.ID = copied.ID()
	if err := w.engine.Delete(t.Context(), run); err != nil || slices.Contains(w.Made(RunName("a-1", "uid-1")), counts) {
		t.Errorf("%v, and %v are there", err, w.Made(RunName("a-1", "uid-1")))
	}
}

// A server for a single user knows no namespaces: what is of one is never taken, stopped or deleted for another.
func TestTheSameNameElsewhere(t *testing.T) {
	s, err := server.Start(server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	w := newWorld(t)
	w.Server = s
	p, err := kfp.ReadPackage([]byte(compiled))
	if err != nil {
		t.Fatal(err)
	}
	if w.version, err = w.engine.Servers.As(trainer, s.URL).Deliver(t.Context(), "", "fraud-train", p); err != nil {
		t.Fatal(err)
	}
	ours, theirs := w.started(t, "a-1"), w.run("a-1")
	theirs.Namespace, theirs.UID = "shop", "0f9c1e52-7d0b-4c5b-9a35-6c1a4b8f2d11"
	if theirs.ID, err = w.engine.Start(t.Context(), theirs); err != nil || theirs.ID == ours.ID {
		t.Fatalf("it is %q for both, %v", theirs.ID, err)
	}
	theirs.ID = ""
	for _, do := range []func(context.Context, engine.Run) error{w.engine.Cancel, w.engine.Delete} {
		if err := do(t.Context(), theirs); err != nil {
			t.Error(err)
		}
	}
	if s := w.state(t, ours); s.Phase.Ended() || s.Message != "" {
		t.Errorf("it is %+v", s)
	}
	if got := RunName("fraud-20261125-0300-1", theirs.UID); got != "fraud-20261125-0300-1-0f9c1e52" {
		t.Errorf("its name is %s", got)
	}
}

func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	ids := make([]string, 16)
	var group sync.WaitGroup
	for n := range ids {
		group.Go(func() {
			id, err := w.engine.Start(t.Context(), w.run("a-1"))
			if err != nil && engine.KindOf(err) != engine.Temporary {
				t.Error(err)
			}
			ids[n] = id
		})
	}
	group.Wait()
	run := w.started(t, "a-1")
	if counts := w.Counting(RunName("a-1", "uid-1")); len(counts) != 1 || counts[0] != run.ID {
		t.Errorf("%v count, and %s is what is on record", counts, run.ID)
	}
}

// What goes wrong on the way to a run comes to none or to one.
func TestFaultsWhileItIsStarted(t *testing.T) {
	creates := func(f server.Fault) server.Fault { return server.Only("POST", "/runs", f) }
	for _, c := range []struct {
		name  string
		fault server.Fault
		kind  engine.Kind // of the first try; empty where it goes well
		says  string
	}{
		{"the answer is lost", creates(server.First(1, server.Lost())), "", ""},
		{"a proxy gives up", creates(server.First(1, server.Gateway(504))), "", ""},
		{"it fails", creates(server.First(1, server.Status(500))), engine.Temporary, "it failed (500"},
		{"it fails everywhere", server.Status(500), engine.Temporary, "it failed (500"},
		{"it is down", server.Down(), engine.Temporary, "the connection broke off"},
		{"it is overloaded", server.Status(429), engine.Temporary, "it is overloaded"},
		{"it refuses the token", server.Status(401), engine.Temporary, "it does not know who asks"},
		{"it refuses the account", server.Status(403), engine.Permanent, "the account has no right to it"},
		{"the name is taken", creates(server.Body(409, `{"code":6,"message":"taken"}`)), engine.Permanent, "in the way of something"},
		{"it refuses the request", creates(server.Body(400, `{"code":3,"message":"no"}`)), engine.Permanent, "it refuses that"},
		{"it talks nonsense", server.Body(200, "<html>"), engine.Temporary, "its answer is not of its API"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			run := w.run("a-1")
			w.Misbehave(c.fault)
			id, err := w.engine.Start(t.Context(), run)
			switch {
			case c.kind == "" && (err != nil || id == ""):
				t.Errorf("%q, %v", id, err)
			case c.kind != "" && (err == nil || engine.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v is %s", err, engine.KindOf(err))
			}
			w.Misbehave(nil)
			run = w.started(t, "a-1")
			if made := w.Made(RunName("a-1", "uid-1")); len(made) != 1 || made[0] != run.ID {
				t.Errorf("%v were made", made)
			}
		})
	}
}

// A server that never answers holds nobody up for longer than the caller has time.
func TestNoAnswer(t *testing.T) {
	w := newWorld(t)
	w.Misbehave(server.Only("POST", "/runs", server.Stuck()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := w.engine.Start(ctx, w.run("a-1")); engine.KindOf(err) != engine.Temporary || err == nil {
		t.Errorf("%v", err)
	}
	w.Misbehave(nil)
	w.started(t, "a-1")
	if made := w.Made(RunName("a-1", "uid-1")); len(made) != 1 {
		t.Errorf("%v were made", made)
	}
}

func TestForgotten(t *testing.T) {
	w := newWorld(t)
	run := w.started(t, "a-1")
	w.Misbehave(server.Body(404, "<html>no such page</html>"))
	if _, err := w.engine.State(t.Context(), run); engine.KindOf(err) != engine.Temporary || err == nil {
		t.Errorf("a proxy that is lost: %v", err)
	}
	w.Misbehave(nil)
	w.Forget("")
	if _, err := w.engine.State(t.Context(), run); engine.KindOf(err) != engine.Forgotten {
		t.Errorf("%v", err)
	}
	if err := w.engine.Cancel(t.Context(), run); err != nil {
		t.Errorf("%v", err)
	}
	run.Canceled = true
	if s := w.state(t, run); s.Phase != v1alpha1.RunCanceled {
		t.Errorf("one that was to be stopped is %+v", s)
	}
}

func TestWhatIsWrongWithARun(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		edit func(*engine.Run)
		kind engine.Kind
		says string
	}{
		{"no pipeline", func(r *engine.Run) { r.Template.KFP.Pipeline = "none" }, engine.Permanent, "let a Pipeline none of the namespace fraud deliver it, upload it, or correct spec.run.kfp; one that has delivered it does so again when it is annotated with reconcile.fluxcd.io/requestedAt"},
		{"no version", func(r *engine.Run) { r.Template.KFP.Version = "v0" }, engine.Permanent, "has no version v0"},
		{"a name that is none", func(r *engine.Run) { r.Template.KFP.Pipeline = "../runs" }, engine.Permanent, "cannot be the name of a pipeline"},
		{"another namespace", func(r *engine.Run) { r.Template.KFP.Namespace = "shop" }, engine.Permanent, "a run is in the namespace of its Retraining, fraud"},
		{"another engine", func(r *engine.Run) { r.Template = v1alpha1.RunTemplate{} }, engine.Permanent, "no spec.run.kfp"},
		{"no address", func(r *engine.Run) { r.Template.KFP.Address = "http://" }, engine.Permanent, "its address is no URL of a server"},
		{"a parameter is missing", func(r *engine.Run) { r.Parameters = nil }, engine.Permanent, "data is missing"},
		{"a parameter is unknown", func(r *engine.Run) { r.Parameters["speed"] = "1" }, engine.Permanent, "speed is unknown: it has data, epochs"},
		{"a parameter of another type", func(r *engine.Run) { r.Parameters["epochs"] = "many" }, engine.Permanent, "epochs has to be a whole number"},
		{"a value of another type", func(r *engine.Run) {
			r.Template.KFP.Values = &apiextensionsv1.JSON{Raw: json.RawMessage(`{"epochs": "7"}`)}
		}, engine.Permanent, "epochs has to be a whole number"},
	} {
		run := w.run("a-1")
		c.edit(&run)
		_, err := w.engine.Start(t.Context(), run)
		if err == nil || engine.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if made := w.Made(RunName("a-1", "uid-1")); len(made) != 0 {
		t.Errorf("%v were made", made)
	}
}

// A pipeline that is deleted while its run goes on does not touch it.
func TestThePipelineIsDeleted(t *testing.T) {
	w := newWorld(t)
	run := w.started(t, "a-1")
	client := w.engine.Servers.As(trainer, w.URL)
	if gone, err := client.Prune(t.Context(), kfp.Pipeline{ID: w.version.PipelineID, Namespace: "fraud", Name: "fraud-train"}, 0, nil); err != nil || len(gone) != 1 {
		t.Fatalf("%v, %v", gone, err)
	}
	if again := w.started(t, "a-1"); again.ID != run.ID {
		t.Errorf("it became %s", again.ID)
	}
	if err := w.engine.Reach(t.Context(), run); engine.KindOf(err) != engine.Permanent || err == nil {
		t.Errorf("%v", err)
	}
	if _, err := w.engine.Start(t.Context(), w.run("a-2")); engine.KindOf(err) != engine.Permanent || !strings.Contains(err.Error(), "deliver it") {
		t.Errorf("%v", err)
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	a := newAccounts(func() time.Time { return now })
	tokens := &Tokens{Accounts: a, Now: func() time.Time { return now }}
	get := func(account cluster.Account, want int) {
		t.Helper()
		if token, err := tokens.Get(t.Context(), account); err != nil || token == "" || *a.made != want {
			t.Errorf("%q, %v: %d were made, and not %d", token, err, *a.made, want)
		}
	}
	get(trainer, 1)
	now = now.Add(47 * time.Minute)
	get(trainer, 1)
	get(cluster.Account{Namespace: "fraud", Name: "other"}, 2)
	now = now.Add(time.Minute) // four fifths of an hour
	get(trainer, 3)
	tokens.Doubt(trainer)
	get(trainer, 3) // it is new, and not the reason
	now = now.Add(time.Minute)
	tokens.Doubt(trainer)
	get(trainer, 4)
	now = now.Add(time.Hour)
	get(cluster.Account{Namespace: "fraud", Name: "third"}, 5)
	if len(tokens.kept) != 1 {
		t.Errorf("%d tokens are kept, of which one is of use", len(tokens.kept))
	}
	resource := schema.GroupResource{Resource: "serviceaccounts"}
	for says, err := range map[string]error{
		"the account is not there: create it": apierrors.NewNotFound(resource, "trainer"),
		"the agent may not make one":          apierrors.NewForbidden(resource, "trainer", nil),
		"it is tried again":                   context.DeadlineExceeded,
		"it was broken off":                   context.Canceled,
	} {
		*a.err = err
		_, got := tokens.Get(t.Context(), trainer)
		if kfp.ReasonOf(got) != kfp.Unauthenticated || !kfp.Temporary(got) || !strings.Contains(got.Error(), "there is no token of ServiceAccount fraud/trainer") || !strings.Contains(got.Error(), strings.TrimPrefix(says, "it was ")) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// Tokens are for the audience of Kubeflow Pipelines, go where the account's run goes, and are never the agent's.
func TestWhoAsks(t *testing.T) {
	w := newWorld(t)
	if err := w.engine.Reach(t.Context(), w.run("a-1")); err != nil {
		t.Error(err)
	}
	stranger := Engine{Servers: w.engine.Servers, Account: cluster.Account{Namespace: "shop", Name: "trainer"}}
	if err := stranger.Reach(t.Context(), w.run("a-1")); engine.KindOf(err) != engine.Permanent || !strings.Contains(err.Error(), "the account has no right to it") {
		t.Errorf("an account of another namespace: %v", err)
	}
	nobody := Engine{Servers: w.engine.Servers}
	if err := nobody.Reach(t.Context(), w.run("a-1")); engine.KindOf(err) != engine.Temporary || !strings.Contains(err.Error(), "name an account in spec.serviceAccountName") {
		t.Errorf("without an account: %v", err)
	}
	wrong := w.accounts
	wrong.audience = "https://kubernetes.default.svc"
	other := Engine{Servers: &Servers{Transport: w.engine.Servers.Transport, Tokens: &Tokens{Accounts: wrong}}, Account: trainer}
	err := other.Reach(t.Context(), w.run("a-1"))
	if engine.KindOf(err) != engine.Temporary || !strings.Contains(err.Error(), "it does not know who asks") {
		t.Errorf("of another audience: %v", err)
	}
	if token, _ := other.Servers.Tokens.Get(t.Context(), trainer); strings.Contains(err.Error(), token) {
		t.Error("the token is in the error")
	}
}
