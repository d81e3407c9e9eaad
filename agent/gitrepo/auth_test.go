package gitrepo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// data makes a Secret's data of pairs.
func data(pairs ...string) map[string][]byte {
	d := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		d[pairs[i]] = []byte(pairs[i+1])
	}
	return d
}

func TestFetchWithEveryKindOfAuthentication(t *testing.T) {
	o := seeded(t)
	ca := newAuthority(t)
	cert := ca.serverCert(time.Time{})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	clientCert, clientKey, _ := ca.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	otherCA := newAuthority(t)
	otherCert, otherKey, _ := otherCA.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})

	const password = "s3cret-p@ss/word"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+password))
	open := serveTLS(t, o.backend(), &tls.Config{Certificates: []tls.Certificate{cert}})
	withBasic := serveTLS(t, guarded(o.backend(), basic), &tls.Config{Certificates: []tls.Certificate{cert}})
	withBearer := serveTLS(t, guarded(o.backend(), "Bearer t0ken-value"), &tls.Config{Certificates: []tls.Certificate{cert}})
	expired := serveTLS(t, o.backend(), &tls.Config{Certificates: []tls.Certificate{ca.serverCert(time.Now().Add(-time.Hour))}})
	mutual := serveTLS(t, o.backend(), &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})
	forbidden := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusForbidden) }))
	pem := string(ca.pem())

	s, encrypted := o.ssh(""), o.ssh("passphrase")
	stranger := newKey(t, "")

	cases := map[string]struct {
		url    string
		secret map[string][]byte
		kind   Kind
	}{
		"https":                          {open, data("ca.crt", pem), ""},
		"https, old name of the CA":      {open, data("caFile", pem), ""},
		"https, CA unknown":              {open, nil, CertificateInvalid},
		"https, other CA":                {open, data("ca.crt", string(otherCA.pem())), CertificateInvalid},
		"https, expired":                 {expired, data("ca.crt", pem), CertificateInvalid},
		"https, other name":              {strings.Replace(open, "127.0.0.1", "localhost", 1), data("ca.crt", pem), CertificateInvalid},
		"basic":                          {withBasic, data("ca.crt", pem, "username", "ana", "password", password+"\n"), ""},
		"basic, wrong password":          {withBasic, data("ca.crt", pem, "username", "ana", "password", "other-s3cret"), AuthenticationFailed},
		"basic, anonymous":               {withBasic, data("ca.crt", pem), AuthenticationFailed},
		"forbidden":                      {forbidden, nil, AuthenticationFailed},
		"bearer":                         {withBearer, data("ca.crt", pem, "bearerToken", "t0ken-value"), ""},
		"bearer, wrong":                  {withBearer, data("ca.crt", pem, "bearerToken", "other-t0ken"), AuthenticationFailed},
		"mutual TLS":                     {mutual, data("ca.crt", pem, "tls.crt", string(clientCert), "tls.key", string(clientKey)), ""},
		"mutual TLS, no certificate":     {mutual, data("ca.crt", pem), AuthenticationFailed},
		"mutual TLS, unknown certifcate": {mutual, data("ca.crt", pem, "tls.crt", string(otherCert), "tls.key", string(otherKey)), AuthenticationFailed},
		"no repository":                  {strings.Replace(open, "repo.git", "other.git", 1), data("ca.crt", pem), NotFound},
		"ssh":                            {s.url(), s.secret(), ""},
		"ssh, absolute path quoted":      {strings.Replace(s.url(), "/repo.git", "/it's!repo.git", 1), s.secret(), NotFound},
		"ssh, encrypted key":             {encrypted.url(), data("identity", string(encrypted.client.pem), "known_hosts", string(encrypted.knownHosts(encrypted.host)), "password", "passphrase\n"), ""},
		"ssh, key unknown to the server": {s.url(), data("identity", string(stranger.pem), "known_hosts", string(s.knownHosts(s.host))), AuthenticationFailed},
		"ssh, unknown host":              {s.url(), data("identity", string(s.client.pem), "known_hosts", string(encrypted.knownHosts(encrypted.host))), HostKeyUnknown},
		"ssh, other host key":            {s.url(), data("identity", string(s.client.pem), "known_hosts", string(s.knownHosts(stranger))), HostKeyMismatch},
		"ssh, no repository":             {strings.Replace(s.url(), "repo.git", "other.git", 1), s.secret(), NotFound},
		"nobody there":                   {"https://127.0.0.1:1/repo.git", nil, Network},
		"no such host":                   {"https://no-such-host.invalid/repo.git", nil, Network},
		"no TLS":                         {strings.Replace(forbidden, "http:", "https:", 1), nil, Network},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, remote := newMirror(t), Remote{URL: c.url, Auth: auth(t, c.secret, c.url)}
			for range 2 {
				f, err := m.Fetch(t.Context(), remote, Want{Branch: "main"})
				if kindOf(err) != c.kind {
					t.Fatalf("got %v (%s), want %q", err, kindOf(err), c.kind)
				}
				if err == nil && f.Revision.Commit != o.head() {
					t.Errorf("got %+v", f)
				}
				if err != nil {
					t.Log(err)
				}
				noSecrets(t, fmt.Sprintf("%v %+v %#v %v %+v %#v", err, err, err, remote, remote, remote), c.secret)
			}
		})
	}
}

