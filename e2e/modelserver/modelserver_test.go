package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the tests start this program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("MODEL_URI") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience is how long a wait may take before the test fails. It is no measure of anything.
const patience = 2 * time.Minute

// artifact writes a model.json and returns the URI of its directory.
func artifact(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file://" + dir + "/"
}

// running is a server of the test.
type running struct {
	url   string
	stop  func()        // as SIGTERM does
	drain chan struct{} // closing it ends the time of draining
	ended chan error
}

func start(t *testing.T, uri string) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{url: "http://" + listener.Addr().String(), stop: stop, drain: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		r.ended <- newServer("fraud").serve(ctx, listener, source{uri: uri}, func() { <-r.drain })
	}()
	t.Cleanup(stop)
	return r
}

// begin starts a server and waits until it is ready.
func begin(t *testing.T, uri string) *running {
	t.Helper()
	r := start(t, uri)
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		status, _ := get(t, r.url+"/healthz")
		if status == http.StatusOK {
			return r
		}
		if time.Since(began) > patience {
			t.Fatalf("not ready: %d", status)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer)
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, answer)
}

func read(t *testing.T, answer *http.Response) (int, string) {
	t.Helper()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(body))
}

const predictPath = "/v1/models/fraud:predict"

func TestPredictions(t *testing.T) {
	r := begin(t, artifact(t, `{"version": "v7", "weights": [0.5, 2], "bias": 1, "unknown": true}`))
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"instances": [[1, 2], [0, 0], [-2, 0.25]]}`, 200, `{"version":"v7","predictions":[5.5,1,0.5]}`},
		{`{"instances": []}`, 200, `{"version":"v7"}`},
		{`{"instances": [[1]]}`, 400, `{"version":"v7","error":"instance 0 has 1 numbers, the model has 2 weights"}`},
		{`{"instances": [[1e308, 1e308]]}`, 400, `{"version":"v7","error":"the prediction is too large for a number"}`},
		{`{"instances": [["a", 2]]}`, 400, `{"version":"v7","error":"the request cannot be read: `},
		{`{`, 400, `{"version":"v7","error":"the request cannot be read: `},
		{`{"instances": [[` + strings.Repeat("1,", maxRequest/2) + `1]]}`, 400, `{"version":"v7","error":"the request cannot be read: http: request body too large"}`},
	} {
		if status, body := post(t, r.url+predictPath, c.body); status != c.status || !strings.HasPrefix(body, c.want) {
			t.Errorf("%.40s: have %d %s\nwant %d %s", c.body, status, body, c.status, c.want)
		}
	}
	if status, body := get(t, r.url+predictPath); status != 200 || body != `{"version":"v7","predictions":[1]}` {
		t.Errorf("GET: %d %s", status, body)
	}
	if status, body := get(t, r.url+"/v1/models/other:predict"); status != 404 || !strings.Contains(body, "the model here is fraud") {
		t.Errorf("another model: %d %s", status, body)
	}
	_, metrics := get(t, r.url+"/metrics")
	for _, want := range []string{
		`http_requests_total{code="200",model="fraud",version="v7"} 3`,
		`http_requests_total{code="400",model="fraud",version="v7"} 5`,
		`http_requests_total{code="500",model="fraud",version="v7"} 0`,
		`http_request_duration_seconds_count{model="fraud",version="v7"} 8`,
	} {
		if !strings.Contains(metrics+"\n", want+"\n") {
			t.Errorf("want %s in\n%s", want, metrics)
		}
	}
}

// TestProbabilities has a model that was trained to tell yes from no.
func TestProbabilities(t *testing.T) {
	r := begin(t, artifact(t, `{"version": "v8", "weights": [1, 2], "bias": -3, "link": "logistic"}`))
	const want = `{"version":"v8","predictions":[0.5,0.8807970779778823,1,0]}`
	if status, body := post(t, r.url+predictPath, `{"instances": [[1, 1], [1, 2], [1e6, 1e6], [-1e6, -1e6]]}`); status != 200 || body != want {
		t.Errorf("%d %s", status, body)
	}
}

