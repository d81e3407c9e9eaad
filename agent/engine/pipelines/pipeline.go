package pipelines

import (
	"cmp"
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
)

// Resolved is a run as Kubeflow Pipelines has to be asked for it: with the name and the address of the Pipeline
// that it names, and an experiment. It is nil if the run names a pipeline that Kubeflow Pipelines knows
// by itself. What the run says itself is left.
func Resolved(run v1alpha1.KFPRun, p *v1alpha1.Pipeline, model string) v1alpha1.KFPRun {
	run.Experiment = cmp.Or(run.Experiment, model)
	if p != nil {
		run.Pipeline, run.Address = NameOf(p), cmp.Or(run.Address, p.Spec.KFP.Address)
	}
	return run
}

// NameOf is the name of a Pipeline in Kubeflow Pipelines.
func NameOf(p *v1alpha1.Pipeline) string { return cmp.Or(p.Spec.KFP.Name, p.Name) }

// Pinned is the version of a Pipeline that a run is to have, and the digest of its package: those that were
// delivered of the spec as it is now. Wait says why there are none yet.
func Pinned(p v1alpha1.Pipeline) (version, digest, wait string) {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, v1alpha1.ReadyCondition)
	switch {
	case p.DeletionTimestamp != nil:
		return "", "", fmt.Sprintf("Pipeline %s is being deleted", p.Name)
	case p.Status.ObservedGeneration != p.Generation || ready == nil:
		return "", "", fmt.Sprintf("Pipeline %s has not been looked at since it changed", p.Name)
	case p.Status.Version != "":
		return p.Status.Version, p.Status.Digest, ""
	}
	return "", "", fmt.Sprintf("Pipeline %s: %s", p.Name, ready.Message)
}
