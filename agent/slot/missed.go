package slot

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// span is the slots after a time, up to and with another.
type span struct{ after, upTo time.Time }

// due is the slot that is on time, if there is one, and the slots that were missed. All of them are
// handled with that.
func (d *deciding) due() (onTime time.Time, missed span) {
	now := d.Now.Add(-d.jitter)
	newest := d.calendar.Last(d.handled, now, 1)
	if len(newest) == 0 {
		return time.Time{}, span{}
	}
	slot := newest[0].UTC()
	missed = span{d.handled, slot}
	d.handled = slot
	if d.resumed || now.Sub(slot) > grace || d.tooLate(slot) {
		return time.Time{}, missed
	}
	missed.upTo = slot.Add(-time.Nanosecond)
	return slot, missed
}

// tooLate tells whether a slot is past its startingDeadline.
func (d *deciding) tooLate(slot time.Time) bool {
	deadline := d.spec.StartingDeadline.Duration
	return deadline > 0 && !slot.After(d.Now.Add(-d.jitter-deadline))
}

// giveUp ends what has waited for too long, and records that have not begun in time.
func (d *deciding) giveUp() {
	why := d.whyTooLate()
	var gone []time.Time
	d.waiting = slices.DeleteFunc(d.waiting, func(slot time.Time) bool {
		late := d.tooLate(slot)
		if late {
			gone = append(gone, slot)
		}
		return late
	})
	d.skipSlots(gone, why)
	d.drop(d.tooLate, why)
	if d.missed() == v1alpha1.MissedSkip {
		d.drop(func(slot time.Time) bool { return d.Now.Add(-d.jitter).Sub(slot) > grace },
			fmt.Sprintf("not begun within %s, and missed is Skip", grace))
	}
}

func (d *deciding) whyTooLate() string {
	return fmt.Sprintf("the startingDeadline of %s was over", d.spec.StartingDeadline.Duration)
}

// keep lets those of the missed slots wait that are to be run, and records the others.
func (d *deciding) keep(missed span) {
	limit, why := d.limit()
	if !missed.upTo.After(missed.after) {
		d.trim(limit, why)
		return
	}
	if deadline := d.spec.StartingDeadline.Duration; deadline > 0 {
		cut := d.Now.Add(-d.jitter - deadline)
		if cut.After(missed.upTo) {
			cut = missed.upTo
		}
		if cut.After(missed.after) {
			d.skipSpan(span{missed.after, cut}, d.whyTooLate())
			missed.after = cut
		}
	}
	kept := d.calendar.Last(missed.after, missed.upTo, limit)
	if len(kept) > 0 {
		missed.upTo = kept[0].Add(-time.Nanosecond)
	}
	d.skipSpan(missed, why)
	for _, slot := range kept {
		d.waiting = append(d.waiting, slot.UTC())
	}
	d.trim(limit, why)
}

// limit is how many missed slots may wait, and why the others are not run.
func (d *deciding) limit() (int, string) {
	how := "not seen in time"
	if d.resumed {
		how = "the Retraining was suspended"
	}
	switch d.missed() {
	case v1alpha1.MissedSkip:
		return 0, how + ", and missed is Skip"
	case v1alpha1.MissedAll:
		limit := int(d.spec.MissedLimit)
		if limit <= 0 {
			limit = defaultMissedLimit
		}
		return limit, fmt.Sprintf("%s, and of those at most %d are run (missedLimit)", how, limit)
	}
	return 1, how + ", and missed is Latest: only the last is run"
}

// trim lets no more slots wait than the limit, the newest.
func (d *deciding) trim(limit int, why string) {
	if over := len(d.waiting) - limit; over > 0 {
		d.skipSlots(d.waiting[:over], why)
		d.waiting = d.waiting[over:]
	}
}

// overtake ends records that have not begun when a later slot takes their place.
func (d *deciding) overtake(onTime time.Time) {
	if d.missed() == v1alpha1.MissedAll {
		return
	}
	newest := onTime
	if newest.IsZero() && len(d.waiting) > 0 {
		newest = d.waiting[len(d.waiting)-1]
	}
	if !newest.IsZero() {
		d.drop(newest.After, fmt.Sprintf("not begun when the slot %s came, and missed is %s", shown(newest), d.missed()))
	}
}

// drop ends records of slots that have not begun.
func (d *deciding) drop(which func(slot time.Time) bool, why string) {
	for _, name := range d.notBegun() {
		if slot := d.slotOf(name); which(slot) {
			d.skip(Skip{Name: name, Trigger: v1alpha1.TriggerMissed, First: slot, Last: slot, Count: 1, Missed: true, Reason: why})
			d.going = slices.DeleteFunc(d.going, func(other string) bool { return other == name })
		}
	}
}

