package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// TestObjectStore loads models from a real S3 server.
func TestObjectStore(t *testing.T) {
	s3, err := objectstore.Start(t.Context(), objectstore.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s3.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s3.CreateBucket(t.Context(), "models"); err != nil {
		t.Fatal(err)
	}
	if err := s3.Put(t.Context(), "models", "fraud/v7/model.json", strings.NewReader(`{"version": "v7", "weights": [1, 2]}`)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", s3.Endpoint+"/")
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	for _, uri := range []string{"s3://models/fraud/v7/", "s3://models/fraud/v7", "s3://models/fraud/v7/model.json"} {
		if m, err := (source{uri: uri}).load(t.Context()); err != nil || m.Version != "v7" {
			t.Errorf("%s: %+v, %v", uri, m, err)
		}
	}
	for uri, want := range map[string]string{
		"s3://models/fraud/v8/": "the object store answers 404 Not Found: ",
		"s3:///fraud/v8/":       "write s3://bucket/key",
	} {
		if _, err := (source{uri: uri}).load(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	r := begin(t, "s3://models/fraud/v7/")
	if status, body := post(t, r.url+predictPath, `{"instances":[[1,1]]}`); status != 200 || body != `{"version":"v7","predictions":[3]}` {
		t.Errorf("%d %s", status, body)
	}
}
