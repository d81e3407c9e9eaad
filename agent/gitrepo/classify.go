package gitrepo

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

var (
	errTooManyRefs = errorf(TooLarge, "the remote lists more than %d MiB of references; delete some, or use a smaller repository", maxRefs>>20)
	errNoAccess    = errorf(AuthenticationFailed, "the server forbids reading the repository; give the user, token or key of the Secret read access to it")
	// errAnswer marks an answer to a request for a pack that was no pack.
	errAnswer = errors.New("the server's answer")
)

// classify finds the kind of an error that came from a server or on the way to it. It
// errs on the side of Network, which is tried again. The same failure gives the same words,
// without clock times and local ports: they end up in a status that is only written when
// it changes.
func classify(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*plumbing.UnexpectedError](err); ok {
		return classify(e.Err)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return classify(e.Err) // it repeats our URL
	}
	for _, find := range []func(error) *Error{asLimit, asStatus, asCertificate, asSSH, asServer, asConnection} {
		if e := find(err); e != nil {
			return e
		}
	}
	return errorf(Network, "the exchange with the server failed: %s; it is tried again", printable(err.Error()))
}

func asLimit(err error) *Error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooManyRefs
	}
	return nil
}

// asStatus reads what an HTTP server answered.
func asStatus(err error) *Error {
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return errorf(AuthenticationFailed, "the server does not accept the credentials, or wants some; check username and password or bearerToken in the Secret")
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return errNoAccess
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return errorf(NotFound, "the server has no such repository, or hides it from these credentials; check the URL and the Secret")
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return errorf(Empty, "the repository is empty; push a commit to it")
	}
	answer, ok := errors.AsType[*githttp.Err](err)
	if !ok {
		return nil
	}
	status := answer.StatusCode()
	if status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 {
		return errorf(Network, "the server answered %d %s; it is tried again", status, http.StatusText(status))
	}
	if status == http.StatusProxyAuthRequired {
		return errorf(AuthenticationFailed, "the proxy does not accept the credentials; check username and password in its Secret")
	}
	return errorf(Refused, "the server answered %d %s; check that the URL is the one that git clones from", status, http.StatusText(status))
}

func asCertificate(err error) *Error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errorf(CertificateInvalid, "the server's certificate is signed by an unknown authority; add its CA as ca.crt to the Secret")
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return errorf(CertificateInvalid, "the server's certificate is only valid from %s to %s; renew it", e.Cert.NotBefore.UTC().Format(time.RFC3339), e.Cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errorf(CertificateInvalid, "the server's certificate is not valid: %s; renew it, or correct the URL or ca.crt in the Secret", printable(e.Err.Error()))
	}
	text := err.Error()
	for _, alert := range []string{"tls: certificate required", "tls: bad certificate", "tls: unknown certificate"} {
		if strings.Contains(text, alert) {
			return errorf(AuthenticationFailed, "the server does not accept our client certificate, or wants one; check tls.crt and tls.key in the Secret")
		}
	}
	if strings.Contains(text, "Proxy Authentication Required") {
		return errorf(AuthenticationFailed, "the proxy does not accept the credentials; check username and password in its Secret")
	}
	return nil
}

func asSSH(err error) *Error {
	if strings.Contains(err.Error(), "ssh: unable to authenticate") {
		return errorf(AuthenticationFailed, "the server does not accept the key in identity; add its public half to the server, or correct the Secret")
	}
	return nil
}

// asServer finds what git on the other side said.
func asServer(err error) *Error {
	if line, ok := errors.AsType[*pktline.ErrorLine](err); ok {
		return serverSaid(line.Text)
	}
	text := err.Error()
	for _, before := range []string{`unexpected content "ERR `, "unexpected error: ", "error decoding upload-pack response: "} {
		if _, said, found := strings.Cut(text, before); found {
			return serverSaid(strings.TrimSuffix(said, `"`))
		}
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return errorf(Refused, "the remote misses an object: %s; run git fsck there", printable(text))
	}
	if errors.Is(err, errAnswer) {
		return serverSaid(text)
	}
	return nil
}

// serverSaid is the error for words of the server, over any protocol.
func serverSaid(said string) *Error {
	lower := strings.ToLower(said)
	for _, word := range []string{"not found", "does not exist", "does not appear to be a git repository", "no such repository", "could not be found", "not a git repository"} {
		if strings.Contains(lower, word) {
			return errorf(NotFound, "the server has no such repository, or hides it from these credentials; check the URL and the Secret")
		}
	}
	for _, word := range []string{"permission denied", "permission to", "access denied", "authentication", "not authorized", "not allowed", "forbidden", "read only", "read-only"} {
		if strings.Contains(lower, word) {
			return errNoAccess
		}
	}
	if strings.TrimSpace(said) == "" {
		return errorf(Network, "the server closed the connection without a word; it is tried again")
	}
	return errorf(Refused, "the server refused: %s", printable(said))
}

// reason says what a connection failed of, without our side's port.
func reason(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Source == nil || op.Addr == nil {
		return printable(err.Error())
	}
	return printable(op.Op + " " + op.Net + " " + op.Addr.String() + ": " + op.Err.Error())
}

// asConnection explains a connection that failed.
func asConnection(err error) *Error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return storageError(path)
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return storageError(link)
	}
	switch e, isNet := errors.AsType[net.Error](err); {
	case isNet && e.Timeout():
		return errorf(Timeout, "the server did not answer in time; check the network and the server, or raise the timeout")
	case isNet:
		return errorf(Network, "the server cannot be reached: %s; check the URL, DNS, network policies and the proxy", reason(err))
	case errors.Is(err, packp.ErrEmptyInput), errors.Is(err, pktline.ErrInvalidPktLen):
		return errorf(Network, "what answers is no Git server; check that the URL is the one that git clones from")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errorf(Network, "the connection broke off; it is tried again")
	}
	if strings.Contains(err.Error(), "http redirect") {
		return errorf(Refused, "the server redirects where we do not follow: %s; write the final URL", strconv.Quote(printable(err.Error())))
	}
	return nil
}
