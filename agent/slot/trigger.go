package slot

import (
	"cmp"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Defaults of triggers that say nothing, as the CRD has them.
const (
	defaultSettle   = 5 * time.Minute
	defaultFor      = 10 * time.Minute
	defaultInterval = time.Hour
)

// trigger puts down what triggers see for the first time: from there on something can change. What was
// seen at a time that is to come was seen before the clock was put back, and lasts from now on.
func (d *deciding) trigger() {
	triggers := d.triggers()
	if data := d.Status.Data; data != nil && triggers.Data != nil {
		data.Used = cmp.Or(data.Used, data.Fingerprint)
		if data.Since.After(d.Now) {
			data.Since = metav1.NewTime(d.second())
		}
	}
	if metric := d.Status.Metric; metric != nil && metric.Since != nil && metric.Since.After(d.Now) {
		metric.Since = new(metav1.NewTime(d.second()))
	}
	if d.Status.Definition == "" || !triggers.Commit {
		d.Status.Definition = cmp.Or(d.Definition.Digest, d.Status.Definition)
	}
}

func (d *deciding) triggers() v1alpha1.RetrainingTriggers {
	if d.spec.Triggers == nil {
		return v1alpha1.RetrainingTriggers{}
	}
	return *d.spec.Triggers
}

// second is the time as it is written down.
func (d *deciding) second() time.Time { return d.Now.UTC().Truncate(time.Second) }

// use marks what there is as used by a run: what has fired, or was about to, does not fire again.
func (d *deciding) use() {
	triggers := d.triggers()
	if data := d.Status.Data; data != nil && triggers.Data != nil {
		data.Used = data.Fingerprint
	}
	if metric := d.Status.Metric; metric != nil && metric.Since != nil {
		metric.Used = metric.Since.DeepCopy()
	}
	d.Status.Definition = cmp.Or(d.Definition.Digest, d.Status.Definition)
}

func (d *deciding) requested() bool {
	return d.Request.Value != "" && d.Request.Value != d.Status.LastHandledReconcileAt
}

// byHand is the run that was asked for. Its name does not depend on when it is seen.
func (d *deciding) byHand() Run {
	at, err := time.Parse(time.RFC3339Nano, d.Request.Value)
	if err != nil {
		at = time.Time{}
	}
	slot := at.UTC().Truncate(time.Second)
	if slot.IsZero() || slot.After(d.Now) {
		slot = d.second()
	}
	return Run{
		Name: RunName(d.Retraining.Name, at, v1alpha1.TriggerManual, d.Request.Value), Slot: slot,
		Trigger:    v1alpha1.RunTrigger{Kind: v1alpha1.TriggerManual, Message: "it was asked for by hand at " + shown(slot)},
		Parameters: d.Request.Parameters,
	}
}

// request runs what was asked for by hand; with Forbid it waits until nothing goes on.
func (d *deciding) request() {
	if !d.requested() {
		return
	}
	run := d.byHand()
	if d.decided(run.Name) {
		d.Status.LastHandledReconcileAt = d.Request.Value
		return
	}
	if held := d.makeRoom("a run was asked for by hand"); held != "" {
		d.held = append(d.held, run.Name)
		d.wait("the run that was asked for by hand waits, for %s", held)
		return
	}
	d.Status.LastHandledReconcileAt = d.Request.Value
	d.run(run)
}

// firing is a trigger that has fired.
type firing struct {
	kind    v1alpha1.TriggerKind
	key     string
	since   time.Time
	message string
}

// fire runs once for all triggers that have fired, as soon as it may.
func (d *deciding) fire() {
	fired := d.fired()
	if len(fired) == 0 || !d.open() {
		return
	}
	first := fired[0]
	name := RunName(d.Retraining.Name, first.since, first.kind, first.key)
	if d.decided(name) { // its record is there, and the status of then is lost
		d.use()
		return
	}
	d.held = append(d.held, name) // unless it begins
	if at := d.lastFired().Add(cmp.Or(d.triggers().MinimumInterval.Duration, defaultInterval)); at.After(d.Now) {
		d.again(at)
		d.wait("%s; it waits until %s, for triggers start a run every %s at most", first.message, shown(at), cmp.Or(d.triggers().MinimumInterval.Duration, defaultInterval))
		return
	}
	if len(d.waiting) > 0 && d.concurrency() == v1alpha1.ForbidConcurrent {
		d.wait("%s; it waits until missed slots are caught up", first.message)
		return
	}
	if held := d.makeRoom(first.message); held != "" {
		d.wait("%s; it waits, for %s", first.message, held)
		return
	}
	slot := first.since.UTC()
	if slot.IsZero() || slot.After(d.Now) {
		slot = d.second()
	}
	message := first.message
	for _, other := range fired[1:] {
		message += "; " + other.message
	}
	d.run(Run{Name: name, Slot: slot, Trigger: v1alpha1.RunTrigger{Kind: first.kind, Message: message}})
}

// open tells whether it is after the start and before the end of the Retraining.
func (d *deciding) open() bool {
	if start := d.spec.StartAt; start != nil && d.Now.Before(start.Time) {
		d.again(start.Time)
		return false
	}
	return d.spec.EndAt == nil || !d.Now.After(d.spec.EndAt.Time)
}

// lastFired is when the last run began that a trigger had started. One that is to come tells of a
// clock that was put back, and holds nothing.
func (d *deciding) lastFired() time.Time {
	last := time.Time{}
	for _, run := range d.Runs {
		if created := run.CreationTimestamp.Time; triggered(run) && created.After(last) && !created.After(d.Now) {
			last = created
		}
	}
	return last
}

func triggered(run v1alpha1.RetrainingRun) bool {
	return !ofSlot(run) && run.Spec.Trigger.Kind != v1alpha1.TriggerManual && run.Status.Phase != v1alpha1.RunSkipped
}

// fired are the triggers that have fired and were not used, and when others will.
func (d *deciding) fired() []firing {
	var fired []firing
	triggers := d.triggers()
	if now, before := d.Definition.Digest, d.Status.Definition; triggers.Commit && now != "" && now != before {
		fired = append(fired, firing{v1alpha1.TriggerCommit, now, d.Definition.Since, "the definition of the pipeline changed"})
	}
	if data := d.Status.Data; triggers.Data != nil && data != nil && data.Fingerprint != data.Used {
		if d.lasted(data.Since.Time, cmp.Or(triggers.Data.Settle.Duration, defaultSettle), d.DataAt) {
			fired = append(fired, firing{v1alpha1.TriggerData, data.Fingerprint, data.Since.Time, fmt.Sprintf("the data changed: %s, the last change seen at %s", objects(data.Count), shown(data.Since.Time))})
		}
	}
	if metric := d.Status.Metric; triggers.Metric != nil && metric != nil && metric.Since != nil && !metric.Since.Equal(metric.Used) {
		if d.lasted(metric.Since.Time, cmp.Or(triggers.Metric.For.Duration, defaultFor), d.MetricAt) {
			fired = append(fired, firing{v1alpha1.TriggerMetric, "", metric.Since.Time, fmt.Sprintf("the metric is %s, and out of its bounds since %s", metric.Value, shown(metric.Since.Time))})
		}
	}
	return fired
}

func objects(count int64) string {
	if count == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", count)
}

// lasted tells whether something has been seen to last, or when it will have. What was not looked at since may
// have changed: whoever looks decides again.
func (d *deciding) lasted(since time.Time, long time.Duration, seen time.Time) bool {
	until := since.Add(long)
	if until.After(d.Now) {
		d.again(until)
		return false
	}
	return seen.IsZero() || !until.After(seen)
}
