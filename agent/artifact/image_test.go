package artifact_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
)

// newRegistry is a registry in this process, for those who know the password, if there is one.
func newRegistry(t *testing.T, password string) (host string, requests *asked) {
	t.Helper()
	requests = &asked{}
	handler := registry.New(registry.Logger(silent()))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); password != "" && got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path != "/v2/" {
			requests.add(r.Method)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), requests
}

// silent keeps the registry from talking.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

func sizeOfLayers(t *testing.T, image v1.Image) (size int64) {
	t.Helper()
	for _, layer := range must(image.Layers()) {
		size += must(layer.Size())
	}
	return size
}

func TestImage(t *testing.T) {
	host, requests := newRegistry(t, "")
	image := must(random.Image(1000, 3))
	reference := must(name.ParseReference(host + "/models/fraud:v8"))
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	digest := must(image.Digest()).String()
	requests.take()
	i := newInspector()
	want := v1alpha1.ArtifactStatus{Verified: true, Digest: digest, Size: sizeOfLayers(t, image), Files: 3, Fingerprint: strings.TrimPrefix(digest, "sha256:")}
	for _, uri := range []string{"oci://" + host + "/models/fraud:v8", "oci://" + host + "/models/fraud@" + digest} {
		status, err := i.Inspect(t.Context(), v1alpha1.Artifact{URI: uri, Digest: digest, Size: &want.Size}, artifact.Credentials{}, nil)
		if err != nil || status != want {
			t.Errorf("%s: %+v, %v, want %+v", uri, status, err, want)
		}
	}
	if got := strings.Join(requests.take(), " "); got != "GET GET" {
		t.Errorf("two looks ask %s, want each for the manifest only", got)
	}

	// The tag moves on.
	known := want
	if err := remote.Write(reference, must(random.Image(1000, 1))); err != nil {
		t.Fatal(err)
	}
	_, err := i.Inspect(t.Context(), v1alpha1.Artifact{URI: "oci://" + host + "/models/fraud:v8", Digest: digest}, artifact.Credentials{}, nil)
	failsWith(t, err, artifact.Mismatch, "and the ModelVersion says "+digest)
	status, err := i.Inspect(t.Context(), v1alpha1.Artifact{URI: "oci://" + host + "/models/fraud:v8"}, artifact.Credentials{}, &known)
	failsWith(t, err, artifact.Mismatch, "and it was "+digest+" when it was first read")
	if status.Digest != digest {
		t.Errorf("%s is known, want %s", status.Digest, digest)
	}
	_, err = i.Inspect(t.Context(), v1alpha1.Artifact{URI: "oci://" + host + "/models/fraud@" + digest, Size: new(int64(1))}, artifact.Credentials{}, nil)
	failsWith(t, err, artifact.Mismatch, "and the ModelVersion says 1")

	for uri, test := range map[string]struct {
		kind artifact.Kind
		says string
	}{
		"oci://" + host + "/models/fraud:v9":                                 {artifact.NotFound, "there is no image: check the URI"},
		"oci://" + host + "/models/fraud@sha256:" + strings.Repeat("0", 64):  {artifact.NotFound, "there is no image"},
		"oci://" + host + "/UPPER":                                           {artifact.Invalid, "this is no reference to an image"},
		"oci://" + host + "/models/fraud@sha512:" + strings.Repeat("0", 128): {artifact.NotFound, "there is no image"},
		"oci://127.0.0.1:1/models/fraud:v8":                                  {artifact.Unavailable, "the store cannot be reached"},
	} {
		_, err := i.Inspect(t.Context(), v1alpha1.Artifact{URI: uri}, artifact.Credentials{}, nil)
		mustBeClean(t, err)
		failsWith(t, err, test.kind, test.says)
	}
}

