package measure

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	const body = ` {"predictions": [0.25, {"score": "0.75", "ok": true, "bad": false}], "": 3, "a/b": {"m~n": 1e-3}, "p95": 0.1000000000000000055,
		"deep": [[[[7]]]], "text": "fast", "none": null, "skip": {"predictions": [9]}, "twice": 1, "twice": 2} `
	for pointer, want := range map[string]string{
		"/predictions/0":       "0.25",
		"/predictions/1/score": "0.75",
		"/predictions/1/ok":    "1",
		"/predictions/1/bad":   "0",
		"/":                    "3",
		"/a~1b/m~0n":           "0.001",
		"/p95":                 "0.1000000000000000055",
		"/deep/0/0/0/0":        "7",
		"/twice":               "1",
	} {
		if got, err := find([]byte(body), pointer); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pointer, got, err, want)
		}
	}
	for pointer, want := range map[string]string{
		"":                        "is no JSON pointer",
		"predictions":             "is no JSON pointer",
		"/prediction":             "has no /prediction: correct",
		"/predictions/2":          "has no /predictions/2",
		"/predictions/-":          "has no /predictions/-",
		"/predictions/-1":         "has no /predictions/-1",
		"/predictions/00":         "has no /predictions/00",
		"/predictions/+1":         "has no /predictions/+1",
		"/predictions/0/x":        "has no /predictions/0/x",
		"/predictions":            "/predictions is a list or an object",
		"/predictions/1":          "is a list or an object",
		"/text":                   `/text is "fast", which is no number`,
		"/none":                   "/none is null",
		"/deep/1":                 "has no /deep/1",
		strings.Repeat("/0", 500): "has no /0/0",
	} {
		if got, err := find([]byte(body), pointer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: want %q, have %q, %v", pointer, want, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                       "is no JSON, but an empty answer",
		"<html>":                 "is no JSON, but HTML",
		"hello":                  "is no JSON, but text",
		`{"a": 1`:                "is no JSON",
		`{"a": 1} {}`:            "is no JSON",
		`{"a": NaN}`:             "is no JSON",
		strings.Repeat("[", 1e5): "is no JSON",
		"5":                      "has no /a",
		"[]":                     "has no /a",
		"{}":                     "has no /a",
	} {
		if got, err := find([]byte(text), "/a"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: want %q, have %q, %v", text, want, got, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(`{"a":[1,{"b":"2"}]}`, "/a/1/b")
	f.Fuzz(func(t *testing.T, body, pointer string) {
		got, err := find([]byte(body), pointer)
		if (err == nil) == (got == "") {
			t.Errorf("%q of %q is %q, %v", pointer, body, got, err)
		}
	})
}
