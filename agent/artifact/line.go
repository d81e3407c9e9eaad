package artifact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// maxAnswer is how long an answer may be that is not a file: a page of a listing with 1,000
	// names of 1,024 bytes, each byte escaped, is below it.
	maxAnswer = 16 << 20
	// leastProgress is what has to come within Limits.Stall, or the rest of the answer.
	leastProgress = 64 << 10
	// spareRequests is how many requests a look may send besides two for each file and one for every
	// leastPage of them in a listing: for tokens, and for attempts that failed.
	spareRequests = 100
	leastPage     = 50
)

// line is how the requests of one look go out. It bounds what a server can do to us: it cuts
// answers off that make no progress or go on for ever, and counts the requests.
type line struct {
	base  *http.Transport
	stall time.Duration
	files atomic.Int64 // requests left for files
	other atomic.Int64 // and for all else
}

// newLine trusts the given authorities; nil stands for the system's.
func (i *Inspector) newLine(trusted *x509.CertPool, insecure bool) *line {
	base := http.DefaultTransport.(*http.Transport).Clone() // with the proxy of the environment
	base.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	base.TLSClientConfig = &tls.Config{RootCAs: trusted, InsecureSkipVerify: insecure}
	base.DisableCompression = true // the bytes as they are stored
	base.MaxResponseHeaderBytes = 1 << 20
	base.MaxIdleConnsPerHost = i.limits.Parallel
	t := &line{base: base, stall: i.limits.Stall}
	t.files.Store(spareRequests + 2*int64(i.limits.Files))
	t.other.Store(spareRequests + int64(i.limits.Files)/leastPage)
	return t
}

// client sends requests without following redirects, which could lead signed requests elsewhere.
func (t *line) client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// forFile marks the requests of a context: their good answers are files, of any length.
func forFile(ctx context.Context) context.Context { return context.WithValue(ctx, fileKey{}, true) }

type fileKey struct{}

// RoundTrip sends a request.
func (t *line) RoundTrip(r *http.Request) (*http.Response, error) {
	left, isFile := &t.other, r.Context().Value(fileKey{}) != nil
	if isFile {
		left = &t.files
	}
	if left.Add(-1) < 0 {
		return nil, errRequests
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(t.stall, func() { cancel(errStalled) })
	response, err := t.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		timer.Stop()
		err = stalled(ctx, err)
		cancel(nil)
		return nil, err
	}
	body := &body{ReadCloser: response.Body, ctx: ctx, timer: timer, stall: t.stall, most: maxAnswer,
		end: func() { timer.Stop(); cancel(nil) }}
	if isFile && response.StatusCode < 300 {
		body.most = -1
	}
	response.Body = body
	return response, nil
}

// stalled is the reason why a request was cut off, if that was its silence.
func stalled(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// body is an answer that is watched.
type body struct {
	io.ReadCloser
	ctx   context.Context
	timer *time.Timer
	stall time.Duration
	end   func()
	most  int64 // bytes that may come; negative for any number
	read  int64
	fresh int64 // bytes since the timer was set
}

// Read reads on.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.fresh += int64(n); b.fresh >= leastProgress {
		b.fresh = 0
		b.timer.Reset(b.stall)
	}
	if b.most >= 0 && b.read > b.most {
		return 0, errAnswer
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalled(b.ctx, err)
	}
	return n, err
}

// Close ends the request.
func (b *body) Close() error {
	b.end()
	return b.ReadCloser.Close()
}
