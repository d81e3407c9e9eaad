package retrain

import "github.com/sluice-dev/sluice/agent/api/v1alpha1"

// Trim is a transform of a cache of RetrainingRuns: of those that have ended, which are most, it keeps no template
// of what was run. Only the engine of Kubeflow Pipelines is asked about a run that has ended.
func Trim(o any) (any, error) {
	run, is := o.(*v1alpha1.RetrainingRun)
	if !is {
		return o, nil
	}
	run.ManagedFields = nil
	if run.Status.Phase.Ended() && run.Spec.Run != nil && run.Spec.Run.KFP == nil {
		run.Spec.Run = nil
	}
	return run, nil
}
