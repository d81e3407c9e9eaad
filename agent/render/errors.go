package render

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// Kind sorts the errors of a render.
type Kind string

const (
	// Invalid: the files are wrong; another commit helps.
	Invalid Kind = "Invalid"
	// Refused: the files ask for something that is not done, such as a remote base.
	Refused Kind = "Refused"
	// Limit: the render overran a limit of the agent.
	Limit Kind = "Limit"
	// Crashed: the worker ended for another reason.
	Crashed Kind = "Crashed"
	// Unavailable: the files could not be read, or no worker could be started.
	Unavailable Kind = "Unavailable"
)

// Error says why there is no set.
type Error struct {
	Kind Kind
	// File in the repository, and the line in it where it is known.
	File string
	Line int
	// Ref of the object, if it is about one.
	Ref agent.Ref
	// Message says what is wrong and what to do.
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.place() + ": ")
	}
	if e.Ref.Name != "" {
		b.WriteString(printable(e.Ref.String()) + ": ")
	}
	return b.String() + e.Message
}

// place is the file with the line, where that is known.
func (e *Error) place() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d", printable(e.File), e.Line)
	}
	return printable(e.File)
}

// Temporary tells whether rendering the same again may go better.
func Temporary(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return err != nil && (!ok || e.Kind == Crashed || e.Kind == Unavailable || e.Kind == Limit)
}

// printable shows names with control characters in quotes, and cuts long ones.
func printable(name string) string {
	const most = 300
	if len(name) > most {
		name = name[:most] + "…"
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xFFFD }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

func invalid(file, format string, args ...any) *Error {
	return &Error{Kind: Invalid, File: file, Message: fmt.Sprintf(format, args...)}
}

func refused(file, format string, args ...any) *Error {
	return &Error{Kind: Refused, File: file, Message: fmt.Sprintf(format, args...)}
}

func overLimit(format string, args ...any) *Error {
	return &Error{Kind: Limit, Message: fmt.Sprintf(format, args...)}
}
