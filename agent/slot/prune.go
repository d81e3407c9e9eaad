package slot

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

const (
	defaultHistoryLimit = 10
	ownBranches         = "sluice/retrain/"
)

// Expired are the names of the runs that are no longer kept: of those that ended, and of records of
// slots that were skipped, all but the newest historyLimit each. What the next decisions may ask for
// is kept: runs in the status, records of slots that are not handled yet, and the newest run that a
// trigger started. So is the newest run that has proposed something of which more is to become: its pull
// request stands on its record.
func Expired(r v1alpha1.Retraining, runs []v1alpha1.RetrainingRun) []string {
	limit := cmp.Or(int(r.Spec.HistoryLimit), defaultHistoryLimit)
	newest := slices.Clone(runs)
	slices.SortStableFunc(newest, func(a, b v1alpha1.RetrainingRun) int {
		return cmp.Or(endedAt(b).Compare(endedAt(a)), cmp.Compare(b.Name, a.Name))
	})
	var expired []string
	ended, skipped, fired, proposed := 0, 0, false, false
	for _, run := range newest {
		if !run.Status.Phase.Ended() || needed(r, run) {
			continue
		}
		count := &ended
		if run.Status.Phase == v1alpha1.RunSkipped {
			count = &skipped
		}
		*count++
		if *count > limit && (fired || !triggered(run)) && (proposed || !open(run)) {
			expired = append(expired, run.Name)
		}
		fired, proposed = fired || triggered(run), proposed || branched(run)
	}
	return expired
}

// open tells whether something is still to become of what a run has proposed.
func open(run v1alpha1.RetrainingRun) bool {
	return branched(run) && run.Status.SettledAt == nil
}

// branched tells whether a run has put its version on a branch of its own, which somebody is to merge. What it has
// pushed to one of people's takes no place.
func branched(run v1alpha1.RetrainingRun) bool {
	p := run.Status.Proposal
	return p != nil && p.Commit != "" && strings.HasPrefix(p.Branch, ownBranches)
}

func endedAt(run v1alpha1.RetrainingRun) time.Time {
	if run.Status.EndedAt != nil {
		return run.Status.EndedAt.Time
	}
	return run.CreationTimestamp.Time
}

// needed tells whether a decision may still ask for a run.
func needed(r v1alpha1.Retraining, run v1alpha1.RetrainingRun) bool {
	if slices.Contains(r.Status.Active, run.Name) {
		return true
	}
	handled := r.Status.HandledSlot
	return ofSlot(run) && (handled == nil || run.Spec.Slot.After(handled.Time))
}
