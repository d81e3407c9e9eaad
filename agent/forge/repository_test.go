package forge

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

const hunter = "hunter22hunter22"

// shelf has Secrets, and counts how often they are read.
type shelf struct {
	client.WithWatch
	mu    sync.Mutex
	reads int
}

func newShelf() *shelf {
	s := &shelf{}
	s.WithWatch = interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(ctx context.Context, below client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.reads++
			if key.Name == "hidden" {
				return errors.New("the server is\nnot up")
			}
			return below.Get(ctx, key, o, options...)
		},
	})
	return s
}

// put writes a Secret of the namespace ml: keys and values in turn.
func (s *shelf) put(t *testing.T, name string, pairs ...string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: name}, Data: map[string][]byte{}}
	for n := 0; n < len(pairs); n += 2 {
		secret.Data[pairs[n]] = []byte(pairs[n+1])
	}
	err := s.Create(t.Context(), secret)
	if err != nil {
		err = s.Update(t.Context(), secret)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) took() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.reads
	s.reads = 0
	return n
}

func repository(provider v1alpha1.Provider, url, secret string) *v1alpha1.Repository {
	return &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "platform"}, Spec: v1alpha1.RepositorySpec{
		URL: url, PullRequests: &v1alpha1.PullRequests{Provider: provider, SecretRef: meta.LocalObjectReference{Name: secret}}}}
}

