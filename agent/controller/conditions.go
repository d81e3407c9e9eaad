package controller

import (
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/sync"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is how long the message of a condition may be; the API server takes 32 KiB.
const maxMessage = 4096

// setConditions puts a verdict into the conditions as kstatus reads them: Ready is Unknown
// while Reconciling is there, and Stalled stands next to a Ready that is False.
func setConditions(conditions *[]metav1.Condition, generation int64, v sync.Verdict) {
	set := func(kind string, status metav1.ConditionStatus) {
		apimeta.SetStatusCondition(conditions, metav1.Condition{
			Type: kind, Status: status, ObservedGeneration: generation, Reason: v.Reason, Message: cut(v.Message),
		})
	}
	if v.Phase != sync.Progressing { // what stays is not taken away and put back, which would make it new
		apimeta.RemoveStatusCondition(conditions, v1alpha1.ReconcilingCondition)
	}
	if v.Phase != sync.Stalled {
		apimeta.RemoveStatusCondition(conditions, v1alpha1.StalledCondition)
	}
	switch v.Phase {
	case sync.Ready:
		set(v1alpha1.ReadyCondition, metav1.ConditionTrue)
	case sync.Progressing:
		set(v1alpha1.ReadyCondition, metav1.ConditionUnknown)
		set(v1alpha1.ReconcilingCondition, metav1.ConditionTrue)
	case sync.Failing:
		set(v1alpha1.ReadyCondition, metav1.ConditionFalse)
	case sync.Stalled:
		set(v1alpha1.ReadyCondition, metav1.ConditionFalse)
		set(v1alpha1.StalledCondition, metav1.ConditionTrue)
	}
}

// setHealthy sets the Healthy condition of an Overlay.
func setHealthy(conditions *[]metav1.Condition, generation int64, healthy bool, message string) {
	c := metav1.Condition{Type: v1alpha1.HealthyCondition, Status: metav1.ConditionTrue, ObservedGeneration: generation,
		Reason: v1alpha1.SucceededReason, Message: "All objects are healthy"}
	if !healthy {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.UnhealthyReason, cut(message)
	}
	apimeta.SetStatusCondition(conditions, c)
}

// remembered puts a result at the head of a history, unless it is there already.
func remembered(history []v1alpha1.HistoryEntry, entry v1alpha1.HistoryEntry) []v1alpha1.HistoryEntry {
	const most = 5
	if len(history) > 0 && history[0].Revision == entry.Revision && history[0].Digest == entry.Digest && history[0].Result == entry.Result {
		return history
	}
	history = append([]v1alpha1.HistoryEntry{entry}, history...)
	return history[:min(len(history), most)]
}

func cut(message string) string {
	if len(message) > maxMessage {
		return strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}

// jittered spreads timers by up to a tenth, so that many objects do not fall due at once.
func jittered(d time.Duration, seed string) time.Duration {
	sum := 0
	for _, b := range []byte(seed) {
		sum = (sum*31 + int(b)) % 100
	}
	return d + d*time.Duration(sum)/1000
}
