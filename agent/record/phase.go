package record

import (
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Phase is how far a record of something that is done once is.
type Phase struct {
	Name, Message string
	// Ended and Succeeded tell how it has ended, if it has.
	Ended, Succeeded bool
}

// Conditions puts a phase into conditions as kstatus reads them. A phase that goes on says nothing new.
func (p Phase) Conditions(conditions *[]metav1.Condition, generation int64) {
	set := func(kind string, status metav1.ConditionStatus) {
		apimeta.SetStatusCondition(conditions, metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Reason: p.Name, Message: p.Message})
	}
	if p.Ended { // what stays is not taken away and put back, which would make it new
		apimeta.RemoveStatusCondition(conditions, v1alpha1.ReconcilingCondition)
	}
	if !p.Ended || p.Succeeded {
		apimeta.RemoveStatusCondition(conditions, v1alpha1.StalledCondition)
	}
	switch {
	case p.Succeeded:
		set(v1alpha1.ReadyCondition, metav1.ConditionTrue)
	case p.Ended:
		set(v1alpha1.ReadyCondition, metav1.ConditionFalse)
		set(v1alpha1.StalledCondition, metav1.ConditionTrue)
	default:
		set(v1alpha1.ReadyCondition, metav1.ConditionUnknown)
		set(v1alpha1.ReconcilingCondition, metav1.ConditionTrue)
	}
}
