package measure

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/analysis"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// patience is how long a wait may take before the test fails. It is no measure of anything.
const patience = 2 * time.Minute

// newMeter is one that may ask the servers of the test and has all the time it needs.
func newMeter(t *testing.T) *Meter {
	m := &Meter{AllowLoopback: true, timeout: patience}
	t.Cleanup(func() { m.closeIdle() })
	return m
}

func (m *Meter) closeIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.transports {
		t.CloseIdleConnections()
	}
}

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func query(address, query string) v1alpha1.Analysis {
	return v1alpha1.Analysis{Name: "errors", Prometheus: &v1alpha1.PrometheusQuery{Address: address, Query: query}}
}

func check(c v1alpha1.HTTPCheck) v1alpha1.Analysis {
	return v1alpha1.Analysis{Name: "answer", HTTP: &c}
}

// wantFailure has a sample be an error with a sentence.
func wantFailure(t *testing.T, s analysis.Sample, want string) {
	t.Helper()
	if s.Err == nil || s.Value != "" || s.OK || s.At.IsZero() {
		t.Errorf("want an error and nothing else, have %+v", s)
		return
	}
	if s.Err.Error() != want {
		t.Errorf("have %s\nwant %s", s.Err, want)
	}
}

// wantValue has a sample be a value.
func wantValue(t *testing.T, s analysis.Sample, want string) {
	t.Helper()
	if s.Err != nil || s.Value != want || !s.OK || s.At.IsZero() {
		t.Errorf("want %s and nothing else, have %+v", want, s)
	}
}

// message is the error of a sample, and empty without one.
func message(s analysis.Sample) string {
	if s.Err == nil {
		return ""
	}
	return s.Err.Error()
}

// says answers with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func result(kind, result string) http.HandlerFunc {
	return says(200, `{"status":"success","data":{"resultType":"`+kind+`","result":`+result+`}}`)
}

func TestPrometheusAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"scalar":             {result("scalar", `[1700000000.123,"0.010"]`), "0.01"},
		"vector":             {result("vector", `[{"metric":{"a":"b"},"value":[1700000000,"1e-07"]}]`), "0.0000001"},
		"large":              {result("vector", `[{"metric":{},"value":[1700000000.5,"-12345678901234567000"]}]`), "-12345678901234567000"},
		"unknown fields":     {says(200, `{"status":"success","isPartial":false,"stats":{},"infos":["x"],"data":{"resultType":"scalar","result":[1,"2"]}}`), "2"},
		"warnings":           {says(200, `{"status":"success","warnings":["slow"],"data":{"resultType":"scalar","result":[1,"2"]}}`), "2"},
		"many short answers": {says(200, strings.Repeat(" ", maxBody-100)+`{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`), "2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.answer)
			wantValue(t, newMeter(t).Take(t.Context(), query(s.URL, "up"), Variables{}, nil), c.want)
		})
	}
}

