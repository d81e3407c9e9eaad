package kfp

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
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
