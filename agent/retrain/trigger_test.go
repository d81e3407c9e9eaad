package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/measure"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestOutside(t *testing.T) {
	for _, c := range []struct {
		value, min, max string
		out             bool
		says            string
	}{
		{"0.05", "", "0.05", false, ""}, // a bound is within
		{"0.0500000000000000000001", "", "0.05", true, ""},
		{"0.94", "0.94", "", false, ""},
		{"0.9399999999999999999", "0.94", "", true, ""},
		{"0.5", "0.1", "0.9", false, ""},
		{"0.05", "0.1", "0.9", true, ""},
		{"1", "0.1", "0.9", true, ""},
		{"1e-3", "0.001", "", false, ""},
		{"-0.2", "-0.1", "", true, ""},
		{"-0.0", "0", "0", false, ""},
		{"0.30000000000000004", "", "0.3", true, ""},
		{"NaN", "", "0.3", false, "let it give one"},
		{"+Inf", "", "0.3", false, "let it give one"},
		{"", "", "0.3", false, "let it give one"},
		{"1", "low", "", false, `the bound "low" is no number`},
	} {
		out, err := outside(c.value, v1alpha1.MetricTrigger{Min: c.min, Max: c.max})
		if out != c.out || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q in %q to %q: %t, %v", c.value, c.min, c.max, out, err)
		}
	}
}

