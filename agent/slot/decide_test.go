package slot

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

const (
	forbid  = v1alpha1.ForbidConcurrent
	allow   = v1alpha1.AllowConcurrent
	replace = v1alpha1.ReplaceConcurrent
	skip    = v1alpha1.MissedSkip
	latest  = v1alpha1.MissedLatest
	all     = v1alpha1.MissedAll
)

// clock is a time of 25 November 2026, such as 03:00 or 03:00:02.
func clock(t testing.TB, text string) time.Time {
	t.Helper()
	layout := "2006-01-02 15:04:05"
	if len(text) == len("03:00") {
		text += ":00"
	}
	at, err := time.Parse(layout, "2026-11-25 "+text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// hourly is the Retraining of the tables: every hour, on the hour, since 00:30; 03:00 is handled.
func hourly(t testing.TB) v1alpha1.Retraining {
	t.Helper()
	r := v1alpha1.Retraining{Spec: v1alpha1.RetrainingSpec{Model: "fraud", Schedules: []string{"@hourly"}}}
	r.Namespace, r.Name = "ml", "fraud"
	r.CreationTimestamp = metav1.NewTime(clock(t, "00:30"))
	r.Status.HandledSlot = new(metav1.NewTime(clock(t, "03:00")))
	return r
}

// record is the RetrainingRun of a slot: "03:00 Running", "03:00 Pending Missed". It has begun unless it
// is Pending.
func record(t testing.TB, text string) v1alpha1.RetrainingRun {
	t.Helper()
	words := append(strings.Fields(text), "Schedule")
	at, kind := clock(t, words[0]), v1alpha1.TriggerKind(words[2])
	run := v1alpha1.RetrainingRun{Spec: v1alpha1.RetrainingRunSpec{Slot: metav1.NewTime(at), Trigger: v1alpha1.RunTrigger{Kind: kind}}}
	run.Name = RunName("fraud", at, kind, "")
	run.CreationTimestamp = metav1.NewTime(at)
	run.Status.Phase = v1alpha1.RunPhase(words[1])
	if run.Status.Phase != v1alpha1.RunPending {
		run.Status.Attempts = []v1alpha1.RunAttempt{{Number: 1}}
	}
	return run
}

// told is a decision in few words.
func told(d Decision) string {
	short := func(at time.Time) string { return strings.TrimSuffix(at.UTC().Format("15:04:05"), ":00") }
	name := func(run string) string { return strings.TrimPrefix(run, "fraud-20261125-") }
	var words []string
	for _, r := range d.Begin {
		words = append(words, fmt.Sprintf("%s runs (%s)", short(r.Slot), r.Trigger.Kind))
	}
	for _, s := range d.Skipped {
		slots := short(s.Last)
		if !s.First.Equal(s.Last) {
			slots = short(s.First) + "-" + slots
		}
		how := "skipped"
		if s.Missed {
			how = "missed"
		}
		words = append(words, fmt.Sprintf("%s %s", slots, how))
	}
	for _, e := range d.Cancel {
		words = append(words, name(e.Name)+" canceled")
	}
	for _, e := range d.Withdraw {
		words = append(words, name(e.Name)+" withdrawn")
	}
	for _, slot := range d.Status.Waiting {
		words = append(words, short(slot.Time)+" waits")
	}
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// situation is told by what goes on and by the time.
type situation struct {
	name string
	runs []string // on record and in the status
	now  string
	edit func(*v1alpha1.Retraining)
	want map[string]string // the outcome by "concurrencyPolicy missed"; * stands for all others
}

// situations is every policy in every situation. The schedule is @hourly, and 03:00 was the last slot
// that was handled. docs/schedules.md has them too.
func situations(t *testing.T) []situation {
	return []situation{
		{"nothing is due", nil, "03:59", nil, map[string]string{
			"* *": "nothing"}},
		{"a slot comes, and nothing goes on", nil, "04:00", nil, map[string]string{
			"* *": "04:00 runs (Schedule)"}},
		{"a slot is seen late, but within the grace", nil, "04:05", nil, map[string]string{
			"* *": "04:00 runs (Schedule)"}},
		{"a slot comes while a run goes on", []string{"03:00 Running"}, "04:00", nil, map[string]string{
			"Forbid *":  "04:00 skipped",
			"Allow *":   "04:00 runs (Schedule)",
			"Replace *": "04:00 runs (Schedule), 0300 canceled"}},
		{"a slot comes while a run waits for its next attempt", []string{"03:00 Backoff"}, "04:00", nil, map[string]string{
			"Forbid *":  "04:00 skipped",
			"Allow *":   "04:00 runs (Schedule)",
			"Replace *": "04:00 runs (Schedule), 0300 canceled"}},
		{"a slot comes after the run before has ended", []string{"03:00 Failed"}, "04:00", nil, map[string]string{
			"* *": "04:00 runs (Schedule)"}},

		{"the agent was down over one slot", nil, "04:30", nil, map[string]string{
			"* Skip":   "04:00 missed",
			"* Latest": "04:00 runs (Missed)",
			"* All":    "04:00 runs (Missed)"}},
		{"the agent was down over three slots", nil, "06:30", nil, map[string]string{
			"* Skip":   "04:00-06:00 missed",
			"* Latest": "06:00 runs (Missed), 04:00-05:00 missed",
			"* All":    "04:00 runs (Missed), 05:00 waits, 06:00 waits"}},
		{"the agent comes back as the third is due", nil, "06:00", nil, map[string]string{
			"* Skip":   "06:00 runs (Schedule), 04:00-05:00 missed",
			"* Latest": "06:00 runs (Schedule), 04:00 missed, 05:00 missed",
			"* All":    "04:00 runs (Missed), 05:00 waits, 06:00 waits"}},
		{"the agent was down over three, and a run goes on", []string{"03:00 Running"}, "06:30", nil, map[string]string{
			"* Skip":       "04:00-06:00 missed",
			"Allow Latest": "06:00 runs (Missed), 04:00-05:00 missed",
			"* Latest":     "04:00-05:00 missed, 06:00 waits",
			"Allow All":    "04:00 runs (Missed), 05:00 waits, 06:00 waits",
			"* All":        "04:00 waits, 05:00 waits, 06:00 waits"}},
		{"one of three is caught up", []string{"04:00 Running Missed"}, "06:45", waits("06:00", "05:00", "06:00"), map[string]string{
			"* All": "05:00 waits, 06:00 waits"}},
		{"one of three was caught up", []string{"04:00 Succeeded Missed"}, "06:50", waits("06:00", "05:00", "06:00"), map[string]string{
			"* All": "05:00 runs (Missed), 06:00 waits"}},
		{"a slot comes while others are caught up", []string{"05:00 Running Missed"}, "07:00", waits("06:00", "06:00"), map[string]string{
			"Forbid All":  "07:00 skipped, 06:00 waits",
			"Allow All":   "07:00 runs (Schedule), 06:00 waits",
			"Replace All": "07:00 runs (Schedule), 0500 canceled, 06:00 waits"}},
		{"a slot comes as one was caught up", []string{"05:00 Succeeded Missed"}, "07:00", waits("06:00", "06:00"), map[string]string{
			"* All": "06:00 runs (Missed), 07:00 waits"}},
		{"one of three is caught up, and missed was All until now", []string{"04:00 Running Missed"}, "06:45", waits("06:00", "05:00", "06:00"), map[string]string{
			"* Skip":   "05:00-06:00 missed",
			"* Latest": "05:00 missed, 06:00 waits"}},

		{"the engine cannot be reached, and nothing else is due", []string{"03:00 Pending"}, "03:04", nil, map[string]string{
			"* *": "nothing"}},
		{"the engine cannot be reached for long", []string{"03:00 Pending"}, "03:30", nil, map[string]string{
			"* Skip": "03:00 missed",
			"* *":    "nothing"}},
		{"the engine cannot be reached, and the next slot comes", []string{"03:00 Pending"}, "04:00", nil, map[string]string{
			"* Skip":   "04:00 runs (Schedule), 03:00 missed",
			"* Latest": "04:00 runs (Schedule), 03:00 missed",
			"* All":    "04:00 waits"}},

		{"it was suspended over two slots, and is resumed as the third is due", nil, "06:00", resumed("03:30"), map[string]string{
			"* Skip":   "04:00-06:00 missed",
			"* Latest": "06:00 runs (Missed), 04:00-05:00 missed",
			"* All":    "04:00 runs (Missed), 05:00 waits, 06:00 waits"}},
		{"it is suspended", []string{"03:00 Running"}, "06:00", func(r *v1alpha1.Retraining) { r.Spec.Suspend = true }, map[string]string{
			"* *": "nothing"}},

		{"three were missed, and startingDeadline is 1h", nil, "06:30", deadline(time.Hour), map[string]string{
			"* Skip":   "04:00-05:00 missed, 06:00 missed",
			"* Latest": "06:00 runs (Missed), 04:00-05:00 missed",
			"* All":    "06:00 runs (Missed), 04:00-05:00 missed"}},
		{"three were missed, and startingDeadline is 30m", nil, "06:30", deadline(30 * time.Minute), map[string]string{
			"* *": "04:00-06:00 missed"}},
		{"a slot is seen late, and startingDeadline is 1m", nil, "04:02", deadline(time.Minute), map[string]string{
			"* *": "04:00 missed"}},
		{"two wait, and startingDeadline is 1h40m", []string{"03:00 Running"}, "06:45", both(waits("06:00", "05:00", "06:00"), deadline(100*time.Minute)), map[string]string{
			"Allow All": "06:00 runs (Missed), 05:00 missed",
			"* All":     "05:00 missed, 06:00 waits"}},
		{"the engine cannot be reached for long, and startingDeadline is 30m", []string{"03:00 Pending"}, "03:30", deadline(30 * time.Minute), map[string]string{
			"* *": "03:00 missed"}},

		{"six were missed, and missedLimit is 2", nil, "09:30", func(r *v1alpha1.Retraining) { r.Spec.MissedLimit = 2 }, map[string]string{
			"* Skip":   "04:00-09:00 missed",
			"* Latest": "09:00 runs (Missed), 04:00-08:00 missed",
			"* All":    "08:00 runs (Missed), 04:00-07:00 missed, 09:00 waits"}},

		{"the schedule was changed after a slot was due", nil, "06:30", changed("04:00"), map[string]string{
			"* *": "03:00-06:30 skipped"}},
		{"the schedule was changed before a slot was due", nil, "03:30", changed("04:00"), map[string]string{
			"* *": "nothing"}},
		{"the schedule was changed while slots waited", []string{"04:00 Running Missed"}, "06:30", both(waits("06:00", "05:00", "06:00"), changed("07:00")), map[string]string{
			"* *": "05:00-06:00 missed"}},
		{"the schedule was changed while it was suspended", nil, "06:30", both(resumed("03:30"), changed("04:00")), map[string]string{
			"* *": "03:00-06:30 skipped"}},

		{"the clock was put back", []string{"03:00 Running"}, "01:30", nil, map[string]string{
			"* *": "nothing"}},
		{"the agent was down, and endAt is 04:30", nil, "06:30", func(r *v1alpha1.Retraining) { r.Spec.EndAt = new(metav1.NewTime(clock(t, "04:30"))) }, map[string]string{
			"* Skip": "04:00 missed",
			"* *":    "04:00 runs (Missed)"}},
		{"startAt is 08:00", nil, "06:30", func(r *v1alpha1.Retraining) { r.Spec.StartAt = new(metav1.NewTime(clock(t, "08:00"))) }, map[string]string{
			"* *": "nothing"}},
		{"a slot comes, and its jitter is 2m16s", nil, "04:02:15", jitter(t, 30*time.Minute), map[string]string{
			"* *": "nothing"}},
		{"its jitter of 2m16s is over", nil, "04:02:16", jitter(t, 30*time.Minute), map[string]string{
			"* *": "04:00 runs (Schedule)"}},
	}
}

// facts of a situation with these policies.
func (s situation) facts(t *testing.T, concurrency v1alpha1.ConcurrencyPolicy, missed v1alpha1.MissedPolicy) Facts {
	f := Facts{Now: clock(t, s.now), Retraining: hourly(t)}
	f.Retraining.Spec.ConcurrencyPolicy, f.Retraining.Spec.Missed = concurrency, missed
	for _, text := range s.runs {
		f.Runs = append(f.Runs, record(t, text))
		f.Retraining.Status.Active = append(f.Retraining.Status.Active, f.Runs[len(f.Runs)-1].Name)
	}
	if s.edit != nil {
		s.edit(&f.Retraining)
	}
	return f
}

func TestPolicies(t *testing.T) {
	for _, situation := range situations(t) {
		for _, concurrency := range []v1alpha1.ConcurrencyPolicy{forbid, allow, replace} {
			for _, missed := range []v1alpha1.MissedPolicy{skip, latest, all} {
				want, listed := outcome(situation.want, string(concurrency), string(missed))
				if !listed { // it does not come to this with such a policy
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", situation.name, concurrency, missed), func(t *testing.T) {
					d := decide(t, situation.facts(t, concurrency, missed))
					if got := told(d); got != want {
						t.Errorf("got  %s\nwant %s\n%s", got, want, d)
					}
				})
			}
		}
	}
}

func outcome(want map[string]string, concurrency, missed string) (string, bool) {
	for _, key := range []string{concurrency + " " + missed, concurrency + " *", "* " + missed, "* *"} {
		if outcome, listed := want[key]; listed {
			return outcome, true
		}
	}
	return "", false
}

func waits(handled string, slots ...string) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) {
		at := func(text string) metav1.Time {
			clock, _ := time.Parse("15:04", text)
			return metav1.NewTime(time.Date(2026, 11, 25, clock.Hour(), clock.Minute(), 0, 0, time.UTC))
		}
		r.Status.HandledSlot = new(at(handled))
		for _, slot := range slots {
			r.Status.Waiting = append(r.Status.Waiting, at(slot))
		}
	}
}

