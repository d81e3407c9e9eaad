package sync_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remote is a story whose Repository "platform" is at a server of its own.
type remote struct {
	*story
	server *gitserver.Server
}

// from starts a story with a server of its own, which has one ConfigMap in the directory shop.
func from(t *testing.T, o gitserver.Options) *remote {
	t.Helper()
	t.Parallel()
	server, err := gitserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	r := &remote{story: &story{Rig: rig.Shared(t)}, server: server}
	if r.git, err = server.Create("platform"); err != nil {
		t.Fatal(err)
	}
	return r
}

// shows commits a ConfigMap that says which branch it is on, and returns the commit.
func (r *remote) shows(branch, says string) string {
	r.T.Helper()
	hash, err := r.git.Commit(gitserver.Change{Branch: branch, Files: files{"shop/settings.yaml": r.local(configMap("settings", "from: "+says))}})
	if err != nil {
		r.T.Fatal(err)
	}
	return hash
}

// follow creates the Repository, and the Overlay "shop" of it.
func (r *remote) follow(edit func(*v1alpha1.RepositorySpec)) {
	r.T.Helper()
	o := &v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: "platform"},
		Spec:       v1alpha1.RepositorySpec{URL: r.git.URL, Interval: metav1.Duration{Duration: time.Hour}},
	}
	edit(&o.Spec)
	r.Create(o)
	r.Overlay("shop", "shop")
}

func (r *remote) secret(name string, data map[string]string) *meta.LocalObjectReference {
	r.T.Helper()
	r.Create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name}, StringData: data})
	return &meta.LocalObjectReference{Name: name}
}

// updateSecret changes the data of a Secret.
func (r *remote) updateSecret(name string, data map[string]string) {
	r.T.Helper()
	o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name}}
	r.Update(o, func() { o.StringData = data })
	r.Ask("platform")
}

// arrives waits until the cluster shows what a commit says.
func (r *remote) arrives(says string) {
	r.T.Helper()
	r.becomes(says, "v1", "ConfigMap", "settings", "data", "from")
	r.WaitReady("shop")
}

// refuses waits until the Repository is not Ready for a reason, and returns what it says. It
// checks that the Overlay tells of it, too.
func (r *remote) refuses(reason string) string {
	r.T.Helper()
	_, c := r.WaitRepository("platform", "says "+reason, func(_ *v1alpha1.Repository, c metav1.Condition) bool {
		return c.Reason == reason && c.Status == metav1.ConditionFalse
	})
	r.T.Logf("Ready=%s %s: %s", c.Status, c.Reason, c.Message)
	return c.Message
}

func TestBasicAuth(t *testing.T) {
	r := from(t, gitserver.Options{Access: gitserver.Access{Username: "git", Password: rig.Canary}})
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.SecretRef = r.secret("login", map[string]string{"username": "git", "password": "wrong-" + rig.Canary})
	})
	message := r.refuses("AuthenticationFailed")
	r.mentions(message, r.git.URL, "credentials", "Secret")
	r.mentions(r.says("shop", v1alpha1.RepositoryNotReadyReason), "Repository NS/platform")

	r.updateSecret("login", map[string]string{"username": "git", "password": rig.Canary})
	r.arrives("one")

	// The password is rotated: what is there stays, and the new one is taken without a restart.
	settings := r.live("v1", "ConfigMap", "settings")
	r.server.Require(gitserver.Access{Username: "git", Password: rig.Canary + "-2"})
	r.shows("main", "two")
	r.Ask("platform")
	r.refuses("AuthenticationFailed")
	r.same(settings)
	r.updateSecret("login", map[string]string{"username": "git", "password": rig.Canary + "-2"})
	r.arrives("two")
	r.same(settings)
}

func TestBearerAuth(t *testing.T) {
	r := from(t, gitserver.Options{Access: gitserver.Access{Bearer: rig.Canary}})
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.SecretRef = r.secret("token", map[string]string{"bearerToken": rig.Canary})
	})
	r.arrives("one")
}

func TestSSH(t *testing.T) {
	r := from(t, gitserver.Options{})
	server, err := r.server.ServeSSH()
	if err != nil {
		t.Fatal(err)
	}
	r.shows("main", "one")
	other := strings.Replace(string(server.KnownHosts), "[127.0.0.1]", "[127.0.0.2]", 1)
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.URL = r.git.SSHURL()
		s.SecretRef = r.secret("key", map[string]string{"identity": string(server.Identity), "known_hosts": other})
	})
	r.mentions(r.refuses("HostKeyUnknown"), "known_hosts")
	r.updateSecret("key", map[string]string{"identity": string(server.Identity), "known_hosts": string(server.KnownHosts)})
	r.arrives("one")
}