// TestErrorRate has many clients at once get exactly the share of failures that was asked for.
func TestErrorRate(t *testing.T) {
	for rate, want := range map[string]int64{"0": 0, "0.3": 300, "0.05": 50, "1": 1000} {
		r := begin(t, artifact(t, `{"version": "v9", "weights": [1], "errorRate": `+rate+`}`))
		var failed atomic.Int64
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				for range 100 {
					status, body := post(t, r.url+predictPath, `{"instances":[[1]]}`)
					switch {
					case status == 500 && body == `{"version":"v9","error":"this version fails a share of its requests"}`:
						failed.Add(1)
					case status != 200 || body != `{"version":"v9","predictions":[1]}`:
						t.Errorf("%d %s", status, body)
					}
				}
			})
		}
		clients.Wait()
		if failed.Load() != want {
			t.Errorf("with %s, %d of 1000 fail, want %d", rate, failed.Load(), want)
		}
		if _, metrics := get(t, r.url+"/metrics"); !strings.Contains(metrics+"\n", fmt.Sprintf("http_requests_total{code=\"500\",model=\"fraud\",version=\"v9\"} %d\n", want)) {
			t.Errorf("with %s: %s", rate, metrics)
		}
	}
}

func TestBadArtifacts(t *testing.T) {
	for content, want := range map[string]string{
		`{`:                                     "model.json cannot be read: unexpected end of JSON input",
		`{"weights": [1]}`:                      "model.json has no version",
		`{"version": "v1"}`:                     "model.json has no weights",
		`{"version": "v1", "weights": [1e999]}`: "model.json cannot be read",
		`{"version": "v1", "weights": [1], "errorRate": 1.5}`: "the errorRate 1.5 of model.json is not from 0 to 1",
		`{"version": "v1", "weights": [1], "link": "probit"}`: `the link "probit" of model.json is not known: use logistic, or leave it out`,
		strings.Repeat(" ", maxArtifact+1):                    "model.json has more than 16 MiB",
	} {
		if err := <-start(t, artifact(t, content)).ended; err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "loading file:///") {
			t.Errorf("%.40s: want %q, have %v", content, want, err)
		}
	}
	for uri, want := range map[string]string{
		"file:///nowhere/at/all/": "no such file or directory",
		"gs://models/fraud/":      `the scheme "gs" is not known: use s3 or file`,
		"models/fraud":            `is not known: use s3 or file`,
	} {
		if err := <-start(t, uri).ended; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, have %v", uri, want, err)
		}
	}
}

// TestDigest has the digests that `sha256sum` and `sluice model digest` print of an artifact.
func TestDigest(t *testing.T) {
	const content = `{"version": "v8", "weights": [3]}`
	const (
		file      = "sha256:051dbced68206bcdeec55c3f6080455817569ccb101d9ee1464eba746b47f2f0"
		directory = "sha256:58f5e7a3146240ebe45a2a7ac7a53b7104562d093b7ea0d7527e93cc43f81249"
	)
	uri := artifact(t, content)
	for _, c := range []struct {
		source
		served bool
	}{
		{source{uri, directory}, true},
		{source{strings.TrimSuffix(uri, "/"), directory}, true},
		{source{uri + "model.json", file}, true},
		{source{uri, file}, false},
		{source{uri + "model.json", directory}, false},
		{source{artifact(t, content+" "), directory}, false},
		{source{artifact(t, content+" "), ""}, true},
	} {
		m, err := c.load(t.Context())
		switch {
		case c.served && (err != nil || m.Version != "v8"):
			t.Errorf("%v: %v, %v", c.source, m, err)
		case !c.served && (err == nil || !strings.Contains(err.Error(), "and MODEL_DIGEST is "+c.digest+": it is not what was registered")):
			t.Errorf("%v: %v, %v", c.source, m, err)
		}
	}
}

// TestNotReadyBeforeLoaded has an object store that takes its time.
func TestNotReadyBeforeLoaded(t *testing.T) {
	give := make(chan struct{})
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-give
		_, _ = io.WriteString(w, `{"version": "v7", "weights": [1]}`)
	}))
	defer s3.Close()
	t.Setenv("AWS_ENDPOINT_URL", s3.URL)
	r := start(t, "s3://models/fraud/v7/")
	for _, path := range []string{"/healthz", predictPath} {
		if status, body := get(t, r.url+path); status != 503 || body != "the model is not loaded yet" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	close(give)
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if status, _ := get(t, r.url+"/healthz"); status == 200 {
			break
		}
		if time.Since(began) > patience {
			t.Fatal("not ready")
		}
	}
	if status, body := get(t, r.url+predictPath); status != 200 || body != `{"version":"v7","predictions":[0]}` {
		t.Errorf("%d %s", status, body)
	}
}

