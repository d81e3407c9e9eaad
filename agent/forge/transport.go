package forge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer, in bytes, unpacked.
	maxAnswer = 32 << 20
	// maxHeader bounds the headers of an answer, in bytes.
	maxHeader = 64 << 10
	// maxConnections is how many connections a forge has to bear at once for one repository.
	maxConnections = 4
	// maxTries of what may be done twice.
	maxTries = 3
	// maxRedirects that are followed.
	maxRedirects = 5
	// longestPause is how long a try waits because the forge says so.
	longestPause = 5 * time.Second
	// longestLimit bounds for how long we keep away because of a rate limit.
	longestLimit = time.Hour
)

// transport is below the libraries of all forges. It adds the token, and turns every answer that is
// no success into an *Error, so that no library can keep it, print it, or wait for it.
type transport struct {
	base *url.URL // of the API: requests to other hosts are not made
	next http.RoundTripper
	// authorize returns the value of the header Authorization.
	authorize func(context.Context) (string, error)
	// rejected is told that the forge does not take it. May be nil.
	rejected func()
	kept     cache

	mu      sync.Mutex
	limited *Error // the last rate limit
}

// client returns the client that a library gets.
func (t *transport) client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: t.follow}
}

// follow refuses redirects that would carry the token or a changed request elsewhere.
func (t *transport) follow(next *http.Request, before []*http.Request) error {
	switch {
	case !t.ours(next.URL):
		return &Error{Kind: Refused, Message: "the forge redirects to another host, " + printable(next.URL.Host) + ", where the token is not sent: correct the address"}
	case next.Method != before[0].Method:
		return &Error{Kind: Refused, Message: "the forge says that the repository has moved to " + printable(next.URL.Path) + ": correct its URL"}
	case len(before) > maxRedirects:
		return &Error{Kind: Refused, Message: fmt.Sprintf("the forge redirects more than %d times: correct the address", maxRedirects)}
	}
	return nil
}

func (t *transport) ours(u *url.URL) bool { return u.Scheme == t.base.Scheme && u.Host == t.base.Host }

// RoundTrip makes a request, again if need be, and returns a success, a redirect, or an *Error.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if !t.ours(request.URL) {
		return nil, &Error{Kind: Refused, Message: "a request to another host, " + printable(request.URL.Host) + ", is not made"}
	}
	if limited := t.limit(); limited != nil {
		return nil, limited
	}
	body, err := drain(request)
	if err != nil {
		return nil, err
	}
	credential, err := t.authorize(ctx)
	if err != nil {
		return nil, err
	}
	key := request.URL.String() + " " + request.Header.Get("Accept")
	kept, etag := answer{}, ""
	if request.Method == http.MethodGet {
		kept, etag = t.kept.find(key)
	}
	for try := 1; ; try++ {
		a, failed := t.try(request, body, credential, etag)
		switch {
		case failed == nil && a.status == http.StatusNotModified && etag != "":
			return kept.renewed(a).response(request), nil
		case failed == nil:
			if request.Method == http.MethodGet && a.status == http.StatusOK {
				t.kept.keep(key, a)
			}
			return a.response(request), nil
		}
		pause, again := pauseBefore(try, failed)
		if !again || try == maxTries || !twice(request) || ctx.Err() != nil || !wait(ctx, pause) {
			return nil, failed
		}
	}
}

// try makes a request once and reads the answer.
func (t *transport) try(original *http.Request, body []byte, credential, etag string) (answer, *Error) {
	ctx := original.Context()
	request := original.Clone(ctx)
	request.Body, request.GetBody, request.ContentLength = http.NoBody, nil, int64(len(body))
	if body != nil {
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	request.Header.Set("Authorization", credential)
	request.Header.Set("User-Agent", "sluice")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return answer{}, scrub(explain(ctx, err), credential)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1)); err != nil {
		return answer{}, scrub(explain(ctx, err), credential)
	}
	if len(a.body) > maxAnswer {
		return answer{}, &Error{Kind: Refused, Message: fmt.Sprintf("one answer of the forge has more than %d MiB, and more is not read: shorten what is in it", maxAnswer>>20)}
	}
	redirect := a.status >= 300 && a.status < 400 && a.header.Get("Location") != ""
	if a.status < 300 || redirect || a.status == http.StatusNotModified && etag != "" {
		return a, nil
	}
	e := scrub(refusal(a, time.Now()), credential)
	switch {
	case e.Kind == RateLimited:
		t.mu.Lock()
		t.limited = e
		t.mu.Unlock()
	case e.Kind == Unauthorized && t.rejected != nil:
		t.rejected()
	}
	return answer{}, e
}

// limit returns the rate limit that is not over, if any. To ask before that makes it longer.
func (t *transport) limit() *Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limited != nil && time.Now().Before(t.limited.Until) {
		return t.limited
	}
	return nil
}

// scrub removes a credential from what a forge says, which may repeat it.
func scrub(e *Error, credential string) *Error {
	_, secret, _ := strings.Cut(credential, " ")
	if secret != "" {
		e.said = strings.ReplaceAll(e.said, secret, "***")
		e.Message = strings.ReplaceAll(e.Message, secret, "***")
	}
	return e
}

// drain reads the body of a request, to send it again.
func drain(request *http.Request) ([]byte, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil, nil
	}
	defer request.Body.Close()
	return io.ReadAll(request.Body)
}

// renewed is a kept answer with the headers of the one that says that it has not changed: a page can be
// the same and have got another behind it.
func (a answer) renewed(by answer) answer {
	header := a.header.Clone()
	maps.Copy(header, by.header)
	return answer{a.status, header, a.body}
}

// response makes of an answer what the libraries read.
func (a answer) response(request *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: request,
	}
}

// twice tells whether a request may be made twice: what it does the second time is nothing. A merge
// that was made although its answer was lost is found by looking, not by merging again.
func twice(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPatch:
		return true
	case http.MethodPut:
		return !strings.HasSuffix(request.URL.Path, "/merge")
	}
	return false
}

// pauseBefore says how long to wait before the next try, if there should be one.
func pauseBefore(try int, e *Error) (time.Duration, bool) {
	if e.Kind != Unavailable {
		return 0, false
	}
	pause := time.Duration(try*try) * 150 * time.Millisecond
	if !e.Until.IsZero() {
		pause = max(pause, time.Until(e.Until))
	}
	return pause, pause <= longestPause
}

func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newNetwork returns what connects to a forge, with authorities in PEM form besides the system's. The
// proxy of the environment counts if none is given.
func newNetwork(authorities []byte, proxy *url.URL) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(authorities) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(authorities) {
			return nil, errorf(Invalid, "the key ca.crt of the Secret holds no certificate: it has to be in PEM form")
		}
		config.RootCAs = pool
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t, nil
}
