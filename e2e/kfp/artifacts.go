package kfp

import (
	"net/http"
	"strings"
)

// readArtifact answers with the content in base64, and with errors of its own shape.
func (s *Server) readArtifact(w http.ResponseWriter, r *http.Request) {
	name, read := strings.CutSuffix(r.PathValue("artifact"), ":read")
	if !read {
		refuse(w, fail(notFound, "Not Found"))
		return
	}
	user, err := s.user(r)
	if err != nil {
		refuseUpload(w, http.StatusForbidden, "Failed to authorize the request: "+err.Error())
		return
	}
	s.mu.Lock()
	_, err = s.runFor(r.PathValue("run"), "readArtifact", user)
	content, found := s.artifacts[artifactKey(r.PathValue("run"), r.PathValue("node"), name)]
	s.mu.Unlock()
	switch {
	case err != nil && s.options.MultiUser:
		refuseUpload(w, http.StatusForbidden, "Failed to authorize the request: "+err.Error()) // also if there is no such run
	case err != nil:
		refuseUpload(w, http.StatusNotFound, "artifact not found: <nil>")
	case !found:
		refuseUpload(w, http.StatusInternalServerError, "Invalid input error: read artifact from run with v2 IR spec is not supported")
	default:
		reply(w, http.StatusOK, map[string][]byte{"data": content})
	}
}