// answers is a server whose answer can be changed; empty for one that is broken.
func answers(t *testing.T) (url string, say func(string)) {
	var body atomic.Value
	body.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, _ := body.Load().(string)
		if text == "" {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	return s.URL, func(text string) { body.Store(text) }
}

// look passes at a time until what is looked at has answered.
func (w *world) look(agent *Trainer, at time.Time) Report {
	w.t.Helper()
	w.now = at
	for {
		report := w.pass(agent)
		for _, l := range agent.remembered(types.NamespacedName{Namespace: "ml", Name: "fraud"}).looks {
			if l.next.After(w.now) {
				return report
			}
		}
		select {
		case <-w.woken:
		case <-time.After(time.Minute):
			w.t.Fatal("nobody has looked")
		}
	}
}

// began are the triggers of the runs that were begun, the oldest first.
func (w *world) began() string {
	var all []string
	for _, r := range w.records() {
		all = append(all, fmt.Sprintf("%s: %s", r.Spec.Trigger.Kind, r.Spec.Trigger.Message))
	}
	return strings.Join(all, "\n")
}

// ends has all that goes on be over.
func (w *world) ends() {
	w.t.Helper()
	for _, r := range w.records() {
		if !r.Status.Phase.Ended() {
			finish(&r.Status, v1alpha1.RunSucceeded, "it has succeeded", w.now)
			if err := w.store.Status().Update(context.Background(), &r); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// byTriggers is a Retraining without a schedule. What it begins waits, for its engine is away.
func byTriggers(t *testing.T, triggers v1alpha1.RetrainingTriggers) (*world, *Trainer) {
	w := newWorld(t, hourly(func(s *v1alpha1.RetrainingSpec) { s.Schedules, s.Triggers = nil, &triggers }))
	w.refuses["reach"] = &engine.Error{Kind: engine.Temporary, Message: "the engine does not answer: it is tried again"}
	return w, w.trainer()
}

func TestMetricTrigger(t *testing.T) {
	url, say := answers(t)
	w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Metric: &v1alpha1.MetricTrigger{
		Prometheus: v1alpha1.PrometheusQuery{Address: url, Query: "errors"}, Max: "0.05", For: metav1.Duration{Duration: 10 * time.Minute},
	}})
	agent.Meter = &measure.Meter{AllowLoopback: true}
	measured := func(value string) {
		say(fmt.Sprintf(`{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1764039600, %q]}]}}`, value))
	}
	start := at("03:00:01")
	measured("0.02")
	w.look(agent, start)
	if s := w.retraining().Status.Metric; s == nil || s.Value != "0.02" || s.Since != nil {
		t.Fatalf("within its bounds: %+v", s)
	}
	version := w.retraining().ResourceVersion
	measured("0.021")
	w.look(agent, start.Add(time.Minute))
	if w.retraining().ResourceVersion != version {
		t.Error("a value that moves a little was written down")
	}
	measured("0.071")
	w.look(agent, start.Add(2*time.Minute))
	since := w.retraining().Status.Metric.Since
	if since == nil || !since.Time.Equal(start.Add(2*time.Minute)) || w.began() != "" {
		t.Fatalf("out of its bounds since %v: %s", since, w.began())
	}
	say("")
	if report := w.look(agent, start.Add(5*time.Minute)); !strings.Contains(report.Message, "triggers.metric: ") {
		t.Errorf("while it cannot be measured, the message is %q", report.Message)
	}
	measured("NaN")
	if report := w.look(agent, start.Add(7*time.Minute)); !strings.Contains(report.Message, "the query gives NaN") {
		t.Errorf("of no number, the message is %q", report.Message)
	}
	measured("0.08")
	w.look(agent, start.Add(12*time.Minute))
	if got := w.began(); got != "Metric: the metric is 0.071, and out of its bounds since 2026-11-25 03:02:01 UTC" {
		t.Errorf("begun is %q", got)
	}
	w.ends()
	w.look(agent, start.Add(2*time.Hour)) // once for each time
	measured("0.05")
	w.look(agent, start.Add(3*time.Hour))
	if s := w.retraining().Status.Metric; s.Since != nil || len(w.records()) != 1 {
		t.Errorf("within its bounds again: %+v\n%s", s, w.began())
	}
	measured("0.06")
	w.look(agent, start.Add(4*time.Hour))
	w.look(agent, start.Add(4*time.Hour+11*time.Minute))
	if len(w.records()) != 2 {
		t.Errorf("out of its bounds again:\n%s", w.began())
	}
}

func TestDataTrigger(t *testing.T) {
	url, say := answers(t)
	w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Data: &v1alpha1.DataTrigger{URI: "s3://data/fraud/", SecretRef: &meta.LocalObjectReference{Name: "s3"}}})
	agent.Inspector = artifact.NewInspector(artifact.DefaultLimits())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "s3", Annotations: map[string]string{
		"serving.kserve.io/s3-endpoint": strings.TrimPrefix(url, "http://"), "serving.kserve.io/s3-usehttps": "0", "serving.kserve.io/s3-region": "us-east-1"}},
		Data: map[string][]byte{"AWS_ACCESS_KEY_ID": []byte("key"), "AWS_SECRET_ACCESS_KEY": []byte("very-secret")}}
	if err := w.store.Create(context.Background(), secret); err != nil {
		t.Fatal(err)
	}
	has := func(names ...string) {
		list := `<ListBucketResult><Name>data</Name><Prefix>fraud/</Prefix><IsTruncated>false</IsTruncated>`
		for _, name := range names {
			list += fmt.Sprintf(`<Contents><Key>fraud/%s</Key><Size>3</Size><ETag>"%x"</ETag><LastModified>2026-11-25T02:00:00.000Z</LastModified></Contents>`, name, name)
		}
		say(list + `</ListBucketResult>`)
	}
	start := at("03:00:01")
	has("a.csv")
	w.look(agent, start)
	s := w.retraining().Status.Data
	if s == nil || s.Count != 1 || s.Used != s.Fingerprint || s.Newest == nil {
		t.Fatalf("what is seen first: %+v", s)
	}
	w.look(agent, start.Add(6*time.Minute))
	has("a.csv", "b.csv")
	w.look(agent, start.Add(12*time.Minute))
	has("a.csv", "b.csv", "c.csv") // it is still being written
	w.look(agent, start.Add(18*time.Minute))
	if w.began() != "" {
		t.Errorf("begun before it has settled: %s", w.began())
	}
	say("")
	if report := w.look(agent, start.Add(23*time.Minute).Add(time.Second)); !strings.Contains(report.Message, "triggers.data: ") || strings.Contains(report.Message, "very-secret") {
		t.Errorf("of a store that is broken, the message is %q", report.Message)
	}
	if w.began() != "" {
		t.Errorf("begun before it was seen that it has settled: %s", w.began())
	}
	has("a.csv", "b.csv", "c.csv")
	agent = w.trainer() // it has not looked itself
	agent.Inspector = artifact.NewInspector(artifact.DefaultLimits())
	w.pass(agent)
	if w.began() != "" {
		t.Errorf("begun before anybody has looked: %s", w.began())
	}
	w.look(agent, start.Add(28*time.Minute).Add(2*time.Second))
	if got := w.began(); got != "Data: the data changed: 3 objects, the last change seen at 2026-11-25 03:18:01 UTC" {
		t.Errorf("begun is %q", got)
	}
	if run := w.records()[0]; run.Spec.Values.Data == nil || run.Spec.Values.Data.Count != 3 || run.Spec.Values.Data.Fingerprint != w.retraining().Status.Data.Used {
		t.Errorf("its values are %+v", run.Spec.Values)
	}
	w.ends()
	w.look(agent, start.Add(2*time.Hour))
	w.look(agent, start.Add(3*time.Hour))
	if len(w.records()) != 1 {
		t.Errorf("it began again with the same data:\n%s", w.began())
	}
}

