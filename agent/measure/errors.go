package measure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode"
)

// failure is what went wrong, in a sentence. The same failure has the same words, without clock
// times and local ports: they end up in a status that is only written when it changes.
type failure struct {
	message string
	// cause is worth a test with errors.Is, such as context.Canceled.
	cause error
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.cause }

func sayf(format string, arguments ...any) error {
	return &failure{message: fmt.Sprintf(format, arguments...)}
}

// about puts before an error what was asked.
func about(what string, err error) error {
	return &failure{message: what + ": " + err.Error(), cause: err}
}

// explain says why there is no answer. The context comes first, because a connection that was
// cut since the time was up fails in a hundred ways.
func explain(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return &failure{"the measurement was broken off", cause}
		}
		return &failure{"it does not answer in time: see whether it is overloaded, and whether a network policy is in the way", cause}
	}
	if e, ok := errors.AsType[closedError](err); ok {
		return e
	}
	if e, ok := errors.AsType[redirectError](err); ok {
		return e
	}
	for _, find := range []func(error) string{asCertificate, asName, asConnection} {
		if message := find(err); message != "" {
			return sayf("%s", message)
		}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it repeats the URL
	}
	return sayf("it cannot be asked: %s; see whether it is up, and correct the address if not", reason(err))
}

func asCertificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is signed by an unknown authority: add the authority's as ca.crt to the Secret"
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not valid: " + printable(e.Err.Error()) + "; renew it, or correct the address or ca.crt in the Secret"
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && strings.HasPrefix(string(e.RecordHeader[:]), "HTTP") {
		return "it speaks plain HTTP: write http:// in the address"
	}
	return ""
}

func asName(err error) string {
	switch e, ok := errors.AsType[*net.DNSError](err); {
	case !ok:
		return ""
	case e.IsNotFound:
		return "there is no host of that name: correct it, or create its Service"
	default:
		return "the name of the host cannot be looked up: see whether DNS works"
	}
}

func asConnection(err error) string {
	switch e, isNet := errors.AsType[net.Error](err); {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start it, or correct the port"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off: see whether it is up, and whether it speaks plain HTTP or TLS"
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return fmt.Sprintf("its answer has more than %d KiB of headers: correct the address", maxHeader>>10)
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it speaks plain HTTP: write http:// in the address"
	case isNet && e.Timeout():
		return "it does not answer in time: see whether it is overloaded, and whether a network policy is in the way"
	}
	return ""
}

// reason says what a connection failed of, without our side's port.
func reason(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return printable(op.Op + ": " + op.Err.Error())
	}
	return printable(err.Error())
}

// printable makes text that others wrote fit to print: one line, no control characters, not
// endless.
func printable(text string) string {
	const longest = 200
	text = strings.TrimSpace(strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
