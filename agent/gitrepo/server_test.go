package gitrepo

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// origin is a bare repository made with git, and a work tree to commit from.
type origin struct {
	t    testing.TB
	root string // the directory servers serve; the repository is repo.git in it
	work string
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{t: t, root: t.TempDir(), work: t.TempDir()}
	o.git(o.root, "init", "-q", "--bare", "-b", "main", "repo.git")
	o.git(o.work, "init", "-q", "-b", "main")
	o.git(o.work, "remote", "add", "origin", o.bare())
	// A gc in the background would race with the removal of the directories.
	for _, dir := range []string{o.bare(), o.work} {
		o.git(dir, "config", "gc.auto", "0")
		o.git(dir, "config", "receive.autogc", "false")
		o.git(dir, "config", "http.receivepack", "true")
	}
	return o
}

// seeded is an origin with one commit on main.
func seeded(t testing.TB) *origin {
	t.Helper()
	o := newOrigin(t)
	o.commit("main", map[string]string{"a.txt": "a1\n", "dir/b.txt": "b1\n", "dir/sub/c.txt": "c1\n"})
	return o
}

func (o *origin) bare() string { return filepath.Join(o.root, "repo.git") }

func (o *origin) git(dir string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write puts files into the work tree; empty content removes one.
func (o *origin) write(files map[string]string) {
	o.t.Helper()
	for name, content := range files {
		file := filepath.Join(o.work, name)
		if content == "" {
			os.Remove(file)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			o.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			o.t.Fatal(err)
		}
	}
}

// commit commits files and pushes HEAD to a branch; it returns the commit.
func (o *origin) commit(branch string, files map[string]string) string {
	o.t.Helper()
	o.write(files)
	o.git(o.work, "add", "-A")
	o.git(o.work, "commit", "-q", "--allow-empty", "-m", "change "+branch)
	o.git(o.work, "push", "-q", "-f", "origin", "HEAD:refs/heads/"+branch)
	return o.head()
}

func (o *origin) head() string { return o.git(o.work, "rev-parse", "HEAD") }

// backend serves the origin over smart HTTP with git itself.
func (o *origin) backend() http.Handler {
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		o.t.Fatal(err)
	}
	return &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + o.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard,
	}
}

// serve starts an HTTP server and returns the repository's URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s.URL + "/repo.git"
}

func (o *origin) http() Remote { return Remote{URL: serve(o.t, o.backend())} }

// guarded lets requests pass that have this Authorization header.
func guarded(next http.Handler, authorization string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != authorization {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			// A server that tells what it got must not get our secret into a message.
			http.Error(w, "no: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// counted counts requests.
func counted(next http.Handler, n *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		next.ServeHTTP(w, r)
	})
}

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	_, _, pair := a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test CA"}})
	a.cert, _ = x509.ParseCertificate(pair.Certificate[0])
	a.key = pair.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// sign makes a key and a certificate for it; the zero authority signs by itself.
func (a *authority) sign(c *x509.Certificate) (certPEM, keyPEM []byte, pair tls.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-48 * time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		a.t.Fatal(err)
	}
	return certPEM, keyPEM, pair
}

// serverCert is a certificate for a server on this machine.
func (a *authority) serverCert(notAfter time.Time) tls.Certificate {
	_, _, pair := a.sign(&x509.Certificate{NotAfter: notAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return pair
}

// serveTLS starts an HTTPS server.
func serveTLS(t testing.TB, h http.Handler, config *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = false
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + "/repo.git"
}

// keyPair is an ssh key in the forms tests need.
type keyPair struct {
	pem    []byte
	signer ssh.Signer
}

func newKey(t testing.TB, passphrase string) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{pem.EncodeToMemory(block), signer}
}

// sshServer serves an origin over ssh to one key.
type sshServer struct {
	address string
	host    keyPair
	client  keyPair
}

func (o *origin) ssh(passphrase string) *sshServer {
	o.t.Helper()
	s := &sshServer{host: newKey(o.t, ""), client: newKey(o.t, passphrase)}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), s.client.signer.PublicKey().Marshal()) {
			return nil, fmt.Errorf("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(s.host.signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { l.Close() })
	s.address = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go o.serveSSH(conn, config)
		}
	}()
	return s
}

func (o *origin) serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer c.Close()
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				if r.Type != "exec" {
					r.Reply(false, nil)
					continue
				}
				var command struct{ Line string }
				ssh.Unmarshal(r.Payload, &command)
				r.Reply(true, nil)
				go o.run(channel, command.Line)
			}
		}()
	}
}

// run is what a shell on the server would do.
func (o *origin) run(channel ssh.Channel, line string) {
	defer channel.Close()
	service, quoted, _ := strings.Cut(line, " ")
	cmd := exec.Command("git", strings.TrimPrefix(service, "git-"), filepath.Join(o.root, strings.Trim(quoted, "'")))
	if service != "git-upload-pack" && service != "git-receive-pack" {
		fmt.Fprintln(channel.Stderr(), "no such command")
		return
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	go func() { io.Copy(stdin, channel); stdin.Close() }()
	status := struct{ Status uint32 }{}
	if cmd.Wait() != nil {
		status.Status = 128
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(status))
}

func (s *sshServer) url() string { return "ssh://git@" + s.address + "/repo.git" }

// knownHosts is a line for a key of this server.
func (s *sshServer) knownHosts(key keyPair) []byte {
	host, port, _ := net.SplitHostPort(s.address)
	return fmt.Appendf(nil, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(key.signer.PublicKey()))
}

// secret is the data of a Secret that fits.
func (s *sshServer) secret() map[string][]byte {
	return map[string][]byte{"identity": s.client.pem, "known_hosts": s.knownHosts(s.host)}
}

// auth reads a Secret that has to be right.
func auth(t testing.TB, data map[string][]byte, url string) Auth {
	t.Helper()
	a, err := ReadAuth(data, url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// must fetches what has to succeed.
func must(t testing.TB, m *Mirror, remote Remote, want Want) Fetched {
	t.Helper()
	f, err := m.Fetch(t.Context(), remote, want)
	if err != nil {
		t.Fatalf("fetch %+v: %v", want, err)
	}
	return f
}

func newMirror(t testing.TB) *Mirror {
	t.Helper()
	m, err := Open(filepath.Join(t.TempDir(), "mirror"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// contents reads all files of a commit out of a mirror.
func contents(t testing.TB, m *Mirror, commit string) map[string]string {
	t.Helper()
	tree, err := OpenTree(m.dir, commit)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	return readAll(t, tree)
}

// sameAsGit compares a commit in a mirror with what git says it holds.
func (o *origin) sameAsGit(m *Mirror, commit string) {
	o.t.Helper()
	got := contents(o.t, m, commit)
	names := strings.Split(strings.TrimSuffix(o.git(o.work, "ls-tree", "-r", "-z", "--name-only", commit), "\x00"), "\x00")
	for _, name := range names {
		want, err := exec.Command("git", "-C", o.work, "cat-file", "blob", commit+":"+name).Output()
		if err != nil {
			o.t.Fatal(err)
		}
		if got[name] != string(want) {
			o.t.Errorf("%s in %s is %q, git says %q", name, commit[:7], got[name], want)
		}
	}
	if len(got) != len(names) {
		o.t.Errorf("%d files in %s, git says %d", len(got), commit[:7], len(names))
	}
}
