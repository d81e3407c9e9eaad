package proposal

import "fmt"

// Kind says why there is no edit.
type Kind string

const (
	// Invalid: a name or a version cannot be used as it is written.
	Invalid Kind = "Invalid"
	// Unknown: the overlay has no such Model or stage.
	Unknown Kind = "Unknown"
	// Settled: what is in Git needs no change.
	Settled Kind = "Settled"
	// NoLine: there is no one line that could be changed.
	NoLine Kind = "NoLine"
	// NoPlace: a version cannot be added where it is to be.
	NoPlace Kind = "NoPlace"
	// Taken: the file of a version is there, and says something else.
	Taken Kind = "Taken"
)

// Error is why a revision cannot be edited. Trying again does not help: another commit does.
type Error struct {
	Kind Kind
	// Message says in one sentence what is wrong and what to do.
	Message string
}

func (e *Error) Error() string { return e.Message }

// Temporary is always false.
func (e *Error) Temporary() bool { return false }

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}
