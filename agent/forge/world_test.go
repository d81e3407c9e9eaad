package forge_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/forge/forgetest"
)

// Names of the world that the servers show, each in the manner of its forge.
const (
	token    = "t0p-s3cret-t0ken"
	bot      = "sluice-bot"
	reviewer = "ann"
)

// world is a repository with pull requests.
type world struct {
	t       *testing.T
	server  *httptest.Server
	accepts string // the header Authorization

	mu       sync.Mutex
	serial   int
	clock    time.Time
	branches map[string]string
	parents  map[string][]string // of commits
	pulls    []*pull
	comments []*note
	statuses []map[string]string
	labels   []string
	// most that a page has, whatever is asked for.
	most int
	// etags tells whether answers have them.
	etags       bool
	log         []string // of requests: GET /path?query
	notModified int
	// script are answers that come before any other, each once.
	script []reply
	// fastForward is how this project of GitLab merges.
	fastForward bool
}

type pull struct {
	number                   int
	title, body, head, base  string
	heads                    []version
	labels                   []string
	draft, closed            bool
	merge, squash, mergedSHA string // mergedSHA is of the head when it was merged
	fork                     string
	updated                  time.Time
	reviews                  []review
}

type version struct {
	sha string
	at  time.Time
}

type review struct {
	author, state, commit string
	at                    time.Time
	dismissed, unofficial bool
}

type note struct {
	id     int64
	pull   int
	author string
	body   string
	system bool
	at     time.Time
}

// reply is an answer by the script.
type reply struct {
	match  string // how the logged request begins
	status int
	header map[string]string
	body   string
}

func newWorld(t *testing.T, accepts string, routes func(*world, *http.ServeMux)) *world {
	w := &world{t: t, accepts: accepts, branches: map[string]string{}, parents: map[string][]string{}, most: 100, clock: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	w.branches["main"] = w.commit()
	mux := http.NewServeMux()
	routes(w, mux)
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s is no call of this API", r.Method, r.URL)
		rw.WriteHeader(http.StatusTeapot)
	})
	w.server = httptest.NewServer(w.guard(mux))
	t.Cleanup(w.server.Close)
	return w
}

// open opens the world's repository.
func (w *world) open(provider forge.Provider) *forge.Forge {
	w.t.Helper()
	f, err := forge.Open(forge.Options{Provider: provider, Repository: w.server.URL + "/ml/platform.git", Token: token, AllowInsecure: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(f.CloseIdle)
	return f
}

// guard checks what all requests have, and answers with 304 where nothing has changed.
func (w *world) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		line := r.Method + " " + r.URL.EscapedPath()
		if r.URL.RawQuery != "" {
			line += "?" + r.URL.RawQuery
		}
		w.log = append(w.log, line)
		if r.UserAgent() != "sluice" {
			w.t.Errorf("%s: user agent %q", line, r.UserAgent())
		}
		for i, s := range w.script {
			if strings.HasPrefix(line, s.match) {
				w.script = slices.Delete(w.script, i, i+1)
				for key, value := range s.header {
					rw.Header().Set(key, value)
				}
				rw.WriteHeader(s.status)
				_, _ = io.WriteString(rw, s.body)
				return
			}
		}
		if r.Header.Get("Authorization") != w.accepts && !strings.HasPrefix(r.URL.Path, "/api/v3/app") {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, `{"message":"Bad credentials"}`)
			return
		}
		if r.Method != http.MethodGet && r.ContentLength != 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			w.t.Errorf("%s: content type %q", line, r.Header.Get("Content-Type"))
		}
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		maps.Copy(rw.Header(), recorder.Header())
		body := recorder.Body.Bytes()
		if w.etags && r.Method == http.MethodGet && recorder.Code == http.StatusOK {
			etag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(body))
			rw.Header().Set("ETag", etag)
			if r.Header.Get("If-None-Match") == etag {
				w.notModified++
				rw.WriteHeader(http.StatusNotModified)
				return
			}
		}
		rw.WriteHeader(recorder.Code)
		_, _ = rw.Write(body)
	})
}

// requests returns what was asked since the last time.
func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return log
}

func (w *world) say(replies ...reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.script = append(w.script, replies...)
}

func (w *world) now() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

func (w *world) commit(parents ...string) string {
	w.serial++
	sha := fmt.Sprintf("%040x", w.serial)
	w.parents[sha] = parents
	return sha
}

// history is a commit with all that is behind it.
func (w *world) history(sha string) map[string]bool {
	behind := map[string]bool{}
	for next := []string{sha}; len(next) > 0; next = next[1:] {
		if !behind[next[0]] {
			behind[next[0]] = true
			next = append(next, w.parents[next[0]]...)
		}
	}
	return behind
}

