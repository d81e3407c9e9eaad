package rig

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespace is where the Repositories and Overlays of a rig of its own live.
const Namespace = "platform"

// Patience is how long a wait may take before the test fails. It is no measure of anything:
// machines are slow, and a test that comes to its end sooner does not use it.
const Patience = 3 * time.Minute

// Rig is the set-up of one test.
type Rig struct {
	T       testing.TB
	Cluster *cluster.Cluster
	Git     *gitserver.Server
	Client  client.WithWatch
	// Dir holds the agent's files; it survives restarts of the agent.
	Dir string
	// Namespace is where the Repositories and Overlays of the test live.
	Namespace string

	agent *process
	log   string
	// metrics is the address of the agent's metrics.
	metrics string
	// Hooks is where the agent listens for the hooks of forges.
	Hooks  string
	access gitserver.Access // what Git demands; empty for nothing
}

// process is an agent that runs; its command is nil while none does. Whoever looks at a rig sees the same one.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
}

// New starts a control plane with Sluice's CRDs, and a Git server.
func New(t testing.TB, o cluster.Options) *Rig {
	t.Helper()
	r := &Rig{T: t, Namespace: Namespace, Dir: t.TempDir(), log: filepath.Join(t.TempDir(), "agent.log"), agent: &process{}}
	r.start(o, t.Cleanup)
	r.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}})
	t.Cleanup(r.showLog)
	t.Cleanup(r.KillAgent)
	return r
}

// start starts the control plane and the Git server; atEnd is given what ends them.
func (r *Rig) start(o cluster.Options, atEnd func(func())) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute) // a cold build is in it
	defer cancel()
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	c, err := cluster.Start(ctx, o)
	if err != nil {
		r.T.Fatal(err)
	}
	atEnd(func() { _ = c.Stop() })
	g, err := gitserver.Start(gitserver.Options{Access: r.access})
	if err != nil {
		r.T.Fatal(err)
	}
	atEnd(func() { _ = g.Close() })
	r.Cluster, r.Git, r.Client = c, g, newClient(r.T, c.Config())
	r.installCRDs()
}

func newClient(t testing.TB, config *rest.Config) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config.UserAgent = "e2e"
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Root is the top of the checkout.
func Root(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("cannot find the module: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func (r *Rig) installCRDs() {
	r.T.Helper()
	files, err := filepath.Glob(filepath.Join(Root(r.T), "manifests", "crds", "sluice.dev_*.yaml"))
	if err != nil || len(files) == 0 {
		r.T.Fatalf("no CRDs in manifests/crds: %v", err)
	}
	var definitions []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			r.T.Fatal(err)
		}
		definitions = append(definitions, string(data))
	}
	if err := r.Cluster.Define(context.Background(), definitions...); err != nil {
		r.T.Fatal(err)
	}
}

var build struct {
	sync.Once
	path string
	err  error
}

