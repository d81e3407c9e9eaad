package artifact_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
)

// There is no real Google Cloud Storage and no real Azure here. These tests have the real SDKs
// speak with small servers that answer the few calls of a look as the services document them:
// they show that we open, list, read and tell versions apart as the SDKs want it, and not that
// the services agree.

// google answers for Google Cloud Storage: tokens, listings (JSON API) and objects (XML API).
func google(t *testing.T, files map[string]string) (artifact.Credentials, *asked) {
	t.Helper()
	log := &asked{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			log.add("token")
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"a-token","token_type":"Bearer","expires_in":3600}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer a-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/b/models/o") {
			log.add("list " + r.URL.Query().Get("prefix"))
			type item struct {
				Name, Generation, Size, Updated, Etag string
			}
			var items []item
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if strings.HasPrefix(name, r.URL.Query().Get("prefix")) {
					items = append(items, item{name, generation(files[name]), fmt.Sprint(len(files[name])), "2026-01-02T03:04:05Z", "e"})
				}
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "storage#objects", "items": items})
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/models/")
		content, ok := files[name]
		if !ok || r.URL.Query().Get("generation") != generation(content) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		log.add("read " + name)
		w.Header().Set("X-Goog-Generation", generation(content))
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	account := must(json.Marshal(map[string]string{
		"type": "service_account", "client_email": "sluice@example.com", "private_key_id": "1", "token_uri": server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	}))
	return artifact.Credentials{Data: map[string][]byte{"gcloud-application-credentials.json": account}}, log
}

// generation is a number that changes with the content.
func generation(content string) string { return fmt.Sprint(1000 + len(content)) }

