package gitserver

import (
	"io"
	"log"
	"net/http"
)

// Access is what a client must show. The zero value lets anyone in.
type Access struct {
	Username, Password string // basic
	Bearer             string // a token
}

// Require changes what clients must show from now on, as when a password is rotated.
func (s *Server) Require(access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access = access
}

func (s *Server) authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		access := s.access
		s.mu.Unlock()
		if access.admits(r) {
			next.ServeHTTP(w, r)
			return
		}
		s.traffic.add(Traffic{Requests: 1, Denied: 1})
		if access.Username != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`) // git asks for a password only then
		}
		http.Error(w, "the credentials are missing or wrong", http.StatusUnauthorized)
	})
}

func (a Access) admits(r *http.Request) bool {
	if a == (Access{}) {
		return true
	}
	if a.Bearer != "" && r.Header.Get("Authorization") == "Bearer "+a.Bearer {
		return true
	}
	username, password, ok := r.BasicAuth()
	return ok && a.Username != "" && username == a.Username && password == a.Password
}

// silent keeps failed handshakes, which tests provoke, out of their output.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
