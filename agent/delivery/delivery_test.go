package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	server "github.com/sluice-dev/sluice/e2e/kfp"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// compiled is a pipeline whose content differs by its image.
func compiled(image string) string {
	return fmt.Sprintf(`
pipelineInfo: {name: fraud-train}
schemaVersion: 2.1.0
components: {comp-train: {executorLabel: exec-train}}
deploymentSpec: {executors: {exec-train: {container: {image: %q}}}}
root:
  dag: {tasks: {train: {componentRef: {name: comp-train}}}}
`, image)
}

// accounts makes tokens as the stand-in reads them.
type accounts struct {
	corev1client.ServiceAccountInterface
	namespace string
}

func (a accounts) ServiceAccounts(namespace string) corev1client.ServiceAccountInterface {
	return accounts{namespace: namespace}
}

func (a accounts) CreateToken(_ context.Context, name string, r *authenticationv1.TokenRequest, _ metav1.CreateOptions) (*authenticationv1.TokenRequest, error) {
	r.Status.Token = server.Token("system:serviceaccount:"+a.namespace+":"+name, r.Spec.Audiences...)
	r.Status.ExpirationTimestamp = metav1.NewTime(time.Now().Add(time.Hour))
	return r, nil
}

type world struct {
	*server.Server
	deliverer *Deliverer
	pipeline  *v1alpha1.Pipeline
	clock     atomic.Int64 // of the server
	forbidden atomic.Pointer[string]
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{pipeline: &v1alpha1.Pipeline{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "fraud-train", UID: "uid-1", Generation: 1},
		Spec:       v1alpha1.PipelineSpec{KFP: v1alpha1.KFPPipeline{Mode: v1alpha1.PipelineREST, KeepVersions: 2}, ServiceAccountName: "trainer"},
	}}
	w.clock.Store(1_800_000_000)
	w.forbidden.Store(new(string))
	s, err := server.Start(server.Options{
		MultiUser: true, Now: func() time.Time { return time.Unix(w.clock.Add(1), 0) },
		May: func(user, verb, _, namespace string) bool {
			return user == "system:serviceaccount:fraud:trainer" && namespace == "fraud" && verb != *w.forbidden.Load()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	transport := kfp.NewTransport(true)
	t.Cleanup(transport.CloseIdleConnections)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w.Server = s
	w.pipeline.Spec.KFP.Address = s.URL
	w.deliverer = &Deliverer{
		Servers: &pipelines.Servers{Transport: transport, Tokens: &pipelines.Tokens{Accounts: accounts{}}},
		Cache:   fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
	}
	return w
}

// job is one delivery of an image.
func (w *world) job(image string) job {
	j := job{pipeline: w.pipeline.DeepCopy(), account: w.deliverer.account(w.pipeline), content: compiled(image)}
	j.wish = wishOf(j, j.content)
	return j
}

func (w *world) deliver(t *testing.T, image string) outcome {
	t.Helper()
	made, err := w.deliverer.deliver(t.Context(), w.job(image))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// there tells whether a version is in Kubeflow Pipelines.
func (w *world) there(t *testing.T, v kfp.Version) bool {
	t.Helper()
	c := w.deliverer.Servers.As(w.deliverer.account(w.pipeline), w.URL)
	found, err := c.FindVersion(t.Context(), kfp.Pipeline{ID: v.PipelineID, Namespace: "fraud", Name: "fraud-train"}, v.Name)
	if err != nil && kfp.ReasonOf(err) != kfp.Missing {
		t.Fatal(err)
	}
	return err == nil && found.ID == v.ID
}

func TestTheSameContentIsOneVersion(t *testing.T) {
	w := newWorld(t)
	first := w.deliver(t, "a")
	if !strings.HasPrefix(first.digest, "sha256:") || first.version.PipelineID == "" || first.version.ID == "" || !strings.HasPrefix(first.digest[7:], strings.TrimPrefix(first.version.Name, "sha256-")) {
		t.Errorf("%+v", first)
	}
	if again := w.deliver(t, "a"); again.version != first.version {
		t.Errorf("again it is %+v, and was %+v", again.version, first.version)
	}
	if other := w.deliver(t, "b"); other.version.ID == first.version.ID || other.version.PipelineID != first.version.PipelineID {
		t.Errorf("another content is %+v", other.version)
	}
	if n := w.Count("POST", "/upload_version"); n != 2 {
		t.Errorf("%d versions were uploaded", n)
	}
}

// What is needed stays: so many of the newest, what runs have, what Retrainings name, and what Git says now
// though it is old.
func TestOldVersionsGo(t *testing.T) {
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "run"}}
	ended := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "ended"}, Status: v1alpha1.RetrainingRunStatus{Phase: v1alpha1.RunSucceeded}}
	named := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "named"}}
	for image, versionOf := range map[string]func(string){
		"a": func(v string) {
			run.Status.Attempts = []v1alpha1.RunAttempt{{Number: 1, KFP: &v1alpha1.RunPipeline{Version: v}}}
		},
		"b": func(v string) {
			ended.Status.Attempts = []v1alpha1.RunAttempt{{Number: 1, KFP: &v1alpha1.RunPipeline{Version: v}}}
		},
		"c": func(v string) {
			named.Spec.Run.KFP = &v1alpha1.KFPRun{Pipeline: "fraud-train", Version: v}
		},
	} {
		p, err := kfp.ReadPackage([]byte(compiled(image)))
		if err != nil {
			t.Fatal(err)
		}
		versionOf(p.Version)
	}
	w := newWorld(t, run, ended, named)
	var made []outcome
	for _, image := range strings.Split("abcdef", "") {
		made = append(made, w.deliver(t, image))
	}
	var left []string
	for n, o := range made {
		if w.there(t, o.version) {
			left = append(left, string("abcdef"[n]))
		}
	}
	if !slices.Equal(left, []string{"a", "c", "e", "f"}) {
		t.Errorf("%v are left", left)
	}
	if pruned := made[5].pruned; !slices.Equal(pruned, []string{made[3].version.Name}) {
		t.Errorf("the last delivery has deleted %v, and not %s", pruned, made[3].version.Name)
	}
	w.deliver(t, "g")
	back := w.deliver(t, "a")
	if back.version != made[0].version || !w.there(t, back.version) {
		t.Errorf("a commit that was taken back has %+v", back)
	}
	*run = v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "run"}}
	if err := w.deliverer.Cache.(client.Client).Delete(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if back = w.deliver(t, "a"); !w.there(t, back.version) {
		t.Error("what Git says now was deleted, for it is old")
	}
}

