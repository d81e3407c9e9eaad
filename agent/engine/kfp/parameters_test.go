package kfp

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	p := trainPackage(t)
	for _, c := range []struct {
		name   string
		texts  map[string]string
		values string
		want   string
	}{
		{"the least", map[string]string{"data": "s3://x"}, "", `{"data":"s3://x"}`},
		{"texts as what they are for", map[string]string{"data": "7", "rows": " 7 ", "rate": "1e-3", "balance": "True", "columns": `["a"]`, "grid": `{"depth":[3,5]}`, "mode": "slow"}, "",
			`{"balance":true,"columns":["a"],"data":"7","grid":{"depth":[3,5]},"mode":"slow","rate":1e-3,"rows":7}`},
		{"values", map[string]string{"data": ""}, `{"rows":10,"rate":2,"balance":false,"columns":[],"grid":{}}`,
			`{"balance":false,"columns":[],"data":"","grid":{},"rate":2,"rows":10}`},
		{"the largest", map[string]string{"data": "", "rows": "9007199254740992"}, "", `{"data":"","rows":9007199254740992}`},
		{"null", map[string]string{"data": ""}, "null", `{"data":""}`},
	} {
		values, err := p.Values(c.texts, json.RawMessage(c.values))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		data, err := json.Marshal(values)
		if err != nil || string(data) != c.want {
			t.Errorf("%s: %s and %v, want %s", c.name, data, err, c.want)
		}
	}
}

func TestValuesRefuse(t *testing.T) {
	p := trainPackage(t)
	const known = "it has balance, columns, data, grid, mode, rate, rows"
	for _, c := range []struct {
		name   string
		texts  map[string]string
		values string
		want   string
	}{
		{"missing", nil, "", "data is missing, and has no default"},
		{"unknown", map[string]string{"data": "", "row": "1"}, "", "row is unknown: " + known},
		{"an unknown value", map[string]string{"data": ""}, `{"row":1}`, "row is unknown: " + known},
		{"twice", map[string]string{"data": ""}, `{"data":"x"}`, "data is given twice: as a text and as a value"},
		{"no whole number", map[string]string{"data": "", "rows": "1.5"}, "", "rows has to be a whole number, and is 1.5"},
		{"no number", map[string]string{"data": "", "rows": "many"}, "", `rows has to be a whole number, and is "many"`},
		{"a number in quotes", map[string]string{"data": "", "rows": `"7"`}, "", `rows has to be a whole number, and is "7"`},
		{"rounded", map[string]string{"data": "", "rows": "9007199254740993000"}, "", "rows is 9007199254740993000, which would be rounded: give it as a text to a parameter of the type STRING"},
		{"not a number", map[string]string{"data": "", "rate": "NaN"}, "", `rate has to be a number, and is "NaN"`},
		{"too large", map[string]string{"data": "", "rate": "1e999"}, "", "rate is 1e999, which is too large for a number"},
		{"hexadecimal", map[string]string{"data": "", "rate": "0x1p-2"}, "", `rate has to be a number, and is "0x1p-2"`},
		{"no truth", map[string]string{"data": "", "balance": "yes"}, "", `balance has to be true or false, and is "yes"`},
		{"a truth that is a number", map[string]string{"data": ""}, `{"balance":1}`, "balance has to be true or false, and is 1"},
		{"no list", map[string]string{"data": "", "columns": "a,b"}, "", `columns has to be a list in JSON, and is "a,b"`},
		{"a mapping for a list", map[string]string{"data": ""}, `{"columns":{}}`, "columns has to be a list in JSON, and is {}"},
		{"no mapping", map[string]string{"data": "", "grid": "[]"}, "", "grid has to be a mapping in JSON, and is []"},
		{"two mappings", map[string]string{"data": "", "grid": "{}{}"}, "", `grid has to be a mapping in JSON, and is "{}{}"`},
		{"a value for a text", nil, `{"data":7}`, "data has to be a text, and is 7"},
		{"null", nil, `{"data":null}`, "data has to be a text, and is null"},
		{"no literal", map[string]string{"data": "", "mode": "warp"}, "", `mode is "warp", and has to be one of "fast", "slow"`},
		{"all of them", map[string]string{"rows": "x", "rate": "y"}, "", `rate has to be a number, and is "y"; rows has to be a whole number, and is "x"; data is missing, and has no default`},
	} {
		_, err := p.Values(c.texts, json.RawMessage(c.values))
		if want := "the parameters do not fit the pipeline fraud-train: " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s:\nhave %v\nwant %s", c.name, err, want)
		} else if ReasonOf(err) != Invalid {
			t.Errorf("%s: %s", c.name, ReasonOf(err))
		}
	}
	for _, values := range []string{"[]", "7", "{", "{}{}"} {
		if _, err := p.Values(nil, json.RawMessage(values)); err == nil || !strings.Contains(err.Error(), "no mapping of names") {
			t.Errorf("%s: %v", values, err)
		}
	}
	many := map[string]string{"data": ""}
	for i := range 128 {
		many[strings.Repeat("x", i+1)] = ""
	}
	if _, err := p.Values(many, nil); err == nil || len(err.Error()) > 1000 {
		t.Errorf("it does not fit into a status: %v", err)
	}
	if _, err := small(t, "x").Values(map[string]string{"a": "b"}, nil); err == nil || !strings.Contains(err.Error(), "a is unknown: it has none") {
		t.Errorf("of none: %v", err)
	}
}