func TestPrometheusBadAnswers(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"nothing":         {result("vector", `[]`), "the query gives nothing: no series match; see whether they are scraped, and correct the labels if so"},
		"several":         {result("vector", `[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}]`), "the query gives 3 series: aggregate it with sum(), or max() or avg()"},
		"histogram":       {result("vector", `[{"metric":{},"histogram":[1,{"count":"1"}]}]`), "the query gives a histogram: make a number of it, as with histogram_quantile()"},
		"matrix":          {result("matrix", `[{"metric":{},"values":[[1,"1"]]}]`), "the query gives a range of values: make one of it, as with rate(…) or max_over_time(…)"},
		"string":          {result("string", `[1,"x"]`), "the query gives a string: ask for a number"},
		"NaN":             {result("scalar", `[1,"NaN"]`), `the query gives NaN, as 0/0 does: wait for traffic, or guard the divisor, as with "> 0"`},
		"infinite":        {result("vector", `[{"metric":{},"value":[1,"+Inf"]}]`), `the query gives +Inf, as dividing by 0 does: guard the divisor, as with "> 0"`},
		"no number":       {result("scalar", `[1,"fast"]`), `the query gives "fast", which is no number: correct the query`},
		"number as such":  {result("scalar", `[1,5]`), "what answers is no Prometheus, but something that looks like it: correct the address"},
		"short pair":      {result("scalar", `[1]`), `the query gives "", which is no number: correct the query`},
		"odd vector":      {result("vector", `{"a":1}`), "what answers is no Prometheus, but something that looks like it: correct the address"},
		"no result":       {says(200, `{"status":"success"}`), "the query gives a : ask for a number"},
		"garbage":         {says(200, "\x00\x01{"), "what answers is no Prometheus, but text: correct the address"},
		"cut":             {says(200, `{"status":"success","data":{"resultType":"scalar"`), "what answers is no Prometheus, but text: correct the address"},
		"other JSON":      {says(200, `{"hello":"world"}`), "what answers is no Prometheus, but other JSON: correct the address"},
		"a list":          {says(200, `[1,2]`), "what answers is no Prometheus, but other JSON: correct the address"},
		"HTML":            {says(200, "\n<!doctype html><html>Log in</html>"), "what answers is no Prometheus, but HTML: correct the address"},
		"empty":           {says(200, ""), "what answers is no Prometheus, but an empty answer: correct the address"},
		"no content":      {says(204, ""), "it answers 204 No Content; see to the server, and correct the address if it is another's"},
		"bad query":       {says(400, `{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"}`), "it refuses the query: 1:5: parse error: unexpected end of input; correct the query"},
		"bad, with 200":   {says(200, `{"status":"error","errorType":"bad_data","error":"no."}`), "it refuses the query: no; correct the query"},
		"cannot execute":  {says(422, `{"status":"error","errorType":"execution","error":"found duplicate series\nfor the match group"}`), "it refuses the query: found duplicate series for the match group; correct the query"},
		"endless error":   {says(400, `{"status":"error","error":"`+long+`"}`), "it refuses the query: " + long[:200] + "…; correct the query"},
		"long text":       {says(400, long), "it refuses the query: " + long[:200] + "…; correct the query"},
		"unauthorized":    {says(401, "who are you?"), "it answers 401 Unauthorized: who are you?; correct the username and password or the token in the Secret, and what they may read"},
		"forbidden":       {says(403, "<html>"), "it answers 403 Forbidden; correct the username and password or the token in the Secret, and what they may read"},
		"not found":       {says(404, "404 page not found"), "it answers 404 Not Found: write the address below which /api/v1/query is"},
		"overloaded":      {says(503, `{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}`), "it answers 503 Service Unavailable: query timed out in expression evaluation; see to the server, and correct the address if it is another's"},
		"bad gateway":     {says(502, "<html>502</html>"), "it answers 502 Bad Gateway; see to the server, and correct the address if it is another's"},
		"teapot":          {says(418, ""), "it answers 418 I'm a teapot; see to the server, and correct the address if it is another's"},
		"a status of own": {says(599, "no"), "it answers 599: no; see to the server, and correct the address if it is another's"},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, maxBody+1))
		}, "its answer has more than 1 MiB: ask for less"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}, "its answer has more than 1 MiB: ask for less"},
		"an endless page about an error": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}, "it answers 502 Bad Gateway; see to the server, and correct the address if it is another's"},
		"endless headers": {func(w http.ResponseWriter, r *http.Request) {
			for n := range 2000 {
				w.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 100))
			}
		}, "its answer has more than 64 KiB of headers: correct the address"},
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, "the connection broke off: see whether it is up, and whether it speaks plain HTTP or TLS"},
		"closed at once": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
			"the connection broke off: see whether it is up, and whether it speaks plain HTTP or TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.answer)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			got := newMeter(t).Take(t.Context(), query(s.URL+"/prom/", "up"), Variables{}, nil)
			wantFailure(t, got, s.URL+"/prom/: "+c.want)
		})
	}
}

func TestPrometheusRequest(t *testing.T) {
	var asked []string
	get := false
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.FormValue("query")+" "+r.FormValue("timeout")+" "+r.UserAgent())
		if get && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		result("scalar", `[1,"1"]`)(w, r)
	})
	m := &Meter{AllowLoopback: true} // as everybody has it
	long := `up{a="${model}",b="` + strings.Repeat("é&=+ ", 600) + `"}`
	for range 2 {
		wantValue(t, m.Take(t.Context(), query(s.URL+"/select/0/prometheus", long), usual, nil), "1")
		get = true
	}
	want := "/select/0/prometheus/api/v1/query " + strings.ReplaceAll(long, "${model}", "fraud") + " 10s sluice"
	if len(asked) != 3 || asked[0] != "POST "+want || asked[1] != "POST "+want || asked[2] != "GET "+want {
		t.Errorf("asked %.100q", asked)
	}
}

func TestNothingListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	_ = listener.Close()
	got := newMeter(t).Take(t.Context(), query(address, "up"), Variables{}, nil)
	wantFailure(t, got, address+": nothing listens there: start it, or correct the port")
}

func TestNoHost(t *testing.T) {
	got := newMeter(t).Take(t.Context(), query("http://prometheus.invalid:9090", "up"), Variables{}, nil)
	if said := message(got); !strings.HasPrefix(said, "http://prometheus.invalid:9090: ") || strings.Count(said, "prometheus.invalid") != 1 {
		t.Errorf("have %+v", got) // whether there is no such host or no DNS depends on the machine
	}
}

func TestWrongScheme(t *testing.T) {
	secure := httptest.NewUnstartedServer(result("scalar", `[1,"1"]`))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := serve(t, result("scalar", `[1,"1"]`))
	m := newMeter(t)

	address := strings.Replace(plain.URL, "http:", "https:", 1)
	wantFailure(t, m.Take(t.Context(), query(address, "up"), Variables{}, nil), address+": it speaks plain HTTP: write http:// in the address")

	address = strings.Replace(secure.URL, "https:", "http:", 1)
	wantFailure(t, m.Take(t.Context(), query(address, "up"), Variables{}, nil),
		address+": it speaks TLS: write https:// in the address")
}

func TestNoHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 smtp ready\r\n")
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	address := "http://" + listener.Addr().String()
	got := newMeter(t).Take(t.Context(), query(address, "up"), Variables{}, nil)
	if said := message(got); !strings.HasPrefix(said, address+": it cannot be asked: ") || !strings.Contains(said, "correct the address") {
		t.Errorf("have %+v", got)
	}
}

// TestSlow has servers that are silent before the headers and in the body, a time that the
// context gives, one that the meter has, and a context that is cancelled.
func TestSlow(t *testing.T) {
	var asked atomic.Int32
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/body") {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
		}
		asked.Add(1)
		<-r.Context().Done()
	})
	const late = ": it does not answer in time: see whether it is overloaded, and whether a network policy is in the way"
	for _, path := range []string{"/headers", "/body"} {
		impatient := &Meter{AllowLoopback: true, timeout: 200 * time.Millisecond}
		got := impatient.Take(t.Context(), query(silent.URL+path, "up"), Variables{}, nil)
		wantFailure(t, got, silent.URL+path+late)
		if !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("%v is no %v", got.Err, context.DeadlineExceeded)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		wantFailure(t, newMeter(t).Take(ctx, query(silent.URL+path, "up"), Variables{}, nil), silent.URL+path+late)
		cancel()

		before := asked.Load()
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			for asked.Load() == before {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		got = newMeter(t).Take(ctx, query(silent.URL+path, "up"), Variables{}, nil)
		wantFailure(t, got, silent.URL+path+": the measurement was broken off")
		if !errors.Is(got.Err, context.Canceled) {
			t.Errorf("%v is no %v", got.Err, context.Canceled)
		}
	}
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Int32
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		result("scalar", `[1,"666"]`)(w, r)
	})
	var s *httptest.Server
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case strings.HasPrefix(r.URL.Path, "/here/api"):
			http.Redirect(w, r, "/there"+strings.TrimPrefix(r.URL.Path, "/here"), http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/there/api"):
			if r.Header.Get("Authorization") != "Bearer s3cret" || r.Method != http.MethodPost {
				t.Errorf("%s with %v", r.Method, r.Header)
			}
			result("scalar", `[1,"1"]`)(w, r)
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, r.URL.Path+"x", http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, "/other"):
			http.Redirect(w, r, other.URL+r.URL.Path+"?key=k3y", http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/secure"):
			http.Redirect(w, r, strings.Replace(s.URL, "http:", "https:", 1)+r.URL.Path, http.StatusMovedPermanently)
		case strings.HasPrefix(r.URL.Path, "/file"):
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}
	})
	m := newMeter(t)
	secret := map[string][]byte{"token": []byte("s3cret\n")}
	wantValue(t, m.Take(t.Context(), query(s.URL+"/here", "up"), Variables{}, secret), "1")
	const elsewhere = "where it is not followed: write the address of the server that answers"
	for path, want := range map[string]string{
		"/loop":   "it redirects more than 5 times: write the address that answers",
		"/other":  "it redirects to another server, " + other.URL + ", " + elsewhere,
		"/secure": "it redirects to another server, https://" + strings.TrimPrefix(s.URL, "http://") + ", " + elsewhere,
		"/file":   "it redirects to another server, file:, " + elsewhere,
	} {
		wantFailure(t, m.Take(t.Context(), query(s.URL+path, "up"), Variables{}, secret), s.URL+path+": "+want)
		wantFailure(t, m.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: s.URL + path}), Variables{}, nil), "GET "+s.URL+path+": "+want)
	}
	if stolen.Load() != 0 {
		t.Error("a redirect to another server was followed")
	}
	// A check may be about the redirect itself.
	for path, status := range map[string]int32{"/other": 307, "/loop": 308} {
		got := m.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: s.URL + path, Status: status}), Variables{}, nil)
		wantValue(t, got, strconv.Itoa(int(status)))
	}
}

