package fill

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"
)

func values(t testing.TB) Values {
	t.Helper()
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	return Values{
		Slot: time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC).In(seoul), Run: "fraud-20261125-1800", Attempt: 2,
		LastSuccess: time.Date(2026, 11, 18, 18, 40, 0, 0, time.UTC), Model: "fraud", Revision: "main@sha1:abc",
		Versions: map[string]string{"production": "v7", "staging": "v8"},
		Data:     &Data{Fingerprint: "9f2c", Count: 12, Newest: time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC)},
	}
}

func TestFill(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain } text", "plain } text"},
		{`{{ .Slot }}`, "2026-11-26T03:00:00+09:00"},
		{`{{ .Slot.Format "20060102-1504" }}`, "20261126-0300"},
		{`{{ .Slot.UTC.Format "20060102-1504" }}`, "20261125-1800"},
		{`{{ (.Slot.Add "-24h").Format "2006/01/02" }}`, "2026/11/25"},
		{`{{ .Slot.Unix }}`, "1795629600"},
		{`{{ .LastSuccess }}`, "2026-11-19T03:40:00+09:00"},
		{`{{ if .LastSuccess.IsZero }}all{{ else }}since {{ .LastSuccess.Unix }}{{ end }}`, "since 1795027200"},
		{`{{ .Model }}-{{ .Run }}-{{ .Attempt }}`, "fraud-fraud-20261125-1800-2"},
		{`{{ .Version "production" }}`, "v7"},
		{`{{ if eq (.Version "staging") (.Version "production") }}same{{ else }}another{{ end }}`, "another"},
		{`{{ .Data.Fingerprint }} {{ .Data.Count }} {{ .Data.Newest.Format "15:04" }}`, "9f2c 12 02:00"},
		{`{{ with .Data }}{{ .Count }} of {{ $.Model }}{{ end }}`, "12 of fraud"},
		{`{{ $x := .Revision }}{{ slice $x 10 }}`, "abc"},
		{`{{ printf "%s-%03d" .Model .Attempt }}`, "fraud-002"},
		{`{{ printf "%.4s" .Revision | printf "%q" }}`, `"main"`},
		{`{{ print .Model "/" .Slot.Unix }}`, "fraud/1795629600"},
		{`{{ len .Model }}{{ if and (gt .Attempt 1) (not false) }}!{{ end }}`, "5!"},
		{`{{ "{{" }}workflow.name}}`, "{{workflow.name}}"},
		{"a {{- /* nothing */ -}} b", "ab"},
		{`{"a": "{{ .Model }}"}`, `{"a": "fraud"}`},
	} {
		template, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		for range 2 {
			if got, err := template.Fill(values(t)); err != nil || got != c.want {
				t.Errorf("%s: got %q, want %q, %v", c.text, got, c.want, err)
			}
		}
	}
}