// Binary builds the program once for all tests of a process. $SLUICE_BINARY names another one
// to test, for instance that of a release.
func Binary(t testing.TB) string {
	t.Helper()
	build.Do(func() {
		if build.path = os.Getenv("SLUICE_BINARY"); build.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "sluice-e2e-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "sluice")
		cmd := exec.Command("go", "build", "-o", build.path, "./cmd/sluice")
		cmd.Dir = Root(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

// StartAgent runs the agent. Flags are added to those that every test needs.
func (r *Rig) StartAgent(flags ...string) {
	r.T.Helper()
	if r.metrics == "" {
		r.metrics, r.Hooks = freeAddress(r.T), freeAddress(r.T)
	}
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.T.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(Binary(r.T), append([]string{
		"agent", "--kubeconfig", r.Cluster.Kubeconfig, "--dir", r.Dir, "--allow-insecure-git",
		"--share=false", "--metrics-address=" + r.metrics, "--hooks-address=" + r.Hooks, "--probe-address=0", "--log-text",
	}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	ended := make(chan struct{})
	r.agent.command, r.agent.ended = cmd, ended
	go func() { _ = cmd.Wait(); close(ended) }()
}

// Replica is the rig with an agent of its own beside the first one.
func (r *Rig) Replica() *Rig {
	r.T.Helper()
	other := &Rig{T: r.T, Cluster: r.Cluster, Git: r.Git, Client: r.Client, Namespace: r.Namespace, access: r.access,
		Dir: r.T.TempDir(), log: filepath.Join(r.T.TempDir(), "agent.log"), agent: &process{}}
	r.T.Cleanup(other.showLog)
	r.T.Cleanup(other.KillAgent)
	return other
}

// KillAgent ends the agent as a power failure would.
func (r *Rig) KillAgent() {
	if r.agent.command == nil {
		return
	}
	_ = r.agent.command.Process.Kill()
	<-r.agent.ended
	r.agent.command = nil
}

// EndAgent ends the agent as its Deployment does, and waits until it has ended.
func (r *Rig) EndAgent() {
	r.T.Helper()
	r.signal(syscall.SIGTERM)
	<-r.agent.ended
	r.agent.command = nil
}

// Freeze stops the agent in the middle of whatever it does, as a machine does that has no time
// for it.
func (r *Rig) Freeze() {
	r.T.Helper()
	r.signal(syscall.SIGSTOP)
}

// Thaw lets a frozen agent go on.
func (r *Rig) Thaw() {
	r.T.Helper()
	r.signal(syscall.SIGCONT)
}

func (r *Rig) signal(s syscall.Signal) {
	r.T.Helper()
	if err := r.agent.command.Process.Signal(s); err != nil {
		r.T.Fatal(err)
	}
}

// Metric returns the sum of a counter or gauge of the agent over all labels, or the count of a
// histogram; 0 if it has not been used yet.
func (r *Rig) Metric(name string) float64 {
	r.T.Helper()
	return r.Metrics()[name]
}

// Metrics returns the same of all that the agent measures, by their names. With labels, such as
// "namespace=fraud", it is only of what has all of them.
func (r *Rig) Metrics(labels ...string) map[string]float64 {
	r.T.Helper()
	var answer *http.Response
	r.Eventually("the agent's metrics can be read", func() (bool, string) { // it may be starting
		var err error
		if answer, err = http.Get("http://" + r.metrics + "/metrics"); err != nil {
			return false, err.Error()
		}
		return true, ""
	})
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		r.T.Fatal(err)
	}
	sums := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetName()+"="+l.GetValue()] = true
			}
			if !slices.ContainsFunc(labels, func(label string) bool { return !has[label] }) {
				sums[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sums
}

// freeAddress is one on which nobody listens. Its IP address is this process's own: a port of
// 127.0.0.1 that is free now may be that of somebody's connection in a moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+os.Getpid()>>16&63, os.Getpid()>>8&255, os.Getpid()&255))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Memory returns the peak of the agent's own resident memory in bytes; render workers are
// not in it.
func (r *Rig) Memory() int64 {
	r.T.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.agent.command.Process.Pid))
	if err != nil {
		r.T.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

func (r *Rig) showLog() {
	if r.T.Failed() {
		r.T.Logf("end of the agent's log:\n%s", end(r.Log()))
	}
}

func end(text string) string {
	const most = 8_000
	return text[max(len(text)-most, 0):]
}

// Log returns what the agent has logged.
func (r *Rig) Log() string {
	r.T.Helper()
	data, err := os.ReadFile(r.log)
	if err != nil {
		r.T.Fatal(err)
	}
	return string(data)
}

// Create creates an object.
func (r *Rig) Create(o client.Object) {
	r.T.Helper()
	if err := r.Client.Create(context.Background(), o); err != nil {
		r.T.Fatalf("create %T %s: %v", o, o.GetName(), err)
	}
}

// Update reads an object, edits it and writes it, until nobody was in between.
func (r *Rig) Update(o client.Object, edit func()) {
	r.T.Helper()
	for {
		if err := r.Client.Get(context.Background(), client.ObjectKeyFromObject(o), o); err != nil {
			r.T.Fatal(err)
		}
		edit()
		err := r.Client.Update(context.Background(), o)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			r.T.Fatal(err)
		}
	}
}

// Repository makes a Git repository with files, and the Repository that follows it.
func (r *Rig) Repository(name string, files map[string]string, edits ...func(*v1alpha1.Repository)) *gitserver.Repo {
	r.T.Helper()
	repo, err := r.Git.Create(r.Namespace + "/" + name)
	if err != nil {
		r.T.Fatal(err)
	}
	if files != nil {
		r.Push(repo, gitserver.Change{Message: "begin", Files: files})
	}
	o := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name},
		Spec:       v1alpha1.RepositorySpec{URL: repo.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour}},
	}
	if r.access != (gitserver.Access{}) {
		o.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
	}
	for _, edit := range edits {
		edit(o)
	}
	r.Create(o)
	return repo
}

// Push commits and returns the revision.
func (r *Rig) Push(repo *gitserver.Repo, change gitserver.Change) string {
	r.T.Helper()
	hash, err := repo.Commit(change)
	if err != nil {
		r.T.Fatal(err)
	}
	return "main@sha1:" + hash
}

// Ask has the agent look at a Repository now, as a webhook would.
func (r *Rig) Ask(repository string) {
	r.T.Helper()
	o := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: repository}}
	r.Update(o, func() {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations["reconcile.fluxcd.io/requestedAt"] = time.Now().Format(time.RFC3339Nano)
	})
}

// AskOverlay has the agent look at an Overlay now, and waits until it has.
func (r *Rig) AskOverlay(name string) {
	r.T.Helper()
	o := &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name}}
	now := time.Now().Format(time.RFC3339Nano)
	r.Update(o, func() {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations["reconcile.fluxcd.io/requestedAt"] = now
	})
	r.Eventually("Overlay "+name+" has been looked at", func() (bool, string) {
		handled := r.GetOverlay(name).Status.LastHandledReconcileAt
		return handled == now, handled
	})
}

