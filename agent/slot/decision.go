package slot

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Facts is everything that a decision depends on.
type Facts struct {
	Now time.Time
	// Retraining as it is on record. Of its status, Data and Metric are what was seen last, but for
	// Used, which is on record.
	Retraining v1alpha1.Retraining
	// DataAt and MetricAt are when that was seen; zero for just now.
	DataAt, MetricAt time.Time
	// Runs of it. They are read after the Retraining: one that its status names and that is not
	// among them was deleted.
	Runs []v1alpha1.RetrainingRun
	// Definition of the pipeline as it is now.
	Definition Definition
	// Request that was made by hand; the zero value for none.
	Request Request
}

// Definition is the definition of a pipeline.
type Definition struct {
	// Digest of it; empty if it is not known.
	Digest string
	// Since is when it came to be, by something that all replicas see alike, such as the time of the
	// commit.
	Since time.Time
}

// Request asks for a run.
type Request struct {
	// Value of the annotation reconcile.fluxcd.io/requestedAt: usually a time.
	Value      string
	Parameters map[string]string
}

// Decision is what is to be done about a Retraining now. The package's documentation says how.
type Decision struct {
	Begin    []Run
	Skipped  []Skip
	Cancel   []End
	Status   v1alpha1.RetrainingStatus
	Withdraw []End
	// Again is when to decide again though nothing happens; zero for never.
	Again time.Time
	// Message says what is waited for that cannot be seen from the status; empty for nothing.
	Message string
}

// Run is a RetrainingRun to create.
type Run struct {
	Name    string
	Slot    time.Time
	Trigger v1alpha1.RunTrigger
	// Parameters that were given by hand.
	Parameters map[string]string
}

// Skip is a RetrainingRun to create as Skipped: the record of slots of which nothing is run.
type Skip struct {
	// Name of the record: that of the run of the slot. Of several slots it tells which, and why, so
	// that no such record takes the place of another.
	Name    string
	Trigger v1alpha1.TriggerKind
	// First and Last of the slots, and how many there are: at least as many, if More is set. Where the
	// schedule has changed it is not known, and Count is 0.
	First, Last time.Time
	Count       int
	More        bool
	// Missed: they were missed for good, and did not make room for another run.
	Missed bool
	Reason string
}

// End is a run to end.
type End struct {
	Name   string
	Reason string
}

// Message is what the record of a Skip says.
func (s Skip) Message() string {
	switch {
	case s.Count == 0:
		return fmt.Sprintf("slots up to %s were not run: %s", shown(s.Last), s.Reason)
	case s.Count == 1:
		return fmt.Sprintf("the slot %s was not run: %s", shown(s.Last), s.Reason)
	case s.More:
		return fmt.Sprintf("more than %d slots from %s to %s were not run: %s", s.Count, shown(s.First), shown(s.Last), s.Reason)
	}
	return fmt.Sprintf("%d slots from %s to %s were not run: %s", s.Count, shown(s.First), shown(s.Last), s.Reason)
}

// MayBegin tells whether a run may begin: it was decided upon, and the Retraining is not suspended.
func MayBegin(r v1alpha1.Retraining, run string) bool {
	return !r.Spec.Suspend && slices.Contains(r.Status.Active, run)
}

// begun tells whether the engine of a run may know of it.
func begun(r v1alpha1.RetrainingRun) bool { return len(r.Status.Attempts) > 0 }

// shown is a time in a sentence.
func shown(t time.Time) string {
	if t = t.UTC(); t.Second() != 0 {
		return t.Format("2006-01-02 15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}