func TestOwnAuthority(t *testing.T) {
	r := from(t, gitserver.Options{TLS: &gitserver.TLS{}})
	r.shows("main", "one")
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.mentions(r.refuses("CertificateInvalid"), "ca.crt")
	o := r.GetRepository("platform")
	authority := r.secret("authority", map[string]string{"ca.crt": string(r.server.CA)})
	r.Update(o, func() { o.Spec.SecretRef = authority })
	r.arrives("one")
}

func TestClientCertificate(t *testing.T) {
	r := from(t, gitserver.Options{TLS: &gitserver.TLS{ClientCertificates: true}})
	pair, err := r.server.ClientCertificate("sluice")
	if err != nil {
		t.Fatal(err)
	}
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.SecretRef = r.secret("certificate", map[string]string{"ca.crt": string(r.server.CA), "tls.crt": string(pair.Certificate), "tls.key": string(pair.Key)})
	})
	r.arrives("one")
}

func TestExpiredCertificate(t *testing.T) {
	r := from(t, gitserver.Options{TLS: &gitserver.TLS{Expired: true}})
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.SecretRef = r.secret("authority", map[string]string{"ca.crt": string(r.server.CA)})
	})
	r.mentions(r.refuses("CertificateInvalid"), "only valid from", "renew it")
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestProxy(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "one")
	target, err := url.Parse(r.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	proxy := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		passed.Add(1)
		p.SetURL(target)
	}}}
	listener := listen(t)
	go proxy.Serve(listener)
	t.Cleanup(func() { _ = proxy.Close() })
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.URL = "http://git.invalid/platform.git" // only the proxy knows where that is
		s.ProxySecretRef = r.secret("proxy", map[string]string{"address": "http://" + listener.Addr().String(), "username": "sluice", "password": rig.Canary})
	})
	r.arrives("one")
	if passed.Load() == 0 {
		t.Error("nothing went through the proxy")
	}
}

// Each way to say which commit to follow: what is taken, and what moves it.
func TestReferences(t *testing.T) {
	cases := []struct {
		name string
		ref  func(first string) *v1alpha1.RepositoryRef
		set  func(r *remote, first string) error // makes the reference
		move func(r *remote) error               // makes it name what says "two"
		at   string
	}{
		{"the default branch", func(string) *v1alpha1.RepositoryRef { return nil },
			func(*remote, string) error { return nil },
			func(r *remote) error { r.shows("main", "two"); return nil }, "main"},
		{"branch", func(string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{Branch: "release"} },
			func(r *remote, first string) error { return r.git.SetBranch("release", first) },
			func(r *remote) error { r.shows("release", "two"); return nil }, "release"},
		{"tag", func(string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{Tag: "stable"} },
			func(r *remote, first string) error { return r.git.SetTag("stable", first) },
			func(r *remote) error { return r.git.SetTag("stable", r.shows("main", "two")) }, "stable"},
		{"annotated tag", func(string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{Tag: "v1"} },
			func(r *remote, first string) error { return r.git.Annotate("v1", first, "the first") },
			func(r *remote) error {
				if err := r.git.DeleteTag("v1"); err != nil {
					return err
				}
				return r.git.Annotate("v1", r.shows("main", "two"), "the second")
			}, "v1"},
		{"semver", func(string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{SemVer: ">=1.2 <2"} },
			func(r *remote, first string) error {
				if err := r.git.SetTag("v1.2.0", first); err != nil {
					return err
				}
				return r.git.SetTag("v2.0.0", r.shows("main", "too new"))
			},
			func(r *remote) error { return r.git.SetTag("v1.10.0", r.shows("main", "two")) }, "v1.10.0"},
		{"name", func(string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{Name: "refs/pull/7/head"} },
			func(r *remote, first string) error {
				_, err := r.git.Git("update-ref", "refs/pull/7/head", first)
				return err
			},
			func(r *remote) error {
				_, err := r.git.Git("update-ref", "refs/pull/7/head", r.shows("main", "two"))
				return err
			}, "refs/pull/7/head"},
		{"commit", func(first string) *v1alpha1.RepositoryRef { return &v1alpha1.RepositoryRef{Commit: first} },
			func(*remote, string) error { return nil },
			func(r *remote) error {
				second := r.shows("main", "two")
				o := r.GetRepository("platform")
				r.Update(o, func() { o.Spec.Ref.Commit = second })
				return nil
			}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := from(t, gitserver.Options{})
			first := r.shows("main", "one")
			if err := c.set(r, first); err != nil {
				t.Fatal(err)
			}
			r.follow(func(s *v1alpha1.RepositorySpec) { s.Ref = c.ref(first) })
			r.arrives("one")
			if err := c.move(r); err != nil {
				t.Fatal(err)
			}
			r.Ask("platform")
			r.arrives("two")
			revision := r.GetRepository("platform").Status.Revision
			if name, _, _ := strings.Cut(revision, "sha1:"); strings.TrimSuffix(name, "@") != c.at {
				t.Errorf("the revision is %s, want one of %q", revision, c.at)
			}
		})
	}
}

