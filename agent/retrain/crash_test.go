package retrain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/result"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// world is all that a Trainer meets: an API server that keeps what is written, an engine, Git, and the clock.
// Each thing that it does to one of them is an effect, and the power can fail before any effect or after it.
type world struct {
	t     *testing.T
	store client.WithWatch
	now   time.Time

	mu      sync.Mutex
	effects int
	failAt  int  // the effect at which the power fails; 0 for never
	after   bool // it is carried out before that
	dead    bool
	runs    map[string]*oven // of the engine, by name
	fails   map[string]bool  // attempts that fail
	slow    map[string]bool  // attempts that go on until they are stopped
	commits []string
	most    int                       // runs that went on at once
	trips   map[string]int            // how often reach, start, state, delete, collect or propose fails at first
	refuses map[string]error          // with what, for good
	away    time.Time                 // until when the engine cannot be reached
	endedAt func(time.Time) time.Time // what the engine says of the end of a run

	during func() // what others do between two passes
	woken  chan struct{}
}

// oven is a run of the engine.
type oven struct {
	id     string
	asked  int // how often it was looked at
	starts int
	ended  v1alpha1.RunPhase
}

var errPower = errors.New("the power has failed")

func newWorld(t *testing.T, r *v1alpha1.Retraining) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: "made"},
		Data: map[string]string{"result.json": `{"uri": "pvc://models/fraud", "metrics": {"auc": 0.95}}`}}
	w := &world{t: t, now: at("03:00:01"), runs: map[string]*oven{}, fails: map[string]bool{}, slow: map[string]bool{}, trips: map[string]int{}, refuses: map[string]error{}, woken: make(chan struct{}, 1000)}
	w.store = fake.NewClientBuilder().WithScheme(scheme).WithObjects(r, made).WithStatusSubresource(&v1alpha1.Retraining{}, &v1alpha1.RetrainingRun{}).
		WithIndex(&v1alpha1.RetrainingRun{}, ByRetraining, func(o client.Object) []string { return []string{o.(*v1alpha1.RetrainingRun).Spec.Retraining} }).
		WithIndex(&v1alpha1.ModelVersion{}, "model", func(o client.Object) []string { return []string{o.(*v1alpha1.ModelVersion).Spec.Model} }).
		Build()
	return w
}

// at is a time of the day of the stories.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-11-25 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// effect carries something out, unless the power fails.
func (w *world) effect(do func() error) error {
	w.mu.Lock()
	if w.dead {
		w.mu.Unlock()
		return errPower
	}
	w.effects++
	fails := w.effects == w.failAt
	w.dead = fails
	w.mu.Unlock()
	if !fails {
		return do()
	}
	if w.after {
		_ = do() // nobody hears of it
	}
	return errPower
}

