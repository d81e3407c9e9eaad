package engine

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
)

// Engine runs what a RunTemplate says. All may be called again at any time, by several at once and after a
// crash: they come to the same run.
type Engine interface {
	// Reach tells whether the engine can be asked to start a run now. It begins nothing, so a run that has
	// not come further can still be decided upon in another way.
	Reach(ctx context.Context, run Run) error
	// Start has the run begin, unless it has begun, and returns the id that the engine knows it by. A run
	// with an ID is never begun a second time.
	Start(ctx context.Context, run Run) (id string, err error)
	// State says how far the run is. One without an ID is pending.
	State(ctx context.Context, run Run) (State, error)
	// Cancel has the run stop, which takes a while; State says when it has. A run that has ended, or
	// that the engine does not know, is left as it is.
	Cancel(ctx context.Context, run Run) error
	// Delete removes what the engine keeps of a run that has ended, as far as it does not go with its
	// RetrainingRun.
	Delete(ctx context.Context, run Run) error
}

// Run is one attempt at a RetrainingRun. It goes on record before Start is called, and that it is to be
// canceled before Cancel is.
type Run struct {
	// Namespace of the RetrainingRun and of everything that is made for it.
	Namespace string
	// Record is the name of the RetrainingRun, and UID its UID.
	Record string
	UID    types.UID
	// Retraining that it is a run of.
	Retraining string
	// Name of the attempt for the engine, see Name. The same attempt has the same one.
	Name string
	// ID that Start returned; empty as long as that is not on record.
	ID string
	// Canceled: Cancel was called, or is about to be.
	Canceled bool
	// Template is what is run. Its texts are filled in.
	Template v1alpha1.RunTemplate
	// Parameters with their values, for the engines that have parameters.
	Parameters map[string]string
}

// State is how far a run is, as its engine says.
type State struct {
	// Phase is Pending, Running, Succeeded, Failed or Canceled.
	Phase v1alpha1.RunPhase
	// Step that failed, in the engine's words; empty where it has none.
	Step string
	// Message says why it failed or what it waits for. It is one line, and fits into a status.
	Message string
	// Outputs of a run that succeeded, by their names.
	Outputs map[string]string
	// URL of a page about it; empty where none is known.
	URL string
	// StartedAt and EndedAt are the engine's times; zero where it says none.
	StartedAt, EndedAt time.Time
}
