package kfp

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/kfp"
)

func TestStart(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "fraud-20261123-0300")
	run, err := start(t.Context(), w.client, order)
	if err != nil {
		t.Fatal(err)
	}
	if id := w.counts(t, order.Name); run.ID != id || run.Name != order.Name || run.Phase != v1alpha1.RunPending || run.Note != "" || !run.CreatedAt.Equal(w.clock.now()) ||
		run.URL != "https://kubeflow.example.com/_/pipeline/#/runs/details/"+id {
		t.Errorf("%+v", run)
	}
	w.clock.turn(time.Hour)
	again, err := start(t.Context(), w.client, order)
	if err != nil || again != run {
		t.Errorf("again: %+v and %v", again, err)
	}
	order.Name += "-2"
	other, err := start(t.Context(), w.client, order)
	if err != nil || other.ID == run.ID {
		t.Errorf("another name: %+v and %v", other, err)
	}
	// Names are compared as they are, though the server does not.
	order.Name = strings.ToUpper(order.Name)
	if upper, err := start(t.Context(), w.client, order); err != nil || upper.ID == other.ID {
		t.Errorf("another case: %+v and %v", upper, err)
	}
	order.Experiment, order.Name = "50% + more", "in an experiment of a strange name"
	if _, err := start(t.Context(), w.client, order); ReasonOf(err) != Invalid {
		t.Errorf("a percent sign: %v", err)
	}
	order.Experiment = "50 + more"
	for range 2 {
		if _, err := start(t.Context(), w.client, order); err != nil {
			t.Error(err)
		}
	}
	w.counts(t, order.Name)
}

// A run has what was asked for.
func TestStartWithAll(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	p := trainPackage(t)
	v, err := w.client.Deliver(t.Context(), namespace, "train", p)
	if err != nil {
		t.Fatal(err)
	}
	values, err := p.Values(map[string]string{"data": "s3://x", "rows": "7", "grid": `{"a":[1]}`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run, err := start(t.Context(), w.client, order{Name: "r", Namespace: namespace, Experiment: "e", Version: v, Parameters: values, PipelineRoot: "s3://root", ServiceAccount: "trainer", Description: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if have := fmt.Sprint(w.Run(run.ID).Parameters()); have != "map[data:s3://x grid:map[a:[1]] rows:7]" {
		t.Error(have)
	}
	// What would be refused here is refused there too.
	_, err = start(t.Context(), w.client, order{Name: "r2", Namespace: namespace, Experiment: "e", Version: v})
	if ReasonOf(err) != Invalid || !strings.Contains(err.Error(), "parameter data is not optional") {
		t.Error(err)
	}
	if made := w.Made("r2"); len(made) != 0 {
		t.Errorf("%v were made", made)
	}
}

func TestStartForSingleUser(t *testing.T) {
	server, err := kfp.Start(kfp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	client := newClient(t, server)
	client.Token = nil
	v, err := client.Deliver(t.Context(), namespace, "echo", small(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run, err := start(t.Context(), client, order{Name: "r", Namespace: namespace, Experiment: "e", Version: v})
		if err != nil || !slices.Equal(server.Made("r"), []string{run.ID}) {
			t.Errorf("%+v and %v", run, err)
		}
	}
}

// Whatever becomes of the request, the run is made once.
func TestStartWithFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault kfp.Fault
		// made: the first call finds the run after all.
		made   bool
		reason Reason
		hangs  bool
	}{
		{"the answer is lost", kfp.Lost(), true, "", false},
		{"no answer", kfp.Stuck(), true, "", true},
		{"a proxy is impatient", kfp.Gateway(504), true, "", false},
		{"a proxy is overloaded", kfp.Gateway(503), true, "", false},
		{"it fails after all was done", kfp.Gateway(500), true, "", false},
		{"nothing was done", kfp.Silent(), false, Unreachable, true},
		{"down", kfp.Down(), false, Unreachable, false},
		{"broken", kfp.Status(500), false, Broken, false},
		{"too many", kfp.Status(429), false, Overloaded, false},
	} {
		for _, path := range []string{"/runs", "/experiments"} {
			t.Run(c.name+path, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, kfp.Options{})
				order := w.order(t, "r")
				if c.hangs {
					w.client.timeout = hanging
				}
				w.Misbehave(kfp.Only("POST", path, kfp.First(1, c.fault)))
				run, err := start(t.Context(), w.client, order)
				if c.made && err != nil || !c.made && (ReasonOf(err) != c.reason || !Temporary(err) || len(w.Made("r")) != 0) {
					t.Fatalf("%+v and %v", run, err)
				}
				again, err := start(t.Context(), w.client, order)
				if err != nil || again.ID != w.counts(t, "r") || c.made && again != run || len(w.Made("r")) != 1 {
					t.Errorf("again: %+v and %v, of %v", again, err, w.Made("r"))
				}
			})
		}
	}
}

// The answer is lost, and so is the answer to the question what has become of it.
func TestStartLostTwice(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	lists := 0
	w.Misbehave(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			fault := kfp.Fault(func(next http.Handler) http.Handler { return next })
			if strings.HasSuffix(r.URL.Path, "/runs") {
				if lists++; lists == 2 || lists == 3 {
					fault = kfp.Lost()
				}
			}
			fault(next).ServeHTTP(rw, r)
		})
	})
	_, err := start(t.Context(), w.client, order)
	if ReasonOf(err) != Unreachable {
		t.Errorf("%v", err)
	}
	run, err := start(t.Context(), w.client, order)
	if err != nil || run.ID != w.counts(t, "r") || len(w.Made("r")) != 1 {
		t.Errorf("%+v and %v, of %v", run, err, w.Made("r"))
	}
}