// mergeBases are the commits that two have in common and that are behind no other such one.
func (w *world) mergeBases(a, b string) []string {
	other := w.history(b)
	both := slices.Sorted(maps.Keys(w.history(a)))
	both = slices.DeleteFunc(both, func(c string) bool { return !other[c] })
	return slices.DeleteFunc(slices.Clone(both), func(c string) bool {
		return slices.ContainsFunc(both, func(o string) bool { return o != c && w.history(o)[c] })
	})
}

// mergeBase is one of them, for who wants no more; empty if there is none.
func (w *world) mergeBase(a, b string) string {
	return strings.Join(w.mergeBases(a, b)[:min(1, len(w.mergeBases(a, b)))], "")
}

// push makes a commit on a branch.
func (w *world) push(branch string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(branch, w.commit(cmp.Or(w.branches[branch], w.branches["main"])))
}

// put sets a branch to a commit, for who holds the lock.
func (w *world) put(branch, sha string) string {
	w.branches[branch] = sha
	for _, p := range w.pulls {
		if p.head == branch && p.fork == "" && p.isOpen() {
			p.heads = append(p.heads, version{sha, w.now()})
			p.updated = w.now()
		}
	}
	return sha
}

func (w *world) review(number int, r review) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.at = w.now()
	p := w.pulls[number-1]
	p.reviews = append(p.reviews, r)
	if r.state == "APPROVED" {
		w.add(number, r.author, "approved this merge request", true)
	}
}

func (w *world) comment(number int, author, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(number, author, body, false)
}

// add adds a comment for who holds the lock.
func (w *world) add(number int, author, body string, system bool) *note {
	n := &note{int64(1000 + len(w.comments)), number, author, body, system, w.now()}
	w.comments = append(w.comments, n)
	return n
}

// of returns the comments of a pull request.
func (w *world) of(number int, system bool) []*note {
	return slices.DeleteFunc(slices.Clone(w.comments), func(n *note) bool { return n.pull != number || n.system && !system })
}

func (p *pull) isOpen() bool   { return !p.closed && !p.isMerged() }
func (p *pull) isMerged() bool { return p.mergedSHA != "" }
func (p *pull) sha() string    { return p.heads[len(p.heads)-1].sha }

// make opens a pull request.
func (w *world) make(title, body, head, base string, draft bool) *pull {
	p := &pull{number: len(w.pulls) + 1, title: title, body: body, head: head, base: base, draft: draft,
		heads: []version{{w.branches[head], w.now()}}, updated: w.now()}
	w.pulls = append(w.pulls, p)
	return p
}

func (w *world) taken(head, base string) bool {
	return slices.ContainsFunc(w.pulls, func(p *pull) bool { return p.isOpen() && p.head == head && p.base == base })
}

// merge merges in one of the ways.
func (w *world) merge(p *pull, method string) {
	p.mergedSHA, p.updated = p.sha(), w.now()
	p.merge = w.commit(w.branches[p.base])
	if method == "merge" {
		p.merge = w.commit(w.branches[p.base], p.sha())
	}
	w.branches[p.base] = p.merge
	if method == "squash" {
		p.squash = p.merge
	}
}

// site is the world as the story sees it.
func (w *world) site(f *forge.Forge, methods ...forge.Method) forgetest.Site {
	return forgetest.Site{
		Forge: f, Base: "main", Methods: methods, Reviewer: reviewer,
		Push: func(_ *testing.T, branch string) string { return w.push(branch) },
		Update: func(_ *testing.T, branch string) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.put(branch, w.commit(w.branches[branch], w.branches["main"]))
		},
		Rewrite: func(_ *testing.T, branch string) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.put(branch, w.commit(w.branches["main"]))
		},
		Review: func(_ *testing.T, number int, commit string) {
			w.review(number, review{author: reviewer, state: "APPROVED", commit: commit})
		},
		Comment: func(_ *testing.T, number int, body string) { w.comment(number, reviewer, body) },
		Comments: func(_ *testing.T, number int) []string {
			w.mu.Lock()
			defer w.mu.Unlock()
			var bodies []string
			for _, n := range w.of(number, false) {
				bodies = append(bodies, n.body)
			}
			return bodies
		},
		Status: func(_ *testing.T, commit, context string) (forge.State, string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range slices.Backward(w.statuses) {
				if s["sha"] == commit && s["context"] == context {
					return forge.State(s["state"]), s["description"]
				}
			}
			return "", ""
		},
	}
}

