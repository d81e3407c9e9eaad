package slot

import (
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Years of minutes that were missed, and a clock that jumps by years, cost what few slots cost.
func TestManyYearsMissed(t *testing.T) {
	f := Facts{Now: clock(t, "03:30").AddDate(30, 0, 0), Retraining: hourly(t)}
	f.Retraining.Spec.Schedules, f.Retraining.Spec.Missed, f.Retraining.Spec.MissedLimit = []string{"* * * * *"}, all, 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Decide(f)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes", used)
	}
	if len(d.Status.Waiting) != 999 || len(d.Begin) != 1 || len(d.Skipped) != 2 || d.Status.Missed != mostCounted+1 {
		t.Errorf("%d wait, %d begin, %d are skipped, %d missed", len(d.Status.Waiting), len(d.Begin), len(d.Skipped), d.Status.Missed)
	}
	const want = "more than 10000 slots from 2026-11-25 03:01 UTC to 2056-11-24 10:49 UTC were not run: not seen in time, and of those at most 1000 are run (missedLimit)"
	if got := d.Skipped[0].Message(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A clock that goes back after it was ahead runs nothing a second time, and says why nothing runs.
func TestClockBack(t *testing.T) {
	f := Facts{Now: clock(t, "04:00"), Retraining: hourly(t)}
	ahead := f
	ahead.Now = f.Now.AddDate(1, 0, 0)
	d := decide(t, ahead)
	if got := told(d); got != "04:00 runs (Schedule), 04:00-02:00 missed, 03:00 missed" {
		t.Error(got)
	}
	f = carriedOut(ahead, d)
	for _, now := range []string{"04:00", "05:00", "23:00"} {
		f.Now = clock(t, now)
		d = decide(t, f)
		if !d.Nothing() || !strings.HasPrefix(d.Message, "the slot 2027-11-25 04:00 UTC was handled, but it is only 2026-11-25 "+now) {
			t.Errorf("at %s: %s\n%s", now, d, d.Message)
		}
		if want := ahead.Now.Add(time.Hour); !d.Again.Equal(want) {
			t.Errorf("it is looked at again at %s, want %s", d.Again, want)
		}
	}
	f.Now = ahead.Now.Add(time.Hour)
	f.Runs = nil
	if got := told(decide(t, f)); got != "05:00 runs (Schedule)" {
		t.Error(got)
	}
}

// With Allow, no more runs go on than can be written down.
func TestNotTooManyAtOnce(t *testing.T) {
	f := Facts{Retraining: hourly(t)}
	f.Retraining.Spec.Schedules, f.Retraining.Spec.ConcurrencyPolicy = []string{"* * * * *"}, allow
	for n := range mostGoing {
		at := clock(t, "03:00").Add(time.Duration(n) * time.Minute)
		run := created(RunName("fraud", at, v1alpha1.TriggerSchedule, ""), at, v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule}, at)
		run.Status.Phase, run.Status.Attempts = v1alpha1.RunRunning, []v1alpha1.RunAttempt{{Number: 1}}
		f.Runs, f.Retraining.Status.Active = append(f.Runs, run), append(f.Retraining.Status.Active, run.Name)
		f.Retraining.Status.HandledSlot, f.Now = new(metav1.NewTime(at)), at.Add(time.Minute)
	}
	d := decide(t, f)
	if len(d.Begin) != 0 || len(d.Skipped) != 1 || d.Skipped[0].Reason != "100 runs were going on" || len(d.Status.Active) != mostGoing {
		t.Errorf("%s\n%d go on", d, len(d.Status.Active))
	}
}

// A status that was lost starts nothing again that has a record, and what runs still counts.
func TestLostStatus(t *testing.T) {
	f := Facts{Now: clock(t, "03:02"), Retraining: hourly(t)}
	f.Retraining.Status = v1alpha1.RetrainingStatus{}
	f.Runs = []v1alpha1.RetrainingRun{record(t, "02:00 Succeeded"), record(t, "03:00 Running")}
	f.Retraining.Spec.Missed = all
	if got := told(decide(t, f)); got != "01:00 waits" {
		t.Error(got)
	}
}

// A record that another replica made, of a decision that did not come to hold, is ended; unless its slot
// is to be run all the same.
func TestWithdraw(t *testing.T) {
	f := Facts{Now: clock(t, "04:00"), Retraining: hourly(t), Runs: []v1alpha1.RetrainingRun{record(t, "02:00 Pending"), record(t, "04:00 Pending")}}
	if got := told(decide(t, f)); got != "04:00 runs (Schedule), 0200 withdrawn" {
		t.Error(got)
	}
	f.Retraining.Spec.Suspend = true
	if got := told(decide(t, f)); got != "nothing" {
		t.Error(got)
	}
}

func TestDecisionSays(t *testing.T) {
	f := Facts{Now: clock(t, "06:00"), Retraining: hourly(t), Runs: []v1alpha1.RetrainingRun{record(t, "03:00 Running")}}
	f.Retraining.Status.Active = []string{"fraud-20261125-0300"}
	f.Retraining.Spec.ConcurrencyPolicy = replace
	resumed("03:30")(&f.Retraining)
	f.Retraining.Spec.StartingDeadline.Duration = 90 * time.Minute
	const wantResumed = "skip fraud-20261125-0400 (Missed): the slot 2026-11-25 04:00 UTC was not run: the startingDeadline of 1h30m0s was over\n" +
		"skip fraud-20261125-0500 (Missed): the slot 2026-11-25 05:00 UTC was not run: the Retraining was suspended, and missed is Latest: only the last is run"
	if got := decide(t, f).String(); got != wantResumed {
		t.Errorf("got\n%s\nwant\n%s", got, wantResumed)
	}
	f.Retraining.Status.SuspendedSince, f.Retraining.Status.HandledSlot = nil, new(moment("05:00"))
	const want = "run fraud-20261125-0600 (Schedule): @hourly in UTC\n" +
		"cancel fraud-20261125-0300: the slot 2026-11-25 06:00 UTC came, and concurrencyPolicy is Replace"
	if got := decide(t, f).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDecideRefuses(t *testing.T) {
	f := Facts{Now: clock(t, "06:00"), Retraining: hourly(t)}
	f.Retraining.Spec.Schedules = []string{"0 0 30 2 *"}
	if _, err := Decide(f); err == nil || !strings.Contains(err.Error(), "never comes") {
		t.Error(err)
	}
}

func TestExpired(t *testing.T) {
	r := hourly(t)
	r.Spec.HistoryLimit = 2
	r.Status.HandledSlot = new(moment("09:00"))
	runs := []v1alpha1.RetrainingRun{
		record(t, "01:00 Succeeded Data"), record(t, "01:30 Succeeded Data"), // the newest of a trigger is kept
		record(t, "02:00 Failed"), record(t, "03:00 Succeeded"), record(t, "04:00 Succeeded"), record(t, "05:00 Running"),
		record(t, "06:00 Skipped"), record(t, "07:00 Skipped"), record(t, "08:00 Skipped"),
		record(t, "10:00 Skipped"), // not handled yet
		record(t, "02:30 Canceled"),
	}
	r.Status.Active = []string{runs[2].Name} // still in the status
	if got, want := strings.Join(Expired(r, runs), " "), "fraud-20261125-0600 fraud-20261125-0230 "+runs[0].Name; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Expired(r, nil); got != nil {
		t.Error(got)
	}
}

// A pull request stands on the record of the run that it is of, however many come after it that propose nothing.
func TestExpiredProposals(t *testing.T) {
	r := hourly(t)
	r.Spec.HistoryLimit = 1
	r.Status.HandledSlot = new(moment("09:00"))
	runs := []v1alpha1.RetrainingRun{record(t, "01:00 Succeeded"), record(t, "02:00 Succeeded"), record(t, "03:00 Failed"), record(t, "04:00 Succeeded")}
	for n := range 2 { // the second takes the place of the first
		runs[n].Status.Proposal = &v1alpha1.ProposalStatus{Branch: "sluice/retrain/fraud-v1", Commit: "4f2a9c1"}
	}
	if got, want := strings.Join(Expired(r, runs), " "), runs[2].Name+" "+runs[0].Name; got != want {
		t.Errorf("while it is open: got %s, want %s", got, want)
	}
	runs[1].Status.SettledAt = new(moment("05:00"))
	if got, want := strings.Join(Expired(r, runs), " "), runs[2].Name+" "+runs[1].Name+" "+runs[0].Name; got != want {
		t.Errorf("when it is settled: got %s, want %s", got, want)
	}
	runs[1].Status.SettledAt = nil
	for _, p := range []v1alpha1.ProposalStatus{{Branch: "main", Commit: "4f2a9c1"}, {Message: "in Git already"}} { // neither takes the place
		runs[3].Status.Proposal = &p
		if got, want := strings.Join(Expired(r, runs), " "), runs[2].Name+" "+runs[0].Name; got != want {
			t.Errorf("%+v: got %s, want %s", p, got, want)
		}
		runs[1].Status.Proposal, runs[0].Status.Proposal = &p, nil
		if got, want := strings.Join(Expired(r, runs), " "), runs[2].Name+" "+runs[1].Name+" "+runs[0].Name; got != want {
			t.Errorf("alone, %+v: got %s, want %s", p, got, want)
		}
		runs[1].Status.Proposal = &v1alpha1.ProposalStatus{Branch: "sluice/retrain/fraud-v1", Commit: "4f2a9c1"}
		runs[0].Status.Proposal = runs[1].Status.Proposal
	}
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	r := hourly(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		r.Name, r.Spec.Jitter.Duration = name, time.Hour
		got := Jitter(r)
		if got < 0 || got > time.Hour || got%time.Second != 0 || got != Jitter(r) {
			t.Errorf("%s: %s", name, got)
		}
		seen[got] = true
	}
	if len(seen) < 4 {
		t.Errorf("all begin at the same time: %v", seen)
	}
	for _, none := range []time.Duration{0, -time.Hour, time.Millisecond} {
		if r.Spec.Jitter.Duration = none; Jitter(r) != 0 {
			t.Errorf("a jitter of %s is %s", none, Jitter(r))
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	f := Facts{Now: clock(b, "03:30"), Retraining: hourly(b)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decide(f); err != nil {
			b.Fatal(err)
		}
	}
}
