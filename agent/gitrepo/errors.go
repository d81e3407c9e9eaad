package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Kind says what went wrong, in a word that fits a condition's reason.
type Kind string

// The kinds of errors. The first group passes by itself or when the server is mended, so
// trying again makes sense; the second needs a change of the spec, of a Secret, or of what
// is in Git.
const (
	// Timeout: the time given was not enough, or the server fell silent.
	Timeout Kind = "Timeout"
	// Network: the server could not be reached, or the connection broke.
	Network Kind = "Network"
	// Storage: the local disk failed.
	Storage Kind = "Storage"
	// NotFetched: the commit is not in the mirror (any more); Fetch brings it back.
	NotFetched Kind = "NotFetched"
	// Moved: somebody else changed the branch while we did.
	Moved Kind = "Moved"

	// Invalid: the URL, the reference or the Secret cannot be used as they are written.
	Invalid Kind = "Invalid"
	// AuthenticationFailed: the server wants other credentials.
	AuthenticationFailed Kind = "AuthenticationFailed"
	// HostKeyUnknown: known_hosts has no key for the server.
	HostKeyUnknown Kind = "HostKeyUnknown"
	// HostKeyMismatch: the server shows another key than known_hosts has.
	HostKeyMismatch Kind = "HostKeyMismatch"
	// CertificateInvalid: the server's TLS certificate cannot be trusted.
	CertificateInvalid Kind = "CertificateInvalid"
	// NotFound: there is no repository, or the credentials may not see it.
	NotFound Kind = "NotFound"
	// ReferenceNotFound: the repository has no such branch, tag, reference or commit.
	ReferenceNotFound Kind = "ReferenceNotFound"
	// Empty: the repository has no commits.
	Empty Kind = "Empty"
	// TooLarge: a limit of this package was reached.
	TooLarge Kind = "TooLarge"
	// Refused: the server said no for a reason of its own.
	Refused Kind = "Refused"
	// NotOurs: the branch has a commit that is somebody else's.
	NotOurs Kind = "NotOurs"
	// Untrusted: a commit is not signed, or by nobody who is listed.
	Untrusted Kind = "Untrusted"
	// Conflict: two sides changed the same in different ways.
	Conflict Kind = "Conflict"
)

// Temporary tells whether trying again later can help although nobody changes anything.
func (k Kind) Temporary() bool {
	return k == Timeout || k == Network || k == Storage || k == NotFetched || k == Moved
}

// Error is the error of everything in this package but the files of a Tree, and Secrets that
// the API server does not give out.
type Error struct {
	Kind Kind
	// URL is the remote without credentials; empty when no remote was involved.
	URL string
	// Message says in one sentence what is wrong and what to do. It holds no secrets.
	Message string
	// Err is a cause worth a test with errors.Is, such as context.DeadlineExceeded.
	Err error
}

func (e *Error) Error() string {
	if e.URL == "" {
		return e.Message
	}
	return e.URL + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

func errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// storageError is for a failure of the local disk.
func storageError(err error) *Error {
	return &Error{Kind: Storage, Message: "the mirror cannot be read or written: " + err.Error() + "; check the volume's space and permissions", Err: err}
}

// kindOf returns the kind of an error of this package, and "" for others.
func kindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// finish makes err what a caller may see: an *Error that names the remote and none of its
// secrets. The context comes first, because a connection that was cut since the time was up
// fails in a hundred ways.
func finish(ctx context.Context, err error, remote Remote) error {
	if err == nil {
		return nil
	}
	e := *classify(err)
	if cause := ctx.Err(); cause != nil {
		e = Error{Kind: Timeout, Message: "the server did not answer in time; check the network and the server, or raise the timeout", Err: cause}
		if errors.Is(cause, context.Canceled) {
			e.Message = "it was cancelled"
		}
	}
	e.URL = stripURL(remote.URL)
	e.Message = scrub(e.Message, remote.secrets())
	return &e
}

// scrub replaces secrets, which a server may have sent back to us.
func scrub(message string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			message = strings.ReplaceAll(message, s, "***")
		}
	}
	return message
}

// stripURL removes user name, password, query and fragment from a URL. It works on the
// text, since a password with unescaped characters makes a URL that parses wrongly.
func stripURL(raw string) string {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		scheme, rest = "", raw
	}
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		switch {
		case strings.Contains(rest[:at], ":"):
			rest = rest[strings.LastIndexByte(rest, '@')+1:]
		case found && scheme != "ssh" && !strings.Contains(rest[:at], "/"):
			rest = rest[at+1:]
		}
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if found {
		rest = scheme + "://" + rest
	}
	return printable(rest)
}

// printable makes text that others wrote fit to print: one line, no control characters,
// not endless.
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
