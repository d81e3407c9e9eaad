package kfp

import (
	"slices"
	"time"
)

// Run is a run that a test drives.
type Run struct {
	server *Server
	id     string
}

// Run is the one with an id, whether there is one or not: what is done to one that is not there is
// a panic.
func (s *Server) Run(id string) Run { return Run{s, id} }

// Made are the ids of all runs with a name, the oldest first.
func (s *Server) Made(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, r := range s.runs {
		if r.Name == name {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Counting are the ids of those runs with a name that were not terminated.
func (s *Server) Counting(name string) []string {
	return slices.DeleteFunc(s.Made(name), func(id string) bool {
		return slices.ContainsFunc(s.Run(id).history(), func(c change) bool { return c.State == "CANCELING" })
	})
}

// Copy makes one more run of the same name and the same age, as another agent does that knew of none.
func (s *Server) Copy(id string) Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.Run(id).record()
	twin := *first
	twin.ID, twin.History, twin.Details = newID(), slices.Clone(first.History), nil
	s.runs = append(s.runs, &twin)
	return Run{s, twin.ID}
}

// Forget removes a run, or all of them if the id is empty, as the server does that lost its database.
func (s *Server) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = without(s.runs, func(r *run) bool { return id == "" || r.ID == id })
}

// record is the run itself. The server is locked.
func (r Run) record() *run {
	for _, run := range r.server.runs {
		if run.ID == r.id {
			return run
		}
	}
	panic("kfp: there is no run " + r.id)
}

// with does something to the run.
func (r Run) with(do func(run *run, now stamp)) {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	do(r.record(), r.server.now())
}

// ID of the run.
func (r Run) ID() string { return r.id }

// State in Kubeflow Pipelines' words.
func (r Run) State() (state string) {
	r.with(func(run *run, _ stamp) { state = run.State })
	return state
}

func (r Run) history() (history []change) {
	r.with(func(run *run, _ stamp) { history = slices.Clone(run.History) })
	return history
}

// Parameters that it was created with.
func (r Run) Parameters() (parameters map[string]any) {
	r.with(func(run *run, _ stamp) { parameters = run.Config.Parameters })
	return parameters
}

// Version is the id of the version that it is of.
func (r Run) Version() (id string) {
	r.with(func(run *run, _ stamp) { id = run.Reference.VersionID })
	return id
}

// Go has it RUNNING, with its first step.
func (r Run) Go() { r.with(func(run *run, now stamp) { run.goOn(now) }) }

// Become gives it any state, such as PAUSED, SKIPPED or one that nobody knows.
func (r Run) Become(state string) { r.with(func(run *run, now stamp) { run.become(state, now) }) }

// Succeed ends it well.
func (r Run) Succeed() {
	r.with(func(run *run, now stamp) {
		run.step("train", "SUCCEEDED", now, nil)
		run.end("SUCCEEDED", now)
	})
}

// Fail ends it at a step. Kubeflow Pipelines says no more of it than that it failed.
func (r Run) Fail(step string) { r.with(func(run *run, now stamp) { run.fail(step, "", now) }) }

// FailSaying ends it at a step with a message, which the API has a field for.
func (r Run) FailSaying(step, message string) {
	r.with(func(run *run, now stamp) { run.fail(step, message, now) })
}

// Stopped ends a run that was terminated: its pods are gone. The workflow below it has failed, and
// so has the run.
func (r Run) Stopped() { r.with(func(run *run, now stamp) { run.end("FAILED", now) }) }

// Unseen removes from its history that it was terminated: the agent that reports the workflow was too
// late to see it.
func (r Run) Unseen() {
	r.with(func(run *run, _ stamp) {
		run.History = slices.DeleteFunc(run.History, func(c change) bool { return c.State == "CANCELING" })
	})
}

func (r *run) become(state string, now stamp) {
	r.State, r.changedAt = state, now
	r.History = append(r.History, change{At: now, State: state})
}

func (r *run) goOn(now stamp) {
	r.become("RUNNING", now)
	r.step("root", "RUNNING", now, nil)
	r.step("root-driver", "SUCCEEDED", now, nil)
	r.step("train", "RUNNING", now, nil)
}

// step says how a task is. One that has ended has failed or succeeded for good.
func (r *run) step(name, state string, now stamp, err *status) {
	if r.Details == nil {
		r.Details = &details{}
	}
	at := slices.IndexFunc(r.Details.Tasks, func(t task) bool { return t.Name == name })
	if at < 0 {
		at = len(r.Details.Tasks)
		r.Details.Tasks = append(r.Details.Tasks, task{RunID: r.ID, TaskID: newID(), Name: name, CreatedAt: now, StartedAt: now})
	}
	t := &r.Details.Tasks[at]
	t.State, t.Error = state, err
	if state == "SUCCEEDED" || state == "FAILED" {
		t.EndedAt = now
	}
}

// fail has the step fail, and the container in it, and the graph around it, as the workflow's nodes do.
func (r *run) fail(step, message string, now stamp) {
	var err *status
	if message != "" {
		err = &status{Code: 2, Message: message}
	}
	r.step("root", "FAILED", now, nil)
	r.step(step, "FAILED", now, err)
	r.step("executor", "FAILED", now, nil)
	r.end("FAILED", now)
}

func (r *run) end(state string, now stamp) {
	r.become(state, now)
	r.FinishedAt = now
}

// walk has runs go on by the clock. The server is locked.
func (s *Server) walk() {
	w := s.options.Walk
	if w == nil {
		return
	}
	for _, r := range s.runs {
		for r.next(*w, s.now()) {
		}
	}
}

// next has a run take a step if its time has come.
func (r *run) next(w Walk, now stamp) bool {
	due := func(after time.Duration) (stamp, bool) {
		at := r.changedAt + stamp(after/time.Second)
		return at, at <= now
	}
	switch r.State {
	case "PENDING":
		at, ready := due(w.Pending)
		if ready {
			r.goOn(at)
		}
		return ready
	case "RUNNING":
		at, ready := due(w.Running)
		switch {
		case ready && w.Fails != "":
			r.fail(w.Fails, "", at)
		case ready:
			r.step("train", "SUCCEEDED", at, nil)
			r.end("SUCCEEDED", at)
		}
		return ready
	case "CANCELING":
		at, ready := due(w.Pending)
		if ready {
			r.end("FAILED", at)
		}
		return ready
	}
	return false
}