// client is how the agent reaches the API server.
func (w *world) client() client.WithWatch {
	return interceptor.NewClient(w.store, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, is := o.(*corev1.ConfigMap); is {
				if err := w.trip("collect"); err != nil {
					return err
				}
			}
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.effect(func() error {
				if o.GetUID() == "" {
					o.SetUID(types.UID("uid-" + o.GetName()))
				}
				o.SetCreationTimestamp(metav1.NewTime(w.now))
				return c.Create(ctx, o, opts...)
			})
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.effect(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if run, is := o.(*v1alpha1.RetrainingRun); is && slices.ContainsFunc(run.Status.Conditions, func(c metav1.Condition) bool { return c.Reason == "" }) {
				w.t.Errorf("%s: a condition without a reason, which the API server refuses", run.Name)
			}
			return w.effect(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}

// trainer is an agent that has just started.
func (w *world) trainer() *Trainer {
	c := w.client()
	target, err := cluster.New(&rest.Config{Host: "http://127.0.0.1:1"}, nil) // nobody is asked anything there
	if err != nil {
		w.t.Fatal(err)
	}
	return &Trainer{
		Cluster: target, Runs: &record.Runs{Cache: c, Index: ByRetraining, Live: c, Client: c}, Client: c, Cache: c, Live: c,
		Pipelines: func(cluster.Account) engine.Engine { return w },
		Results:   result.Reader{Inspector: artifact.NewInspector(artifact.DefaultLimits()), Live: c}, Git: w,
		Wake:       func(types.NamespacedName) { w.woken <- struct{}{} },
		Conditions: func(r *v1alpha1.Retraining, _ Report) { r.Status.ObservedGeneration = r.Generation },
	}
}

// Reach, Start, State, Cancel and Delete make a world an engine.

// trip fails as often as it is to.
func (w *world) trip(what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refuses[what]; err != nil {
		return err
	}
	if w.trips[what] > 0 {
		w.trips[what]--
		return &engine.Error{Kind: engine.Temporary, Message: "it stumbles: it is tried again"}
	}
	return nil
}

// Reach is when the engine is not away.
func (w *world) Reach(context.Context, engine.Run) error {
	if !w.away.IsZero() && w.now.Before(w.away) {
		return &engine.Error{Kind: engine.Temporary, Message: "the engine does not answer: it is tried again"}
	}
	return w.trip("reach")
}

// Start begins a run once for each name.
func (w *world) Start(_ context.Context, run engine.Run) (id string, err error) {
	if err := w.trip("start"); err != nil {
		return "", err
	}
	err = w.effect(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		o := w.runs[run.Name]
		if o == nil {
			o = &oven{id: "id-of-" + run.Name}
			w.runs[run.Name] = o
		}
		if run.ID != "" && run.ID != o.id {
			return &engine.Error{Kind: engine.Forgotten, Message: "it is gone"}
		}
		o.starts++
		id = o.id
		going := 0
		for _, o := range w.runs {
			if o.ended == "" {
				going++
			}
		}
		w.most = max(w.most, going)
		return nil
	})
	return id, err
}

// State goes on with each look.
func (w *world) State(_ context.Context, run engine.Run) (engine.State, error) {
	if err := w.trip("state"); err != nil {
		return engine.State{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.runs[run.Name]
	switch {
	case w.dead:
		return engine.State{}, errPower
	case o == nil:
		return engine.State{}, &engine.Error{Kind: engine.Forgotten, Message: "it is gone"}
	case o.ended != "":
		return engine.State{Phase: o.ended}, nil
	}
	o.asked++
	switch {
	case o.asked < 2:
		return engine.State{Phase: v1alpha1.RunPending}, nil
	case o.asked < 4 || w.slow[run.Name]:
		return engine.State{Phase: v1alpha1.RunRunning}, nil
	case w.fails[run.Name]:
		o.ended = v1alpha1.RunFailed
		return engine.State{Phase: o.ended, Step: "train", Message: "out of memory"}, nil
	}
	o.ended = v1alpha1.RunSucceeded
	s := engine.State{Phase: o.ended}
	if w.endedAt != nil {
		s.EndedAt = w.endedAt(w.now)
	}
	return s, nil
}

// Cancel stops what runs.
func (w *world) Cancel(_ context.Context, run engine.Run) error {
	return w.effect(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o := w.runs[run.Name]; o != nil && o.ended == "" {
			o.ended = v1alpha1.RunCanceled
		}
		return nil
	})
}

// Delete forgets a run.
func (w *world) Delete(_ context.Context, run engine.Run) error {
	if err := w.trip("delete"); err != nil {
		return err
	}
	return w.effect(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.runs, run.Name)
		return nil
	})
}

// ProposeResult commits each version once.
func (w *world) ProposeResult(_ context.Context, _ *v1alpha1.Retraining, run *v1alpha1.RetrainingRun, version v1alpha1.ModelVersion, _ []string) (v1alpha1.ProposalStatus, error) {
	if err := w.trip("propose"); err != nil {
		return v1alpha1.ProposalStatus{}, err
	}
	branch := "sluice/retrain/" + version.Name
	err := w.effect(func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !slices.Contains(w.commits, branch) {
			w.commits = append(w.commits, branch)
		}
		return nil
	})
	return v1alpha1.ProposalStatus{Branch: branch, Commit: "c0ffee", Message: "proposed on branch " + branch}, err
}

