package prometheus_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/measure"
	"github.com/sluice-dev/sluice/e2e/prometheus"
)

// patience is how long a wait may take before the test fails. It is no measure of anything.
const patience = 2 * time.Minute

func start(t *testing.T, o prometheus.Options) *prometheus.Server {
	t.Helper()
	s, err := prometheus.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func startExporter(t *testing.T) *prometheus.Exporter {
	t.Helper()
	e, err := prometheus.StartExporter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// await asks until the number is as it should be.
func await(t *testing.T, url, query string, is func(float64) bool) {
	t.Helper()
	meter := &measure.Meter{AllowLoopback: true}
	spec := v1alpha1.Analysis{Name: "wait", Prometheus: &v1alpha1.PrometheusQuery{Address: url, Query: query}}
	deadline := time.Now().Add(patience)
	for {
		sample := meter.Take(t.Context(), spec, measure.Variables{}, nil)
		if sample.Err == nil {
			value, err := strconv.ParseFloat(sample.Value, 64)
			if err != nil {
				t.Fatal(err)
			}
			if is(value) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not come about; at last: %+v", query, sample)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestRisingErrorRate(t *testing.T) {
	exporter := startExporter(t)
	server := start(t, prometheus.Options{Targets: []string{exporter.Address}})

	exporter.Count("fraud-v8", "200", 7)
	await(t, server.URL, `http_requests_total{service="fraud-v8",code="200"}`, func(v float64) bool { return v == 7 })
	await(t, server.URL, `http_requests_total{service="fraud-v8",code="500"}`, func(v float64) bool { return v == 0 })

	const share = `sum(rate(http_requests_total{service="fraud-v9",code=~"5.."}[3s])) / sum(rate(http_requests_total{service="fraud-v9"}[3s]))`
	exporter.Serve("fraud-v9", prometheus.Load{PerSecond: 50})
	await(t, server.URL, share, func(v float64) bool { return v == 0 })
	exporter.Serve("fraud-v9", prometheus.Load{PerSecond: 50, Errors: 0.25})
	await(t, server.URL, share, func(v float64) bool { return v > 0.24 && v < 0.26 })
	exporter.Serve("fraud-v9", prometheus.Load{PerSecond: 50})
	await(t, server.URL, share, func(v float64) bool { return v == 0 })
}

func TestDownAndUp(t *testing.T) {
	exporter := startExporter(t)
	exporter.Count("fraud-v8", "200", 1)
	o := prometheus.Options{Targets: []string{exporter.Address}, Every: 300 * time.Millisecond}
	first, err := prometheus.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	await(t, first.URL, "sum(http_requests_total)", func(v float64) bool { return v == 1 })
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if answer, err := http.Get(first.URL); err == nil {
		_ = answer.Body.Close()
		t.Error("a stopped server answers")
	}

	o.Address = first.Address
	second := start(t, o)
	if second.URL != first.URL {
		t.Errorf("the second server is at %s, not at %s", second.URL, first.URL)
	}
	await(t, first.URL, "sum(http_requests_total)", func(v float64) bool { return v == 1 })
}

func TestPause(t *testing.T) {
	server := start(t, prometheus.Options{})
	await(t, server.URL, "vector(1)", func(v float64) bool { return v == 1 })
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 300 * time.Millisecond}
	if answer, err := client.Get(server.URL + "/-/ready"); err == nil {
		_ = answer.Body.Close()
		t.Error("a paused server answers")
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	await(t, server.URL, "vector(2)", func(v float64) bool { return v == 2 })
}

func TestBadStart(t *testing.T) {
	server := start(t, prometheus.Options{})
	_, err := prometheus.Start(t.Context(), prometheus.Options{Address: server.Address})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second server on a port: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := prometheus.Start(t.Context(), prometheus.Options{}); err == nil || !strings.Contains(err.Error(), "install Debian's package prometheus") {
		t.Errorf("without the program: %v", err)
	}
}
