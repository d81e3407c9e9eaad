package sync

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Phase sorts verdicts for the conditions.
type Phase string

const (
	// Ready: applied and healthy.
	Ready Phase = "Ready"
	// Progressing: on its way; nothing failed.
	Progressing Phase = "Progressing"
	// Failing: something failed; it is tried again.
	Failing Phase = "Failing"
	// Stalled: it cannot go on until somebody changes something.
	Stalled Phase = "Stalled"
)

// Verdict is what a pass came to, in the words of the Ready condition.
type Verdict struct {
	Phase   Phase
	Reason  string
	Message string
	// Retry is when to try again though nothing happened; zero for never.
	Retry time.Duration
}

// facts of a pass that its verdict depends on.
type ending struct {
	revision string
	set      agent.Set
	plan     agent.Plan
	run      agent.Run
	census   census
	fights   map[agent.Ref]string
	timeout  time.Duration
	since    time.Duration     // time since the objects were changed
	pending  []agent.Violation // deletes that wait for others; they keep nobody from being Ready
	wasReady bool              // it was Ready at this revision before
}

// judge turns the ending of a pass into a verdict. The order of the questions is the order
// of their importance to the reader.
func judge(e ending) Verdict {
	e.plan.Violations, e.pending = withoutPending(e.plan.Violations)
	if refused := refusals(e.plan, false); len(refused) > 0 {
		reason := v1alpha1.PlanRefusedReason
		if onlyDeletes(refused) {
			reason = v1alpha1.PruneRefusedReason
		}
		return Verdict{Phase: Failing, Reason: reason, Message: e.listing(refused)}
	}
	if failed := outcomes(e.run, agent.Failed); len(failed) > 0 && !e.onTheirWay(failed) {
		reason := v1alpha1.ApplyFailedReason
		if failed[0].Verb == agent.Delete {
			reason = v1alpha1.PruneFailedReason
		}
		return Verdict{Phase: Failing, Reason: reason, Message: e.failures(failed)}
	}
	if coming := e.coming(); coming != "" {
		return Verdict{Phase: Progressing, Reason: v1alpha1.ProgressingReason, Message: coming, Retry: e.timeout - e.since}
	}
	if refused := refusals(e.plan, true); len(refused) > 0 {
		return Verdict{Phase: Failing, Reason: v1alpha1.PlanRefusedReason, Message: e.listing(refused)}
	}
	if len(e.fights) > 0 {
		return Verdict{Phase: Failing, Reason: v1alpha1.DriftFightReason, Message: firstFight(e.fights)}
	}
	if v, settled := judgeHealth(e); settled {
		return v
	}
	if left := outcomes(e.run, agent.NotReached); len(left) > 0 {
		return Verdict{Phase: Progressing, Reason: v1alpha1.ProgressingReason, Message: e.failures(left)}
	}
	message := fmt.Sprintf("Applied %s: %s, all healthy", agent.Short(e.revision), objects(e.census.total))
	if len(e.pending) > 0 {
		message += fmt.Sprintf("; %d more are to be deleted: %s", len(e.pending), e.listing(e.pending))
	}
	if e.census.drifted > 0 {
		return Verdict{Phase: Ready, Reason: v1alpha1.DriftedReason, Message: fmt.Sprintf("%s; %d differ from Git and are only reported", message, e.census.drifted)}
	}
	return Verdict{Phase: Ready, Reason: v1alpha1.SucceededReason, Message: message}
}

// judgeHealth answers for objects that were applied and are not healthy.
func judgeHealth(e ending) (Verdict, bool) {
	c := e.census
	if c.total == c.healthy {
		return Verdict{}, false
	}
	left := e.timeout - e.since
	message := fmt.Sprintf("%d of %d objects are healthy; %s", c.healthy, c.total, c.worst())
	switch {
	case len(c.degraded) > 0:
		return Verdict{Phase: Failing, Reason: v1alpha1.UnhealthyReason, Message: message, Retry: max(left, 0)}, true
	case left <= 0:
		return Verdict{Phase: Failing, Reason: v1alpha1.HealthTimeoutReason, Message: fmt.Sprintf("not healthy within %s: %s", e.timeout, message)}, true
	case e.wasReady:
		return Verdict{Phase: Ready, Reason: v1alpha1.SucceededReason, Message: message, Retry: left}, true
	}
	return Verdict{Phase: Progressing, Reason: v1alpha1.ProgressingReason, Message: message, Retry: left}, true
}

