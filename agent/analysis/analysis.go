package analysis

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/sluice-dev/sluice/agent/expression"
)

// Sample is one measurement.
type Sample struct {
	// At is when it was taken or tried.
	At time.Time
	// Value that was measured, as it was answered. Of an answer to an HTTP check that is not OK, it
	// is the status.
	Value string
	// OK tells that the answer to an HTTP check has the status that it has to have. It means nothing
	// for Prometheus.
	OK bool
	// Err says in one sentence why there is no value.
	Err error
}

// Defaults of what the spec leaves open, as the CRD has them.
const (
	defaultInterval          = 30 * time.Second
	defaultInconclusiveLimit = 3
	defaultErrorLimit        = 5
	// shortest keeps an interval from making a storm of requests.
	shortest = time.Second
)

// language is what success and failure may say.
var language = sync.OnceValue(func() *expression.Language {
	return expression.New(map[string]expression.Type{"value": expression.Number})
})

// Validate says what is wrong with an analysis that no sample can make good.
func Validate(a v1alpha1.Analysis) error {
	_, err := read(a)
	return err
}

// Due is when the next sample is to be taken: now at the latest where it is overdue, and zero when
// none is needed any more.
func Due(a v1alpha1.Analysis, s v1alpha1.AnalysisStatus, now time.Time) time.Time {
	switch {
	case s.Result == v1alpha1.AnalysisFailed:
		return time.Time{}
	case s.SampledAt == nil || s.SampledAt.After(now): // or the clock was put back
		return now
	}
	interval := a.Interval.Duration
	if interval <= 0 {
		interval = defaultInterval
	}
	if due := s.SampledAt.Add(max(interval, shortest)); due.After(now) {
		return due
	}
	return now
}

// Take adds a sample to what there is.
func Take(a v1alpha1.Analysis, s v1alpha1.AnalysisStatus, sample Sample) v1alpha1.AnalysisStatus {
	s.Name = a.Name
	if s.Result == v1alpha1.AnalysisFailed {
		return s
	}
	if s.Result == "" {
		s.Result = v1alpha1.AnalysisRunning
	}
	at := metav1.NewMicroTime(sample.At)
	s.SampledAt, s.Value = &at, ""
	b, err := read(a)
	if err != nil {
		return failed(s, err.Error())
	}
	return b.add(s, sample)
}

// bounds is an analysis that was read.
type bounds struct {
	v1alpha1.Analysis
	min, max         *decimal.Decimal
	success, failure *expression.Expression
}

func read(a v1alpha1.Analysis) (b bounds, err error) {
	b.Analysis = a
	switch {
	case (a.Prometheus == nil) == (a.HTTP == nil):
		return b, errors.New("the analysis needs exactly one of prometheus and http")
	case a.HTTP == nil && a.Min == "" && a.Max == "" && a.Success == "" && a.Failure == "":
		return b, errors.New("the analysis does not say what the value has to be: give it min, max, success or failure")
	}
	if b.min, err = number("min", a.Min); err != nil {
		return b, err
	}
	if b.max, err = number("max", a.Max); err != nil {
		return b, err
	}
	if b.min != nil && b.max != nil && b.min.Cmp(*b.max) > 0 {
		return b, fmt.Errorf("min is %s and max is %s, so that no value is right: correct one of them", b.min, b.max)
	}
	if b.success, err = condition("success", a.Success); err != nil {
		return b, err
	}
	b.failure, err = condition("failure", a.Failure)
	return b, err
}

func number(name, text string) (*decimal.Decimal, error) {
	if text == "" {
		return nil, nil
	}
	d, err := decimal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return &d, nil
}

