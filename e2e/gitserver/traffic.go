package gitserver

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Traffic is what clients have asked for and got.
type Traffic struct {
	Requests int   // over HTTP, all; over SSH, commands
	Denied   int   // for want of the right credentials
	LsRefs   int   // questions for the branches and tags
	Fetches  int   // questions for objects; over HTTP only
	Pushes   int   // packs received
	Received int64 // bytes from clients, without HTTP headers or SSH's own
	Sent     int64 // bytes to clients, likewise
}

// Sub is what came after an earlier snapshot.
func (t Traffic) Sub(earlier Traffic) Traffic {
	return Traffic{
		Requests: t.Requests - earlier.Requests,
		Denied:   t.Denied - earlier.Denied,
		LsRefs:   t.LsRefs - earlier.LsRefs,
		Fetches:  t.Fetches - earlier.Fetches,
		Pushes:   t.Pushes - earlier.Pushes,
		Received: t.Received - earlier.Received,
		Sent:     t.Sent - earlier.Sent,
	}
}

// Traffic returns what clients have asked for and got, over HTTP and SSH together.
func (s *Server) Traffic() Traffic {
	s.traffic.mu.Lock()
	defer s.traffic.mu.Unlock()
	return s.traffic.total
}

type traffic struct {
	mu    sync.Mutex
	total Traffic
}

func (t *traffic) add(more Traffic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Requests += more.Requests
	t.total.Denied += more.Denied
	t.total.LsRefs += more.LsRefs
	t.total.Fetches += more.Fetches
	t.total.Pushes += more.Pushes
	t.total.Received += more.Received
	t.total.Sent += more.Sent
}

// count counts the requests to next. Bytes count as they pass, so that a request cut short
// is there too.
func (t *traffic) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := bufio.NewReader(r.Body)
		t.add(classify(r, body))
		r.Body = struct {
			io.Reader
			io.Closer
		}{counted{body, func(n int64) { t.add(Traffic{Received: n}) }}, r.Body}
		next.ServeHTTP(&countedResponse{w, func(n int64) { t.add(Traffic{Sent: n}) }}, r)
	})
}

// classify tells what is asked for. In protocol version 2 the body says; before, the
// advertisement of a GET names the refs.
func classify(r *http.Request, body *bufio.Reader) Traffic {
	seen := Traffic{Requests: 1}
	service := r.URL.Query().Get("service")
	version2 := strings.Contains(r.Header.Get("Git-Protocol"), "version=2")
	switch {
	case strings.HasSuffix(r.URL.Path, "/info/refs"):
		if !version2 || service == "git-receive-pack" {
			seen.LsRefs = 1
		}
	case strings.HasSuffix(r.URL.Path, "/git-receive-pack"):
		seen.Pushes = 1
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
		head, _ := body.Peek(len("0000command=ls-refs")) // a short body is none
		if bytes.Contains(head, []byte("command=ls-refs")) {
			seen.LsRefs = 1
		} else {
			seen.Fetches = 1
		}
	}
	return seen
}

type counted struct {
	io.Reader
	add func(int64)
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.add(int64(n))
	return n, err
}

type countedResponse struct {
	http.ResponseWriter
	add func(int64)
}

func (c *countedResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.add(int64(n))
	return n, err
}

// Flush lets the CGI handler send what it has.
func (c *countedResponse) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }
