package kfp

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// Reason sorts errors.
type Reason string

// Reasons.
const (
	// Unreachable: there is no answer, so that nobody knows whether it was done.
	Unreachable Reason = "Unreachable"
	// Overloaded: it says to come later.
	Overloaded Reason = "Overloaded"
	// Broken: the server failed, or a proxy before it, or its answer makes no sense.
	Broken Reason = "Broken"
	// Unauthenticated: it does not know who asks.
	Unauthenticated Reason = "Unauthenticated"
	// Forbidden: who asks has no right to it.
	Forbidden Reason = "Forbidden"
	// Missing: the pipeline, the version or the experiment is not there.
	Missing Reason = "Missing"
	// Forgotten: a run is not there any more.
	Forgotten Reason = "Forgotten"
	// Taken: the name is in use for something else.
	Taken Reason = "Taken"
	// Invalid: the package or the parameters cannot be run, or the server refuses them.
	Invalid Reason = "Invalid"
)

// Error is what went wrong, in a sentence.
type Error struct {
	Reason  Reason
	Message string
	// unsure: what was asked for may have been done.
	unsure bool
	// cause is worth a test with errors.Is, such as context.Canceled.
	cause error
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.cause }

// Temporary tells whether the same may go well later though nobody changes anything. So are errors of
// others, of which nothing is known.
func Temporary(err error) bool {
	switch ReasonOf(err) {
	case Forbidden, Missing, Forgotten, Taken, Invalid:
		return false
	}
	return true
}

// ReasonOf is the reason of an error, if it is one of this package.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// mayBeDone tells whether what was asked for may have been done in spite of the error.
func mayBeDone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.unsure
}

func sayf(reason Reason, format string, arguments ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}

// about puts before an error what was to be done.
func about(err error, format string, arguments ...any) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	named := *e
	named.Message = fmt.Sprintf(format, arguments...) + ": " + e.Message
	return &named
}

// refusal is an answer that is no success, in a sentence. What ends an attempt for good has to be said by
// Kubeflow Pipelines itself: a proxy that has lost its way to it answers 404 too, and the runs are there.
func refusal(status int, body []byte, token string) *Error {
	said := wordsOf(body)
	words := saying(said, token)
	if status >= 400 && status < 500 && (said == "" || said == "Not Found") && !slices.Contains(proxies, status) {
		return sayf(Broken, "what answers (%s) does not seem to be Kubeflow Pipelines: see whether a proxy before it works, and correct the address if not", statusText(status))
	}
	switch status {
	case http.StatusUnauthorized:
		return sayf(Unauthenticated, "it does not know who asks%s: name an account in spec.serviceAccountName, of which it gets a token for the audience %s, and see whether the server asks for another", words, Audience)
	case http.StatusForbidden:
		return sayf(Forbidden, "the account has no right to it%s: let a Role for the group pipelines.kubeflow.org give it that verb in that namespace, and an AuthorizationPolicy let its pods through", words)
	case http.StatusNotFound:
		return sayf(Missing, "it is not there%s", words)
	case http.StatusConflict:
		return sayf(Taken, "it is in the way of something that is there%s", words)
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e := sayf(Overloaded, "it is overloaded (%s)%s: it is asked again later", statusText(status), words)
		e.unsure = status != http.StatusTooManyRequests
		return e
	case http.StatusRequestEntityTooLarge:
		return sayf(Invalid, "it takes no requests of that size: make the pipeline smaller, or raise the limit of the proxy before it")
	}
	if status >= 400 && status < 500 {
		return sayf(Invalid, "it refuses that (%s)%s", statusText(status), words)
	}
	e := sayf(Broken, "it failed (%s)%s: see the log of its pod ml-pipeline", statusText(status), words)
	e.unsure = true
	return e
}

// proxies are answers of proxies that mean what they say.
var proxies = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusRequestEntityTooLarge}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// wordsOf are the server's own: the last link of its chain of errors, which says most, or the whole
// chain. A page of a proxy says nothing.
func wordsOf(body []byte) string {
	var said struct {
		Message string `json:"message"`
		Details []struct {
			Message string `json:"message"`
		} `json:"details"`
		ErrorMessage string `json:"error_message"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	for _, d := range said.Details {
		if d.Message != "" && d.Message != "Internal Server Error" {
			return d.Message
		}
	}
	if said.Message != "" {
		return said.Message
	}
	return said.ErrorMessage
}

// maxWords bounds what is repeated of a server's words.
const maxWords = 300

// saying quotes words of a server, which may repeat what was sent to it.
func saying(words, token string) string {
	if token != "" {
		words = strings.ReplaceAll(words, token, "***")
	}
	words = printable(words)
	if words == "" {
		return ""
	}
	return fmt.Sprintf(", in its words %q", words)
}

// printable is a text as one line for people.
func printable(text string) string { return shortened(text, maxWords) }

// shortened is a text as one line of so many characters at most.
func shortened(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > most {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// explain says why there is no answer. The context comes first, because a connection that was cut
// since the time was up fails in a hundred ways.
func explain(ctx context.Context, err error) *Error {
	e := &Error{Reason: Unreachable, unsure: true}
	if cause := ctx.Err(); cause != nil {
		e.cause, e.Message = cause, "it does not answer in time: see whether it is overloaded, and whether a network policy is in the way"
		if errors.Is(cause, context.Canceled) {
			e.Message = "the request was broken off"
		}
		return e
	}
	if closed, ok := errors.AsType[closedError](err); ok {
		return &Error{Reason: Invalid, Message: closed.Error()}
	}
	e.Message, e.unsure = unreached(err)
	return e
}

func unreached(err error) (message string, unsure bool) {
	netErr, isNet := errors.AsType[net.Error](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	certificate := &x509.CertificateInvalidError{}
	_, isUnknown := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case isDNS && dns.IsNotFound:
		return "there is no host of that name: correct the address, or install Kubeflow Pipelines", false
	case isDNS:
		return "the name of the host cannot be looked up: see whether DNS works", false
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: see whether its pod ml-pipeline runs, and correct the port", false
	case isUnknown, errors.As(err, certificate):
		return "its certificate is not to be trusted: renew it, or correct the address", false
	case isNet && netErr.Timeout():
		return "it does not answer in time: see whether it is overloaded, and whether a network policy is in the way", true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off: see whether its pod ml-pipeline was started again", true
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // it repeats the URL
	}
	return "it cannot be asked: " + printable(err.Error()) + "; see whether it is up, and correct the address if not", true
}
