package retrain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/slot"
)

// count takes the runs into account that have ended since the last pass. What was counted last is on record, so
// that none is counted twice or left out.
func (w *pass) count() {
	s := &w.report.Status
	ended := slices.DeleteFunc(slices.Clone(w.runs), func(r v1alpha1.RetrainingRun) bool {
		return !r.Status.Phase.Ended() || r.Status.Phase == v1alpha1.RunSkipped || r.Status.EndedAt == nil || !w.newer(r)
	})
	slices.SortFunc(ended, func(a, b v1alpha1.RetrainingRun) int {
		return cmp.Or(a.Status.EndedAt.Compare(b.Status.EndedAt.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range ended {
		s.LastRun, s.LastEnded, s.LastResult = r.Name, r.Status.EndedAt, r.Status.Phase
		switch r.Status.Phase {
		case v1alpha1.RunSucceeded:
			s.Streak = max(s.Streak, 0) + 1
			s.LastSuccess, s.LastSuccessSlot = r.Status.EndedAt, r.Spec.Slot.DeepCopy()
		case v1alpha1.RunFailed:
			s.Streak = min(s.Streak, 0) - 1
		}
		w.report.Ended = append(w.report.Ended, *r.DeepCopy())
	}
	if slices.ContainsFunc(w.runs, func(r v1alpha1.RetrainingRun) bool {
		return r.Status.Phase.Ended() && slices.Contains(s.Active, r.Name)
	}) {
		w.look(w.now) // what waited for it is decided upon at once
	}
	w.report.Unhealthy = w.unhealthy()
}

// newer tells whether a run ended after the one that was counted last.
func (w *pass) newer(r v1alpha1.RetrainingRun) bool {
	s := w.report.Status
	if s.LastEnded == nil {
		return true
	}
	order := r.Status.EndedAt.Compare(s.LastEnded.Time)
	return order > 0 || order == 0 && r.Name > s.LastRun
}

// unhealthy says why somebody should look after the Retraining; empty if nobody needs to.
func (w *pass) unhealthy() string {
	s := w.report.Status
	if after := max(w.retraining.Spec.UnhealthyAfter, 1); s.Streak <= -after {
		what := "the last run failed"
		if s.Streak < -1 {
			what = fmt.Sprintf("the last %d runs failed", -s.Streak)
		}
		for _, r := range w.runs {
			if r.Name == s.LastRun {
				return fmt.Sprintf("%s; %s: %s", what, r.Name, r.Status.Message)
			}
		}
		return what
	}
	if missed := s.LastMissed; missed != nil && (s.LastSuccessSlot == nil || s.LastSuccessSlot.Before(missed)) {
		return fmt.Sprintf("the slot %s was missed, and no later run has succeeded", missed.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return ""
}

// prune removes the runs that are no longer kept, with what their engines have of them.
func (w *pass) prune(ctx context.Context) error {
	if len(w.report.Ended) > 0 { // that they are counted goes on record first
		w.look(w.now)
		return nil
	}
	r := *w.retraining
	r.Status = w.report.Status
	for _, name := range slot.Expired(r, w.runs) {
		n := slices.IndexFunc(w.runs, func(o v1alpha1.RetrainingRun) bool { return o.Name == name })
		if !w.cleared(ctx, &w.runs[n]) {
			continue
		}
		if err := w.Runs.Delete(ctx, &w.runs[n]); err != nil {
			return err
		}
		maps.DeleteFunc(w.memory.waits, func(c call, _ wait) bool { return c.run == w.runs[n].UID })
		w.runs = slices.Delete(w.runs, n, n+1)
	}
	return nil
}

// keepOn is for how long a run is kept beyond its time because its engine does not let go of it.
const keepOn = 24 * time.Hour

// cleared tells whether the engine has nothing of a run any more that would not go with its record.
func (w *pass) cleared(ctx context.Context, run *v1alpha1.RetrainingRun) bool {
	if run.Spec.Run == nil || run.Spec.Run.KFP == nil {
		return true
	}
	for n := w.memory.cleared[run.UID]; n < len(run.Status.Attempts); n++ {
		one := run.DeepCopy()
		one.Status.Attempts = one.Status.Attempts[:n+1]
		g := going{w, one, &one.Status}
		a, err := g.attempt(ctx)
		if err != nil || a.run.ID == "" {
			continue
		}
		_, err, known := g.call("delete", a.number, func(ctx context.Context) (answer, error) { return answer{}, g.engine(a.run).Delete(ctx, a.run) })
		if !known || err != nil && temporary(err) {
			if ended := run.Status.EndedAt; ended == nil || w.now.Sub(ended.Time) < keepOn {
				return false
			}
		}
		w.memory.cleared[run.UID] = n + 1
	}
	delete(w.memory.cleared, run.UID)
	return true
}
