package forge_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/forge"
)

// worlds are the three servers, for what is so on all forges.
var worlds = map[forge.Provider]func(*testing.T) *world{forge.Gitea: giteaWorld, forge.GitHub: gitHubWorld, forge.GitLab: gitLabWorld}

func onEach(t *testing.T, do func(*testing.T, *world, *forge.Forge)) {
	for provider, open := range worlds {
		t.Run(string(provider), func(t *testing.T) {
			t.Parallel()
			w := open(t)
			f := w.open(provider)
			do(t, w, f)
		})
	}
}

func prepare(t *testing.T, w *world, f *forge.Forge) (p forge.Pull) {
	t.Helper()
	w.push("sluice/a")
	p, err := f.Open(t.Context(), forge.Draft{Base: "main", Head: "sluice/a", Title: "a"})
	if err != nil {
		t.Fatal(err)
	}
	w.requests()
	return p
}

// TestCalls makes every call with a token that may nothing: each says what is missing, on each forge.
func TestCalls(t *testing.T) {
	commit := strings.Repeat("a", 40)
	draft := forge.Draft{Base: "main", Head: "x", Title: "x"}
	calls := []struct {
		name string
		call func(context.Context, *forge.Forge) error
		want map[forge.Provider]string
	}{
		{"Self", func(ctx context.Context, f *forge.Forge) error { _, err := f.Self(ctx); return err },
			map[forge.Provider]string{forge.Gitea: "scope read:user", forge.GitHub: "valid", forge.GitLab: "scope api"}},
		{"Pulls", func(ctx context.Context, f *forge.Forge) error { _, err := f.Pulls(ctx, "main"); return err },
			map[forge.Provider]string{forge.Gitea: "scope read:repository", forge.GitHub: "Pull requests: read", forge.GitLab: "role Reporter"}},
		{"MergeBase", func(ctx context.Context, f *forge.Forge) error {
			_, err := f.MergeBase(ctx, forge.Pull{Number: 1, Base: forge.Branch{Name: "main", Commit: commit}, Head: forge.Branch{Name: "x", Commit: commit}})
			return err
		},
			map[forge.Provider]string{forge.Gitea: "access to the code", forge.GitHub: "Contents: read", forge.GitLab: "role Reporter"}},
		{"Pull", func(ctx context.Context, f *forge.Forge) error { _, err := f.Pull(ctx, 1); return err },
			map[forge.Provider]string{forge.Gitea: "scope read:repository", forge.GitHub: "Pull requests: read", forge.GitLab: "role Reporter"}},
		{"PullOf", func(ctx context.Context, f *forge.Forge) error { _, err := f.PullOf(ctx, "main", commit); return err },
			map[forge.Provider]string{forge.Gitea: "scope read:repository", forge.GitHub: "Pull requests: read", forge.GitLab: "role Reporter"}},
		{"Reviews", func(ctx context.Context, f *forge.Forge) error { _, err := f.Reviews(ctx, 1); return err },
			map[forge.Provider]string{forge.Gitea: "scope read:repository", forge.GitHub: "Metadata: read", forge.GitLab: "role Reporter"}},
		{"TeamHas", func(ctx context.Context, f *forge.Forge) error {
			_, err := f.TeamHas(ctx, "ml/risk", "ann")
			return err
		},
			map[forge.Provider]string{forge.Gitea: "scope read:organization", forge.GitHub: "Members: read", forge.GitLab: "place in the group"}},
		{"SetStatus", func(ctx context.Context, f *forge.Forge) error {
			return f.SetStatus(ctx, commit, forge.Status{Context: "sluice/plan", State: forge.Success})
		}, map[forge.Provider]string{forge.Gitea: "scope write:repository", forge.GitHub: "Commit statuses: write", forge.GitLab: "role Developer"}},
		{"Open", func(ctx context.Context, f *forge.Forge) error { _, err := f.Open(ctx, draft); return err },
			map[forge.Provider]string{forge.Gitea: "write:repository and write:issue", forge.GitHub: "Pull requests: write and Contents: write", forge.GitLab: "role Developer"}},
		{"Edit", func(ctx context.Context, f *forge.Forge) error { return f.Edit(ctx, 1, draft) },
			map[forge.Provider]string{forge.Gitea: "write:repository and write:issue", forge.GitHub: "Pull requests: write and Contents: write", forge.GitLab: "role Developer"}},
		{"Close", func(ctx context.Context, f *forge.Forge) error { return f.Close(ctx, 1) },
			map[forge.Provider]string{forge.Gitea: "write:repository and write:issue", forge.GitHub: "Pull requests: write and Contents: write", forge.GitLab: "role Developer"}},
		{"Merge", func(ctx context.Context, f *forge.Forge) error { return f.Merge(ctx, 1, commit, forge.Squash) },
			map[forge.Provider]string{forge.Gitea: "right to merge", forge.GitHub: "Contents: write and Pull requests: write", forge.GitLab: "role that may merge"}},
		{"DeleteBranch", func(ctx context.Context, f *forge.Forge) error { return f.DeleteBranch(ctx, "sluice/a", commit) },
			map[forge.Provider]string{forge.Gitea: "scope write:repository", forge.GitHub: "Contents: write", forge.GitLab: "role Developer"}},
	}
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		provider := map[string]forge.Provider{"Bearer": forge.GitHub, "token": forge.Gitea}[strings.Fields(w.accepts)[0]]
		if strings.HasSuffix(t.Name(), "gitlab") {
			provider = forge.GitLab
		}
		for _, c := range calls {
			for _, status := range []int{401, 403, 404} {
				kind := map[int]forge.Kind{401: forge.Unauthorized, 403: forge.Forbidden, 404: forge.NotFound}[status]
				if status == 404 && c.name == "MergeBase" {
					kind = forge.Unavailable // the forge may get the commit yet
				}
				for range 3 {
					w.say(reply{status: status, body: `{"message":"No. ` + token + `"}`})
				}
				err := c.call(t.Context(), f)
				if status == 404 && c.name == "DeleteBranch" {
					if err != nil {
						t.Errorf("%s: %v", c.name, err)
					}
				} else {
					wantError(t, err, kind, c.want[provider], "ml/platform on 127.0.0.1")
				}
				w.mu.Lock()
				w.script = nil
				w.mu.Unlock()
			}
		}
		if _, err := f.Self(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, status := range []int{401, 403} {
			w.say(reply{status: status, body: `{"message":"No."}`})
			wantError(t, f.Comment(t.Context(), 1, "plan", "x"), map[int]forge.Kind{401: forge.Unauthorized, 403: forge.Forbidden}[status],
				map[forge.Provider]string{forge.Gitea: "scope write:issue", forge.GitHub: "Pull requests: write", forge.GitLab: "role Reporter"}[provider], "comment on pull request 1")
			w.mu.Lock()
			w.script = nil
			w.mu.Unlock()
		}
	})
}

