package manifest

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/yaml"
)

var owner = agent.Owner{Namespace: "team", Name: "shop"}

// fields reads YAML; copies of it show whether somebody changed it.
func fields(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

const ownership = `"sluice.dev/overlay":"shop","sluice.dev/overlay-namespace":"team"`

// Prepare is a table: the object in, the JSON out. Its input is never changed.
func TestPrepare(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{
			"labels are added to those that are there",
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns, labels: {x: "1", sluice.dev/overlay: other}}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"labels":{` + ownership + `,"x":"1"},"name":"a","namespace":"ns"}}`,
		},
		{
			"what the server and controllers own is left out",
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, uid: u, resourceVersion: "1", generation: 2, selfLink: s, creationTimestamp: null,
			  deletionTimestamp: x, deletionGracePeriodSeconds: 3, managedFields: [], finalizers: [f], ownerReferences: []}, status: {a: b}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["f"],"labels":{` + ownership + `},"name":"a","ownerReferences":[]}}`,
		},
		{
			"status is only left out at the top",
			`{apiVersion: e.com/v1, kind: A, metadata: {name: a}, spec: {status: on, metadata: {uid: x}}}`,
			`{"apiVersion":"e.com/v1","kind":"A","metadata":{"labels":{` + ownership + `},"name":"a"},"spec":{"metadata":{"uid":"x"},"status":true}}`,
		},
		{
			"no labels, no annotations",
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: null, annotations: null}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":null,"labels":{` + ownership + `},"name":"a"}}`,
		},
		{
			"rules of an aggregated role belong to its controller",
			`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, aggregationRule: {x: z}, rules: []}`,
			`{"aggregationRule":{"x":"z"},"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"labels":{` + ownership + `},"name":"a"}}`,
		},
		{
			"rules of another role stay, also none",
			`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a}, rules: []}`,
			`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"labels":{` + ownership + `},"name":"a"},"rules":[]}`,
		},
		{
			"an empty Secret is filled at run time",
			`{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {}, stringData: null}`,
			`{"apiVersion":"v1","kind":"Secret","metadata":{"labels":{` + ownership + `},"name":"a"}}`,
		},
		{
			"a Secret with values keeps them",
			`{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {tls.crt: ""}}`,
			`{"apiVersion":"v1","data":{"tls.crt":""},"kind":"Secret","metadata":{"labels":{` + ownership + `},"name":"a"}}`,
		},
		{
			"webhooks: empty rules and empty authorities are left to others",
			`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [
			  {name: a, rules: [], clientConfig: {caBundle: Cg==, service: {name: s}}}, {name: b, rules: [1], clientConfig: {caBundle: cmVhbA==}}, odd]}`,
			`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"labels":{` + ownership + `},"name":"a"},"webhooks":[` +
				`{"clientConfig":{"service":{"name":"s"}},"name":"a"},{"clientConfig":{"caBundle":"cmVhbA=="},"name":"b","rules":[1]},"odd"]}`,
		},
		{
			"mutating webhooks too, and null",
			`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: a, clientConfig: {caBundle: null}}]}`,
			`{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"labels":{` + ownership + `},"name":"a"},"webhooks":[{"clientConfig":{},"name":"a"}]}`,
		},
		{
			"conversion webhooks of CRDs",
			`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {caBundle: "", service: {name: s}}}}}}`,
			`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"labels":{` + ownership + `},"name":"a"},"spec":{"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"service":{"name":"s"}}}}}}`,
		},
		{
			"aggregated APIs",
			`{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, spec: {caBundle: "Cgo=", group: g}}`,
			`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"labels":{` + ownership + `},"name":"a"},"spec":{"group":"g"}}`,
		},
		{
			"the same names in another group are nobody's business",
			`{apiVersion: e.com/v1, kind: Secret, metadata: {name: a}, data: {}}`,
			`{"apiVersion":"e.com/v1","data":{},"kind":"Secret","metadata":{"labels":{` + ownership + `},"name":"a"}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, same := fields(t, test.in), fields(t, test.in)
			object, err := Prepare(in, "a.yaml", owner)
			if err != nil {
				t.Fatal(err)
			}
			if string(object.JSON) != test.want {
				t.Errorf("%s\nwant %s", object.JSON, test.want)
			}
			if !reflect.DeepEqual(in, same) {
				t.Errorf("the input was changed: %v", in)
			}
			if object.Digest != agent.DigestOf(object.JSON) || object.Origin != "a.yaml" {
				t.Errorf("%+v", object)
			}
		})
	}
}

func TestPrepareRefuses(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{metadata: {name: a}}`, "an object has no apiVersion and no kind: every document of a manifest needs both"},
		{`{apiVersion: v1, metadata: {name: a}}`, "an object has no kind: add one"},
		{`{kind: A, metadata: {name: a}}`, "an object of kind A has no apiVersion: add one"},
		{`{apiVersion: a/b/c, kind: A, metadata: {name: a}}`, `the apiVersion "a/b/c" is not of the form group/version or version: mend it`},
		{`{apiVersion: /v1, kind: A, metadata: {name: a}}`, `the apiVersion "/v1" is not of the form group/version or version: mend it`},
		{`{apiVersion: a/, kind: A, metadata: {name: a}}`, `the apiVersion "a/" is not of the form group/version or version: mend it`},
		{`{apiVersion: v1, kind: A}`, "an object of kind A has no metadata.name: add one"},
		{`{apiVersion: v1, kind: A, metadata: [a]}`, "an object of kind A has no metadata.name: add one"},
		{`{apiVersion: v1, kind: A, metadata: {name: 1}}`, "metadata.name of an object of kind A is not a string: put it in quotes"},
		{`{apiVersion: v1, kind: A, metadata: {name: a, namespace: 1}}`, "metadata.namespace is not a string: put it in quotes"},
		{`{apiVersion: v1, kind: A, metadata: {generateName: a-}}`, "an object of kind A has generateName, which would create another one each time: give it a name"},
		{`{apiVersion: v1, kind: A, metadata: {name: a, labels: {x: 1}}}`, "the value of x in metadata.labels is not a string: put it in quotes"},
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {x: true}}}`, "the value of x in metadata.annotations is not a string: put it in quotes"},
		{`{apiVersion: v1, kind: A, metadata: {name: a, labels: [x]}}`, "metadata.labels is not a mapping: write name: value under it"},
	} {
		_, err := Prepare(fields(t, test.in), "", owner)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v\nwant %s", test.in, err, test.want)
		}
	}
}

// An object whose wishes are not understood is refused with all of them, and is there.
func TestPrepareRefusesOneObject(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {sluice.dev/force: all}}}`, `the annotation sluice.dev/force is "all", which is not known: use fields, replace, owner, or several with commas between`},
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {sluice.dev/prune: "no"}}}`, `the annotation sluice.dev/prune is "no", which is not known: use disabled or enabled`},
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {sluice.dev/apply: ""}}}`, `the annotation sluice.dev/apply is "", which is not known: use once, never or always`},
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {sluice.dev/substitute: "true"}}}`, `the annotation sluice.dev/substitute is "true", which is not known: use enabled or disabled`},
		{`{apiVersion: v1, kind: A, metadata: {name: a, annotations: {sluice.dev/apply: never, sluice.dev/prune: "no"}}}`, `the annotation sluice.dev/prune is "no", which is not known: use disabled or enabled`},
	} {
		object, err := Prepare(fields(t, test.in), "", owner)
		if err != nil || object.Refused != test.want || object.Options != (agent.Options{}) || object.Ref.Name != "a" || object.Digest == "" {
			t.Errorf("%s: %+v, %v\nwant %s", test.in, object, err, test.want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		annotation, value string
		want              agent.Options
	}{
		{"force", "fields", agent.Options{ForceFields: true}},
		{"force", "replace, owner", agent.Options{ForceReplace: true, ForceOwner: true}},
		{"prune", "disabled", agent.Options{}},
		{"prune", "enabled", agent.Options{}},
		{"apply", "once", agent.Options{ApplyOnce: true}},
		{"apply", "never", agent.Options{Ignore: true}},
		{"apply", "always", agent.Options{}},
		{"substitute", "enabled", agent.Options{}},
		{"note", "anything", agent.Options{}},
	} {
		got, err := options(map[string]any{"sluice.dev/" + test.annotation: test.value})
		if err != nil || got != test.want {
			t.Errorf("%s: %s: %+v, %v", test.annotation, test.value, got, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		in   any
		want string
	}{
		{1, `1`}, {int64(9007199254740993), `9007199254740993`}, {uint64(12345678901234567890), `12345678901234567890`},
		{1.0, `1`}, {0.1, `0.1`}, {1e21, `1e+21`}, {json.Number("1.10"), `1.10`}, {nil, `null`}, {true, `true`},
		{"<a&b>", `"<a&b>"`}, {"한국어 é", `"한국어 é"`}, {"\u2028", `"\u2028"`}, {"a\xffb", `"a\ufffdb"`},
		{[]any{}, `[]`}, {map[string]any{"b": 1, "a": 2, "B": 3}, `{"B":3,"a":2,"b":1}`},
	} {
		got, err := Canonical(map[string]any{"x": test.in})
		if want := `{"x":` + test.want + `}`; err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
	bottom := 0.0
	for _, test := range []struct {
		in   any
		want string
	}{
		{map[string]any{"y": []any{1, 1 / bottom}}, "x.y[1] is not a number that JSON has: put it in quotes, or write another"},
		{map[string]any{"data": map[any]any{80: "secret"}}, "a name of a field in x.data is not a string: put it in quotes"},
		{func() {}, "it cannot be written as JSON: mend its YAML"},
	} {
		if _, err := Canonical(map[string]any{"x": test.in}); err == nil || err.Error() != test.want {
			t.Errorf("%v; want %s", err, test.want)
		}
	}
}