// noSecrets fails if a text holds a value of a Secret that is to be kept.
func noSecrets(t *testing.T, text string, secret map[string][]byte) {
	t.Helper()
	for key, value := range secret {
		v := strings.TrimSpace(string(value))
		if key == "username" || key == "ca.crt" || v == "" {
			continue
		}
		for _, form := range []string{v, base64.StdEncoding.EncodeToString([]byte("ana:" + v))} {
			if strings.Contains(text, form) {
				t.Errorf("the value of %s is in %q", key, text)
			}
		}
	}
}

func TestReadAuthSaysWhatIsWrong(t *testing.T) {
	ca := newAuthority(t)
	cert, key, _ := ca.sign(&x509.Certificate{})
	_, otherKey, _ := ca.sign(&x509.Certificate{})
	encrypted := string(newKey(t, "passphrase").pem)
	plain := string(newKey(t, "").pem)
	hosts := string((&sshServer{address: "git.example.com:22"}).knownHosts(newKey(t, "")))
	const https, ssh = "https://git.example.com/repo.git", "git@git.example.com:repo.git"
	cases := []struct {
		url    string
		secret map[string][]byte
		says   string // empty: it is right
	}{
		{https, nil, ""},
		{https, data("username", "ana", "password", "hush"), ""},
		{https, data("username", "ana"), "no password"},
		{https, data("password", "hush"), "no username"},
		{https, data("bearerToken", "hush", "username", "ana", "password", "hush"), "both bearerToken and username"},
		{https, data("token", "hush"), "none of the keys"},
		{https, data("ca.crt", "hush"), "ca.crt"},
		{https, data("tls.crt", string(cert)), "no tls.key"},
		{https, data("tls.key", string(key)), "no tls.crt"},
		{https, data("tls.crt", string(cert), "tls.key", string(otherKey)), "do not belong together"},
		{https, data("certFile", string(cert), "keyFile", string(key)), ""},
		{ssh, nil, "identity is missing"},
		{ssh, data("username", "ana", "password", "hush"), "identity is missing"},
		{ssh, data("identity", plain), "known_hosts is missing"},
		{ssh, data("identity", "hush", "known_hosts", hosts), "no private key"},
		{ssh, data("identity", encrypted, "known_hosts", hosts), "add its passphrase"},
		{ssh, data("identity", encrypted, "known_hosts", hosts, "password", "hush"), "correct the passphrase"},
		{ssh, data("identity", plain, "known_hosts", "hush hush hush"), "known_hosts"},
		{ssh, data("identity", plain, "known_hosts", hosts), ""},
	}
	for _, c := range cases {
		_, err := ReadAuth(c.secret, c.url)
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || kindOf(err) != Invalid) {
			t.Errorf("%s with %d keys: got %v, want %q", c.url, len(c.secret), err, c.says)
		}
		if err != nil {
			noSecrets(t, err.Error(), c.secret)
		}
	}
}