func resumed(since string) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) {
		at, _ := time.Parse("15:04", since)
		r.Status.SuspendedSince = new(metav1.NewTime(time.Date(2026, 11, 25, at.Hour(), at.Minute(), 0, 0, time.UTC)))
	}
}

func deadline(d time.Duration) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) { r.Spec.StartingDeadline.Duration = d }
}

// changed makes the slots on record those of another schedule, of which one was to come at a time.
func changed(next string) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) {
		at, _ := time.Parse("15:04", next)
		r.Status.ScheduleDigest = "another"
		r.Status.Next = []metav1.Time{metav1.NewTime(time.Date(2026, 11, 25, at.Hour(), at.Minute(), 0, 0, time.UTC))}
	}
}

// jitter lets ml/fraud be late by 2m16s of 30m.
func jitter(t *testing.T, d time.Duration) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) {
		r.Spec.Jitter.Duration = d
		if got := Jitter(*r); got != 2*time.Minute+16*time.Second {
			t.Fatalf("the jitter of ml/fraud became %s: all that wait for theirs would begin at another time", got)
		}
	}
}

func both(a, b func(*v1alpha1.Retraining)) func(*v1alpha1.Retraining) {
	return func(r *v1alpha1.Retraining) { a(r); b(r) }
}

// decide decides, and holds the decision against what is true of all.
func decide(t testing.TB, f Facts) Decision {
	t.Helper()
	d, err := Decide(f)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Decide(f); !reflect.DeepEqual(d, again) {
		t.Fatalf("the same facts gave two decisions:\n%v\n%v", d, again)
	}
	if !d.Again.IsZero() && !d.Again.After(f.Now) {
		t.Fatalf("it is %s, and to be looked at again at %s", f.Now, d.Again)
	}
	after := carriedOut(f, d)
	if next, err := Decide(after); err != nil || !next.Nothing() || !reflect.DeepEqual(next.Status, after.Retraining.Status) || !next.Again.Equal(d.Again) {
		t.Fatalf("carried out:\n%s\n%+v, again %s\nand then %v:\n%s\n%+v, again %s", d, d.Status, d.Again, err, next, next.Status, next.Again)
	}
	return d
}

