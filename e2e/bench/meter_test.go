package bench_test

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// Result is what one scenario took. Times are in seconds from the notification on, memory in
// bytes; zero where there is nothing of the kind.
type Result struct {
	Setup    string `json:"setup"`
	Scenario string `json:"scenario"`
	// Repeats is how often it was measured: times and CPU are the median, the rest the most.
	Repeats int `json:"repeats"`
	// Live is when the last changed object was in the cluster, and Converged when the Repository
	// said that all Overlays have come to the revision.
	Live      float64 `json:"liveSeconds"`
	Converged float64 `json:"convergedSeconds"`
	Calls     Calls   `json:"calls"`
	Renders   int     `json:"renders"`
	Kept      int     `json:"rendersKept"`
	// Fetched is what the Git server has sent.
	Fetched int64 `json:"fetchedBytes"`
	// Store is how many requests there were to the object store.
	Store int     `json:"storeRequests,omitempty"`
	CPU   float64 `json:"cpuSeconds"`
	// PeakAgent is the agent's peak of resident memory, PeakAll that of it and its render workers
	// together, and Steady what all of them hold at rest, a page that they share counted once.
	PeakAgent int64  `json:"peakAgentBytes"`
	PeakAll   int64  `json:"peakAllBytes"`
	Steady    int64  `json:"steadyBytes"`
	Floor     *Floor `json:"floor,omitempty"`
	// Ratio is Live, or Converged where nothing goes live, to the time of the Floor.
	Ratio float64 `json:"ratio,omitempty"`

	calls cluster.Requests // what Calls counts
}

// Calls are requests to the API server by what they are for. Each is in one of them, and
// watches are not in All.
type Calls struct {
	All       int `json:"all"`
	Writes    int `json:"writes"` // of what is deployed, and of Inventories
	Status    int `json:"status"` // of Repositories, Overlays, Models and their records
	Events    int `json:"events"`
	DryRuns   int `json:"dryRuns"`
	Reads     int `json:"reads"`
	Discovery int `json:"discovery"`
	Watches   int `json:"watches"`
}

func count(calls cluster.Requests) Calls {
	var c Calls
	for _, q := range calls {
		one := cluster.Requests{q}
		switch {
		case q.Verb == "watch":
			c.Watches++
		case q.Resource == "":
			c.Discovery++
		case len(one.DryRuns()) > 0:
			c.DryRuns++
		case len(one.Writes()) == 0:
			c.Reads++
		case strings.HasSuffix(q.Resource, "/status"):
			c.Status++
		case q.Resource == "events":
			c.Events++
		default:
			c.Writes++
		}
	}
	c.All = len(calls) - c.Watches
	return c
}

// deployed returns the writes of what is deployed.
func deployed(calls cluster.Requests) cluster.Requests {
	return slices.DeleteFunc(calls.Writes().Without("events", "events.events.k8s.io"), func(q cluster.Request) bool { return q.Group == "sluice.dev" })
}

// meter measures one scenario.
type meter struct {
	s         *stage
	calls     cluster.Requests
	renders   float64
	kept      float64
	traffic   gitserver.Traffic
	cpu       time.Duration
	notified  time.Time
	converged time.Time
	peak      chan int64 // gives the peak of all processes when it is asked
	stop      chan struct{}
}

// begin measures from now on. It is called before the agent runs where its start is measured.
func (s *stage) begin() *meter {
	s.T.Helper()
	m := &meter{s: s, calls: s.Calls(), traffic: s.Git.Traffic(), cpu: s.Usage().CPU, peak: make(chan int64), stop: make(chan struct{})}
	if s.Usage() != (rig.Usage{}) {
		m.renders, m.kept = s.Metric("sluice_render_seconds"), s.Metric("sluice_renders_kept_total")
		s.ForgetMemory()
	}
	go m.sample()
	m.notified = time.Now()
	return m
}

// sample takes the memory of all processes over and over.
func (m *meter) sample() {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var peak int64
	for {
		select {
		case <-ticker.C:
			peak = max(peak, m.s.Usage().All)
		case <-m.stop:
			m.peak <- peak
			return
		}
	}
}

// restart has times count from now on.
func (m *meter) restart() { m.notified = time.Now() }

// end waits until the agent has nothing more to do, and returns what it took until then.
func (m *meter) end() Result {
	m.s.T.Helper()
	if m.converged.IsZero() {
		m.converged = time.Now()
	}
	m.s.awaitIdle()
	close(m.stop)
	calls := m.s.Calls().Since(m.calls).By("sluice/")
	usage := m.s.Usage()
	r := Result{
		Repeats: 1, Calls: count(calls), calls: calls,
		Converged: m.converged.Sub(m.notified).Seconds(),
		Renders:   int(m.s.Metric("sluice_render_seconds") - m.renders),
		Kept:      int(m.s.Metric("sluice_renders_kept_total") - m.kept),
		Fetched:   m.s.Git.Traffic().Sub(m.traffic).Sent,
		CPU:       (usage.CPU - m.cpu).Seconds(),
		PeakAgent: m.s.Memory(), PeakAll: <-m.peak, Steady: m.s.Resident(),
	}
	r.PeakAll = max(r.PeakAll, r.PeakAgent)
	for _, q := range deployed(calls) {
		r.Live = max(r.Live, q.Answered.Sub(m.notified).Seconds())
	}
	return r
}

// against sets the result beside the floor.
func (r Result) against(f Floor) Result {
	r.Floor = &f
	switch {
	case r.Live > 0:
		r.Ratio = r.Live / f.Seconds
	default:
		r.Ratio = r.Converged / f.Seconds
	}
	return r
}

// repeated measures a scenario several times: times are the median, all else the most.
func repeated(times int, measure func(time int) Result) Result {
	var all []Result
	for n := range times {
		all = append(all, measure(n))
	}
	r := all[0]
	r.Repeats = times
	r.Live, r.Converged, r.CPU, r.Ratio = median(all, func(r Result) float64 { return r.Live }), median(all, func(r Result) float64 { return r.Converged }),
		median(all, func(r Result) float64 { return r.CPU }), median(all, func(r Result) float64 { return r.Ratio })
	for _, o := range all {
		if o.Calls.All > r.Calls.All {
			r.Calls, r.calls = o.Calls, o.calls
		}
		r.Renders, r.Kept, r.Fetched, r.Store = max(r.Renders, o.Renders), max(r.Kept, o.Kept), max(r.Fetched, o.Fetched), max(r.Store, o.Store)
		r.PeakAgent, r.PeakAll, r.Steady = max(r.PeakAgent, o.PeakAgent), max(r.PeakAll, o.PeakAll), max(r.Steady, o.Steady)
	}
	if r.Floor != nil {
		f := *r.Floor
		f.Seconds = median(all, func(r Result) float64 { return r.Floor.Seconds })
		r.Floor = &f
	}
	return r
}

func median(all []Result, of func(Result) float64) float64 {
	var values []float64
	for _, r := range all {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