// TestRetry: what may be done twice is.
func TestRetry(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		prepare(t, w, f)
		w.say(reply{match: "GET", status: 502, body: "<html>"}, reply{match: "GET", status: 503, header: map[string]string{"Retry-After": "0"}})
		if pulls, err := f.Pulls(t.Context(), "main"); err != nil || len(pulls) != 1 {
			t.Errorf("%d, %v", len(pulls), err)
		}
		if n := len(w.requests()); n != 3 {
			t.Errorf("asked %d times", n)
		}
		w.say(reply{status: 500}, reply{status: 500}, reply{status: 500, body: `{"message":"it burns"}`})
		_, err := f.Pulls(t.Context(), "main")
		wantError(t, err, forge.Unavailable, "500 Internal Server Error (it burns)", "see whether it is well")
		if n := len(w.requests()); n != 3 {
			t.Errorf("asked %d times", n)
		}
		w.say(reply{status: 503, header: map[string]string{"Retry-After": "600"}})
		_, err = f.Pulls(t.Context(), "main")
		wantError(t, err, forge.Unavailable, "503 Service Unavailable")
		if e, ok := err.(*forge.Error); !ok || e.Until.IsZero() || !e.Kind.Temporary() {
			t.Errorf("until %+v", err)
		}
		if n := len(w.requests()); n != 1 {
			t.Errorf("asked %d times although it wants to be left alone", n)
		}
		// What is done by POST could have been done.
		w.say(reply{match: "POST", status: 502})
		wantError(t, f.SetStatus(t.Context(), w.branches["main"], forge.Status{Context: "x", State: forge.Success}), forge.Unavailable, "502")
		if n := len(w.requests()); n != 1 {
			t.Errorf("set %d times", n)
		}
	})
}

