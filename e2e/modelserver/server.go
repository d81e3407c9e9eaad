package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server serves one model, once it is loaded.
type server struct {
	name     string
	model    atomic.Pointer[model]
	draining atomic.Bool

	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newServer(name string) *server {
	s := &server{
		name:     name,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Predictions asked for, by the code of the answer."}, []string{"model", "version", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "How long predictions took."}, []string{"model", "version"}),
	}
	s.registry.MustRegister(s.requests, s.duration)
	return s
}

// endTimeout is how long requests that are under way may take when the server ends.
const endTimeout = 20 * time.Second

// serve loads the model and serves until ctx ends; then it goes on until drain returns and all
// requests have been answered.
func (s *server) serve(ctx context.Context, listener net.Listener, from source, drain func()) error {
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	m, err := from.load(ctx)
	if err != nil {
		return errors.Join(err, web.Close())
	}
	s.model.Store(m)
	for _, code := range []string{"200", "500"} { // rates begin at 0
		s.requests.WithLabelValues(s.name, m.Version, code)
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	drain()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	return web.Shutdown(last)
}

func (s *server) routes() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", s.healthz)
	routes.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	routes.HandleFunc("/v1/models/{call}", s.predict)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close") // the next one leads to a Pod that stays
		}
		routes.ServeHTTP(w, r)
	})
}

// healthz says whether the model is loaded. A server that drains goes on saying so: Services
// still lead to a Pod that ends where there is no other, if it is ready.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	if s.model.Load() == nil {
		http.Error(w, "the model is not loaded yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// prediction is the answer to a request.
type prediction struct {
	Version     string    `json:"version"`
	Predictions []float64 `json:"predictions,omitempty"`
	Error       string    `json:"error,omitempty"`
}

func (s *server) predict(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	if r.PathValue("call") != s.name+":predict" {
		http.Error(w, "the model here is "+s.name+": ask for /v1/models/"+s.name+":predict", http.StatusNotFound)
		return
	}
	m := s.model.Load()
	if m == nil {
		http.Error(w, "the model is not loaded yet", http.StatusServiceUnavailable)
		return
	}
	status, answer := m.answer(w, r)
	answer.Version = m.Version
	s.requests.WithLabelValues(s.name, m.Version, strconv.Itoa(status)).Inc()
	s.duration.WithLabelValues(s.name, m.Version).Observe(time.Since(began).Seconds())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // to a client that may have gone
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 1 << 20

// answer works out the answer to a request.
func (m *model) answer(w http.ResponseWriter, r *http.Request) (int, prediction) {
	instances := [][]float64{make([]float64, len(m.Weights))}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		var body struct{ Instances [][]float64 }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&body); err != nil {
			return http.StatusBadRequest, prediction{Error: "the request cannot be read: " + err.Error()}
		}
		instances = body.Instances
	default:
		return http.StatusMethodNotAllowed, prediction{Error: "use GET or POST"}
	}
	if m.fails() {
		return http.StatusInternalServerError, prediction{Error: "this version fails a share of its requests"}
	}
	predictions, err := m.predict(instances)
	if err != nil {
		return http.StatusBadRequest, prediction{Error: err.Error()}
	}
	return http.StatusOK, prediction{Predictions: predictions}
}
