package artifact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"gocloud.dev/gcerrors"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
)

// Kind says what went wrong, in a word that fits a condition's reason.
type Kind string

// The kinds of errors.
const (
	// NotFound: there is no such bucket, object or image.
	NotFound Kind = "NotFound"
	// Forbidden: the store wants other credentials, or they may not read it.
	Forbidden Kind = "Forbidden"
	// Unavailable: the store cannot be reached or has trouble, or a file changed meanwhile.
	Unavailable Kind = "Unavailable"
	// Timeout: the time given was not enough, or the store fell silent.
	Timeout Kind = "Timeout"
	// Mismatch: the artifact is not what was registered.
	Mismatch Kind = "Mismatch"
	// Invalid: the URI, the credentials or the names of the files cannot be used as they are.
	Invalid Kind = "Invalid"
	// NoCredentials: the Secret that is named, or the ConfigMap that it names, is not there or cannot be
	// read. Both may come at any time.
	NoCredentials Kind = v1alpha1.ArtifactUnreadReason
	// TooLarge: a limit of this package was reached.
	TooLarge Kind = "TooLarge"
)

// Error is the error of everything in this package.
type Error struct {
	Kind Kind
	// URI of the artifact without credentials; empty where none is involved.
	URI string
	// Message says in one sentence what is wrong and what to do. It holds no secrets.
	Message string
	// Err is a cause worth a test with errors.Is, such as context.DeadlineExceeded.
	Err error
}

func (e *Error) Error() string {
	if e.URI == "" {
		return e.Message
	}
	return e.URI + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary tells whether trying again later can help although nobody changes anything.
func (e *Error) Temporary() bool {
	return e.Kind == Unavailable || e.Kind == Timeout || e.Kind == NoCredentials
}

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// What goes wrong in the middle of a transfer.
var (
	errStalled  = errors.New("no progress")
	errAnswer   = errors.New("an answer without end")
	errRequests = errors.New("ever more requests")
	errChanged  = errors.New("not what was listed")
	errNonsense = errors.New("an answer that makes no sense")
)

// fileError is an error about one file of several.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Error() string { return e.name + ": " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// finish makes err what a caller may see: an *Error that names the artifact and none of its
// secrets. The context comes before what the libraries say, because a transfer that was cut off
// fails in a hundred ways.
func (i *Inspector) finish(ctx context.Context, err error, at location, c Credentials) error {
	if err == nil {
		return nil
	}
	e := *i.classify(ctx, err, at, c)
	if f, ok := errors.AsType[*fileError](err); ok && e.Kind != Timeout {
		if e.Kind == NotFound {
			e.Kind, e.Message = Unavailable, "it is gone since it was listed: is it being replaced?"
		}
		e.Message = printable(f.name) + ": " + e.Message
	}
	e.URI = at.uri
	return &e
}

// classify turns the errors of the libraries below into ours. Their own texts stay out of it:
// they may hold URLs with signatures, and what a store answered.
func (i *Inspector) classify(ctx context.Context, err error, at location, c Credentials) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.Canceled):
		return &Error{Kind: Timeout, Message: "the look at it was cancelled", Err: cause}
	case cause != nil:
		return &Error{Kind: Timeout, Message: "there was not enough time to read it; files that were read are not read again, so try again, or give it more time", Err: cause}
	case errors.Is(err, errStalled):
		return errorf(Timeout, "the store made no progress for %s: check it and the network", i.limits.Stall)
	case errors.Is(err, errAnswer):
		return errorf(TooLarge, "the store answers with more than %d MiB where there should be less: check the endpoint", maxAnswer>>20)
	case errors.Is(err, errRequests):
		return errorf(TooLarge, "the store wants ever more requests, such as for pages of its listing: check the endpoint, or name a longer prefix")
	case errors.Is(err, errChanged):
		return errorf(Unavailable, "it changed while it was read: is it still being uploaded?")
	}
	if e := certificateError(err); e != nil {
		return e
	}
	if status, code := answer(err); status >= 300 {
		return refusal(status, code, at, c)
	}
	if gcerrors.Code(err) == gcerrors.NotFound {
		return notFound(at)
	}
	if _, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return errorf(Forbidden, "there is no token for %s: check them", c.whose())
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return errorf(Unavailable, "the store cannot be reached (%s): check the endpoint and the network", printable(e.Error()))
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return errorf(Unavailable, "the store cannot be reached (%s): check the endpoint and the network", printable(e.Error()))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errorf(Unavailable, "the store broke the connection off: try again later")
	}
	return errorf(Unavailable, "the store gave an answer that makes no sense: check that the endpoint is what the URI says")
}

