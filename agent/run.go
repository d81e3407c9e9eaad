package agent

import "time"

// Result says what became of one change.
type Result string

const (
	// Done: the change was made.
	Done Result = "Done"
	// Failed: it was tried and refused.
	Failed Result = "Failed"
	// NotReached: it was not tried, because something before it has to happen first.
	NotReached Result = "NotReached"
)

// Class sorts failures by what helps against them.
type Class string

const (
	// Conflict: another manager owns a field and wants another value.
	Conflict Class = "Conflict"
	// Immutable: a field that cannot change would have to.
	Immutable Class = "Immutable"
	// Invalid: the API server, a schema or an admission webhook refuses the object.
	Invalid Class = "Invalid"
	// Forbidden: the account may not do it.
	Forbidden Class = "Forbidden"
	// NoKind: the cluster does not know the kind (yet).
	NoKind Class = "NoKind"
	// NoNamespace: the namespace is not there (yet).
	NoNamespace Class = "NoNamespace"
	// TooLarge: the object is larger than the API server takes.
	TooLarge Class = "TooLarge"
	// Unavailable: the API server, an aggregated API or a webhook does not answer.
	Unavailable Class = "Unavailable"
	// Waiting: something that has to happen first is on its way.
	Waiting Class = "Waiting"
	// Internal: anything else.
	Internal Class = "Internal"
)

// Permanent tells that trying again does not help until somebody changes something.
func (c Class) Permanent() bool {
	switch c {
	case Immutable, Invalid, TooLarge, Conflict:
		return true
	}
	return false
}

// Outcome is what became of one change.
type Outcome struct {
	Ref    Ref
	Verb   Verb
	Result Result
	// Class and Message are empty when Result is Done. Message says what is wrong and what to
	// do, and holds no secret.
	Class   Class
	Message string
	// Note is worth telling though all went well, for instance whose fields were taken over.
	Note string
	// Live is the object after the change, if it was applied.
	Live Live
	// Digest of what was applied.
	Digest  string
	Version string
	Took    time.Duration
}

// Run is a plan carried out: an Outcome for every change that is not kept, also for those
// that were not reached.
type Run struct {
	Outcomes []Outcome
}

// Failures returns the outcomes that are not done.
func (r Run) Failures() []Outcome {
	var failed []Outcome
	for _, o := range r.Outcomes {
		if o.Result != Done {
			failed = append(failed, o)
		}
	}
	return failed
}
