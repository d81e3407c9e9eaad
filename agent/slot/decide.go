package slot

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/schedule"
)

const (
	// grace is how late a slot may be seen and still be on time: an agent that is restarted, or takes
	// over from another, takes some time to begin.
	grace = 5 * time.Minute
	// mostGoing bounds the runs that go on at once with Allow, and with them the status.
	mostGoing = 100
	// mostCounted bounds how many missed slots are counted.
	mostCounted = 10_000
	// coming is how many slots the status shows.
	coming = 5

	defaultMissedLimit = 10
)

// deciding is a decision on its way.
type deciding struct {
	Facts
	spec     v1alpha1.RetrainingSpec
	calendar schedule.Calendar
	jitter   time.Duration
	records  map[string]v1alpha1.RetrainingRun
	// going are the runs that go on, or are about to begin, as they were decided upon.
	going []string
	// waiting are missed slots that are still to be run.
	waiting []time.Time
	// handled is the slot up to which all were decided upon.
	handled time.Time
	resumed bool
	// held are the names of runs that cannot begin yet. Their records, if there are any, stay.
	held []string
	Decision
}

// Decide says what is to be done. The error says why the schedules cannot be read.
func Decide(f Facts) (Decision, error) {
	calendar, err := schedule.ParseCalendar(f.Retraining.Spec, f.Retraining.CreationTimestamp.Time)
	if err != nil {
		return Decision{}, err
	}
	d := begin(f, calendar)
	d.retime()
	d.trigger()
	if f.Retraining.Spec.Suspend {
		d.suspend()
		return d.end(), nil
	}
	d.resume()
	onTime, missed := d.due()
	d.giveUp()
	d.keep(missed)
	d.overtake(onTime)
	d.place(onTime, missed)
	d.request()
	d.catchUp()
	d.fire()
	d.withdraw()
	d.comes()
	return d.end(), nil
}

func begin(f Facts, calendar schedule.Calendar) *deciding {
	d := &deciding{Facts: f, spec: f.Retraining.Spec, calendar: calendar, records: map[string]v1alpha1.RetrainingRun{}}
	d.Status = *f.Retraining.Status.DeepCopy()
	d.jitter = Jitter(f.Retraining)
	for _, run := range f.Runs {
		d.records[run.Name] = run
	}
	for _, name := range d.Status.Active {
		if run, there := d.records[name]; there && !run.Status.Phase.Ended() {
			d.going = append(d.going, name)
		}
	}
	d.adopt()
	d.handled = f.Retraining.CreationTimestamp.UTC()
	if d.Status.HandledSlot != nil {
		d.handled = d.Status.HandledSlot.UTC()
	}
	for _, slot := range d.Status.Waiting {
		d.waiting = append(d.waiting, slot.UTC())
	}
	return d
}

