package gitserver

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options of a server. The zero value serves anyone over plain HTTP.
type Options struct {
	// Dir holds the repositories. Empty: a directory that Close removes.
	Dir string
	// Address to listen on, an IP address of this machine: 127.0.0.1 by default, another in a
	// network namespace of the test's own, for Pods to reach.
	Address string
	// Access is what clients must show.
	Access Access
	// TLS, if set, makes the server speak HTTPS.
	TLS *TLS
	// Wrap, if set, stands before the server: it may refuse, delay or cut short requests.
	Wrap func(http.Handler) http.Handler
}

// Server serves the bare repositories of a directory.
type Server struct {
	// URL is the server's address; repositories are below it.
	URL string
	// Dir holds the repositories.
	Dir string
	// CA is the certificate of the authority to trust, PEM-encoded. Empty without TLS.
	CA []byte

	authority *authority
	http      *http.Server
	ssh       *SSH
	traffic   traffic
	throwAway bool

	mu     sync.Mutex
	access Access
}

// Start serves on a free port until Close.
func Start(o Options) (*Server, error) {
	program, err := findGit()
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: o.Dir, access: o.Access}
	if s.Dir == "" {
		s.throwAway = true
		if s.Dir, err = os.MkdirTemp("", "sluice-git-"); err != nil {
			return nil, err
		}
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, err
	}

	handler := s.authorize(s.traffic.count(backend(program, s.Dir)))
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: silent()}

	listener, err := net.Listen("tcp", net.JoinHostPort(o.address(), "0"))
	if err != nil {
		return nil, err
	}
	if o.TLS == nil {
		s.URL = "http://" + listener.Addr().String()
		go s.http.Serve(listener)
		return s, nil
	}
	s.URL = "https://" + listener.Addr().String()
	if s.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	if s.http.TLSConfig, err = o.TLS.config(s.authority, net.ParseIP(o.address())); err != nil {
		return nil, err
	}
	s.CA = s.authority.certificatePEM()
	go s.http.ServeTLS(listener, "", "")
	return s, nil
}

func (o Options) address() string {
	if o.Address == "" {
		return "127.0.0.1"
	}
	return o.Address
}

// Close ends all connections, and removes the repositories if Start made their directory.
func (s *Server) Close() error {
	err := s.http.Close()
	if s.ssh != nil {
		err = errors.Join(err, s.ssh.close())
	}
	if s.throwAway {
		err = errors.Join(err, os.RemoveAll(s.Dir))
	}
	return err
}

// Create makes an empty repository, "platform" or "ml/platform", with default branch main.
func (s *Server) Create(name string) (*Repo, error) {
	r := s.repo(name)
	if _, err := git("", nil, "init", "--quiet", "--bare", "--initial-branch=main", r.Dir); err != nil {
		return nil, err
	}
	for _, setting := range [][2]string{
		{"http.receivepack", "true"},              // push
		{"uploadpack.allowFilter", "true"},        // partial clones
		{"uploadpack.allowAnySHA1InWant", "true"}, // fetch of a commit, as forges allow
		{"gc.auto", "0"},                          // commits a test has overwritten stay
	} {
		if _, err := git(r.Dir, nil, "config", setting[0], setting[1]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Open returns a repository that is there.
func (s *Server) Open(name string) (*Repo, error) {
	r := s.repo(name)
	if _, err := os.Stat(filepath.Join(r.Dir, "HEAD")); err != nil {
		return nil, fmt.Errorf("no repository %s: %w", name, err)
	}
	return r, nil
}

func (s *Server) repo(name string) *Repo {
	name = strings.TrimSuffix(name, ".git") + ".git"
	return &Repo{Dir: filepath.Join(s.Dir, filepath.FromSlash(name)), URL: s.URL + "/" + name, path: "/" + name, server: s}
}