// The very first run has no success before it.
func TestFillNothing(t *testing.T) {
	template, err := Parse(`{{ .Slot }}/{{ .LastSuccess }}/{{ .LastSuccess.UTC.Format "2006" }}/{{ (.LastSuccess.Add "1h").IsZero }}/{{ .Revision }}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := must(t, "{{ with .Data }}{{ .Count }}{{ else }}no data{{ end }}").Fill(Values{}); err != nil || got != "no data" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := template.Fill(Values{}); err != nil || got != "///true/" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{{ .Slo }}", `the template "{{ .Slo }}" cannot be read: at 1:3: there is no .Slo; there are .Attempt, .Data, .LastSuccess, .Model, .Revision, .Run, .Slot, .Version`},
		{"a\nb {{ .Slot.Year }}", `at 2:10: there is no .Year; there are .Add, .Format, .IsZero, .UTC, .Unix`},
		{"{{ .Slot.time }}", "there is no .time"},
		{"{{ .versions }}", "there is no .versions"},
		{"{{ .data }}", "there is no .data"},
		{"{{ .Data.Size }}", "there is no .Size; there are .Count, .Fingerprint, .Newest"},
		{"{{ $.Slo }}", "there is no .Slo"},
		{"{{ .Model.Name }}", "there is no .Name; there are none of a text or a number"},
		{"{{ with .Data }}{{ $.Slo }}{{ end }}", "there is no .Slo"},
		{"{{ if .Model }}{{ else if .Slo }}{{ end }}", "there is no .Slo"},
		{"{{ printf \"%s\" (.Slo) }}", "there is no .Slo"},
		{"{{ .Slot", `unclosed action; to pass on {{ as it is, write {{"{{"}}`},
		{"{{workflow.name}}", `at 1: function "workflow" not defined; to pass on {{ as it is, write {{"{{"}}`},
		{"{{=inputs.parameters.x}}", `unexpected "="`},
		{"{{ end }}", "unexpected {{end}}"},
		{"{{ range 1000000000 }}{{ end }}", "at 1:9: there are no loops, and no templates in templates"},
		{"{{ if true }}{{ range .Model }}{{ break }}{{ end }}{{ end }}", "there are no loops"},
		{`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, "there are no define and block"},
		{`{{ block "x" . }}{{ end }}`, "there are no define and block"},
		{`{{ template "x" }}`, "there are no loops, and no templates in templates"},
		{`{{ js "x" }}`, "at 1:3: there is no function js; there are and, or, not"},
		{`{{ "x" | html | urlquery }}`, "there is no function html"},
		{`{{ call .Version "x" }}`, "there is no function call"},
		{strings.Repeat("{{ .Model }}", 2000), "is longer than 16384 bytes"},
		{"{{ " + strings.Repeat("(", 7000), "cannot be read"},
		{"{{ 1e99999999 }}", "cannot be read"},
	} {
		_, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 700 {
			t.Errorf("%.60s: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestFillRefuses(t *testing.T) {
	bomb := `{{ $x := "aaaaaaaaaaaaaaaa" }}` + strings.Repeat(`{{ $x = print $x $x $x $x }}`, 400)
	for _, c := range []struct{ text, want string }{
		{`{{ .Version "prod" }}`, `the template "{{ .Version \"prod\" }}" cannot be filled: at 1:3: nothing serves in a stage "prod"; stages with a version: production, staging`},
		{`{{ .Version }}`, "at 1:3: wrong number of args for Version: want 1 got 0"},
		{`{{ .Slot.Add "a day" }}`, `at 1:8: "a day" is no duration: write for instance "-24h"`},
		{`{{ .Slot.Format .Slot }}`, "wrong type for value"},
		{`{{ with .Slot }}{{ .Hour }}{{ end }}`, "can't evaluate field Hour"},
		{`{{ slice .Model 9 }}`, "index out of range"},
		{`{{ index .Model 99 }}`, "index out of range"},
		{`{{ print . }}`, "only texts, numbers, times, true and false can be printed"},
		{`{{ print .Data }}`, "only texts, numbers, times, true and false can be printed"},
		{`{{ printf "%1000d" 1 }}`, `the format "%1000d" has a width above 999, a * or a [`},
		{`{{ printf "%-.99999d" 1 }}`, "has a width above 999"},
		{`{{ printf "%*d" 900 1 }}`, "has a width above 999, a * or a ["},
		{`{{ printf "%[1]s%[1]s" "x" }}`, "has a width above 999, a * or a ["},
		{`{{ .Slot.Format (printf "%999d" 1) }}`, "the layout of a time is longer than 256 bytes"},
		{bomb, "it becomes longer than 65536 bytes"},
		{strings.Repeat(`{{ printf "%999d" 1 }}`, 100), "it becomes longer than 65536 bytes"},
		{`{{ printf "` + strings.Repeat("%999d", 100) + `" }}{{ $x := printf "%999s" "" }}{{ printf "` + strings.Repeat("%999d", 500) + `" 1 }}`, ""},
	} {
		template, err := Parse(c.text)
		if err != nil {
			t.Errorf("%.60s: %v", c.text, err)
			continue
		}
		got, err := template.Fill(values(t))
		if c.want == "" {
			if err == nil && len(got) > longestResult {
				t.Errorf("%.60s: %d bytes", c.text, len(got))
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
			t.Errorf("%.60s: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := (must(t, "{{ .Data.Count }}")).Fill(Values{}); err == nil || !strings.Contains(err.Error(), "there is no data: the Retraining has no triggers.data, or has not looked yet") {
		t.Error(err)
	}
}

func must(t testing.TB, text string) Template {
	t.Helper()
	template, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// A template that makes as much as it can stays within some megabytes.
func TestFillIsBounded(t *testing.T) {
	part := `{{ $y = print $x $x $x }}`
	template := must(t, `{{ $x := printf "%999s%999s%999s%999s%999s%999s%999s%999s%999s%999s" "" "" "" "" "" "" "" "" "" "" }}{{ $y := "" }}`+strings.Repeat(part, 500))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := template.Fill(values(t)); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 100<<20 {
		t.Errorf("%d bytes", used)
	}
}

func TestDocument(t *testing.T) {
	const document = ` {"replicas" : 3, "big":12345678901234567890.10 ,"{{ .Key }}": "<&>\u00e9",
  "args": [ "--date={{ .Slot.Format \"2006-01-02\" }}" , {"name": "{{ .Model }}", "name": "{{ .Model }}"}, null, true, "", [[]], {} ],
  "html": "<{{ .Model }}>&", "z": 1e999}
`
	const want = ` {"replicas" : 3, "big":12345678901234567890.10 ,"{{ .Key }}": "<&>\u00e9",
  "args": [ "--date=2026-11-26" , {"name": "fraud", "name": "fraud"}, null, true, "", [[]], {} ],
  "html": "<fraud>&", "z": 1e999}
`
	d, err := ParseJSON([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Fill(values(t)); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	for _, same := range []string{`{}`, `"text"`, `3`, `[1, "a"]`, `null`} {
		d, err := ParseJSON([]byte(same))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Fill(values(t)); err != nil || string(got) != same {
			t.Errorf("%s became %s, %v", same, got, err)
		}
	}
}

// What is filled in cannot become more than a string.
func TestDocumentCannotBeBroken(t *testing.T) {
	v := values(t)
	v.Model = "\"}, \"x\": {\"\u2028\n\xff"
	d, err := ParseJSON([]byte(`{"a": "{{ .Model }}", "b": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	filled, err := d.Fill(v)
	var got map[string]any
	if err != nil || json.Unmarshal(filled, &got) != nil || len(got) != 2 || !strings.HasPrefix(got["a"].(string), `"}, "x": {"`) {
		t.Errorf("%s, %v", filled, err)
	}
}

func TestDocumentRefuses(t *testing.T) {
	for _, c := range []struct{ document, want string }{
		{``, "it is no JSON"},
		{`{"a": }`, "it is no JSON"},
		{`{} {}`, "it is no JSON"},
		{`"` + strings.Repeat("a", largest) + `"`, "it is larger than 1048576 bytes"},
		{strings.Repeat("[", 101) + strings.Repeat("]", 101), "it is deeper than 100 levels"},
		{strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "it is no JSON"},
		{`{"template": {"spec": {"containers": [{"args": ["x", "{{ .Slo }}"]}]}}}`, `template.spec.containers[0].args[1]: the template "{{ .Slo }}" cannot be read: at 1:3: there is no .Slo`},
		{`["{{workflow.name}}"]`, `[0]: the template "{{workflow.name}}" cannot be read: at 1: function "workflow" not defined; to pass on {{ as it is, write {{"{{"}}`},
	} {
		_, err := ParseJSON([]byte(c.document))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %s", c.document, err, c.want)
		}
	}
	d, err := ParseJSON([]byte(`{"a": {"b": "{{ .Version \"none\" }}"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Fill(values(t)); err == nil || !strings.HasPrefix(err.Error(), `a.b: the template`) {
		t.Error(err)
	}
	large := `"{{ printf \"` + strings.Repeat("%999s", 60) + `\"` + strings.Repeat(` \"\"`, 60) + ` }}"`
	d, err = ParseJSON([]byte("[" + strings.Repeat(large+",", 30) + "1]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Fill(values(t)); err == nil || !strings.Contains(err.Error(), "it becomes larger than 1048576 bytes") {
		t.Error(err)
	}
}

func FuzzFill(f *testing.F) {
	for _, text := range []string{`{{ .Slot.Format "2006" }}`, `{{ if .Model }}a{{ else with .Data }}{{ .Count }}{{ end }}`, `{{ $x := print .Model 1 2.5 }}{{ $x }}`, `{{ printf "%5.2f|%v" 1.5 .Slot }}`, `{{ index .Model 0 | printf "%c" }}`, `{{ .Version "staging" | slice 0 }}`, "{{"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		template, err := Parse(text)
		if err == nil {
			var got string
			if got, err = template.Fill(values(t)); len(got) > longestResult && len(got) > len(text) {
				t.Fatalf("%d bytes", len(got))
			}
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Fatalf("an error of %d bytes", len(err.Error()))
		}
		quoted, _ := json.Marshal(map[string]any{"k": []string{text}})
		d, err := ParseJSON(quoted)
		if err != nil {
			return
		}
		if filled, err := d.Fill(values(t)); err == nil && !json.Valid(filled) {
			t.Fatalf("%s", filled)
		}
	})
}
