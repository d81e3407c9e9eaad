package registration_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/registration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// spec is a ModelVersion with everything in it.
func spec() v1alpha1.ModelVersionSpec {
	return v1alpha1.ModelVersionSpec{
		Model: "fraud", Version: "V9_rc.1",
		Artifact: v1alpha1.Artifact{URI: "s3://models/fraud/v9/", Digest: "sha256:" + strings.Repeat("0a", 32), Size: new(int64(12)), SecretRef: &meta.LocalObjectReference{Name: "models-s3"}},
		Format:   v1alpha1.ModelFormat{Name: "sklearn", Version: "1.10"},
		Metrics:  map[string]v1alpha1.Metric{"auc": "0.9410", "loss": "1e-05"},
		Lineage:  v1alpha1.Lineage{Run: "weekly-20260105-0300", Pipeline: "fraud-train:12", Dataset: "s3://data/fraud/2026-01", Commit: "4e10", TrainedAt: &metav1.Time{Time: time.Date(2026, 1, 8, 3, 41, 0, 0, time.UTC)}},
	}
}

func TestName(t *testing.T) {
	if got := registration.Name("fraud", "V9_rc.1"); got != "fraud-v9-rc.1" {
		t.Errorf("the name is %s", got)
	}
}

// TestManifest: what is written is read again as what it was, and the same each time.
func TestManifest(t *testing.T) {
	s := spec()
	s.Lineage.Dataset = "yes: #no 💾 <\"&'"
	for name, write := range map[string]func(string, v1alpha1.ModelVersionSpec) ([]byte, error){"JSON": registration.JSON, "YAML": registration.YAML} {
		text, err := write("ml", s)
		if err != nil {
			t.Fatal(err)
		}
		var v v1alpha1.ModelVersion
		if err := yaml.UnmarshalStrict(text, &v); err != nil {
			t.Fatal(err)
		}
		v.Spec.Lineage.TrainedAt = &metav1.Time{Time: v.Spec.Lineage.TrainedAt.UTC()}
		if v.Kind != "ModelVersion" || v.APIVersion != "sluice.dev/v1alpha1" || v.Name != "fraud-v9-rc.1" || v.Namespace != "ml" || !reflect.DeepEqual(v.Spec, s) {
			t.Errorf("%s: %s\nis read as %+v", name, text, v)
		}
		if again, err := write("ml", s); err != nil || string(again) != string(text) {
			t.Errorf("%s: written twice, it is another: %s", name, again)
		}
		if strings.Contains(string(text), "status") || !strings.HasSuffix(string(text), "\n") {
			t.Errorf("%s: %s", name, text)
		}
	}
	text, err := registration.YAML("", spec())
	want := `apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-v9-rc.1
spec:
  model: fraud
  version: V9_rc.1
  artifact:
    uri: s3://models/fraud/v9/
    digest: sha256:` + strings.Repeat("0a", 32) + `
    size: 12
    secretRef:
      name: models-s3
  format:
    name: sklearn
    version: "1.10"
  metrics:
    auc: "0.9410"
    loss: "1e-05"
  lineage:
    run: weekly-20260105-0300
    pipeline: fraud-train:12
    dataset: s3://data/fraud/2026-01
    commit: "4e10"
    trainedAt: "2026-01-08T03:41:00Z"
`
	if err != nil || string(text) != want {
		t.Errorf("%v, written\n%s\nwant\n%s", err, text, want)
	}
	if json, err := registration.JSON("", spec()); err != nil || !valid(json) {
		t.Errorf("%s, %v", json, err)
	}
}

func valid(text []byte) bool { return json.Valid(text) }

