package record

import (
	"context"
	"encoding/json"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// OverlayStatus writes the status of an Overlay as one patch, or not at all if before has it
// already. The patch holds what changed and nothing else, so it never undoes another writer.
func OverlayStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.Overlay) error {
	return patchStatus(ctx, c, before, after, equality.Semantic.DeepEqual(before.Status, after.Status))
}

// RepositoryStatus does the same for a Repository.
func RepositoryStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.Repository) error {
	return patchStatus(ctx, c, before, after, equality.Semantic.DeepEqual(before.Status, after.Status))
}

func patchStatus(ctx context.Context, c client.StatusClient, before, after client.Object, same bool) error {
	if same {
		return nil
	}
	return client.IgnoreNotFound(c.Status().Patch(ctx, after, client.MergeFrom(before), client.FieldOwner(v1alpha1.FieldManager)))
}

// ModelStatus does the same for a Model.
func ModelStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.Model) error {
	return patchStatus(ctx, c, before, after, equality.Semantic.DeepEqual(before.Status, after.Status))
}

// ModelVersionStatus does the same for a ModelVersion.
func ModelVersionStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.ModelVersion) error {
	return patchStatus(ctx, c, before, after, equality.Semantic.DeepEqual(before.Status, after.Status))
}

// RetrainingStatus writes the status of a Retraining against the version that was read, or not at all if
// before has it already: what was decided holds only if it is still the one that was decided upon. The error
// is a conflict if it is not.
func RetrainingStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.Retraining) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	return c.Status().Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1alpha1.FieldManager))
}

// Settled writes when nothing more was to become of what a run proposes, and nothing else of its status.
func Settled(ctx context.Context, c client.StatusClient, run *v1alpha1.RetrainingRun, at metav1.Time) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"settledAt": at}})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(c.Status().Patch(ctx, run.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.FieldManager)))
}

// PullRequests writes what is on record of the pull requests of a Repository, and nothing else of its
// status.
func PullRequests(ctx context.Context, c client.StatusClient, repo *v1alpha1.Repository, list []v1alpha1.PullRequestStatus) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"pullRequests": list}})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(c.Status().Patch(ctx, repo.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(v1alpha1.FieldManager)))
}
