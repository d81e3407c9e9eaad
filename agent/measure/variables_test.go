package measure

import (
	"strings"
	"testing"
)

var usual = Variables{
	Model: "fraud", Stage: "production", Namespace: "fraud-prod", Version: "v9.1", Service: "fraud-v9",
	Current: "v8", CurrentService: "fraud-v8", URL: "http://fraud-v9.fraud-prod.example.com",
}

func TestFillQuery(t *testing.T) {
	hostile := usual
	hostile.Version = `"} or vector(0) # \ ' ` + "`\n"
	hostile.Service = ".*|x"
	for _, c := range []struct {
		name, query string
		vars        Variables
		want        string
	}{
		{"nothing to fill in", `up{a="$1"} > $`, usual, `up{a="$1"} > $`},
		{"every variable", `{a="${model}/${stage}/${namespace}/${version}/${service}/${current}/${currentService}/${url}"}`, usual,
			`{a="fraud/production/fraud-prod/v9.1/fraud-v9/v8/fraud-v8/http://fraud-v9.fraud-prod.example.com"}`},
		{"the text itself", `label_replace(x, "a", "$${1}$$${2}", "b", "(.*)")`, usual, `label_replace(x, "a", "${1}$${2}", "b", "(.*)")`},
		{"a plain name outside of quotes", `${model}_requests{s="x"}`, usual, `fraud_requests{s="x"}`},
		{"a regular expression", `x{v=~"${version}"}`, usual, `x{v=~"v9\x5c.1"}`},
		{"its opposite, with spaces", "x{v !~\n '${version}.*'}", usual, "x{v !~\n 'v9\\x5c.1.*'}"},
		{"a regular expression between backquotes", "x{v=~`${version}`}", usual, "x{v=~`v9\\.1`}"},
		{"after a string with escaped quotes", `x{a="\"",b='\\',v="${version}"}`, usual, `x{a="\"",b='\\',v="v9.1"}`},
		{"after a comment with a quote", "x # it's\n{v=\"${version}\"}", usual, "x # it's\n{v=\"v9.1\"}"},
		{"not every = is followed by a pattern", `x == "${version}"`, usual, `x == "v9.1"`},

		{"hostile, between double quotes", `x{v="${version}"}`, hostile, `x{v="\x22} or vector(0) # \x5c \x27 ` + "`" + `\x0a"}`},
		{"hostile, between single quotes", `x{v='${version}'}`, hostile, `x{v='\x22} or vector(0) # \x5c \x27 ` + "`" + `\x0a'}`},
		{"hostile, as a pattern", `x{v=~"${service}"}`, hostile, `x{v=~"\x5c.\x5c*\x5c|x"}`},
		{"hostile, as a pattern between backquotes", "x{v=~`${version}`}", hostile, "x{v=~`\"\\} or vector\\(0\\) # \\\\ ' \\x60\n`}"},
	} {
		got, err := fillQuery(c.query, c.vars)
		if err != nil || got != c.want {
			t.Errorf("%s:\n%s\nbecomes\n%s, %v\nwant\n%s", c.name, c.query, got, err, c.want)
		}
	}
}

func TestFillQueryRefuses(t *testing.T) {
	odd := usual
	odd.Version = "a`b"
	for _, c := range []struct {
		query string
		vars  Variables
		want  string
	}{
		{`x{v="${verison}"}`, usual, "${verison} is no variable: use one of ${model}, ${stage}, "},
		{`x{v="${}"}`, usual, "${} is no variable"},
		{`x{v="${MODEL}"}`, usual, "${MODEL} is no variable"},
		{`x{v="${model"}`, usual, `${model"} is no variable`},
		{`x{v="${model"`, usual, "there is a ${ without a }"},
		{`x{v="${current}"}`, Variables{Version: "v1"}, "${current} has no value: nothing serves in the stage yet"},
		{`x{v="${model}"}`, Variables{}, "${model} has no value here"},
		{`rate(${service}[1m])`, usual, `${service} is "fraud-v9" here, which cannot stand outside of quotes: put it between double quotes`},
		{"x # ${version}", usual, "cannot stand outside of quotes"},
		{"x{v=`${version}`}", odd, "cannot stand between backquotes"},
		{`"` + strings.Repeat("${model}", 500) + `"`, Variables{Model: strings.Repeat("m", 253)}, "it becomes longer than 64 KiB"},
	} {
		if got, err := fillQuery(c.query, c.vars); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: want %q, have %q, %v", c.query, c.want, got, err)
		}
	}
}

func TestFillURL(t *testing.T) {
	hostile := usual
	hostile.Version = "../a b?c#d&e=f%2f@g"
	for _, c := range []struct {
		text string
		vars Variables
		want string
	}{
		{"http://${service}.${namespace}.svc:8080/v1/models/${model}:predict", usual, "http://fraud-v9.fraud-prod.svc:8080/v1/models/fraud:predict"},
		{"${url}/v1/models/${model}:predict", usual, "http://fraud-v9.fraud-prod.example.com/v1/models/fraud:predict"},
		{"${url}?v=${version}", usual, "http://fraud-v9.fraud-prod.example.com?v=v9.1"},
		{"http://probe/check?target=${url}&v=${version}", usual, "http://probe/check?target=http%3A%2F%2Ffraud-v9.fraud-prod.example.com&v=v9.1"},
		{"http://probe/$${model}", usual, "http://probe/${model}"},
		{"http://probe/a/${version}", hostile, "http://probe/a/..%2Fa%20b%3Fc%23d&e=f%252f@g"},
		{"http://probe/?v=${version}&w=1", hostile, "http://probe/?v=..%2Fa+b%3Fc%23d%26e%3Df%252f%40g&w=1"},
	} {
		if got, err := fillURL(c.text, c.vars); err != nil || got != c.want {
			t.Errorf("%s becomes\n%s, %v\nwant\n%s", c.text, got, err, c.want)
		}
	}
	slash := usual
	slash.URL = "https://example.com/"
	if got, err := fillURL("${url}/x", slash); err != nil || got != "https://example.com/x" {
		t.Errorf("a URL with a slash at its end: %s, %v", got, err)
	}
	bad := hostile
	bad.URL, bad.Service = "javascript:alert(1)", "evil.example.com/"
	for text, want := range map[string]string{
		"${url}/x":                  "${url} cannot be the beginning of a URL here",
		"http://${version}/":        "cannot be in the name of a host",
		"http://a.${service}":       "cannot be in the name of a host",
		"${service}/x":              "cannot be in the name of a host",
		"http://probe/${modell}":    "${modell} is no variable",
		"http://probe/${url":        "a ${ without a }",
		"http://user:${version}@x/": "cannot be in the name of a host",
	} {
		if got, err := fillURL(text, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, have %q, %v", text, want, got, err)
		}
	}
}

// FuzzFillQuery looks for values that change what a query is: the query is cut at the value, and
// what follows has to be in the same place as with a value of letters.
func FuzzFillQuery(f *testing.F) {
	f.Add(`x{v="`, `"} or vector(0)`)
	f.Add("x{v=~'", `\`)
	f.Add("`", "`")
	f.Fuzz(func(t *testing.T, before, value string) {
		if strings.Contains(before, "${") || strings.HasSuffix(before, "$") || value == "" || len(before)+len(value) > 1000 {
			return
		}
		filled, err := fillQuery(before+"${version}", Variables{Version: value})
		if err != nil {
			return
		}
		if placeAfter(filled) != placeAfter(before+"x") {
			t.Errorf("%q with %q is %q, which goes on elsewhere", before, value, filled)
		}
	})
}
