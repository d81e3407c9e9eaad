package retrain

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/slot"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mostSteps bounds how far a run goes in one pass: more than the way from its beginning to its end.
const mostSteps = 24

// advance takes a run as far as it can go now. Each step is on record before the next.
func (w *pass) advance(ctx context.Context, n int) error {
	for range mostSteps {
		before := &w.runs[n]
		after := before.DeepCopy()
		g := going{w, after, &after.Status}
		g.step(ctx)
		tell(after)
		written, err := w.Runs.Write(ctx, before, after)
		if err != nil {
			return err
		}
		same := written == before
		if !same && written.Status.Phase != before.Status.Phase {
			w.report.Moved = append(w.report.Moved, *written.DeepCopy())
		}
		w.runs[n] = *written
		if written.Status.Phase.Ended() {
			w.look(w.now) // it is counted, and what waited for it is decided upon
			maps.DeleteFunc(w.memory.waits, func(c call, _ wait) bool { return c.run == written.UID })
			w.drop(func(c call) bool { return c.run == written.UID })
		}
		if same || written.Status.Phase.Ended() {
			break
		}
	}
	return nil
}

// going is a run that goes on, with its status as it will be.
type going struct {
	*pass
	run    *v1alpha1.RetrainingRun
	status *v1alpha1.RetrainingRunStatus
}

// step is one transition of a run, or none.
func (g going) step(ctx context.Context) {
	if reason, asked := g.run.Annotations[v1alpha1.CancelAnnotation]; asked && g.status.Canceling == "" {
		g.status.Canceling = short(strings.TrimSuffix("canceled by hand: "+reason, ": "))
	}
	switch {
	case len(g.status.Attempts) == 0 || g.status.Phase == v1alpha1.RunBackoff:
		g.begin(ctx)
	case g.status.Phase == v1alpha1.RunCollecting:
		g.collect(ctx)
	case g.status.Phase == v1alpha1.RunProposing:
		g.propose(ctx)
	default:
		g.follow(ctx)
	}
}

// at moves a run to a phase.
func (g going) at(phase v1alpha1.RunPhase, format string, args ...any) {
	g.status.Phase, g.status.Message = phase, short(fmt.Sprintf(format, args...))
}

// end ends a run.
func (g going) end(phase v1alpha1.RunPhase, format string, args ...any) {
	finish(g.status, phase, fmt.Sprintf(format, args...), g.now)
}

// finish puts the end of a run into its status.
func finish(s *v1alpha1.RetrainingRunStatus, phase v1alpha1.RunPhase, message string, now time.Time) {
	s.Phase, s.Message, s.NextAttemptAt = phase, short(message), nil
	s.EndedAt = new(metav1.NewTime(now.UTC().Truncate(time.Second)))
}

// begin has the next attempt begin, when it is time and the engine can be reached.
func (g going) begin(ctx context.Context) {
	switch next := g.status.NextAttemptAt; {
	case g.status.Canceling != "":
		g.end(v1alpha1.RunCanceled, "%s", g.status.Canceling)
		return
	case next != nil && g.pauses(next.Time):
		g.look(next.Time)
		return
	case len(g.status.Attempts) == 0 && !slot.MayBegin(*g.retraining, g.run.Name):
		g.at(v1alpha1.RunPending, "it waits: the Retraining is suspended")
		return
	}
	attempt, err := g.attempt(ctx)
	if err != nil {
		g.end(v1alpha1.RunFailed, "%s", err)
		return
	}
	if attempt.wait != "" {
		g.at(v1alpha1.RunPending, "it waits: %s", attempt.wait)
		g.look(g.now.Add(waitPass)) // who waits for what it was when it was decided upon is not told of changes
		return
	}
	if len(g.status.Attempts) == 0 && !g.reached(ctx, attempt) {
		return
	}
	g.status.NextAttemptAt = nil
	now := metav1.NewTime(g.now.UTC().Truncate(time.Second))
	if g.status.StartedAt == nil {
		g.status.StartedAt = &now
	}
	g.status.Attempts = append(g.status.Attempts, v1alpha1.RunAttempt{
		Number: attempt.number, Name: attempt.run.Name, Phase: v1alpha1.RunPending, StartedAt: &now, KFP: attempt.kfp, Parameters: attempt.run.Parameters,
	})
	g.at(v1alpha1.RunPending, "it is being started")
}

// waitPass is the pause before it is looked again whether a Pipeline has come.
const waitPass = 30 * time.Second

// pauses tells whether the pause before an attempt is not over. One that is longer than any pause was written
// before the clock was put back, or the pause became a shorter one.
func (g going) pauses(until time.Time) bool {
	left := until.Sub(g.now)
	return left > 0 && left <= backoff(g.retraining.Spec.RetryBackoff.Duration, g.last().Number)+time.Second
}

