package engine

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

func raw(text string) apiextensionsv1.JSON { return apiextensionsv1.JSON{Raw: []byte(text)} }

// TestBuild makes objects. Archives have in each case run.yaml, a RunTemplate, and object.yaml or error.txt.
func TestBuild(t *testing.T) {
	play(t, "build", func(t *testing.T, s suite, c string) {
		run := Run{
			Namespace: "fraud", Record: "fraud-20261123-0300", UID: "3f2a", Retraining: "fraud", Name: "fraud-20261123-0300-2",
			Parameters: map[string]string{"since": "2026-11-16T03:00:00Z", "rows": "5000"},
		}
		if err := yaml.UnmarshalStrict(s.file(c, "run.yaml"), &run.Template); err != nil {
			t.Fatal(err)
		}
		object, err := Build(run)
		if err != nil {
			if KindOf(err) != Permanent {
				t.Errorf("the error is %s", KindOf(err))
			}
			s.want(t, c, "error.txt", err.Error()+"\n")
			return
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		s.want(t, c, "object.yaml", string(text))
	})
}

// TestBuildLeavesTheTemplate: the same template is built from again at the next attempt.
func TestBuildLeavesTheTemplate(t *testing.T) {
	labels := map[string]string{"team": "fraud"}
	run := Run{Namespace: "fraud", Record: "fraud-1", Name: "fraud-1-1", Template: v1alpha1.RunTemplate{Job: &v1alpha1.ObjectTemplate{Spec: raw(`{"a": 1}`), Labels: labels}}}
	for range 2 {
		if _, err := Build(run); err != nil {
			t.Fatal(err)
		}
	}
	if len(labels) != 1 || string(run.Template.Job.Spec.Raw) != `{"a": 1}` {
		t.Errorf("the template was changed: %v %s", labels, run.Template.Job.Spec.Raw)
	}
}

func TestName(t *testing.T) {
	long := strings.Repeat("fraud-", 12) + "20261123-0300"
	for _, c := range []struct {
		record  string
		attempt int32
		want    string
	}{
		{"fraud-20261123-0300", 1, "fraud-20261123-0300-1"},
		{"fraud-20261123-0300", 17, "fraud-20261123-0300-17"},
		{"fraud.weekly-1", 1, "fraud-weekly-1-31375f0a57-1"},
		{"2nd-model-1", 1, "run-2nd-model-1-26fa3b7a8d-1"},
		{"a-name-that-katib-does-not-take-20261125-0300", 12, "a-name-that-katib-does-not-229d253db9-12"},
		{long, 2, "fraud-fraud-fraud-fraud-fra-3a0b9beabb-2"},
	} {
		got := Name(c.record, c.attempt)
		if len(got) > longestName || len(validation.IsDNS1035Label(got)) > 0 {
			t.Errorf("%s is no name for all engines", got)
		}
		if got != c.want {
			t.Errorf("Name(%s, %d) = %s, want %s", c.record, c.attempt, got, c.want)
		}
	}
	names := map[string]string{}
	for _, record := range []string{"fraud-1", "fraud-1-1", "fraud.1", "fraud", long, long + "1", "1", "a.b-c", "a-b.c"} {
		for attempt := range int32(17) {
			name := Name(record, attempt+1)
			if other, taken := names[name]; taken {
				t.Errorf("%s is the name for %s and for %s", name, record, other)
			}
			names[name] = record
		}
	}
}

// FuzzName: what the API server takes as the name of a record gives a name that all engines take, and another
// record or attempt gives another one, unless somebody has named a record after the digest of another.
func FuzzName(f *testing.F) {
	for _, record := range []string{"fraud-20261125-0300", "a.b", "3", "3d", "a-b.c", strings.Repeat("x-", 60) + "x", strings.Repeat("1.", 40) + "1", "run-1"} {
		f.Add(record, "a.b-c", int32(1), int32(17))
	}
	f.Fuzz(func(t *testing.T, one, two string, first, second int32) {
		if first < 1 || second < 1 || len(validation.IsDNS1123Subdomain(one)) > 0 || len(validation.IsDNS1123Subdomain(two)) > 0 {
			t.Skip()
		}
		name := Name(one, first)
		if err := checkName(name); err != nil {
			t.Errorf("Name(%q, %d): %v", one, first, err)
		}
		if (one != two || first != second) && name == Name(two, second) {
			t.Errorf("%s is the name for attempt %d at %s and for attempt %d at %s", name, first, one, second, two)
		}
	})
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"fraud-1": true, "": false, "Fraud": false, "1fraud": false, "fraud.1": false, "fraud-": false, "fraud\n": false, strings.Repeat("a", 40): true, strings.Repeat("a", 41): false,
	} {
		if err := checkName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLabelled(t *testing.T) {
	for _, name := range []string{"fraud", strings.Repeat("a.", 120) + "b", strings.Repeat("a", 45) + "..." + strings.Repeat("b", 30)} {
		if wrong := validation.IsValidLabelValue(labelled(name)); len(wrong) > 0 {
			t.Errorf("%s: %v", labelled(name), wrong)
		}
	}
}

func TestExpressionsAreBounded(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{strings.Repeat("a", longestQuestion+1), "longer than 1024 characters"},
		{strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), "does not compile"},
		{"object.a.matches('a')", "undeclared reference to 'matches'"},
		{"object.done", ""},
		{"", "does not compile"},
	} {
		_, err := newQuestion("succeeded", c.text, true)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.40s: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestExpressionsThatAreDear(t *testing.T) {
	for _, text := range []string{
		"['a','a','a','a','a','a','a','a'].map(a, ['a','a','a','a','a','a','a','a'].map(b, ['a','a','a','a','a','a','a','a'].map(c, ['a','a','a','a','a','a','a','a'].map(d, ['a','a','a','a','a','a','a','a'].map(e, ['a','a','a','a','a','a','a','a'].map(f, a+b+c+d+e+f)))))).size() > 1",
		"object.list.all(x, object.list.all(y, object.long + object.long != object.long))",
	} {
		q, err := newQuestion("succeeded", text, true)
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.flag(fields{"long": strings.Repeat("a", 1000), "list": make([]any, 1000)})
		if err == nil || !strings.Contains(err.Error(), "takes more than") {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}

// FuzzQuestion: whatever an expression says, compiling and asking it does not panic, and comes to an end.
func FuzzQuestion(f *testing.F) {
	for _, text := range []string{
		"object.status.phase == 'Done'", "object.a[0].b", "object.list.all(x, x.y > 1)", "object.?a.orValue('x')", "[1,2].map(x, x/0)", "timestamp(object.t) > timestamp('2026-01-01T00:00:00Z')",
		"string(object.n) + 'a'", "{'a': object}.a", "duration('1h') > object.d", "size(object.list) > 2 ? 'a' : object.list[7]", "type(object)", "b'abc'", "9223372036854775807 + object.n",
	} {
		f.Add(text)
	}
	object := fields{
		"status": map[string]any{"phase": "Done"}, "a": []any{map[string]any{"b": "c"}}, "list": []any{int64(1), 2.5, "x", nil, true, map[string]any{"y": int64(3)}},
		"t": "2026-11-23T03:00:00Z", "n": int64(5), "d": "2h",
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, flag := range []bool{true, false} {
			q, err := newQuestion("succeeded", text, flag)
			if err != nil {
				if KindOf(err) != Permanent {
					t.Error(err)
				}
				continue
			}
			_, _ = q.flag(object)
			_, _ = q.text(object)
		}
	})
}
