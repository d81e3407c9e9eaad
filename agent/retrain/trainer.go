package retrain

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/measure"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/result"
	"github.com/sluice-dev/sluice/agent/slot"
	"github.com/sluice-dev/sluice/agent/task"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ByRetraining is the index of the cache over RetrainingRuns: namespace/retraining.
const ByRetraining = "retraining"

// Trainer carries out passes. It may be used from several goroutines, one for each Retraining.
type Trainer struct {
	Cluster *cluster.Cluster
	Runs    *record.Runs
	Client  client.Client
	// Cache has Models, ModelVersions and Pipelines.
	Cache client.Reader
	// Live reads past the cache: Secrets and ConfigMaps, which are never kept, and the Pipeline of a run that begins.
	Live client.Reader
	// Pipelines is the engine of Kubeflow Pipelines in the name of an account.
	Pipelines func(cluster.Account) engine.Engine
	Results   result.Reader
	Inspector *artifact.Inspector
	Meter     *measure.Meter
	Git       Git
	// DefaultAccount is the ServiceAccount, in a Retraining's own namespace, that works for those which
	// name none. Empty for the agent's own account.
	DefaultAccount string
	// WorkflowsURL is the address of the pages of Argo Workflows, for links to runs. Empty for none.
	WorkflowsURL string
	// Wake is called with a Retraining that there is an answer for. It must not block.
	Wake func(types.NamespacedName)
	// Conditions puts into the status of a Retraining what a pass has come to, so that it goes on record with what
	// was decided.
	Conditions func(*v1alpha1.Retraining, Report)

	once  sync.Once
	calls task.Tasks[call, answer]
	reads task.Tasks[call, answer] // of results
	looks task.Tasks[look, seen]

	mu     sync.Mutex
	memory map[types.NamespacedName]*memory
}

// Git is what a Retraining needs of a Repository.
type Git interface {
	// ProposeResult commits the ModelVersion that a run has made to a branch. Called again for the same, it
	// makes no second commit.
	ProposeResult(ctx context.Context, r *v1alpha1.Retraining, run *v1alpha1.RetrainingRun, version v1alpha1.ModelVersion, evidence []string) (v1alpha1.ProposalStatus, error)
}

// memory is what is remembered of one Retraining between passes; it only saves work.
type memory struct {
	session *cluster.Session
	watched string            // the kinds that are watched
	rewatch time.Time         // when that is tried again where it failed
	failed  int               // how many passes in a row have not come to their end
	waits   map[call]wait     // until when a call is not made again
	looks   map[look]saved    // of triggers
	cleared map[types.UID]int // how many attempts of a run its engine has nothing of any more

	mu       sync.Mutex
	stirrups int // how often something that runs has changed
}

// wait is why a call is not made again before a time.
type wait struct {
	from     time.Time // before it, not though something has changed
	until    time.Time
	failures int       // in a row
	since    time.Time // the first of them
	stirrups int       // when the call was made: what was seen then may have changed since
}

// Report is what a pass came to.
type Report struct {
	// Status of the Retraining, but for its conditions.
	Status v1alpha1.RetrainingStatus
	// Err says why nothing can be begun until somebody changes the spec; nil if it can.
	Err error
	// Failed says what failed in the pass, which is tried again; nil for nothing. If it is Brief, it is likely to
	// be over with the next, and there is nothing to put on record.
	Failed error
	Brief  bool
	// Message says what the Retraining waits for.
	Message string
	// Unhealthy says why somebody should look; empty if all is well.
	Unhealthy string
	// Moved are the runs whose phase changed, as they are now; Ended those that count as ended by what the pass has
	// put on record, and Ending those that do when Status is on record. Missed are slots that were missed for good.
	Moved, Ended, Ending []v1alpha1.RetrainingRun
	Missed               []slot.Skip
	// Again is when to come back though nothing happens; zero for never.
	Again time.Time
}

// OwnerOf names a Retraining as the owner of what its runs are made of.
func OwnerOf(r *v1alpha1.Retraining) agent.Owner {
	return agent.Owner{Kind: agent.RetrainingOwner, Namespace: r.Namespace, Name: r.Name}
}

// How many calls, reads of results, and looks of triggers are made at once. A call waits for an engine most of the
// time.
const (
	callsAtOnce = 64
	readsAtOnce = 16
	looksAtOnce = 8
)

