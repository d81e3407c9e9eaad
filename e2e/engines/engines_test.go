package engines_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/engines"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestAsRecorded has objects of all kinds walk, and compares what is written with what the real controllers
// were recorded to write, or what their sources say where nobody has recorded them.
func TestAsRecorded(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := engines.Start(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	access, err := client.New(c.Config(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no recordings", err)
	}
	t.Run("all", func(t *testing.T) {
		for _, file := range files {
			for name, c := range casesIn(t, file) {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
					t.Parallel()
					walk(t, access, c)
				})
			}
		}
	})
	// What nobody takes up was left alone all the while.
	for _, of := range []string{"{apiVersion: argoproj.io/v1alpha1, kind: Workflow", "{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob"} {
		if o := get(t, access, object(t, of+", metadata: {name: never}}")); o.Object["status"] != nil {
			t.Errorf("the %s has a status: %v", o.GetKind(), o.Object["status"])
		}
	}
}

// recording is an object as it is created, what is merged into it when it runs, and what it then becomes.
type recording struct{ object, then, recorded string }

func casesIn(t *testing.T, file string) map[string]recording {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]recording{}
	for _, f := range archive.Files {
		name, part, _ := strings.Cut(f.Name, "/")
		c := cases[name]
		switch part {
		case "object.yaml":
			c.object = string(f.Data)
		case "then.yaml":
			c.then = string(f.Data)
		case "recorded.yaml":
			c.recorded = string(f.Data)
		default:
			t.Fatalf("%s: what is %s?", file, f.Name)
		}
		cases[name] = c
	}
	return cases
}

func walk(t *testing.T, access client.Client, c recording) {
	o := object(t, c.object)
	if err := access.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if c.then != "" {
		await(t, "it runs", func() (bool, any) {
			now := get(t, access, o)
			return now.Object["status"] != nil, now.Object
		})
		patch, err := yaml.YAMLToJSON([]byte(c.then))
		if err != nil {
			t.Fatal(err)
		}
		if err := access.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatal(err)
		}
	}
	want := object(t, c.recorded)
	await(t, "it is as recorded:\n"+c.recorded, func() (bool, any) {
		now := get(t, access, o)
		status := timeless(now.Object["status"])
		for label, value := range want.GetLabels() {
			if now.GetLabels()[label] != value {
				return false, now.GetLabels()
			}
		}
		return reflect.DeepEqual(status, want.Object["status"]), status
	})
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	if o.GetNamespace() == "" && o.GetName() != "" {
		o.SetNamespace("default")
	}
	return o
}

func get(t *testing.T, access client.Client, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	if err := access.Get(context.Background(), client.ObjectKeyFromObject(o), now); err != nil {
		t.Fatal(err)
	}
	return now
}

// seconds are times as engines write them.
var seconds = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)

// timeless has TIME where a time is, and numbers as YAML has them.
func timeless(value any) any {
	switch v := value.(type) {
	case string:
		if seconds.MatchString(v) {
			return "TIME"
		}
	case int64:
		return float64(v)
	case map[string]any:
		for key := range v {
			v[key] = timeless(v[key])
		}
	case []any:
		for n := range v {
			v[n] = timeless(v[n])
		}
	}
	return value
}

func await(t *testing.T, what string, is func() (bool, any)) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, saw := is()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := yaml.Marshal(saw)
			t.Fatalf("it did not come about that %s\nit is:\n%s", what, text)
		}
	}
}
