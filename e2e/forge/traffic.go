package forge

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

// Request is what a client asked for.
type Request struct {
	Method string
	// Path is escaped, without the query.
	Path string
	// Query, as it came.
	Query string
	// Status of the answer: 0 while there is none.
	Status int
}

func requestOf(r *http.Request) Request {
	return Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
}

const api = "/api/v1"

// fits tells whether the request is of a method and to a path of the REST API, without /api/v1: a
// star stands for one segment of it, or for a part of one, and an empty method for every one.
func (r Request) fits(method, pattern string) bool {
	p, ofAPI := strings.CutPrefix(r.Path, api)
	fits, _ := path.Match(pattern, p) // a bad pattern fits nothing
	return ofAPI && fits && (method == "" || method == r.Method)
}

// Traffic is what clients have asked for, in the order it came.
type Traffic []Request

// Traffic returns what clients have asked for since the start: what came after an earlier answer t
// is s.Traffic()[len(t):]. A request is in it before it is answered.
func (s *Server) Traffic() Traffic {
	s.traffic.mu.Lock()
	defer s.traffic.mu.Unlock()
	return slices.Clone(s.traffic.requests)
}

// Count is how many requests to the REST API a method and a pattern fit:
// Count("GET", "/repos/*/*/pulls/*"). An empty method is every method.
func (t Traffic) Count(method, pattern string) (n int) {
	for _, r := range t {
		if r.fits(method, pattern) {
			n++
		}
	}
	return n
}

// API is what of it went to the REST API; the rest are Git and pages.
func (t Traffic) API() Traffic {
	return slices.DeleteFunc(slices.Clone(t), func(r Request) bool { return !strings.HasPrefix(r.Path, api+"/") })
}

// String counts equal requests and their statuses, the most frequent first, a line for each.
func (t Traffic) String() string {
	counts := map[Request]int{}
	for _, r := range t {
		r.Query = ""
		counts[r]++
	}
	var b strings.Builder
	for _, r := range slices.SortedFunc(maps.Keys(counts), func(a, b Request) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method), cmp.Compare(a.Status, b.Status))
	}) {
		fmt.Fprintf(&b, "%d× %s %s %d\n", counts[r], r.Method, r.Path, r.Status)
	}
	return b.String()
}

type traffic struct {
	mu       sync.Mutex
	requests Traffic
}

// record keeps the requests to next.
func (t *traffic) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		n := len(t.requests)
		t.requests = append(t.requests, requestOf(r))
		t.mu.Unlock()
		next.ServeHTTP(&recordedResponse{w, func(status int) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.requests[n].Status = status
		}}, r)
	})
}

type recordedResponse struct {
	http.ResponseWriter
	answered func(status int)
}

func (r *recordedResponse) WriteHeader(status int) {
	r.answered(status)
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush.
func (r *recordedResponse) Unwrap() http.ResponseWriter { return r.ResponseWriter }
