package pipelines

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/engine/kfp"
	"k8s.io/apimachinery/pkg/types"
)

// Engine is the engine of Kubeflow Pipelines, in the name of one account. Templates have to be as Resolved
// makes them.
type Engine struct {
	Servers *Servers
	Account cluster.Account
}

var _ engine.Engine = Engine{}

// Reach looks whether the server answers the account, and has the pipeline and the version.
func (e Engine) Reach(ctx context.Context, run engine.Run) error {
	client, request, err := e.request(run)
	if err != nil {
		return err
	}
	pipeline, err := client.FindPipeline(ctx, request.Namespace, request.Run.Pipeline)
	if err == nil {
		_, err = client.FindVersion(ctx, pipeline, request.Run.Version)
	}
	return sorted(request, err)
}

// Start has the run made, unless it has been.
func (e Engine) Start(ctx context.Context, run engine.Run) (string, error) {
	if run.ID != "" {
		return run.ID, nil // State says what has become of it
	}
	client, request, err := e.request(run)
	if err != nil {
		return "", err
	}
	state, err := client.Submit(ctx, request)
	return state.ID, sorted(request, err)
}

// State asks how far a run is.
func (e Engine) State(ctx context.Context, run engine.Run) (engine.State, error) {
	client, request, err := e.request(run)
	if err != nil {
		return engine.State{}, err
	}
	if run.ID == "" {
		return engine.State{Phase: v1alpha1.RunPending, Message: "it has not been started"}, nil
	}
	state, err := client.State(ctx, run.ID, run.Canceled)
	if run.Canceled && kfp.ReasonOf(err) == kfp.Forgotten {
		return engine.State{Phase: v1alpha1.RunCanceled, Message: "it was to be stopped, and Kubeflow Pipelines does not know it any more"}, nil
	}
	if err != nil {
		return engine.State{}, sorted(request, err)
	}
	return said(state), nil
}

// Cancel has the run of the name stop that counts. It is looked for by its name, for the answer to its
// creation may have been lost, and another than the one on record may count.
func (e Engine) Cancel(ctx context.Context, run engine.Run) error {
	return e.each(ctx, run, (*kfp.Client).Cancel)
}

// Delete removes a run from Kubeflow Pipelines, with its workflow and pods.
func (e Engine) Delete(ctx context.Context, run engine.Run) error {
	return e.each(ctx, run, (*kfp.Client).Delete)
}

// each does something to the run that counts, and to the one on record.
func (e Engine) each(ctx context.Context, run engine.Run, do func(*kfp.Client, context.Context, string) error) error {
	client, request, err := e.request(run)
	if err != nil {
		return err
	}
	found, err := client.Find(ctx, request.Namespace, request.Run.Experiment, request.Name)
	if err != nil && kfp.ReasonOf(err) != kfp.Missing {
		return sorted(request, err)
	}
	if found.ID != "" {
		if err := do(client, ctx, found.ID); err != nil {
			return sorted(request, err)
		}
	}
	if run.ID == "" || run.ID == found.ID {
		return nil
	}
	return sorted(request, do(client, ctx, run.ID))
}

// RunName is the name that an attempt at a RetrainingRun has in Kubeflow Pipelines. One for a single user knows no
// namespaces, and may be that of several clusters: so it takes more than the attempt's own to tell it from another's.
func RunName(attempt string, record types.UID) string {
	return attempt + "-" + string(record)[:min(len(record), 8)]
}

// request is what a run asks of which server.
func (e Engine) request(run engine.Run) (*kfp.Client, kfp.Request, error) {
	t := run.Template.KFP
	if t == nil {
		return nil, kfp.Request{}, &engine.Error{Kind: engine.Permanent, Message: "the run has no spec.run.kfp, and is none of Kubeflow Pipelines"}
	}
	if t.Namespace != "" && t.Namespace != run.Namespace {
		return nil, kfp.Request{}, &engine.Error{Kind: engine.Permanent, Message: fmt.Sprintf(
			"spec.run.kfp.namespace: a run is in the namespace of its Retraining, %s: leave it out, or make the Retraining in %s", run.Namespace, t.Namespace)}
	}
	return e.Servers.As(e.Account, t.Address), kfp.Request{
		Name: RunName(run.Name, run.UID), Namespace: run.Namespace, Run: *t, Parameters: run.Parameters,
		Description: fmt.Sprintf("RetrainingRun %s of the Retraining %s/%s", run.Record, run.Namespace, run.Retraining),
	}, nil
}

// said is a state in the words of engines.
func said(s kfp.State) engine.State {
	state := engine.State{
		Phase: s.Phase, Step: s.Step, Message: s.Message, URL: s.URL, StartedAt: s.StartedAt, EndedAt: s.EndedAt,
	}
	if state.Phase == v1alpha1.RunSkipped {
		state.Phase = v1alpha1.RunSucceeded // nothing failed, and there are no outputs
	}
	if s.Note != "" {
		state.Message = strings.TrimPrefix(state.Message+"; "+s.Note, "; ")
	}
	return state
}

// sorted is an error in the words of engines.
func sorted(request kfp.Request, err error) error {
	if err == nil {
		return nil
	}
	e := &engine.Error{Kind: engine.Permanent, Message: err.Error()}
	switch reason := kfp.ReasonOf(err); {
	case reason == kfp.Forgotten:
		e.Kind = engine.Forgotten
	case kfp.Temporary(err):
		e.Kind = engine.Temporary
	case reason == kfp.Missing:
		e.Message += fmt.Sprintf(": let a Pipeline %s of the namespace %s deliver it, upload it, or correct spec.run.kfp; one that has delivered it does so again when it is annotated with %s",
			request.Run.Pipeline, request.Namespace, meta.ReconcileRequestAnnotation)
	}
	return e
}
