package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// suite is an archive of cases: a directory each, with files. A file that a case does not have is the archive's.
type suite struct {
	*testing.T
	path    string
	archive *txtar.Archive
}

func (s suite) file(c, name string) []byte {
	var found []byte
	for _, f := range s.archive.Files {
		if f.Name == c+"/"+name || f.Name == name && found == nil {
			found = f.Data
		}
	}
	return found
}

func (s suite) cases() []string {
	var names []string
	for _, f := range s.archive.Files {
		if dir, _, inside := strings.Cut(f.Name, "/"); inside && (len(names) == 0 || names[len(names)-1] != dir) {
			names = append(names, dir)
		}
	}
	return names
}

// want compares what came of a case with its file, or writes it there.
func (s suite) want(t *testing.T, c, name, got string) {
	t.Helper()
	if !*update {
		if want := string(s.file(c, name)); got != want {
			t.Errorf("have\n%s\nwant\n%s", got, want)
		}
		return
	}
	at := len(s.archive.Files)
	for n, f := range s.archive.Files {
		if f.Name == c+"/"+name {
			s.archive.Files[n].Data = []byte(got)
			return
		}
		if strings.HasPrefix(f.Name, c+"/") {
			at = n + 1
		}
	}
	s.archive.Files = append(s.archive.Files[:at:at], append([]txtar.File{{Name: c + "/" + name, Data: []byte(got)}}, s.archive.Files[at:]...)...)
}

// play runs all cases of all archives in a directory.
func play(t *testing.T, dir string, one func(t *testing.T, s suite, c string)) {
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := suite{t, path, archive}
			for _, c := range s.cases() {
				t.Run(c, func(t *testing.T) { one(t, s, c) })
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// show writes a state for people.
func show(s State) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	line("phase", string(s.Phase))
	line("step", s.Step)
	line("message", s.Message)
	for _, name := range namesOf(s.Outputs) {
		fmt.Fprintf(&b, "output %s = %q\n", name, s.Outputs[name])
	}
	for _, at := range []struct {
		name string
		time.Time
	}{{"started", s.StartedAt}, {"ended", s.EndedAt}} {
		if !at.IsZero() {
			line(at.name, at.UTC().Format(time.RFC3339))
		}
	}
	return b.String()
}

// TestRead reads what engines have written. Archives have in each case template.yaml, a RunTemplate, live.yaml, the object, and
// state.txt.
func TestRead(t *testing.T) {
	play(t, "read", func(t *testing.T, s suite, c string) {
		run := Run{Namespace: "fraud", Name: "fraud-1", ID: "1"}
		if err := yaml.UnmarshalStrict(s.file(c, "template.yaml"), &run.Template); err != nil {
			t.Fatal(err)
		}
		f, err := formOf(run.Template)
		if err != nil {
			t.Fatal(err)
		}
		live := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(s.file(c, "live.yaml"), &live.Object); err != nil {
			t.Fatal(err)
		}
		s.want(t, c, "state.txt", show(read(run, f, live)))
	})
}

func TestCanceledIsNoFailure(t *testing.T) {
	run := Run{Canceled: true}
	for phase, want := range map[string]v1alpha1.RunPhase{
		"Failed": v1alpha1.RunCanceled, "Error": v1alpha1.RunCanceled, "Succeeded": v1alpha1.RunSucceeded, "Running": v1alpha1.RunRunning, "": v1alpha1.RunPending,
	} {
		live := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": phase}}}
		if got := read(run, workflow, live).Phase; got != want {
			t.Errorf("%q of a run that was canceled is %s, want %s", phase, got, want)
		}
	}
}

func packed(t *testing.T, content []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestCompressedNodes(t *testing.T) {
	nodes, err := json.Marshal(map[string]any{"a": map[string]any{
		"displayName": "train", "type": "Pod", "phase": "Succeeded",
		"outputs": map[string]any{"parameters": []any{map[string]any{"name": "auc", "value": "0.941"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ packed, auc, message string }{
		{packed(t, nodes), "0.941", ""},
		{packed(t, []byte("[")), "", "are no JSON"},
		{packed(t, nodes)[:40], "", "are damaged"},
		{packed(t, bytes.Repeat([]byte(" "), mostNodes+1)), "", "more than 8 MiB"},
		{packed(t, append(append([]byte(`{"a": [`), bytes.Repeat([]byte("{},"), mostCommas+1)...), "{}]}"...)), "", "more than 500000 fields"},
	} {
		live := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Succeeded", "compressedNodes": c.packed}}}
		s := read(Run{}, workflow, live)
		if s.Phase != v1alpha1.RunSucceeded || s.Outputs["train.auc"] != c.auc || !strings.Contains(s.Message, c.message) {
			t.Errorf("have %s, want auc %q and %q", show(s), c.auc, c.message)
		}
	}
}

func TestOutputsAreBounded(t *testing.T) {
	many, large := State{Phase: v1alpha1.RunSucceeded, Outputs: map[string]string{}}, State{Phase: v1alpha1.RunSucceeded, Outputs: map[string]string{
		"uri": "s3://models", "log": strings.Repeat("x", longestOutput),
	}}
	for n := range mostOutputs + 10 {
		many.Outputs[fmt.Sprintf("o%03d", n)] = "1"
	}
	if got := bounded(&many); len(got) != mostOutputs || many.Message != "there are more than 256 outputs: those from o256 on are left out" {
		t.Errorf("%d outputs are kept; %s", len(got), many.Message)
	}
	if got := bounded(&large); len(got) != 1 || got["uri"] == "" || large.Message != "the output log has more than 4096 bytes, and is left out" {
		t.Errorf("kept %v; %s", got, large.Message)
	}
}

// FuzzRead: whatever an engine writes, nothing panics, and what comes out fits into a status.
func FuzzRead(f *testing.F) {
	templates := []v1alpha1.RunTemplate{
		{Workflow: &v1alpha1.WorkflowRun{}}, {TrainJob: &v1alpha1.ObjectTemplate{}}, {TrainingJob: &v1alpha1.TrainingJobRun{Kind: "TFJob"}},
		{Experiment: &v1alpha1.ObjectTemplate{}}, {Job: &v1alpha1.ObjectTemplate{}},
		{Object: &v1alpha1.ObjectRun{APIVersion: "v1", Kind: "X", Succeeded: "object.status.phase == 'Succeeded'", Failed: "object.status.failed", Message: "object.status.message", Outputs: map[string]string{"o": "object.status"}}},
	}
	paths, err := filepath.Glob("testdata/read/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if asJSON, err := yaml.YAMLToJSON(file.Data); err == nil && strings.HasSuffix(file.Name, "live.yaml") {
				f.Add(asJSON)
			}
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		live := map[string]any{}
		if json.Unmarshal(content, &live) != nil {
			return
		}
		for _, template := range templates {
			form, err := formOf(template)
			if err != nil {
				t.Fatal(err)
			}
			s := read(Run{Template: template}, form, &unstructured.Unstructured{Object: live})
			if s.Phase == "" || utf8.RuneCountInString(s.Message) > 1024 || utf8.RuneCountInString(s.Step) > 253 || !utf8.ValidString(s.Message) {
				t.Errorf("%s", show(s))
			}
			for name, value := range s.Outputs {
				if len(name)+len(value) > longestOutput {
					t.Errorf("an output of %d bytes", len(value))
				}
			}
		}
	})
}
