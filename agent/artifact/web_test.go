package artifact_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
)

// files is a file server over TLS, with what has to be known to trust it.
func files(t *testing.T, handler http.HandlerFunc) (url string, c artifact.Credentials, methods *asked) {
	t.Helper()
	methods = &asked{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods.add(r.Method)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return server.URL, artifact.Credentials{Data: map[string][]byte{"ca.crt": ca}}, methods
}

func TestWeb(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	content := strings.Repeat("weights", 1000)
	serve := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", at, strings.NewReader(content))
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		methods string // of three looks: a new one, one that knows, and one at another content
	}{
		"Last-Modified": {serve, "HEAD GET HEAD HEAD GET"},
		"ETag": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `W/"`+digestOf(content)+`"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		}, "HEAD GET HEAD HEAD GET"},
		"no HEAD": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			serve(w, r)
		}, "HEAD GET GET HEAD GET HEAD GET GET"},
		"no version": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		}, "HEAD GET HEAD GET HEAD GET"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v8/model.bin" {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			}
			serve(w, r)
		}, "HEAD HEAD GET GET HEAD HEAD HEAD HEAD GET GET"},
	} {
		t.Run(name, func(t *testing.T) {
			at, content = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), strings.Repeat("weights", 1000)
			url, c, methods := files(t, test.handler)
			i, a := newInspector(), v1alpha1.Artifact{URI: url + "/v8/model.bin"}
			status, err := i.Inspect(t.Context(), a, c, nil)
			if err != nil || !status.Verified || status.Digest != digestOf(content) || status.Size != 7000 || status.Files != 1 {
				t.Errorf("found %+v, %v", status, err)
			}
			if _, err := i.Inspect(t.Context(), a, c, &status); err != nil {
				t.Error(err)
			}
			at, content = at.Add(time.Second), strings.Repeat("changed", 1000)
			_, err = i.Inspect(t.Context(), a, c, &status)
			failsWith(t, err, artifact.Mismatch, "its digest is "+digestOf(content))
			if got := strings.Join(methods.take(), " "); got != test.methods {
				t.Errorf("it asked %s, want %s", got, test.methods)
			}
		})
	}
}

func TestWebGoesOnWhereItBroke(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	var reads atomic.Int64
	url, c, _ := files(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && reads.Add(1) == 1 {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write([]byte(content[:400_000]))
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodGet && r.Header.Get("Range") == "" {
			t.Errorf("read %d begins anew", reads.Load())
		}
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	})
	status, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: url + "/m"}, c, nil)
	if err != nil || status.Digest != digestOf(content) {
		t.Errorf("found %+v, %v", status, err)
	}
}

func TestWebRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		kind    artifact.Kind
		says    string
	}{
		"404": {http.NotFound, artifact.NotFound, "there is no file: check the URI"},
		"403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, artifact.Forbidden, "the server does not let it be read (403): https:// is for files that anybody may read"},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, artifact.Unavailable, "the store has trouble (500)"},
		"plain": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1/", http.StatusFound)
		}, artifact.Invalid, "sends us in circles, or to where nothing is encrypted (302)"},
		"circle": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, artifact.Invalid, "sends us in circles"},
		"no length": {func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write([]byte("x"))
		}, artifact.Invalid, "the server does not say how long the file is: serve it with a Content-Length"},
	} {
		t.Run(name, func(t *testing.T) {
			url, c, _ := files(t, test.handler)
			_, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: url + "/m"}, c, nil)
			failsWith(t, err, test.kind, test.says)
		})
	}
	url, _, _ := files(t, http.NotFound)
	_, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: url + "/m"}, artifact.Credentials{}, nil)
	failsWith(t, err, artifact.Invalid, "the certificate of the store cannot be trusted")
}
