package plan

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The waves, in order. Objects of one wave are applied side by side; the next wave begins
// when the one before is through. Deletes go the other way.
const (
	// WaveDefinitions: what other objects live in or are instances of. The next wave waits
	// until namespaces are active and CRDs are established.
	WaveDefinitions = iota
	// WaveSettings: what workloads read or run as.
	WaveSettings
	// WaveWorkloads: what runs, and the Services in front of it; and what Retrainings run, so that who
	// sees a Retraining of a commit can see the Pipeline of the same commit.
	WaveWorkloads
	// WaveResources: everything else; mostly custom resources.
	WaveResources
	// WaveAdmission: webhooks and policies last, so that they cannot stop the objects that
	// bring their own backends up.
	WaveAdmission
)

var waves = map[schema.GroupKind]int{
	{Kind: "Namespace"}: WaveDefinitions,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: WaveDefinitions,

	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:              WaveSettings,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:                  WaveSettings,
	{Group: "storage.k8s.io", Kind: "CSIDriver"}:                     WaveSettings,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:                     WaveSettings,
	{Group: "networking.k8s.io", Kind: "IngressClass"}:               WaveSettings,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:              WaveSettings,
	{Kind: "ResourceQuota"}:                                          WaveSettings,
	{Kind: "LimitRange"}:                                             WaveSettings,
	{Kind: "ServiceAccount"}:                                         WaveSettings,
	{Kind: "Secret"}:                                                 WaveSettings,
	{Kind: "ConfigMap"}:                                              WaveSettings,
	{Kind: "PersistentVolume"}:                                       WaveSettings,
	{Kind: "PersistentVolumeClaim"}:                                  WaveSettings,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}:        WaveSettings,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: WaveSettings,
	{Group: "rbac.authorization.k8s.io", Kind: "Role"}:               WaveSettings,
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        WaveSettings,

	{Kind: "Service"}:               WaveWorkloads,
	{Kind: "Endpoints"}:             WaveWorkloads,
	{Kind: "Pod"}:                   WaveWorkloads,
	{Kind: "ReplicationController"}: WaveWorkloads,
	{Group: "discovery.k8s.io", Kind: "EndpointSlice"}:      WaveWorkloads,
	{Group: "apps", Kind: "Deployment"}:                     WaveWorkloads,
	{Group: "apps", Kind: "StatefulSet"}:                    WaveWorkloads,
	{Group: "apps", Kind: "DaemonSet"}:                      WaveWorkloads,
	{Group: "apps", Kind: "ReplicaSet"}:                     WaveWorkloads,
	{Group: "batch", Kind: "Job"}:                           WaveWorkloads,
	{Group: "batch", Kind: "CronJob"}:                       WaveWorkloads,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: WaveWorkloads,
	{Group: "policy", Kind: "PodDisruptionBudget"}:          WaveWorkloads,
	{Group: "networking.k8s.io", Kind: "Ingress"}:           WaveWorkloads,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:   WaveWorkloads,
	{Group: "sluice.dev", Kind: "Pipeline"}:                 WaveWorkloads,

	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}:     WaveAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}:   WaveAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"}:        WaveAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"}: WaveAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}:          WaveAdmission,
	{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"}:   WaveAdmission,
}

// Wave returns the wave in which objects of a kind are applied.
func Wave(gk schema.GroupKind) int {
	if wave, known := waves[gk]; known {
		return wave
	}
	return WaveResources
}