// patience is for how long a run that has not begun waits for what may be on its way, such as a kind or a
// pipeline that comes with the same commit.
const patience = time.Minute

// aMoment is for how long nothing is said of a run that is about to begin: nearly all have begun by then.
const aMoment = 3 * time.Second

// reached tells whether the engine can be asked to start a run. As long as it cannot, nothing has begun, and
// spec.missed may decide upon the run in another way.
func (g going) reached(ctx context.Context, a attempt) bool {
	_, err, known := g.call("reach", 0, func(ctx context.Context) (answer, error) { return answer{}, g.engine(a.run).Reach(ctx, a.run) })
	switch {
	case !known && g.status.Phase == "" && g.now.Sub(g.run.CreationTimestamp.Time) >= aMoment:
		g.at(v1alpha1.RunPending, "it is about to begin")
	case !known && g.status.Phase == "":
		g.look(g.run.CreationTimestamp.Add(aMoment))
	case !known:
	case err == nil:
		return true
	case !temporary(err) && g.now.Sub(g.run.CreationTimestamp.Time) > patience:
		g.end(v1alpha1.RunFailed, "%s", err)
	default:
		g.at(v1alpha1.RunPending, "it cannot begin yet: %s", err)
	}
	return false
}

// last is the attempt that goes on.
func (g going) last() *v1alpha1.RunAttempt { return &g.status.Attempts[len(g.status.Attempts)-1] }

// follow starts the last attempt, sees how it is, and has it stopped if it is to end.
func (g going) follow(ctx context.Context) {
	last := g.last()
	if last.Stopping == "" {
		last.Stopping = g.whyStopped()
		if last.Stopping != "" {
			g.at(g.status.Phase, "it is being stopped: %s", last.Stopping)
			return // on record first
		}
	}
	a, err := g.attempt(ctx)
	if err != nil { // it could be filled when the attempt began
		g.failed("", err.Error(), false)
		return
	}
	if last.ID == "" && (last.Stopping == "" || g.under("start")) {
		g.start(a)
		return
	}
	if last.Stopping != "" {
		g.stop(a)
		return
	}
	g.observe(a)
}

// whyStopped says why the last attempt is to be stopped; empty if it is not.
func (g going) whyStopped() string {
	if g.status.Canceling != "" {
		return g.status.Canceling
	}
	limit := g.retraining.Spec.Timeout.Duration
	if limit <= 0 || g.last().StartedAt == nil {
		return ""
	}
	over := g.last().StartedAt.Add(limit)
	if g.now.Before(over) {
		g.look(over)
		return ""
	}
	return fmt.Sprintf("it took longer than spec.timeout, %s", limit)
}

// start has the engine start the attempt.
func (g going) start(a attempt) {
	got, err, known := g.call("start", a.number, func(ctx context.Context) (answer, error) {
		id, err := g.engine(a.run).Start(ctx, a.run)
		return answer{id: id}, err
	})
	switch {
	case !known:
	case err == nil:
		g.last().ID = got.id
		g.at(v1alpha1.RunPending, "it was started")
		g.memory.waits[call{g.name, g.run.UID, a.number, "state"}] = wait{from: g.now.Add(breath)}
		g.look(g.now.Add(breath))
	case temporary(err):
		g.at(v1alpha1.RunPending, "it cannot be started yet: %s", err)
	default:
		g.failed("", err.Error(), false)
	}
}

// observe sees how the attempt is.
func (g going) observe(a attempt) {
	got, err, known := g.call("state", a.number, func(ctx context.Context) (answer, error) {
		s, err := g.engine(a.run).State(ctx, a.run)
		return answer{state: s}, err
	})
	last := g.last()
	switch s := got.state; {
	case !known:
	case forgotten(err):
		g.failed("", err.Error(), true)
	case err != nil: // also if it is for good: it may run all the same, and a right can be given back
		g.status.Message = short("how it is cannot be seen: " + err.Error())
	case !s.Phase.Ended():
		last.Phase, last.URL = s.Phase, short(s.URL)
		message := s.Message
		if message == "" {
			message = map[bool]string{true: "it runs", false: "it was started"}[s.Phase == v1alpha1.RunRunning]
		}
		g.at(s.Phase, "%s", message)
		g.again("state", a)
	case s.Phase == v1alpha1.RunSucceeded:
		g.succeeded(a, got)
	default:
		g.note(got)
		message := s.Message
		if s.Phase == v1alpha1.RunCanceled && message == "" {
			message = "it was stopped by somebody else"
		}
		g.failed(s.Step, message, true)
	}
}

