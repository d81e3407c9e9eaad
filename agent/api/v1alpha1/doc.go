// Package v1alpha1 holds the kinds of the API group sluice.dev, version v1alpha1.
//
// Their conventions are those of Kubernetes and Flux: the conditions Ready, Reconciling,
// Stalled and Healthy, status.observedGeneration, and the annotation
// reconcile.fluxcd.io/requestedAt answered in status.lastHandledReconcileAt.
//
// +kubebuilder:object:generate=true
// +groupName=sluice.dev
package v1alpha1
