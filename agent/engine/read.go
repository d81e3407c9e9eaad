package engine

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/expression"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// read says how far a run is, from its object.
func read(run Run, f form, live *unstructured.Unstructured) State {
	s := f.read(run, live.Object)
	if s.StartedAt.IsZero() && s.Phase != v1alpha1.RunPending {
		s.StartedAt = live.GetCreationTimestamp().Time
	}
	switch {
	case s.Phase == v1alpha1.RunFailed && run.Canceled:
		s.Phase = v1alpha1.RunCanceled
	case !s.Phase.Ended() && live.GetDeletionTimestamp() != nil:
		s.Phase, s.Message = v1alpha1.RunRunning, "it is being deleted, and its pods are stopped"
	}
	s.Step, s.Message = expression.Printable(s.Step, longestStep), words(s.Message)
	s.Outputs = bounded(&s)
	return s
}

// byConditions is what the conditions say by which most kinds tell how they are. The two that are ends are
// believed whatever generation they are of: what is done stays done. Both at once is a failure, for a result
// of it is not to be trusted.
func byConditions(f fields, succeeded string) State {
	if c, is := f.condition("Failed"); is {
		return State{Phase: v1alpha1.RunFailed, Message: c.says(), EndedAt: c.since}
	}
	if c, is := f.condition(succeeded); is {
		return State{Phase: v1alpha1.RunSucceeded, EndedAt: c.since}
	}
	if c, is := f.condition("Suspended"); is && !c.stale {
		return State{Phase: v1alpha1.RunPending, Message: fmt.Sprintf("it is suspended (%s): it goes on when its queue admits it, or somebody resumes it", c.says())}
	}
	return State{Phase: v1alpha1.RunPending}
}

const (
	// mostOutputs and longestOutput bound what is taken from an engine, in number and in bytes.
	mostOutputs   = 256
	longestOutput = 4096
)

// bounded is the outputs of a state without those that are too large, of which the message tells.
func bounded(s *State) map[string]string {
	if s.Phase != v1alpha1.RunSucceeded || len(s.Outputs) == 0 {
		return nil
	}
	kept := map[string]string{}
	for _, name := range namesOf(s.Outputs) {
		switch value := s.Outputs[name]; {
		case len(kept) == mostOutputs:
			s.Message = fmt.Sprintf("there are more than %d outputs: those from %s on are left out", mostOutputs, words(name))
			return kept
		case len(name)+len(value) > longestOutput:
			s.Message = fmt.Sprintf("the output %s has more than %d bytes, and is left out", expression.Printable(name, longestStep), longestOutput)
		default:
			kept[name] = value
		}
	}
	return kept
}