// number reads the number in a path.
func number(r *http.Request) int {
	n, _ := strconv.Atoi(r.PathValue("number"))
	return n
}

// find returns the pull request that a path names, or answers 404.
func (w *world) find(rw http.ResponseWriter, r *http.Request) *pull {
	if n := number(r); n >= 1 && n <= len(w.pulls) {
		return w.pulls[n-1]
	}
	answer(rw, http.StatusNotFound, map[string]any{"message": "Not Found"})
	return nil
}

// query checks which parameters a request has, and returns them.
func (w *world) query(r *http.Request, allowed ...string) url.Values {
	w.t.Helper()
	for key := range r.URL.Query() {
		if !slices.Contains(allowed, key) {
			w.t.Errorf("%s %s: parameter %s is not in the documentation of this call", r.Method, r.URL.Path, key)
		}
	}
	return r.URL.Query()
}

// fields reads a body, and checks which fields it has.
func (w *world) fields(r *http.Request, allowed ...string) map[string]any {
	w.t.Helper()
	body, err := io.ReadAll(r.Body)
	read := map[string]any{}
	if err == nil && len(bytes.TrimSpace(body)) > 0 {
		err = json.Unmarshal(body, &read)
	}
	if err != nil {
		w.t.Errorf("%s %s: %v in %s", r.Method, r.URL.Path, err, body)
	}
	for key := range read {
		if !slices.Contains(allowed, key) {
			w.t.Errorf("%s %s: field %s is not in the documentation of this call: %s", r.Method, r.URL.Path, key, body)
		}
	}
	return read
}

func text(fields map[string]any, key string) string {
	s, _ := fields[key].(string)
	return s
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	rw.WriteHeader(status)
	if v != nil {
		_ = json.NewEncoder(rw).Encode(v)
	}
}

// window is the part of a list that a page has, and the number of the next page or 0.
func window[T any](w *world, all []T, q url.Values, size string) (part []T, page, next int) {
	page, _ = strconv.Atoi(q.Get("page"))
	per, _ := strconv.Atoi(q.Get(size))
	page, per = max(page, 1), min(max(per, 1), w.most)
	from, to := min((page-1)*per, len(all)), min(page*per, len(all))
	if to < len(all) {
		next = page + 1
	}
	return all[from:to], page, next
}

// link sets the header Link as GitHub and Gitea have it.
func (w *world) link(rw http.ResponseWriter, r *http.Request, page, next int) {
	var links []string
	for rel, n := range map[string]int{"next": next, "prev": page - 1} {
		if n > 0 {
			q := r.URL.Query()
			q.Set("page", strconv.Itoa(n))
			links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, w.server.URL, r.URL.EscapedPath(), q.Encode(), rel))
		}
	}
	if links != nil {
		slices.Sort(links)
		rw.Header().Set("Link", strings.Join(links, ", "))
	}
}

// wantRequests checks what was asked, in order; each begins as given.
func (w *world) wantRequests(what string, want ...string) {
	w.t.Helper()
	have := w.requests()
	ok := len(have) == len(want)
	for i := range have {
		ok = ok && strings.HasPrefix(have[i], want[i])
	}
	if !ok {
		w.t.Errorf("%s asks\n%s\nwant\n%s", what, strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func wantError(t *testing.T, err error, kind forge.Kind, words ...string) {
	t.Helper()
	e, ok := err.(*forge.Error)
	if !ok || e.Kind != kind {
		t.Errorf("have %v, want %s", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(e.Error(), word) {
			t.Errorf("%q does not say %q", e.Error(), word)
		}
	}
	if strings.Contains(e.Error(), token) {
		t.Errorf("the token is in %q", e.Error())
	}
}

// editComment changes a comment of the bot's.
func (w *world) editComment(rw http.ResponseWriter, r *http.Request, body string) {
	at := slices.IndexFunc(w.comments, func(n *note) bool { return fmt.Sprint(n.id) == r.PathValue("id") })
	switch {
	case at < 0:
		answer(rw, http.StatusNotFound, map[string]any{"message": "Not Found"})
		return
	case w.comments[at].author == bot:
		w.comments[at].body = body
		answer(rw, http.StatusOK, map[string]any{"id": w.comments[at].id})
		return
	}
	w.t.Errorf("comment %s is edited, which is somebody else's", r.PathValue("id"))
	answer(rw, http.StatusForbidden, map[string]any{"message": "Forbidden"})
}

// commits are all that were made.
func (w *world) commits() []string {
	var all []string
	for i := range w.serial {
		all = append(all, fmt.Sprintf("%040x", i+1))
	}
	return all
}

func readJSON(w *world, r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		w.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
}
