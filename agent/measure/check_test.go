package measure

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func TestCheck(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/v1/models/fraud:predict":
			if r.Method != http.MethodPost || string(body) != `{"instances":[[1,2]]}` || r.Header.Get("Content-Type") != "application/json" ||
				r.Host != "fraud.example.com" || r.Header.Get("X-Team") != "ml" || r.UserAgent() != "probe" {
				t.Errorf("%s %s with %v to %s", r.Method, body, r.Header, r.Host)
			}
			_, _ = io.WriteString(w, `{"predictions":[0.75]}`)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"predictions":[0.75]}`)
		case "/made":
			w.WriteHeader(http.StatusCreated)
		case "/page":
			_, _ = io.WriteString(w, "<html>")
		case "/trickle":
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		case "/huge":
			_, _ = w.Write(make([]byte, 4*maxBody))
		case "/huge-and-broken":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(make([]byte, 4*maxBody))
		}
	})
	m := newMeter(t)
	take := func(c v1alpha1.HTTPCheck) analysis.Sample {
		t.Helper()
		return m.Take(t.Context(), check(c), usual, nil)
	}
	for _, c := range []struct {
		check v1alpha1.HTTPCheck
		want  analysis.Sample
	}{
		{v1alpha1.HTTPCheck{URL: s.URL + "/v1/models/${model}:predict?key=k3y", Method: "POST", Body: `{"instances":[[1,2]]}`, Value: "/predictions/0",
			Headers: map[string]string{"host": "fraud.example.com", "x-team": "ml", "User-Agent": "probe"}},
			analysis.Sample{Value: "0.75", OK: true}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/made"}, analysis.Sample{Value: "201", OK: true}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/made", Method: "HEAD"}, analysis.Sample{Value: "201", OK: true}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/missing", Status: 404}, analysis.Sample{Value: "404", OK: true}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/missing"}, analysis.Sample{Value: "404"}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/made", Status: 200}, analysis.Sample{Value: "201"}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/broken", Value: "/predictions/0"},
			analysis.Sample{Value: "500"}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/huge-and-broken", Value: "/predictions/0"}, analysis.Sample{Value: "500"}},
		{v1alpha1.HTTPCheck{URL: s.URL + "/huge"}, analysis.Sample{Value: "200", OK: true}},
	} {
		got := take(c.check)
		got.At = time.Time{}
		if got != c.want {
			t.Errorf("%+v\nhave %+v\nwant %+v", c.check, got, c.want)
		}
	}
	for _, c := range []struct {
		check v1alpha1.HTTPCheck
		want  string
	}{
		{v1alpha1.HTTPCheck{URL: s.URL + "/page", Value: "/x"}, "GET " + s.URL + "/page: its answer is no JSON, but HTML: leave the value out to look at the status alone"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/huge", Value: "/x"}, "GET " + s.URL + "/huge: its answer has more than 1 MiB: ask for less"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/made", Value: "/x"}, "GET " + s.URL + "/made: its answer is no JSON, but an empty answer: leave the value out to look at the status alone"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Method: "DELETE"}, s.URL + "/x: the method DELETE is not sent: use GET, HEAD or POST"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Body: "x"}, s.URL + "/x: a GET has no body: use POST, or leave the body out"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Method: "HEAD", Value: "/x"}, s.URL + "/x: the answer to a HEAD has no value: use GET, or leave the value out"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Headers: map[string]string{"X y": "z"}}, s.URL + `/x: the header "X y" cannot be sent: a name has letters, digits and dashes, and a value is one line`},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Headers: map[string]string{"X": "s3cret\r\nY: z"}}, s.URL + `/x: the header "X" cannot be sent: a name has letters, digits and dashes, and a value is one line`},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Headers: map[string]string{"transfer-encoding": "chunked"}}, s.URL + "/x: the header Transfer-Encoding is not yours to set: remove it"},
		{v1alpha1.HTTPCheck{URL: s.URL + "/x", Headers: map[string]string{"Host": "a/b c"}}, s.URL + "/x: the header Host is no name of a host: correct it"},
		{v1alpha1.HTTPCheck{URL: "${service}.svc/x?key=s3cret"}, "fraud-v9.svc/x: this is no URL of a server: write http://host:port/path or https://host/path"},
		{v1alpha1.HTTPCheck{URL: "http://${modell}?key=s3cret"}, "http://${modell}: ${modell} is no variable: use one of ${model}, ${stage}, ${namespace}, ${version}, ${service}, ${current}, ${currentService}, ${url}, or write $${modell} for the text itself"},
		{v1alpha1.HTTPCheck{URL: "http://me:s3cret@${service}/"}, "the URL: it holds credentials, which everybody sees who sees the object: remove them"},
	} {
		wantFailure(t, take(c.check), c.want)
	}
	got := m.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: "${url}/x"}), Variables{}, nil)
	wantFailure(t, got, "${url}/x: ${url} has no value: the candidate has no address of its own; write one with ${service} and ${namespace}")

	// A body without an end is no reason to wait for it, once the status is known.
	impatient := &Meter{AllowLoopback: true, timeout: 300 * time.Millisecond}
	wantValue(t, impatient.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: s.URL + "/trickle"}), Variables{}, nil), "200")
	got = impatient.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: s.URL + "/trickle", Value: "/x"}), Variables{}, nil)
	if !strings.Contains(message(got), "it does not answer in time") {
		t.Errorf("a body that trickles, with a value: %+v", got)
	}
}
