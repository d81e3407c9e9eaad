package slot

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// moment is 25 November 2026 at a time.
func moment(text string) metav1.Time {
	at, err := time.Parse("2006-01-02 15:04", "2026-11-25 "+text)
	if err != nil {
		panic(err)
	}
	return metav1.NewTime(at)
}

// withTriggers is the Retraining of the table: no schedules and all triggers, of which none has fired.
func withTriggers(t testing.TB) Facts {
	t.Helper()
	r := hourly(t)
	r.Spec.Schedules = nil
	r.Spec.Triggers = &v1alpha1.RetrainingTriggers{Data: &v1alpha1.DataTrigger{}, Metric: &v1alpha1.MetricTrigger{}, Commit: true}
	r.Status.Data = &v1alpha1.DataSeen{Fingerprint: "d1", Used: "d1", Count: 3, Since: moment("01:00")}
	r.Status.Metric = &v1alpha1.MetricSeen{Value: "0.01"}
	r.Status.Definition = "p1"
	return Facts{Retraining: r, Definition: Definition{"p1", moment("01:00").Time}}
}

func TestTriggers(t *testing.T) {
	newData := func(f *Facts) {
		f.Retraining.Status.Data = &v1alpha1.DataSeen{Fingerprint: "d2", Used: "d1", Count: 4, Since: moment("04:00")}
	}
	breach := func(f *Facts) {
		f.Retraining.Status.Metric = &v1alpha1.MetricSeen{Value: "0.07", Since: new(moment("04:00"))}
	}
	commit := func(f *Facts) { f.Definition = Definition{"p2", moment("04:00").Time} }
	byHand := func(f *Facts) {
		f.Request = Request{Value: "2026-11-25T04:00:05Z", Parameters: map[string]string{"epochs": "3"}}
	}
	policy := func(p v1alpha1.ConcurrencyPolicy) func(*Facts) {
		return func(f *Facts) { f.Retraining.Spec.ConcurrencyPolicy = p }
	}
	suspended := func(f *Facts) { f.Retraining.Spec.Suspend = true }
	recent := func(text string) func(*Facts) {
		return func(f *Facts) { f.Runs = append(f.Runs, record(t, text)) }
	}
	for _, c := range []struct {
		name  string
		now   string
		runs  []string
		edits []func(*Facts)
		want  string
		again string
		says  string
	}{
		{"nothing has changed", "04:10", nil, nil, "nothing", "", ""},

		{"data changed, and has not settled", "04:04", nil, []func(*Facts){newData}, "nothing", "04:05", ""},
		{"data changed, and has settled", "04:05", nil, []func(*Facts){newData}, "04:00 runs (Data)", "", ""},
		{"data changed, and was not looked at since", "04:06", nil, []func(*Facts){newData, func(f *Facts) { f.DataAt = moment("04:04").Time }}, "nothing", "", ""},
		{"data changed, and was looked at since", "04:06", nil, []func(*Facts){newData, func(f *Facts) { f.DataAt = moment("04:05").Time }}, "04:00 runs (Data)", "", ""},
		{"data is looked at for the first time", "04:05", nil, []func(*Facts){newData, func(f *Facts) { f.Retraining.Status.Data.Used = "" }}, "nothing", "", ""},
		{"data changed after a time that is to come", "03:59", nil, []func(*Facts){newData}, "nothing", "04:04", ""},
		{"data changed, and nobody asks for it", "04:05", nil, []func(*Facts){newData, func(f *Facts) { f.Retraining.Spec.Triggers.Data = nil }}, "nothing", "", ""},

		{"the metric is bad, and not for long", "04:09", nil, []func(*Facts){breach}, "nothing", "04:10", ""},
		{"the metric is bad for long", "04:10", nil, []func(*Facts){breach}, "04:00 runs (Metric)", "", ""},
		{"the metric was bad before anybody could not measure it", "04:30", nil, []func(*Facts){breach, func(f *Facts) { f.MetricAt = moment("04:09").Time }}, "nothing", "", ""},
		{"the metric is still bad after the run", "09:00", []string{"04:00 Succeeded Metric"}, []func(*Facts){breach, func(f *Facts) { f.Retraining.Status.Metric.Used = new(moment("04:00")) }}, "nothing", "", ""},

		{"the definition changed", "04:01", nil, []func(*Facts){commit}, "04:00 runs (Commit)", "", ""},
		{"the definition is seen for the first time", "04:01", nil, []func(*Facts){commit, func(f *Facts) { f.Retraining.Status.Definition = "" }}, "nothing", "", ""},
		{"the definition is not known", "04:01", nil, []func(*Facts){func(f *Facts) { f.Definition = Definition{} }}, "nothing", "", ""},
		{"the definition changed, and nobody asks for it", "04:01", nil, []func(*Facts){commit, func(f *Facts) { f.Retraining.Spec.Triggers.Commit = false }}, "nothing", "", ""},

		{"all at once are one run", "04:10", nil, []func(*Facts){newData, breach, commit}, "04:00 runs (Commit)", "", ""},
		{"a run before the minimum interval is over", "04:30", []string{"04:00 Succeeded Data"}, []func(*Facts){commit}, "nothing", "05:00", "the definition of the pipeline changed; it waits until 2026-11-25 05:00 UTC, for triggers start a run every 1h0m0s at most"},
		{"a run after it", "05:00", []string{"04:00 Succeeded Data"}, []func(*Facts){commit}, "04:00 runs (Commit)", "", ""},
		{"runs of slots and by hand do not hold it", "04:30", []string{"04:00 Succeeded Schedule"}, []func(*Facts){commit, recent("04:10 Succeeded Manual")}, "04:00 runs (Commit)", "", ""},

		{"one fires while a run goes on", "04:30", []string{"03:00 Running"}, []func(*Facts){newData}, "nothing", "", "the data changed: 4 objects, the last change seen at 2026-11-25 04:00 UTC; it waits, for fraud-20261125-0300 was going on, and concurrencyPolicy is Forbid"},
		{"one fires while a run goes on, Allow", "04:30", []string{"03:00 Running"}, []func(*Facts){newData, policy(allow)}, "04:00 runs (Data)", "", ""},
		{"one fires while a run goes on, Replace", "04:30", []string{"03:00 Running"}, []func(*Facts){newData, policy(replace)}, "04:00 runs (Data), 0300 canceled", "", ""},
		{"one fires while it is suspended", "04:30", nil, []func(*Facts){newData, suspended}, "nothing", "", ""},
		{"one fires before the start", "04:30", nil, []func(*Facts){newData, func(f *Facts) { f.Retraining.Spec.StartAt = new(moment("06:00")) }}, "nothing", "06:00", ""},
		{"one fires after the end", "04:30", nil, []func(*Facts){newData, func(f *Facts) { f.Retraining.Spec.EndAt = new(moment("04:00")) }}, "nothing", "", ""},
		{"one fires as a slot comes, which is a run with the new data", "05:00", nil, []func(*Facts){newData, func(f *Facts) {
			f.Retraining.Spec.Schedules, f.Retraining.Status.HandledSlot = []string{"@hourly"}, new(moment("04:00"))
		}}, "05:00 runs (Schedule)", "06:00", ""},

		{"by hand", "04:01", nil, []func(*Facts){byHand}, "04:00:05 runs (Manual)", "", ""},
		{"by hand, in words", "04:01", nil, []func(*Facts){func(f *Facts) { f.Request.Value = "please" }}, "04:01 runs (Manual)", "", ""},
		{"by hand, by a clock that is ahead", "03:59", nil, []func(*Facts){byHand}, "03:59 runs (Manual)", "", ""},
		{"by hand, and it was answered", "04:01", nil, []func(*Facts){byHand, func(f *Facts) { f.Retraining.Status.LastHandledReconcileAt = f.Request.Value }}, "nothing", "", ""},
		{"by hand while a run goes on", "04:01", []string{"03:00 Running"}, []func(*Facts){byHand}, "nothing", "", "the run that was asked for by hand waits, for fraud-20261125-0300 was going on, and concurrencyPolicy is Forbid"},
		{"by hand while a run goes on, Allow", "04:01", []string{"03:00 Running"}, []func(*Facts){byHand, policy(allow)}, "04:00:05 runs (Manual)", "", ""},
		{"by hand while a run goes on, Replace", "04:01", []string{"03:00 Running"}, []func(*Facts){byHand, policy(replace)}, "04:00:05 runs (Manual), 0300 canceled", "", ""},
		{"by hand while it is suspended", "04:01", nil, []func(*Facts){byHand, suspended}, "04:00:05 skipped", "", ""},
		{"by hand within the minimum interval", "04:30", []string{"04:00 Succeeded Data"}, []func(*Facts){byHand}, "04:00:05 runs (Manual)", "", ""},
		{"by hand as a slot comes, Replace", "05:00", nil, []func(*Facts){byHand, policy(replace), func(f *Facts) {
			f.Retraining.Spec.Schedules, f.Retraining.Status.HandledSlot = []string{"@hourly"}, new(moment("04:00"))
		}}, "04:00:05 runs (Manual), 05:00 skipped", "06:00", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := withTriggers(t)
			f.Now = moment(c.now).Time
			for _, text := range c.runs {
				run := record(t, text)
				f.Runs = append(f.Runs, run)
				if !run.Status.Phase.Ended() {
					f.Retraining.Status.Active = append(f.Retraining.Status.Active, run.Name)
				}
			}
			for _, edit := range c.edits {
				edit(&f)
			}
			d := decide(t, f)
			again := ""
			if !d.Again.IsZero() {
				again = d.Again.UTC().Format("15:04")
			}
			if got := told(d); got != c.want || again != c.again || d.Message != c.says {
				t.Errorf("got %s, again %q: %s\nwant %s, again %q: %s\n%s", got, again, d.Message, c.want, c.again, c.says, d)
			}
		})
	}
}

