package kfp

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

// Each fault is sorted, says what to do, and never says the token.
func TestFaults(t *testing.T) {
	secret := kfp.Token(account)
	for _, c := range []struct {
		name      string
		fault     kfp.Fault
		reason    Reason
		temporary bool
		want      string
	}{
		{"401", kfp.Body(401, `{"code":16,"message":"chain: no","details":[{"code":16,"message":"no `+secret+`"}]}`), Unauthenticated, true, `it does not know who asks, in its words "no ***": name an account in spec.serviceAccountName, of which it gets a token for the audience pipelines.kubeflow.org`},
		{"403", kfp.Body(403, `{"code":7,"message":"User 'x' is not authorized","details":[]}`), Forbidden, false, `has no right to it, in its words "User 'x' is not authorized": let a Role for the group pipelines.kubeflow.org`},
		{"403 of a mesh", kfp.Body(403, "RBAC: access denied"), Forbidden, false, "an AuthorizationPolicy let its pods through"},
		{"404", kfp.Body(404, `{"code":5,"message":"Pipeline x not found"}`), Missing, false, `it is not there, in its words "Pipeline x not found"`},
		{"409", kfp.Body(409, `{"code":10,"message":"Invalid pipeline name"}`), Taken, false, `in its words "Invalid pipeline name"`},
		{"400", kfp.Body(400, `{"error_message":"no\u0007\nline"}`), Invalid, false, `it refuses that (400 Bad Request), in its words "no line"`},
		{"413", kfp.Status(413), Invalid, false, "make the pipeline smaller"},
		{"418 of a proxy", kfp.Status(418), Broken, true, "what answers (418 I'm a teapot) does not seem to be Kubeflow Pipelines"},
		{"404 of a proxy", kfp.Status(404), Broken, true, "what answers (404 Not Found) does not seem to be Kubeflow Pipelines: see whether a proxy before it works"},
		{"404 of no route", kfp.Body(404, `{"code":5,"message":"Not Found","details":[]}`), Broken, true, "what answers (404 Not Found) does not seem to be Kubeflow Pipelines"},
		{"429", kfp.Status(429, "Retry-After", "7"), Overloaded, true, "it is overloaded (429 Too Many Requests): it is asked again later"},
		{"500", kfp.Body(500, `{"code":13,"message":"InternalServerError: deadlock","details":[{"message":"Internal Server Error"}]}`), Broken, true, `it failed (500 Internal Server Error), in its words "InternalServerError: deadlock": see the log of its pod ml-pipeline`},
		{"502", kfp.Status(502), Broken, true, "it failed (502 Bad Gateway): see the log"},
		{"503", kfp.Status(503), Overloaded, true, "it is overloaded (503 Service Unavailable)"},
		{"504", kfp.Status(504), Broken, true, "it failed (504 Gateway Timeout)"},
		{"599", kfp.Status(599), Broken, true, "it failed (599)"},
		{"a login", kfp.Status(302, "Location", "https://dex.example.com/?token="+secret), Invalid, false, "it redirects to another address, where the token is not sent"},
		{"down", kfp.Down(), Unreachable, true, "the connection broke off: see whether its pod ml-pipeline was started again"},
		{"silent", kfp.Silent(), Unreachable, true, "it does not answer in time"},
		{"a page", kfp.Body(200, "<html>Kubeflow</html>"), Broken, true, "its answer is not of its API: correct the address"},
		{"another type", kfp.Body(200, `{"pipeline_id":7}`), Broken, true, "its answer is not of its API"},
		{"half an answer", kfp.Body(200, `{"pipeline_id":"7`), Broken, true, "its answer is not of its API"},
		{"without end", kfp.Endless(`{"pipeline_id":"`, strings.Repeat("x", 1<<16)), Broken, true, "its answer is larger than 16 MiB"},
		{"many of nothing", kfp.Body(200, `{"pipelines":[`+strings.Repeat("{},", maxCommas+1)+`{}]}`), Broken, true, "its answer has more in it than any of its API"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, kfp.Options{})
			if c.name == "silent" {
				w.client.timeout = hanging
			}
			w.Misbehave(c.fault)
			_, err := w.client.FindPipeline(t.Context(), namespace, "echo")
			if err == nil {
				t.Fatal("there is no error")
			}
			if ReasonOf(err) != c.reason || Temporary(err) != c.temporary || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, temporary %t: %v\nwant %s, temporary %t: %s", ReasonOf(err), Temporary(err), err, c.reason, c.temporary, c.want)
			}
			if !strings.HasPrefix(err.Error(), "the pipeline echo of namespace fraud: Kubeflow Pipelines at 127.0.0.1:") {
				t.Errorf("it does not say what was asked of whom: %v", err)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "token=") {
				t.Errorf("it says the token: %v", err)
			}
			_, again := w.client.FindPipeline(t.Context(), namespace, "echo")
			if again == nil || again.Error() != err.Error() {
				t.Errorf("the same failure in other words: %v and %v", err, again)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	ask := func(address string, loopback bool) error {
		c := &Client{Address: address, Transport: NewTransport(loopback), Token: fixed("s3cret")}
		_, err := c.FindPipeline(t.Context(), "", "echo")
		return err
	}
	for _, c := range []struct {
		address  string
		loopback bool
		want     string
	}{
		{server.URL, true, "nothing listens there: see whether its pod ml-pipeline runs, and correct the port"},
		{server.URL, false, "the host leads to 127.0.0.1, which is never asked: write the address of the Service of Kubeflow Pipelines"},
		{"http://169.254.169.254", true, "the host leads to 169.254.169.254, which is never asked"},
		{"http://[::ffff:169.254.169.254]", true, "the host leads to 169.254.169.254, which is never asked"},
		{"ml-pipeline:8888", true, "its address is no URL of a server: write http://host:port"},
		{"file:///etc/passwd", true, "its address is no URL of a server"},
		{"http://me:s3cret@" + server.Listener.Addr().String(), true, "its address has more in it than a server and a path"},
		{server.URL + "?token=s3cret", true, "its address has more in it than a server and a path"},
		{"http://%zz", true, "its address is no URL of a server"},
	} {
		err := ask(c.address, c.loopback)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %s", c.address, err, c.want)
		}
	}
	for address, open := range map[string]bool{
		"10.96.0.1": true, "192.168.7.7": true, "8.8.8.8": true, "fd12:3456::1": true, "127.0.0.1": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false,
		"169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false, "168.63.129.16": false, "100.100.100.200": false, "192.0.0.192": false,
		"224.0.0.1": false, "255.255.255.255": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::": false, "::7f00:1": false,
	} {
		if err := admit(netip.MustParseAddr(address).Unmap(), false); (err == nil) != open {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Why there is no answer, and whether it may have been done all the same.
func TestUnreached(t *testing.T) {
	at := func(err error) error {
		return &url.Error{Op: "Post", URL: "http://ml-pipeline/?secret", Err: &net.OpError{Op: "dial", Err: err}}
	}
	for _, c := range []struct {
		err    error
		want   string
		unsure bool
	}{
		{at(&net.DNSError{Name: "ml-pipeline.kubeflow", IsNotFound: true}), "there is no host of that name", false},
		{at(&net.DNSError{Name: "ml-pipeline.kubeflow", IsTimeout: true}), "the name of the host cannot be looked up", false},
		{at(syscall.ECONNREFUSED), "nothing listens there", false},
		{at(syscall.ECONNRESET), "the connection broke off", true},
		{at(io.ErrUnexpectedEOF), "the connection broke off", true},
		{at(os.ErrDeadlineExceeded), "it does not answer in time", true},
		{at(x509.UnknownAuthorityError{}), "its certificate is not to be trusted", false},
		{at(x509.CertificateInvalidError{Reason: x509.Expired}), "its certificate is not to be trusted", false},
		{&url.Error{Op: "Post", URL: "http://ml-pipeline/?secret", Err: errors.New("something\nnew")}, "it cannot be asked: something new; see whether it is up", true},
	} {
		message, unsure := unreached(c.err)
		if !strings.HasPrefix(message, c.want) || unsure != c.unsure || strings.Contains(message, "secret") {
			t.Errorf("%v: %s, unsure %t", c.err, message, unsure)
		}
	}
}

// An answer that breaks off in its middle is none.
func TestHalfAnAnswer(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	order := w.order(t, "r")
	w.Misbehave(kfp.Only("POST", "/runs", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "1000000")
			next.ServeHTTP(rw, r)
		})
	}))
	run, err := start(t.Context(), w.client, order)
	if err != nil || run.ID != w.counts(t, "r") {
		t.Errorf("%+v and %v", run, err)
	}
}