// Two agents look, both see none, and both make one.
func TestStartRace(t *testing.T) {
	for _, apart := range []time.Duration{0, time.Second} {
		w := newWorld(t, kfp.Options{})
		order := w.order(t, "r")
		if _, err := w.client.experiment(t.Context(), namespace, "fraud"); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Add(2)
		w.Misbehave(kfp.Only("POST", "/runs", kfp.First(2, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				both.Done()
				both.Wait() // until both have looked
				next.ServeHTTP(rw, r)
				w.clock.turn(apart)
			})
		})))
		states := make([]State, 2)
		var group sync.WaitGroup
		for i, client := range []*Client{w.client, newClient(t, w.Server)} {
			group.Go(func() {
				s, err := start(t.Context(), client, order)
				if err != nil {
					t.Error(err)
				}
				states[i] = s
			})
		}
		group.Wait()
		if made := w.Made("r"); len(made) != 2 {
			t.Fatalf("%v were made", made)
		}
		counts := w.counts(t, "r")
		note := ""
		for _, s := range states {
			// One may have looked before the other's was there. It learns it at the next look.
			again, err := w.client.State(t.Context(), s.ID, false)
			if err != nil || again.ID != counts {
				t.Errorf("%+v and %v, %s counts", again, err, counts)
			}
			note += s.Note
			if !strings.Contains(again.Note, "it was made 2 times: "+counts+" is the oldest and counts") {
				t.Errorf("it says %q", again.Note)
			}
		}
		if note == "" {
			t.Error("nobody said that there were two")
		}
	}
}

// Many goroutines of two agents start the same runs at the same time, again and again, with faults.
func TestStartStorm(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "")
	clients := []*Client{w.client, newClient(t, w.Server)}
	var mu sync.Mutex
	n := 0
	w.Misbehave(func(next http.Handler) http.Handler {
		mu.Lock()
		n++
		fault := []kfp.Fault{nil, nil, kfp.Lost(), nil, kfp.Status(500), nil, kfp.Gateway(503), kfp.Down()}[n*7%8]
		mu.Unlock()
		if fault == nil {
			return next
		}
		return fault(next)
	})
	const names = 5
	var group sync.WaitGroup
	for i := range 60 {
		group.Go(func() {
			mine := order
			mine.Name = fmt.Sprintf("run-%d", i%names)
			for range 50 {
				if _, err := start(t.Context(), clients[i%2], mine); err == nil {
					return
				} else if !Temporary(err) {
					t.Error(err)
					return
				}
				w.clock.turn(100 * time.Millisecond)
			}
			t.Errorf("%s did not start", mine.Name)
		})
	}
	group.Wait()
	w.Misbehave(nil)
	for i := range names {
		order.Name = fmt.Sprintf("run-%d", i)
		s, err := start(t.Context(), w.client, order)
		if err != nil || s.ID != w.counts(t, order.Name) {
			t.Errorf("%+v and %v, of %v", s, err, w.Made(order.Name))
		}
	}
}