func TestCheckURL(t *testing.T) {
	cases := map[string]struct{ secure, insecure bool }{
		"https://git.example.com/a/b.git":         {true, true},
		"https://git.example.com:8443/a":          {true, true},
		"ssh://git@git.example.com:2222/a/b.git":  {true, true},
		"ssh://git.example.com/a/b.git":           {true, true},
		"git@git.example.com:a/b.git":             {true, true},
		"git@[::1]:a/b.git":                       {true, true},
		"http://git.example.com/a":                {false, true},
		"file:///srv/git/a":                       {false, true},
		"file://host/srv/git/a":                   {},
		"":                                        {},
		"repo":                                    {},
		"/srv/git/a":                              {},
		"../a":                                    {},
		"git://git.example.com/a":                 {},
		"ext::sh -c touch% /tmp/x":                {},
		"ext::sh":                                 {},
		"a@ext::sh":                               {},
		"--upload-pack=touch":                     {},
		"git@-oProxyCommand=touch:a":              {},
		"git@host:--upload-pack=touch":            {},
		"ssh://-oProxyCommand=touch/a":            {},
		"https://git.example.com":                 {},
		"https://git.example.com/":                {},
		"https:///a/b":                            {},
		"https://git.example.com/a?token=hush":    {},
		"https://git.example.com/a#hush":          {},
		"https://ana:hush@git.example.com/a":      {},
		"https://hush@git.example.com/a":          {},
		"ssh://git:hush@git.example.com/a":        {},
		"git:hush@git.example.com:a":              {},
		"https://ana:hush@x/hush@git.example.com": {},
		"https://ana:%zzhush@git.example.com/a":   {},
		"https://git.example.com/a\nb":            {},
		"https://git.example.com/a b":             {},
	}
	for url, want := range cases {
		secure, insecure := CheckURL(url, false), CheckURL(url, true)
		if (secure == nil) != want.secure || (insecure == nil) != want.insecure {
			t.Errorf("%q: got %v and %v, want %v", url, secure, insecure, want)
		}
		for _, err := range []error{secure, insecure} {
			if err != nil && (strings.Contains(err.Error(), "hush") || kindOf(err) != Invalid) {
				t.Errorf("%q: %v", url, err)
			}
		}
	}
}

// proxyServer is an HTTP proxy that tunnels for one user.
func proxyServer(t *testing.T, authorization string) (address string, tunnels *int) {
	tunnels = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != authorization || r.Method != http.MethodConnect {
			http.Error(w, r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
			return
		}
		*tunnels++
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, _, _ := w.(http.Hijacker).Hijack()
		go func() { io.Copy(there, here); there.Close() }()
		io.Copy(here, there)
		here.Close()
	}))
	t.Cleanup(s.Close)
	return s.URL, tunnels
}

// socksServer is a SOCKS5 proxy without authentication.
func socksServer(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go socks(c)
		}
	}()
	return "socks5://" + l.Addr().String()
}

func socks(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 300)
	io.ReadFull(c, buf[:2])
	io.ReadFull(c, buf[:buf[1]])
	c.Write([]byte{5, 0})
	io.ReadFull(c, buf[:4])
	var host string
	if buf[3] == 1 {
		io.ReadFull(c, buf[:4])
		host = net.IP(buf[:4]).String()
	} else {
		io.ReadFull(c, buf[:1])
		n := buf[0]
		io.ReadFull(c, buf[:n])
		host = string(buf[:n])
	}
	io.ReadFull(c, buf[:2])
	there, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(int(buf[0])<<8|int(buf[1]))))
	if err != nil {
		return
	}
	defer there.Close()
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go io.Copy(there, c)
	io.Copy(c, there)
}