// What a run was started with is used: it has the parameters that were given, and the data that is there fires
// no more.
func TestRunByHand(t *testing.T) {
	f := withTriggers(t)
	f.Now = moment("04:30").Time
	f.Retraining.Status.Data.Fingerprint = "d2"
	f.Request = Request{Value: "2026-11-25T04:00:05Z", Parameters: map[string]string{"epochs": "3"}}
	d := decide(t, f)
	if got := fmt.Sprint(d.Begin); got != "[{fraud-20261125-040005-manual-53d920b4 2026-11-25 04:00:05 +0000 UTC {Manual it was asked for by hand at 2026-11-25 04:00:05 UTC} map[epochs:3]}]" {
		t.Error(got)
	}
	if d.Status.Data.Used != "d2" || d.Status.LastHandledReconcileAt != f.Request.Value {
		t.Errorf("used %q, answered %q", d.Status.Data.Used, d.Status.LastHandledReconcileAt)
	}
	if !MayBegin(v1alpha1.Retraining{Status: d.Status}, d.Begin[0].Name) || MayBegin(f.Retraining, d.Begin[0].Name) {
		t.Error("it begins before the decision is on record, or not after it")
	}
	suspended := v1alpha1.Retraining{Spec: v1alpha1.RetrainingSpec{Suspend: true}, Status: d.Status}
	if MayBegin(suspended, d.Begin[0].Name) {
		t.Error("it begins while the Retraining is suspended")
	}
}
