package record

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Metrics are the agent's own measures; docs/operations.md says what each means.
type Metrics struct {
	ready    *prometheus.GaugeVec
	objects  *prometheus.GaugeVec
	changes  *prometheus.CounterVec
	drift    *prometheus.CounterVec
	passes   *prometheus.HistogramVec
	renders  *prometheus.HistogramVec
	parts    *prometheus.HistogramVec
	checks   *prometheus.CounterVec
	kept     prometheus.Counter
	fetches  *prometheus.HistogramVec
	received prometheus.Counter

	models            *prometheus.GaugeVec
	promotions        *prometheus.CounterVec
	promotionDuration *prometheus.HistogramVec

	lastSuccess *prometheus.GaugeVec
	streak      *prometheus.GaugeVec
	runs        *prometheus.CounterVec
	runDuration *prometheus.GaugeVec
	missed      *prometheus.CounterVec
}

// NewMetrics registers the measures. It panics if they are registered already, which is a
// mistake in the program.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	buckets := []float64{.001, .005, .02, .1, .5, 1, 5, 20, 60, 300}
	m := &Metrics{
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_ready",
			Help: "1 if the object is Ready, 0 if it is not."}, []string{"kind", "namespace", "name"}),
		objects: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_overlay_objects",
			Help: "Objects of an Overlay by state: total, healthy, drifted."}, []string{"namespace", "name", "state"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_changes_total",
			Help: "Changes to objects of the cluster by verb and result."}, []string{"verb", "result"}),
		drift: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_drift_corrections_total",
			Help: "Objects that were changed in the cluster and put back."}, []string{"namespace", "name"}),
		passes: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_pass_seconds",
			Help: "Duration of one pass over an Overlay by the phase it came to.", Buckets: buckets}, []string{"phase"}),
		renders: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_render_seconds",
			Help: "Duration of renders by result.", Buckets: buckets}, []string{"result"}),
		parts: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_part_render_seconds",
			Help: "Duration of renders of a part of a large overlay by result.", Buckets: buckets}, []string{"result"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_part_checks_total",
			Help: "Whole builds behind renders by parts, by whether they agreed or differed. One that differed takes their place."}, []string{"result"}),
		kept: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_renders_kept_total",
			Help: "Renders that were not needed at a new revision, because nothing that the last one had read has changed."}),
		fetches: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_fetch_seconds",
			Help: "Duration of looks at a remote by result: changed, unchanged, failed.", Buckets: buckets}, []string{"result"}),
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "sluice_fetch_bytes_total",
			Help: "Bytes of Git objects received."}),
		models: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_model_info",
			Help: "1 for the version of a model that serves in a stage."}, []string{"namespace", "model", "stage", "version"}),
		promotions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_promotions_total",
			Help: "Promotions that have ended by result: Succeeded, Failed, RolledBack, Superseded."}, []string{"namespace", "model", "stage", "result"}),
		promotionDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_promotion_seconds",
			Help: "Duration of Promotions from the commit's arrival to the end by result.", Buckets: []float64{1, 5, 20, 60, 300, 1200, 3600, 4 * 3600, 24 * 3600}}, []string{"result"}),
	}
	m.lastSuccess = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_retraining_last_success_timestamp_seconds",
		Help: "When the newest run of a Retraining that succeeded ended."}, []string{"namespace", "name"})
	m.streak = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_retraining_streak",
		Help: "Runs of a Retraining in a row with the same end: positive if they succeeded, negative if they failed."}, []string{"namespace", "name"})
	m.runs = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_retraining_runs_total",
		Help: "Runs of a Retraining that have ended by result: Succeeded, Failed, Canceled."}, []string{"namespace", "name", "result"})
	m.runDuration = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sluice_retraining_last_run_seconds",
		Help: "Duration of the run of a Retraining that ended last, with all attempts and its result."}, []string{"namespace", "name"})
	m.missed = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_retraining_missed_slots_total",
		Help: "Slots of a Retraining that were missed for good."}, []string{"namespace", "name"})
	registry.MustRegister(m.lastSuccess, m.streak, m.runs, m.runDuration, m.missed)
	registry.MustRegister(m.models, m.promotions, m.promotionDuration)
	registry.MustRegister(m.ready, m.objects, m.changes, m.drift, m.passes, m.renders, m.parts, m.checks, m.kept, m.fetches, m.received)
	return m
}

// Rendered counts a render.
func (m *Metrics) Rendered(took time.Duration, err error) {
	if m == nil {
		return
	}
	m.renders.WithLabelValues(result(err)).Observe(took.Seconds())
}

// RenderedPart counts a render of a part of an overlay.
func (m *Metrics) RenderedPart(took time.Duration, err error) {
	if m != nil {
		m.parts.WithLabelValues(result(err)).Observe(took.Seconds())
	}
}

