package kfp

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// upload creates a pipeline, and a version of the same name.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.uploaded(w, r, "Failed to create a pipeline and a pipeline version", func(user string, content []byte) (any, error) {
		namespace := s.namespace(query.Get("namespace"))
		if err := s.authorize(user, "create", "pipelines", namespace); err != nil {
			return nil, fail(invalidArgument, "Failed to create a pipeline")
		}
		if _, err := compile(content); err != nil {
			return nil, err
		}
		name := either(query.Get("name"), query.Get("display_name"))
		p, err := s.newPipeline(name, either(query.Get("display_name"), name), query.Get("description"), namespace)
		if err != nil {
			return nil, err
		}
		_, err = s.newVersion(p, name, p.DisplayName, p.Description, content)
		return p, err
	})
}

// uploadVersion creates a version of a pipeline.
func (s *Server) uploadVersion(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	const refused = "Failed to create a pipeline version"
	s.uploaded(w, r, refused, func(user string, content []byte) (any, error) {
		p, err := s.pipeline(query.Get("pipelineid"), "create", user)
		if err != nil {
			return nil, fail(invalidArgument, refused) // whatever the reason is
		}
		name := either(query.Get("name"), query.Get("display_name"))
		switch {
		case name == "":
			return nil, fail(invalidArgument, "pipeline version's name cannot be empty")
		case len(name) > 127:
			return nil, fail(invalidArgument, "PipelineVersion.Name length cannot exceed 127")
		}
		return s.newVersion(p, name, query.Get("display_name"), query.Get("description"), content)
	})
}

// uploaded takes the file of a multipart body. Who has no token is told as little as who has no right.
func (s *Server) uploaded(w http.ResponseWriter, r *http.Request, refused string, create func(user string, content []byte) (any, error)) {
	file, header, err := r.FormFile("uploadfile")
	if err != nil {
		refuseUpload(w, http.StatusBadRequest, "Failed to read pipeline from file")
		return
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, 32<<20+1))
	if name := strings.ToLower(header.Filename); err != nil || len(content) > 32<<20 || !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml") && !strings.HasSuffix(name, ".json") {
		refuseUpload(w, http.StatusBadRequest, "Failed to read a pipeline spec file")
		return
	}
	user, err := s.user(r)
	if err != nil {
		refuseUpload(w, http.StatusBadRequest, refused)
		return
	}
	s.mu.Lock()
	message, err := create(user, content)
	data := encode(message)
	s.mu.Unlock()
	f, failed := errors.AsType[*failure](err)
	switch {
	case !failed:
		reply(w, http.StatusOK, data)
	case f.code == invalidArgument:
		refuseUpload(w, http.StatusBadRequest, f.external)
	default:
		refuseUpload(w, statuses[f.code], refused)
	}
}