// Who asks can break it off, and finds the reason in the error.
func TestBrokenOff(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	w.Misbehave(kfp.Silent())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.client.FindPipeline(ctx, namespace, "echo")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "the request was broken off") {
		t.Errorf("%v", err)
	}
}

// Who somebody is: a token of the right audience, and a right.
func TestRights(t *testing.T) {
	w := newWorld(t, kfp.Options{May: func(user, verb, resource, ns string) bool {
		return user == account && ns == namespace && verb != "terminate"
	}})
	order := w.order(t, "r")
	run, err := start(t.Context(), w.client, order)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		token  Token
		reason Reason
		want   string
	}{
		{"nobody", nil, Unauthenticated, `"Failed to check authorization. User identity is empty in the request header"`},
		{"no token", fixed("hello"), Unauthenticated, "invalid bearer token"},
		{"another audience", fixed(kfp.Token(account, "istio-ingressgateway.istio-system.svc")), Unauthenticated, "is invalid for the target audiences"},
		{"expired", fixed(kfp.Expired(account)), Unauthenticated, "token has expired"},
		{"another account", fixed(kfp.Token("system:serviceaccount:other:trainer")), Forbidden, "User 'system:serviceaccount:other:trainer' is not authorized with reason: (request: &ResourceAttributes{Namespace:fraud,Verb:list,"},
	} {
		w.client.Token = c.token
		_, err := start(t.Context(), w.client, order)
		if ReasonOf(err) != c.reason || Temporary(err) != (c.reason == Unauthenticated) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	w.client.Token = fixed(kfp.Token(account))
	if err := w.client.Cancel(t.Context(), run.ID); ReasonOf(err) != Forbidden || !strings.Contains(err.Error(), "Verb:terminate") {
		t.Errorf("without the right to terminate: %v", err)
	}
	order.Namespace = "elsewhere"
	if _, err := start(t.Context(), w.client, order); ReasonOf(err) != Forbidden {
		t.Errorf("elsewhere: %v", err)
	}
	w.counts(t, "r")
}
