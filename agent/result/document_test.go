package result_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/result"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const digest = "sha256:478f06238f1f7bf8f73d9d2fb5f077f6fe38cfeccb95ad7ef6bcf3f4c03ca71b"

// whole is a document with everything in it.
func whole() result.Document {
	return result.Document{
		Model: "fraud", Version: "v12", URI: "s3://models/fraud/v12/", Digest: digest, Size: new(int64(12)),
		Format:  v1alpha1.ModelFormat{Name: "sklearn", Version: "1.10"},
		Metrics: map[string]v1alpha1.Metric{"auc": "0.94100", "loss": "1e-05", "steps": "12"},
		Lineage: v1alpha1.Lineage{Pipeline: "fraud-train:12", Dataset: "s3://data/fraud/2026-01", Commit: "4590123", TrainedAt: &metav1.Time{Time: time.Date(2026, 1, 8, 3, 41, 0, 0, time.UTC)}},
	}
}

func TestParse(t *testing.T) {
	for name, text := range map[string]string{
		"JSON": `{"model": "fraud", "version": "v12", "uri": "s3://models/fraud/v12/", "digest": "` + digest + `", "size": 12,
			"format": {"name": "sklearn", "version": "1.10"}, "metrics": {"auc": 0.94100, "loss": 1e-05, "steps": "12"}, "dataset": "s3://data/fraud/2026-01",
			"lineage": {"pipeline": "fraud-train:12", "commit": "4590123", "trainedAt": "2026-01-08T12:41:00+09:00"}}`,
		"YAML": `
# What the training has made.
model: fraud
version: v12
uri: s3://models/fraud/v12/
digest: ` + digest + `
size: 12
format: {name: sklearn, version: 1.10}
metrics:
  auc: 0.94100
  loss: 1e-05
  steps: "12"
dataset: s3://data/fraud/2026-01
lineage:
  pipeline: fraud-train:12
  commit: 4590123
  trainedAt: 2026-01-08T03:41:00Z
`,
	} {
		got, err := result.Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(got, whole()) {
			t.Errorf("%s: %v, read as\n%+v, want\n%+v", name, err, got, whole())
		}
	}
}