// delivered puts a version of a Pipeline on record, of a generation of it.
func delivered(p *v1alpha1.Pipeline, generation int64, digit string) {
	p.Generation = generation
	p.Status = v1alpha1.PipelineStatus{
		ObservedGeneration: generation, Version: "sha256-" + digit, Digest: "sha256:" + digit,
		Conditions: []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: metav1.ConditionTrue}},
	}
}

// A commit that changes the run and its Pipeline is one change, as soon as the version is delivered. That the Pipeline
// is deleted is none.
func TestCommitTrigger(t *testing.T) {
	w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Commit: true, MinimumInterval: metav1.Duration{Duration: time.Second}})
	w.now = at("03:00:01")
	save := func(o client.Object) {
		t.Helper()
		if err := w.store.Update(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	begun := func(after string, want int) {
		t.Helper()
		for range 2 {
			w.pass(agent)
			w.ends()
			w.now = w.now.Add(time.Minute)
		}
		if got := len(w.records()); got != want {
			t.Fatalf("%s there are %d runs:\n%s", after, got, w.began())
		}
	}
	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "train"}}
	delivered(p, 1, "1")
	if err := w.store.Create(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	begun("at first", 0)
	r := w.retraining()
	r.Spec.Run.Parameters = map[string]string{"rows": "7"}
	save(&r)
	p.Generation = 2
	save(p)
	begun("while the version is that of the commit before", 0)
	delivered(p, 2, "2")
	save(p)
	begun("once it is delivered", 1)
	if err := w.store.Delete(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	begun("without the Pipeline", 1)
	again := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "train"}}
	delivered(again, 1, "2")
	if err := w.store.Create(context.Background(), again); err != nil {
		t.Fatal(err)
	}
	begun("with the same content again", 1)
	r = w.retraining()
	r.Spec.Run.KFP.Pipeline = "theirs"
	save(&r)
	begun("with another pipeline, which only Kubeflow Pipelines knows", 2)
}

// argo is an API server with Argo Workflows, of which there are templates to be read; answers are by the path, and what
// there is none for is not there.
func argo(t *testing.T, answers *sync.Map, kinds ...string) *rest.Config {
	var served []string
	for _, kind := range kinds {
		served = append(served, fmt.Sprintf(`{"name": %q, "kind": %q, "namespaced": %t, "verbs": ["get"]}`, strings.ToLower(kind)+"s", kind, !strings.HasPrefix(kind, "Cluster")))
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			fmt.Fprint(w, `{"kind": "APIVersions", "versions": []}`)
		case "/apis":
			fmt.Fprint(w, `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "argoproj.io", "versions": [{"groupVersion": "argoproj.io/v1alpha1", "version": "v1alpha1"}], "preferredVersion": {"groupVersion": "argoproj.io/v1alpha1", "version": "v1alpha1"}}]}`)
		case "/apis/argoproj.io/v1alpha1":
			fmt.Fprintf(w, `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "argoproj.io/v1alpha1", "resources": [%s]}`, strings.Join(served, ","))
		default:
			answer, there := answers.Load(r.URL.Path)
			status := apierrors.NewNotFound(schema.GroupResource{Group: "argoproj.io", Resource: "templates"}, "train")
			if refused, is := answer.(*apierrors.StatusError); is {
				status, there = refused, false
			}
			if there {
				fmt.Fprint(w, answer)
				return
			}
			w.WriteHeader(int(status.ErrStatus.Code))
			_ = json.NewEncoder(w).Encode(status.ErrStatus)
		}
	}))
	t.Cleanup(s.Close)
	return &rest.Config{Host: s.URL}
}

