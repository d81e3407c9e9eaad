package health

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/agent"
)

// fixture is a file testdata/<kind>-<status>[-<detail>].yaml. Its first line may be a
// comment "# message: " with a part of the expected message.
type fixture struct {
	name    string
	status  string // in lower case
	message string
	object  *unstructured.Unstructured
	json    []byte
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	all := make([]fixture, 0, len(files))
	for _, file := range files {
		all = append(all, read(t, file))
	}
	return all
}

func read(t testing.TB, file string) fixture {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".yaml")
	first, _, _ := bytes.Cut(data, []byte("\n"))
	_, message, _ := strings.Cut(string(first), "# message: ")
	js, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(js); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return fixture{name: name, status: strings.Split(name, "-")[1], message: message, object: obj, json: js}
}

func TestFixtures(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			got := Of(f.object)
			if strings.ToLower(string(got.Status)) != f.status {
				t.Errorf("got %s (%s)", got.Status, got.Message)
			}
			if !strings.Contains(got.Message, f.message) {
				t.Errorf("message %q does not contain %q", got.Message, f.message)
			}
			if (got.Message == "") != (got.Status == agent.Healthy) {
				t.Errorf("%s with message %q", got.Status, got.Message)
			}
		})
	}
}

func TestFixturesAreNotWrittenTo(t *testing.T) {
	for _, f := range fixtures(t) {
		before := f.object.DeepCopy()
		Of(f.object)
		was, _ := json.Marshal(before)
		is, _ := json.Marshal(f.object)
		if !bytes.Equal(was, is) {
			t.Errorf("%s was changed", f.name)
		}
	}
}

func TestEveryCheckHasAFixture(t *testing.T) {
	seen := map[schema.GroupKind]bool{}
	for _, f := range fixtures(t) {
		seen[f.object.GroupVersionKind().GroupKind()] = true
	}
	for gk := range checks {
		if !seen[gk] {
			t.Errorf("no fixture for %s", gk)
		}
		if Static(gk) {
			t.Errorf("%s has a check and is static", gk)
		}
	}
}

func TestNothingIsMissing(t *testing.T) {
	for _, obj := range []*unstructured.Unstructured{nil, {}} {
		if got := Of(obj); got.Status != agent.Missing || got.Message == "" {
			t.Errorf("got %v", got)
		}
	}
}

func TestStatic(t *testing.T) {
	for _, gk := range []schema.GroupKind{
		{Kind: "ConfigMap"},
		{Kind: "ResourceQuota"},
		{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"},
		{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"},
		{Group: "networking.k8s.io", Kind: "NetworkPolicy"},
		{Group: "security.istio.io", Kind: "AuthorizationPolicy"},
		{Group: "serving.kserve.io", Kind: "ClusterServingRuntime"},
	} {
		if !Static(gk) {
			t.Errorf("%s is not static", gk)
		}
	}
	for _, gk := range []schema.GroupKind{
		{},
		{Kind: "Pod"},
		{Group: "apps", Kind: "ConfigMap"},
		{Group: "example.com", Kind: "Widget"},
		{Group: "serving.kserve.io", Kind: "InferenceService"},
	} {
		if Static(gk) {
			t.Errorf("%s is static", gk)
		}
	}
}

func TestMessagesAreOneBoundedLine(t *testing.T) {
	log := strings.Repeat("ein Stück\n\tProtokoll ", 1000)
	got := Of(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "status": map[string]any{"phase": "Failed", "message": log},
	}})
	if len(got.Message) > longest+len("…") || strings.ContainsAny(got.Message, "\n\t") || !utf8.ValidString(got.Message) {
		t.Errorf("%d bytes: %q", len(got.Message), got.Message)
	}
}

// FuzzOf feeds arbitrary JSON, decoded as the API machinery does (whole numbers are int64)
// and as encoding/json does (all are float64).
func FuzzOf(f *testing.F) {
	for _, fixture := range fixtures(f) {
		f.Add(fixture.json)
	}
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","status":{"phase":"Running","containerStatuses":[1,{"state":[]}]}}`))
	f.Add([]byte(`{"apiVersion":"/","kind":1,"metadata":[],"status":"gone"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		api := &unstructured.Unstructured{}
		if api.UnmarshalJSON(data) == nil {
			valid(t, Of(api))
		}
		var fields map[string]any
		if json.Unmarshal(data, &fields) == nil {
			valid(t, Of(&unstructured.Unstructured{Object: fields}))
		}
	})
}

func valid(t *testing.T, h agent.Health) {
	t.Helper()
	switch h.Status {
	case agent.Healthy, agent.Progressing, agent.Degraded, agent.Suspended, agent.Terminating, agent.Missing:
	default:
		t.Errorf("no such status: %q", h.Status)
	}
	if len(h.Message) > longest+len("…") {
		t.Errorf("message of %d bytes", len(h.Message))
	}
	if (h.Message == "") != (h.Status == agent.Healthy) {
		t.Errorf("%s with message %q", h.Status, h.Message)
	}
}

func BenchmarkOf(b *testing.B) {
	for _, name := range []string{"deployment-healthy", "deployment-degraded", "inferenceservice-healthy-02-v7", "configmap-healthy", "overlay-healthy"} {
		b.Run(name, func(b *testing.B) {
			obj := read(b, filepath.Join("testdata", name+".yaml")).object
			b.ReportAllocs()
			for b.Loop() {
				Of(obj)
			}
		})
	}
}