func TestForcePush(t *testing.T) {
	r := from(t, gitserver.Options{})
	first := r.shows("main", "one")
	r.shows("main", "two")
	r.follow(func(s *v1alpha1.RepositorySpec) { s.Ref = &v1alpha1.RepositoryRef{Branch: "main"} })
	r.arrives("two")
	settings := r.live("v1", "ConfigMap", "settings")

	if err := r.git.SetBranch("main", first); err != nil {
		t.Fatal(err)
	}
	r.Ask("platform")
	r.arrives("one")

	// And once more, to a history that has nothing in common with the old one.
	if _, err := r.git.Commit(gitserver.Change{Orphan: true, Files: files{"shop/settings.yaml": r.local(configMap("settings", "from: anew"))}}); err != nil {
		t.Fatal(err)
	}
	r.Ask("platform")
	r.arrives("anew")
	r.same(settings)
}

func TestDeletedBranch(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "main")
	commit := r.shows("release", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) { s.Ref = &v1alpha1.RepositoryRef{Branch: "release"} })
	r.arrives("one")
	settings := r.live("v1", "ConfigMap", "settings")

	if err := r.git.DeleteBranch("release"); err != nil {
		t.Fatal(err)
	}
	r.Ask("platform")
	r.mentions(r.refuses("ReferenceNotFound"), "release")

	// What was fetched is still kept applied.
	r.patch("v1", "ConfigMap", "settings", "data: {from: somebody}")
	r.arrives("one")
	r.same(settings)

	if err := r.git.SetBranch("release", commit); err != nil {
		t.Fatal(err)
	}
	r.shows("release", "two")
	r.Ask("platform")
	r.arrives("two")
	r.same(settings)
}

func TestEmptyRepository(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.mentions(r.refuses("Empty"), "is empty", "push a commit")
	r.mentions(r.says("shop", v1alpha1.RepositoryNotReadyReason), "Repository NS/platform")
	r.shows("main", "one")
	r.Ask("platform")
	r.arrives("one")
}

func TestRepositoryThatIsNotThere(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) { s.URL = r.server.URL + "/nothing.git" })
	r.mentions(r.refuses("NotFound"), "nothing.git")
	o := r.GetRepository("platform")
	r.Update(o, func() { o.Spec.URL = r.git.URL })
	r.arrives("one")
}

func TestOutage(t *testing.T) {
	var down atomic.Bool
	r := from(t, gitserver.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if down.Load() {
				http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, q)
		})
	}})
	r.shows("main", "one")
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.arrives("one")

	down.Store(true)
	r.shows("main", "two")
	r.Ask("platform")
	_, c := r.WaitRepository("platform", "tells of the outage", func(_ *v1alpha1.Repository, c metav1.Condition) bool {
		return c.Status == metav1.ConditionFalse
	})
	t.Logf("%s: %s", c.Reason, c.Message)
	r.mentions(c.Message, r.git.URL, "503")

	// Drift is corrected while Git is down.
	r.patch("v1", "ConfigMap", "settings", "data: {from: somebody}")
	r.arrives("one")

	down.Store(false) // nobody asks; the agent tries again
	r.arrives("two")
	r.WaitRepository("platform", "is Ready", func(_ *v1alpha1.Repository, c metav1.Condition) bool { return c.Status == metav1.ConditionTrue })
}

