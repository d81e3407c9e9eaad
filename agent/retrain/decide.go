package retrain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/record"
	"github.com/sluice-dev/sluice/agent/slot"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errOld is the error of a pass whose facts were older than what is on record.
var errOld = errors.New("what is on record has changed meanwhile")

// decide decides what is to be run, and puts that on record in the order that package slot asks for.
func (w *pass) decide(ctx context.Context) error {
	facts, err := w.facts(ctx)
	if err != nil {
		return err
	}
	d, err := slot.Decide(facts)
	if err != nil {
		w.report.Err = err
		return nil
	}
	w.say(d.Message)
	w.look(d.Again)
	for _, r := range d.Begin {
		if err := w.create(ctx, w.recordOf(r, facts), false, ""); err != nil {
			return err
		}
	}
	for _, s := range d.Skipped {
		if err := w.create(ctx, w.skipped(s), true, s.Message()); err != nil {
			return err
		}
		if last := d.Status.LastMissed; s.Missed && (last == nil || s.Last.After(last.Time)) {
			d.Status.LastMissed = new(metav1.NewTime(s.Last))
		}
	}
	for _, e := range d.Cancel {
		if err := w.cancel(ctx, e); err != nil {
			return err
		}
	}
	if err := w.write(ctx, d.Status); err != nil {
		return err
	}
	w.report.Missed = slices.DeleteFunc(d.Skipped, func(s slot.Skip) bool { return !s.Missed })
	return w.withdraw(ctx, d.Withdraw)
}

// cancel puts on record that a run is to make room.
func (w *pass) cancel(ctx context.Context, e slot.End) error {
	n := slices.IndexFunc(w.runs, func(o v1alpha1.RetrainingRun) bool { return o.Name == e.Name })
	if n < 0 || w.runs[n].Status.Canceling != "" {
		return nil
	}
	after := w.runs[n].DeepCopy()
	after.Status.Canceling = short(e.Reason)
	written, err := w.Runs.Write(ctx, &w.runs[n], after)
	if err == nil {
		w.runs[n] = *written
	}
	return err
}

// write puts the status on record, if the Retraining is still the one that was decided upon. What the pass has come
// to so far goes with it. Alone that waits for the end of the pass, and so it does while passes fail: the end may say
// something else.
func (w *pass) write(ctx context.Context, status v1alpha1.RetrainingStatus) error {
	before := w.retraining.DeepCopy()
	w.retraining.Status = status
	if w.memory.failed == 0 && !equality.Semantic.DeepEqual(before.Status, status) {
		report := w.report
		report.Status, report.Unhealthy = status, w.unhealthy(status)
		w.Conditions(w.retraining, report)
	}
	if err := record.RetrainingStatus(ctx, w.Client, before, w.retraining); err != nil {
		w.retraining.Status = before.Status
		return err
	}
	w.report.Status = *w.retraining.Status.DeepCopy()
	w.report.Ended, w.counted = w.counted, nil
	return nil
}

// create makes the record of a run, or of slots that are not run. One that is there already has to be one
// that was decided upon: else the facts were old.
func (w *pass) create(ctx context.Context, run *v1alpha1.RetrainingRun, skipped bool, why string) error {
	n := slices.IndexFunc(w.runs, func(o v1alpha1.RetrainingRun) bool { return o.Name == run.Name })
	if n >= 0 {
		run = &w.runs[n]
	} else {
		made, err := w.Runs.Create(ctx, w.retraining, run)
		switch {
		case err != nil:
			return err
		case !made && (!skipped || len(run.Status.Attempts) > 0):
			return errOld
		}
		w.runs = append(w.runs, *run)
		n = len(w.runs) - 1
	}
	if !skipped || run.Status.Phase.Ended() || len(run.Status.Attempts) > 0 {
		return nil
	}
	after := run.DeepCopy()
	finish(&after.Status, v1alpha1.RunSkipped, why, w.now)
	tell(after)
	written, err := w.Runs.Write(ctx, run, after)
	if err == nil {
		w.runs[n] = *written
	}
	return err
}

// recordOf is the RetrainingRun of a run that was decided upon.
func (w *pass) recordOf(r slot.Run, facts slot.Facts) *v1alpha1.RetrainingRun {
	run := w.blank(r.Name)
	spec := w.retraining.Spec.DeepCopy()
	run.Spec.Slot, run.Spec.Trigger = metav1.NewTime(r.Slot), r.Trigger
	run.Spec.Run, run.Spec.Result, run.Spec.Parameters = &spec.Run, spec.Result, r.Parameters
	run.Spec.Values = v1alpha1.RunValues{
		TimeZone: spec.TimeZone, LastSuccess: facts.Retraining.Status.LastSuccessSlot, Versions: w.versions(), Revision: w.retraining.Annotations[v1alpha1.RevisionAnnotation],
	}
	if data := facts.Retraining.Status.Data; data != nil && spec.Triggers != nil && spec.Triggers.Data != nil {
		run.Spec.Values.Data = &v1alpha1.RunData{Fingerprint: data.Fingerprint, Count: data.Count, Newest: data.Newest}
	}
	return run
}

