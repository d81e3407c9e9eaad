package validate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// What a kustomization names, by any of its fields, is not built by itself.
func TestSurvey(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"top/kustomization.yaml": `
resources: [../base, https://example.com/remote, all.yaml]
bases: [../old]
components: [../parts/blue]
generators: [generate.yaml]
patches: [{path: patch.yaml}, {patch: inline}]
patchesJson6902: [{path: json.yaml}]
replacements: [{path: replace.yaml}]
configMapGenerator: [{files: [plain.yaml, renamed=other.yaml], envs: [env.yaml]}]
secretGenerator: [{env: secret.yaml}]
openapi: {path: schema.yaml}`,
		"base/kustomization.yml":        "resources: []",
		"old/Kustomization":             "",
		"parts/blue/kustomization.yaml": "kind: Component",
		"parts/red/kustomization.yaml":  "kind: Component",
		"damaged/kustomization.yaml":    "resources: {a: b",
		".hidden/kustomization.yaml":    "",
		".hidden/note.yaml":             "",
		"notes.yml":                     "",
		"README.md":                     "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, name := range []string{"all", "generate", "patch", "json", "replace", "plain", "other", "env", "secret", "schema", "nobody"} {
		files["top/"+name+".yaml"] = &fstest.MapFile{}
	}
	s, err := look(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.roots(); !slices.Equal(got, []string{"damaged", "top"}) {
		t.Errorf("roots are %v", got)
	}
	if got := s.plain(); !slices.Equal(got, []string{"notes.yml", "top/nobody.yaml"}) {
		t.Errorf("manifests that nobody names are %v", got)
	}
}

func TestDocumentsOf(t *testing.T) {
	const one, two = "apiVersion: sluice.dev/v1alpha1\nkind: One\n", "apiVersion: sluice.dev/v1alpha1\nkind: Two\n"
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"somebody else's", "apiVersion: v1\nkind: ConfigMap\n", ""},
		{"somebody else's that is no YAML", "{{ apiVersion: }}\n---\n" + one, "3 One"},
		{"two", one + "---\n" + two, "1 One, 4 Two"},
		{"with space around", "\n\n" + one + "\n---\n\n---\n\n" + two, "3 One, 10 Two"},
		{"comments", "# Ours\n" + one + "--- # and\n# theirs\n" + two, "1 One, 4 Two"},
		{"carriage returns", strings.ReplaceAll(one+"---\n"+two, "\n", "\r\n"), "1 One, 4 Two"},
		{"no YAML", one + "---\n" + two + "  so: odd\n", "1 One, 6 this is no YAML: mapping values are not allowed in this context"},
		{"no YAML without a line", one + "metadata: [a\n", "3 this is no YAML: did not find expected ',' or ']'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, d := range documentsOf([]byte(test.text)) {
				if d.err != nil {
					got = append(got, fmt.Sprint(d.line, " ", d.err))
					continue
				}
				got = append(got, fmt.Sprint(d.line, " ", d.fields["kind"]))
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("found %s, want %s", got, test.want)
			}
		})
	}
}

func TestFieldLine(t *testing.T) {
	const text = `# A comment
spec:
  prune: true
  dependsOn:
  - name: a
---
spec: {path: a}
--- # the last
spec:
  path: b
`
	for _, test := range []struct {
		start int
		field string
		want  int
	}{
		{1, "spec.prune", 3},
		{1, "spec.dependsOn[0].name", 5}, // in a list
		{1, "spec.dependsOn[0]", 1},      // an element has no name
		{1, "", 1},
		{1, "spec.path", 1}, // it is in the next document
		{7, "spec.path", 7}, // in flow style
		{9, "path", 10},
		{9, "nope", 9},
		{99, "path", 99},
	} {
		if got := fieldLine([]byte(text), test.start, test.field); got != test.want {
			t.Errorf("%s from line %d is at %d, want %d", test.field, test.start, got, test.want)
		}
	}
}