func TestCredentials(t *testing.T) {
	var seen atomic.Value
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		if strings.HasPrefix(r.URL.Path, "/echo") {
			username, password, _ := r.BasicAuth()
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, "not %s as %s with %s", r.Header.Get("Authorization"), username, password)
			return
		}
		result("scalar", `[1,"1"]`)(w, r)
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	m := newMeter(t)

	for _, c := range []struct {
		secret map[string][]byte
		want   string
	}{
		{map[string][]byte{"ca.crt": ca}, ""},
		{map[string][]byte{"ca.crt": ca, "token": []byte("t0ken\n")}, "Bearer t0ken"},
		{map[string][]byte{"ca.crt": ca, "username": []byte("me"), "password": []byte("s3cret")}, "Basic bWU6czNjcmV0"},
	} {
		wantValue(t, m.Take(t.Context(), query(secure.URL, "up"), Variables{}, c.secret), "1")
		if seen.Load() != c.want {
			t.Errorf("it was asked with %v, want %s", seen.Load(), c.want)
		}
		said := message(m.Take(t.Context(), query(secure.URL+"/echo", "up"), Variables{}, c.secret))
		if !strings.Contains(said, "it answers 401 Unauthorized: not ") {
			t.Error(said)
		}
		for _, secret := range []string{"t0ken", "s3cret", "bWU6"} {
			if strings.Contains(said, secret) {
				t.Errorf("the message holds a secret: %s", said)
			}
		}
	}
	// Without the authority, also when another Secret has it.
	wantFailure(t, m.Take(t.Context(), query(secure.URL, "up"), Variables{}, nil),
		secure.URL+": its certificate is signed by an unknown authority: add the authority's as ca.crt to the Secret")
	got := m.Take(t.Context(), query(strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), "up"), Variables{}, map[string][]byte{"ca.crt": ca})
	if !strings.Contains(message(got), "its certificate is not valid: x509: certificate is valid for ") {
		t.Errorf("a certificate for another name: %+v", got)
	}

	const key = "s3cret"
	for want, secret := range map[string]map[string][]byte{
		"the Secret has none of the keys username and password, token, and ca.crt: add what the server wants": {"other": []byte(key)},
		"the Secret has both token and username: remove one of them":                                          {"token": []byte(key), "username": []byte("me"), "password": []byte(key)},
		"the Secret has the key username but no password: add it":                                             {"username": []byte(key)},
		"the Secret has the key password but no username: add it":                                             {"password": []byte(key)},
		"the key token of the Secret is more than one line: write the token alone":                            {"token": []byte(key + "\r\nX: y")},
		"the key ca.crt of the Secret holds no certificate: it has to be in PEM form":                         {"ca.crt": []byte(key)},
	} {
		wantFailure(t, m.Take(t.Context(), query(secure.URL, "up"), Variables{}, secret), secure.URL+": "+want)
	}
}

