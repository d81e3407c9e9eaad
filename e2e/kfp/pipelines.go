package kfp

import (
	"encoding/json"
	"net/http"
	"strings"
)

type pipeline struct {
	ID          string `json:"pipeline_id"`
	DisplayName string `json:"display_name"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	CreatedAt   stamp  `json:"created_at"`
	Namespace   string `json:"namespace,omitempty"`
	native      bool
}

type version struct {
	PipelineID  string          `json:"pipeline_id"`
	ID          string          `json:"pipeline_version_id"`
	DisplayName string          `json:"display_name"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	CreatedAt   stamp           `json:"created_at"`
	Spec        json.RawMessage `json:"pipeline_spec"`
	compiled    compiled
	native      bool
}

func (p *pipeline) key() (stamp, string) { return p.CreatedAt, p.ID }
func (v *version) key() (stamp, string)  { return v.CreatedAt, v.ID }

var pipelineFields = fields[*pipeline]{
	"name":         func(p *pipeline) string { return p.Name },
	"display_name": func(p *pipeline) string { return p.DisplayName },
	"pipeline_id":  func(p *pipeline) string { return p.ID },
	"namespace":    func(p *pipeline) string { return p.Namespace },
}

var versionFields = fields[*version]{
	"name":                func(v *version) string { return v.Name },
	"display_name":        func(v *version) string { return v.DisplayName },
	"pipeline_version_id": func(v *version) string { return v.ID },
}

