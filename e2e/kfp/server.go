package kfp

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultAudience is whom tokens have to be for.
const DefaultAudience = "pipelines.kubeflow.org"

// Options say how a server is installed.
type Options struct {
	// MultiUser asks who somebody is, and whether they may. Single-user installs ask nobody.
	MultiUser bool
	// Audience of tokens. Default DefaultAudience.
	Audience string
	// May says whether a user may do something to a resource (runs, pipelines, experiments) in a
	// namespace. Default: yes.
	May func(user, verb, resource, namespace string) bool
	// Now is the clock. Default: the machine's.
	Now func() time.Time
	// Walk has runs go on by the clock. Default: they stay PENDING until the test says otherwise.
	Walk *Walk
	// Native lists the PipelineVersions of Kubernetes. It makes pipelines objects there.
	Native func() []Object
}

// Object is a PipelineVersion of Kubernetes, by the name of the object.
type Object struct {
	Namespace, Name, ID  string
	Pipeline, PipelineID string
	CreatedAt            time.Time
	// Spec is the pipeline spec, in YAML or JSON.
	Spec []byte
}

// Walk is how runs go on by the clock.
type Walk struct {
	// Pending and Running is how long a run is that. A run that is terminated is CANCELING as long as
	// it would have been PENDING.
	Pending, Running time.Duration
	// Fails names the step at which runs fail. Default: they succeed.
	Fails string
}

// Server is a running stand-in. It is safe for use by several goroutines.
type Server struct {
	// URL of the server, without a slash at its end.
	URL string

	options Options
	http    *http.Server
	served  chan struct{}

	mu          sync.Mutex
	experiments []*experiment
	pipelines   []*pipeline
	versions    []*version
	runs        []*run
	fault       Fault
	requests    []Request
}

// Request is one that a client has sent.
type Request struct{ Method, Path string }

// fits tells whether a request is of a method, or of any if that is empty, and its path has a part in it.
func (r Request) fits(method, part string) bool {
	return (method == "" || r.Method == method) && strings.Contains(r.Path, part)
}

// Start starts a server on a free port of loopback.
func Start(options Options) (*Server, error) {
	if options.Audience == "" {
		options.Audience = DefaultAudience
	}
	if options.May == nil {
		options.May = func(string, string, string, string) bool { return true }
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + listener.Addr().String(), options: options, served: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.record(s.misbehaving(s.mesh(s.routes()))),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients break off on purpose
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("kfp: %v", err)
		}
	}()
	return s, nil
}

// Stop ends the server and breaks off what is going on.
func (s *Server) Stop() {
	_ = s.http.Close()
	<-s.served
}

// Count is how many requests of a method, or of any if that is empty, had a part in their paths.
func (s *Server) Count(method, part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if r.fits(method, part) {
			n++
		}
	}
	return n
}

func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, Request{r.Method, r.URL.Path})
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// handler answers a request with a message, or with an error.
type handler func(r *http.Request, user string) (any, error)

func (s *Server) routes() http.Handler {
	const api = "/apis/v2beta1"
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"POST /experiments":                   s.createExperiment,
		"GET /experiments":                    s.listExperiments,
		"GET /experiments/{id}":               s.getExperiment,
		"POST /pipelines":                     s.createPipeline,
		"GET /pipelines":                      s.listPipelines,
		"GET /pipelines/{id}":                 s.getPipeline,
		"DELETE /pipelines/{id}":              s.deletePipeline,
		"GET /pipelines/{id}/{of}":            s.getOfPipeline,
		"POST /pipelines/{id}/versions":       s.createVersion,
		"GET /pipelines/{id}/versions/{v}":    s.getVersion,
		"DELETE /pipelines/{id}/versions/{v}": s.deleteVersion,
		"POST /runs":                          s.createRun,
		"GET /runs":                           s.listRuns,
		"GET /runs/{id}":                      s.getRun,
		"DELETE /runs/{id}":                   s.deleteRun,
		"POST /runs/{verb}":                   s.verb,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+api+path, s.authenticated(h))
	}
	mux.HandleFunc("POST "+api+"/pipelines/upload", s.upload)
	mux.HandleFunc("POST "+api+"/pipelines/upload_version", s.uploadVersion)
	mux.HandleFunc("GET "+api+"/healthz", s.health)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, fail(notFound, "Not Found")) })
	return mux
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	store := "database"
	if s.options.Native != nil {
		store = "kubernetes"
	}
	reply(w, http.StatusOK, map[string]any{"commit_sha": "unknown", "tag_name": "2.16.0", "multi_user": s.options.MultiUser, "pipeline_store": store})
}

// verb is what is done to a run: POST /runs/{id}:terminate.
func (s *Server) verb(r *http.Request, user string) (any, error) {
	id, verb, _ := strings.Cut(r.PathValue("verb"), ":")
	if verb != "terminate" {
		return nil, fail(notFound, "Not Found")
	}
	return s.terminateRun(id, user)
}

// authenticated has a handler know who asks, and keeps what it does apart from what others do.
func (s *Server) authenticated(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := s.user(r)
		if err != nil {
			refuse(w, err)
			return
		}
		s.mu.Lock()
		s.walk()
		s.mirror()
		message, err := h(r, user)
		data := encode(message) // as it is now
		s.mu.Unlock()
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, data)
	})
}
