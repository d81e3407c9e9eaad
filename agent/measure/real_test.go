package measure

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/e2e/prometheus"
)

// hostileVersion is what a version would be called by somebody who wants to be measured as
// another one. No escape of PromQL is missing in it.
const hostileVersion = `v9"} or vector(0) # \d ' é ` + "`\n\x01"

// TestRealPrometheus asks a server: for good answers, for bad ones in its own
// words, and for what hostile names become in its own parser.
func TestRealPrometheus(t *testing.T) {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(hostileVersion)
	exporter := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "errors{version=%q} 0.25\nerrors{version=%q} 0\nerrors{version=%q} 7\nsmall 1e-7\nlarge 1.5e21\n", "v8", "v9", "v910")
		_, _ = io.WriteString(w, `hostile{version="`+quoted+`"} 3`+"\n"+`hostile{version="other"} 4`+"\n")
	})
	server, err := prometheus.Start(t.Context(), prometheus.Options{Targets: []string{strings.TrimPrefix(exporter.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	m := newMeter(t)
	ask := func(query_ string, vars Variables) analysis.Sample {
		return m.Take(t.Context(), query(server.URL, query_), vars, nil)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		said := message(ask("large", Variables{}))
		if said == "" {
			break
		}
		if !strings.Contains(said, "no series match") || time.Since(began) > patience {
			t.Fatal(said)
		}
	}

	v9 := Variables{Model: "errors", Version: "v9", Current: "v8"}
	v9dot := Variables{Version: "v9.", Model: "errors"}
	hostile := Variables{Version: hostileVersion}
	for _, c := range []struct {
		query string
		vars  Variables
		want  string
	}{
		{"1 + 1", v9, "2"},
		{"vector(0.013333333333333334)", v9, "0.013333333333333334"},
		{"-0.5e-3", v9, "-0.0005"},
		{"small", v9, "0.0000001"},
		{"large", v9, "1500000000000000000000"},
		{`${model}{version="${version}"}`, v9, "0"},
		{`errors{version=~"${current}|nothing"}`, v9, "0.25"},
		{`sum(errors{version=~"${version}.*"})`, v9, "7"},
		{`count(errors{version=~"${version}.."}) or vector(-1)`, v9dot, "-1"}, // the dot of a name is no pattern
		{`hostile{version="${version}"}`, hostile, "3"},
		{`hostile{version='${version}'}`, hostile, "3"},
		{`hostile{version=~"${version}"}`, hostile, "3"},
		{`hostile{version!~'${version}'}`, hostile, "4"},
		{"hostile{version=~`${version}`}", hostile, "3"},
		{`hostile{version="other"} # ${model}`, v9, "4"},
		{`count(label_replace(hostile, "copy", "$${1}", "version", "(.*)"))`, v9, "2"},
	} {
		if got := ask(c.query, c.vars); got.Err != nil || got.Value != c.want {
			t.Errorf("%s: want %s, have %+v", c.query, c.want, got)
		}
	}
	for _, c := range []struct{ query, want string }{
		{"nothing_of_that_name", "the query gives nothing: no series match; see whether they are scraped, and correct the labels if so"},
		{"errors", "the query gives 3 series: aggregate it with sum(), or max() or avg()"},
		{"errors[5m]", "the query gives a range of values: make one of it, as with rate(…) or max_over_time(…)"},
		{`"text"`, "the query gives a string: ask for a number"},
		{"0/0", `the query gives NaN, as 0/0 does: wait for traffic, or guard the divisor, as with "> 0"`},
		{"vector(-1/0)", `the query gives -Inf, as dividing by 0 does: guard the divisor, as with "> 0"`},
		{"sum(", `it refuses the query: invalid parameter "query": 1:5: parse error: unclosed left parenthesis; correct the query`},
		{"errors * on() errors", "it refuses the query: found duplicate series for the match group {} on the right hand-side of the operation: "},
	} {
		if said := message(ask(c.query, v9)); !strings.HasPrefix(said, server.URL+": "+c.want) {
			t.Errorf("%s: have %s\nwant %s", c.query, said, c.want)
		}
	}
	wantFailure(t, m.Take(t.Context(), query(server.URL+"/graph", "1"), v9, nil),
		server.URL+"/graph: it answers 404 Not Found: write the address below which /api/v1/query is")
	wantFailure(t, m.Take(t.Context(), query(server.URL, "time()"), Variables{}, map[string][]byte{"ca.crt": []byte("x")}),
		server.URL+": the key ca.crt of the Secret holds no certificate: it has to be in PEM form")
}