func (s *Server) createPipeline(r *http.Request, user string) (any, error) {
	var asked struct {
		Name        string `json:"name"`
		DisplayName string `json:"display_name"`
		Description string `json:"description"`
		Namespace   string `json:"namespace"`
	}
	if err := read(r, &asked); err != nil {
		return nil, err
	}
	namespace := s.namespace(asked.Namespace)
	name, display := either(asked.Name, asked.DisplayName), either(asked.DisplayName, asked.Name)
	switch {
	case name == "":
		return nil, fail(invalidArgument, "name is required")
	case len(name) > 128:
		return nil, hide(fail(invalidArgument, "Pipeline.Name length cannot exceed 128"), "Failed to convert API pipeline to model pipeline")
	}
	if err := s.authorize(user, "create", "pipelines", namespace); err != nil {
		return nil, wrap(err, "Failed to create a pipeline due to authorization error. Check if you have write permissions to namespace "+namespace)
	}
	return s.newPipeline(name, display, asked.Description, namespace)
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (s *Server) newPipeline(name, display, description, namespace string) (*pipeline, error) {
	for _, p := range s.pipelines {
		if strings.EqualFold(p.Name, name) && p.Namespace == namespace {
			return nil, fail(alreadyExists, "Failed to create a new pipeline. The name %v already exists. Please specify a new name", name)
		}
	}
	p := &pipeline{ID: newID(), Name: name, DisplayName: display, Description: description, Namespace: namespace, CreatedAt: s.now()}
	s.pipelines = append(s.pipelines, p)
	return p, nil
}

func (s *Server) newVersion(of *pipeline, name, display, description string, content []byte) (*version, error) {
	c, err := compile(content)
	if err != nil {
		return nil, err
	}
	for _, v := range s.versions {
		if v.PipelineID == of.ID && strings.EqualFold(v.Name, name) {
			return nil, fail(alreadyExists, "Failed to create a new pipeline version. The name %v already exists. Specify a new name", name)
		}
	}
	v := &version{PipelineID: of.ID, ID: newID(), Name: name, DisplayName: either(display, name), Description: description, CreatedAt: s.now(), Spec: c.document, compiled: c}
	s.versions = append(s.versions, v)
	return v, nil
}

func (s *Server) listPipelines(r *http.Request, user string) (any, error) {
	namespace := s.namespace(r.URL.Query().Get("namespace"))
	if err := s.authorize(user, "list", "pipelines", namespace); err != nil {
		return nil, err
	}
	if err := s.filterable(r); err != nil {
		return nil, wrap(err, "Failed to list pipelines")
	}
	var found []*pipeline
	for _, p := range s.pipelines {
		if p.Namespace == namespace {
			found = append(found, p)
		}
	}
	return list(r, "pipelines", found, pipelineFields)
}

// getOfPipeline answers /pipelines/names/{name} and /pipelines/{id}/versions.
func (s *Server) getOfPipeline(r *http.Request, user string) (any, error) {
	switch id, of := r.PathValue("id"), r.PathValue("of"); {
	case id == "names":
		return s.pipelineByName(of, s.namespace(r.URL.Query().Get("namespace")), user)
	case of == "versions":
		return s.listVersions(r, id, user)
	}
	return nil, fail(notFound, "Not Found")
}

func (s *Server) pipelineByName(name, namespace, user string) (any, error) {
	if err := s.authorize(user, "get", "pipelines", namespace); err != nil {
		return nil, wrap(err, "Failed to fetch a pipeline due to authorization error. Check if you have read permission to namespace "+namespace)
	}
	for _, p := range s.pipelines {
		if strings.EqualFold(p.Name, name) && p.Namespace == namespace {
			return p, nil
		}
	}
	return nil, wrap(fail(notFound, "Namespace/Pipeline %s/%s not found", namespace, name), "Failed to get a pipeline with name "+name)
}

// pipeline is one that a user may do something to.
func (s *Server) pipeline(id, verb, user string) (*pipeline, error) {
	for _, p := range s.pipelines {
		if p.ID == id {
			return p, s.authorize(user, verb, "pipelines", p.Namespace)
		}
	}
	return nil, fail(notFound, "Pipeline %s not found", id)
}

func (s *Server) getPipeline(r *http.Request, user string) (any, error) {
	return s.pipeline(r.PathValue("id"), "get", user)
}

func (s *Server) deletePipeline(r *http.Request, user string) (any, error) {
	p, err := s.pipeline(r.PathValue("id"), "delete", user)
	if err != nil {
		return nil, err
	}
	for _, v := range s.versions {
		if v.PipelineID == p.ID && r.URL.Query().Get("cascade") != "true" {
			return nil, fail(invalidArgument, "Failed to delete pipeline with id %v as it has existing pipeline versions (e.g. %v). Set cascade=true to delete all versions", p.ID, v.ID)
		}
	}
	s.versions = without(s.versions, func(v *version) bool { return v.PipelineID == p.ID })
	s.pipelines = without(s.pipelines, func(q *pipeline) bool { return q == p })
	return struct{}{}, nil
}

// without is a new list: an old one may be on its way to a client.
func without[T any](items []T, gone func(T) bool) []T {
	var rest []T
	for _, item := range items {
		if !gone(item) {
			rest = append(rest, item)
		}
	}
	return rest
}

// createVersion wants a URL to fetch the package from, which must not lead to this machine.
func (s *Server) createVersion(r *http.Request, user string) (any, error) {
	var asked struct {
		PipelineID  string `json:"pipeline_id"`
		Name        string `json:"name"`
		DisplayName string `json:"display_name"`
		Description string `json:"description"`
		PackageURL  struct {
			PipelineURL string `json:"pipeline_url"`
		} `json:"package_url"`
	}
	if err := read(r, &asked); err != nil {
		return nil, err
	}
	if asked.PackageURL.PipelineURL == "" {
		return nil, fail(invalidArgument, "Failed to create a pipeline version. Package URL is empty")
	}
	if _, err := s.pipeline(r.PathValue("id"), "create", user); err != nil {
		return nil, err
	}
	return nil, fail(invalidArgument, "Pipeline URL validation failed")
}

func (s *Server) listVersions(r *http.Request, id, user string) (any, error) {
	if _, err := s.pipeline(id, "list", user); err != nil {
		return nil, wrap(err, "Failed to list pipeline versions due to error fetching the namespace for pipeline "+id)
	}
	if err := s.filterable(r); err != nil {
		return nil, wrap(err, "Failed to list pipeline versions")
	}
	var found []*version
	for _, v := range s.versions {
		if v.PipelineID == id {
			found = append(found, v)
		}
	}
	return list(r, "pipeline_versions", found, versionFields)
}

func (s *Server) getVersion(r *http.Request, user string) (any, error) {
	v, err := s.version(r.PathValue("v"))
	if err != nil {
		return nil, err
	}
	_, err = s.pipeline(v.PipelineID, "get", user)
	return v, err
}

func (s *Server) version(id string) (*version, error) {
	for _, v := range s.versions {
		if v.ID == id {
			return v, nil
		}
	}
	return nil, fail(notFound, "PipelineVersion %s not found", id)
}

func (s *Server) deleteVersion(r *http.Request, user string) (any, error) {
	v, err := s.version(r.PathValue("v"))
	if err != nil {
		return nil, err
	}
	if _, err := s.pipeline(v.PipelineID, "delete", user); err != nil {
		return nil, err
	}
	s.versions = without(s.versions, func(w *version) bool { return w == v })
	return struct{}{}, nil
}
