package retrain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/slot"
)

// count takes into account the runs that went on, by the record, and have ended. That they do not go on any more
// goes on record with it, so that each is counted once, whatever the clock says.
func (w *pass) count() {
	s := &w.report.Status
	for _, r := range w.runs {
		if r.Status.Phase.Ended() && r.Status.EndedAt != nil && slices.Contains(s.Active, r.Name) {
			w.counted = append(w.counted, *r.DeepCopy())
		}
	}
	slices.SortFunc(w.counted, func(a, b v1alpha1.RetrainingRun) int {
		return cmp.Or(a.Status.EndedAt.Compare(b.Status.EndedAt.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range w.counted {
		s.Active = slices.DeleteFunc(s.Active, func(name string) bool { return name == r.Name })
		if r.Status.Phase == v1alpha1.RunSkipped { // it had not begun
			continue
		}
		s.LastRun, s.LastEnded, s.LastResult = r.Name, r.Status.EndedAt, r.Status.Phase
		switch r.Status.Phase {
		case v1alpha1.RunSucceeded:
			s.Streak = max(s.Streak, 0) + 1
			s.LastSuccess, s.LastSuccessSlot = r.Status.EndedAt, r.Spec.Slot.DeepCopy()
		case v1alpha1.RunFailed:
			s.Streak = min(s.Streak, 0) - 1
		}
	}
	w.counted = slices.DeleteFunc(w.counted, func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunSkipped })
}

// unhealthy says why somebody should look after the Retraining; empty if nobody needs to.
func (w *pass) unhealthy(s v1alpha1.RetrainingStatus) string {
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
	for _, name := range slot.Expired(*w.retraining, w.runs) { // by the record: what is to be counted is kept
		n := slices.IndexFunc(w.runs, func(o v1alpha1.RetrainingRun) bool { return o.Name == name })
		if !w.cleared(ctx, &w.runs[n]) {
			continue
		}
		if err := w.Runs.Delete(ctx, &w.runs[n]); err != nil {
			return err
		}
		w.runs = slices.Delete(w.runs, n, n+1)
	}
	return nil
}

// keepOn is for how long it is tried to have the engine let go of a run that is kept no longer.
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
		if err != nil {
			continue
		}
		_, err, known := g.call("delete", a.number, func(ctx context.Context) (answer, error) { return answer{}, g.engine(a.run).Delete(ctx, a.run) })
		if !known || err != nil && temporary(err) && g.failing("delete", a.number) < keepOn {
			return false
		}
		w.memory.cleared[run.UID] = n + 1
	}
	return true
}
