package kfp

import (
	"net/http"
	"strings"
)

type experiment struct {
	ID          string `json:"experiment_id"`
	Name        string `json:"display_name"`
	Description string `json:"description,omitempty"`
	CreatedAt   stamp  `json:"created_at"`
	Namespace   string `json:"namespace,omitempty"`
	Storage     string `json:"storage_state"`
	LastRunAt   stamp  `json:"last_run_created_at"`
}

func (e *experiment) key() (stamp, string) { return e.CreatedAt, e.ID }

var experimentFields = fields[*experiment]{
	"name":          func(e *experiment) string { return e.Name },
	"display_name":  func(e *experiment) string { return e.Name },
	"experiment_id": func(e *experiment) string { return e.ID },
	"namespace":     func(e *experiment) string { return e.Namespace },
	"storage_state": func(e *experiment) string { return e.Storage },
}

func (s *Server) createExperiment(r *http.Request, user string) (any, error) {
	var asked struct {
		Name        string `json:"display_name"`
		Description string `json:"description"`
		Namespace   string `json:"namespace"`
	}
	if err := read(r, &asked); err != nil {
		return nil, err
	}
	namespace := s.namespace(asked.Namespace)
	switch {
	case asked.Name == "":
		return nil, wrap(fail(invalidArgument, "Experiment must have a non-empty name"), "Failed to create a experiment")
	case len(asked.Name) > 128:
		return nil, hide(fail(invalidArgument, "Experiment.Name length cannot exceed 128"), "Failed to convert API experiment to model experiment")
	}
	if err := s.authorize(user, "create", "experiments", namespace); err != nil {
		return nil, wrap(err, "Failed to create a experiment: Failed to authorize the request")
	}
	return s.newExperiment(asked.Name, asked.Description, namespace)
}

func (s *Server) newExperiment(name, description, namespace string) (*experiment, error) {
	for _, e := range s.experiments {
		if strings.EqualFold(e.Name, name) && e.Namespace == namespace {
			return nil, fail(alreadyExists, "Failed to create a new experiment. The name %v already exists. Please specify a new name", name)
		}
	}
	e := &experiment{ID: newID(), Name: name, Description: description, Namespace: namespace, CreatedAt: s.now(), Storage: "AVAILABLE"}
	s.experiments = append(s.experiments, e)
	return e, nil
}

func (s *Server) listExperiments(r *http.Request, user string) (any, error) {
	namespace := s.namespace(r.URL.Query().Get("namespace"))
	if err := s.authorize(user, "list", "experiments", namespace); err != nil {
		return nil, wrap(err, "Failed to authorize with API")
	}
	var found []*experiment
	for _, e := range s.experiments {
		if e.Namespace == namespace {
			found = append(found, e)
		}
	}
	return list(r, "experiments", found, experimentFields)
}

func (s *Server) getExperiment(r *http.Request, user string) (any, error) {
	e, err := s.experiment(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return e, s.authorize(user, "get", "experiments", e.Namespace)
}

func (s *Server) experiment(id string) (*experiment, error) {
	for _, e := range s.experiments {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, fail(notFound, "Experiment %s not found", id)
}

// experimentOfRun is the one that a run is created in: without a name the default one, which only
// single-user installs have.
func (s *Server) experimentOfRun(id string) (*experiment, error) {
	switch {
	case id != "":
		return s.experiment(id)
	case s.options.MultiUser:
		return nil, fail(invalidArgument, "Experiment id can not be empty in multi-user mode")
	}
	for _, e := range s.experiments {
		if e.Name == "Default" {
			return e, nil
		}
	}
	return s.newExperiment("Default", "All runs created without specifying an experiment will be grouped here.", "")
}

func (s *Server) now() stamp { return stamp(s.options.Now().Unix()) }