func privateKey(t *testing.T) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// TestForgesSay: what is wrong with a Repository or a Secret is said by its name, and never what it holds.
func TestForgesSay(t *testing.T) {
	s, key := newShelf(), privateKey(t)
	s.put(t, "good", "token", hunter+"\n", "other", "x")
	s.put(t, "empty")
	s.put(t, "two", "token", hunter, "githubAppID", "7", "githubAppInstallationID", "8", "githubAppPrivateKey", key)
	s.put(t, "words", "token", hunter+" "+hunter)
	s.put(t, "authority", "token", hunter, "ca.crt", hunter)
	s.put(t, "app", "githubAppID", "7\n", "githubAppInstallationID", " 8", "githubAppPrivateKey", key)
	s.put(t, "half", "githubAppID", "7", "githubAppPrivateKey", hunter)
	s.put(t, "odd", "githubAppID", hunter, "githubAppInstallationID", "8", "githubAppPrivateKey", key)
	s.put(t, "zero", "githubAppID", "7", "githubAppInstallationID", "0", "githubAppPrivateKey", key)
	s.put(t, "no-key", "githubAppID", "7", "githubAppInstallationID", "8", "githubAppPrivateKey", hunter)
	s.put(t, "proxy", "address", "http://proxy.example.com:3128", "username", "me", "password", hunter)
	s.put(t, "ftp", "address", "ftp://"+hunter+"@proxy.example.com")
	const here = "https://git.example.com/ml/platform.git"
	for _, c := range []struct {
		name     string
		provider v1alpha1.Provider
		url      string
		secret   string
		change   func(*v1alpha1.Repository)
		want     string
		kind     Kind
	}{
		{name: "a token", provider: v1alpha1.Gitea, url: here, secret: "good"},
		{name: "of GitLab", provider: v1alpha1.GitLab, url: "git@git.example.com:ml/risk/platform.git", secret: "good"},
		{name: "an App", provider: v1alpha1.GitHub, url: "https://github.com/ml/platform", secret: "app"},
		{name: "an App's keys are nothing to Gitea", provider: v1alpha1.Gitea, url: here, secret: "app", kind: Invalid,
			want: "Secret ml/app: it has no key token: add it"},
		{name: "a token beside them is", provider: v1alpha1.Gitea, url: here, secret: "two"},
		{name: "both", provider: v1alpha1.GitHub, url: here, secret: "two", kind: Invalid,
			want: "Secret ml/two: it has the key token and those of a GitHub App: remove one or the others"},
		{name: "no token", provider: v1alpha1.GitHub, url: here, secret: "empty", kind: Invalid,
			want: "Secret ml/empty: it has no key token: add it, or githubAppID, githubAppInstallationID, githubAppPrivateKey of a GitHub App"},
		{name: "half an App", provider: v1alpha1.GitHub, url: here, secret: "half", kind: Invalid,
			want: "Secret ml/half: it has keys of a GitHub App but not githubAppInstallationID: add it"},
		{name: "no number", provider: v1alpha1.GitHub, url: here, secret: "odd", kind: Invalid,
			want: "Secret ml/odd: the key githubAppID is no number: put the one that GitHub shows there"},
		{name: "zero", provider: v1alpha1.GitHub, url: here, secret: "zero", kind: Invalid,
			want: "Secret ml/zero: the key githubAppInstallationID is no number: put the one that GitHub shows there"},
		{name: "no private key", provider: v1alpha1.GitHub, url: here, secret: "no-key", kind: Invalid,
			want: "Secret ml/no-key: the private key of the GitHub App is not an RSA key in PEM form: put the file that GitHub gave into the Secret as it is"},
		{name: "more than a token", provider: v1alpha1.Gitea, url: here, secret: "words", kind: Invalid,
			want: "Secret ml/words: the token for the forge is more than one word: put it into the Secret alone"},
		{name: "no authority", provider: v1alpha1.Gitea, url: here, secret: "authority", kind: Invalid,
			want: "Secret ml/authority: the key ca.crt of the Secret holds no certificate: it has to be in PEM form"},
		{name: "no Secret", provider: v1alpha1.Gitea, url: here, secret: "gone", kind: Invalid,
			want: "Secret ml/gone is not there: create it, or name another in spec.pullRequests.secretRef"},
		{name: "not to be read", provider: v1alpha1.Gitea, url: here, secret: "hidden", kind: Unavailable,
			want: "Secret ml/hidden of spec.pullRequests.secretRef cannot be read: the server is not up"},
		{name: "no repository of a forge", provider: v1alpha1.Gitea, url: "file:///srv/git/ml/platform", secret: "good", kind: Invalid,
			want: "Repository ml/platform: this is no URL of a repository on a forge: write https://host/owner/name.git or ssh://git@host/owner/name.git"},
		{name: "http", provider: v1alpha1.Gitea, url: "http://git.example.com/ml/platform.git", secret: "good", kind: Invalid,
			want: "Repository ml/platform: the API of the forge at git.example.com is not encrypted, and the token would be read on the way: use https"},
		{name: "another forge", provider: "bitbucket", url: here, secret: "good", kind: Invalid,
			want: `Repository ml/platform: the provider "bitbucket" is not known: use gitea, github or gitlab`},
		{name: "none", change: func(r *v1alpha1.Repository) { r.Spec.PullRequests = nil }, kind: Invalid,
			want: "Repository ml/platform names no forge: set spec.pullRequests"},
		{name: "a proxy", provider: v1alpha1.Gitea, url: here, secret: "good", change: proxied("proxy")},
		{name: "no Secret of the proxy", provider: v1alpha1.Gitea, url: here, secret: "good", change: proxied("gone"), kind: Invalid,
			want: "Secret ml/gone is not there: create it, or name another in spec.proxySecretRef"},
		{name: "a proxy without an address", provider: v1alpha1.Gitea, url: here, secret: "good", change: proxied("empty"), kind: Invalid,
			want: "Secret ml/empty: the proxy's Secret has no key address; add it, such as http://proxy.example.com:3128"},
		{name: "no proxy", provider: v1alpha1.Gitea, url: here, secret: "good", change: proxied("ftp"), kind: Invalid,
			want: "Secret ml/ftp: the key address of the proxy's Secret is no proxy URL; write http://, https:// or socks5:// and a host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := repository(c.provider, c.url, c.secret)
			if c.change != nil {
				c.change(repo)
			}
			forges := &Forges{Live: s}
			f, err := forges.Of(t.Context(), repo)
			if c.want == "" {
				if err != nil || f == nil {
					t.Fatal(err)
				}
				for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
					if said := fmt.Sprintf(format, f); strings.Contains(said, hunter) {
						t.Errorf("%s prints %s", format, said)
					}
				}
				return
			}
			if e, ok := err.(*Error); !ok || e.Kind != c.kind || e.Message != c.want {
				t.Errorf("have %v\nwant %s (%s)", err, c.want, c.kind)
			}
			if err != nil && strings.Contains(err.Error(), hunter) {
				t.Errorf("%v says what is in the Secret", err)
			}
		})
	}
}

