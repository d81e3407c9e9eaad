package retrain

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/agent/measure"
	"github.com/sluice-dev/sluice/agent/slot"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// look is what a trigger looks at.
type look struct {
	retraining types.NamespacedName
	what       string // data, metric or definition
	spec       string // digest of what the spec says of it: with another one it is looked at anew
}

// seen is what a look has seen.
type seen struct {
	listing artifact.Listing
	sample  analysis.Sample
	digest  string
}

// saved is the last look, and when the next is.
type saved struct {
	seen seen
	err  error
	at   time.Time // zero until the first answer
	next time.Time
}

// Pauses between looks that the spec does not set, as the CRD has them.
const (
	dataInterval       = 5 * time.Minute
	metricInterval     = time.Minute
	definitionInterval = time.Minute
	lookTime           = 2 * time.Minute
)

// ask returns the last look at something, and has another taken when it is time. Each Retraining has its own
// time, so that not all look at once.
func (w *pass) ask(what string, spec any, every time.Duration, see func(context.Context) (seen, error)) (saved, error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return saved{}, err
	}
	sum := sha256.Sum256(raw)
	key := look{w.name, what, hex.EncodeToString(sum[:8])}
	for other := range w.memory.looks {
		if other.what == what && other != key {
			delete(w.memory.looks, other)
			w.looks.Forget(func(l look) bool { return l == other })
		}
	}
	last := w.memory.looks[key]
	if w.now.Before(last.next) {
		w.look(last.next)
		return last, nil
	}
	found, err, known := w.looks.Ask(key, func(ctx context.Context) (seen, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		return see(ctx)
	})
	if known {
		last.err, last.next = err, w.now.Add(every)
		if err == nil {
			last.seen, last.at = found, w.now
		}
		w.memory.looks[key] = last
		w.look(last.next)
	}
	return last, nil
}

// trouble puts what stands against a trigger into the message.
func (w *pass) trouble(trigger string, err error) {
	if err != nil {
		w.say(fmt.Sprintf("triggers.%s: %s", trigger, err))
	}
}

// say adds to the message.
func (w *pass) say(text string) {
	if w.report.Message != "" && text != "" {
		w.report.Message += "; "
	}
	w.report.Message += text
}

// data is what the data trigger has seen, and when it looked last.
func (w *pass) data() (*v1alpha1.DataSeen, time.Time) {
	spec := w.retraining.Spec.Triggers.DeepCopy() // for who looks
	if spec == nil || spec.Data == nil {
		return nil, time.Time{}
	}
	before := w.retraining.Status.Data.DeepCopy()
	last, err := w.ask("data", spec.Data, cmp.Or(spec.Data.Interval.Duration, dataInterval), func(ctx context.Context) (seen, error) {
		credentials, err := artifact.CredentialsOf(ctx, w.Live, w.name.Namespace, spec.Data.SecretRef)
		if err != nil {
			return seen{}, err
		}
		found, err := w.Inspector.List(ctx, spec.Data.URI, credentials)
		return seen{listing: found}, err
	})
	w.trouble("data", cmp.Or(err, last.err))
	switch found := last.seen.listing; {
	case last.at.IsZero():
	case before == nil || before.Fingerprint != found.Fingerprint:
		now := v1alpha1.DataSeen{Fingerprint: found.Fingerprint, Count: int64(found.Count), Since: metav1.NewTime(last.at.Truncate(time.Second))}
		if !found.Newest.IsZero() {
			now.Newest = new(metav1.NewTime(found.Newest.Truncate(time.Second)))
		}
		if before != nil {
			now.Used = before.Used
		}
		return &now, last.at
	}
	if before != nil && last.at.IsZero() {
		return before, before.Since.Time // by this agent it was not seen yet
	}
	return before, last.at
}

// metric is what the metric trigger has seen, and when it measured last.
func (w *pass) metric() (*v1alpha1.MetricSeen, time.Time) {
	spec := w.retraining.Spec.Triggers.DeepCopy()
	if spec == nil || spec.Metric == nil {
		return nil, time.Time{}
	}
	before := w.retraining.Status.Metric.DeepCopy()
	m := w.model()
	vars := measure.Variables{Model: w.retraining.Spec.Model, Namespace: w.name.Namespace, Stage: lastStage(m, spec.Metric.Stage)}
	vars.Version = w.versions()[vars.Stage]
	last, err := w.ask("metric", spec.Metric, cmp.Or(spec.Metric.Interval.Duration, metricInterval), func(ctx context.Context) (seen, error) {
		var secret map[string][]byte
		if ref := spec.Metric.Prometheus.SecretRef; ref != nil {
			var err error
			if secret, err = secretOf(ctx, w.Live, w.name.Namespace, ref.Name); err != nil {
				return seen{}, err
			}
		}
		sample := w.Meter.Take(ctx, v1alpha1.Analysis{Name: "metric", Prometheus: &spec.Metric.Prometheus}, vars, secret)
		return seen{sample: sample}, sample.Err
	})
	if err = cmp.Or(err, last.err); err != nil || last.at.IsZero() {
		w.trouble("metric", err)
		return before, measured(before, last.at)
	}
	out, err := outside(last.seen.sample.Value, *spec.Metric)
	if err != nil {
		w.trouble("metric", err)
		return before, measured(before, time.Time{})
	}
	now := v1alpha1.MetricSeen{Value: last.seen.sample.Value}
	if before != nil {
		now.Used, now.Since = before.Used, before.Since
	}
	switch {
	case !out:
		now.Since = nil
	case now.Since == nil:
		now.Since = new(metav1.NewTime(last.at.Truncate(time.Second)))
	}
	if before != nil && (before.Since == nil) == (now.Since == nil) {
		now.Value = before.Value // a value that moves a little is not worth a write
	}
	return &now, last.at
}