// carriedOut are the facts right after a decision was carried out, with nothing that has begun.
func carriedOut(f Facts, d Decision) Facts {
	runs := map[string]v1alpha1.RetrainingRun{}
	for _, run := range f.Runs {
		runs[run.Name] = run
	}
	for _, r := range d.Begin {
		if _, there := runs[r.Name]; there {
			continue
		}
		runs[r.Name] = created(r.Name, r.Slot, r.Trigger, f.Now)
	}
	for _, s := range d.Skipped {
		run, there := runs[s.Name]
		if !there {
			run = created(s.Name, s.Last, v1alpha1.RunTrigger{Kind: s.Trigger, Message: s.Message()}, f.Now)
		}
		if !begun(run) {
			run.Status.Phase = v1alpha1.RunSkipped
		}
		runs[s.Name] = run
	}
	for _, e := range append(d.Cancel, d.Withdraw...) {
		run := runs[e.Name]
		run.Status.Phase = v1alpha1.RunCanceled
		runs[e.Name] = run
	}
	f.Runs = nil
	for _, run := range runs {
		f.Runs = append(f.Runs, run)
	}
	f.Retraining.Status = *d.Status.DeepCopy()
	// The engines have ended what was to end.
	f.Retraining.Status.Active = nil
	for _, name := range d.Status.Active {
		if !runs[name].Status.Phase.Ended() {
			f.Retraining.Status.Active = append(f.Retraining.Status.Active, name)
		}
	}
	return f
}

