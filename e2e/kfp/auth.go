package kfp

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Token is one of a user, such as system:serviceaccount:fraud:trainer, for an hour and for the usual
// audience, or for others. Nothing signs it.
func Token(user string, audiences ...string) string {
	if len(audiences) == 0 {
		audiences = []string{DefaultAudience}
	}
	return write(claims{Subject: user, Audiences: audiences, Expires: time.Now().Add(time.Hour).Unix()})
}

// Expired is a token whose time is over.
func Expired(user string) string {
	return write(claims{Subject: user, Audiences: []string{DefaultAudience}, Expires: time.Now().Add(-time.Minute).Unix()})
}

type claims struct {
	Subject   string   `json:"sub"`
	Audiences []string `json:"aud"`
	Expires   int64    `json:"exp"`
}

func write(c claims) string {
	part := func(v any) string {
		data, _ := json.Marshal(v) // texts and numbers always can be
		return base64.RawURLEncoding.EncodeToString(data)
	}
	return part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + part(c) + ".unsigned"
}

// mesh stands before the server as the mesh of the distribution does: only its own gateway says who
// somebody is by a header.
func (s *Server) mesh(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("kubeflow-userid") != "" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "RBAC: access denied")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// user says who asks. In single-user mode that is nobody, and nobody looks at a token.
func (s *Server) user(r *http.Request) (string, error) {
	if !s.options.MultiUser {
		return "", nil
	}
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return "", fail(unauthenticated, "Failed to check authorization. User identity is empty in the request header")
	}
	c, ok := readClaims(token)
	switch {
	case !ok || c.Subject == "":
		return "", fail(unauthenticated, "Review.Status.Authenticated is false. Error invalid bearer token")
	case c.Expires < time.Now().Unix():
		return "", fail(unauthenticated, "Review.Status.Authenticated is false. Error token has expired")
	case !slices.Contains(c.Audiences, s.options.Audience):
		return "", fail(unauthenticated, "Review.Status.Authenticated is false. Error token audiences %q is invalid for the target audiences [%q]", c.Audiences, s.options.Audience)
	}
	return c.Subject, nil
}

func readClaims(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(data, &c) == nil
}

// authorize says whether a user may. Single-user installs let everybody.
func (s *Server) authorize(user, verb, resource, namespace string) error {
	switch {
	case !s.options.MultiUser:
		return nil
	case namespace == "" && resource != "pipelines": // those without a namespace are for all
		return fail(invalidArgument, "A %s cannot have an empty namespace in multi-user mode", strings.TrimSuffix(resource, "s"))
	case s.options.May(user, verb, resource, namespace):
		return nil
	}
	return fail(permissionDenied, "User '%s' is not authorized with reason:  (request: &ResourceAttributes{Namespace:%s,Verb:%s,Group:pipelines.kubeflow.org,Version:v1beta1,Resource:%s,})", user, namespace, verb, resource)
}

// namespace is the one that counts: single-user installs know none.
func (s *Server) namespace(asked string) string {
	if !s.options.MultiUser {
		return ""
	}
	return asked
}
