package retrain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/agent/fill"
	"github.com/sluice-dev/sluice/agent/task"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// call is something that is asked of an engine, an object store or Git for a run.
type call struct {
	retraining types.NamespacedName
	run        types.UID
	attempt    int32
	what       string // reach, start, state, stop, collect, propose, delete
}

// of says whose a call is: one namespace does not get all seats.
func (c call) of() string { return c.retraining.Namespace }

// answer is what a call came to.
type answer struct {
	id       string
	state    engine.State
	result   *v1alpha1.RunResult
	proposal v1alpha1.ProposalStatus
}

// callTime is how long a call may take. To read a result takes as long as the model is large, so it has more time,
// as models that are registered have; and it keeps no engine waiting.
const (
	callTime = 2 * time.Minute
	readTime = 6 * time.Hour
)

// tasks are the calls of a kind, and how long each may take.
func (t *Trainer) tasks(what string) (*task.Tasks[call, answer], time.Duration) {
	if what == "collect" {
		return &t.reads, readTime
	}
	return &t.calls, callTime
}

// drop ends calls that nobody will ask for any more.
func (t *Trainer) drop(such func(call) bool) {
	t.calls.Forget(such)
	t.reads.Forget(such)
}

// call returns the answer to a call, and has it made if there is none and its time has come. A call that failed
// is made again after a pause, as long as somebody asks.
func (g going) call(what string, number int32, do func(context.Context) (answer, error)) (got answer, err error, known bool) {
	key := call{g.name, g.run.UID, number, what}
	before, waits := g.memory.waits[key]
	now := g.memory.stirred()
	if waits && g.now.Before(before.from) {
		g.look(before.from)
		return answer{}, nil, false
	}
	if waits && g.now.Before(before.until) && (before.failures > 0 || before.stirrups == now) {
		g.look(before.until)
		return answer{}, nil, false
	}
	tasks, limit := g.tasks(what)
	if !tasks.Under(key) {
		before.stirrups = now
		before.until = time.Time{}
		g.memory.waits[key] = before
	}
	got, err, known = tasks.Ask(key, func(ctx context.Context) (answer, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return do(ctx)
	})
	switch {
	case !known:
	case err != nil:
		if before.failures == 0 {
			before.since = g.now
		}
		before.failures++
		before.until = g.now.Add(callBackoff(what, before.failures))
		g.memory.waits[key] = before
		g.look(before.until)
	default:
		g.memory.waits[key] = wait{stirrups: before.stirrups}
	}
	return got, err, known
}

// callBackoff doubles from a second to a minute; where it takes renders, to ten.
func callBackoff(what string, failures int) time.Duration {
	longest := time.Minute
	if what == "propose" {
		longest = 10 * time.Minute
	}
	return min(time.Second<<min(failures-1, 10), longest)
}

// failing is for how long a call has failed again and again. It is counted from what this agent has seen, and not
// by times on record: one that was down for long tries as long as any.
func (g going) failing(what string, number int32) time.Duration {
	return g.now.Sub(g.memory.waits[call{g.name, g.run.UID, number, what}].since)
}

// under tells whether a call for the last attempt is under way, or has an answer.
func (g going) under(what string) bool {
	tasks, _ := g.tasks(what)
	return tasks.Under(call{g.name, g.run.UID, g.last().Number, what})
}

// again has a call made again after a while: soon where nobody tells of changes, and sooner while the run is
// young.
func (g going) again(what string, a attempt) {
	pause := min(max(g.now.Sub(g.last().StartedAt.Time)/10, 2*time.Second), 30*time.Second)
	if g.memory.watched != "" && a.run.Template.KFP == nil {
		pause = 5 * time.Minute
	}
	key := call{g.name, g.run.UID, a.number, what}
	read := g.memory.waits[key].stirrups
	g.memory.waits[key] = wait{from: g.now.Add(breath), until: g.now.Add(pause), stirrups: read}
	if g.memory.stirred() != read { // what was told of meanwhile may be newer than the answer
		pause = breath
	}
	g.look(g.now.Add(pause))
}

// breath is the least pause between two looks at a run: what begins changes in bursts, and while many begin there is
// better to do.
const breath = 500 * time.Millisecond

// temporary tells whether the same call may go well later. To the library a connection that is refused now, and a
// disk that is full, are so for ever.
func temporary(err error) bool {
	if t, is := errors.AsType[interface {
		error
		Temporary() bool
	}](err); is {
		_, ofSystem := any(t).(net.Error)
		return ofSystem || t.Temporary()
	}
	return engine.KindOf(err) == engine.Temporary
}

func forgotten(err error) bool { return err != nil && engine.KindOf(err) == engine.Forgotten }

// attempt is one that is to begin, or goes on.
type attempt struct {
	number int32
	kfp    *v1alpha1.RunPipeline
	run    engine.Run
	wait   string // what has to come before
}