func (t *Trainer) remembered(name types.NamespacedName) *memory {
	t.once.Do(func() {
		t.calls.Of, t.reads.Of = call.of, call.of
		t.looks.Of = func(l look) string { return l.retraining.Namespace }
		t.calls.Parallel, t.calls.Done = callsAtOnce, func(c call) { t.Wake(c.retraining) }
		t.reads.Parallel, t.reads.Done = readsAtOnce, func(c call) { t.Wake(c.retraining) }
		t.looks.Parallel, t.looks.Done = looksAtOnce, func(l look) { t.Wake(l.retraining) }
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.memory == nil {
		t.memory = map[types.NamespacedName]*memory{}
	}
	m, is := t.memory[name]
	if !is {
		m = &memory{waits: map[call]wait{}, looks: map[look]saved{}, cleared: map[types.UID]int{}}
		t.memory[name] = m
	}
	return m
}

// Stirred notes that something which runs for a Retraining has changed.
func (t *Trainer) Stirred(name types.NamespacedName) {
	m := t.remembered(name)
	m.mu.Lock()
	m.stirrups++
	m.mu.Unlock()
}

func (m *memory) stirred() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stirrups
}

// Forget drops everything remembered of a Retraining that is gone, or that others work on.
func (t *Trainer) Forget(name types.NamespacedName) {
	t.mu.Lock()
	m := t.memory[name]
	delete(t.memory, name)
	t.mu.Unlock()
	t.drop(func(c call) bool { return c.retraining == name })
	t.looks.Forget(func(l look) bool { return l.retraining == name })
	t.Runs.Forget(name)
	if m != nil && m.session != nil {
		m.session.Leave(agent.Owner{Kind: agent.RetrainingOwner, Namespace: name.Namespace, Name: name.Name})
	}
}

// pass is one pass over a Retraining.
type pass struct {
	*Trainer
	retraining *v1alpha1.Retraining
	name       types.NamespacedName
	memory     *memory
	now        time.Time
	account    cluster.Account
	session    *cluster.Session
	runs       []v1alpha1.RetrainingRun
	counted    []v1alpha1.RetrainingRun // as ended, in the status that is to be
	report     Report
}

// Pass takes a Retraining and its runs as far as they can go now. What it puts on record of the Retraining
// itself is also in r then.
func (t *Trainer) Pass(ctx context.Context, r *v1alpha1.Retraining, now time.Time) Report {
	name := client.ObjectKeyFromObject(r)
	w := &pass{Trainer: t, retraining: r, name: name, memory: t.remembered(name), now: now}
	w.report.Status = *r.Status.DeepCopy()
	w.report.Failed = w.walk(ctx)
	w.memory.failed++
	if w.report.Failed == nil {
		w.memory.failed = 0
	}
	w.report.Brief = w.report.Failed != nil && w.memory.failed <= mostRereads
	if !w.report.Brief {
		w.report.Ending = w.counted
	}
	if w.report.Failed == nil {
		return w.report
	}
	pause := callBackoff("pass", max(w.memory.failed-mostRereads, 1))
	if old := errors.Is(w.report.Failed, errOld) || apierrors.IsConflict(w.report.Failed); old && w.report.Brief {
		pause = rereadPass // others have written: what they wrote is about to be seen
	}
	w.report.Again = now.Add(pause) // and not before, whatever could be done by then
	return w.report
}

// rereadPass is the pause after a pass whose facts were old. What has failed mostRereads times in a row is no
// matter of a moment.
const (
	rereadPass  = 200 * time.Millisecond
	mostRereads = 5
)

// walk walks the line. What fails on the way keeps nothing else from going on: a decision that cannot be put on
// record does not hold up what runs, nor one run another.
func (w *pass) walk(ctx context.Context) (err error) {
	if err := w.enter(); err != nil {
		return err
	}
	if w.runs, err = w.Runs.Of(ctx, w.retraining); err != nil {
		return err
	}
	w.tidy()
	w.count()
	if w.report.Err = Check(w.retraining); w.report.Err == nil {
		err = w.decide(ctx)
	}
	w.watch(ctx)
	for n := range w.runs {
		if w.goes(w.runs[n]) {
			err = cmp.Or(err, w.advance(ctx, n))
		}
	}
	w.report.Unhealthy = w.unhealthy(w.report.Status)
	return cmp.Or(err, w.prune(ctx))
}

// tidy drops what is remembered of runs that are gone.
func (w *pass) tidy() {
	there := map[types.UID]bool{}
	for n := range w.runs {
		there[w.runs[n].UID] = true
	}
	maps.DeleteFunc(w.memory.cleared, func(uid types.UID, _ int) bool { return !there[uid] })
	before := len(w.memory.waits)
	maps.DeleteFunc(w.memory.waits, func(c call, _ wait) bool { return !there[c.run] })
	if len(w.memory.waits) < before {
		w.drop(func(c call) bool { return c.retraining == w.name && !there[c.run] })
	}
}

// goes tells whether a run goes on: it is in the status, or its engine may know of it, and has not ended.
func (w *pass) goes(run v1alpha1.RetrainingRun) bool {
	return !run.Status.Phase.Ended() && (len(run.Status.Attempts) > 0 || slices.Contains(w.report.Status.Active, run.Name))
}

// enter takes up the session of the Retraining's account.
func (w *pass) enter() error {
	if name := cmp.Or(w.retraining.Spec.ServiceAccountName, w.DefaultAccount); name != "" {
		w.account = cluster.Account{Namespace: w.retraining.Namespace, Name: name}
	}
	session, err := w.Cluster.As(w.account)
	if err != nil {
		return err
	}
	if w.memory.session != nil && w.memory.session != session {
		w.memory.session.Leave(OwnerOf(w.retraining))
		w.memory.watched = ""
	}
	w.session, w.memory.session = session, session
	return nil
}

// look has the next pass come at a time.
func (w *pass) look(at time.Time) {
	if !at.IsZero() && (w.report.Again.IsZero() || at.Before(w.report.Again)) {
		w.report.Again = at
	}
}