func created(name string, slot time.Time, trigger v1alpha1.RunTrigger, now time.Time) v1alpha1.RetrainingRun {
	run := v1alpha1.RetrainingRun{Spec: v1alpha1.RetrainingRunSpec{Retraining: "fraud", Slot: metav1.NewTime(slot), Trigger: trigger}}
	run.Name, run.CreationTimestamp, run.Status.Phase = name, metav1.NewTime(now), v1alpha1.RunPending
	return run
}

// Nothing tells whether there is nothing to do but, maybe, to write the status.
func (d Decision) Nothing() bool {
	return len(d.Begin)+len(d.Skipped)+len(d.Cancel)+len(d.Withdraw) == 0
}

// String is a line for each thing to do.
func (d Decision) String() string {
	var lines []string
	for _, r := range d.Begin {
		lines = append(lines, fmt.Sprintf("run %s (%s): %s", r.Name, r.Trigger.Kind, r.Trigger.Message))
	}
	for _, s := range d.Skipped {
		lines = append(lines, fmt.Sprintf("skip %s (%s): %s", s.Name, s.Trigger, s.Message()))
	}
	for _, e := range d.Cancel {
		lines = append(lines, fmt.Sprintf("cancel %s: %s", e.Name, e.Reason))
	}
	for _, e := range d.Withdraw {
		lines = append(lines, fmt.Sprintf("withdraw %s: %s", e.Name, e.Reason))
	}
	return strings.Join(lines, "\n")
}
