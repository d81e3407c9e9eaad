package kfp

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/e2e/kfp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var update = flag.Bool("update", false, "write the golden files again")

// trainPackage is the package of testdata.
func trainPackage(t testing.TB) Package {
	t.Helper()
	content, err := os.ReadFile("testdata/train.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPackage(content)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// small is a pipeline without parameters that says something.
func small(t testing.TB, word string) Package {
	t.Helper()
	p, err := ReadPackage([]byte(smallest(word)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func smallest(word string) string {
	return fmt.Sprintf(`{"pipelineInfo":{"name":"echo"},"schemaVersion":"2.1.0","root":{"dag":{"tasks":{"echo":{"componentRef":{"name":"c"}}}}},
"components":{"c":{"executorLabel":"e"}},"deploymentSpec":{"executors":{"e":{"container":{"image":"busybox","args":[%q]}}}}}`, word)
}

func TestPackageGolden(t *testing.T) {
	p := trainPackage(t)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%s\n", p.Name, p.Version, p.Digest)
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		fmt.Fprintf(&b, "%s %s default=%s optional=%t literals=%s\n", name, p.Parameters[name].Type, p.Parameters[name].Default, p.Parameters[name].Optional, p.Parameters[name].Literals)
	}
	b.Write(p.content())
	if *update {
		if err := os.WriteFile("testdata/train.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/train.golden")
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("have\n%s\nwant\n%s", b.String(), want)
	}
}

// What editors of notebooks have kfp compile: long names, graphs in graphs, code with all sorts of characters in it, and a
// second document that says what Kubernetes is to do. It comes to Kubeflow Pipelines as it was.
func TestPackageOfANotebook(t *testing.T) {
	content, err := os.ReadFile("testdata/notebook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPackage(content)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "churn-notebook-20261125" || len(p.Parameters) != 4 || string(p.Parameters["depths"].Default) != "[3,5]" {
		t.Errorf("it is %+v", p)
	}
	const label = "exec-cells-9-to-14-train-a-gradient-boosted-model-of-the-customers-who-left"
	const code = "# The cells, in Zürich \U0001F600:\n\ndef cells(depth: int):\n    text = '''\n---\nnot: a document\n...\n'''\n    path = \"s3:\\\\bucket\"\n    return {\"yes\": depth}\t# a tab\n"
	whole := func(where string, spec, platform any) {
		t.Helper()
		container := under(spec, "deploymentSpec", "executors", label, "container")
		if got := under(container, "command").([]any)[2]; got != code {
			t.Errorf("%s the code is %q", where, got)
		}
		if got := under(under(container, "env").([]any)[1], "value"); got != "yes" {
			t.Errorf("%s the variable is %v", where, got)
		}
		if got := under(platform, "platforms", "kubernetes", "deploymentSpec", "executors", label, "activeDeadlineSeconds"); got != "7200" {
			t.Errorf("%s the deadline is %v", where, got)
		}
	}

	w := newWorld(t, kfp.Options{})
	v, err := w.client.Deliver(t.Context(), namespace, "churn", p)
	if err != nil {
		t.Fatal(err)
	}
	there, err := w.client.describe(t.Context(), v)
	if err != nil || there.Digest != p.Digest {
		t.Fatalf("it is %s there, and was %s: %v", there.Digest, p.Digest, err)
	}
	whole("there", document(t, there.Spec), document(t, there.Platform))
	values, err := there.Values(map[string]string{"table": "s3://data/churn/", "depths": "[3]", "threshold": "1e-06"}, nil)
	if err != nil || values["threshold"] != json.Number("1e-06") {
		t.Errorf("%v, %v", values, err)
	}

	n, c := newNative(fine, fine)
	if v, err = n.Deliver(t.Context(), namespace, p.Name, p); err != nil {
		t.Fatal(err)
	}
	o := object(NativeVersion, namespace, p.Name+"-"+v.Name)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	whole("as an object", under(o.Object, "spec", "pipelineSpec"), under(o.Object, "spec", "platformSpec"))
}

// under is the value on a path of fields, and nil where there is none.
func under(value any, path ...string) any {
	for _, field := range path {
		fields, _ := value.(map[string]any)
		value = fields[field]
	}
	return value
}

func document(t *testing.T, data json.RawMessage) (value any) {
	t.Helper()
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// A component that is compiled alone can have a parameter that only Kubeflow Pipelines fills in: it runs without.
func TestPackageOfAComponent(t *testing.T) {
	const filled = `"root":{"inputDefinitions":{"parameters":{"rows":{"parameterType":"NUMBER_INTEGER"},"status":{"parameterType":"TASK_FINAL_STATUS","isOptional":true}}},`
	p, err := ReadPackage([]byte(strings.Replace(smallest("x"), `"root":{`, filled, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if values, err := p.Values(map[string]string{"rows": "7"}, nil); err != nil || len(values) != 1 {
		t.Errorf("%v, %v", values, err)
	}
	if _, err := p.Values(map[string]string{"rows": "7", "status": "{}"}, nil); err == nil || !strings.Contains(err.Error(), "status is unknown: it has rows") {
		t.Errorf("%v", err)
	}
}

// The name is of the content: not of its format, its comments or its order.
func TestVersionIsOfTheContent(t *testing.T) {
	one := small(t, "hello")
	for name, text := range map[string]string{
		"comments":             "# compiled\n" + smallest("hello") + "\n# end\n",
		"an empty document":    "---\n" + smallest("hello") + "\n---\n# nothing\n",
		"another order":        strings.Replace(strings.Replace(smallest("hello"), `"schemaVersion":"2.1.0",`, "", 1), `{"pipelineInfo"`, `{"schemaVersion":"2.1.0","pipelineInfo"`, 1),
		"lines as Windows has": strings.ReplaceAll(smallest("hello"), "\n", "\r\n"),
	} {
		if p, err := ReadPackage([]byte(text)); err != nil || p.Version != one.Version || p.Digest != one.Digest {
			t.Errorf("%s: %s and %v, want %s", name, p.Version, err, one.Version)
		}
	}
	again, err := ReadPackage(one.content())
	if err != nil || again.Digest != one.Digest {
		t.Errorf("what is sent is %s and %v, want %s", again.Digest, err, one.Digest)
	}
	train := trainPackage(t)
	again, err = ReadPackage(train.content())
	if err != nil || again.Digest != train.Digest {
		t.Errorf("what is sent is %s and %v, want %s", again.Digest, err, train.Digest)
	}
	without, err := ReadPackage(train.Spec)
	if err != nil || without.Digest == train.Digest {
		t.Errorf("without its platform it is %s and %v", without.Digest, err)
	}
	if other := small(t, "bye"); other.Version == one.Version {
		t.Errorf("another content has the same name %s", other.Version)
	}
	if !ours.MatchString(one.Version) {
		t.Errorf("%s is not known as ours", one.Version)
	}
}

func TestReadPackageRefuses(t *testing.T) {
	edit := func(old, new string) string {
		if !strings.Contains(smallest("x"), old) {
			t.Fatalf("%s is not in it", old)
		}
		return strings.Replace(smallest("x"), old, new, 1)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "the package is empty"},
		{"comments only", "# nothing\n---\n", "the package is empty"},
		{"too large", strings.Repeat("#", maxPackage+1), "more than 4 MiB"},
		{"no YAML", "a: b: c", "the package is no YAML"},
		{"binary", "\x00\x01\x02", "the package is no YAML"},
		{"a field twice", "a: 1\na: 2\n", "the package is no YAML"},
		{"a bomb", bomb, "more than 16 MiB when its aliases are written out"},
		{"a bomb of one large text", "a: &a " + strings.Repeat("x", 500<<10) + "\nb: [" + strings.Repeat("*a,", 100_000) + "]\n", "more than 16 MiB when its aliases are written out"},
		{"a bomb in the second document", smallest("x") + "\n---\na: &a " + strings.Repeat("x", 500<<10) + "\nb: [" + strings.Repeat("*a,", 100_000) + "]\n", "more than 16 MiB when its aliases are written out"},
		{"what contains itself", "a: &a [*a]\n", "nested deeper than 200 levels"},
		{"deep", "a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested deeper than 200 levels"},
		{"large when it is unfolded", "a: &a " + strings.Repeat("x", maxPackage/2) + "\nb: [" + strings.Repeat("*a, ", 9) + "]\n", "more than 16 MiB when its aliases are written out"},
		{"a list", "[1, 2]", "the package is no IR of KFP v2: the document is a array there"},
		{"a text", "hello", "the package is no IR of KFP v2: the document is a string there"},
		{"three documents", smallest("x") + "\n---\na: 1\n---\nb: 2\n", "the package has 3 documents"},
		{"two pipelines", smallest("x") + "\n---\n" + smallest("y"), "the second document of the package is no platform spec"},
		{"the platform first", "platforms: {kubernetes: {}}\n---\n" + smallest("x"), "put the pipeline first"},
		{"a document beside its separator", smallest("x") + "\n--- {platforms: {kubernetes: {}}}\n", "write --- on a line of its own"},
		{"a workflow", "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "as KFP v1 compiles it"},
		{"a job", `{"pipelineSpec": {}, "runtimeConfig": {}}`, "give the pipeline in its field pipelineSpec alone"},
		{"no name", edit(`"name":"echo"`, `"description":"x"`), "no pipelineInfo.name"},
		{"a long name", edit(`"name":"echo"`, `"name":"`+strings.Repeat("x", 129)+`"`), "of more than 128 bytes"},
		{"a name that is a number", edit(`"name":"echo"`, `"name":7`), "the package is no IR of KFP v2: pipelineInfo.name is a number there"},
		{"schema 1", edit(`"2.1.0"`, `"1.0"`), `the schemaVersion "1.0"`},
		{"no schema", edit(`"schemaVersion":"2.1.0",`, ``), `the schemaVersion ""`},
		{"no root", edit(`"root"`, `"rot"`), "the package has no root"},
		{"no components", edit(`"components"`, `"component"`), "the package has no components"},
		{"no executors", edit(`"executors"`, `"executor"`), "no deploymentSpec.executors"},
		{"a task of nothing", edit(`{"name":"c"}`, `{"name":"d"}`), `the task echo of the root needs the component "d"`},
		{"a component of nothing", edit(`"executorLabel":"e"`, `"executorLabel":"f"`), "the component c of the package needs the executor f"},
		{"a component that does nothing", edit(`"executorLabel":"e"`, `"x":"e"`), "the component c of the package does nothing"},
		{"a parameter of the engine", edit(`"root":{`, `"root":{"inputDefinitions":{"parameters":{"p":{"parameterType":"TASK_FINAL_STATUS"}}},`), `the parameter p of the pipeline has the type "TASK_FINAL_STATUS"`},
		{"a parameter of KFP v1", edit(`"root":{`, `"root":{"inputDefinitions":{"parameters":{"p":{"type":"INT"}}},`), `the parameter p of the pipeline has the type ""`},
	} {
		_, err := ReadPackage([]byte(c.content))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		} else if ReasonOf(err) != Invalid || Temporary(err) {
			t.Errorf("%s: %s, temporary %t", c.name, ReasonOf(err), Temporary(err))
		}
	}
}

func FuzzReadPackage(f *testing.F) {
	f.Add([]byte(smallest("x")))
	content, err := os.ReadFile("testdata/train.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := ReadPackage(content)
		if err != nil {
			return
		}
		again, err := ReadPackage(p.content())
		if err != nil || again.Digest != p.Digest {
			t.Errorf("what is sent of %q is read as %s and %v, want %s", content, again.Digest, err, p.Digest)
		}
	})
}
