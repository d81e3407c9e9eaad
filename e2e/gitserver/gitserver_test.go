package gitserver_test

import (
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gogit "github.com/go-git/go-git/v5"
	gogitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"

	"github.com/sluice-dev/sluice/e2e/gitserver"
)

func start(t *testing.T, o gitserver.Options) (*gitserver.Server, *gitserver.Repo) {
	t.Helper()
	s, err := gitserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r, err := s.Create("ml/platform")
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func commit(t *testing.T, r *gitserver.Repo, change gitserver.Change) string {
	t.Helper()
	hash, err := r.Commit(change)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// git is the client: the real program, with no configuration but what the arguments set.
func git(t *testing.T, dir string, arguments ...string) (output string, err error) {
	t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	combined, err := command.CombinedOutput()
	return string(combined), err
}

func succeed(t *testing.T, dir string, arguments ...string) string {
	t.Helper()
	output, err := git(t, dir, arguments...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(output)
}

func TestCloneFetchPush(t *testing.T) {
	s, r := start(t, gitserver.Options{})
	first := commit(t, r, gitserver.Change{Files: map[string]string{"a/b.yaml": "one\n"}, Message: "First"})
	dir := filepath.Join(t.TempDir(), "clone")
	succeed(t, "", "clone", r.URL, dir)
	if head := succeed(t, dir, "rev-parse", "HEAD"); head != first {
		t.Errorf("cloned %s, want %s", head, first)
	}

	before := s.Traffic()
	succeed(t, dir, "fetch")
	if got := s.Traffic().Sub(before); got.LsRefs != 1 || got.Fetches != 0 {
		t.Errorf("want a fetch of nothing to ask for the refs alone, have %+v", got)
	}
	commit(t, r, gitserver.Change{Files: map[string]string{"a/b.yaml": "two\n"}})
	before = s.Traffic()
	succeed(t, dir, "pull")
	if got := s.Traffic().Sub(before); got.LsRefs != 1 || got.Fetches != 1 || got.Sent == 0 || got.Received == 0 {
		t.Errorf("want refs and one pack, have %+v", got)
	}

	// More than git sends in one piece: the length of the body is not known beforehand.
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	must(t, os.WriteFile(filepath.Join(dir, "noise"), noise, 0o644))
	succeed(t, dir, "add", "noise")
	succeed(t, dir, "-c", "user.name=n", "-c", "user.email=e", "commit", "--message=Noise")
	before = s.Traffic()
	succeed(t, dir, "push", "origin", "main")
	if got := s.Traffic().Sub(before); got.Pushes == 0 || got.Received < 3<<20 {
		t.Errorf("want a push of 3 MB, have %+v", got)
	}
	head, err := r.Hash("main")
	must(t, err)
	if pushed := succeed(t, dir, "rev-parse", "HEAD"); head != pushed {
		t.Errorf("the server has %s, want %s", head, pushed)
	}
}

func TestCommit(t *testing.T) {
	_, r := start(t, gitserver.Options{})
	base := commit(t, r, gitserver.Change{Files: map[string]string{"gone/1": "", "gone/2": "", "kept": "kept"}})
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hash := commit(t, r, gitserver.Change{
		Message:     "Everything\n\nwith a body",
		Files:       map[string]string{"new\nline \"quoted\" \\ é": "odd"},
		Executables: map[string]string{"run.sh": "#!/bin/sh\n"},
		Symlinks:    map[string]string{"link": "../outside"},
		Submodules:  map[string]string{"sub": base},
		Delete:      []string{"gone"},
		Time:        when,
	})
	listing, err := r.Git("ls-tree", "-r", "-z", hash)
	must(t, err)
	var got []string
	for _, entry := range strings.Split(strings.TrimSuffix(listing, "\x00"), "\x00") {
		about, path, _ := strings.Cut(entry, "\t")
		got = append(got, strings.Fields(about)[0]+" "+path)
	}
	want := []string{"100644 kept", "120000 link", "100644 new\nline \"quoted\" \\ é", "100755 run.sh", "160000 sub"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("have %q\nwant %q", got, want)
	}
	about, err := r.Git("log", "-1", "--format=%P %ct %s", hash)
	must(t, err)
	if want := base + " " + "1767323045" + " Everything"; about != want {
		t.Errorf("have %q, want %q", about, want)
	}
}

func TestBranchesAndTags(t *testing.T) {
	_, r := start(t, gitserver.Options{})
	first := commit(t, r, gitserver.Change{Files: map[string]string{"a": "1"}})
	second := commit(t, r, gitserver.Change{Files: map[string]string{"a": "2"}})

	must(t, r.SetBranch("main", first)) // what a forced push leaves
	other := commit(t, r, gitserver.Change{Files: map[string]string{"a": "3"}})
	if parent, err := r.Hash(other + "^"); err != nil || parent != first {
		t.Errorf("the parent is %s (%v), want %s", parent, err, first)
	}
	must(t, r.SetTag("v1.0.0", second))
	must(t, r.Annotate("v1.1.0", other, "Release"))
	for tag, want := range map[string]string{"v1.0.0": second, "v1.1.0": other} {
		if hash, err := r.Hash(tag); err != nil || hash != want {
			t.Errorf("%s is %s (%v), want %s", tag, hash, err, want)
		}
	}
	must(t, r.DeleteTag("v1.0.0"))
	must(t, r.DeleteBranch("main"))
	if hash, err := r.Hash("main"); err == nil {
		t.Errorf("the deleted branch is at %s", hash)
	}

	commit(t, r, gitserver.Change{Branch: "side", Files: map[string]string{"b": "1"}})
	orphan := commit(t, r, gitserver.Change{Branch: "side", Files: map[string]string{"c": "1"}, Orphan: true})
	if files, err := r.Git("ls-tree", "--name-only", orphan); err != nil || files != "c" {
		t.Errorf("the orphan has %q (%v), want c alone", files, err)
	}
	must(t, r.SetDefaultBranch("side"))
	dir := filepath.Join(t.TempDir(), "clone")
	succeed(t, "", "clone", r.URL, dir)
	if branch := succeed(t, dir, "branch", "--show-current"); branch != "side" {
		t.Errorf("a clone is on %s, want side", branch)
	}
}

func TestAccess(t *testing.T) {
	s, r := start(t, gitserver.Options{Access: gitserver.Access{Username: "ci", Password: "s3cret", Bearer: "t0ken"}})
	basic := func(credentials string) string {
		return "http.extraHeader=Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
	}
	for _, c := range []struct {
		header string
		let    bool
	}{
		{"http.extraHeader=X-None: 1", false},
		{basic("ci:wrong"), false},
		{basic("ci:s3cret"), true},
		{"http.extraHeader=Authorization: Bearer t0ken", true},
		{"http.extraHeader=Authorization: Bearer other", false},
	} {
		if output, err := git(t, "", "-c", c.header, "ls-remote", r.URL); (err == nil) != c.let {
			t.Errorf("%s: let in %v, want %v\n%s", c.header, err == nil, c.let, output)
		}
	}
	if denied := s.Traffic().Denied; denied < 3 {
		t.Errorf("counted %d denials, want 3 at least", denied)
	}
	s.Require(gitserver.Access{Username: "ci", Password: "rotated"})
	if _, err := git(t, "", "-c", basic("ci:s3cret"), "ls-remote", r.URL); err == nil {
		t.Error("the old password still lets in")
	}
	succeed(t, "", "-c", basic("ci:rotated"), "ls-remote", r.URL)
}

func TestTLS(t *testing.T) {
	for _, c := range []struct {
		name        string
		tls         gitserver.TLS
		trust, show bool
		let         bool
		mustMention string
	}{
		{name: "trusted", trust: true, let: true},
		{name: "authority unknown", mustMention: "certificate"},
		{name: "expired", tls: gitserver.TLS{Expired: true}, trust: true, mustMention: "expired"},
		{name: "client certificate", tls: gitserver.TLS{ClientCertificates: true}, trust: true, show: true, let: true},
		{name: "no client certificate", tls: gitserver.TLS{ClientCertificates: true}, trust: true}, // curl words it by chance
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := start(t, gitserver.Options{TLS: &c.tls})
			dir := t.TempDir()
			file := func(name string, content []byte) string {
				path := filepath.Join(dir, name)
				must(t, os.WriteFile(path, content, 0o600))
				return path
			}
			var arguments []string
			if c.trust {
				arguments = append(arguments, "-c", "http.sslCAInfo="+file("ca.pem", s.CA))
			}
			if c.show {
				client, err := s.ClientCertificate("agent")
				must(t, err)
				arguments = append(arguments, "-c", "http.sslCert="+file("client.pem", client.Certificate), "-c", "http.sslKey="+file("client.key", client.Key))
			}
			output, err := git(t, "", append(arguments, "ls-remote", r.URL)...)
			if (err == nil) != c.let || !strings.Contains(output, c.mustMention) {
				t.Errorf("let in %v, want %v and a word on %q\n%s", err == nil, c.let, c.mustMention, output)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	_, r := start(t, gitserver.Options{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "down", http.StatusServiceUnavailable)
		})
	}})
	if output, err := git(t, "", "ls-remote", r.URL); err == nil || !strings.Contains(output, "503") {
		t.Errorf("want a 503, have %v\n%s", err, output)
	}
}

func TestSSH(t *testing.T) {
	s, r := start(t, gitserver.Options{})
	hash := commit(t, r, gitserver.Change{Files: map[string]string{"a": "1"}})
	h, err := s.ServeSSH()
	must(t, err)
	dir := t.TempDir()
	knownHosts := filepath.Join(dir, "known_hosts")
	must(t, os.WriteFile(knownHosts, h.KnownHosts, 0o600))

	t.Run("go-git", func(t *testing.T) {
		auth, err := gogitssh.NewPublicKeys("git", h.Identity, "")
		must(t, err)
		auth.HostKeyCallback, err = gogitssh.NewKnownHostsCallback(knownHosts)
		must(t, err)
		clone, err := gogit.PlainClone(filepath.Join(dir, "clone"), false, &gogit.CloneOptions{URL: r.SSHURL(), Auth: auth})
		must(t, err)
		head, err := clone.Head()
		must(t, err)
		if head.Hash().String() != hash {
			t.Errorf("cloned %s, want %s", head.Hash(), hash)
		}
		if got := s.Traffic(); got.LsRefs == 0 || got.Sent == 0 || got.Received == 0 {
			t.Errorf("the clone was not counted: %+v", got)
		}

		elsewhere, _ := start(t, gitserver.Options{})
		other, err := elsewhere.ServeSSH()
		must(t, err)
		stranger, err := gogitssh.NewPublicKeys("git", other.Identity, "")
		must(t, err)
		stranger.HostKeyCallback = auth.HostKeyCallback
		if _, err := gogit.PlainClone(filepath.Join(dir, "clone-2"), false, &gogit.CloneOptions{URL: r.SSHURL(), Auth: stranger}); err == nil {
			t.Error("an unknown key is let in")
		}
	})
	t.Run("git", func(t *testing.T) {
		if _, err := exec.LookPath("ssh"); err != nil {
			t.Skip("the program ssh is not installed (Debian: openssh-client)")
		}
		identity := filepath.Join(dir, "identity")
		must(t, os.WriteFile(identity, h.Identity, 0o600))
		ssh := "core.sshCommand=ssh -F none -o IdentitiesOnly=yes -o UserKnownHostsFile=" + knownHosts + " -i " + identity
		clone := filepath.Join(dir, "clone-git")
		succeed(t, "", "-c", ssh, "clone", r.SSHURL(), clone)
		succeed(t, clone, "-c", "user.name=n", "-c", "user.email=e", "commit", "--allow-empty", "--message=Pushed")
		succeed(t, clone, "-c", ssh, "push", "origin", "main")
		if head, err := r.Hash("main"); err != nil || head != succeed(t, clone, "rev-parse", "HEAD") {
			t.Errorf("the push did not arrive: %s, %v", head, err)
		}
	})
}
