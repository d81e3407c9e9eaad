package promotion

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/measure"
	"github.com/sluice-dev/sluice/agent/serving"
	"k8s.io/apimachinery/pkg/types"
)

// Samples takes samples in the background: a server that does not answer holds up nobody.
type Samples struct {
	Meter *measure.Meter
	// Taken is called with the Model that a sample is for.
	Taken func(types.NamespacedName)

	mu    sync.Mutex
	under map[sampleKey]*sample
}

// sampleKey names one series of samples: an analysis of one step of a Promotion.
type sampleKey struct {
	promotion types.UID
	phase     v1alpha1.PromotionPhase
	step      int32
	analysis  string
}

type sample struct {
	done  bool
	value analysis.Sample
}

// collect returns a sample that has been taken since, if there is one.
func (s *Samples) collect(key sampleKey) (analysis.Sample, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.under[key]
	if found == nil || !found.done {
		return analysis.Sample{}, false
	}
	delete(s.under, key)
	return found.value, true
}

// take has a sample taken, unless one is under way.
func (s *Samples) take(key sampleKey, model types.NamespacedName, measure func(context.Context) analysis.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under == nil {
		s.under = map[sampleKey]*sample{}
	}
	if s.under[key] != nil {
		return
	}
	one := &sample{}
	s.under[key] = one
	go func() {
		value := taken(measure)
		s.mu.Lock()
		one.value, one.done = value, true
		s.mu.Unlock()
		s.Taken(model)
	}()
}

// taken is a sample. It reads what others wrote: should that make it panic, it could not be taken.
func taken(measure func(context.Context) analysis.Sample) (value analysis.Sample) {
	defer func() {
		if cause := recover(); cause != nil {
			value = analysis.Sample{Err: fmt.Errorf("a mistake in the agent: %v", cause), At: time.Now()}
		}
	}()
	return measure(context.Background()) // it has a limit of its own
}

// forget drops what is left of a Promotion that has ended.
func (s *Samples) forget(promotion types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.under {
		if key.promotion == promotion {
			delete(s.under, key)
		}
	}
}

// keyed is an analysis with the name by which it is on record: gates of a policy and of a stage may have
// analyses of one name.
type keyed struct {
	key string
	v1alpha1.Analysis
}

// keyedByName are analyses of a rollout, whose names differ.
func keyedByName(all []v1alpha1.Analysis) []keyed {
	var list []keyed
	for _, a := range all {
		list = append(list, keyed{a.Name, a})
	}
	return list
}

// analyses takes what was sampled into account, and has samples taken that are due. It returns how
// the analyses are, and when the next sample is due.
func (w *pass) analyses(s *stage, specs []keyed, secrets string) ([]v1alpha1.AnalysisStatus, time.Time) {
	var all []v1alpha1.AnalysisStatus
	var next time.Time
	p := s.newest
	for _, one := range specs {
		spec := one.Analysis
		status := v1alpha1.AnalysisStatus{Name: one.key, Result: v1alpha1.AnalysisRunning}
		for _, before := range p.Status.Analyses {
			if before.Name == one.key {
				status = before
			}
		}
		key := sampleKey{p.UID, p.Status.Phase, p.Status.Step, one.key}
		if taken, is := w.Samples.collect(key); is {
			status = analysis.Take(spec, status, taken)
			status.Name = one.key
		}
		all = append(all, status)
		if status.Result == v1alpha1.AnalysisFailed {
			continue
		}
		due := analysis.Due(spec, status, w.now)
		if w.now.Before(due) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			continue
		}
		vars := w.variables(s)
		w.Samples.take(key, types.NamespacedName{Namespace: w.model.Namespace, Name: w.model.Name}, func(ctx context.Context) analysis.Sample {
			return w.sample(ctx, spec, vars, secrets)
		})
	}
	return all, next
}

// sample takes one sample.
func (p *Promoter) sample(ctx context.Context, spec v1alpha1.Analysis, vars measure.Variables, secrets string) analysis.Sample {
	var secret map[string][]byte
	if spec.Prometheus != nil && spec.Prometheus.SecretRef != nil {
		var err error
		if secret, err = p.secret(ctx, secrets, spec.Prometheus.SecretRef.Name); err != nil {
			return analysis.Sample{Err: fmt.Errorf("prometheus.secretRef: %w", err), At: time.Now()}
		}
	}
	return p.Samples.Meter.Take(ctx, spec, vars, secret)
}

// variables are what queries and URLs can name.
func (w *pass) variables(s *stage) measure.Variables {
	want := w.wantOf(*s)
	vars := measure.Variables{
		Model: w.model.Name, Stage: s.spec.Name, Namespace: s.namespace,
		Version: s.newest.Spec.Version, Current: s.newest.Spec.From, URL: s.state.URL,
	}
	vars.Service, vars.CurrentService = serving.ServiceOf(want, vars.Version, w.abilities), serving.ServiceOf(want, vars.Current, w.abilities)
	return vars
}

// measurable tells whether the candidate of a stage has the traffic that it is to have, so that
// measuring it means something.
func (w *pass) measurable(s *stage) bool {
	return s.looked && s.state.Candidate.Ready && s.state.Traffic == s.newest.Status.Traffic
}
