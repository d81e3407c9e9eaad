package forge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Kind says what went wrong, in a word that fits a condition's reason.
type Kind string

// The kinds of errors. The first group passes by itself; the second needs somebody who changes the
// spec, the Secret, or a setting of the forge; Conflict needs a look at how things are now.
const (
	// Unavailable: the forge cannot be reached, or fails.
	Unavailable Kind = "Unavailable"
	// RateLimited: too many requests were made. Until says when the next may be.
	RateLimited Kind = "RateLimited"

	// Invalid: what we were given cannot be used as it is written.
	Invalid Kind = "Invalid"
	// Unauthorized: the token is not accepted.
	Unauthorized Kind = "Unauthorized"
	// Forbidden: the token lacks a right.
	Forbidden Kind = "Forbidden"
	// NotFound: it is not there, or the token may not see it. The forges do not tell which.
	NotFound Kind = "NotFound"
	// Refused: the forge says no for a reason of its own.
	Refused Kind = "Refused"

	// Conflict: it is not what we took it for any more.
	Conflict Kind = "Conflict"
)

// Temporary tells whether trying again later can help although nobody changes anything.
func (k Kind) Temporary() bool { return k == Unavailable || k == RateLimited }

// Error is the error of everything in this package.
type Error struct {
	Kind Kind
	// Message says in one sentence what is wrong and what to do. The same failure has the same words,
	// and none of the token's.
	Message string
	// Until is when to ask again, for RateLimited, and for Unavailable if the forge has said it.
	Until time.Time
	// Err is a cause worth a test with errors.Is, such as context.Canceled.
	Err error

	status int    // of the answer, 0 if there was none
	said   string // the forge's own words
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// statusOf is the status of the answer that an error is about, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.status
	}
	return 0
}

// says tells whether an error is about an answer with a status and, in any case, some words.
func says(err error, status int, words string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.status == status && strings.Contains(strings.ToLower(e.said), strings.ToLower(words))
}

func isKind(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}

// kindOf is the kind of an answer that is no success.
func kindOf(status int) Kind {
	switch {
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden:
		return Forbidden
	case status == http.StatusNotFound || status == http.StatusGone:
		return NotFound
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return Conflict
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status >= 500 || status == http.StatusRequestTimeout:
		return Unavailable
	}
	return Refused
}

// finish makes of an error what a caller sees: a sentence that begins with the repository and what
// was tried, and ends with what to do.
func (f *Forge) finish(ctx context.Context, doing string, needs right, err error) error {
	if err == nil {
		return nil
	}
	e := Error{Kind: Refused, Message: "the forge's answer cannot be read (" + printable(err.Error()) + "): see whether the address is its API's"}
	if known, ok := errors.AsType[*Error](err); ok {
		e = *known
	} else if cause := ctx.Err(); cause != nil {
		e = *explain(ctx, cause)
	}
	if e.Kind == Unauthorized || e.Kind == Forbidden {
		f.doubted.Store(true)
	}
	why := e.Message
	if why == "" {
		why = e.advice(f.place.provider, needs)
	}
	e.Message = fmt.Sprintf("%s on %s: cannot %s: %s", f.place.path, f.place.api.Host, doing, why)
	return &e
}

// advice says what is wrong and what to do, by the kind of answer.
func (e *Error) advice(provider Provider, needs right) string {
	said := ""
	if e.said != "" {
		said = " (" + e.said + ")"
	}
	switch e.Kind {
	case Unauthorized:
		return "the token is not accepted" + said + ": put a valid one into the Secret; it needs " + rights[provider][needs]
	case Forbidden:
		return "the token may not do that" + said + ": give it " + rights[provider][needs]
	case NotFound:
		return "it is not there, or the token may not see it" + said + ": correct the name, or give the token " + rights[provider][needs]
	case Conflict:
		return "it is not what it was" + said + ": it is looked at again"
	case RateLimited:
		return "too many requests were made" + said + ": the next one waits until the forge allows it"
	case Unavailable:
		return fmt.Sprintf("the forge answers %d %s%s: see whether it is well; it is asked again", e.status, http.StatusText(e.status), said)
	}
	if e.said == "" {
		return fmt.Sprintf("the forge answers %d %s: see whether the address is its API's", e.status, http.StatusText(e.status))
	}
	return "the forge refuses: " + e.said
}

// explain says why there is no answer. The context comes first, because a connection that was cut
// since the time was up fails in a hundred ways.
func explain(ctx context.Context, err error) *Error {
	e := &Error{Kind: Unavailable}
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.Canceled):
		e.Message, e.Err = "it was broken off", cause
	case cause != nil:
		e.Message, e.Err = "the forge does not answer in time: see whether it is overloaded, and whether a network policy is in the way", cause
	default:
		if e.Message = untrusted(err); e.Message != "" {
			e.Kind = Invalid
		} else {
			e.Message = unreached(err)
		}
	}
	return e
}

// untrusted says why a forge is not spoken with.
func untrusted(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the forge's certificate is signed by an unknown authority: add the authority's as ca.crt to the Secret"
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the forge's certificate is not valid: " + printable(e.Err.Error()) + "; renew it, or correct the address or ca.crt in the Secret"
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "the forge speaks plain HTTP: correct the address"
	}
	return ""
}

func unreached(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "there is no host of that name: correct the address"
	}
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the forge's address: start it, or correct the address"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off: see whether the forge is up; it is asked again"
	case timeout != nil && timeout.Timeout():
		return "the forge does not answer in time: see whether it is overloaded, and whether a network policy is in the way"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it repeats the URL
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err // its ports differ each time
	}
	return "the forge cannot be reached: " + printable(err.Error()) + "; see whether it is up, and correct the address if not"
}

// printable makes text that others wrote fit to print: one line, no control characters, not endless.
func printable(s string) string {
	const longest = 300
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
