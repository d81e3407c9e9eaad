package main

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/objectstore"
)

// TestSignature is the example for a GET in Amazon's documentation of Signature Version 4.
func TestSignature(t *testing.T) {
	request, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Range", "bytes=0-9")
	s := storage{region: "us-east-1", accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	s.sign(request, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	want := "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," +
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if got := request.Header.Get("Authorization"); got != want {
		t.Errorf("have %s\nwant %s", got, want)
	}
}

func TestStorage(t *testing.T) {
	for _, c := range []struct {
		environment string
		want        storage
	}{
		{"", storage{endpoint: "https://s3.us-east-1.amazonaws.com", region: "us-east-1"}},
		{"AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_SESSION_TOKEN=c",
			storage{endpoint: "https://s3.eu-west-1.amazonaws.com", region: "eu-west-1", accessKey: "a", secretKey: "b", sessionToken: "c"}},
		{"AWS_DEFAULT_REGION=x AWS_ENDPOINT_URL=http://one", storage{endpoint: "http://one", region: "x"}},
		{"AWS_ENDPOINT_URL=http://one AWS_ENDPOINT_URL_S3=http://two", storage{endpoint: "http://two", region: "us-east-1"}},
	} {
		variables := map[string]string{}
		for _, v := range strings.Fields(c.environment) {
			name, value, _ := strings.Cut(v, "=")
			variables[name] = value
		}
		if got := bucketOf(func(name string) string { return variables[name] }); got != c.want {
			t.Errorf("%s: have %+v, want %+v", c.environment, got, c.want)
		}
	}
}

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
	const odd = "fräud + (1)/v=7 ~x/"
	for key, content := range map[string]string{
		"fraud/v7/model.json": `{"version": "v7", "weights": [1, 2]}`,
		odd + "model.json":    `{"version": "odd", "weights": [1]}`,
	} {
		if err := s3.Put(t.Context(), "models", key, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", s3.Endpoint+"/")
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	for uri, want := range map[string]string{
		"s3://models/fraud/v7/":           "v7",
		"s3://models/fraud/v7":            "v7",
		"s3://models/fraud/v7/model.json": "v7",
		"s3://models/" + odd:              "odd",
	} {
		if m, err := (source{uri: uri}).load(t.Context()); err != nil || m.Version != want {
			t.Errorf("%s: %+v, %v", uri, m, err)
		}
	}
	for uri, want := range map[string]string{
		"s3://models/fraud/v8/": "the object store answers 404 Not Found: ",
		"s3://nowhere/v8/":      "the object store answers 404 Not Found: ",
	} {
		if _, err := (source{uri: uri}).load(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	r := begin(t, "s3://models/fraud/v7/")
	if status, body := post(t, r.url+predictPath, `{"instances":[[1,1]]}`); status != 200 || body != `{"version":"v7","predictions":[3]}` {
		t.Errorf("%d %s", status, body)
	}
	for _, key := range []string{"wrong", ""} {
		t.Setenv("AWS_SECRET_ACCESS_KEY", key)
		if key == "" {
			t.Setenv("AWS_ACCESS_KEY_ID", "")
		}
		if _, err := (source{uri: "s3://models/fraud/v7/"}).load(t.Context()); err == nil || !strings.Contains(err.Error(), "the object store answers 403 Forbidden") {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
}
