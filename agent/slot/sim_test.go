package slot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/schedule"
)

// world is a cluster of which everything is known: what is on record, what the engine was told, and what
// had to become of each slot.
type world struct {
	*testing.T
	*rand.Rand
	now        time.Time
	retraining v1alpha1.Retraining
	version    int // of the Retraining
	runs       map[string]v1alpha1.RetrainingRun
	versions   map[string]int // of the runs, never used twice
	writes     int
	request    Request
	engineDown bool
	far        bool // clocks jump by years

	// rescheduled is up to when slots were left alone, for the schedules had been changed.
	rescheduled time.Time
	// started counts what the engine was told to start.
	started map[string]int
	// begins are runs that a decision which holds wants to begin.
	begins map[string]bool
	counts map[string]int
}

// replica is an agent with a clock of its own and a picture of the world that may be old.
type replica struct {
	*world
	skew     time.Duration
	facts    Facts
	version  int
	versions map[string]int
	downTill time.Time
	steps    []func() bool
}

func (w *world) look(r *replica) {
	r.version, r.versions = w.version, maps.Clone(w.versions)
	r.facts = Facts{Retraining: *w.retraining.DeepCopy(), Request: w.request}
	for _, name := range slices.Sorted(maps.Keys(w.runs)) {
		run := w.runs[name]
		r.facts.Runs = append(r.facts.Runs, *run.DeepCopy())
	}
}

// put writes a run.
func (w *world) put(run v1alpha1.RetrainingRun) {
	w.writes++
	w.runs[run.Name], w.versions[run.Name] = run, w.writes
}

// killed ends what a replica does, now and then.
func (r *replica) killed() bool {
	if r.IntN(12) > 0 {
		return false
	}
	r.counts["killed"]++
	r.downTill = r.now.Add(time.Duration(r.IntN(600)) * time.Second)
	return true
}

// act decides, and carries out what was decided as the documentation of the package says. Between any
// two steps it may be killed, or stand still while the world goes on.
func (r *replica) act() {
	if len(r.steps) == 0 {
		r.decide()
	}
	for len(r.steps) > 0 && r.IntN(20) > 0 {
		step := r.steps[0]
		r.steps = r.steps[1:]
		if r.killed() || !step() {
			r.steps = nil
		}
	}
}

// decide puts down the steps of a decision. Each tells whether to go on.
func (r *replica) decide() {
	r.facts.Now = r.now.Add(r.skew)
	d, err := Decide(r.facts)
	if err != nil {
		r.Fatal(err)
	}
	if !d.Nothing() || r.IntN(10) == 0 {
		d = decide(r.T, r.facts)
	}
	r.bounded(d)
	for _, begin := range d.Begin {
		r.steps = append(r.steps, func() bool { return r.create(created(begin.Name, begin.Slot, begin.Trigger, r.now), false) })
	}
	for _, s := range d.Skipped {
		run := created(s.Name, s.Last, v1alpha1.RunTrigger{Kind: s.Trigger}, r.now)
		run.Status.Phase, run.Status.Message = v1alpha1.RunSkipped, s.Message()
		r.steps = append(r.steps, func() bool { return r.create(run, true) })
	}
	for _, e := range d.Cancel {
		r.steps = append(r.steps, func() bool { return r.cancel(e.Name) })
	}
	seen := r.version
	r.steps = append(r.steps, func() bool {
		if seen != r.world.version {
			return false
		}
		r.holds(d)
		r.world.version++
		seen = r.world.version
		r.retraining.Status = *d.Status.DeepCopy()
		return true
	})
	for _, e := range d.Withdraw {
		r.steps = append(r.steps, func() bool {
			if seen == r.world.version && r.cancel(e.Name) {
				r.counts["withdrawn"]++
			}
			return true
		})
	}
}

// create makes a record. One that is there and was not seen shows that the picture is old. One that was
// seen and has not begun can become a skipped one.
func (r *replica) create(run v1alpha1.RetrainingRun, over bool) bool {
	there, exists := r.runs[run.Name]
	switch {
	case !exists:
		r.put(run)
	case r.versions[run.Name] != r.world.versions[run.Name]:
		r.counts["stale"]++
		return false
	case over && !begun(there):
		r.put(run)
	}
	return true
}

