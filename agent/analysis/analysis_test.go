package analysis

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func prometheus(change func(*v1alpha1.Analysis)) v1alpha1.Analysis {
	a := v1alpha1.Analysis{Name: "errors", Prometheus: &v1alpha1.PrometheusQuery{Address: "http://p", Query: "up"}, Samples: 3}
	change(&a)
	return a
}

func limitOf(n int32) *int32 { return &n }

func value(v string) Sample { return Sample{Value: v, OK: true} }

var down = Sample{Err: errors.New("Prometheus does not answer")}

// step is a sample, and what the analysis is after it.
type step struct {
	sample  Sample
	result  v1alpha1.AnalysisResult
	message string
}

const (
	running = v1alpha1.AnalysisRunning
	passed  = v1alpha1.AnalysisPassed
	over    = v1alpha1.AnalysisFailed
)

func TestTake(t *testing.T) {
	max := func(a *v1alpha1.Analysis) { a.Max = "0.01" }
	for _, c := range []struct {
		name  string
		spec  v1alpha1.Analysis
		steps []step
	}{
		{"enough succeed, and one fails later", prometheus(max), []step{
			{value("0.004"), running, "errors is 0.004, at most 0.01 is allowed; 1 of 3 samples succeeded"},
			{value("0.01"), running, "errors is 0.01, at most 0.01 is allowed; 2 of 3 samples succeeded"},
			{value("0"), passed, "errors is 0, at most 0.01 is allowed; 3 of 3 samples succeeded"},
			{value("0.0001"), passed, "errors is 0.0001, at most 0.01 is allowed; 3 of 3 samples succeeded"},
			{value("0.034"), over, "errors is 0.034, at most 0.01 is allowed; 1 sample failed, and none may"},
			{value("0"), over, "errors is 0.034, at most 0.01 is allowed; 1 sample failed, and none may"},
		}},
		{"the bound is exact", prometheus(func(a *v1alpha1.Analysis) { a.Max = "0.1"; a.Samples = 1 }), []step{
			{value("0.10000000000000001"), over, "errors is 0.10000000000000001, at most 0.1 is allowed; 1 sample failed, and none may"},
		}},
		{"some may fail", prometheus(func(a *v1alpha1.Analysis) { a.Min = "0.9"; a.FailureLimit = 1; a.Samples = 0 }), []step{
			{value("0.5"), running, "errors is 0.5, at least 0.9 is needed; 1 sample failed, and at most 1 may"},
			{value("0.9"), passed, "errors is 0.9, at least 0.9 is needed; 1 of 1 sample succeeded"},
			{value("-1"), over, "errors is -1, at least 0.9 is needed; 2 samples failed, and at most 1 may"},
		}},
		{"between two", prometheus(func(a *v1alpha1.Analysis) { a.Min = "1"; a.Max = "2"; a.Samples = 1 }), []step{
			{value("1.5"), passed, "errors is 1.5, between 1 and 2 is right; 1 of 1 sample succeeded"},
		}},
		{"errors in a row, forgotten after a value", prometheus(func(a *v1alpha1.Analysis) { max(a); a.ErrorLimit = limitOf(2) }), []step{
			{down, running, "errors could not be measured: Prometheus does not answer; 1 sample in a row could not be measured, and at most 2 may"},
			{value("NaN"), running, `errors could not be measured: Prometheus answered "NaN", which is no number; 2 samples in a row could not be measured, and at most 2 may`},
			{value("0.001"), running, "errors is 0.001, at most 0.01 is allowed; 1 of 3 samples succeeded"},
			{value("+Inf"), running, `errors could not be measured: Prometheus answered "+Inf", which is no number; 1 sample`},
			{value(""), running, `errors could not be measured: Prometheus answered "", which is no number; 2 samples`},
			{value(strings.Repeat("9", 1<<16)), over, "errors could not be measured: Prometheus answered \"9999"},
		}},
		{"five errors by default", prometheus(max), []step{
			{down, running, "errors"}, {down, running, "errors"}, {down, running, "errors"}, {down, running, "errors"}, {down, running, "errors"}, {down, over, "errors could not be measured: Prometheus does not answer; 6 samples in a row could not be measured, and at most 5 may"},
		}},
		{"no error is allowed", prometheus(func(a *v1alpha1.Analysis) { max(a); a.ErrorLimit = limitOf(0) }), []step{
			{down, over, "errors could not be measured: Prometheus does not answer; 1 sample in a row could not be measured, and none may"},
		}},
		{"success and failure", prometheus(func(a *v1alpha1.Analysis) {
			a.Success, a.Failure, a.Samples, a.InconclusiveLimit = "value < 0.01", "value >= 0.05", 1, limitOf(1)
		}), []step{
			{value("0.02"), running, "errors is 0.02, which is neither a success nor a failure: value < 0.01; 1 sample came to neither, and at most 1 may"},
			{value("0.005"), passed, "errors is 0.005, which is a success: value < 0.01; 1 of 1 sample succeeded"},
			{value("0.02"), over, "errors is 0.02, which is neither a success nor a failure: value < 0.01; 2 samples came to neither, and at most 1 may"},
		}},
		{"a failure", prometheus(func(a *v1alpha1.Analysis) { a.Success, a.Failure = "value < 0.01", "value >= 0.05" }), []step{
			{value("0.05"), over, "errors is 0.05, which is a failure: value >= 0.05; 1 sample failed, and none may"},
		}},
		{"only failure", prometheus(func(a *v1alpha1.Analysis) { a.Failure, a.Samples = "value >= 0.05", 1 }), []step{
			{value("0.049"), passed, "errors is 0.049, which is no failure: value >= 0.05; 1 of 1 sample succeeded"},
		}},
		{"only success, three inconclusive by default", prometheus(func(a *v1alpha1.Analysis) { a.Success = "value < 0.01" }), []step{
			{value("1"), running, "errors is 1"}, {value("1"), running, "errors is 1"}, {value("1"), running, "errors is 1"}, {value("1"), over, "errors is 1, which is neither a success nor a failure: value < 0.01; 4 samples came to neither, and at most 3 may"},
		}},
		{"max fails before success is asked", prometheus(func(a *v1alpha1.Analysis) { max(a); a.Success = "value < 1" }), []step{
			{value("0.5"), over, "errors is 0.5, at most 0.01 is allowed; 1 sample failed, and none may"},
		}},
		{"a condition that divides by zero", prometheus(func(a *v1alpha1.Analysis) { a.Success, a.ErrorLimit = "1 / value > 2", limitOf(0) }), []step{
			{value("0"), over, "errors is 0, of which success cannot be told: the expression cannot be judged, for it divides by zero: errors is 0; 1 sample in a row could not be measured, and none may"},
		}},
		{"a request", v1alpha1.Analysis{Name: "smoke", HTTP: &v1alpha1.HTTPCheck{URL: "http://x"}, Samples: 2, FailureLimit: 1}, []step{
			{Sample{OK: true, Value: "200"}, running, "smoke was answered as it has to be; 1 of 2 samples succeeded"},
			{Sample{Value: "503"}, running, "smoke was answered with status 503, and one from 200 to 299 is needed; 1 sample failed, and at most 1 may"},
			{Sample{OK: true, Value: "204"}, passed, "smoke was answered as it has to be; 2 of 2 samples succeeded"},
			{Sample{}, over, "smoke was answered with status none, and one from 200 to 299 is needed; 2 samples failed"},
		}},
		{"a request with a status and a value", v1alpha1.Analysis{Name: "smoke", HTTP: &v1alpha1.HTTPCheck{URL: "http://x", Status: 201, Value: "/p"}, Min: "0.5"}, []step{
			{Sample{OK: true, Value: "0.7"}, passed, "smoke is 0.7, at least 0.5 is needed; 1 of 1 sample succeeded"},
			{Sample{OK: true, Value: "<html>\n"}, passed, `smoke could not be measured: the server answered "<html>\n", which is no number; 1 sample in a row`},
			{Sample{Value: "200"}, over, "smoke was answered with status 200, and 201 is needed; 1 sample failed, and none may"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s v1alpha1.AnalysisStatus
			for i, step := range c.steps {
				at := start.Add(time.Duration(i) * time.Minute)
				step.sample.At = at
				ended := s.Result == over
				s = Take(c.spec, s, step.sample)
				if s.Result != step.result || !strings.HasPrefix(s.Message, step.message) || s.Name != c.spec.Name {
					t.Fatalf("sample %d:\n got %s %q\nwant %s %q", i+1, s.Result, s.Message, step.result, step.message)
				}
				if !ended && !s.SampledAt.Time.Equal(at) || utf8.RuneCountInString(s.Message) > 1024 || len(s.Value) > 400 {
					t.Fatalf("sample %d: %v", i+1, s)
				}
			}
		})
	}
}

func TestTakeCounts(t *testing.T) {
	a := prometheus(func(a *v1alpha1.Analysis) {
		a.Success, a.Failure, a.FailureLimit, a.InconclusiveLimit = "value < 1", "value > 2", 5, limitOf(5)
	})
	var s v1alpha1.AnalysisStatus
	for _, v := range []string{"0", "3", "1.5", "0.5", "NaN", "NaN"} {
		s = Take(a, s, Sample{Value: v, At: start})
	}
	want := v1alpha1.AnalysisStatus{Name: "errors", Result: running, Succeeded: 2, Failed: 1, Inconclusive: 1, Errors: 2}
	got := s
	got.SampledAt, got.Message = nil, ""
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if s = Take(a, s, value("0.25")); s.Value != "0.25" || s.Errors != 0 || s.Result != passed {
		t.Errorf("%v", s)
	}
	s.Succeeded = math.MaxInt32
	if s = Take(a, s, value("0.25")); s.Succeeded != math.MaxInt32 || s.Result != passed {
		t.Errorf("the counter ran over: %v", s)
	}
}

func TestWrongSpecs(t *testing.T) {
	for _, c := range []struct {
		spec v1alpha1.Analysis
		want string
	}{
		{v1alpha1.Analysis{Max: "1"}, "the analysis needs exactly one of prometheus and http"},
		{prometheus(func(a *v1alpha1.Analysis) { a.HTTP = &v1alpha1.HTTPCheck{}; a.Max = "1" }), "the analysis needs exactly one"},
		{prometheus(func(*v1alpha1.Analysis) {}), "the analysis does not say what the value has to be: give it min, max, success or failure"},
		{prometheus(func(a *v1alpha1.Analysis) { a.Max = "1,5" }), `max is "1,5", which is no decimal number`},
		{prometheus(func(a *v1alpha1.Analysis) { a.Min = "NaN" }), `min is "NaN", which is no decimal number`},
		{prometheus(func(a *v1alpha1.Analysis) { a.Min, a.Max = "2", "1" }), "min is 2 and max is 1, so that no value is right: correct one of them"},
		{prometheus(func(a *v1alpha1.Analysis) { a.Success = "value <" }), "success: the expression does not compile at 1:8"},
		{prometheus(func(a *v1alpha1.Analysis) { a.Failure = "candidate.metrics.auc > 1" }), "failure: the expression does not compile at 1:1: there is no candidate"},
		{prometheus(func(a *v1alpha1.Analysis) { a.Failure = "value" }), "failure: the expression gives a number"},
	} {
		if err := Validate(c.spec); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		if s := Take(c.spec, v1alpha1.AnalysisStatus{}, value("1")); s.Result != over || !strings.HasPrefix(s.Message, c.want) {
			t.Errorf("%v, want %s", s, c.want)
		}
	}
	if err := Validate(v1alpha1.Analysis{HTTP: &v1alpha1.HTTPCheck{}}); err != nil {
		t.Error(err)
	}
}

func TestDue(t *testing.T) {
	at := func(d time.Duration) *metav1.MicroTime {
		when := metav1.NewMicroTime(start.Add(d))
		return &when
	}
	for _, c := range []struct {
		name     string
		interval time.Duration
		status   v1alpha1.AnalysisStatus
		want     time.Time
	}{
		{"the first at once", time.Minute, v1alpha1.AnalysisStatus{}, start},
		{"after the interval", time.Minute, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(-20 * time.Second)}, start.Add(40 * time.Second)},
		{"30 s by default", 0, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(-20 * time.Second)}, start.Add(10 * time.Second)},
		{"30 s for what is none", -time.Hour, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(-20 * time.Second)}, start.Add(10 * time.Second)},
		{"a second at least", time.Millisecond, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(0)}, start.Add(time.Second)},
		{"overdue", time.Minute, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(-time.Hour)}, start},
		{"after the clock was put back", time.Minute, v1alpha1.AnalysisStatus{Result: running, SampledAt: at(time.Hour)}, start},
		{"on after it has passed", time.Minute, v1alpha1.AnalysisStatus{Result: passed, SampledAt: at(-20 * time.Second)}, start.Add(40 * time.Second)},
		{"not after it has failed", time.Minute, v1alpha1.AnalysisStatus{Result: over, SampledAt: at(-time.Hour)}, time.Time{}},
	} {
		a := prometheus(func(a *v1alpha1.Analysis) { a.Interval = metav1.Duration{Duration: c.interval} })
		if got := Due(a, c.status, start); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNothingIsWrittenTo(t *testing.T) {
	before := v1alpha1.AnalysisStatus{Name: "errors", Result: running, SampledAt: &metav1.MicroTime{Time: start}}
	a := prometheus(func(a *v1alpha1.Analysis) { a.Max = "1" })
	if after := Take(a, before, Sample{At: start.Add(time.Hour), Value: "0"}); !before.SampledAt.Time.Equal(start) || after.SampledAt == before.SampledAt {
		t.Error("the status that was given was written to")
	}
}

func BenchmarkTake(b *testing.B) {
	a := prometheus(func(a *v1alpha1.Analysis) { a.Success, a.Failure = "value < 0.01", "value >= 0.05" })
	b.ReportAllocs()
	for b.Loop() {
		Take(a, v1alpha1.AnalysisStatus{}, Sample{At: start, Value: "0.004"})
	}
}