func TestCheck(t *testing.T) {
	if err := registration.Check(spec()); err != nil {
		t.Error(err)
	}
	long := func(n int) string { return strings.Repeat("é", n) }
	for name, test := range map[string]struct {
		change func(*v1alpha1.ModelVersionSpec)
		says   string // empty where it is good
	}{
		"longest model":    {func(s *v1alpha1.ModelVersionSpec) { s.Model = strings.Repeat("m", 48) }, ""},
		"longer model":     {func(s *v1alpha1.ModelVersionSpec) { s.Model = strings.Repeat("m", 49) }, "is no name of a Model: use at most 48"},
		"upper-case model": {func(s *v1alpha1.ModelVersionSpec) { s.Model = "Fraud" }, `"Fraud" is no name of a Model`},
		"longest version":  {func(s *v1alpha1.ModelVersionSpec) { s.Version = strings.Repeat("v", 63) }, ""},
		"longer version":   {func(s *v1alpha1.ModelVersionSpec) { s.Version = strings.Repeat("v", 64) }, "is no name of a version: use at most 63"},
		"no version":       {func(s *v1alpha1.ModelVersionSpec) { s.Version = "" }, `"" is no name of a version`},
		"slash":            {func(s *v1alpha1.ModelVersionSpec) { s.Version = "v9/x" }, `"v9/x" is no name of a version: use at most 63 letters`},
		"spaces":           {func(s *v1alpha1.ModelVersionSpec) { s.Version = "v 9" }, "is no name of a version"},
		"template":         {func(s *v1alpha1.ModelVersionSpec) { s.Version = "{{ .Slot }}" }, "is no name of a version"},
		"newline":          {func(s *v1alpha1.ModelVersionSpec) { s.Version = "v9\n" }, "is no name of a version"},
		"dots":             {func(s *v1alpha1.ModelVersionSpec) { s.Version = "1..2" }, "no object can be named fraud-1..2: put letters and digits between dots"},
		"dash and dot":     {func(s *v1alpha1.ModelVersionSpec) { s.Version = "1-.2" }, "no object can be named fraud-1-.2"},
		"no URI":           {func(s *v1alpha1.ModelVersionSpec) { s.Artifact.URI = "" }, "there is no URI of the artifact"},
		"no digest":        {func(s *v1alpha1.ModelVersionSpec) { s.Artifact.Digest, s.Artifact.Size = "", nil }, ""},
		"digest":           {func(s *v1alpha1.ModelVersionSpec) { s.Artifact.Digest = "sha256:ABC" }, `the digest is "sha256:ABC": write sha256: and 64`},
		"size":             {func(s *v1alpha1.ModelVersionSpec) { s.Artifact.Size = new(int64(-1)) }, "the size is -1"},
		"metric":           {func(s *v1alpha1.ModelVersionSpec) { s.Metrics["auc"] = "NaN" }, `the metric auc is "NaN", which is no decimal number: write it as 0.941`},
		"format":           {func(s *v1alpha1.ModelVersionSpec) { s.Format.Name = long(64) }, "format.name has 64 characters: write it in at most 63"},
		"longest format":   {func(s *v1alpha1.ModelVersionSpec) { s.Format.Version = long(63) }, ""},
		"run":              {func(s *v1alpha1.ModelVersionSpec) { s.Lineage.Run = long(254) }, "lineage.run has 254 characters"},
		"pipeline":         {func(s *v1alpha1.ModelVersionSpec) { s.Lineage.Pipeline = long(254) }, "lineage.pipeline has 254 characters"},
		"dataset":          {func(s *v1alpha1.ModelVersionSpec) { s.Lineage.Dataset = long(2049) }, "lineage.dataset has 2049 characters"},
		"commit":           {func(s *v1alpha1.ModelVersionSpec) { s.Lineage.Commit = "a\nb" }, "lineage.commit has control characters"},
		"encoding":         {func(s *v1alpha1.ModelVersionSpec) { s.Lineage.Commit = "\xff" }, "lineage.commit has control characters or is not UTF-8"},
	} {
		s := spec()
		test.change(&s)
		says(t, name, registration.Check(s), test.says)
	}
}

func says(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %s", name, err, want)
	}
}

func TestMetrics(t *testing.T) {
	got, err := registration.Metrics(map[string]string{"auc": "0.9410", "loss": "1e-05", "ünïcode": "-12"})
	if err != nil || !reflect.DeepEqual(got, map[string]v1alpha1.Metric{"auc": "0.9410", "loss": "1e-05", "ünïcode": "-12"}) {
		t.Errorf("%v, %v", got, err)
	}
	many := map[string]string{}
	for n := range 129 {
		many[fmt.Sprint("m", n)] = "1"
	}
	for name, test := range map[string]struct {
		texts map[string]string
		says  string
	}{
		"infinity":   {map[string]string{"a": "1", "b": "-Infinity"}, `the metric b is "-Infinity", which is no decimal number`},
		"empty":      {map[string]string{"a": ""}, `the metric a is "", which is no decimal number`},
		"word":       {map[string]string{"a": "good"}, `the metric a is "good"`},
		"long value": {map[string]string{"a": strings.Repeat("1", 65)}, "the metric a has 65 characters: write it in at most 64"},
		"no name":    {map[string]string{"": "1"}, `a metric is named "": name it`},
		"long name":  {map[string]string{strings.Repeat("a", 64): "1"}, "name it in at most 63 letters"},
		"two lines":  {map[string]string{"a\nb": "1"}, `a metric is named "a b": name it`},
		"many":       {many, "there are 129 metrics: a ModelVersion holds at most 128"},
	} {
		_, err := registration.Metrics(test.texts)
		says(t, name, err, test.says)
	}
}