func proxied(secret string) func(*v1alpha1.Repository) {
	return func(r *v1alpha1.Repository) { r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: secret} }
}

// TestForgesKeep: a Forge stays as long as all that it is made of, and Secrets are read once a minute.
func TestForgesKeep(t *testing.T) {
	s := newShelf()
	s.put(t, "forge", "token", hunter)
	s.put(t, "other", "token", hunter)
	s.put(t, "proxy", "address", "http://proxy.example.com:3128")
	clock := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	forges := &Forges{Live: s, now: func() time.Time { return clock }}
	repo := repository(v1alpha1.Gitea, "https://git.example.com/ml/platform.git", "forge")
	var last *Forge
	step := func(what string, reads int, same bool) {
		t.Helper()
		f, err := forges.Of(t.Context(), repo)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n := s.took(); n != reads || (f == last) != same {
			t.Errorf("%s: %d reads, and the same: %v; want %d, %v", what, n, f == last, reads, same)
		}
		last = f
	}
	s.took()
	step("the first time", 1, false)
	step("again", 0, true)
	clock = clock.Add(59 * time.Second)
	step("within a minute", 0, true)
	clock = clock.Add(time.Second)
	step("after a minute", 1, true)
	s.put(t, "forge", "token", hunter, "color", "red")
	clock = clock.Add(time.Minute)
	s.took()
	step("with a key that means nothing", 1, true)
	s.put(t, "forge", "token", hunter+"2")
	s.took()
	step("another token within the minute", 0, true)
	clock = clock.Add(time.Minute)
	step("another token", 1, false)
	repo.Spec.PullRequests.Name = "blue"
	step("a name", 0, true)
	repo.Spec.PullRequests.SecretRef.Name = "other"
	step("another Secret", 1, false)
	repo.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	step("a proxy", 2, false)
	repo.Spec.PullRequests.URL = "https://api.example.com/api/v1"
	step("another address", 2, false)
	repo.Spec.ProxySecretRef = nil
	step("no proxy", 1, false)

	for kind, reads := range map[Kind]int{Unauthorized: 1, Forbidden: 1, NotFound: 0, Unavailable: 0} {
		_ = last.finish(t.Context(), "try", toRead, &Error{Kind: kind})
		step(string(kind), reads, true)
		step("after "+string(kind), 0, true)
	}
	s.put(t, "other", "token", hunter+"3")
	s.took()
	_ = last.finish(t.Context(), "try", toRead, &Error{Kind: Unauthorized})
	step("the new token at once", 1, false)

	clock = clock.Add(time.Minute)
	repo.Spec.PullRequests.SecretRef.Name = "gone"
	if _, err := forges.Of(t.Context(), repo); !isKind(err, Invalid) {
		t.Error(err)
	}
	repo.Spec.PullRequests.SecretRef.Name = "other"
	s.took()
	step("after a mistake", 1, false)
	_ = last.finish(t.Context(), "try", toRead, &Error{Kind: Unauthorized})
	repo.Spec.PullRequests.SecretRef.Name = "hidden"
	if _, err := forges.Of(t.Context(), repo); !isKind(err, Unavailable) {
		t.Error(err)
	}
	repo.Spec.PullRequests.SecretRef.Name = "other"
	s.took()
	step("doubted, and then the Secrets could not be read", 1, true)
	forges.Forget(types.NamespacedName{Namespace: "ml", Name: "none"})
	step("another is forgotten", 0, true)
	forges.Forget(types.NamespacedName{Namespace: "ml", Name: "platform"})
	step("forgotten", 1, false)
	twin := repository(v1alpha1.Gitea, repo.Spec.URL, "other")
	twin.Name = "twin"
	if f, err := forges.Of(t.Context(), twin); err != nil || f == last {
		t.Errorf("two Repositories have one Forge; %v", err)
	}
}

