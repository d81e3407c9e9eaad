package kfp

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
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

// Down breaks every connection off without an answer.
func Down() Fault {
	return answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Silent takes every request and never answers, and does nothing of what was asked.
func Silent() Fault {
	return answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Status refuses every request with an HTTP status and headers, as a proxy before the server does:
// Status(429, "Retry-After", "7").
func Status(status int, headers ...string) Fault {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>upstream connect error</html>")
	})
}

// Body answers every request with a status and a body.
func Body(status int, body string) Fault {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// Endless answers every request with a beginning, and then with a text that repeats without end.
func Endless(beginning, repeated string) Fault {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, beginning)
		for err == nil {
			_, err = io.WriteString(w, repeated)
		}
	})
}

func answering(answer http.HandlerFunc) Fault {
	return func(http.Handler) http.Handler { return answer }
}

// Lost does what is asked, and breaks the connection off in place of an answer.
func Lost() Fault {
	return losing(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Stuck does what is asked, and never answers.
func Stuck() Fault {
	return losing(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Gateway does what is asked, and answers with an HTTP status as a proxy does that was too impatient.
func Gateway(status int) Fault {
	return losing(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func losing(instead http.HandlerFunc) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(httptest.NewRecorder(), r)
			instead(w, r)
		})
	}
}

// Only limits a fault to requests of a method, or of any if that is empty, whose path has a part in it.
func Only(method, part string, f Fault) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if (Request{r.Method, r.URL.Path}).fits(method, part) {
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
