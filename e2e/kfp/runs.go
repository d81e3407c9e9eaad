package kfp

import (
	"net/http"
)

type run struct {
	ExperimentID   string         `json:"experiment_id"`
	ID             string         `json:"run_id"`
	Name           string         `json:"display_name"`
	Storage        string         `json:"storage_state"`
	Description    string         `json:"description,omitempty"`
	Reference      *reference     `json:"pipeline_version_reference,omitempty"`
	Spec           map[string]any `json:"pipeline_spec,omitempty"`
	Config         *config        `json:"runtime_config,omitempty"`
	ServiceAccount string         `json:"service_account,omitempty"`
	CreatedAt      stamp          `json:"created_at"`
	ScheduledAt    stamp          `json:"scheduled_at"`
	FinishedAt     stamp          `json:"finished_at"`
	State          string         `json:"state,omitempty"`
	Details        *details       `json:"run_details,omitempty"`
	History        []change       `json:"state_history,omitempty"`
	namespace      string
	changedAt      stamp
}

type reference struct {
	PipelineID string `json:"pipeline_id"`
	VersionID  string `json:"pipeline_version_id,omitempty"`
}

type config struct {
	Parameters map[string]any `json:"parameters,omitempty"`
	Root       string         `json:"pipeline_root,omitempty"`
}

type details struct {
	Tasks []task `json:"task_details"`
}

type task struct {
	RunID     string   `json:"run_id"`
	TaskID    string   `json:"task_id"`
	Name      string   `json:"display_name"`
	CreatedAt stamp    `json:"create_time"`
	StartedAt stamp    `json:"start_time"`
	EndedAt   stamp    `json:"end_time"`
	State     string   `json:"state"`
	History   []change `json:"state_history,omitempty"`
	Error     *status  `json:"error,omitempty"`
}

type change struct {
	At    stamp   `json:"update_time"`
	State string  `json:"state"`
	Error *status `json:"error,omitempty"`
}

type status struct {
	Code    code   `json:"code"`
	Message string `json:"message"`
}

func (r *run) key() (stamp, string) { return r.CreatedAt, r.ID }

var runFields = fields[*run]{
	"name":          func(r *run) string { return r.Name },
	"display_name":  func(r *run) string { return r.Name },
	"run_id":        func(r *run) string { return r.ID },
	"experiment_id": func(r *run) string { return r.ExperimentID },
	"namespace":     func(r *run) string { return r.namespace },
	"state":         func(r *run) string { return r.State },
	"storage_state": func(r *run) string { return r.Storage },
}

// createRun makes a run each time it is asked to.
func (s *Server) createRun(r *http.Request, user string) (any, error) {
	var asked struct {
		ExperimentID   string         `json:"experiment_id"`
		Name           string         `json:"display_name"`
		Description    string         `json:"description"`
		Reference      *reference     `json:"pipeline_version_reference"`
		Spec           map[string]any `json:"pipeline_spec"`
		Config         *config        `json:"runtime_config"`
		ServiceAccount string         `json:"service_account"`
	}
	if err := read(r, &asked); err != nil {
		return nil, err
	}
	if asked.Name == "" {
		return nil, wrap(fail(invalidArgument, "The run name is empty. Please specify a valid name"), "Failed to create a run due to invalid name")
	}
	e, err := s.experimentOfRun(asked.ExperimentID)
	if err != nil {
		return nil, wrap(err, "Failed to create a run due to invalid experimentId and namespace combination")
	}
	if err := s.authorize(user, "create", "runs", e.Namespace); err != nil {
		return nil, wrap(err, "Failed to create a run due to authorization error. Check if you have write permissions to namespace "+e.Namespace)
	}
	if asked.Reference == nil || asked.Spec != nil {
		return nil, fail(invalidArgument, "runs are of versions of pipelines here")
	}
	c, err := s.compiledOf(asked.Reference)
	if err != nil {
		return nil, hide(err, "Failed to create a run due to error fetching manifest")
	}
	if asked.Config == nil {
		asked.Config = &config{}
	}
	if err := c.check(asked.Config.Parameters); err != nil {
		return nil, wrap(err, "Failed to create a new run: Failed to generate the ExecutionSpec: invalid pipeline job inputs")
	}
	now := s.now()
	made := &run{
		ExperimentID: e.ID, ID: newID(), Name: asked.Name, Storage: "AVAILABLE", Description: asked.Description, Reference: asked.Reference,
		Config: asked.Config, ServiceAccount: either(asked.ServiceAccount, "pipeline-runner"), CreatedAt: now, ScheduledAt: now, State: "PENDING",
		History: []change{{At: now, State: "PENDING"}}, namespace: e.Namespace, changedAt: now,
	}
	s.runs = append(s.runs, made)
	e.LastRunAt = now
	return made, nil
}