// pass has a trainer pass once over the Retraining, and puts the report on record as its reconciler does.
func (w *world) pass(t *Trainer) Report {
	c := t.Client
	var r v1alpha1.Retraining
	if err := w.store.Get(context.Background(), client.ObjectKey{Namespace: "ml", Name: "fraud"}, &r); err != nil {
		w.t.Fatal(err)
	}
	report := t.Pass(context.Background(), &r, w.now)
	if report.Failed != nil {
		return report
	}
	before := r.DeepCopy()
	r.Status = report.Status
	if err := record.RetrainingStatus(context.Background(), c, before, &r); err != nil {
		report.Failed = err
	}
	return report
}

// until passes until the Retraining is as it should be, with the power coming back whenever it has failed.
func (w *world) until(trainers []*Trainer, done func(v1alpha1.Retraining, []v1alpha1.RetrainingRun) bool) {
	w.t.Helper()
	for n := range 2000 {
		if w.during != nil {
			w.during()
		}
		t := trainers[n%len(trainers)]
		report := w.pass(t)
		w.mu.Lock()
		dead := w.dead
		w.dead = false
		w.mu.Unlock()
		if dead {
			w.settle()
			trainers[n%len(trainers)] = w.trainer()
			w.now = w.now.Add(time.Second)
			continue
		}
		if done(w.retraining(), w.records()) {
			w.settle()
			return
		}
		if !w.settle() && report.Again.After(w.now) {
			w.now = report.Again
		}
	}
	for _, r := range w.records() {
		w.t.Logf("%s: %+v", r.Name, r.Status)
	}
	w.t.Fatalf("it does not come to an end: %+v", w.retraining().Status)
}

// settle waits for what is done in the background, and tells whether there was anything.
func (w *world) settle() bool {
	synctest.Wait()
	some := len(w.woken) > 0
	for len(w.woken) > 0 {
		<-w.woken
	}
	return some
}