// TestLost: a merge whose answer was lost is not made again, and found.
func TestLost(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		p := prepare(t, w, f)
		w.mu.Lock()
		w.merge(w.pulls[0], "merge")
		w.mu.Unlock()
		w.say(reply{match: "PUT", status: 502}, reply{match: "POST", status: 502})
		if err := f.Merge(t.Context(), p.Number, p.Head.Commit, forge.Merge); err != nil {
			t.Error(err)
		}
		merges := slices.DeleteFunc(w.requests(), func(line string) bool { return !strings.HasSuffix(line, "/merge") })
		if len(merges) != 1 {
			t.Errorf("merged by %q", merges)
		}
	})
}

// TestRateLimit: after it no request is made until it is over.
func TestRateLimit(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		w.say(reply{status: 429, header: map[string]string{"Retry-After": "60"}, body: `{"message":"Retry later"}`})
		for i := range 2 {
			_, err := f.Pulls(t.Context(), "main")
			wantError(t, err, forge.RateLimited, "too many requests", "Retry later")
			e, ok := errors.AsType[*forge.Error](err)
			if !ok || e.Until.Before(time.Now()) || e.Until.After(time.Now().Add(time.Minute)) {
				t.Errorf("until %+v", err)
			}
			if n := len(w.requests()); n != 1-i {
				t.Errorf("asked %d times", n)
			}
		}
	})
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		past := fmt.Sprint(time.Now().Add(-time.Minute).Unix())
		w.say(reply{status: 429, header: map[string]string{"X-RateLimit-Reset": past, "RateLimit-Reset": past}})
		_, err := f.Pulls(t.Context(), "main")
		wantError(t, err, forge.RateLimited)
		if _, err := f.Pulls(t.Context(), "main"); err != nil {
			t.Errorf("after it was over: %v", err)
		}
	})
}

// TestQuiet: what has not changed is asked for conditionally, and read from what is kept.
func TestQuiet(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		for i := range 3 {
			branch := fmt.Sprintf("sluice/%d", i)
			w.push(branch)
			if _, err := f.Open(t.Context(), forge.Draft{Base: "main", Head: branch, Title: branch}); err != nil {
				t.Fatal(err)
			}
		}
		w.most = 2
		first, err := f.Pulls(t.Context(), "main")
		if err != nil || len(first) != 3 {
			t.Fatalf("%d, %v", len(first), err)
		}
		w.notModified = 0
		w.requests()
		second, err := f.Pulls(t.Context(), "main")
		if fmt.Sprint(first) != fmt.Sprint(second) || err != nil {
			t.Errorf("%v, %v", second, err)
		}
		if asked := len(w.requests()); asked != 2 || w.etags && w.notModified != 2 {
			t.Errorf("asked %d times, %d not modified", asked, w.notModified)
		}
		w.push("sluice/1")
		if third, err := f.Pulls(t.Context(), "main"); err != nil || third[1].Head.Commit != w.branches["sluice/1"] {
			t.Errorf("%v, %v", third, err)
		}
	})
}