// adopt takes up runs that have begun and are not in the status, which was lost then.
func (d *deciding) adopt() {
	var lost []string
	for name, run := range d.records {
		if begun(run) && !run.Status.Phase.Ended() && !slices.Contains(d.going, name) {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	d.going = append(lost, d.going...)
}

// Jitter is how long after its slots a Retraining is due: always the same, and another for each.
func Jitter(r v1alpha1.Retraining) time.Duration {
	seconds := uint64(r.Spec.Jitter.Duration / time.Second)
	if r.Spec.Jitter.Duration <= 0 || seconds == 0 {
		return 0
	}
	hash := fnv.New64a()
	hash.Write([]byte(r.Namespace + "/" + r.Name))
	return time.Duration(hash.Sum64()%(seconds+1)) * time.Second
}

// retime leaves the past as it is when other slots are meant than those on record.
func (d *deciding) retime() {
	before := d.Status.ScheduleDigest
	d.Status.ScheduleDigest = d.calendar.Digest()
	if before == "" || before == d.calendar.Digest() {
		return
	}
	const why = "the schedules were changed before"
	d.skipSlots(d.waiting, why)
	d.waiting = nil
	now := d.Now.UTC().Truncate(time.Second)
	if !now.After(d.handled) {
		return
	}
	if next := d.Status.Next; len(next) > 0 && !next[0].After(now) || d.Status.SuspendedSince != nil {
		d.skip(Skip{Trigger: v1alpha1.TriggerMissed, First: d.handled, Last: now, Reason: why})
	}
	d.handled = now
}

// suspend begins nothing.
func (d *deciding) suspend() {
	if d.Status.SuspendedSince == nil {
		d.Status.SuspendedSince = new(metav1.NewTime(d.second()))
	}
	d.Status.Next = nil
	if !d.requested() {
		return
	}
	run := d.byHand()
	d.Status.LastHandledReconcileAt = d.Request.Value
	if !d.decided(run.Name) {
		d.skip(Skip{Name: run.Name, Trigger: v1alpha1.TriggerManual, First: run.Slot, Last: run.Slot, Count: 1,
			Reason: "asked for while the Retraining was suspended; resume it and ask again"})
	}
}

func (d *deciding) resume() {
	d.resumed = d.Status.SuspendedSince != nil
	d.Status.SuspendedSince = nil
}

// end is the decision with the status that belongs to it.
func (d *deciding) end() Decision {
	d.Status.HandledSlot = new(metav1.NewTime(d.handled))
	d.Status.Active, d.Status.Waiting = d.going, nil
	for _, slot := range d.waiting {
		d.Status.Waiting = append(d.Status.Waiting, metav1.NewTime(slot))
	}
	return d.Decision
}

// withdraw ends records that no decision that holds has wanted.
func (d *deciding) withdraw() {
	wanted := slices.Concat(d.going, d.held)
	for _, slot := range d.waiting {
		wanted = append(wanted, d.nameOf(slot))
	}
	for _, s := range d.Skipped {
		wanted = append(wanted, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.records)) {
		if run := d.records[name]; !begun(run) && !run.Status.Phase.Ended() && !slices.Contains(wanted, name) {
			d.Withdraw = append(d.Withdraw, End{name, "the decision to run it never came to hold, for another one came before"})
		}
	}
}

// run begins a run. Whatever has fired a trigger is used with that.
func (d *deciding) run(r Run) {
	d.use()
	d.Begin, d.going = append(d.Begin, r), append(d.going, r.Name)
	if _, there := d.records[r.Name]; !there {
		d.records[r.Name] = v1alpha1.RetrainingRun{Spec: v1alpha1.RetrainingRunSpec{Slot: metav1.NewTime(r.Slot), Trigger: r.Trigger}}
	}
}

// decided tells whether a run of this name has begun or ended. Where only its record exists, it is
// as if it did not.
func (d *deciding) decided(name string) bool {
	run, there := d.records[name]
	return there && (begun(run) || run.Status.Phase.Ended())
}

func (d *deciding) nameOf(slot time.Time) string {
	return RunName(d.Retraining.Name, slot, v1alpha1.TriggerSchedule, "")
}

func (d *deciding) skip(s Skip) {
	if s.Name == "" && s.Count == 1 {
		s.Name = d.nameOf(s.Last)
	}
	if s.Name == "" {
		s.Name = spanName(d.Retraining.Name, s)
	}
	d.Skipped = append(d.Skipped, s)
	if s.Missed {
		d.Status.Missed += int64(s.Count)
	}
}

// skipSlots records slots that were missed.
func (d *deciding) skipSlots(slots []time.Time, why string) {
	if len(slots) > 0 {
		d.skip(Skip{Trigger: v1alpha1.TriggerMissed, First: slots[0], Last: slots[len(slots)-1], Count: len(slots), Missed: true, Reason: why})
	}
}

// skipSpan records all slots of a time as missed.
func (d *deciding) skipSpan(s span, why string) {
	count := d.calendar.Count(s.after, s.upTo, mostCounted+1)
	if count == 0 {
		return
	}
	d.skip(Skip{Trigger: v1alpha1.TriggerMissed, First: d.calendar.Next(s.after).UTC(), Last: d.calendar.Last(s.after, s.upTo, 1)[0].UTC(),
		Count: min(count, mostCounted), More: count > mostCounted, Missed: true, Reason: why})
}

func (d *deciding) again(at time.Time) {
	if d.Again.IsZero() || at.Before(d.Again) {
		d.Again = at
	}
}

func (d *deciding) wait(format string, args ...any) {
	if d.Message != "" {
		d.Message += "; "
	}
	d.Message += fmt.Sprintf(format, args...)
}

func (d *deciding) concurrency() v1alpha1.ConcurrencyPolicy {
	return cmp.Or(d.spec.ConcurrencyPolicy, v1alpha1.ForbidConcurrent)
}

func (d *deciding) missed() v1alpha1.MissedPolicy {
	return cmp.Or(d.spec.Missed, v1alpha1.MissedLatest)
}

// comes looks ahead.
func (d *deciding) comes() {
	from := d.Now.Add(-d.jitter)
	if d.handled.After(from) {
		from = d.handled
	}
	if d.handled.After(d.Now) {
		d.wait("the slot %s was handled, but it is only %s: no slot is due before that; if the clock was wrong then, delete the Retraining and let it be made anew", shown(d.handled), shown(d.Now))
	}
	d.Status.Next = nil
	for slot := d.calendar.Next(from); !slot.IsZero() && len(d.Status.Next) < coming; slot = d.calendar.Next(slot) {
		d.Status.Next = append(d.Status.Next, metav1.NewTime(slot.UTC().Add(d.jitter)))
	}
	if len(d.Status.Next) > 0 {
		d.again(d.Status.Next[0].Time)
	}
	undone := d.waiting
	for _, name := range d.notBegun() {
		slot := d.slotOf(name)
		undone = append(undone[:len(undone):len(undone)], slot)
		if d.missed() == v1alpha1.MissedSkip {
			d.again(slot.Add(d.jitter + grace + time.Second))
		}
	}
	if deadline := d.spec.StartingDeadline.Duration; deadline > 0 {
		for _, slot := range undone {
			d.again(slot.Add(d.jitter + deadline))
		}
	}
}