func TestBadAddresses(t *testing.T) {
	m := newMeter(t)
	for address, want := range map[string]string{
		"http://me:s3cret@prometheus": "the URL: it holds credentials, which everybody sees who sees the object: remove them",
		"prometheus:9090":             "prometheus:9090: this is no URL of a server: write http://host:port/path or https://host/path",
		"http://a/?key=s3cret":        "http://a/: the address has a query: write the server's address alone",
		"http://a/%2e%2e/":            `http://a/%2e%2e/: the URL has "." or ".." in its path: write the path that is meant`,
	} {
		wantFailure(t, m.Take(t.Context(), query(address, "up"), Variables{}, nil), want)
	}
	wantFailure(t, m.Take(t.Context(), query("http://127.0.0.1:1", "up{v='${verion}'}"), Variables{}, nil),
		"http://127.0.0.1:1: the query cannot be sent: ${verion} is no variable: use one of ${model}, ${stage}, ${namespace}, ${version}, ${service}, ${current}, ${currentService}, ${url}, or write $${verion} for the text itself")
	wantFailure(t, m.Take(t.Context(), v1alpha1.Analysis{Name: "empty"}, Variables{}, nil), "there is nothing to measure: the analysis needs prometheus or http")
}

// TestClosedAddresses has nothing be asked that must not be: neither by address, nor by a name
// that leads there, nor by a redirect.
func TestClosedAddresses(t *testing.T) {
	var asked atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1) })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	strict, lax := &Meter{timeout: patience}, newMeter(t)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"} {
		got := strict.Take(t.Context(), query("http://"+host+":"+port, "up"), Variables{}, nil)
		if !strings.Contains(message(got), "an address of this machine, which is never asked: name another server") {
			t.Errorf("%s: %+v", host, got)
		}
	}
	for _, host := range []string{"169.254.169.254", "[fd00:ec2::254]", "[fe80::1%25lo]", "0.0.0.0", "[::]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"} {
		for _, m := range []*Meter{strict, lax} {
			for _, spec := range []v1alpha1.Analysis{
				query("http://"+host+":"+port+"/latest/meta-data", "up"),
				check(v1alpha1.HTTPCheck{URL: "http://" + host + ":" + port + "/latest/meta-data"}),
			} {
				got := m.Take(t.Context(), spec, Variables{}, nil)
				if !strings.Contains(message(got), "which is never asked: name another server") {
					t.Errorf("%s: %+v", host, got)
				}
			}
		}
	}
	if asked.Load() != 0 {
		t.Error("the server was asked")
	}
}

// TestNoProxy has the environment name a proxy, which is not asked. The proxy of the environment
// is read once in a process, so this says more when it is run alone; the field says it always.
func TestNoProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	m := newMeter(t)
	_ = m.Take(t.Context(), query("http://prometheus.invalid", "up"), Variables{}, nil)
	if asked.Load() != 0 || m.transport(nil).Proxy != nil {
		t.Error("the proxy was asked")
	}
}

// TestConnections counts those of many samples at once, and those of many one after another.
func TestConnections(t *testing.T) {
	const samples = 40
	var mu sync.Mutex
	now, most, connections := 0, 0, 0
	together := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		if most = max(most, now); now == maxConnections {
			select {
			case <-together:
			default:
				close(together)
			}
		}
		mu.Unlock()
		<-together
		mu.Lock()
		now--
		mu.Unlock()
		result("scalar", `[1,"1"]`)(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			defer mu.Unlock()
			connections++
		}
	}
	s.Start()
	defer s.Close()
	m := newMeter(t)
	var all sync.WaitGroup
	for range samples {
		all.Go(func() {
			wantValue(t, m.Take(t.Context(), query(s.URL, "up"), Variables{}, nil), "1")
		})
	}
	all.Wait()
	if most != maxConnections {
		t.Errorf("%d requests at once, want %d", most, maxConnections)
	}
	mu.Lock()
	before := connections
	mu.Unlock()
	for range samples {
		wantValue(t, m.Take(t.Context(), query(s.URL, "up"), Variables{}, nil), "1")
		wantValue(t, m.Take(t.Context(), check(v1alpha1.HTTPCheck{URL: s.URL}), Variables{}, nil), "200")
	}
	mu.Lock()
	defer mu.Unlock()
	if connections != before {
		t.Errorf("%d further connections for samples one after another", connections-before)
	}
}

// TestManyAuthorities has the connections of more sets of authorities than are kept.
func TestManyAuthorities(t *testing.T) {
	m := newMeter(t)
	for n := range 3 * maxAuthorities {
		m.transport(fmt.Append(nil, n))
	}
	if len(m.transports) > maxAuthorities {
		t.Errorf("%d transports are kept", len(m.transports))
	}
}