// stop has the engine stop the attempt, and waits until it has.
func (g going) stop(a attempt) {
	a.run.Canceled = true
	got, err, known := g.call("stop", a.number, func(ctx context.Context) (answer, error) {
		e := g.engine(a.run)
		if err := e.Cancel(ctx, a.run); err != nil || a.run.ID == "" {
			return answer{}, err // without an id there is nothing to wait for
		}
		s, err := e.State(ctx, a.run)
		return answer{state: s}, err
	})
	last := g.last()
	switch s := got.state; {
	case !known:
		return
	case err != nil && !forgotten(err):
		g.at(g.status.Phase, "it cannot be stopped yet: %s", err)
		return
	case err == nil && a.run.ID != "" && !s.Phase.Ended():
		g.again("stop", a)
		return
	case err == nil && s.Phase == v1alpha1.RunSucceeded && g.status.Canceling == "": // it was faster
		last.Stopping = ""
		g.succeeded(a, got)
		return
	}
	g.note(got)
	if g.status.Canceling != "" {
		last.Phase, last.EndedAt, last.Message = v1alpha1.RunCanceled, g.second(), short(g.status.Canceling)
		g.end(v1alpha1.RunCanceled, "%s", g.status.Canceling)
		return
	}
	g.failed("", last.Stopping, true)
}

// note puts what the engine says of an attempt that has ended into it.
func (g going) note(got answer) {
	last, s := g.last(), got.state
	if s.URL != "" {
		last.URL = short(s.URL)
	}
	if !s.EndedAt.IsZero() {
		last.EndedAt = g.second()
		if s.EndedAt.Before(g.now) { // what is to come is none of its time
			last.EndedAt = new(metav1.NewTime(s.EndedAt.UTC().Truncate(time.Second)))
		}
	}
}

// succeeded goes on to the result.
func (g going) succeeded(a attempt, got answer) {
	g.note(got)
	last := g.last()
	last.Phase, last.Message = v1alpha1.RunSucceeded, short(got.state.Message)
	if last.EndedAt == nil {
		last.EndedAt = g.second()
	}
	if g.run.Spec.Result == nil {
		g.end(v1alpha1.RunSucceeded, "%s has succeeded", a.run.Name)
		return
	}
	g.at(v1alpha1.RunCollecting, "the result is read")
}

// failed ends an attempt that failed, and the run unless there is another attempt left that may help.
func (g going) failed(step, message string, again bool) {
	last := g.last()
	last.Phase, last.Step, last.Message = v1alpha1.RunFailed, cutTo(step, longestStep), short(message)
	if last.EndedAt == nil {
		last.EndedAt = g.second()
	}
	said := message
	if step != "" {
		said = fmt.Sprintf("step %s failed: %s", step, message)
	}
	if of := g.retraining.Spec.Retries + 1; again && last.Number < of && g.status.Canceling == "" {
		pause := backoff(g.retraining.Spec.RetryBackoff.Duration, last.Number)
		g.status.NextAttemptAt = new(metav1.NewTime(g.now.Add(pause).UTC().Truncate(time.Second).Add(time.Second)))
		g.at(v1alpha1.RunBackoff, "attempt %d of %d failed, the next is at %s: %s", last.Number, of, g.status.NextAttemptAt.UTC().Format(time.TimeOnly+" UTC"), said)
		return
	}
	if g.status.Canceling != "" {
		g.end(v1alpha1.RunCanceled, "%s", g.status.Canceling)
		return
	}
	if n := len(g.status.Attempts); n > 1 {
		said = fmt.Sprintf("%d attempts failed; the last: %s", n, said)
	}
	g.end(v1alpha1.RunFailed, "%s", said)
}

func (g going) second() *metav1.Time { return new(metav1.NewTime(g.now.UTC().Truncate(time.Second))) }

// tell puts the phase of a run into its conditions, once it has one.
func tell(run *v1alpha1.RetrainingRun) {
	phase := run.Status.Phase
	if phase == "" {
		return
	}
	record.Phase{Name: string(phase), Message: run.Status.Message, Ended: phase.Ended(), Succeeded: phase == v1alpha1.RunSucceeded}.Conditions(&run.Status.Conditions, run.Generation)
}

// backoff is the pause after so many attempts: it doubles, up to an hour.
func backoff(first time.Duration, attempts int32) time.Duration {
	if first <= 0 {
		first = time.Minute
	}
	if first >= time.Hour {
		return first
	}
	return min(first<<min(attempts-1, 12), time.Hour)
}

// How long texts may be, as the CRD has it.
const (
	longestMessage = 1024
	longestStep    = 253
)

func short(text string) string { return cutTo(text, longestMessage) }

// cutTo makes a text fit into a status.
func cutTo(text string, longest int) string {
	const more = "…"
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest-len(more)], "") + more
}