// census counts objects by health.
type census struct {
	total, healthy, drifted int
	degraded, progressing   []string // sentences, most telling first
}

func (c census) worst() string {
	const few = 3
	list := append(append([]string{}, c.degraded...), c.progressing...)
	if len(list) > few {
		list = append(list[:few:few], fmt.Sprintf("and %d more", len(list)-few))
	}
	return strings.Join(list, "; ")
}

// withoutPending parts the deletes that wait from everything else. An overlay is Ready while
// an object of it goes away, or is about to be taken over by another overlay that may itself
// wait for this one to be Ready.
func withoutPending(violations []agent.Violation) (rest, pending []agent.Violation) {
	for _, v := range violations {
		if v.Verb == agent.Delete && v.Class == agent.Waiting {
			pending = append(pending, v)
		} else {
			rest = append(rest, v)
		}
	}
	return rest, pending
}

func refusals(p agent.Plan, waits bool) []agent.Violation {
	var found []agent.Violation
	for _, v := range p.Violations {
		if v.Waits == waits {
			found = append(found, v)
		}
	}
	return found
}

func onlyDeletes(violations []agent.Violation) bool {
	for _, v := range violations {
		if v.Verb != agent.Delete {
			return false
		}
	}
	return true
}

func outcomes(run agent.Run, result agent.Result) []agent.Outcome {
	var found []agent.Outcome
	for _, o := range run.Outcomes {
		if o.Result == result {
			found = append(found, o)
		}
	}
	return found
}

// onTheirWay tells that all failures are of a kind that goes away when something else
// arrives, and that the time for that is not over.
func (e ending) onTheirWay(failed []agent.Outcome) bool {
	for _, o := range failed {
		if !comes(o.Class) {
			return false
		}
	}
	return e.since < e.timeout
}

// coming names the objects that wait for something that may be on its way; it is empty when
// there are none, or when other objects were refused, or when their time is over.
func (e ending) coming() string {
	var lines []string
	for _, v := range e.plan.Violations {
		if !comes(v.Class) {
			return ""
		}
		lines = append(lines, e.about(v.Ref, v.Message))
	}
	for _, o := range outcomes(e.run, agent.Failed) {
		lines = append(lines, e.about(o.Ref, o.Message))
	}
	if e.since >= e.timeout {
		return ""
	}
	return abridge(lines)
}

func comes(c agent.Class) bool {
	return c == agent.NoKind || c == agent.NoNamespace || c == agent.Waiting
}

// listed is how many sentences a message holds before it counts the rest.
const listed = 5

func (e ending) listing(violations []agent.Violation) string {
	var lines []string
	for _, v := range violations {
		lines = append(lines, e.about(v.Ref, v.Message))
	}
	return abridge(lines)
}

func (e ending) failures(failed []agent.Outcome) string {
	var lines []string
	for _, o := range failed {
		lines = append(lines, e.about(o.Ref, o.Message))
	}
	return abridge(lines)
}

// about says something of an object, with the file it comes from.
func (e ending) about(ref agent.Ref, message string) string {
	text := ref.String() + ": " + message
	o, wanted := e.set.Find(ref)
	switch {
	case !wanted || o.Origin == "":
		return text
	case strings.ContainsFunc(o.Origin, unicode.IsControl):
		return fmt.Sprintf("%q: %s", o.Origin, text)
	}
	return o.Origin + ": " + text
}

func abridge(lines []string) string {
	if len(lines) > listed {
		lines = append(lines[:listed:listed], fmt.Sprintf("and %d more objects", len(lines)-listed))
	}
	return strings.Join(lines, "; ")
}

func firstFight(fights map[agent.Ref]string) string {
	var lines []string
	for ref, why := range fights {
		lines = append(lines, ref.String()+": "+why)
	}
	return abridge(sorted(lines))
}

// objects counts in words.
func objects(n int) string {
	if n == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", n)
}

// are is objects with the verb.
func are(n int) string {
	if n == 1 {
		return "1 object is"
	}
	return objects(n) + " are"
}