func TestFetchThroughProxies(t *testing.T) {
	o := seeded(t)
	ca := newAuthority(t)
	https := serveTLS(t, o.backend(), &tls.Config{Certificates: []tls.Certificate{ca.serverCert(time.Time{})}})
	secret := data("ca.crt", string(ca.pem()))
	s := o.ssh("")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:hush"))
	address, tunnels := proxyServer(t, basic)
	socks := socksServer(t)
	cases := map[string]struct {
		url    string
		secret map[string][]byte
		proxy  map[string][]byte
		kind   Kind
	}{
		"http":                 {https, secret, data("address", address, "username", "ana", "password", "hush"), ""},
		"http, wrong password": {https, secret, data("address", address, "username", "ana", "password", "hush2"), AuthenticationFailed},
		"http, not there":      {https, secret, data("address", "http://127.0.0.1:1", "username", "ana", "password", "hush"), Network},
		"socks5":               {https, secret, data("address", socks), ""},
		"ssh through socks5":   {s.url(), s.secret(), data("address", socks), ""},
		"ssh through http":     {s.url(), s.secret(), data("address", address), Invalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			proxy, err := ReadProxy(c.proxy)
			if err != nil {
				t.Fatal(err)
			}
			remote := Remote{URL: c.url, Auth: auth(t, c.secret, c.url), Proxy: proxy}
			_, err = newMirror(t).Fetch(t.Context(), remote, Want{Branch: "main"})
			if kindOf(err) != c.kind {
				t.Errorf("got %v (%s), want %q", err, kindOf(err), c.kind)
			}
			noSecrets(t, fmt.Sprintf("%v %+v %+v %#v", err, remote, proxy, proxy), data("password", string(c.proxy["password"])))
		})
	}
	if *tunnels == 0 {
		t.Error("the proxy was not used")
	}
}

func TestReadProxySaysWhatIsWrong(t *testing.T) {
	for address, says := range map[string]string{"": "no key address", "proxy:3128": "no proxy URL", "ftp://proxy": "no proxy URL", "http://ana:hush@": "no proxy URL"} {
		_, err := ReadProxy(data("address", address, "password", "hush"))
		if kindOf(err) != Invalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: got %v, want %q", address, err, says)
		}
	}
	if p, err := ReadProxy(nil); err != nil || p.url != nil {
		t.Errorf("no data: %v, %v", p, err)
	}
}

func TestFetchDoesNotHang(t *testing.T) {
	o := seeded(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	hang := func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	// half sends the beginning of every pack and no more.
	half := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			o.backend().ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		o.backend().ServeHTTP(rec, r)
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
		hang(w, r)
	})
	s := o.ssh("")
	secret := s.secret()
	secret["known_hosts"] = []byte(strings.Replace(string(secret["known_hosts"]), s.address[strings.LastIndex(s.address, ":"):], silent.Addr().String()[strings.LastIndex(silent.Addr().String(), ":"):], 1))
	sshURL := "ssh://git@" + silent.Addr().String() + "/repo.git"
	remotes := map[string]Remote{
		"no answer":            {URL: "http://" + silent.Addr().String() + "/repo.git"},
		"no answer, TLS":       {URL: "https://" + silent.Addr().String() + "/repo.git"},
		"no answer, ssh":       {URL: sshURL, Auth: auth(t, secret, sshURL)},
		"silent after headers": {URL: serve(t, http.HandlerFunc(hang))},
		"silent within a pack": {URL: serve(t, half)},
	}
	for name, remote := range remotes {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := newMirror(t).Fetch(ctx, remote, Want{Branch: "main"})
			if kindOf(err) != Timeout || time.Since(start) > 5*time.Second {
				t.Errorf("after %s: %v (%s)", time.Since(start), err, kindOf(err))
			}
		})
	}
}
