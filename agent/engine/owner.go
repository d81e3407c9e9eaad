package engine

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ownerOf is the reference to the RetrainingRun that an object is made for. The object is collected with it.
func ownerOf(run Run) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.RetrainingRunKind, Name: run.Record, UID: run.UID, Controller: new(true),
	}
}

// claim refuses an object of the run's name that was not made for the run. Labels can be copied; the UID of
// the owner is the run's own.
func claim(run Run, f form, live *unstructured.Unstructured) error {
	owner := metav1.GetControllerOf(live)
	switch {
	case owner != nil && owner.UID == run.UID:
		return nil
	case owner != nil && owner.Kind == v1alpha1.RetrainingRunKind && owner.Name == run.Record:
		return &Error{Temporary, fmt.Sprintf("%s is that of an earlier RetrainingRun %s, and has to be collected with it first: it is tried again", f.ref(run), run.Record)}
	}
	return permanentf("%s is there already, and %s: delete it, or give it another name", f.ref(run), whose(live))
}

// whose says who an object belongs to, as far as it tells.
func whose(live *unstructured.Unstructured) string {
	if owner := metav1.GetControllerOf(live); owner != nil {
		return fmt.Sprintf("belongs to %s %s", words(owner.Kind), words(owner.Name))
	}
	labels := live.GetLabels()
	for _, mark := range []struct{ what, key string }{
		{"the Overlay", labels[v1alpha1.OverlayLabel]},
		{"the Model", labels[v1alpha1.ModelLabel]},
		{"the Retraining", labels[v1alpha1.RetrainingLabel]},
		{"the CronWorkflow", labels["workflows.argoproj.io/cron-workflow"]},
		{"the Flux Kustomization", labels["kustomize.toolkit.fluxcd.io/name"]},
		{"the Helm release", live.GetAnnotations()["meta.helm.sh/release-name"]},
		{"the Argo CD application", live.GetAnnotations()["argocd.argoproj.io/tracking-id"]},
	} {
		if mark.key != "" {
			return fmt.Sprintf("belongs to %s %s", mark.what, words(mark.key))
		}
	}
	for _, entry := range live.GetManagedFields() {
		if entry.Subresource == "" && entry.Manager != "" {
			return "was made by " + words(entry.Manager)
		}
	}
	return "was not made for this run"
}