// notBegun are runs of slots that were decided upon and have not begun.
func (d *deciding) notBegun() []string {
	var names []string
	for _, name := range d.going {
		ends := slices.ContainsFunc(d.Cancel, func(e End) bool { return e.Name == name })
		if run, there := d.records[name]; there && !begun(run) && ofSlot(run) && !ends {
			names = append(names, name)
		}
	}
	return names
}

func (d *deciding) slotOf(run string) time.Time { return d.records[run].Spec.Slot.UTC() }

// ofSlot tells whether a run is one of a schedule.
func ofSlot(run v1alpha1.RetrainingRun) bool {
	kind := run.Spec.Trigger.Kind
	return kind == v1alpha1.TriggerSchedule || kind == v1alpha1.TriggerMissed
}

// place finds out what becomes of the slot that is on time.
func (d *deciding) place(slot time.Time, missed span) {
	if slot.IsZero() || d.decided(d.nameOf(slot)) {
		return
	}
	if d.queues(missed) {
		d.waiting = append(d.waiting, slot)
		d.trim(d.limit())
		return
	}
	if held := d.makeRoom(fmt.Sprintf("the slot %s came", shown(slot))); held != "" {
		d.skip(Skip{Trigger: v1alpha1.TriggerSchedule, First: slot, Last: slot, Count: 1, Reason: held})
		return
	}
	d.run(Run{Name: d.nameOf(slot), Slot: slot, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: d.calendar.Naming(slot)}})
	if d.missed() == v1alpha1.MissedLatest {
		d.skipSlots(d.waiting, fmt.Sprintf("the later slot %s runs, and missed is Latest", shown(slot)))
		d.waiting = nil
	}
}

// queues tells whether a slot on time has to wait behind missed ones: with All they are run in order,
// once one is late.
func (d *deciding) queues(missed span) bool {
	if d.missed() != v1alpha1.MissedAll {
		return false
	}
	came := len(d.waiting) > 0 && missed.upTo.After(missed.after) && d.waiting[len(d.waiting)-1].After(missed.after)
	return came || len(d.notBegun()) > 0 || len(d.waiting) > 0 && len(d.going) == 0
}

// makeRoom says what holds a run; empty for nothing, when what goes on has been asked to end if the
// policy says so.
func (d *deciding) makeRoom(because string) (held string) {
	policy := d.concurrency()
	switch {
	case len(d.going) == 0:
		return ""
	case len(d.going) >= mostGoing:
		return fmt.Sprintf("%d runs were going on", len(d.going))
	case policy == v1alpha1.ForbidConcurrent:
		return fmt.Sprintf("%s was going on, and concurrencyPolicy is Forbid", d.going[len(d.going)-1])
	case policy == v1alpha1.ReplaceConcurrent:
		d.replace(because + ", and concurrencyPolicy is Replace")
	}
	return ""
}

// replace ends what goes on. What was about to begin with this very decision is skipped.
func (d *deciding) replace(why string) {
	for _, r := range d.Begin {
		d.skip(Skip{Name: r.Name, Trigger: r.Trigger.Kind, First: r.Slot, Last: r.Slot, Count: 1, Reason: why})
		d.going = slices.DeleteFunc(d.going, func(name string) bool { return name == r.Name })
	}
	d.Begin = nil
	for _, name := range d.going {
		d.Cancel = append(d.Cancel, End{name, why})
	}
}

// catchUp runs the next slot that waits, when it is its turn.
func (d *deciding) catchUp() {
	d.waiting = slices.DeleteFunc(d.waiting, func(slot time.Time) bool { return d.decided(d.nameOf(slot)) })
	if len(d.waiting) == 0 || !d.turn() {
		return
	}
	slot := d.waiting[0]
	d.waiting = d.waiting[1:]
	d.run(Run{Name: d.nameOf(slot), Slot: slot, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerMissed,
		Message: fmt.Sprintf("the slot %s had gone by, and missed is %s", shown(slot), d.missed())}})
}

// turn tells whether nothing is before a slot that waits.
func (d *deciding) turn() bool {
	if d.concurrency() != v1alpha1.AllowConcurrent || len(d.going) >= mostGoing {
		return len(d.going) == 0
	}
	return len(d.notBegun()) == 0 && !slices.ContainsFunc(d.going, func(name string) bool {
		return d.records[name].Spec.Trigger.Kind == v1alpha1.TriggerMissed
	})
}
