package artifact_test

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
)

func TestCheck(t *testing.T) {
	for _, uri := range []string{
		"s3://models/fraud/v8/", "s3://models/fraud/v8/model.bin", "s3://models", "s3://models/", "s3://my.bucket-1/with space/ü",
		"gs://kfserving-examples/models/sklearn/1.0/model", "azblob://models/fraud/v8/",
		"https://account.blob.core.windows.net/models/fraud/v8/", "https://example.com/m.bin", "https://example.com:8443/a/b%20c.bin",
		"oci://registry.example.com/models/fraud:v8", "oci://registry.example.com:5000/models/fraud@sha256:" + strings.Repeat("a", 64),
		"pvc://claim/fraud/v8", "hf://org/model", "hf://org/model:main",
	} {
		if err := artifact.Check(uri); err != nil {
			t.Errorf("%s is refused: %v", uri, err)
		}
	}
	for _, test := range []struct{ uri, says string }{
		{"", "there is no URI"},
		{"models/fraud", "models/fraud: this is no kind of storage that is known"},
		{"/etc/passwd", "no kind of storage"},
		{"file:///etc/passwd", "no kind of storage"},
		{"http://example.com/m", "no kind of storage"},
		{"hdfs://a/b", "no kind of storage"},
		{"S3://models/m", "no kind of storage"},
		{"s3://", "names no bucket or host"},
		{"s3:///m", "names no bucket or host"},
		{"s3://models/../secrets/m", "s3://models/../secrets/m: the path has an element .."},
		{"s3://models/a/./m", "an element ."},
		{"s3://models/a//m", "an empty element"},
		{"s3://models//m", "an empty element"},
		{"s3://models/a/..", "an element .."},
		{"s3://mod els/a", "no name of a bucket"},
		{"s3://../a", "no name of a bucket"},
		{"s3://key:sec%2Fret@models/m", "s3://models/m: the URI must not have credentials"},
		{"s3://key:sec/ret@models/m", "s3://models/m: the URI must not have credentials"},
		{"https://user:secret@example.com/m", "https://example.com/m: the URI must not have credentials"},
		{"https://example.com/m?X-Amz-Signature=secret", "https://example.com/m: the URI has a query"},
		{"https://example.com/m#secret", "https://example.com/m: the URI has a query"},
		{"https://example.com/a/%2e%2e/m", "an element .."},
		{"https://example.com/", "ends"},
		{"https://example.com/models/", "https:// is for one file"},
		{"https://example.com/%zz", "this is no URL"},
		{"https://account.blob.core.windows.net/", "names no container"},
		{"s3://models/a\nb", "control characters"},
		{"s3://models/a\x00b", "control characters"},
		{"s3://models/\xff", "control characters"},
		{"oci://user:secret@registry.example.com/m@sha256:" + strings.Repeat("a", 64), "oci://registry.example.com/m@sha256:" + strings.Repeat("a", 64) + ": the URI must not have credentials"},
		{"oci://user:secret@registry.example.com/m:v8", "oci://registry.example.com/m:v8: the URI must not have credentials"},
		{"oci://registry.example.com/../m", "an element .."},
		{"pvc://claim/../x", "an element .."},
		{"s3://models/" + strings.Repeat("x", 2048), "longer than 2048 bytes"},
	} {
		err := artifact.Check(test.uri)
		if test.says == "ends" {
			test.says = "https:// is for one file"
		}
		mustBeClean(t, err, "secret@", "sec/ret", "sec%2Fret", "=secret", "#secret", "user:")
		failsWith(t, err, artifact.Invalid, test.says)
	}
}

// TestNotVerified: some kinds of storage are taken as they are.
func TestNotVerified(t *testing.T) {
	for _, uri := range []string{"pvc://claim/fraud/v8", "hf://org/model"} {
		status, err := newInspector().Inspect(t.Context(), v1alpha1.Artifact{URI: uri, Digest: digestOf("x")}, artifact.Credentials{}, nil)
		if err != nil || status != (v1alpha1.ArtifactStatus{}) || artifact.Verified(uri) {
			t.Errorf("%s: %+v, %v", uri, status, err)
		}
		_, err = newInspector().Digest(t.Context(), uri, artifact.Credentials{})
		failsWith(t, err, artifact.Invalid, ":// is not read")
	}
	if !artifact.Verified("s3://a/b") {
		t.Error("s3:// is not verified")
	}
}

func FuzzCheck(f *testing.F) {
	for _, uri := range []string{"s3://models/fraud/v8/", "https://u:p@host/x?y#z", "oci://a/b@sha256:00", "azblob://../..", "s3://a@b@c/d"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		err := artifact.Check(uri)
		if err == nil && strings.ContainsAny(uri, "\n\x00?#") {
			t.Errorf("%q is taken", uri)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Errorf("the error for %q has control characters", uri)
		}
	})
}
