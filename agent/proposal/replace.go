package proposal

import (
	"context"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// Render renders an overlay at the revision that is to be changed, as if some of its files had
// other content. The Result has the trace of what was read.
type Render func(ctx context.Context, replaced map[string][]byte) (render.Result, error)

// InProcess renders in this process, and so one at a time and only what is trusted or was
// rendered before by a worker: see render.Build.
func InProcess(tree agent.Tree, spec render.Spec, limits render.Limits) Render {
	return func(ctx context.Context, replaced map[string][]byte) (render.Result, error) {
		if err := ctx.Err(); err != nil {
			return render.Result{}, err
		}
		return render.Run(render.Replace(tree, replaced), spec, render.Part{}, limits)
	}
}