// TestParseLittle: only the URI has to be there, and what is null is not.
func TestParseLittle(t *testing.T) {
	for _, text := range []string{
		`{"uri": "s3://m/v1/"}`,
		`{"uri": "s3://m/v1/", "digest": null, "size": null, "format": null, "metrics": {}, "lineage": {"commit": null}}`,
		"uri: s3://m/v1/",
		"\ufeffuri: s3://m/v1/\n",
		"---\nuri: s3://m/v1/\ndigest:\nmetrics:\n",
		`{"uri": "s3:\/\/m\/v1\/"}`,
		"{\n\t\"uri\": \"s3://m/v1/\"\n}",
	} {
		d, err := result.Parse([]byte(text))
		if err != nil || d.URI != "s3://m/v1/" || d.Digest != "" || d.Size != nil || len(d.Metrics) != 0 {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
	d, err := result.Parse([]byte(`{"uri": "s3://m/v1/", "dataset": "\ud83d\ude00"}`)) // JSON that is no YAML
	if err != nil || d.Lineage.Dataset != "😀" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestParseRefuses(t *testing.T) {
	many := func(count int) string {
		var all strings.Builder
		for n := range count {
			fmt.Fprintf(&all, `, "m%d": 1`, n)
		}
		return all.String()
	}
	for name, test := range map[string]struct{ text, says string }{
		"empty":         {"", "it is empty: write at least the uri"},
		"spaces":        {" \n", "it is empty"},
		"only comments": {"# nothing\n", "it is empty"},
		"null":          {"null", "it is no object"},
		"text":          {"done", "it is no object: write fields and their values"},
		"list":          {`["s3://m/v1/"]`, "it is no object"},
		"HTML":          {"<html><body>Not found</body></html>", "it is no object"},
		"binary":        {"\x7fELF\x02\x01\x01\x00\x00", "neither JSON nor YAML"},
		"half":          {`{"uri": "s3://m/v1/", "metr`, "neither JSON nor YAML"},
		"no uri":        {`{"metrics": {"auc": 0.9}}`, "it has no uri: write where the artifact is"},
		"null uri":      {`{"uri": null}`, "it has no uri"},
		"uri object":    {`{"uri": {"s3": "x"}}`, "uri is an object, which is no text"},
		"relative":      {`{"uri": "model.bin"}`, "this is no kind of storage that is known"},
		"local":         {`{"uri": "file:///etc/passwd"}`, "this is no kind of storage that is known"},
		"credentials":   {`{"uri": "https://ada:hush@example.com/m"}`, "https://example.com/m: the URI must not have credentials"},
		"signed":        {`{"uri": "https://example.com/m?X-Amz-Signature=hush"}`, "the URI has a query or a fragment"},
		"parent":        {`{"uri": "s3://m/../other/"}`, "the path has an element .."},
		"two documents": {"uri: s3://m/v1/\n---\nuri: s3://m/v2/\n", "it is more than one document"},
		"two objects":   {`{"uri": "s3://m/v1/"} {"uri": "s3://m/v2/"}`, "it is more than one document"},
		"twice":         {`{"uri": "s3://m/v1/", "uri": "s3://m/v2/"}`, "it has the field uri twice"},
		"twice in YAML": {"uri: s3://m/v1/\nmetrics: {auc: 0.9, auc: 0.1}", "it has the field auc twice"},
		"unknown field": {`{"uri": "s3://m/v1/", "metric": {"auc": 0.9}}`, "it has a field metric, which is none of model, version, uri, digest, size, format, metrics, dataset, lineage: correct its name, or leave it out"},
		"other case":    {`{"URI": "s3://m/v1/"}`, "it has a field URI, which is none of model"},
		"secretRef":     {`{"uri": "s3://m/v1/", "secretRef": {"name": "others"}}`, "it has a field secretRef, which is none of"},
		"unknown inner": {`{"uri": "s3://m/v1/", "format": {"name": "onnx", "kind": 1}}`, "format has a field kind, which is none of name, version"},
		"run":           {`{"uri": "s3://m/v1/", "lineage": {"run": "another"}}`, "lineage has a field run, which is none of pipeline, commit, trainedAt"},
		"format text":   {`{"uri": "s3://m/v1/", "format": "onnx"}`, "format is no object"},
		"format list":   {`{"uri": "s3://m/v1/", "format": {"name": ["onnx"]}}`, "format.name is a list, which is no text"},
		"commit yes":    {"uri: s3://m/v1/\nlineage: {commit: true}", "lineage.commit is true, which is no text: write it in quotes"},
		"NaN":           {`{"uri": "s3://m/v1/", "metrics": {"loss": 0.1, "auc": NaN}}`, `the metric auc is "NaN", which is no decimal number: write it as 0.941`},
		"NaN text":      {`{"uri": "s3://m/v1/", "metrics": {"auc": "NaN"}}`, `the metric auc is "NaN", which is no decimal number`},
		"NaN in YAML":   {"uri: s3://m/v1/\nmetrics: {auc: .nan}", `the metric auc is ".nan", which is no decimal number`},
		"infinity":      {`{"uri": "s3://m/v1/", "metrics": {"auc": -Infinity}}`, `the metric auc is "-Infinity", which is no decimal number`},
		"inf in YAML":   {"uri: s3://m/v1/\nmetrics: {auc: .inf}", `the metric auc is ".inf"`},
		"hexadecimal":   {"uri: s3://m/v1/\nmetrics: {auc: 0x1F}", `the metric auc is "0x1F", which is no decimal number`},
		"word":          {`{"uri": "s3://m/v1/", "metrics": {"auc": "good"}}`, `the metric auc is "good", which is no decimal number`},
		"metric null":   {`{"uri": "s3://m/v1/", "metrics": {"auc": null}}`, "the metric auc is empty, which is no decimal number"},
		"metric object": {`{"uri": "s3://m/v1/", "metrics": {"auc": {"mean": 0.9}}}`, "the metric auc is an object, which is no decimal number"},
		"metric yes":    {`{"uri": "s3://m/v1/", "metrics": {"good": true}}`, "the metric good is true, which is no decimal number"},
		"metrics list":  {`{"uri": "s3://m/v1/", "metrics": [0.9]}`, "metrics is no object: write names and numbers"},
		"many metrics":  {`{"uri": "s3://m/v1/", "metrics": {"auc": 1` + many(128) + `}}`, "there are 129 metrics: a ModelVersion holds at most 128"},
		"wide":          {`{"uri": "s3://m/v1/", "metrics": {"auc": 1` + many(300) + `}}`, "it has an object with more than 256 fields"},
		"size":          {`{"uri": "s3://m/v1/", "size": "12 MB"}`, "size is 12 MB, which is no number of bytes: write it as 1024"},
		"size 1.5":      {`{"uri": "s3://m/v1/", "size": 1.5}`, "size is 1.5, which is no number of bytes"},
		"size -1":       {`{"uri": "s3://m/v1/", "size": -1}`, "size is -1, which is no number of bytes"},
		"size too much": {`{"uri": "s3://m/v1/", "size": 9223372036854775808}`, "which is no number of bytes"},
		"time":          {`{"uri": "s3://m/v1/", "lineage": {"trainedAt": "yesterday"}}`, "lineage.trainedAt is yesterday, which is no time: write it as 2026-01-08T03:41:00Z"},
		"time number":   {`{"uri": "s3://m/v1/", "lineage": {"trainedAt": 1767843660}}`, "lineage.trainedAt is 1767843660, which is no time"},
		"deep":          {`{"uri": "s3://m/v1/", "metrics": ` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 101), "it is deeper than 8 levels"},
		"very deep":     {strings.Repeat("[", 100_000), ""},
		"deep lists":    {`{"uri": "s3://m/v1/", "metrics": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}", "it is deeper than 8 levels"},
		"deep YAML":     {"uri: s3://m/v1/\nmetrics: " + strings.Repeat("{a: ", 20) + "1" + strings.Repeat("}", 20), "it is deeper than 8 levels"},
		"aliases":       {"uri: &a s3://m/v1/\ndataset: *a", "it has anchors and aliases: write each value out"},
		"billion":       {"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nuri: s3://m/v1/", "it has anchors and aliases"},
		"merge":         {"lineage: &l {commit: x}\nuri: s3://m/v1/\nformat: {<<: *l}", "it has anchors and aliases"},
		"odd key":       {"? [a, b]\n: 1\nuri: s3://m/v1/", "it has a field whose name is no text"},
		"large":         {`{"uri": "s3://m/v1/", "dataset": "` + strings.Repeat("x", 1<<20) + `"}`, "it has more than 1048576 bytes: keep it short"},
	} {
		d, err := result.Parse([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %s", name, err, test.says)
			continue
		}
		if !reflect.DeepEqual(d, result.Document{}) {
			t.Errorf("%s: a document beside an error: %+v", name, d)
		}
		if len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x00") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: the error does not fit into a status: %q", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"uri": "s3://m/v1/", "metrics": {"auc": 0.9}}`, "uri: s3://m/v1/\nmetrics: {auc: .nan}\n", "- a\n---\n", "? a\n: &b [*b]", "\ufeff{", "!!binary x", "%YAML 1.2\n---\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := result.Parse(content)
		if err != nil {
			if !reflect.DeepEqual(d, result.Document{}) {
				t.Errorf("%+v beside %v", d, err)
			}
			return
		}
		if d.URI == "" || d.Size != nil && *d.Size < 0 {
			t.Errorf("%q is read as %+v", content, d)
		}
	})
}

func TestFromOutputs(t *testing.T) {
	outputs := map[string]string{"model-uri": "s3://models/fraud/v12/\n", "evaluate.auc": " 0.94100\n", "loss": "1e-05", "data": "s3://data/fraud", "word": "good", "nothing": "\n"}
	got, err := result.FromOutputs(v1alpha1.ResultOutputs{URI: "model-uri", Dataset: "data", Metrics: map[string]string{"auc": "evaluate.auc", "loss": "loss"}}, outputs)
	want := result.Document{URI: "s3://models/fraud/v12/", Metrics: map[string]v1alpha1.Metric{"auc": "0.94100", "loss": "1e-05"}, Lineage: v1alpha1.Lineage{Dataset: "s3://data/fraud"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v, want %+v", err, got, want)
	}
	got, err = result.FromOutputs(v1alpha1.ResultOutputs{URI: "s3://models/fraud/20260105-0300/"}, nil)
	if err != nil || got.URI != "s3://models/fraud/20260105-0300/" {
		t.Errorf("a URI of its own: %+v, %v", got, err)
	}
	many := map[string]string{}
	for n := range 20 {
		many[fmt.Sprintf("o%02d", n)] = ""
	}
	for name, test := range map[string]struct {
		spec    v1alpha1.ResultOutputs
		outputs map[string]string
		says    string
	}{
		"no uri":        {v1alpha1.ResultOutputs{URI: "uri"}, outputs, "there is no output uri, which spec.result.outputs.uri names: the run has data, evaluate.auc, loss, model-uri, nothing, word"},
		"no metric":     {v1alpha1.ResultOutputs{URI: "model-uri", Metrics: map[string]string{"auc": "auc"}}, outputs, "there is no output auc, which spec.result.outputs.metrics.auc names: the run has data,"},
		"no dataset":    {v1alpha1.ResultOutputs{URI: "model-uri", Dataset: "dataset"}, outputs, "there is no output dataset, which spec.result.outputs.dataset names"},
		"nothing":       {v1alpha1.ResultOutputs{URI: "uri"}, nil, "the run has none"},
		"many":          {v1alpha1.ResultOutputs{URI: "uri"}, many, "o14, o15 and 4 more"},
		"empty":         {v1alpha1.ResultOutputs{URI: "nothing"}, outputs, "the output nothing, which is to be the uri of the artifact, is empty"},
		"no uri at all": {v1alpha1.ResultOutputs{URI: "loss"}, outputs, "this is no kind of storage that is known"},
		"credentials":   {v1alpha1.ResultOutputs{URI: "u"}, map[string]string{"u": "s3://ada:hush@m/v1/"}, "must not have credentials"},
		"word":          {v1alpha1.ResultOutputs{URI: "model-uri", Metrics: map[string]string{"auc": "word"}}, outputs, `the metric auc is "good", which is no decimal number`},
		"NaN":           {v1alpha1.ResultOutputs{URI: "model-uri", Metrics: map[string]string{"auc": "n"}}, map[string]string{"model-uri": "s3://m/v1/", "n": "nan"}, `the metric auc is "nan", which is no decimal number`},
	} {
		_, err := result.FromOutputs(test.spec, test.outputs)
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %s", name, err, test.says)
		}
	}
}
