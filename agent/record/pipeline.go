package record

import (
	"context"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// PipelineStatus writes the status of a Pipeline as one patch, or not at all if before has it already.
func PipelineStatus(ctx context.Context, c client.StatusClient, before, after *v1alpha1.Pipeline) error {
	return patchStatus(ctx, c, before, after, equality.Semantic.DeepEqual(before.Status, after.Status))
}