func condition(name, text string) (*expression.Expression, error) {
	if text == "" {
		return nil, nil
	}
	e, err := language().Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// outcome is what a sample came to.
type outcome int

const (
	succeeded outcome = iota
	fell              // short of what it had to be
	neither
	unmeasured
)

// add counts a sample and says what that makes of the analysis.
func (b bounds) add(s v1alpha1.AnalysisStatus, sample Sample) v1alpha1.AnalysisStatus {
	came, why := b.judge(sample)
	if came == unmeasured {
		s.Errors = more(s.Errors)
		return verdict(s, why, s.Errors, limit(b.ErrorLimit, defaultErrorLimit), "in a row could not be measured")
	}
	s.Errors, s.Value = 0, expression.Printable(sample.Value, 400)
	switch came {
	case fell:
		s.Failed = more(s.Failed)
		return verdict(s, why, s.Failed, b.FailureLimit, "failed")
	case neither:
		s.Inconclusive = more(s.Inconclusive)
		return verdict(s, why, s.Inconclusive, limit(b.InconclusiveLimit, defaultInconclusiveLimit), "came to neither")
	}
	s.Succeeded = more(s.Succeeded)
	needed := max(b.Samples, 1)
	if s.Succeeded >= needed {
		s.Result = v1alpha1.AnalysisPassed
	}
	s.Message = sentence(fmt.Sprintf("%s; %d of %s succeeded", why, min(s.Succeeded, needed), samples(needed)))
	return s
}

// judge holds a sample against what is asked for.
func (b bounds) judge(sample Sample) (outcome, string) {
	if sample.Err != nil {
		return unmeasured, fmt.Sprintf("%s could not be measured: %v", b.Name, sample.Err)
	}
	if b.HTTP != nil && !sample.OK {
		return fell, fmt.Sprintf("%s was answered with status %s, and %s is needed", b.Name, orNone(sample.Value), status(*b.HTTP))
	}
	if b.min == nil && b.max == nil && b.success == nil && b.failure == nil {
		return succeeded, b.Name + " was answered as it has to be"
	}
	value, err := decimal.Parse(sample.Value)
	if err != nil {
		return unmeasured, fmt.Sprintf("%s could not be measured: %s answered %.40q, which is no number", b.Name, b.source(), sample.Value)
	}
	switch {
	case b.min != nil && value.Cmp(*b.min) < 0:
		return fell, fmt.Sprintf("%s is %s, at least %s is needed", b.Name, value, b.min)
	case b.max != nil && value.Cmp(*b.max) > 0:
		return fell, fmt.Sprintf("%s is %s, at most %s is allowed", b.Name, value, b.max)
	}
	return b.conditions(value)
}

// status is what the answer to an HTTP check has to have.
func status(h v1alpha1.HTTPCheck) string {
	if h.Status == 0 {
		return "one from 200 to 299"
	}
	return fmt.Sprint(h.Status)
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// conditions judges a value that is within min and max.
func (b bounds) conditions(value decimal.Decimal) (outcome, string) {
	bad, err := b.eval(b.failure, value)
	if err != nil {
		return unmeasured, fmt.Sprintf("%s is %s, of which failure cannot be told: %v", b.Name, value, err)
	}
	if bad.True {
		return fell, fmt.Sprintf("%s is %s, which is a failure: %s", b.Name, value, b.Failure)
	}
	good, err := b.eval(b.success, value)
	switch {
	case err != nil:
		return unmeasured, fmt.Sprintf("%s is %s, of which success cannot be told: %v", b.Name, value, err)
	case b.success == nil:
		return succeeded, fmt.Sprintf("%s is %s, %s", b.Name, value, b.within())
	case !good.True:
		return neither, fmt.Sprintf("%s is %s, which is neither a success nor a failure: %s", b.Name, value, b.Success)
	}
	return succeeded, fmt.Sprintf("%s is %s, which is a success: %s", b.Name, value, b.Success)
}

func (b bounds) eval(e *expression.Expression, value decimal.Decimal) (expression.Verdict, error) {
	if e == nil {
		return expression.Verdict{}, nil
	}
	return e.Eval(map[string]any{"value": value}, func([]string) string { return b.Name })
}

// within says what a value had to be that is as it had to be.
func (b bounds) within() string {
	switch {
	case b.min != nil && b.max != nil:
		return fmt.Sprintf("between %s and %s is right", b.min, b.max)
	case b.min != nil:
		return fmt.Sprintf("at least %s is needed", b.min)
	case b.max != nil:
		return fmt.Sprintf("at most %s is allowed", b.max)
	}
	return "which is no failure: " + b.Failure
}

func (b bounds) source() string {
	if b.Prometheus != nil {
		return "Prometheus"
	}
	return "the server"
}

// verdict is what a sample that did not succeed makes of an analysis.
func verdict(s v1alpha1.AnalysisStatus, why string, count, allowed int32, what string) v1alpha1.AnalysisStatus {
	may := fmt.Sprintf("at most %d may", allowed)
	if allowed <= 0 {
		may = "none may"
	}
	why = fmt.Sprintf("%s; %s %s, and %s", why, samples(count), what, may)
	if count > max(allowed, 0) {
		return failed(s, why)
	}
	s.Message = sentence(why)
	return s
}

func failed(s v1alpha1.AnalysisStatus, why string) v1alpha1.AnalysisStatus {
	s.Result, s.Message = v1alpha1.AnalysisFailed, sentence(why)
	return s
}

func samples(n int32) string {
	if n == 1 {
		return "1 sample"
	}
	return fmt.Sprintf("%d samples", n)
}

// more counts on, and stops where the counter ends.
func more(n int32) int32 { return min(n, math.MaxInt32-1) + 1 }

func limit(given *int32, otherwise int32) int32 {
	if given == nil {
		return otherwise
	}
	return *given
}

// sentence bounds a message to what a status may hold.
func sentence(message string) string { return expression.Printable(message, 1000) }