// Several Pipelines may be of one pipeline: none deletes what another has, or what a run of another namespace has.
func TestVersionsOfOthersStay(t *testing.T) {
	other := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "fraud-train"}}
	own := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "fraud", Name: "fraud-train"}}
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "run"}}
	named := &v1alpha1.Retraining{ObjectMeta: metav1.ObjectMeta{Namespace: "bank", Name: "named"}}
	for image, versionOf := range map[string]func(string){
		"a": func(v string) { other.Status.Version = v },
		"b": func(v string) {
			run.Status.Attempts = []v1alpha1.RunAttempt{{Number: 1, KFP: &v1alpha1.RunPipeline{Version: v}}}
		},
		"c": func(v string) {
			named.Spec.Run.KFP = &v1alpha1.KFPRun{Pipeline: "fraud-train", Version: v}
		},
		"d": func(v string) { own.Status.Version = v },
	} {
		p, err := kfp.ReadPackage([]byte(compiled(image)))
		if err != nil {
			t.Fatal(err)
		}
		versionOf(p.Version)
	}
	w := newWorld(t, other, own, run, named)
	w.pipeline.Spec.KFP.KeepVersions = 1
	var made []outcome
	for _, image := range strings.Split("abcde", "") {
		made = append(made, w.deliver(t, image))
	}
	for n, stays := range []bool{true, true, true, false, true} {
		if w.there(t, made[n].version) != stays {
			t.Errorf("%c is there: %t", "abcde"[n], !stays)
		}
	}
}

// Who may not delete has delivered all the same.
func TestWithoutTheRightToDelete(t *testing.T) {
	w := newWorld(t)
	w.pipeline.Spec.KFP.KeepVersions = 1
	w.deliver(t, "a")
	verb := "delete"
	w.forbidden.Store(&verb)
	made := w.deliver(t, "b")
	if made.unpruned == nil || !w.there(t, made.version) {
		t.Errorf("%+v", made)
	}
	m := &memory{}
	m.take(made.wish, made, nil, time.Unix(0, 0))
	if r := m.report(w.pipeline); r.Phase != Ready || !strings.Contains(r.Message, "; old versions are not deleted: ") || !strings.Contains(r.Message, "cannot be deleted") {
		t.Errorf("%+v", r)
	}
}