func TestSuspendedRepository(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "one")
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.arrives("one")
	o := r.GetRepository("platform")
	r.Update(o, func() { o.Spec.Suspend = true })
	r.shows("main", "two")
	r.Ask("platform")
	asked := r.GetRepository("platform").Annotations[meta.ReconcileRequestAnnotation]
	r.WaitRepository("platform", "answers", func(o *v1alpha1.Repository, _ metav1.Condition) bool { return o.Status.LastHandledReconcileAt == asked })
	before := r.server.Traffic()

	// What was fetched stays usable meanwhile.
	r.patch("v1", "ConfigMap", "settings", "data: {from: somebody}")
	r.arrives("one")
	if after := r.server.Traffic(); after != before {
		t.Errorf("a suspended Repository was looked at: %+v", after.Sub(before))
	}

	r.Update(o, func() { o.Spec.Suspend = false })
	r.arrives("two")
}

// A request to look now is answered, by the Repository and by the Overlay, also when there is
// nothing to do.
func TestRequestIsAnswered(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "one")
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.arrives("one")
	before := r.server.Traffic()
	r.Ask("platform")
	asked := r.GetRepository("platform").Annotations[meta.ReconcileRequestAnnotation]
	r.WaitRepository("platform", "answers", func(o *v1alpha1.Repository, _ metav1.Condition) bool { return o.Status.LastHandledReconcileAt == asked })
	if got := r.server.Traffic().Sub(before); got.LsRefs != 1 || got.Fetches != 0 {
		t.Errorf("an unmoved branch costs one look and no transfer, not %+v", got)
	}

	o := r.GetOverlay("shop")
	r.Update(o, func() { o.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"} })
	r.WaitOverlay("shop", "answers", func(o *v1alpha1.Overlay) bool { return o.Status.LastHandledReconcileAt == "now" })
	r.Update(o, func() { o.Spec.Suspend = true; o.Annotations[meta.ReconcileRequestAnnotation] = "again" })
	r.WaitOverlay("shop", "answers while it is suspended", func(o *v1alpha1.Overlay) bool { return o.Status.LastHandledReconcileAt == "again" })

	// A suspended Overlay does nothing, and goes on where Git is when it is resumed.
	r.shows("main", "two")
	r.Ask("platform")
	r.WaitRepository("platform", "has the new commit", func(o *v1alpha1.Repository, _ metav1.Condition) bool {
		hash, err := r.git.Hash("main")
		return err == nil && strings.HasSuffix(o.Status.Revision, hash)
	})
	if is := r.data("settings", "from"); is != "one" {
		t.Errorf("a suspended Overlay applied %q", is)
	}
	r.Update(o, func() { o.Spec.Suspend = false })
	r.arrives("two")
}

// A webhook is not there yet in these tests; polling finds a commit by itself.
func TestPolling(t *testing.T) {
	r := from(t, gitserver.Options{})
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) { s.Interval = metav1.Duration{Duration: time.Second} })
	r.arrives("one")
	r.shows("main", "two")
	r.arrives("two")
}

// Two Repositories of one agent: one that hangs delays nobody.
func TestServerThatHangs(t *testing.T) {
	release := make(chan struct{})
	hanging, err := gitserver.Start(gitserver.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			select {
			case <-release:
			case <-q.Context().Done():
			}
			next.ServeHTTP(w, q)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := from(t, gitserver.Options{})
	t.Cleanup(func() { _ = hanging.Close() })
	stuck, err := hanging.Create("stuck")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stuck.Commit(gitserver.Change{Files: files{"stuck/settings.yaml": r.local(configMap("stuck", "from: late"))}}); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		name := fmt.Sprint("stuck-", n)
		if err := r.Client.Create(context.Background(), &v1alpha1.Repository{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name},
			Spec:       v1alpha1.RepositorySpec{URL: stuck.URL, Timeout: metav1.Duration{Duration: 5 * time.Second}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.shows("main", "one")
	r.follow(func(*v1alpha1.RepositorySpec) {})
	r.arrives("one")
	_, c := r.WaitRepository("stuck-1", "says Timeout", func(_ *v1alpha1.Repository, c metav1.Condition) bool { return c.Reason == "Timeout" })
	t.Logf("%s: %s", c.Reason, c.Message)
	r.mentions(c.Message, "stuck.git", "timeout")
	close(release)
	r.WaitRepository("stuck-1", "is Ready", func(_ *v1alpha1.Repository, c metav1.Condition) bool { return c.Status == metav1.ConditionTrue })
}
