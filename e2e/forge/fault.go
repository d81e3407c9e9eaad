package forge

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"sync/atomic"
	"time"
)

// Fault is how a server misbehaves. It stands before the real one.
type Fault func(next http.Handler) http.Handler

// Misbehave has the server answer as the fault says from now on; nil mends it.
func (s *Server) Misbehave(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// misbehaving applies the fault of the moment a request comes.
func (s *Server) misbehaving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		fault := s.fault
		s.mu.Unlock()
		if fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		fault(next).ServeHTTP(w, r)
	})
}

// gate hands requests to Gitea.
func (s *Server) gate() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "gitea"
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:     dialer(s.socket()),
		FlushInterval: -1,
		ErrorLog:      silent(),
	}
}

// silent is for servers whose clients break off on purpose.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// Down breaks every connection off without an answer.
func Down() Fault {
	return answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Silent takes every request and never answers.
func Silent() Fault {
	return answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Status refuses every request with an HTTP status, as Gitea or a proxy before it does, and with
// headers: Status(429, "Retry-After", "7").
func Status(status int, headers ...string) Fault {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message":"As the test says"}`)
	})
}

func answering(answer http.HandlerFunc) Fault {
	return func(http.Handler) http.Handler { return answer }
}

// Slow hands each request on after a pause.
func Slow(pause time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(pause):
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Only limits a fault to requests that a method and a pattern fit, as Traffic.Count has them.
func Only(method, pattern string, f Fault) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requestOf(r).fits(method, pattern) {
				f(next).ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// First limits a fault to so many requests; later ones are answered as they should be. Within Only
// it counts those that Only lets through.
func First(n int64, f Fault) Fault {
	var seen atomic.Int64
	return func(next http.Handler) http.Handler {
		if seen.Add(1) <= n {
			return f(next)
		}
		return next
	}
}
