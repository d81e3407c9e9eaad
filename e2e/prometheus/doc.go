// Package prometheus is a real Prometheus server on loopback, for tests and demos, and an
// exporter for it to scrape. It needs the prometheus program, which Debian has a package of, and
// nothing else.
//
//	exporter, err := prometheus.StartExporter()
//	defer exporter.Close()
//	server, err := prometheus.Start(ctx, prometheus.Options{Targets: []string{exporter.Address}})
//	defer server.Stop()
//	exporter.Serve("fraud-v8", prometheus.Load{PerSecond: 50})
//	exporter.Serve("fraud-v9", prometheus.Load{PerSecond: 50, Errors: 0.3})
//	// ask server.URL for http_requests_total{service="fraud-v9",code="500"}
//
// The exporter counts requests that nobody makes: of each service as many as its Load says, from
// the moment it says so. So a test can have an error rate rise when it likes, and rate() sees it
// one or two scrapes later. The first scrape comes five seconds after the start: Prometheus waits
// so long for further targets, and has no flag for it.
//
// What it never does: listen on anything but loopback unless it is told to, read
// /etc/prometheus, or outlive the process that started it.
package prometheus