func (w *world) retraining() v1alpha1.Retraining {
	var r v1alpha1.Retraining
	if err := w.store.Get(context.Background(), client.ObjectKey{Namespace: "ml", Name: "fraud"}, &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) records() []v1alpha1.RetrainingRun {
	var list v1alpha1.RetrainingRunList
	if err := w.store.List(context.Background(), &list); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// hourly is the Retraining of the stories: every hour, since 02:30.
func hourly(edits ...func(*v1alpha1.RetrainingSpec)) *v1alpha1.Retraining {
	r := &v1alpha1.Retraining{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "fraud", UID: "uid-of-fraud", CreationTimestamp: metav1.NewTime(at("02:30:00")), Generation: 1},
		Spec: v1alpha1.RetrainingSpec{Model: "fraud", Schedules: []string{"@hourly"}, Retries: 1, RetryBackoff: metav1.Duration{Duration: time.Minute},
			Run:    v1alpha1.RunTemplate{KFP: &v1alpha1.KFPRun{Pipeline: "train"}, Parameters: map[string]string{"day": `{{ .Slot.Format "2006-01-02" }}`}},
			Result: &v1alpha1.ResultSpec{ConfigMap: "made", Propose: &v1alpha1.ResultProposal{Path: "models"}}},
	}
	for _, edit := range edits {
		edit(&r.Spec)
	}
	return r
}

const first, second, third = "fraud-20261125-0300", "fraud-20261125-0400", "fraud-20261125-0500"

// story is what a Retraining goes through, and how it has to come out.
type story struct {
	name   string
	edit   func(*v1alpha1.RetrainingSpec)
	begin  func(*world)
	done   func(v1alpha1.Retraining, []v1alpha1.RetrainingRun) bool
	ends   map[string]v1alpha1.RunPhase // of the runs
	made   []string                     // runs of the engine
	commit []string
	streak int32
	most   int // runs that go on at once; 0 for any
}

// ended tells whether runs have ended, and are counted.
func ended(names ...string) func(v1alpha1.Retraining, []v1alpha1.RetrainingRun) bool {
	return func(r v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
		for _, name := range names {
			n := slices.IndexFunc(runs, func(r v1alpha1.RetrainingRun) bool { return r.Name == name })
			if n < 0 || !runs[n].Status.Phase.Ended() || slices.Contains(r.Status.Active, name) || r.Status.LastEnded.Before(runs[n].Status.EndedAt) {
				return false
			}
		}
		return true
	}
}

var stories = []story{
	{
		name: "a run succeeds", done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunSucceeded},
		made: []string{first + "-1"}, commit: []string{"sluice/retrain/fraud-20261125-0300"}, streak: 1,
	},
	{
		name: "the first attempt fails", begin: func(w *world) { w.fails[first+"-1"] = true },
		done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunSucceeded},
		made: []string{first + "-1", first + "-2"}, commit: []string{"sluice/retrain/fraud-20261125-0300"}, streak: 1,
	},
	{
		name: "all attempts fail", begin: func(w *world) { w.fails[first+"-1"], w.fails[first+"-2"] = true, true },
		done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunFailed},
		made: []string{first + "-1", first + "-2"}, streak: -1,
	},
	{
		name: "it takes too long", begin: func(w *world) { w.slow[first+"-1"] = true },
		edit: func(s *v1alpha1.RetrainingSpec) { s.Timeout = metav1.Duration{Duration: 10 * time.Minute} },
		done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunSucceeded},
		made: []string{first + "-1", first + "-2"}, commit: []string{"sluice/retrain/fraud-20261125-0300"}, streak: 1,
	},
	{
		name: "the next slot takes its place", begin: func(w *world) { w.slow[first+"-1"] = true },
		edit: func(s *v1alpha1.RetrainingSpec) { s.ConcurrencyPolicy = v1alpha1.ReplaceConcurrent },
		done: ended(first, second), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunCanceled, second: v1alpha1.RunSucceeded},
		made: []string{first + "-1", second + "-1"}, commit: []string{"sluice/retrain/fraud-20261125-0400"}, streak: 1,
	},
	{
		name: "the next slot runs beside it", begin: func(w *world) { w.slow[first+"-1"] = true },
		edit: func(s *v1alpha1.RetrainingSpec) { s.ConcurrencyPolicy = v1alpha1.AllowConcurrent },
		done: ended(second), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunRunning, second: v1alpha1.RunSucceeded},
		made: []string{first + "-1", second + "-1"}, commit: []string{"sluice/retrain/fraud-20261125-0400"}, streak: 1,
	},
	{
		name: "somebody cancels it", begin: func(w *world) {
			w.slow[first+"-1"] = true
			w.during = func() { w.cancel(first, v1alpha1.RunRunning) }
		},
		done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunCanceled}, made: []string{first + "-1"},
	},
	{
		name: "nothing goes well at first", begin: func(w *world) {
			w.trips = map[string]int{"reach": 2, "start": 2, "state": 2, "collect": 2, "propose": 2}
		},
		done: ended(first), ends: map[string]v1alpha1.RunPhase{first: v1alpha1.RunSucceeded},
		made: []string{first + "-1"}, commit: []string{"sluice/retrain/fraud-20261125-0300"}, streak: 1,
	},
	{
		name: "three slots were missed", begin: func(w *world) { w.now = at("05:30:00") },
		edit: func(s *v1alpha1.RetrainingSpec) { s.Missed = v1alpha1.MissedAll },
		done: ended(first, second, third), most: 1, streak: 3,
		ends:   map[string]v1alpha1.RunPhase{first: v1alpha1.RunSucceeded, second: v1alpha1.RunSucceeded, third: v1alpha1.RunSucceeded},
		made:   []string{first + "-1", second + "-1", third + "-1"},
		commit: []string{"sluice/retrain/fraud-20261125-0300", "sluice/retrain/fraud-20261125-0400", "sluice/retrain/fraud-20261125-0500"},
	},
	{
		name: "the first is kept no longer", begin: func(w *world) { w.trips["delete"] = 2 },
		edit: func(s *v1alpha1.RetrainingSpec) { s.HistoryLimit = 1 },
		done: func(r v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) bool {
			gone := !slices.ContainsFunc(runs, func(r v1alpha1.RetrainingRun) bool { return r.Name == first })
			return gone && ended(second)(r, runs)
		},
		ends: map[string]v1alpha1.RunPhase{second: v1alpha1.RunSucceeded}, made: []string{second + "-1"}, streak: 2,
		commit: []string{"sluice/retrain/fraud-20261125-0300", "sluice/retrain/fraud-20261125-0400"},
	},
}