func TestGoogle(t *testing.T) {
	model := map[string]string{"a.bin": "weights", "b/c.bin": "more weights"}
	stored := below("fraud/v8/", model)
	stored["fraud/v80/x"] = "another"
	c, log := google(t, stored)
	i, a := newInspector(), v1alpha1.Artifact{URI: "gs://models/fraud/v8/", Digest: digestOfAll(model)}
	status, err := i.Inspect(t.Context(), a, c, nil)
	if err != nil || !status.Verified || status.Files != 2 {
		t.Fatalf("found %+v, %v", status, err)
	}
	if got, want := slices.Sorted(slices.Values(log.take())), []string{"list fraud/v8/", "read fraud/v8/a.bin", "read fraud/v8/b/c.bin", "token"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	stored["fraud/v8/a.bin"] = "changed weights"
	_, err = i.Inspect(t.Context(), a, c, &status)
	failsWith(t, err, artifact.Mismatch, "it is not what was registered")
	if got, want := slices.Sorted(slices.Values(log.take())), []string{"list fraud/v8/", "read fraud/v8/a.bin", "token"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	found, err := i.Digest(t.Context(), "gs://models/fraud/v8/b/c.bin", c)
	if err != nil || found.Digest != digestOf("more weights") || found.Files != 1 {
		t.Errorf("one object: %+v, %v", found, err)
	}
	_, err = i.Digest(t.Context(), "gs://models/fraud/v9/", c)
	failsWith(t, err, artifact.NotFound, "there is nothing below it")
	_, err = i.Digest(t.Context(), "gs://nowhere/fraud/v8/", c)
	failsWith(t, err, artifact.NotFound, "gs://nowhere/fraud/v8/: there is nothing below it")
}

func TestGoogleCredentials(t *testing.T) {
	for name, content := range map[string]string{
		"none":    "",
		"garbage": "{",
		// These would have us read files and run programs.
		"file":    `{"type":"external_account","audience":"x","subject_token_type":"y","token_url":"http://127.0.0.1:1/","credential_source":{"file":"/etc/passwd"}}`,
		"program": `{"type":"external_account","audience":"x","subject_token_type":"y","token_url":"http://127.0.0.1:1/","credential_source":{"executable":{"command":"/bin/true"}}}`,
	} {
		c := artifact.Credentials{Data: map[string][]byte{"gcloud-application-credentials.json": []byte(content)}}
		_, err := newInspector().Digest(t.Context(), "gs://models/v8/", c)
		if failsWith(t, err, artifact.Invalid, "the Secret has no key of a service account under gcloud-application-credentials.json"); t.Failed() {
			t.Log(name)
		}
	}
	c := artifact.Credentials{Data: map[string][]byte{"gcloud-application-credentials.json": []byte(`{"type":"service_account","private_key":"the-secret","token_uri":"http://127.0.0.1:1/"}`)}}
	_, err := newInspector().Digest(t.Context(), "gs://models/v8/", c)
	mustBeClean(t, err, "the-secret")
}

// azure answers for Azure Blob Storage: listings and blobs.
func azure(t *testing.T, files map[string]string) (artifact.Credentials, *asked) {
	t.Helper()
	log := &asked{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") {
			w.Header().Set("x-ms-error-code", "AuthenticationFailed")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if r.URL.Query().Get("comp") == "list" && r.URL.Path == "/account/models" {
			prefix := r.URL.Query().Get("prefix")
			log.add("list " + prefix)
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, `<?xml version="1.0"?><EnumerationResults><Blobs>`)
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if !strings.HasPrefix(name, prefix) {
					continue
				}
				kind := "file"
				if strings.HasSuffix(name, "directory") { // as where the account has real directories
					kind = "directory"
				}
				fmt.Fprintf(w, `<Blob><Name>%s</Name><Properties><Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified><Etag>0x%s</Etag><Content-Length>%d</Content-Length><ResourceType>%s</ResourceType></Properties></Blob>`,
					name, generation(files[name]), len(files[name]), kind)
			}
			fmt.Fprint(w, `</Blobs><NextMarker/></EnumerationResults>`)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/account/models/")
		content, ok := files[name]
		if !ok {
			w.Header().Set("x-ms-error-code", "ContainerNotFound")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		log.add("read " + name)
		w.Header().Set("ETag", `"0x`+generation(content)+`"`)
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	t.Cleanup(server.Close)
	return artifact.Credentials{Data: map[string][]byte{
		"AZURE_STORAGE_ACCESS_KEY": []byte("dGhlLXNlY3JldA=="), "AZURE_ACCOUNT_NAME": []byte("account"), "AZURE_SERVICE_URL": []byte(server.URL + "/account"),
	}}, log
}

func TestAzure(t *testing.T) {
	model := map[string]string{"a.bin": "weights", "b/c.bin": "more weights"}
	stored := below("fraud/v8/", model)
	stored["fraud/v8/a-directory"] = ""
	c, log := azure(t, stored)
	i, a := newInspector(), v1alpha1.Artifact{URI: "azblob://models/fraud/v8/", Digest: digestOfAll(model)}
	status, err := i.Inspect(t.Context(), a, c, nil)
	if err != nil || !status.Verified || status.Files != 2 {
		t.Fatalf("found %+v, %v", status, err)
	}
	if got, want := slices.Sorted(slices.Values(log.take())), []string{"list fraud/v8/", "read fraud/v8/a.bin", "read fraud/v8/b/c.bin"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	stored["fraud/v8/a.bin"] = "changed weights"
	_, err = i.Inspect(t.Context(), a, c, &status)
	failsWith(t, err, artifact.Mismatch, "it is not what was registered")
	if got, want := slices.Sorted(slices.Values(log.take())), []string{"list fraud/v8/", "read fraud/v8/a.bin"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	found, err := i.Digest(t.Context(), "azblob://models/fraud/v8/b/c.bin", c)
	if err != nil || found.Digest != digestOf("more weights") {
		t.Errorf("one object: %+v, %v", found, err)
	}
	_, err = i.Digest(t.Context(), "azblob://models/fraud/v9/", c)
	failsWith(t, err, artifact.NotFound, "there is nothing below it")
	_, err = i.Digest(t.Context(), "azblob://nowhere/fraud/v8/", c)
	failsWith(t, err, artifact.NotFound, "there is no bucket nowhere")
}

func TestAzureCredentials(t *testing.T) {
	secret := func(keys ...string) artifact.Credentials {
		c := artifact.Credentials{Data: map[string][]byte{"AZURE_ACCOUNT_NAME": []byte("account")}}
		for _, key := range keys {
			c.Data[key] = []byte("the!secret")
		}
		return c
	}
	for _, test := range []struct {
		uri  string
		c    artifact.Credentials
		says string
	}{
		{"azblob://models/v8/", artifact.Credentials{}, "the account is not known: write the URI as https://ACCOUNT.blob.core.windows.net/models/v8"},
		{"azblob://models/v8/", secret(), "the Secret lacks credentials for Azure: add AZURE_STORAGE_ACCESS_KEY, or AZURE_TENANT_ID"},
		{"https://account.blob.core.windows.net/models/v8/", secret("AZURE_CLIENT_ID", "AZURE_TENANT_ID"), "the Secret lacks credentials for Azure"},
		{"azblob://models/v8/", secret("AZURE_STORAGE_ACCESS_KEY"), "AZURE_STORAGE_ACCESS_KEY of the Secret is no key of an account"},
	} {
		_, err := newInspector().Digest(t.Context(), test.uri, test.c)
		mustBeClean(t, err, "the!secret")
		failsWith(t, err, artifact.Invalid, test.says)
	}
}
