package proposal

import (
	"bytes"
	"testing"
)

// Whatever is in a file, a place changes one stretch of it, on one line, and puts the version
// there.
func FuzzPlaces(f *testing.F) {
	for _, seed := range []string{
		"spec:\n  stages:\n  - name: production\n    version: v7 # x\n",
		"stages: [{name: production, version: 'v7'}]",
		"{\"stages\": [{\"name\": \"production\", \"version\": \"v7\"}]}",
		"patches:\n- patch: |-\n    - op: replace\n      path: /spec/stages/0/version\n      value: v7\n",
		"patches:\r\n- patch: |2\r\n\r\n     - {name: production, version: v7}\r\n",
		"patch: '[{\"path\": \"/version\", \"value\": \"v7\"}]'",
		"- name: production\n  größe: 模型\n",
		"- {name: production}", "- name: production\n  version:\n", "- name: production\n  version: ~",
		"a: &a v7\nb: {name: production, version: *a}", "? name\n: production\n",
		"p: >\n  name: production\n  version: v7\n", "p: \"name: production\\nversion: v7\"",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, file []byte, has bool) {
		s := search{model: "fraud", stage: "production", version: "v8"}
		if has {
			s.current = "v7"
		}
		s.file("x.yaml", file)
		for _, p := range s.places {
			if p.refused != "" {
				continue
			}
			start, end := 0, 0
			for start < min(len(file), len(p.content)) && file[start] == p.content[start] {
				start++
			}
			for end < min(len(file), len(p.content))-start && file[len(file)-1-end] == p.content[len(p.content)-1-end] {
				end++
			}
			removed := file[start : len(file)-end]
			if len(removed) > 8 || bytes.ContainsAny(removed, "\n") {
				t.Fatalf("%q: %q was taken out", file, removed)
			}
			if !bytes.Contains(p.content, []byte("v8")) || p.line < 1 || p.line > 1+bytes.Count(p.content, []byte("\n")) {
				t.Fatalf("%q became %q, line %d", file, p.content, p.line)
			}
			_ = diff(p.path, file, p.content)
		}
	})
}

func TestScalar(t *testing.T) {
	for version, want := range map[string]string{
		"v8": "v8", "8": `"8"`, "1.0": `"1.0"`, "1e3": `"1e3"`, "0x1F": `"0x1F"`, "0b1": `"0b1"`, "0o7": `"0o7"`, "1_000": `"1_000"`, "true": `"true"`, "No": `"No"`,
		"y": `"y"`, "null": `"null"`, "NULL": `"NULL"`, "2026-11-25": `"2026-11-25"`, "20261125-0300": "20261125-0300", "1.2.3": "1.2.3", "latest": "latest",
	} {
		if got := scalar(version, ""); got != want {
			t.Errorf("%s is written %s, want %s", version, got, want)
		}
	}
}