// cancel asks for the end of a run once it is in a phase.
func (w *world) cancel(name string, in v1alpha1.RunPhase) {
	for _, r := range w.records() {
		if r.Name == name && r.Status.Phase == in && r.Annotations[v1alpha1.CancelAnnotation] == "" {
			r.Annotations = map[string]string{v1alpha1.CancelAnnotation: "the data is bad"}
			if err := w.store.Update(context.Background(), &r); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// play plays a story with so many agents at once and returns how many effects it had.
func (s story) play(t *testing.T, agents, failAt int, after bool) (effects int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var edits []func(*v1alpha1.RetrainingSpec)
		if s.edit != nil {
			edits = append(edits, s.edit)
		}
		w := newWorld(t, hourly(edits...))
		w.failAt, w.after = failAt, after
		if s.begin != nil {
			s.begin(w)
		}
		var trainers []*Trainer
		for range agents {
			trainers = append(trainers, w.trainer())
		}
		w.until(trainers, s.done)
		w.check(s)
		effects = w.effects
	})
	return effects
}

// check compares what has come of a story with what it has to be.
func (w *world) check(s story) {
	w.t.Helper()
	got := map[string]v1alpha1.RunPhase{}
	for _, r := range w.records() {
		if _, told := s.ends[r.Name]; told || r.Name == first {
			got[r.Name] = r.Status.Phase
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(s.ends) {
		w.t.Errorf("the runs are %v, want %v", got, s.ends)
	}
	var made []string
	for name := range w.runs {
		made = append(made, name)
	}
	slices.Sort(made)
	if !slices.Equal(made, s.made) {
		w.t.Errorf("the engine has run %v, want %v", made, s.made)
	}
	if !slices.Equal(w.commits, s.commit) {
		w.t.Errorf("Git has %v, want %v", w.commits, s.commit)
	}
	if s.most > 0 && w.most > s.most {
		w.t.Errorf("%d runs went on at once", w.most)
	}
	if streak := w.retraining().Status.Streak; streak != s.streak {
		w.t.Errorf("the streak is %d, want %d", streak, s.streak)
	}
}

// The power fails before and after each thing that is done. There is one run of each attempt all the same, and
// every end is counted once.
func TestPowerFails(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			effects := s.play(t, 1, 0, false)
			t.Logf("%d effects", effects)
			for n := range effects {
				if testing.Short() && n%5 != 0 {
					continue
				}
				for _, after := range []bool{false, true} {
					s.play(t, 1, n+1, after)
					if t.Failed() {
						t.Fatalf("when the power failed at effect %d, after it: %t", n+1, after)
					}
				}
			}
		})
	}
}

// Two agents that both believe to be the only one come to the same.
func TestTwoAtOnce(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.play(t, 2, 0, false)
		})
	}
}