func (r *replica) cancel(name string) bool {
	if r.versions[name] != r.world.versions[name] {
		return false
	}
	run := r.runs[name]
	run.Status.Phase = v1alpha1.RunCanceled
	r.put(run)
	return true
}

// bounded holds the size of a decision against its bounds.
func (r *replica) bounded(d Decision) {
	if len(d.Begin) > 3 || len(d.Skipped) > mostGoing+5 || len(d.Status.Waiting) > int(r.facts.Retraining.Spec.MissedLimit) || len(d.Status.Active) > mostGoing+3 || len(d.Status.Next) > coming {
		r.Fatalf("a decision without bounds: %d begin, %d are skipped, %d wait, %d go on", len(d.Begin), len(d.Skipped), len(d.Status.Waiting), len(d.Status.Active))
	}
}

// holds checks a decision at the moment from which it holds: everything that was to be decided upon
// has become something.
func (r *replica) holds(d Decision) {
	before := r.retraining.Status
	covered := func(slot time.Time, late bool) bool {
		name := RunName("fraud", slot, v1alpha1.TriggerSchedule, "")
		run, recorded := r.runs[name]
		return recorded && (begun(run) || run.Status.Phase.Ended()) ||
			slices.ContainsFunc(d.Begin, func(b Run) bool { return b.Name == name }) ||
			slices.ContainsFunc(d.Status.Waiting, func(w metav1.Time) bool { return w.Time.Equal(slot) }) ||
			slices.ContainsFunc(d.Skipped, func(s Skip) bool { return !slot.Before(s.First) && !slot.After(s.Last) && r.told(s) })
	}
	for _, slot := range before.Waiting {
		if !covered(slot.Time, true) {
			r.Fatalf("the slot %s that waited is lost:\n%s", slot, d)
		}
	}
	for _, b := range d.Begin {
		if slot := ofSlot(created("", b.Slot, b.Trigger, r.now)); slot && !b.Slot.After(r.rescheduled) {
			r.Fatalf("the slot %s is run, and the schedules were changed at %s", b.Slot, r.rescheduled)
		}
		if b.Trigger.Kind == v1alpha1.TriggerManual {
			r.counts["by hand"]++
		}
		r.begins[b.Name] = true
		r.counts[string(b.Trigger.Kind)]++
	}
	for _, s := range d.Skipped {
		if !r.told(s) {
			r.Fatalf("there is no record of %v", s)
		}
		r.counts["skipped"]++
	}
	handled, from := d.Status.HandledSlot.Time, r.retraining.CreationTimestamp.Time
	if before.HandledSlot != nil {
		from = before.HandledSlot.Time
	}
	if handled.Before(from) {
		r.Fatalf("handled goes back from %s to %s", from, handled)
	}
	if before.ScheduleDigest != "" && before.ScheduleDigest != d.Status.ScheduleDigest {
		r.counts["schedule changed"]++
		r.rescheduled = handled
		r.changed(before, d)
		return
	}
	calendar, err := schedule.ParseCalendar(r.retraining.Spec, r.retraining.CreationTimestamp.Time)
	if err != nil {
		r.Fatal(err)
	}
	// All of a few, and some of many.
	slots := calendar.Last(from, handled, 200)
	for slot := calendar.Next(from); len(slots) < 400 && !slot.IsZero() && !slot.After(handled); slot = calendar.Next(slot) {
		slots = append(slots, slot)
	}
	for _, slot := range slots {
		if !covered(slot, false) {
			r.Fatalf("the slot %s is lost: handled was %s and is %s\n%s", slot, from, handled, d)
		}
	}
}

// told tells whether skipped slots are on record. Of a single slot another replica may have written down
// another reason.
func (r *replica) told(s Skip) bool {
	run, recorded := r.runs[s.Name]
	return recorded && run.Status.Phase == v1alpha1.RunSkipped && (run.Status.Message == s.Message() || s.Count == 1)
}