func certificateError(err error) *Error {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errorf(Invalid, "the certificate of the store cannot be trusted (%s): give its authority as ca.crt in the Secret", printable(e.Err.Error()))
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errorf(Invalid, "the certificate of the store cannot be trusted (%s): give its authority as ca.crt in the Secret", printable(e.Error()))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return errorf(Invalid, "the store does not speak TLS: for S3 over plain HTTP set serving.kserve.io/s3-usehttps to \"0\"")
	}
	return nil
}

// answer is what the store itself said: the HTTP status, and the code that comes with it.
func answer(err error) (status int, code string) {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok { // S3
		return e.HTTPStatusCode(), code
	}
	if e, ok := errors.AsType[*googleapi.Error](err); ok {
		return e.Code, ""
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return e.StatusCode, e.ErrorCode
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.StatusCode, ""
	}
	if e, ok := errors.AsType[statusError](err); ok {
		return int(e), ""
	}
	return 0, ""
}

// statusError is the status of an answer to our own requests.
type statusError int

func (s statusError) Error() string { return fmt.Sprint("status ", int(s)) }

// badCredentials are what stores call them.
var badCredentials = []string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthenticationFailed", "XAdminUserNotFound"}

// refusal says what an HTTP status means here.
func refusal(status int, code string, at location, c Credentials) *Error {
	said := fmt.Sprint(status)
	if code != "" {
		said += " " + printable(code)
	}
	switch {
	case code == "NoSuchBucket" || code == "ContainerNotFound":
		return errorf(NotFound, "there is no bucket %s: check how it is written, and the endpoint", at.host)
	case slices.Contains(badCredentials, code):
		return errorf(Forbidden, "the store does not accept %s (%s): check them", c.whose(), said)
	case status == http.StatusNotFound || status == http.StatusGone:
		return notFound(at)
	case at.scheme == "https" && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return errorf(Forbidden, "the server does not let it be read (%s): https:// is for files that anybody may read", said)
	case at.scheme == "https" && status >= 300 && status < 400:
		return errorf(Invalid, "the server sends us in circles, or to where nothing is encrypted (%s): name the address of the file itself", said)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return errorf(Forbidden, "the store does not let it be read with %s (%s): give credentials that may list and read it in the Secret that secretRef names", c.whose(), said)
	case status == http.StatusPreconditionFailed || status == http.StatusRequestedRangeNotSatisfiable:
		return errorf(Unavailable, "it changed while it was read: is it still being uploaded?")
	case code == "AuthorizationHeaderMalformed" || status >= 300 && status < 400:
		return errorf(Invalid, "the store sends us elsewhere (%s): is the bucket in another region? Set serving.kserve.io/s3-region on the Secret", said)
	case status == http.StatusTooManyRequests || status >= 500:
		return errorf(Unavailable, "the store has trouble (%s): try again later", said)
	}
	return errorf(Invalid, "the store does not take our request (%s): check the URI, the endpoint and the credentials", said)
}

func notFound(at location) *Error {
	what := "neither an object of this name nor anything below it"
	switch {
	case at.scheme == "oci":
		what = "no image"
	case at.scheme == "https":
		what = "no file"
	case at.dir:
		what = "nothing below it"
	}
	return errorf(NotFound, "there is %s: check the URI, or upload the artifact first", what)
}

// printable makes text that others wrote fit to print: one line, no control characters, not
// endless.
func printable(s string) string {
	const longest = 200
	s = strings.TrimSpace(strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
