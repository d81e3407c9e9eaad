package kfp

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// State is how a run is.
type State struct {
	// ID and Name of the run that counts.
	ID, Name string
	// Phase: Pending, Running, Succeeded, Failed, Canceled, Skipped.
	Phase v1alpha1.RunPhase
	// Step that failed, in the server's words.
	Step string
	// Message says why it failed or waits.
	Message string
	// Note says what was odd about it, and what was done: there was more than one of the name.
	Note string
	// CreatedAt, StartedAt and EndedAt are times of the server, in whole seconds; zero where it says none.
	CreatedAt, StartedAt, EndedAt time.Time
	// URL of the page for people, if their address is known.
	URL string
}

// fluid tells that others of the name are to be looked for: it is new, or over.
func (s State) fluid() bool { return s.Phase == v1alpha1.RunPending || s.Phase.Ended() }

type apiRun struct {
	ID           string      `json:"run_id"`
	Name         string      `json:"display_name"`
	ExperimentID string      `json:"experiment_id"`
	CreatedAt    time.Time   `json:"created_at"`
	FinishedAt   time.Time   `json:"finished_at"`
	State        string      `json:"state"`
	Error        *apiStatus  `json:"error"`
	History      []apiChange `json:"state_history"`
	Details      struct {
		Tasks []apiTask `json:"task_details"`
	} `json:"run_details"`
}

type apiTask struct {
	Name    string      `json:"display_name"`
	Started time.Time   `json:"start_time"`
	Ended   time.Time   `json:"end_time"`
	State   string      `json:"state"`
	Error   *apiStatus  `json:"error"`
	History []apiChange `json:"state_history"`
}

type apiChange struct {
	At    time.Time  `json:"update_time"`
	State string     `json:"state"`
	Error *apiStatus `json:"error"`
}

type apiStatus struct {
	Message string `json:"message"`
}

func (s *apiStatus) message() string {
	if s == nil {
		return ""
	}
	return printable(s.Message)
}

// stopping tells that a run is over, or will be.
func (r apiRun) stopping() bool {
	return slices.Contains([]string{"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED", "CANCELING"}, r.State)
}

// counting is the run of several that counts, and the others. Times are whole seconds, so that the id
// has to decide between those of the same.
func counting(runs []apiRun) (apiRun, []apiRun) {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b apiRun) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return sorted[0], sorted[1:]
}

// stateOf reads a run. One of which the server says nothing but an error is none that could be read.
func (c *Client) stateOf(r apiRun, canceled bool) (State, error) {
	if r.State == "" && r.Error.message() != "" {
		return State{}, sayf(Broken, "Kubeflow Pipelines cannot read it%s: see the log of its pod ml-pipeline", saying(r.Error.Message, ""))
	}
	s := State{ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt, StartedAt: startedAt(r.History)}
	if c.UI != "" {
		s.URL = strings.TrimSuffix(c.UI, "/") + "/#/runs/details/" + url.PathEscape(r.ID)
	}
	s.Phase, s.Message = phaseOf(r, canceled)
	if s.Phase.Ended() && r.FinishedAt.Unix() > 0 { // one that goes on has finished 1970
		s.EndedAt = r.FinishedAt
	}
	if s.Phase == v1alpha1.RunFailed {
		s.Step, s.Message = failureOf(r)
	}
	return s, nil
}

// startedAt is when a run was running first.
func startedAt(history []apiChange) time.Time {
	for _, c := range history {
		if c.State == "RUNNING" {
			return c.At
		}
	}
	return time.Time{}
}

// phaseOf says what a state of Kubeflow Pipelines means.
func phaseOf(r apiRun, canceled bool) (phase v1alpha1.RunPhase, message string) {
	switch r.State {
	case "", "RUNTIME_STATE_UNSPECIFIED", "PENDING":
		return v1alpha1.RunPending, ""
	case "RUNNING":
		return v1alpha1.RunRunning, ""
	case "PAUSED":
		return v1alpha1.RunRunning, "it is paused: resume it in Kubeflow Pipelines"
	case "CANCELING":
		return v1alpha1.RunRunning, "it was terminated, and its pods have not ended yet"
	case "SUCCEEDED":
		return v1alpha1.RunSucceeded, ""
	case "SKIPPED":
		return v1alpha1.RunSkipped, "Kubeflow Pipelines has skipped it, and there is no result"
	case "CANCELED":
		return v1alpha1.RunCanceled, "it was terminated"
	case "FAILED":
		if canceled || slices.ContainsFunc(r.History, func(c apiChange) bool { return c.State == "CANCELING" }) {
			return v1alpha1.RunCanceled, "it was terminated"
		}
		return v1alpha1.RunFailed, ""
	}
	return v1alpha1.RunRunning, "Kubeflow Pipelines says that it is " + printable(r.State) + ", which this agent does not know"
}

// failureOf says which step failed, and why.
func failureOf(r apiRun) (step, message string) {
	t, found := failedTask(r.Details.Tasks)
	if found {
		step = printable(t.Name)
		message = cmp.Or(t.Error.message(), lastError(t.History))
	}
	message = cmp.Or(message, r.Error.message(), lastError(r.History))
	switch {
	case message != "":
		return step, message
	case step != "":
		return step, "the step " + step + " failed, and Kubeflow Pipelines does not say why: see its page, or the log of its pod"
	}
	return "", "it failed, and Kubeflow Pipelines does not say why: see its page, or the logs of its pods"
}

// around are tasks that the compiler makes around each step, and that fail with it.
func around(name string) bool { return name == "root" || name == "executor" }

// failedTask is the step that failed first. What is around it ends no earlier and starts no later; of
// two that are as old, names decide, so that the same is always said.
func failedTask(tasks []apiTask) (apiTask, bool) {
	failed := slices.DeleteFunc(slices.Clone(tasks), func(t apiTask) bool { return t.State != "FAILED" })
	if len(failed) == 0 {
		return apiTask{}, false
	}
	return slices.MinFunc(failed, func(a, b apiTask) int {
		return cmp.Or(compareBool(around(a.Name), around(b.Name)), a.Ended.Compare(b.Ended), b.Started.Compare(a.Started), strings.Compare(a.Name, b.Name))
	}), true
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func lastError(history []apiChange) string {
	for _, c := range slices.Backward(history) {
		if m := c.Error.message(); m != "" {
			return m
		}
	}
	return ""
}