// A run turns up long after its request was given up.
func TestStartLate(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	first := w.started(t, "r")
	w.clock.turn(time.Second)
	late := w.Copy(first.ID)
	s, err := w.client.State(t.Context(), first.ID, false)
	if err != nil || s.ID != w.counts(t, "r") || s.Note == "" {
		t.Errorf("while it is pending: %+v and %v", s, err)
	}
	w.Run(s.ID).Go()
	before := w.Count("GET", "")
	if s, err = w.client.State(t.Context(), s.ID, false); err != nil || s.Phase != v1alpha1.RunRunning || w.Count("GET", "") != before+1 {
		t.Errorf("while it is running: %+v and %v in %d requests", s, err, w.Count("GET", "")-before)
	}
	for _, id := range w.Made("r") {
		if id != s.ID {
			w.Run(id).Stopped()
		}
	}
	w.Run(s.ID).Succeed()
	if s, err = w.client.State(t.Context(), late.ID(), false); err != nil || s.Phase != v1alpha1.RunSucceeded || s.ID != w.counts(t, "r") {
		t.Errorf("asked for the one that does not count: %+v and %v", s, err)
	}
}

// What does not count and cannot be terminated is an error, until it can.
func TestStartTwinStays(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	first, err := start(t.Context(), w.client, order)
	if err != nil {
		t.Fatal(err)
	}
	w.Copy(first.ID)
	w.Misbehave(kfp.Only("POST", ":terminate", kfp.Status(500)))
	if _, err := start(t.Context(), w.client, order); ReasonOf(err) != Broken || !Temporary(err) || !strings.Contains(err.Error(), "it was made 2 times, and") {
		t.Errorf("%v", err)
	}
	w.Misbehave(nil)
	if s, err := start(t.Context(), w.client, order); err != nil || s.ID != w.counts(t, "r") {
		t.Errorf("%+v and %v", s, err)
	}
}

// Kubeflow Pipelines answers 500 to a run of what was deleted.
func TestStartOfWhatWasDeleted(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	p, err := w.client.FindPipeline(t.Context(), namespace, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Prune(t.Context(), p, 0, nil); err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), w.client, order)
	if ReasonOf(err) != Missing || Temporary(err) || !strings.Contains(err.Error(), "was deleted from Kubeflow Pipelines: deliver it again, or name another") {
		t.Errorf("%v", err)
	}
	if len(w.Made("r")) != 0 {
		t.Errorf("%v were made", w.Made("r"))
	}
}

