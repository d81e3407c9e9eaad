package result_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/result"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// made is a result that was read.
func made(change func(*result.Document)) result.Result {
	d := whole()
	if change != nil {
		change(&d)
	}
	return result.Result{Document: d, Artifact: v1alpha1.Artifact{URI: d.URI, Digest: digest, Size: d.Size, SecretRef: secretRef}}
}

func TestModelVersion(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 9, 0, 0, 0, 0, time.UTC))
	known := v1alpha1.Lineage{Run: "weekly-20260108-0300", Pipeline: "known", Dataset: "known", Commit: "known", TrainedAt: &at}
	v, err := made(nil).ModelVersion("ml", "20260108-0300", known)
	if err != nil {
		t.Fatal(err)
	}
	of := whole()
	want := v1alpha1.ModelVersionSpec{Model: "fraud", Version: "v12", Format: of.Format, Metrics: of.Metrics, Lineage: of.Lineage,
		Artifact: v1alpha1.Artifact{URI: of.URI, Digest: digest, Size: of.Size, SecretRef: secretRef}}
	want.Lineage.Run = known.Run
	if v.Name != "fraud-v12" || v.Namespace != "ml" || v.Kind != "ModelVersion" || v.APIVersion != "sluice.dev/v1alpha1" || !reflect.DeepEqual(v.Spec, want) {
		t.Errorf("made %+v\nwant %+v", v, want)
	}
	v, err = made(func(d *result.Document) { d.Version, d.Lineage = "", v1alpha1.Lineage{} }).ModelVersion("ml", "RC_1", known)
	if err != nil || v.Name != "fraud-rc-1" || v.Spec.Version != "RC_1" || !reflect.DeepEqual(v.Spec.Lineage, known) {
		t.Errorf("what a document does not say: %v, %+v", err, v)
	}
	for name, test := range map[string]struct {
		change  func(*result.Document)
		version string
		says    string
	}{
		"no version":   {nil, "", `"" is no name of a version: use at most 63`},
		"colon":        {nil, "2026-01-08T03:00:00Z", `"2026-01-08T03:00:00Z" is no name of a version`},
		"no object":    {nil, "1..2", "no object can be named fraud-1..2"},
		"of document":  {func(d *result.Document) { d.Version = "v12/../x" }, "v1", `"v12/../x" is no name of a version`},
		"long dataset": {func(d *result.Document) { d.Lineage.Dataset = strings.Repeat("x", 2049) }, "v1", "lineage.dataset has 2049 characters"},
		"two lines":    {func(d *result.Document) { d.Format.Name = "a\nb" }, "v1", "format.name has control characters"},
	} {
		r := made(func(d *result.Document) {
			d.Version = ""
			if test.change != nil {
				test.change(d)
			}
		})
		_, err := r.ModelVersion("ml", test.version, known)
		if kind(err) != "final" || !strings.HasPrefix(err.Error(), "the result makes no ModelVersion: ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %s", name, err, test.says)
		}
	}
}

func TestBetter(t *testing.T) {
	version := func(name, auc string) v1alpha1.ModelVersion {
		return v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: "fraud", Version: name, Artifact: v1alpha1.Artifact{URI: "s3://models/" + name + "/"}, Metrics: map[string]v1alpha1.Metric{"auc": v1alpha1.Metric(auc)}}}
	}
	v7 := version("v7", "0.941")
	bare := v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: "fraud", Version: "v6"}}
	now := time.Date(2026, 1, 8, 3, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		expression string
		candidate  v1alpha1.ModelVersion
		current    *v1alpha1.ModelVersion
		better     bool
		says       string
	}{
		"better":         {"candidate.metrics.auc > current.metrics.auc", version("v8", "0.942"), &v7, true, "auc of v8 is 0.942"},
		"worse":          {"candidate.metrics.auc > current.metrics.auc", version("v8", "0.94"), &v7, false, "auc of v8 is 0.94, and more than 0.941 (auc of v7) is needed"},
		"exactly":        {"candidate.metrics.auc >= current.metrics.auc + 0.002", version("v8", "0.943"), &v7, true, "0.943"},
		"none serves":    {"candidate.metrics.auc > current.metrics.auc", version("v8", "0.942"), nil, false, "nothing serves in production yet, so that v8 cannot be compared with it: begin the expression with first ||"},
		"first":          {"first || candidate.metrics.auc > current.metrics.auc", version("v8", "0.942"), nil, true, ""},
		"alone":          {"candidate.metrics.auc > 0.9", version("v8", "0.942"), nil, true, "auc of v8 is 0.942"},
		"no such metric": {"candidate.metrics.f1 > 0.9", version("v8", "0.942"), &v7, false, "v8 has no metric f1"},
		"of the current": {"candidate.metrics.auc > current.metrics.auc", version("v8", "0.942"), &bare, false, "v6 has no metric auc"},
		"verified":       {"candidate.artifact.verified", version("v8", "0.942"), &v7, true, ""},
		"model":          {"model == 'fraud' && stage == 'production'", version("v8", "0.942"), &v7, true, ""},
	} {
		better, message, err := result.Better(test.expression, "production", test.candidate, test.current, now)
		if err != nil || better != test.better || !strings.Contains(message, test.says) || message == "" {
			t.Errorf("%s: %t, %q, %v; want %t, %q", name, better, message, err, test.better, test.says)
		}
	}
	if _, message, err := result.Better("candidate.metrics.auc > current.metrics.auc", "", version("v8", "1"), nil, now); err != nil || !strings.Contains(message, "nothing serves in any stage yet") {
		t.Errorf("no stage: %s, %v", message, err)
	}
	for _, expression := range []string{"candidate.metrics.auc >", "candidate.metrics", "", "winner.metrics.auc > 1"} {
		if better, _, err := result.Better(expression, "production", v7, &v7, now); err == nil || better {
			t.Errorf("%q: %t without an error", expression, better)
		}
	}
	unread := version("v8", "0.942")
	unread.Spec.Artifact.URI = "pvc://claim/v8"
	if better, message, err := result.Better("candidate.artifact.verified", "production", unread, &v7, now); better || err != nil {
		t.Errorf("what is not read is verified: %s, %v", message, err)
	}
}
