package controller

import (
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/sync"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// changed tells whether a verdict differs from the Ready condition in a way worth an event.
func changed(conditions []metav1.Condition, v sync.Verdict) bool {
	ready := apimeta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
	return ready == nil || ready.Reason != v.Reason || ready.Message != cut(v.Message)
}
