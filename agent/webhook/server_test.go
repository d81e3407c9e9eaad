package webhook

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// serve runs a Server and returns its address, and what ends it and returns its error.
func serve(t *testing.T, handler http.Handler, limits Limits) (address string, end func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, listener, handler, limits)
}

func serveOn(t *testing.T, listener net.Listener, handler http.Handler, limits Limits) (address string, end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Server{Handler: handler, Limits: limits, Log: logr.Discard()}.Run(ctx, listener) }()
	end = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = end() })
	return listener.Addr().String(), end
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// deliver sends a hook over the network.
func deliver(t *testing.T, address, name string, header http.Header, body []byte) *http.Response {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/hooks/platform/"+name, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// Clients that say little or nothing are left, and others are served meanwhile.
func TestSlowClients(t *testing.T) {
	h := newHouse(t)
	limits := DefaultLimits()
	limits.Header, limits.Request, limits.Idle = 2*time.Second, 2*time.Second, 2*time.Second
	address, end := serve(t, h, limits)
	push := payload(t, "github_push")

	var signature = githubHook("push", "1", push).Get("X-Hub-Signature-256")
	half := fmt.Sprintf("POST /hooks/platform/fraud HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n%s", signature, len(push), push[:len(push)/2])
	clients := map[string]struct{ text, want string }{
		"silent":        {"", ""},
		"half a header": {"POST /hooks/platform/fraud HTTP/1.1\r\nHost: x\r\nX-A: ", ""},
		"half a body":   {half, "HTTP/1.1 408 "},
	}
	connections := map[string]net.Conn{}
	for name, c := range clients {
		connections[name] = dial(t, address)
		if _, err := io.WriteString(connections[name], c.text); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "another", deliver(t, address, "churn", githubHook("push", "1", push), push), accepted)
	for name, c := range clients {
		got, err := io.ReadAll(connections[name]) // until the server closes
		if err != nil || !strings.HasPrefix(string(got), c.want) || c.want == "" && strings.Contains(string(got), " 2") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got := h.count("github", tooSlow); got != 1 {
		t.Errorf("%d counted as too slow", got)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestLargeHeaders(t *testing.T) {
	h := newHouse(t)
	address, _ := serve(t, h, DefaultLimits())
	c := dial(t, address)
	go func() { // the server does not read all of it
		_, _ = io.WriteString(c, "POST /hooks/platform/fraud HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 1<<20))
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Fatalf("%+v, %v", res, err)
	}
	_ = res.Body.Close()
}

// A body of 100 MiB over the network: it is not taken, and the client is told so.
func TestLargeBodyOverTheNetwork(t *testing.T) {
	h := newHouse(t)
	address, _ := serve(t, h, DefaultLimits())
	header := "POST /hooks/platform/fraud HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: 00\r\n"
	for _, body := range []string{"Content-Length: 104857600\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", 100<<20)} {
		c := dial(t, address)
		if _, err := io.WriteString(c, header+body); err != nil {
			t.Fatal(err)
		}
		sent := make(chan int64, 1)
		go func() {
			n, _ := io.Copy(c, &counter{left: 100 << 20})
			sent <- n
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("%q: %+v, %v", body, res, err)
		}
		_ = res.Body.Close()
		if n := <-sent; n == 100<<20 {
			t.Errorf("%q: all of it was taken", body)
		}
	}
}

// More connections than there may be wait, and are served when others have gone.
func TestConnectionsAreBounded(t *testing.T) {
	h := newHouse(t)
	limits := DefaultLimits()
	limits.Connections, limits.Header = 3, 2*time.Second
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedListener{Listener: listener}
	address, end := serveOn(t, counted, h, limits)
	for range 5 {
		dial(t, address)
	}
	push := payload(t, "github_push")
	expect(t, "one that has something to say", deliver(t, address, "fraud", githubHook("push", "1", push), push), accepted)
	if err := end(); err != nil {
		t.Error(err)
	}
	if counted.most != limits.Connections {
		t.Errorf("%d connections at once", counted.most)
	}
}

// countedListener counts connections.
type countedListener struct {
	net.Listener
	mu         sync.Mutex
	open, most int
}

func (l *countedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	l.most = max(l.most, l.open)
	return &countedConnection{Conn: c, gone: sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
	})}, nil
}

type countedConnection struct {
	net.Conn
	gone func()
}

func (c *countedConnection) Close() error {
	c.gone()
	return c.Conn.Close()
}

// What is under way when the Server ends is answered.
func TestTheEnd(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	address, end := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		accepted.write(w)
	}), DefaultLimits())
	c := dial(t, address)
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	eventually(t, "no new connections", func() bool {
		other, err := net.Dial("tcp", address)
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	close(release)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the last one", res, accepted)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAListenerThatFails(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := (Server{Handler: http.NotFoundHandler(), Limits: DefaultLimits(), Log: logr.Discard()}).Run(t.Context(), listener); err == nil {
		t.Error("no error")
	}
}

// Many at once over the network: each is answered, and nothing is lost that was accepted.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t)
	address, _ := serve(t, h, DefaultLimits())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	counts := make(chan int, 2000)
	var senders sync.WaitGroup
	for s := range 32 {
		senders.Go(func() {
			for n := range 40 {
				body := fmt.Appendf(nil, `{"action":"opened","pull_request":{"number":%d,"base":{"ref":"main"}},"repository":{"full_name":"ml/platform"}}`, s*40+n+1)
				r, err := http.NewRequest(http.MethodPost, "http://"+address+"/hooks/platform/fraud", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header = githubHook("pull_request", fmt.Sprint(s, n), body)
				res, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				counts <- res.StatusCode
			}
		})
	}
	senders.Wait()
	close(counts)
	all := map[int]int{}
	for status := range counts {
		all[status]++
	}
	if all[http.StatusAccepted] != burst || all[http.StatusAccepted]+all[http.StatusTooManyRequests] != 32*40 {
		t.Errorf("answers: %v", all)
	}
	if got := h.waiting(); len(got) != 1 || !got[0].Pulls {
		t.Errorf("%+v", got)
	}
}
