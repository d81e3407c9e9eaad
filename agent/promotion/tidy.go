package promotion

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/log"
)

// defaultHistory is how many ended Promotions a stage keeps, as the CRD says.
const defaultHistory = 10

// tidy removes Promotions that are older than spec.historyLimit keeps. The newest stays: what
// serves is on it. Those of stages that are gone go too, unless one that is there may be such a stage
// with another name and has no record yet.
func (w *pass) tidy(ctx context.Context) {
	limit := int(w.model.Spec.HistoryLimit)
	if limit == 0 {
		limit = defaultHistory
	}
	failed := slices.ContainsFunc(w.stages, func(s stage) bool { return s.err != nil })
	for stage, all := range w.promotions {
		keep := limit
		if !w.has(stage) && !failed {
			keep = 0
		}
		for n := range all {
			if n < keep || !all[n].Status.Phase.Ended() && w.has(stage) {
				continue
			}
			if err := w.Promotions.Delete(ctx, &all[n]); err != nil {
				log.FromContext(ctx).Info("a Promotion that is not kept any longer cannot be deleted", "promotion", all[n].Name, "error", err.Error())
			}
		}
	}
}

func (w *pass) has(stage string) bool {
	for _, s := range w.model.Spec.Stages {
		if s.Name == stage {
			return true
		}
	}
	return false
}