func TestWhatCannotBeDelivered(t *testing.T) {
	for _, c := range []struct {
		name   string
		edit   func(*world, *job)
		phase  Phase
		reason string
		says   string
	}{
		{"no YAML", func(_ *world, j *job) { j.content = "a: [" }, Stalled, "Invalid", "the package is no YAML"},
		{"a Workflow of Argo", func(_ *world, j *job) { j.content = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n" }, Stalled, "Invalid", "compile the pipeline with kfp 2"},
		{"too large", func(_ *world, j *job) { j.content = strings.Repeat("#\n", 3<<20) }, Stalled, "Invalid", "more than 4 MiB"},
		{"another namespace", func(_ *world, j *job) { j.pipeline.Spec.KFP.Namespace = "shop" }, Stalled, "Forbidden", "the account has no right to it"},
		{"nobody", func(_ *world, j *job) { j.account = cluster.Account{} }, Failing, "Unauthenticated", "name an account in spec.serviceAccountName"},
		{"a name that is none", func(_ *world, j *job) { j.pipeline.Spec.KFP.Name = "a/b" }, Stalled, "Invalid", "cannot be the name of a pipeline"},
		{"no answer", func(w *world, _ *job) { w.Misbehave(server.Down()) }, Failing, "Unreachable", "the connection broke off"},
		{"it fails", func(w *world, _ *job) { w.Misbehave(server.Status(500)) }, Failing, "Broken", "it failed (500"},
		{"overloaded", func(w *world, _ *job) { w.Misbehave(server.Status(429)) }, Failing, "Overloaded", "it is overloaded"},
		{"the cloud's own service", func(_ *world, j *job) { j.pipeline.Spec.KFP.Address = "http://169.254.169.254" }, Stalled, "Invalid", "which is never asked"},
	} {
		w := newWorld(t)
		j := w.job("a")
		c.edit(w, &j)
		made, err := w.deliverer.deliver(t.Context(), j)
		if err == nil {
			t.Errorf("%s: %+v", c.name, made)
			continue
		}
		m, now := &memory{}, time.Unix(0, 0)
		m.take(j.wish, made, err, now)
		r := m.report(j.pipeline)
		if r.Phase != c.phase || r.Reason != c.reason || !strings.Contains(r.Message, c.says) || r.Status.Version != "" || !r.Again.After(now) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// An agent that starts asks nobody about what is on record as delivered, and asks if anything differs.
func TestAfterARestart(t *testing.T) {
	w := newWorld(t)
	made := w.deliver(t, "a")
	m := &memory{}
	m.take(made.wish, made, nil, time.Unix(0, 0))
	w.pipeline.Status = m.report(w.pipeline).Status
	w.pipeline.Status.ObservedGeneration = 1
	w.pipeline.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue}}
	for _, c := range []struct {
		name  string
		edit  func(*job)
		asked bool
	}{
		{"as it was", func(*job) {}, false},
		{"not the first time", func(j *job) { j.first = false }, true},
		{"another package", func(j *job) { j.content = compiled("b") }, true},
		{"a request", func(j *job) { j.wish.requested = "now" }, true},
		{"another generation", func(j *job) { j.pipeline.Generation = 2 }, true},
		{"it had failed", func(j *job) { j.pipeline.Status.Conditions[0].Status = metav1.ConditionFalse }, true},
	} {
		j := w.job("a")
		j.first = true
		c.edit(&j)
		before := w.Count("", "")
		again, err := w.deliverer.deliver(t.Context(), j)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if asked := w.Count("", "") > before; asked != c.asked {
			t.Errorf("%s: the server was asked: %t", c.name, asked)
		}
		if !c.asked && (again.version.ID != made.version.ID || again.version.Name != made.version.Name || again.digest != made.digest) {
			t.Errorf("%s: %+v", c.name, again)
		}
	}
}

// Of what is not delivered there is no version on record, and what is stays there while it is looked for.
func TestReports(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	broken := &kfp.Error{Reason: kfp.Unreachable, Message: "nothing listens there"}
	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "fraud-train", Generation: 1, Annotations: map[string]string{v1alpha1.RevisionAnnotation: "main@sha1:1"}}}
	record := func(r Report) {
		if !r.Nothing {
			p.Status = r.Status
			p.Status.ObservedGeneration, p.Status.Conditions = p.Generation, []metav1.Condition{{Type: v1alpha1.ReadyCondition}}
		}
	}
	m, one := &memory{}, wish{source: "1"}
	if r := m.underWay(p, job{wish: one, first: true}); r.Nothing || r.Phase != Progressing {
		t.Errorf("at first: %+v", r)
	}
	m.take(one, outcome{wish: one}, broken, now)
	if r := m.report(p); r.Phase != Failing || r.Again != now.Add(2*time.Second) {
		t.Errorf("it failed: %+v", r)
	}
	if r := m.underWay(p, job{wish: one}); !r.Nothing {
		t.Errorf("it is tried again: %+v", r)
	}
	m.take(one, outcome{wish: one, digest: "sha256:1", version: kfp.Version{ID: "v", PipelineID: "p", Name: "sha256-1"}}, nil, now)
	r := m.report(p)
	record(r)
	if s := p.Status; r.Phase != Ready || s.Version != "sha256-1" || s.VersionID != "v" || s.PipelineID != "p" || s.Revision != "main@sha1:1" || !s.DeliveredAt.Time.Equal(now) || r.Again.Before(now.Add(time.Hour)) || r.Again.After(now.Add(66*time.Minute)) {
		t.Errorf("it is there: %+v", r)
	}
	if r := m.underWay(p, job{wish: wish{"1", "again"}}); !r.Nothing {
		t.Errorf("it is asked whether it is there: %+v", r)
	}
	m.take(wish{"1", "again"}, outcome{}, broken, now.Add(time.Hour))
	r = m.report(p)
	record(r)
	if version, _, wait := pipelines.Pinned(*p); r.Phase != Failing || version != "sha256-1" || wait != "" || r.Message != "it was delivered as sha256-1; since then: nothing listens there" {
		t.Errorf("it cannot be asked: %+v", r)
	}
	m.take(wish{}, outcome{}, errors.New("the API server is away"), now)
	record(m.report(p))
	if version, _, _ := pipelines.Pinned(*p); version != "sha256-1" {
		t.Errorf("its package cannot be read for a moment: %+v", p.Status)
	}
	p.Generation = 2
	r = m.underWay(p, job{wish: wish{source: "2"}})
	record(r)
	if version, _, wait := pipelines.Pinned(*p); r.Phase != Progressing || version != "" || wait == "" || p.Status.Digest != "sha256:1" {
		t.Errorf("there is something new: %+v", r)
	}
	stale := p.DeepCopy()
	stale.Generation, stale.Status.Version = 2, "sha256-1"
	m.take(wish{source: "2"}, outcome{}, &kfp.Error{Reason: kfp.Invalid, Message: "it is no YAML"}, now)
	if r = m.report(stale); r.Phase != Stalled || r.Status.Version != "" || r.Reason != "Invalid" || r.Again != now.Add(10*time.Minute) {
		t.Errorf("it is wrong: %+v", r)
	}
}