// Overlay creates an Overlay of the Repository "platform".
func (r *Rig) Overlay(name, path string, edits ...func(*v1alpha1.Overlay)) *v1alpha1.Overlay {
	r.T.Helper()
	o := &v1alpha1.Overlay{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name},
		Spec:       v1alpha1.OverlaySpec{RepositoryRef: v1alpha1.RepositoryReference{Name: "platform"}, Path: path},
	}
	for _, edit := range edits {
		edit(o)
	}
	r.Create(o)
	return o
}

// GetRepository reads a Repository.
func (r *Rig) GetRepository(name string) *v1alpha1.Repository {
	r.T.Helper()
	var o v1alpha1.Repository
	if err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: r.Namespace, Name: name}, &o); err != nil {
		r.T.Fatal(err)
	}
	return &o
}

// WaitRepository waits until a Repository is as it should be.
func (r *Rig) WaitRepository(name, what string, is func(*v1alpha1.Repository, metav1.Condition) bool) (*v1alpha1.Repository, metav1.Condition) {
	r.T.Helper()
	var o *v1alpha1.Repository
	var ready metav1.Condition
	r.Eventually("Repository "+name+" "+what, func() (bool, string) {
		o, ready = r.GetRepository(name), metav1.Condition{}
		if c := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition); c != nil && o.Status.ObservedGeneration == o.Generation {
			ready = *c
		}
		return is(o, ready), fmt.Sprintf("Ready=%s %s at %s: %s", ready.Status, ready.Reason, o.Status.Revision, ready.Message)
	})
	return o, ready
}

// GetOverlay reads an Overlay.
func (r *Rig) GetOverlay(name string) *v1alpha1.Overlay {
	r.T.Helper()
	var o v1alpha1.Overlay
	if err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: r.Namespace, Name: name}, &o); err != nil {
		r.T.Fatal(err)
	}
	return &o
}

// Ready returns the Ready condition of an Overlay; its zero value if there is none.
func Ready(o *v1alpha1.Overlay) metav1.Condition {
	if c := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition); c != nil && o.Status.ObservedGeneration == o.Generation {
		return *c
	}
	return metav1.Condition{}
}

// WaitReady waits until an Overlay is Ready in its present generation.
func (r *Rig) WaitReady(name string) *v1alpha1.Overlay {
	r.T.Helper()
	return r.WaitOverlay(name, "is Ready", func(o *v1alpha1.Overlay) bool { return Ready(o).Status == metav1.ConditionTrue })
}

// WaitReason waits until the Ready condition of an Overlay has a reason.
func (r *Rig) WaitReason(name, reason string) *v1alpha1.Overlay {
	r.T.Helper()
	return r.WaitOverlay(name, "says "+reason, func(o *v1alpha1.Overlay) bool { return Ready(o).Reason == reason })
}

// WaitOverlay waits until an Overlay is as it should be.
func (r *Rig) WaitOverlay(name, what string, is func(*v1alpha1.Overlay) bool) *v1alpha1.Overlay {
	r.T.Helper()
	var o *v1alpha1.Overlay
	r.Eventually("Overlay "+name+" "+what, func() (bool, string) {
		o = r.GetOverlay(name)
		c := Ready(o)
		return is(o), fmt.Sprintf("Ready=%s %s at %s: %s", c.Status, c.Reason, o.Status.AttemptedRevision, c.Message)
	})
	return o
}

// WaitSynced waits until every Overlay of a Repository has reached a revision.
func (r *Rig) WaitSynced(repository, revision string) {
	r.T.Helper()
	r.Eventually("Repository "+repository+" is synced", func() (bool, string) {
		var repo v1alpha1.Repository
		if err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: r.Namespace, Name: repository}, &repo); err != nil {
			return false, err.Error()
		}
		if repo.Status.SyncedRevision == revision {
			return true, ""
		}
		return false, fmt.Sprintf("fetched %s, synced %s, %v; %s", repo.Status.Revision, repo.Status.SyncedRevision, repo.Status.Conditions, r.unready())
	})
}

// unready lists the Overlays that are not Ready.
func (r *Rig) unready() string {
	var list v1alpha1.OverlayList
	if err := r.Client.List(context.Background(), &list, client.InNamespace(r.Namespace)); err != nil {
		return err.Error()
	}
	var lines []string
	for n := range list.Items {
		if c := Ready(&list.Items[n]); c.Status != metav1.ConditionTrue {
			lines = append(lines, fmt.Sprintf("%s: %s %s", list.Items[n].Name, c.Reason, c.Message))
		}
	}
	return strings.Join(lines, "\n")
}

// Eventually waits until a check holds and fails the test with what it said last.
func (r *Rig) Eventually(what string, check func() (bool, string)) {
	r.T.Helper()
	deadline := time.Now().Add(Patience)
	for {
		ok, said := check()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			r.T.Fatalf("it did not come about that %s: %s", what, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Get reads any object; nil if it is not there.
func (r *Rig) Get(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	r.T.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	err := r.Client.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, o)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.T.Fatal(err)
	}
	return o
}

// Calls returns the calls of the agent so far.
func (r *Rig) Calls() cluster.Requests {
	r.T.Helper()
	calls, err := r.Cluster.Requests(context.Background())
	if err != nil {
		r.T.Fatal(err)
	}
	return calls
}