// measured is when a metric was measured last: at least when it left its bounds.
func measured(m *v1alpha1.MetricSeen, last time.Time) time.Time {
	if last.IsZero() && m != nil && m.Since != nil {
		return m.Since.Time
	}
	return last
}

// outside tells whether a value is out of the bounds of a trigger.
func outside(value string, bounds v1alpha1.MetricTrigger) (bool, error) {
	v, err := decimal.Parse(value)
	if err != nil {
		return false, fmt.Errorf("the query gives %q, which is no number: let it give one", value)
	}
	for _, bound := range []struct {
		text string
		sign int
	}{{bounds.Min, -1}, {bounds.Max, 1}} {
		if bound.text == "" {
			continue
		}
		b, err := decimal.Parse(bound.text)
		if err != nil {
			return false, fmt.Errorf("the bound %q is no number", bound.text)
		}
		if v.Cmp(b) == bound.sign {
			return true, nil
		}
	}
	return false, nil
}

// definition is that of the pipeline: what the spec says of the run, and of a pipeline that lives elsewhere
// its content.
func (w *pass) definition(ctx context.Context) (slot.Definition, error) {
	triggers := w.retraining.Spec.Triggers
	if triggers == nil || !triggers.Commit {
		return slot.Definition{}, nil
	}
	run := w.retraining.Spec.Run.DeepCopy()
	raw, err := json.Marshal(run)
	if err != nil {
		return slot.Definition{}, err
	}
	sum := sha256.Sum256(raw)
	d := slot.Definition{Digest: "sha256:" + hex.EncodeToString(sum[:]), Since: w.now.UTC().Truncate(time.Second)}
	switch {
	case run.KFP != nil:
		p, err := w.pipeline(ctx, w.Cache, run.KFP.Pipeline)
		switch {
		case err != nil:
			return slot.Definition{}, err
		case p == nil && strings.HasPrefix(w.retraining.Status.Definition, d.Digest+and): // it was deleted, and nothing else changed
			return slot.Definition{}, nil
		case p == nil:
			return d, nil
		}
		_, digest, wait := pipelines.Pinned(*p)
		if wait != "" { // what it has may be of the commit before
			return slot.Definition{}, nil
		}
		d.Digest += and + digest
		if p.Status.DeliveredAt != nil {
			d.Since = p.Status.DeliveredAt.Time
		}
	case run.Workflow != nil:
		last, err := w.ask("definition", run.Workflow, definitionInterval, func(ctx context.Context) (seen, error) { return w.template(ctx, *run.Workflow) })
		w.trouble("commit", cmp.Or(err, last.err))
		if last.at.IsZero() {
			return slot.Definition{}, nil
		}
		d.Digest += and + last.seen.digest
	}
	return d, nil
}

// and comes before the digest of what lives elsewhere.
const and = "+"

// template is the digest of a template of Argo Workflows.
func (w *pass) template(ctx context.Context, run v1alpha1.WorkflowRun) (seen, error) {
	ref := agent.Ref{Group: "argoproj.io", Kind: "WorkflowTemplate", Namespace: w.name.Namespace, Name: run.Template}
	if run.ClusterScope {
		ref.Kind, ref.Namespace = "ClusterWorkflowTemplate", ""
	}
	resource, namespaced, err := w.session.Resource(schema.GroupVersionKind{Group: ref.Group, Version: "v1alpha1", Kind: ref.Kind})
	if err != nil {
		return seen{}, unseen(ref, err)
	}
	get := resource.Get
	if namespaced {
		get = resource.Namespace(w.name.Namespace).Get
	}
	o, err := get(ctx, run.Template, metav1.GetOptions{})
	if err != nil {
		return seen{}, unseen(ref, err)
	}
	raw, err := json.Marshal(o.Object["spec"])
	if err != nil {
		return seen{}, err
	}
	sum := sha256.Sum256(raw)
	return seen{digest: hex.EncodeToString(sum[:])}, nil
}

// unseen says why a template cannot be looked at, and what to do.
func unseen(ref agent.Ref, err error) error {
	switch {
	case apimeta.IsNoMatchError(err):
		return fmt.Errorf("%s: the cluster does not know the kind: install Argo Workflows", ref)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s is not there: create it, or name another in spec.run.workflow", ref)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: the account of the Retraining may not get it: %w: grant it that, or name another in spec.serviceAccountName", ref, err)
	}
	return fmt.Errorf("%s cannot be read: %w", ref, err)
}

// pipeline is the Pipeline of a name; nil if it is one that only Kubeflow Pipelines knows.
func (w *pass) pipeline(ctx context.Context, from client.Reader, name string) (*v1alpha1.Pipeline, error) {
	var p v1alpha1.Pipeline
	err := from.Get(ctx, client.ObjectKey{Namespace: w.name.Namespace, Name: name}, &p)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return &p, err
}

// secretOf reads the data of a Secret.
func secretOf(ctx context.Context, live client.Reader, namespace, name string) (map[string][]byte, error) {
	var secret corev1.Secret
	err := live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("Secret %s/%s is not there: create it", namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s cannot be read: %w", namespace, name, err)
	}
	return secret.Data, nil
}
