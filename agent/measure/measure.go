package measure

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Meter takes samples. Its zero value is ready; one serves many goroutines, and should serve all.
type Meter struct {
	// AllowLoopback lets it ask servers on this machine's loopback, where tests and demos have
	// theirs.
	AllowLoopback bool

	timeout time.Duration // of one sample; 0 is defaultTimeout

	mu         sync.Mutex
	transports map[string]*http.Transport // by the authorities that they trust besides the system's
}

// defaultTimeout is how long one sample may take.
const defaultTimeout = 10 * time.Second

// Take takes one sample. The secret is the data of the Secret that the analysis names, nil for
// none.
func (m *Meter) Take(ctx context.Context, spec v1alpha1.Analysis, vars Variables, secret map[string][]byte) analysis.Sample {
	at := time.Now()
	ctx, cancel := context.WithTimeout(ctx, m.limit())
	defer cancel()
	sample := m.take(ctx, spec, vars, secret)
	sample.At = at
	return sample
}

func (m *Meter) take(ctx context.Context, spec v1alpha1.Analysis, vars Variables, secret map[string][]byte) analysis.Sample {
	switch {
	case spec.Prometheus != nil:
		value, err := m.query(ctx, *spec.Prometheus, vars, secret)
		return analysis.Sample{Value: value, OK: err == nil, Err: err}
	case spec.HTTP != nil:
		value, ok, err := m.check(ctx, *spec.HTTP, vars)
		return analysis.Sample{Value: value, OK: ok, Err: err}
	}
	return analysis.Sample{Err: errors.New("there is nothing to measure: the analysis needs prometheus or http")}
}

func (m *Meter) limit() time.Duration {
	if m.timeout > 0 {
		return m.timeout
	}
	return defaultTimeout
}