// changed checks that slots which were due by the schedule before are on record.
func (r *replica) changed(before v1alpha1.RetrainingStatus, d Decision) {
	if len(before.Next) == 0 || before.Next[0].After(d.Status.HandledSlot.Time) || !d.Status.HandledSlot.After(before.HandledSlot.Time) {
		return
	}
	if !slices.ContainsFunc(d.Skipped, func(s Skip) bool { return s.Count == 0 && r.told(s) }) {
		r.Fatalf("%s was due before the schedule was changed, and nothing tells of it", before.Next[0])
	}
}

// reconcile is what a replica does about one run, by its picture of the world.
func (r *replica) reconcile(run v1alpha1.RetrainingRun) {
	if r.versions[run.Name] != r.world.versions[run.Name] || run.Status.Phase.Ended() {
		return
	}
	switch {
	case !begun(run):
		if r.engineDown || !MayBegin(r.facts.Retraining, run.Name) {
			return
		}
		run.Status.Attempts, run.Status.Phase = []v1alpha1.RunAttempt{{Number: 1}}, v1alpha1.RunRunning
		r.put(run)
		r.start(run)
	case r.IntN(3) == 0:
		run.Status.Phase = v1alpha1.RunSucceeded
		if r.IntN(4) == 0 {
			run.Status.Phase = v1alpha1.RunFailed
		}
		run.Status.EndedAt = new(metav1.NewTime(r.now))
		r.put(run)
	}
}

// start is the engine told to start a run.
func (r *replica) start(run v1alpha1.RetrainingRun) {
	key := run.Name
	if r.started[key]++; r.started[key] > 1 {
		r.Fatalf("%s was started twice", key)
	}
	if !r.begins[run.Name] {
		r.Fatalf("%s was started, and no decision that held wanted it", run.Name)
	}
	r.counts["started"]++
}

// happens is something that people and machines do.
func (w *world) happens(replicas []*replica) {
	spec := &w.retraining.Spec
	switch w.IntN(160) {
	case 0:
		spec.Suspend = true
		w.version++
	case 11, 12, 13, 14:
		if spec.Suspend {
			spec.Suspend = false
			w.version++
		}
	case 1:
		if w.IntN(4) == 0 {
			spec.Schedules = [][]string{{"@hourly"}, {"*/20 * * * *", "30 2 * * *"}, {"@every 7h"}, {"0 3 * * 1", "0 */5 * * *"}, {}}[w.IntN(5)]
			spec.TimeZone = []string{"", "Europe/Berlin", "Australia/Lord_Howe"}[w.IntN(3)]
			w.version++
		}
	case 2:
		spec.ConcurrencyPolicy = []v1alpha1.ConcurrencyPolicy{forbid, allow, replace}[w.IntN(3)]
		spec.Missed = []v1alpha1.MissedPolicy{skip, latest, all}[w.IntN(3)]
		w.version++
	case 3:
		w.engineDown = true
	case 15, 16, 17, 18:
		w.engineDown = false
	case 4: // away for long
		r := replicas[w.IntN(len(replicas))]
		r.downTill = w.now.Add(time.Duration(w.IntN(60)) * time.Hour)
	case 5: // a clock jumps
		r := replicas[w.IntN(len(replicas))]
		r.skew = time.Duration(w.IntN(7200)-3600) * time.Second
		if w.far && w.IntN(50) == 0 { // by years
			r.skew = time.Duration(w.IntN(24*365*2)-24*365) * time.Hour
		}
	case 6, 7, 19, 20:
		for _, r := range replicas {
			r.skew = 0
		}
	case 8:
		w.request = Request{Value: w.now.Format(time.RFC3339)}
	case 9:
		w.retraining.Status.Data.Fingerprint, w.retraining.Status.Data.Since = fmt.Sprint(w.IntN(1000)), metav1.NewTime(w.now)
		w.version++
	case 10:
		spec.StartingDeadline.Duration = []time.Duration{0, time.Minute, 2 * time.Hour}[w.IntN(3)]
		w.version++
	}
}

