package plan

import (
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDiff(t *testing.T) {
	secret := agent.Ref{Kind: "Secret", Namespace: "shop", Name: "s"}
	cases := []struct {
		name          string
		ref           agent.Ref
		before, after string
		want          string
	}{
		{"a scalar", web, "spec: {replicas: 1}", "spec: {replicas: 3}", "~ spec.replicas: 1 -> 3"},
		{"a new map", web, "spec: {}", "spec: {a: {b: c}}", "+ spec.a.b: c"},
		{"a field that goes", conf, "data: {a: x, b: z}", "data: {a: x}", "- data.b: z"},
		{"a list by name", web, "c: [{name: a, image: x:1}, {name: b, image: y:1}]", "c: [{name: b, image: y:2}, {name: a, image: x:1}]", "~ c[b].image: y:1 -> y:2"},
		{"a list by place", web, "args: [a, b]", "args: [a, c]", "~ args[1]: b -> c"},
		{"an annotation", web, "metadata: {annotations: {sluice.dev/force: fields}}", "metadata: {annotations: {}}", "- metadata.annotations[sluice.dev/force]: fields"},
		{"what the server owns", web, "metadata: {uid: a, resourceVersion: '1'}\nstatus: {x: 1}", "metadata: {uid: b}", ""},
		{"a secret", secret, "data: {password: aHVudGVyMg==}", "data: {password: c2VjcmV0}", "~ data.password: *** -> ***"},
		{"a number is a number", web, "a: 1", "a: 1.0", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for _, f := range Diff(c.ref, parse(t, c.before), parse(t, c.after)) {
				lines = append(lines, f.String())
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestDriftLooksOnlyAtWhatGitSays(t *testing.T) {
	live := parse(t, "spec: {replicas: 5, paused: false, containers: [{name: web, image: a}, {name: injected, image: b}]}")
	wanted := parse(t, "spec: {replicas: 3, containers: [{name: web, image: a}]}")
	got := Drift(web, live, wanted)
	if len(got) != 1 || got[0].Path != "spec.replicas" {
		t.Errorf("drift is %v, want spec.replicas alone", got)
	}
}