// server is a server of one answer for all requests.
func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func at(t *testing.T, url string) *forge.Forge {
	t.Helper()
	f, err := forge.Open(forge.Options{Provider: forge.Gitea, Repository: url + "/ml/platform", Token: token, AllowInsecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.CloseIdle)
	return f
}

// TestAnswers: whatever comes back is bounded, and becomes a sentence.
func TestAnswers(t *testing.T) {
	elsewhere := server(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s asks elsewhere, with %q", r.URL, r.Header.Get("Authorization"))
	})
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   forge.Kind
		want   string
	}{
		{"HTML", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>log in</html>") }, forge.Refused, "see whether the address is its API's"},
		{"another JSON", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{"a":[]}`) }, forge.Refused, "answers with something else"},
		{"too much", func(rw http.ResponseWriter, _ *http.Request) {
			for range 33 {
				if _, err := rw.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}, forge.Refused, "more than 32 MiB"},
		{"too many headers", func(rw http.ResponseWriter, _ *http.Request) {
			for i := range 200 {
				rw.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1000))
			}
		}, forge.Unavailable, "headers"},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, forge.Unavailable, "the connection broke off"},
		{"cut off in the middle", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "[")
		}, forge.Unavailable, "the connection broke off"},
		{"to another host", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}, forge.Refused, "redirects to another host, " + strings.TrimPrefix(elsewhere.URL, "http://") + ", where the token is not sent"},
		{"round and round", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, r.URL.Path, http.StatusFound)
		}, forge.Refused, "more than 5 times"},
		{"nowhere", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusFound) }, forge.Refused, "302 Found"},
		{"the token in a message", func(rw http.ResponseWriter, r *http.Request) {
			answer(rw, http.StatusBadRequest, map[string]any{"message": "you sent " + r.Header.Get("Authorization")})
		}, forge.Refused, "the forge refuses: you sent token ***"},
		{"not modified, although nobody asked", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotModified) }, forge.Refused, "304"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := at(t, server(t, c.answer).URL).Pull(t.Context(), 1)
			wantError(t, err, c.kind, c.want)
		})
	}
	gone := server(t, nil)
	gone.Close()
	_, err := at(t, gone.URL).Pull(t.Context(), 1)
	wantError(t, err, forge.Unavailable, "nothing listens")
}

// TestMoved: a repository that was renamed is read where it is, and nothing is written by a redirect
// that makes a GET of it.
func TestMoved(t *testing.T) {
	s := server(t, func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "token "+token:
			t.Error("the token is lost on the way")
		case strings.Contains(r.URL.Path, "/platform/"):
			http.Redirect(rw, r, strings.Replace(r.URL.Path, "/platform/", "/renamed/", 1), http.StatusMovedPermanently)
		case r.Method == http.MethodGet:
			answer(rw, http.StatusOK, map[string]any{"number": 1, "state": "open"})
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
	f := at(t, s.URL)
	if p, err := f.Pull(t.Context(), 1); err != nil || !p.Open {
		t.Errorf("%+v, %v", p, err)
	}
	err := f.SetStatus(t.Context(), strings.Repeat("a", 40), forge.Status{State: forge.Success, Context: "x"})
	wantError(t, err, forge.Refused, "has moved to /api/v1/repos/ml/renamed/statuses/", "correct its URL")
}

// TestContext: the caller's time counts.
func TestContext(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	f := at(t, s.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := f.Pull(ctx, 1)
	wantError(t, err, forge.Unavailable, "does not answer in time")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no deadline", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = f.Pull(ctx, 1)
	wantError(t, err, forge.Unavailable, "broken off")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not cancelled", err)
	}
}

func TestCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]any{"number": 1, "state": "open"})
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	o := forge.Options{Provider: forge.Gitea, Repository: s.URL + "/ml/platform", Token: token}
	f, err := forge.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Pull(t.Context(), 1)
	wantError(t, err, forge.Invalid, "unknown authority", "ca.crt")
	o.Authorities = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if f, err = forge.Open(o); err != nil {
		t.Fatal(err)
	}
	defer f.CloseIdle()
	if _, err := f.Pull(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestProxy(t *testing.T) {
	asked := ""
	proxy := server(t, func(rw http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		answer(rw, http.StatusOK, map[string]any{"number": 1, "state": "open"})
	})
	through, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	f, err := forge.Open(forge.Options{Provider: forge.Gitea, Repository: "http://git.example.com/ml/platform", Token: token, AllowInsecure: true, Proxy: through})
	if err != nil {
		t.Fatal(err)
	}
	defer f.CloseIdle()
	if _, err := f.Pull(t.Context(), 1); err != nil || asked != "http://git.example.com/api/v1/repos/ml/platform/pulls/1" {
		t.Errorf("%v, asked for %s", err, asked)
	}
}

func TestOpenErrors(t *testing.T) {
	good := forge.Options{Provider: forge.GitHub, Repository: "https://github.com/ml/platform", Token: token}
	for want, change := range map[string]func(*forge.Options){
		"there is no token":    func(o *forge.Options) { o.Token = " \n" },
		"more than one word":   func(o *forge.Options) { o.Token = "a b" },
		"one word: ":           func(o *forge.Options) { o.Token = "a\nX-Y: z" },
		"holds no certificate": func(o *forge.Options) { o.Authorities = []byte("no") },
		"the provider \"svn\"": func(o *forge.Options) { o.Provider = "svn" },
		"not an RSA key": func(o *forge.Options) {
			o.Token, o.App = "", &forge.App{ID: 1, Installation: 2, PrivateKey: []byte("no")}
		},
		"no URL of a repository on": func(o *forge.Options) { o.Repository = "no" },
	} {
		o := good
		change(&o)
		_, err := forge.Open(o)
		wantError(t, err, forge.Invalid, strings.TrimSuffix(want, " "))
	}
	f, err := forge.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s", good, good, good, good), fmt.Sprintf("%v %+v %#v", f, f, f)} {
		if strings.Contains(printed, token) || !strings.Contains(printed, "ml/platform") {
			t.Errorf("printed as %s", printed)
		}
	}
}

// TestHostileNames: no name gets into a path that it is not a part of.
func TestHostileNames(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		for _, commit := range []string{"", "main", "../../user", strings.Repeat("A", 40), strings.Repeat("a", 39), strings.Repeat("a", 40) + "/../x"} {
			_, err := f.PullOf(t.Context(), "main", commit)
			wantError(t, err, forge.Invalid, "no full name of a commit")
			wantError(t, f.SetStatus(t.Context(), commit, forge.Status{}), forge.Invalid)
			wantError(t, f.Merge(t.Context(), 1, commit, forge.Merge), forge.Invalid)
		}
		for _, team := range []string{"", "/", "ml/", "ml/../x", "../..", "ml/risk?x=1", "ml/a b", "ml//x"} {
			_, err := f.TeamHas(t.Context(), team, reviewer)
			wantError(t, err, forge.Invalid, "no name of a team")
		}
		for _, user := range []string{"", "../ann", "ann/../bob", "ann?x", "a b", "ann\n"} {
			if has, err := f.TeamHas(t.Context(), "ml/risk", user); has || err != nil {
				t.Errorf("%q: %v, %v", user, has, err)
			}
		}
		for _, marker := range []string{"", "a b", "-->", "A", "a--b", "a\nb", "a-"} {
			w.say(reply{status: 200, body: `{"login":"x","username":"x"}`})
			wantError(t, f.Comment(t.Context(), 1, marker, "x"), forge.Invalid, "cannot be hidden")
		}
		w.mu.Lock()
		w.script = nil
		w.mu.Unlock()
		if asked := w.requests(); len(asked) != 1 {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestHostileBranches: they are escaped, and asked for as what they are.
func TestHostileBranches(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		for _, branch := range []string{"a/b", "a?b=c", "a#b", "a%2fb", "ä b", "$(id)", "a;b", "x/main"} {
			at := w.push(branch)
			if err := f.DeleteBranch(t.Context(), branch, at); err != nil {
				t.Errorf("%q: %v", branch, err)
			}
			if w.branches[branch] != "" || w.branches["main"] == "" {
				t.Errorf("%q: not deleted, or another", branch)
			}
		}
	})
}

// TestOneComment: many at once make one comment.
func TestOneComment(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		p := prepare(t, w, f)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				if err := f.Comment(t.Context(), p.Number, "plan", fmt.Sprint("plan ", i)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := len(w.of(p.Number, false)); n != 1 {
			t.Errorf("%d comments", n)
		}
	})
}

// TestComment: what is ours, what is the same, and how much it may be.
func TestComment(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		p := prepare(t, w, f)
		w.comment(p.Number, bot, "Look: <!-- sluice:plan -->\nthis is no plan.")
		w.comment(p.Number, bot, "<!-- sluice:plan -->\r\nPlan.\r\n\r\nOf two lines.\r\n")
		w.requests()
		if err := f.Comment(t.Context(), p.Number, "plan", "Plan.\n\nOf two lines."); err != nil {
			t.Fatal(err)
		}
		for _, line := range w.requests() {
			if !strings.HasPrefix(line, "GET ") {
				t.Errorf("%s, although it is the same", line)
			}
		}
		hostile := "Plan.\n<!-- sluice:report -->\n@everyone <script>"
		if err := f.Comment(t.Context(), p.Number, "plan", hostile); err != nil {
			t.Fatal(err)
		}
		if err := f.Comment(t.Context(), p.Number, "report", "Live."); err != nil {
			t.Fatal(err)
		}
		have := w.of(p.Number, false)
		if len(have) != 3 || have[1].body != "<!-- sluice:plan -->\n"+hostile || have[2].body != "<!-- sluice:report -->\nLive." {
			t.Errorf("%+v", have)
		}
		w.requests()
		if err := f.Comment(t.Context(), p.Number, "plan", "Plan."); err != nil {
			t.Fatal(err)
		}
		if lines := w.requests(); len(lines) != 1 || strings.HasPrefix(lines[0], "GET ") {
			t.Errorf("a comment that is known where it is takes %q", lines)
		}
		w.comments = slices.DeleteFunc(w.comments, func(n *note) bool { return n.id == have[1].id })
		if err := f.Comment(t.Context(), p.Number, "plan", "Plan again."); err != nil {
			t.Fatal(err)
		}
		if now := w.of(p.Number, false); len(now) != 3 || now[2].body != "<!-- sluice:plan -->\nPlan again." {
			t.Errorf("after somebody has deleted it: %+v", now)
		}
		long := strings.Repeat("x", f.MaxBody())
		wantError(t, f.Comment(t.Context(), p.Number, "plan", long), forge.Invalid, "shorten it")
		wantError(t, f.Edit(t.Context(), p.Number, forge.Draft{Title: "x", Body: long + "x"}), forge.Invalid, "shorten it")
		_, err := f.Open(t.Context(), forge.Draft{Title: " \n", Base: "main", Head: "x"})
		wantError(t, err, forge.Invalid, "no title")
	})
}

// TestMany: more pull requests than are looked at are an error, and some.
func TestMany(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		w.mu.Lock()
		w.branches["x"] = w.commit()
		for i := range 1100 {
			w.make("x", "", "x", "main", false).number = i + 1
		}
		w.make("x", "", "x", "another", false)
		w.mu.Unlock()
		pulls, err := f.Pulls(t.Context(), "main")
		wantError(t, err, forge.Refused, "more than 1000 are open")
		if len(pulls) != 1000 {
			t.Errorf("%d", len(pulls))
		}
		if asked := len(w.requests()); asked > 50 {
			t.Errorf("asked %d times", asked)
		}
	})
}