func TestPauses(t *testing.T) {
	m, p, now := &memory{}, &v1alpha1.Pipeline{}, time.Unix(0, 0)
	var pauses []time.Duration
	for range 12 {
		m.take(wish{source: "1"}, outcome{}, errors.New("away"), now)
		pauses = append(pauses, m.due(p).Sub(now))
	}
	if pauses[0] != 2*time.Second || pauses[1] != 4*time.Second || pauses[11] != 5*time.Minute || !slices.IsSorted(pauses) {
		t.Errorf("%v", pauses)
	}
	for err, want := range map[error]bool{
		&cluster.Error{Class: agent.Invalid}:     false,
		&cluster.Error{Class: agent.Unavailable}: true,
		errors.New("anything"):                   true,
		&kfp.Error{Reason: kfp.Invalid}:          false,
	} {
		if got := temporary(err); got != want {
			t.Errorf("%v is temporary: %t", err, got)
		}
	}
}

// A request, another package and another spec are each something new.
func TestWishes(t *testing.T) {
	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{UID: "1"}}
	seen := map[wish]string{}
	for name, edit := range map[string]func(*job, *string){
		"as it is":         func(*job, *string) {},
		"another package":  func(_ *job, content *string) { *content = "b" },
		"another name":     func(j *job, _ *string) { j.pipeline.Spec.KFP.Name = "x" },
		"another account":  func(j *job, _ *string) { j.account.Name = "x" },
		"another Pipeline": func(j *job, _ *string) { j.pipeline.UID = "2" },
		"a request": func(j *job, _ *string) {
			j.pipeline.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "1"}
		},
	} {
		j, content := job{pipeline: p.DeepCopy()}, "a"
		edit(&j, &content)
		w := wishOf(j, content)
		if other, twice := seen[w]; twice {
			t.Errorf("%s and %s are one", name, other)
		}
		seen[w] = name
	}
}