// Checked counts a whole build behind a render by parts.
func (m *Metrics) Checked(agrees bool) {
	if m != nil {
		m.checks.WithLabelValues(map[bool]string{true: "agreed", false: "differed"}[agrees]).Inc()
	}
}

// Kept counts a render that was not needed, because nothing that the last one had read has
// changed.
func (m *Metrics) Kept() {
	if m != nil {
		m.kept.Inc()
	}
}

// Fetched counts a look at a remote.
func (m *Metrics) Fetched(took time.Duration, changed bool, bytes int64, err error) {
	label := map[bool]string{true: "changed", false: "unchanged"}[changed]
	if err != nil {
		label = "failed"
	}
	m.fetches.WithLabelValues(label).Observe(took.Seconds())
	m.received.Add(float64(bytes))
}

// Ready sets whether an object is Ready.
func (m *Metrics) Ready(kind, namespace, name string, ready bool) {
	value := 0.0
	if ready {
		value = 1
	}
	m.ready.WithLabelValues(kind, namespace, name).Set(value)
}

// Passed counts a pass over an Overlay.
func (m *Metrics) Passed(o *v1alpha1.Overlay, phase string, took time.Duration, p agent.Plan, run agent.Run) {
	m.passes.WithLabelValues(phase).Observe(took.Seconds())
	for state, n := range map[string]int32{"total": o.Status.Objects.Total, "healthy": o.Status.Objects.Healthy, "drifted": o.Status.Objects.Drifted} {
		m.objects.WithLabelValues(o.Namespace, o.Name, state).Set(float64(n))
	}
	drifted := map[agent.Ref]bool{}
	for _, c := range p.Changes {
		drifted[c.Ref] = c.Drifted
	}
	for _, done := range run.Outcomes {
		m.changes.WithLabelValues(string(done.Verb), string(done.Result)).Inc()
		if done.Result == agent.Done && drifted[done.Ref] {
			m.drift.WithLabelValues(o.Namespace, o.Name).Inc()
		}
	}
}

// Promoted sets which versions of a Model serve instead of those before, and counts the Promotions
// that have ended.
func (m *Metrics) Promoted(before, o *v1alpha1.Model, ended []v1alpha1.Promotion) {
	serves := map[[2]string]bool{}
	for _, s := range o.Status.Stages {
		if s.Version != "" {
			serves[[2]string{s.Name, s.Version}] = true
			m.models.WithLabelValues(o.Namespace, o.Name, s.Name, s.Version).Set(1)
		}
	}
	for _, s := range before.Status.Stages {
		if !serves[[2]string{s.Name, s.Version}] {
			m.models.DeleteLabelValues(o.Namespace, o.Name, s.Name, s.Version)
		}
	}
	for _, p := range ended {
		m.promotions.WithLabelValues(o.Namespace, o.Name, p.Spec.Stage, string(p.Status.Phase)).Inc()
		if p.Status.EndedAt != nil {
			m.promotionDuration.WithLabelValues(string(p.Status.Phase)).Observe(p.Status.EndedAt.Sub(p.CreationTimestamp.Time).Seconds())
		}
	}
}

// Retrained counts the runs of a Retraining that have ended, and slots that were missed.
func (m *Metrics) Retrained(o *v1alpha1.Retraining, ended []v1alpha1.RetrainingRun, missed int) {
	if at := o.Status.LastSuccess; at != nil {
		m.lastSuccess.WithLabelValues(o.Namespace, o.Name).Set(float64(at.Unix()))
	}
	m.streak.WithLabelValues(o.Namespace, o.Name).Set(float64(o.Status.Streak))
	m.missed.WithLabelValues(o.Namespace, o.Name).Add(float64(missed))
	for _, run := range ended {
		m.runs.WithLabelValues(o.Namespace, o.Name, string(run.Status.Phase)).Inc()
		if started, end := run.Status.StartedAt, run.Status.EndedAt; started != nil && end != nil {
			m.runDuration.WithLabelValues(o.Namespace, o.Name).Set(end.Sub(started.Time).Seconds())
		}
	}
}

// Gone drops what was measured of an object that is no more.
func (m *Metrics) Gone(kind, namespace, name string) {
	m.ready.DeleteLabelValues(kind, namespace, name)
	if kind == v1alpha1.ModelKind {
		m.models.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "model": name})
		m.promotions.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "model": name})
	}
	if kind == v1alpha1.RetrainingKind {
		of := prometheus.Labels{"namespace": namespace, "name": name}
		m.lastSuccess.DeletePartialMatch(of)
		m.streak.DeletePartialMatch(of)
		m.runs.DeletePartialMatch(of)
		m.runDuration.DeletePartialMatch(of)
		m.missed.DeletePartialMatch(of)
	}
	if kind != v1alpha1.OverlayKind {
		return
	}
	m.objects.DeletePartialMatch(prometheus.Labels{"namespace": namespace, "name": name})
	m.drift.DeleteLabelValues(namespace, name)
}

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "succeeded"
}
