package prometheus

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Load is what a service of an exporter has to do.
type Load struct {
	// PerSecond is how many requests it has in a second.
	PerSecond float64
	// Errors is the share of them that it answers with 500, from 0 to 1; the others get 200.
	Errors float64
}

// Exporter serves the metrics of services that are not there: http_requests_total by service and
// code.
type Exporter struct {
	// Address is where it listens, as host:port.
	Address string

	server *http.Server

	mu       sync.Mutex
	services map[string]*service
}

// service is what has been counted up to a moment, and how it goes on from there.
type service struct {
	load   Load
	since  time.Time
	counts map[string]float64 // by code
}

// StartExporter serves on a free port of 127.0.0.1 until Close.
func StartExporter() (*Exporter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &Exporter{Address: listener.Addr().String(), services: map[string]*service{}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(e)
	routes := http.NewServeMux()
	routes.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	e.server = &http.Server{Handler: routes, ReadHeaderTimeout: time.Minute}
	go e.server.Serve(listener)
	return e, nil
}

// Close ends all connections.
func (e *Exporter) Close() error { return e.server.Close() }

// Serve has a service work under a load from now on. Codes are counted from 0 the first time.
func (e *Exporter) Serve(name string, load Load) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.service(name)
	s.advance(time.Now())
	s.load = load
}

// Count adds requests to what a service has answered with a code.
func (e *Exporter) Count(name, code string, requests float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.service(name).counts[code] += requests
}

// service returns a service, which begins with nothing.
func (e *Exporter) service(name string) *service {
	if e.services[name] == nil {
		e.services[name] = &service{since: time.Now(), counts: map[string]float64{"200": 0, "500": 0}}
	}
	return e.services[name]
}

// advance counts what has come since.
func (s *service) advance(now time.Time) {
	requests := s.load.PerSecond * now.Sub(s.since).Seconds()
	s.since = now
	s.counts["200"] += requests * (1 - s.load.Errors)
	s.counts["500"] += requests * s.load.Errors
}

var requestsTotal = prometheus.NewDesc("http_requests_total", "Requests by service and code.", []string{"service", "code"}, nil)

// Describe says what is exported.
func (e *Exporter) Describe(to chan<- *prometheus.Desc) { to <- requestsTotal }

// Collect counts up to now.
func (e *Exporter) Collect(to chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for name, s := range e.services {
		s.advance(now)
		for _, code := range slices.Sorted(maps.Keys(s.counts)) {
			to <- prometheus.MustNewConstMetric(requestsTotal, prometheus.CounterValue, s.counts[code], name, code)
		}
	}
}