// What a template of Argo Workflows says is a part of the definition. While it cannot be looked at nothing fires, and the
// message says what to do.
func TestCommitTriggerOfATemplate(t *testing.T) {
	for _, c := range []struct {
		kind, ref, path string
		clusterScope    bool
	}{
		{"WorkflowTemplate", "WorkflowTemplate.argoproj.io/ml/train", "/apis/argoproj.io/v1alpha1/namespaces/ml/workflowtemplates/train", false},
		{"ClusterWorkflowTemplate", "ClusterWorkflowTemplate.argoproj.io/train", "/apis/argoproj.io/v1alpha1/clusterworkflowtemplates/train", true},
	} {
		t.Run(c.kind, func(t *testing.T) {
			w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Commit: true, MinimumInterval: metav1.Duration{Duration: time.Second}})
			w.change(func(r *v1alpha1.Retraining) {
				r.Spec.Run = v1alpha1.RunTemplate{Workflow: &v1alpha1.WorkflowRun{Template: "train", ClusterScope: c.clusterScope}}
			})
			var answers sync.Map
			var err error
			if agent.Cluster, err = cluster.New(argo(t, &answers, c.kind), nil); err != nil {
				t.Fatal(err)
			}
			says := func(labels, image string) {
				answers.Store(c.path, fmt.Sprintf(`{"apiVersion": "argoproj.io/v1alpha1", "kind": %q, "metadata": {"name": "train", "labels": {%s}}, "spec": {"templates": [{"container": {"image": %q}}]}}`, c.kind, labels, image))
			}
			clock := at("03:00:01")
			looks := func(after, message string, runs int) {
				t.Helper()
				clock = clock.Add(2 * time.Minute)
				report := w.look(agent, clock)
				if message == "" && strings.Contains(report.Message, "triggers.commit") || !strings.Contains(report.Message, message) {
					t.Errorf("%s the message is %q, want %q", after, report.Message, message)
				}
				if got := len(w.records()); got != runs {
					t.Fatalf("%s there are %d runs:\n%s", after, got, w.began())
				}
				w.ends()
			}
			looks("before it is there", "triggers.commit: "+c.ref+" is not there: create it, or name another in spec.run.workflow", 0)
			says("", "trainer:1")
			looks("at first", "", 0)
			says(`"team": "fraud"`, "trainer:1")
			looks("with a label", "", 0)
			answers.Delete(c.path)
			looks("when it was deleted", "is not there", 0)
			answers.Store(c.path, apierrors.NewForbidden(schema.GroupResource{Group: "argoproj.io", Resource: strings.ToLower(c.kind) + "s"}, "train", errors.New(`User "system:serviceaccount:ml:retrainer" cannot get it`)))
			looks("without rights", c.ref+": the account of the Retraining may not get it: ", 0)
			looks("without rights", "grant it that, or name another in spec.serviceAccountName", 0)
			answers.Store(c.path, apierrors.NewInternalError(errors.New("etcd is away")))
			looks("while nobody knows", c.ref+" cannot be read: ", 0)
			says("", "trainer:1")
			looks("as it was", "", 0)
			says("", "trainer:2")
			looks("with another image", "", 1)
			if got := w.began(); !strings.HasPrefix(got, "Commit: the definition of the pipeline changed") {
				t.Errorf("begun is %q", got)
			}
			looks("once it has run", "", 1)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Commit: true})
		w.change(func(r *v1alpha1.Retraining) {
			r.Spec.Run = v1alpha1.RunTemplate{Workflow: &v1alpha1.WorkflowRun{Template: "train", ClusterScope: true}}
		})
		var err error
		if agent.Cluster, err = cluster.New(argo(t, &sync.Map{}, "WorkflowTemplate"), nil); err != nil {
			t.Fatal(err)
		}
		if report := w.look(agent, at("03:00:01")); report.Message != "triggers.commit: ClusterWorkflowTemplate.argoproj.io/train: the cluster does not know the kind: install Argo Workflows" {
			t.Errorf("the message is %q", report.Message)
		}
	})
}

// A run that begins is pinned to what the Pipeline has now, whatever the cache has of it, and waits while that cannot
// be read.
func TestPinnedPastTheCache(t *testing.T) {
	w, agent := byTriggers(t, v1alpha1.RetrainingTriggers{Commit: true})
	delete(w.refuses, "reach")
	w.now = at("03:00:01")
	old, now := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "train"}}, &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "train"}}
	delivered(old, 1, "1")
	delivered(now, 2, "2")
	if err := w.store.Create(context.Background(), now); err != nil {
		t.Fatal(err)
	}
	agent.Cache = interceptor.NewClient(w.client(), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if p, is := o.(*v1alpha1.Pipeline); is {
			old.DeepCopyInto(p)
			return nil
		}
		return c.Get(ctx, key, o, opts...)
	}})
	away := errors.New("the API server is away")
	agent.Live = interceptor.NewClient(w.client(), interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		if _, is := o.(*v1alpha1.Pipeline); is && away != nil {
			return away
		}
		return c.Get(ctx, key, o, opts...)
	}})
	w.pass(agent)
	r := w.retraining()
	r.Spec.Run.Parameters = map[string]string{"rows": "7"}
	if err := w.store.Update(context.Background(), &r); err != nil {
		t.Fatal(err)
	}
	w.pass(agent)
	w.pass(agent)
	if runs := w.records(); len(runs) != 1 || runs[0].Status.Phase != v1alpha1.RunPending || runs[0].Status.Message != "it waits: Pipeline train cannot be read: the API server is away" {
		t.Fatalf("there are %+v", runs)
	}
	away = nil
	for len(w.records()[0].Status.Attempts) == 0 {
		w.now = w.now.Add(time.Minute)
		w.pass(agent)
		select {
		case <-w.woken:
		case <-time.After(time.Second):
		}
	}
	if kfp := w.records()[0].Status.Attempts[0].KFP; kfp == nil || kfp.Version != "sha256-2" {
		t.Errorf("it is pinned to %+v", kfp)
	}
}