// attempt is what the engine is given: it follows from the record alone, so that it is the same whoever
// asks. The error says why the templates cannot be filled.
func (g going) attempt(ctx context.Context) (attempt, error) {
	a := attempt{number: 1}
	name, id := "", ""
	if n := len(g.status.Attempts); n > 0 {
		last := g.status.Attempts[n-1]
		a.number, name, id, a.kfp = last.Number, last.Name, last.ID, last.KFP
		if g.status.Phase == v1alpha1.RunBackoff {
			a.number, name, id = last.Number+1, "", ""
		}
	}
	if g.run.Spec.Run == nil {
		return a, errors.New("the record says nothing of what is to be run: it was not written by the agent")
	}
	template, err := filled(*g.run.Spec.Run, valuesOf(g.run, a.number))
	if err != nil {
		return a, fmt.Errorf("spec.run: %w", err)
	}
	parameters := maps.Clone(template.Parameters)
	if parameters == nil {
		parameters = map[string]string{}
	}
	maps.Copy(parameters, g.run.Spec.Parameters)
	template.Parameters = nil
	if len(parameters) > 0 && template.KFP == nil && template.Workflow == nil {
		return a, fmt.Errorf("the run has parameters (%s), which only kfp and workflow take: write {{ }} into the template", slices.Sorted(maps.Keys(parameters))[0])
	}
	if template.KFP != nil {
		if g.pin(ctx, &a, template.KFP); a.wait != "" {
			return a, nil
		}
	}
	a.run = engine.Run{
		Namespace: g.name.Namespace, Record: g.run.Name, UID: g.run.UID, Retraining: g.name.Name,
		Name: cmp.Or(name, engine.Name(g.run.Name, a.number)), ID: id, Template: template, Parameters: parameters,
	}
	return a, nil
}

// pin says which pipeline and which version it is: what the first attempt had, or what they are now.
func (g going) pin(ctx context.Context, a *attempt, run *v1alpha1.KFPRun) {
	if a.kfp == nil {
		p, err := g.pipeline(ctx, g.Live, run.Pipeline) // what is kept of it may be of the commit before
		if err != nil {
			a.wait = fmt.Sprintf("Pipeline %s cannot be read: %s", run.Pipeline, err)
			return
		}
		*run = pipelines.Resolved(*run, p, g.run.Spec.Model)
		if p != nil && run.Version == "" {
			run.Version, _, a.wait = pipelines.Pinned(*p)
		}
		a.kfp = &v1alpha1.RunPipeline{Name: run.Pipeline, Version: run.Version, Address: run.Address}
		return
	}
	*run = pipelines.Resolved(*run, nil, g.run.Spec.Model)
	run.Pipeline, run.Version, run.Address = a.kfp.Name, a.kfp.Version, a.kfp.Address
}

// valuesOf are what the templates of a run are filled with.
func valuesOf(run *v1alpha1.RetrainingRun, attempt int32) fill.Values {
	v := fill.Values{
		Slot: run.Spec.Slot.UTC(), Run: run.Name, Attempt: attempt, Model: run.Spec.Model, Versions: run.Spec.Values.Versions, Revision: run.Spec.Values.Revision,
	}
	if zone, err := time.LoadLocation(cmp.Or(run.Spec.Values.TimeZone, "UTC")); err == nil {
		v.Slot = v.Slot.In(zone)
	}
	if last := run.Spec.Values.LastSuccess; last != nil {
		v.LastSuccess = last.In(v.Slot.Location())
	}
	if data := run.Spec.Values.Data; data != nil {
		v.Data = &fill.Data{Fingerprint: data.Fingerprint, Count: data.Count}
		if data.Newest != nil {
			v.Data.Newest = data.Newest.In(v.Slot.Location())
		}
	}
	return v
}

// engine is what runs a run.
func (w *pass) engine(run engine.Run) engine.Engine {
	if run.Template.KFP != nil {
		return w.Pipelines(w.account)
	}
	return engine.Objects{Cluster: w.session, WorkflowsURL: w.WorkflowsURL}
}

// watch has changes of what runs told: then nobody asks again and again.
func (w *pass) watch(ctx context.Context) {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, run := range w.runs {
		if w.goes(run) && run.Spec.Run != nil {
			if kind := engine.ObjectOf(*run.Spec.Run); kind.Kind != "" {
				kinds[kind] = true
			}
		}
	}
	if len(kinds) == 0 {
		if w.memory.watched != "" || !w.memory.rewatch.IsZero() {
			w.session.Leave(OwnerOf(w.retraining))
			w.memory.watched, w.memory.rewatch = "", time.Time{}
		}
		return
	}
	var needs []cluster.Need
	for kind := range kinds {
		needs = append(needs, cluster.Need{Kind: kind, Namespaces: []string{w.name.Namespace}})
	}
	slices.SortFunc(needs, func(a, b cluster.Need) int { return cmp.Compare(a.Kind.String(), b.Kind.String()) })
	now := fmt.Sprint(needs)
	if now == w.memory.watched || w.now.Before(w.memory.rewatch) {
		return
	}
	w.memory.watched = now
	for _, err := range w.session.Watch(ctx, OwnerOf(w.retraining), needs) {
		log.FromContext(ctx).Info("what runs is asked again and again, for it cannot be watched", "retraining", w.name, "error", err.Error())
		w.memory.watched, w.memory.rewatch = "", w.now.Add(time.Minute)
	}
}