func TestIndex(t *testing.T) {
	host, _ := newRegistry(t, "")
	one, two := must(random.Image(1000, 2)), must(random.Image(500, 1))
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{Add: two})
	if err := remote.WriteIndex(must(name.ParseReference(host+"/m:v1")), index); err != nil {
		t.Fatal(err)
	}
	status, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: "oci://" + host + "/m:v1"}, artifact.Credentials{}, nil)
	if err != nil || status.Digest != must(index.Digest()).String() || status.Files != 3 || status.Size != sizeOfLayers(t, one)+sizeOfLayers(t, two) {
		t.Errorf("found %+v, %v", status, err)
	}
	large := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for range 65 {
		large = mutate.AppendManifests(large, mutate.IndexAddendum{Add: two})
	}
	if err := remote.WriteIndex(must(name.ParseReference(host+"/m:large")), large); err != nil {
		t.Fatal(err)
	}
	_, err = newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: "oci://" + host + "/m:large"}, artifact.Credentials{}, nil)
	failsWith(t, err, artifact.TooLarge, "it is an index of 65 images")
}

func TestHostileRegistry(t *testing.T) {
	manifest := func(layers string) string {
		return `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"` + digestOf("{}") + `"},"layers":[` + layers + `]}`
	}
	layer := func(size string) string {
		return `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":` + size + `,"digest":"` + digestOf("x") + `"}`
	}
	for name, test := range map[string]struct {
		manifest string
		tag      string
		kind     artifact.Kind
		says     string
	}{
		"negative":     {manifest(layer("-1")), ":v1", artifact.Invalid, "its manifest says that a layer has -1 bytes: push it anew"},
		"overflow":     {manifest(layer("9223372036854775807") + "," + layer("1")), ":v1", artifact.Invalid, "its manifest says that a layer has 1 bytes"},
		"garbage":      {"<html>", ":v1", artifact.Unavailable, "makes no sense"},
		"other digest": {manifest(layer("1")), "@sha256:" + strings.Repeat("0", 64), artifact.Unavailable, "makes no sense"},
		"endless":      {"", ":v1", artifact.TooLarge, "the store answers with more than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				_, err := io.WriteString(w, test.manifest)
				for test.manifest == "" && err == nil {
					_, err = io.WriteString(w, strings.Repeat(" ", 1<<16))
				}
			}))
			defer server.Close()
			uri := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/m" + test.tag
			_, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: uri}, artifact.Credentials{}, nil)
			mustBeClean(t, err)
			failsWith(t, err, test.kind, test.says)
		})
	}
}

func TestImageLogin(t *testing.T) {
	host, _ := newRegistry(t, "hush")
	image := must(random.Image(100, 1))
	reference := must(name.ParseReference(host + "/models/fraud:v8"))
	secret := func(registry, password string) artifact.Credentials {
		auth := base64.StdEncoding.EncodeToString([]byte("ada:" + password))
		return artifact.Credentials{Data: map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"auth":%q},"other.example.com":{"auth":"eDp5"}}}`, registry, auth)}}
	}
	if err := remote.Write(reference, image, remote.WithAuth(&authn.Basic{Username: "ada", Password: "hush"})); err != nil {
		t.Fatal(err)
	}
	a := v1alpha1.Artifact{URI: "oci://" + host + "/models/fraud:v8"}
	for _, key := range []string{host, "https://" + host, "http://" + host + "/v2/", host + "/models", host + "/models/fraud"} {
		if _, err := newInspector().Inspect(t.Context(), a, secret(key, "hush"), nil); err != nil {
			t.Errorf("a login for %s: %v", key, err)
		}
	}
	for key, password := range map[string]string{host: "wrong", host + "/mod": "hush", "example.com": "hush"} {
		_, err := newInspector().Inspect(t.Context(), a, secret(key, password), nil)
		mustBeClean(t, err, "hush", "wrong", base64.StdEncoding.EncodeToString([]byte("ada:"+password)))
		failsWith(t, err, artifact.Forbidden, "the store does not let it be read with the credentials given (401)")
	}
	_, err := newInspector().Inspect(t.Context(), a, artifact.Credentials{}, nil)
	failsWith(t, err, artifact.Forbidden, "the store does not let it be read with the identity that this process has (401)")
	_, err = newInspector().Inspect(t.Context(), a, artifact.Credentials{Data: map[string][]byte{"AWS_ACCESS_KEY_ID": []byte("x")}}, nil)
	failsWith(t, err, artifact.Invalid, "the Secret has no logins for registries under .dockerconfigjson")
}
