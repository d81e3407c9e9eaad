package objectstore

import (
	"net/http"
	"strings"
	"sync"
)

// Traffic is what clients have asked for and got.
type Traffic struct {
	Lists   int   // pages of listings
	Gets    int   // of objects, whole or in part
	Heads   int   // of objects and buckets
	Others  int   // writes and everything else
	Sent    int64 // bytes of bodies to clients
	Refused int   // answered with a status of 400 or more, also counted above
}

// Sub is what came after an earlier snapshot.
func (t Traffic) Sub(earlier Traffic) Traffic {
	return Traffic{
		Lists:   t.Lists - earlier.Lists,
		Gets:    t.Gets - earlier.Gets,
		Heads:   t.Heads - earlier.Heads,
		Others:  t.Others - earlier.Others,
		Sent:    t.Sent - earlier.Sent,
		Refused: t.Refused - earlier.Refused,
	}
}

// Requests is how many requests there were.
func (t Traffic) Requests() int { return t.Lists + t.Gets + t.Heads + t.Others }

// Traffic returns what clients have asked for and got. A request counts before it is answered.
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
	t.total.Lists += more.Lists
	t.total.Gets += more.Gets
	t.total.Heads += more.Heads
	t.total.Others += more.Others
	t.total.Sent += more.Sent
	t.total.Refused += more.Refused
}

// count counts the requests to next. Bytes count as they pass.
func (t *traffic) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.add(classify(r))
		next.ServeHTTP(&countedResponse{w, t}, r)
	})
}

func classify(r *http.Request) Traffic {
	switch {
	case r.Method == http.MethodHead:
		return Traffic{Heads: 1}
	case r.Method == http.MethodGet && ofObject(r):
		return Traffic{Gets: 1}
	case r.Method == http.MethodGet:
		return Traffic{Lists: 1}
	}
	return Traffic{Others: 1}
}

// ofObject tells whether a request is about an object and not about its bucket: /bucket/key.
func ofObject(r *http.Request) bool {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return key != ""
}

type countedResponse struct {
	http.ResponseWriter
	traffic *traffic
}

func (c *countedResponse) WriteHeader(status int) {
	if status >= 400 {
		c.traffic.add(Traffic{Refused: 1})
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *countedResponse) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.traffic.add(Traffic{Sent: int64(n)})
	return n, err
}

// Unwrap lets the proxy flush.
func (c *countedResponse) Unwrap() http.ResponseWriter { return c.ResponseWriter }
