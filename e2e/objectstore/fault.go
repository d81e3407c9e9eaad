package objectstore

import (
	"errors"
	"fmt"
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

// gate hands requests to the gateway as they are: what is signed stays as it was signed.
func (s *Server) gate() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "objectstore"
			r.Out.Host = r.In.Host
		},
		Transport:     s.dialer(),
		FlushInterval: -1,
		ErrorLog:      silent(),
	}
}

// silent is for servers whose clients break off on purpose.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// Status refuses every request with an HTTP status, as S3 does.
func Status(status int) Fault {
	code := map[int]string{http.StatusForbidden: "AccessDenied", http.StatusServiceUnavailable: "SlowDown"}[status]
	if code == "" {
		code = "InternalError"
	}
	return answering(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>As the test says</Message></Error>", code)
		}
	})
}

// Silent takes every request and never answers.
func Silent() Fault {
	return answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Down breaks every connection off without an answer.
func Down() Fault {
	return answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Endless answers every request with a beginning that repeats without end.
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

// Slow hands the real answers on in pieces of so many bytes, with a pause after each.
func Slow(size int, pause time.Duration) Fault {
	return passing(func(r *http.Request, w io.Writer, p []byte, _ int64) (int, error) {
		done := 0
		for done < len(p) {
			n, err := w.Write(p[done:min(done+size, len(p))])
			done += n
			if err != nil {
				return done, err
			}
			select {
			case <-r.Context().Done():
				return done, r.Context().Err()
			case <-time.After(pause):
			}
		}
		return done, nil
	})
}

// Stall hands the real answers on up to so many bytes, and then nothing more.
func Stall(after int64) Fault {
	return passing(func(r *http.Request, w io.Writer, p []byte, passed int64) (int, error) {
		n, err := w.Write(p[:max(0, min(int64(len(p)), after-passed))])
		if n < len(p) && err == nil {
			<-r.Context().Done()
			err = r.Context().Err()
		}
		return n, err
	})
}

// Cut breaks answers off after so many bytes.
func Cut(after int64) Fault {
	return passing(func(_ *http.Request, w io.Writer, p []byte, passed int64) (int, error) {
		n, err := w.Write(p[:max(0, min(int64(len(p)), after-passed))])
		if n < len(p) && err == nil {
			err = errors.New("cut off")
		}
		return n, err
	})
}

// passing has the body of each answer go through pass, which is told how much has passed.
func passing(pass func(r *http.Request, w io.Writer, p []byte, passed int64) (int, error)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var passed int64
			next.ServeHTTP(&passingResponse{w, func(p []byte) (int, error) {
				n, err := pass(r, flushing{w}, p, passed)
				passed += int64(n)
				return n, err
			}}, r)
		})
	}
}

type passingResponse struct {
	http.ResponseWriter
	pass func([]byte) (int, error)
}

func (p *passingResponse) Write(b []byte) (int, error) { return p.pass(b) }

// Unwrap lets the proxy flush.
func (p *passingResponse) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// flushing sends each piece at once.
type flushing struct{ w http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = http.NewResponseController(f.w).Flush()
	}
	return n, err
}

// Objects limits a fault to requests for objects; listings are as they should be.
func Objects(f Fault) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ofObject(r) {
				f(next).ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// First limits a fault to so many requests; later ones are answered as they should be.
func First(n int64, f Fault) Fault {
	var seen atomic.Int64
	return func(next http.Handler) http.Handler {
		if seen.Add(1) <= n {
			return f(next)
		}
		return next
	}
}