func (w *pass) skipped(s slot.Skip) *v1alpha1.RetrainingRun {
	run := w.blank(s.Name)
	run.Spec.Slot, run.Spec.Trigger = metav1.NewTime(s.Last), v1alpha1.RunTrigger{Kind: s.Trigger}
	return run
}

func (w *pass) blank(name string) *v1alpha1.RetrainingRun {
	return &v1alpha1.RetrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.name.Namespace, Name: name, Labels: map[string]string{v1alpha1.RetrainingLabel: w.name.Name}},
		Spec:       v1alpha1.RetrainingRunSpec{Retraining: w.name.Name, Model: w.retraining.Spec.Model},
	}
}

// withdraw deletes records that no decision which holds has wanted. Whether one holds, the API server says.
func (w *pass) withdraw(ctx context.Context, ends []slot.End) error {
	if len(ends) == 0 {
		return nil
	}
	var now v1alpha1.Retraining
	if err := w.Live.Get(ctx, w.name, &now); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, e := range ends {
		n := slices.IndexFunc(w.runs, func(o v1alpha1.RetrainingRun) bool { return o.Name == e.Name })
		if n < 0 || slices.Contains(now.Status.Active, e.Name) {
			continue
		}
		if err := w.Runs.Delete(ctx, &w.runs[n]); err != nil && !apierrors.IsConflict(err) {
			return err
		}
		w.runs = slices.Delete(w.runs, n, n+1)
	}
	return nil
}

// facts is what a decision depends on.
func (w *pass) facts(ctx context.Context) (slot.Facts, error) {
	f := slot.Facts{Now: w.now, Retraining: *w.retraining.DeepCopy(), Runs: slices.Clone(w.runs)}
	f.Retraining.Status = *w.report.Status.DeepCopy() // with what has ended
	var err error
	if f.Definition, err = w.definition(ctx); err != nil {
		return f, err
	}
	f.Retraining.Status.Data, f.DataAt = w.data()
	f.Retraining.Status.Metric, f.MetricAt = w.metric()
	f.Request = w.request()
	return f, nil
}

// request is what was asked for by hand.
func (w *pass) request() slot.Request {
	value, _ := meta.ReconcileAnnotationValue(w.retraining.Annotations)
	if value == "" || value == w.retraining.Status.LastHandledReconcileAt {
		return slot.Request{Value: value}
	}
	r := slot.Request{Value: value}
	if text := w.retraining.Annotations[v1alpha1.ParametersAnnotation]; text != "" {
		if err := json.Unmarshal([]byte(text), &r.Parameters); err != nil {
			w.report.Err = fmt.Errorf("the annotation %s is no JSON object of texts: set it by `sluice retrain run`, or remove it", v1alpha1.ParametersAnnotation)
			return slot.Request{Value: w.retraining.Status.LastHandledReconcileAt} // what was asked for waits
		}
		if len(r.Parameters) > mostParameters {
			w.report.Err = fmt.Errorf("the annotation %s has %d parameters, and a run has at most %d: set fewer, or remove it", v1alpha1.ParametersAnnotation, len(r.Parameters), mostParameters)
			return slot.Request{Value: w.retraining.Status.LastHandledReconcileAt}
		}
	}
	return r
}

// mostParameters is how many a RetrainingRun can have.
const mostParameters = 128

// versions are what serves in the stages of the Model, as far as there is one.
func (w *pass) versions() map[string]string {
	versions := map[string]string{}
	if m := w.model(); m != nil {
		for _, s := range m.Status.Stages {
			if s.Version != "" {
				versions[s.Name] = s.Version
			}
		}
	}
	return versions
}

// model is the Model that is retrained; nil if there is none.
func (w *pass) model() *v1alpha1.Model {
	var m v1alpha1.Model
	if err := w.Cache.Get(context.Background(), client.ObjectKey{Namespace: w.name.Namespace, Name: w.retraining.Spec.Model}, &m); err != nil {
		return nil // it may come later, or never
	}
	return &m
}

// lastStage is the last stage of a Model, where what serves counts most.
func lastStage(m *v1alpha1.Model, named string) string {
	if m == nil || named != "" || len(m.Spec.Stages) == 0 {
		return named
	}
	return cmp.Or(named, m.Spec.Stages[len(m.Spec.Stages)-1].Name)
}