// TestForgesTogether: many ask at once, and one reads.
func TestForgesTogether(t *testing.T) {
	s := newShelf()
	s.put(t, "forge", "token", hunter)
	s.took()
	forges := &Forges{Live: s}
	found := make([]*Forge, 20)
	var wait sync.WaitGroup
	for n := range found {
		wait.Go(func() {
			found[n], _ = forges.Of(t.Context(), repository(v1alpha1.Gitea, "https://git.example.com/ml/platform.git", "forge"))
		})
	}
	wait.Wait()
	if n := s.took(); n != 1 || found[0] == nil || len(slices.Compact(found)) != 1 {
		t.Errorf("%d reads, %v", n, found)
	}
}

// TestForgesOverHTTP: a forge over TLS with an authority of its own, behind a proxy that wants a
// password; the token is renewed, and so is the proxy.
func TestForgesOverHTTP(t *testing.T) {
	var mu sync.Mutex
	accepts, proxied := "token "+hunter, 0
	gitea := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != accepts {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"message":"user does not exist, token `+strings.TrimPrefix(r.Header.Get("Authorization"), "token ")+`"}`)
			return
		}
		_, _ = io.WriteString(w, `{"login":"sluice-bot"}`)
	}))
	defer gitea.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := parseBasic(r.Header.Get("Proxy-Authorization"))
		if r.Method != http.MethodConnect || name != "me" || password != hunter {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		mu.Lock()
		proxied++
		mu.Unlock()
		tunnel(t, w, r.Host)
	}))
	defer proxy.Close()

	s := newShelf()
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gitea.Certificate().Raw}))
	s.put(t, "forge", "token", hunter+"\n", "ca.crt", authority)
	s.put(t, "proxy", "address", proxy.URL, "username", "me", "password", hunter)
	repo := repository(v1alpha1.Gitea, gitea.URL+"/ml/platform.git", "forge")
	repo.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	forges := &Forges{Live: s}
	self := func() (string, error) {
		f, err := forges.Of(t.Context(), repo)
		if err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		f.self = "" // or else it is not asked again
		f.mu.Unlock()
		return f.Self(t.Context())
	}
	if name, err := self(); err != nil || name != "sluice-bot" || proxied != 1 {
		t.Fatalf("%s, %v; %d times by the proxy", name, err, proxied)
	}
	mu.Lock()
	accepts = "token renewed"
	mu.Unlock()
	if _, err := self(); !isKind(err, Unauthorized) || strings.Contains(err.Error(), hunter) {
		t.Fatal(err)
	}
	s.put(t, "forge", "token", "renewed", "ca.crt", authority)
	if name, err := self(); err != nil || name != "sluice-bot" {
		t.Errorf("with the new token: %s, %v", name, err)
	}
	s.put(t, "proxy", "address", proxy.URL, "username", "me", "password", "wrong")
	forges.Forget(types.NamespacedName{Namespace: "ml", Name: "platform"})
	if _, err := self(); !isKind(err, Unavailable) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with another password of the proxy: %v", err)
	}
	s.put(t, "forge", "token", "renewed")
	s.put(t, "proxy", "address", proxy.URL, "username", "me", "password", hunter)
	forges.Forget(types.NamespacedName{Namespace: "ml", Name: "platform"})
	if _, err := self(); !isKind(err, Invalid) || !strings.Contains(err.Error(), "add the authority's as ca.crt") {
		t.Errorf("without the authority: %v", err)
	}
}

// parseBasic reads credentials as a proxy gets them.
func parseBasic(header string) (name, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {header}}}
	return r.BasicAuth()
}

// tunnel connects a client with a host.
func tunnel(t *testing.T, w http.ResponseWriter, host string) {
	to, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Error(err)
		return
	}
	from, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer to.Close()
		_, _ = io.Copy(to, buffered)
	}()
	defer from.Close()
	_, _ = io.Copy(from, to)
}