// What a Retraining says is found and checked before anything is started, and only then.
func TestSubmit(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	p := trainPackage(t)
	v, err := w.client.Deliver(t.Context(), namespace, "train", p)
	if err != nil {
		t.Fatal(err)
	}
	request := Request{Name: "r", Namespace: namespace, Parameters: map[string]string{"rows": "7"},
		Run: v1alpha1.KFPRun{Pipeline: "train", Experiment: "fraud", Values: &apiextensionsv1.JSON{Raw: []byte(`{"rate":0.5}`)}}}
	for _, c := range []struct {
		name   string
		edit   func(*Request)
		reason Reason
		want   string
	}{
		{"a parameter is missing", func(*Request) {}, Invalid, "the run r: the parameters do not fit the pipeline fraud-train: data is missing, and has no default"},
		{"of another type", func(r *Request) { r.Parameters = map[string]string{"rows": "x", "data": ""} }, Invalid, "rows has to be a whole number"},
		{"another pipeline", func(r *Request) { r.Run.Pipeline = "trane" }, Missing, "the run r: the pipeline trane of namespace fraud: "},
		{"another namespace", func(r *Request) { r.Run.Namespace = "other" }, Missing, "the pipeline train of namespace other: "},
		{"another version", func(r *Request) { r.Run.Version = "v7" }, Missing, "has no version v7"},
		{"no experiment", func(r *Request) { r.Run.Experiment = "" }, Invalid, "cannot be the name of an experiment"},
	} {
		wrong := request
		c.edit(&wrong)
		if _, err := w.client.Submit(t.Context(), wrong); ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if made := w.Made("r"); len(made) != 0 {
		t.Fatalf("%v were made", made)
	}
	request.Parameters["data"], request.Run.Version = "s3://x", v.Name
	run, err := w.client.Submit(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if have := fmt.Sprint(w.Run(w.counts(t, "r")).Parameters()); have != "map[data:s3://x rate:0.5 rows:7]" {
		t.Error(have)
	}
	if _, err := w.client.Prune(t.Context(), Pipeline{ID: v.PipelineID}, 0, nil); err != nil {
		t.Fatal(err)
	}
	request.Parameters = nil
	if again, err := w.client.Submit(t.Context(), request); err != nil || again != run {
		t.Errorf("what was started does not go on: %+v and %v", again, err)
	}
	if _, err := start(t.Context(), w.client, order{Name: "r3", Namespace: namespace, Experiment: "e"}); ReasonOf(err) != Invalid {
		t.Errorf("of no version: %v", err)
	}
}

// A proxy that has lost its way to the server answers 404 as well. The run is not forgotten for that.
func TestFind(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	if _, err := w.client.Find(t.Context(), namespace, "fraud", "r"); ReasonOf(err) != Missing || w.Count("POST", "") != 0 {
		t.Errorf("without an experiment: %v", err)
	}
	first := w.started(t, "other")
	if _, err := w.client.Find(t.Context(), namespace, "fraud", "r"); ReasonOf(err) != Missing {
		t.Errorf("without a run: %v", err)
	}
	second := w.Copy(first.ID)
	found, err := w.client.Find(t.Context(), namespace, "fraud", "other")
	if id := w.counts(t, "other"); err != nil || found.ID != id || !strings.Contains(found.Note, "it was made 2 times") {
		t.Errorf("of %s and %s counts %s, and %+v, %v is found", first.ID, second.ID(), id, found, err)
	}
}

func TestNotForgotten(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	run := w.started(t, "r")
	w.Misbehave(kfp.Status(404))
	if _, err := w.client.State(t.Context(), run.ID, false); !Temporary(err) {
		t.Error(err)
	}
	if _, err := start(t.Context(), w.client, order); !Temporary(err) {
		t.Error(err)
	}
	if err := w.client.Cancel(t.Context(), run.ID); err == nil || !Temporary(err) {
		t.Error(err)
	}
	w.Misbehave(nil)
	if s, err := start(t.Context(), w.client, order); err != nil || s != run {
		t.Errorf("%+v and %v", s, err)
	}
}

func TestForgotten(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	run := w.started(t, "r")
	w.Run(run.ID).Go()
	w.Forget("")
	_, err := w.client.State(t.Context(), run.ID, false)
	if ReasonOf(err) != Forgotten || Temporary(err) || !strings.Contains(err.Error(), "does not know it any more") {
		t.Errorf("%v", err)
	}
	if err := w.client.Cancel(t.Context(), run.ID); err != nil {
		t.Errorf("canceling it: %v", err)
	}
	if err := w.client.Delete(t.Context(), run.ID); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	again, err := start(t.Context(), w.client, order)
	if err != nil || again.ID == run.ID {
		t.Errorf("%+v and %v", again, err)
	}
	for _, id := range []string{"", "..", "a/b", "x:terminate", strings.Repeat("x", 200)} {
		if _, err := w.client.State(t.Context(), id, false); ReasonOf(err) != Invalid {
			t.Errorf("%q: %v", id, err)
		}
		if w.client.Cancel(t.Context(), id) == nil || w.client.Delete(t.Context(), id) == nil {
			t.Errorf("%q is an id", id)
		}
	}
}

// A run walks through its phases, and each is said as it is.
func TestPhases(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	phase := func(id string, canceled bool, want v1alpha1.RunPhase, message string) State {
		t.Helper()
		s, err := w.client.State(t.Context(), id, canceled)
		if err != nil || s.Phase != want || s.Message != message {
			t.Errorf("%s, %q and %v, want %s, %q", s.Phase, s.Message, err, want, message)
		}
		if s.Phase.Ended() == s.EndedAt.IsZero() && !slices.Contains([]string{"SKIPPED", "CANCELED"}, w.Run(id).State()) {
			t.Errorf("%s has ended at %v", s.Phase, s.EndedAt)
		}
		return s
	}
	id := w.started(t, "good").ID
	phase(id, false, v1alpha1.RunPending, "")
	for _, nothing := range []string{"RUNTIME_STATE_UNSPECIFIED", ""} {
		w.Run(id).Become(nothing)
		phase(id, false, v1alpha1.RunPending, "")
	}
	w.Run(id).Go()
	phase(id, false, v1alpha1.RunRunning, "")
	w.Run(id).Become("PAUSED")
	phase(id, false, v1alpha1.RunRunning, "it is paused: resume it in Kubeflow Pipelines")
	w.Run(id).Become("DREAMING")
	phase(id, false, v1alpha1.RunRunning, "Kubeflow Pipelines says that it is DREAMING, which this agent does not know")
	w.clock.turn(time.Minute)
	w.Run(id).Succeed()
	if s := phase(id, false, v1alpha1.RunSucceeded, ""); !s.EndedAt.Equal(w.clock.now()) || s.EndedAt.Sub(s.StartedAt) != time.Minute || !s.StartedAt.Equal(s.CreatedAt) {
		t.Errorf("from %v to %v", s.CreatedAt, s.EndedAt)
	}

	id = w.started(t, "bad").ID
	w.Run(id).Go()
	w.Run(id).Fail("train")
	if s := phase(id, false, v1alpha1.RunFailed, "the step train failed, and Kubeflow Pipelines does not say why: see its page, or the log of its pod"); s.Step != "train" {
		t.Errorf("at %q", s.Step)
	}

	id = w.started(t, "worse").ID
	w.Run(id).Go()
	w.Run(id).FailSaying("train", "OOMKilled:\n\x1b[31mout of memory"+strings.Repeat("y", 1000))
	if s := phase(id, false, v1alpha1.RunFailed, "OOMKilled: [31mout of memory"+strings.Repeat("y", maxWords-29)+"…"); s.Step != "train" {
		t.Errorf("at %q", s.Step)
	}

	id = w.started(t, "skipped").ID
	w.Run(id).Become("SKIPPED")
	phase(id, false, v1alpha1.RunSkipped, "Kubeflow Pipelines has skipped it, and there is no result")

	id = w.started(t, "canceled by others").ID
	w.Run(id).Go()
	w.Run(id).Become("CANCELED")
	phase(id, false, v1alpha1.RunCanceled, "it was terminated")

	id = w.started(t, "canceled").ID
	w.Run(id).Go()
	for range 2 { // it refuses the second time
		if err := w.client.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	phase(id, true, v1alpha1.RunRunning, "it was terminated, and its pods have not ended yet")
	w.Run(id).Stopped()
	phase(id, false, v1alpha1.RunCanceled, "it was terminated")
	w.Run(id).Unseen()
	phase(id, true, v1alpha1.RunCanceled, "it was terminated")
	phase(id, false, v1alpha1.RunFailed, "it failed, and Kubeflow Pipelines does not say why: see its page, or the logs of its pods")
	if err := w.client.Cancel(t.Context(), id); err != nil {
		t.Errorf("canceling what is over: %v", err)
	}

	id = w.started(t, "canceled for good").ID
	if err := w.client.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.Run(id).Become("SUCCEEDED") // it was faster
	if s, err := w.client.State(t.Context(), id, true); err != nil || s.Phase != v1alpha1.RunSucceeded {
		t.Errorf("%+v and %v", s, err)
	}
}

func TestCancelWithFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  kfp.Fault
		reason Reason
		hangs  bool
	}{
		{"the answer is lost", kfp.Lost(), "", false},
		{"no answer", kfp.Stuck(), "", true},
		{"a proxy is impatient", kfp.Gateway(504), "", false},
		{"down", kfp.Down(), Unreachable, false},
		{"broken", kfp.Status(500), Broken, false},
	} {
		w := newWorld(t, kfp.Options{})
		if c.hangs {
			w.client.timeout = hanging
		}
		id := w.started(t, "r").ID
		w.Misbehave(kfp.Only("POST", ":terminate", kfp.First(1, c.fault)))
		if err := w.client.Cancel(t.Context(), id); ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := w.client.Cancel(t.Context(), id); err != nil || w.Run(id).State() != "CANCELING" {
			t.Errorf("%s: again: %v, and it is %s", c.name, err, w.Run(id).State())
		}
	}
}

// Runs that go on by the clock.
func TestWalk(t *testing.T) {
	w := newWorld(t, kfp.Options{Walk: &kfp.Walk{Pending: 10 * time.Second, Running: time.Minute, Fails: "train"}})
	id := w.started(t, "r").ID
	for _, step := range []struct {
		after time.Duration
		want  v1alpha1.RunPhase
	}{{9 * time.Second, v1alpha1.RunPending}, {time.Second, v1alpha1.RunRunning}, {59 * time.Second, v1alpha1.RunRunning}, {time.Hour, v1alpha1.RunFailed}} {
		w.clock.turn(step.after)
		s, err := w.client.State(t.Context(), id, false)
		if err != nil || s.Phase != step.want {
			t.Errorf("%+v and %v, want %s", s, err, step.want)
		}
		if s.Phase.Ended() && (s.Step != "train" || s.EndedAt.Sub(s.CreatedAt) != 70*time.Second) {
			t.Errorf("%+v", s)
		}
	}
}
