package result

import (
	"errors"
	"fmt"

	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/expression"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Error says why there is no result.
type Error struct {
	// Message is one sentence that names what was read, says what is wrong with it and what to do. It holds no
	// secrets.
	Message string
	// Missing: the document, or the artifact, is not there. It may come a moment after its run has ended; how
	// long it is waited for is up to who asks.
	Missing bool
	// Err is a cause worth a test with errors.Is, such as context.DeadlineExceeded.
	Err error

	temporary bool
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// Temporary tells whether trying again can help although the run is over: a store or the API server cannot be
// reached, or credentials are not there, which is no fault of the run.
func (e *Error) Temporary() bool { return e.temporary }

// wrongf is an error that stays.
func wrongf(format string, arguments ...any) *Error {
	return &Error{Message: fmt.Errorf(format, arguments...).Error()}
}

func missingf(format string, arguments ...any) *Error {
	return &Error{Missing: true, Message: fmt.Sprintf(format, arguments...)}
}

// ofStore says what a look at a store has come to.
func ofStore(what string, err error) *Error {
	e, is := errors.AsType[*artifact.Error](err)
	return &Error{Message: what + err.Error(), Missing: is && e.Kind == artifact.NotFound, Err: err, temporary: is && e.Temporary()}
}

// ofServer says why the API server does not give an object. What it refuses stays refused.
func ofServer(what string, err error) *Error {
	refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
	return &Error{Message: what + " cannot be read: " + expression.Printable(err.Error(), 300), Err: err, temporary: !refused}
}