// compiledOf is the pipeline of a reference, and completes it: without a version the newest is meant.
func (s *Server) compiledOf(r *reference) (compiled, error) {
	if r.VersionID == "" {
		for _, v := range s.versions {
			if v.PipelineID == r.PipelineID {
				r.VersionID = v.ID
			}
		}
	}
	v, err := s.version(r.VersionID)
	if err != nil {
		return compiled{}, wrap(err, "Failed to fetch a pipeline version and its manifest from pipeline version "+r.VersionID)
	}
	if v.PipelineID != r.PipelineID {
		return compiled{}, fail(invalidArgument, "Pipeline version %v belongs to pipeline %v (not %v)", v.ID, v.PipelineID, r.PipelineID)
	}
	return v.compiled, nil
}

func (s *Server) listRuns(r *http.Request, user string) (any, error) {
	namespace, id := s.namespace(r.URL.Query().Get("namespace")), r.URL.Query().Get("experiment_id")
	if id != "" {
		e, err := s.experiment(id)
		if err != nil {
			return nil, wrap(err, "Failed to list runs due to error fetching namespace for experiment "+id+". Try filtering based on namespace")
		}
		namespace = e.Namespace
	}
	if s.options.MultiUser && namespace == "" {
		return nil, fail(invalidArgument, "A run cannot have an empty namespace in multi-user mode")
	}
	if err := s.authorize(user, "list", "runs", namespace); err != nil {
		return nil, wrap(err, "Failed to list runs due to authorization error. Check if you have permission to access namespace "+namespace)
	}
	var found []*run
	for _, run := range s.runs {
		if run.namespace == namespace && (id == "" || run.ExperimentID == id) {
			found = append(found, run)
		}
	}
	return list(r, "runs", found, runFields)
}

// runFor is one that a user may do something to.
func (s *Server) runFor(id, verb, user string) (*run, error) {
	for _, r := range s.runs {
		if r.ID == id {
			return r, s.authorize(user, verb, "runs", r.namespace)
		}
	}
	return nil, fail(notFound, "Run %s not found", id)
}

func (s *Server) getRun(r *http.Request, user string) (any, error) {
	run, err := s.runFor(r.PathValue("id"), "get", user)
	if err != nil {
		return nil, wrap(err, "Failed to get a run")
	}
	return run, nil
}

func (s *Server) deleteRun(r *http.Request, user string) (any, error) {
	gone, err := s.runFor(r.PathValue("id"), "delete", user)
	if err != nil {
		return nil, wrap(err, "Failed to delete a run")
	}
	s.runs = without(s.runs, func(other *run) bool { return other == gone })
	return struct{}{}, nil
}

func (s *Server) terminateRun(id, user string) (any, error) {
	run, err := s.runFor(id, "terminate", user)
	if err != nil {
		return nil, wrap(err, "Failed to terminate a run")
	}
	switch run.State {
	case "PENDING", "RUNNING", "PAUSED":
		run.become("CANCELING", s.now())
		return struct{}{}, nil
	}
	return nil, wrap(fail(invalidArgument, "Failed to terminate a run %s. Row not found", id), "Failed to terminate a run")
}