// Years of slots, with two replicas that see old pictures, are killed at any step and have clocks that
// jump; with suspensions, changed schedules and policies, an engine that is away, data that changes and
// runs by hand. No slot is run twice, and none is lost.
func TestYears(t *testing.T) {
	seeds, months := 6, 12
	if testing.Short() {
		seeds, months = 2, 6 // of which one has clocks that jump by years
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &world{T: t, Rand: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2024, 1, 1, 0, 30, 0, 0, time.UTC), far: seed == 1,
				runs: map[string]v1alpha1.RetrainingRun{}, versions: map[string]int{}, started: map[string]int{}, begins: map[string]bool{}, counts: map[string]int{}}
			w.retraining = hourly(t)
			w.retraining.CreationTimestamp = metav1.NewTime(w.now)
			w.retraining.Status = v1alpha1.RetrainingStatus{Data: &v1alpha1.DataSeen{Fingerprint: "0", Since: metav1.NewTime(w.now)}}
			w.retraining.Spec.MissedLimit, w.retraining.Spec.HistoryLimit = 5, 3
			w.retraining.Spec.Triggers = &v1alpha1.RetrainingTriggers{Data: &v1alpha1.DataTrigger{}}
			if seed%2 == 0 {
				w.retraining.Spec.Jitter.Duration = 20 * time.Minute
			}
			replicas := []*replica{{world: w}, {world: w}}
			most := 0
			for end := w.now.AddDate(0, months, 0); w.now.Before(end); {
				w.now = w.now.Add(time.Duration(1+w.ExpFloat64()*[]float64{60, 1800}[w.IntN(2)]) * time.Second)
				w.happens(replicas)
				for _, r := range replicas {
					if w.now.Before(r.downTill) {
						continue
					}
					if len(r.steps) == 0 && w.IntN(4) > 0 || r.versions == nil {
						w.look(r)
					}
					r.act()
					for _, run := range r.facts.Runs {
						r.reconcile(run)
					}
					for _, name := range Expired(r.facts.Retraining, r.facts.Runs) {
						if r.versions[name] == w.versions[name] {
							delete(w.runs, name)
							delete(w.versions, name)
						}
					}
				}
				most = max(most, len(w.runs))
			}
			w.settles(replicas[0])
			if most > 200 {
				t.Errorf("up to %d runs were kept", most)
			}
			t.Logf("%v, at most %d records", w.counts, most)
			for _, what := range []string{"Schedule", "Missed", "Data", "Manual", "started", "skipped", "killed", "stale", "withdrawn", "schedule changed", "by hand"} {
				if w.counts[what] == 0 {
					t.Errorf("there was nothing of the kind %s: nothing is shown of it", what)
				}
			}
		})
	}
}

// settles lets everything come to its end: what was decided upon has begun or ended then.
func (w *world) settles(r *replica) {
	w.engineDown, w.retraining.Spec.Suspend = false, false
	w.retraining.Spec.Schedules = nil
	w.version++
	r.skew = 0
	for range 2000 {
		w.now = w.now.Add(time.Minute)
		if len(r.steps) == 0 {
			w.look(r)
		}
		r.act()
		for _, run := range r.facts.Runs {
			r.reconcile(run)
		}
	}
	for name, run := range w.runs {
		if !run.Status.Phase.Ended() {
			w.Errorf("%s has not ended: %s", name, run.Status.Phase)
		}
	}
	if waiting := w.retraining.Status.Waiting; len(waiting) > 0 {
		w.Errorf("%v still wait", waiting)
	}
	if data := w.retraining.Status.Data; data.Used != data.Fingerprint {
		w.Errorf("the data became %s, and the last run was with %s", data.Fingerprint, data.Used)
	}
	if answered := w.retraining.Status.LastHandledReconcileAt; answered != w.request.Value {
		w.Errorf("asked for at %s, answered %s", w.request.Value, answered)
	}
}
