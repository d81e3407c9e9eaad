package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/health"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// sight reduces an object to what is kept of it. Objects that come as metadata alone are of
// kinds without a health of their own.
func sight(gk schema.GroupKind, object metav1.Object) agent.Live {
	live := agent.Live{
		UID:             string(object.GetUID()),
		ResourceVersion: parseVersion(object.GetResourceVersion()),
		Owner:           ownerOf(object),
		Foreign:         foreignOwner(object),
		Fields:          fieldsDigest(object.GetManagedFields()),
		Deleting:        object.GetDeletionTimestamp() != nil,
		KeepOnPrune:     object.GetAnnotations()[v1alpha1.PruneAnnotation] == "disabled",
	}
	if live.Deleting {
		live.Finalizers = object.GetFinalizers()
	}
	live.Health = agent.Health{Status: agent.Progressing, Message: "its status has not been seen yet"}
	if full, ok := object.(*unstructured.Unstructured); ok {
		live.Health = health.Of(full)
	} else if health.Static(gk) {
		live.Health = agent.Health{Status: agent.Healthy}
	}
	if live.Deleting {
		live.Health = agent.Health{Status: agent.Terminating, Message: "it is being deleted"}
	}
	return live
}

func refOf(gk schema.GroupKind, object metav1.Object) agent.Ref {
	return agent.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: object.GetNamespace(), Name: object.GetName()}
}

func ownerOf(object metav1.Object) agent.Owner {
	labels := object.GetLabels()
	if name, is := labels[v1alpha1.OverlayLabel]; is {
		return agent.Owner{Namespace: labels[v1alpha1.OverlayNamespaceLabel], Name: name}
	}
	if namespace, is := labels[v1alpha1.ModelNamespaceLabel]; is { // the other label is also on what a Model's objects make
		return agent.Owner{Kind: agent.ModelOwner, Namespace: namespace, Name: labels[v1alpha1.ModelLabel]}
	}
	if name, is := labels[v1alpha1.RetrainingLabel]; is {
		return agent.Owner{Kind: agent.RetrainingOwner, Namespace: object.GetNamespace(), Name: name}
	}
	return agent.Owner{}
}

// foreignOwner says which other tool or controller claims an object.
func foreignOwner(object metav1.Object) string {
	if c := metav1.GetControllerOf(object); c != nil {
		return c.Kind + " " + c.Name + ", which controls it"
	}
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	for _, mark := range []struct{ what, key string }{
		{"Flux Kustomization ", labels["kustomize.toolkit.fluxcd.io/name"]},
		{"Flux HelmRelease ", labels["helm.toolkit.fluxcd.io/name"]},
		{"Helm release ", annotations["meta.helm.sh/release-name"]},
		{"Argo CD application ", annotations["argocd.argoproj.io/tracking-id"]},
		{"Config Sync declaration ", annotations["configsync.gke.io/declared-version"]},
	} {
		if mark.key != "" {
			return mark.what + mark.key
		}
	}
	return ""
}

// fieldsDigest is a digest over the fields that Sluice owns by server-side apply. The entry
// is decoded and encoded again because the order of its keys is not the same in every
// encoding in which the API server sends it.
func fieldsDigest(entries []metav1.ManagedFieldsEntry) string {
	for _, e := range entries {
		if e.Manager != v1alpha1.FieldManager || e.Operation != metav1.ManagedFieldsOperationApply || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var fields any
		if err := json.Unmarshal(e.FieldsV1.GetRawBytes(), &fields); err != nil {
			return ""
		}
		canonical, err := json.Marshal(fields)
		if err != nil {
			return ""
		}
		sum := sha256.Sum256(canonical)
		return hex.EncodeToString(sum[:8])
	}
	return ""
}

// parseVersion reads a resource version as the number it is; Kubernetes promises since 1.35
// that two of one resource can be compared. Something else counts as oldest.
func parseVersion(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