// TestDrain has clients that never stop asking while the server drains, one whose request is
// under way when the time is over, and then nobody who listens.
func TestDrain(t *testing.T) {
	r := begin(t, artifact(t, `{"version": "v7", "weights": [1]}`))
	var asked, closing, failures atomic.Int64
	leave := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				select {
				case <-leave: // its endpoint is gone
					return
				default:
				}
				answer, err := client.Post(r.url+predictPath, "application/json", strings.NewReader(`{"instances":[[1]]}`))
				if err != nil {
					failures.Add(1)
					t.Errorf("after %d requests: %v", asked.Load(), err)
					return
				}
				if status, body := read(t, answer); status != 200 {
					failures.Add(1)
					t.Errorf("%d %s", status, body)
				}
				if answer.Close {
					closing.Add(1)
				}
				asked.Add(1)
			}
		})
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for began := time.Now(); !is() && failures.Load() == 0; time.Sleep(time.Millisecond) {
			if time.Since(began) > patience {
				t.Fatalf("not: %s", what)
			}
		}
	}
	until("some requests", func() bool { return asked.Load() > 100 })
	if closing.Load() != 0 {
		t.Error("clients were sent away before the end")
	}

	// A request whose body comes slowly.
	slow, body := io.Pipe()
	answered := make(chan string, 1)
	begun := make(chan struct{})
	go func() {
		request, err := http.NewRequest(http.MethodPost, r.url+predictPath, io.MultiReader(bytes.NewReader([]byte(`{"instances":`)), announce{slow, begun}))
		if err != nil {
			answered <- err.Error()
			return
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		content, _ := io.ReadAll(answer.Body) // what is missing shows
		answered <- fmt.Sprintf("%d %s", answer.StatusCode, content)
	}()
	<-begun

	r.stop()
	until("clients are sent to another Pod", func() bool { return closing.Load() > 100 })
	if status, _ := get(t, r.url+"/healthz"); status != 200 {
		t.Errorf("healthz while it drains: %d", status)
	}
	close(leave)
	clients.Wait()
	close(r.drain)
	until("nobody listens", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(body, `[[41]]}`); err != nil {
		t.Fatal(err)
	}
	_ = body.Close()
	if got := strings.TrimSpace(<-answered); got != `200 {"version":"v7","predictions":[41]}` {
		t.Errorf("the request that was under way: %s", got)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

// announce says when it is read for the first time.
type announce struct {
	io.Reader
	begun chan struct{}
}

func (a announce) Read(p []byte) (int, error) {
	select {
	case <-a.begun:
	default:
		close(a.begun)
	}
	return a.Reader.Read(p)
}

// TestProcess runs the program itself, from its variables to the signal.
func TestProcess(t *testing.T) {
	address := freeAddress(t)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "MODEL_URI="+artifact(t, `{"version": "v8", "weights": [3]}`), "MODEL_NAME=fraud", "ADDRESS="+address, "DRAIN=100ms")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	var body string
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		answer, err := http.Post("http://"+address+predictPath, "application/json", strings.NewReader(`{"instances":[[2]]}`))
		if err == nil {
			var status int
			if status, body = read(t, answer); status == 200 {
				break
			}
		}
		if time.Since(began) > patience {
			t.Fatalf("no answer: %v\n%s", err, &output)
		}
	}
	var got prediction
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Version != "v8" || len(got.Predictions) != 1 || got.Predictions[0] != 6 {
		t.Errorf("%s: %v", body, err)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil || !strings.Contains(output.String(), "draining for 100ms") {
		t.Errorf("%v\n%s", err, &output)
	}

	for variable, want := range map[string]string{
		"DRAIN=soon":                "modelserver: DRAIN is no duration such as 5s",
		"MODEL_URI=file:///nowhere": "modelserver: loading file:///nowhere: open /nowhere/model.json: no such file or directory",
		"MODEL_DIGEST=sha256:0":     "and MODEL_DIGEST is sha256:0: it is not what was registered",
		"ADDRESS=127.0.0.1:x":       "modelserver: listen tcp",
	} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), "ADDRESS=127.0.0.1:0", "MODEL_URI="+artifact(t, `{"version": "v8", "weights": [3]}`), variable)
		output, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(output), want) {
			t.Errorf("%s: %v\n%s", variable, err, output)
		}
	}
}

// freeAddress is one on which nobody listens, for a moment at least.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
