package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const secret = "a secret of the forge's and ours"

// noon is when tests begin.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// house is a Handler with what is around it.
type house struct {
	*Handler
	*Mailbox
	mu      sync.Mutex
	targets map[string]Target
	looked  int
	clock   time.Time
	lines   []string
}

func (h *house) Lookup(_ context.Context, namespace, name string) (Target, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked++
	t, ok := h.targets[namespace+"/"+name]
	return t, ok
}

func (h *house) tick(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{Mailbox: NewMailbox(), clock: noon, targets: map[string]Target{
		"platform/fraud":  {URL: "https://git.example.com/ml/platform.git", Token: []byte(secret), Ref: "refs/heads/main"},
		"platform/churn":  {URL: "git@git.example.com:ml/platform.git", Token: []byte(secret + "\n"), Ref: "refs/heads/main"},
		"platform/tags":   {URL: "https://git.example.com/ml/platform.git", Token: []byte(secret), Ref: "refs/tags/"},
		"platform/lab":    {URL: "https://gitlab.example.com/research/ml/platform.git", Token: []byte(secret), Ref: "refs/heads/main"},
		"platform/signed": {URL: "https://gitlab.example.com/research/ml/platform.git", Token: []byte(signingToken), Ref: "refs/heads/main"},
		"platform/other":  {URL: "https://git.example.com/ml/other.git", Token: []byte(secret), Ref: "refs/heads/main"},
		"platform/empty":  {URL: "https://git.example.com/ml/platform.git", Token: []byte("\n"), Ref: "refs/heads/main"},
	}}
	log := funcr.New(func(_, line string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, line)
	}, funcr.Options{})
	h.Handler = New(h, prometheus.NewRegistry(), log)
	h.Handler.now = func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.clock
	}
	return h
}

// waiting takes out what is in the mailbox.
func (h *house) waiting() []Event {
	var events []Event
	for {
		e, ok := h.take()
		if !ok {
			return events
		}
		events = append(events, e)
	}
}

func (h *house) count(provider string, a answer) int {
	return int(testutil.ToFloat64(h.hooks.WithLabelValues(provider, a.result)))
}

// send gives a request to the Handler.
func (h *house) send(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// post is a hook as a forge sends it.
func post(name string, header http.Header, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/platform/"+name, bytes.NewReader(body))
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	return r
}

func digest(key, body []byte) string { return hex.EncodeToString(sum(key, body)) }

// giteaHook has all headers that Gitea sends, those for receivers that know only GitHub too.
func giteaHook(kind, id string, body []byte) http.Header {
	d := digest([]byte(secret), body)
	return http.Header{
		"X-Gitea-Event": {kind}, "X-Gitea-Delivery": {id}, "X-Gitea-Signature": {d}, "X-Gogs-Event": {kind}, "X-Gogs-Signature": {d},
		"X-Github-Event": {kind}, "X-Github-Delivery": {id}, "X-Hub-Signature-256": {"sha256=" + d},
	}
}

func githubHook(kind, id string, body []byte) http.Header {
	return http.Header{"X-Github-Event": {kind}, "X-Github-Delivery": {id}, "X-Hub-Signature-256": {"sha256=" + digest([]byte(secret), body)}}
}

func gitlabHook(kind, id string) http.Header {
	return http.Header{"X-Gitlab-Event": {kind}, "Idempotency-Key": {id}, "X-Gitlab-Token": {secret}}
}

var (
	signingKey   = []byte("32 bytes that nobody can guess..")
	signingToken = signingPrefix + base64.StdEncoding.EncodeToString(signingKey)
)

func signedHook(kind, id string, at time.Time, body []byte) http.Header {
	seconds := strconv.FormatInt(at.Unix(), 10)
	signature := base64.StdEncoding.EncodeToString(sum(signingKey, []byte(id+"."+seconds+"."), body))
	return http.Header{"X-Gitlab-Event": {kind}, "Webhook-Id": {id}, "Webhook-Timestamp": {seconds}, "Webhook-Signature": {"v1,bm90IGl0 v1," + signature}}
}

func genericHook(body []byte) http.Header {
	return http.Header{"X-Signature": {"sha256=" + digest([]byte(secret), body)}}
}

// Every payload, as its forge sends it, comes to what it should.
func TestHooksOfTheForges(t *testing.T) {
	for name, p := range payloads {
		h := newHouse(t)
		body := payload(t, name)
		repository, header := "fraud", githubHook(p.kind, "1", body)
		switch p.sender {
		case gitea:
			header = giteaHook(p.kind, "1", body)
		case gitlab:
			repository, header = "lab", gitlabHook(p.kind, "1")
		}
		want := accepted
		event, any := p.want.event(h.targets["platform/"+repository])
		if p.want.ping {
			want = pong
		} else if !any {
			want = nothing
		}
		res := h.send(post(repository, header, body))
		expect(t, name, res, want)
		if got := h.count(p.sender.name, want); got != 1 {
			t.Errorf("%s: counted %d as %s", name, got, want.result)
		}
		var events []Event
		if any {
			event.Repository = repo(repository)
			events = []Event{event}
		}
		if got := h.waiting(); !reflect.DeepEqual(got, events) {
			t.Errorf("%s: %+v, want %+v", name, got, events)
		}
	}
}

// The ways in which hooks are signed.
func TestSignatures(t *testing.T) {
	push, lab := payload(t, "github_push"), payload(t, "gitlab_push")
	d := digest([]byte(secret), push)
	for name, c := range map[string]struct {
		repository string
		header     http.Header
		body       []byte
		want       answer
	}{
		"Gitea by its own header":   {"fraud", http.Header{"X-Gitea-Event": {"push"}, "X-Gitea-Signature": {d}}, push, accepted},
		"Gitea by GitHub's header":  {"fraud", http.Header{"X-Gitea-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + d}}, push, accepted},
		"Forgejo":                   {"fraud", http.Header{"X-Forgejo-Event": {"push"}, "X-Forgejo-Signature": {d}}, push, accepted},
		"GitHub":                    {"fraud", githubHook("push", "1", push), push, accepted},
		"a token with a line break": {"churn", githubHook("push", "1", push), push, accepted},
		"GitLab's token":            {"lab", gitlabHook("Push Hook", "1"), lab, accepted},
		"GitLab's signature":        {"signed", signedHook("Push Hook", "1", noon, lab), lab, accepted},
		"a clock a bit ahead":       {"signed", signedHook("Push Hook", "1", noon.Add(4*time.Minute), lab), lab, accepted},
		"generic":                   {"fraud", genericHook([]byte("anything")), []byte("anything"), accepted},
		"generic, empty":            {"fraud", genericHook(nil), nil, accepted},

		"another secret":               {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + digest([]byte("guessed"), push)}}, push, refused},
		"another body":                 {"fraud", githubHook("push", "1", push), append(slices.Clone(push), ' '), refused},
		"SHA-1":                        {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature": {"sha1=" + d[:40]}}, push, refused},
		"SHA-1, generic":               {"fraud", http.Header{"X-Signature": {"sha1=" + d[:40]}}, push, refused},
		"half a signature":             {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + d[:32]}}, push, refused},
		"an odd signature":             {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + d + "0"}}, push, refused},
		"an empty signature":           {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256="}}, push, refused},
		"the secret as a signature":    {"fraud", http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {secret}}, push, refused},
		"no signature":                 {"fraud", http.Header{"X-Github-Event": {"push"}}, push, refused},
		"no event":                     {"fraud", http.Header{"X-Hub-Signature-256": {"sha256=" + d}}, push, refused},
		"nothing":                      {"fraud", http.Header{}, push, refused},
		"GitLab: another token":        {"lab", http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {secret + "x"}}, lab, refused},
		"GitLab: no token":             {"lab", http.Header{"X-Gitlab-Event": {"Push Hook"}}, lab, refused},
		"GitLab: only a signature":     {"lab", signedHook("Push Hook", "1", noon, lab), lab, refused},
		"GitLab: only the token":       {"signed", http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {signingToken}}, lab, refused},
		"GitLab: an old signature":     {"signed", signedHook("Push Hook", "1", noon.Add(-6*time.Minute), lab), lab, refused},
		"GitLab: one of tomorrow":      {"signed", signedHook("Push Hook", "1", noon.Add(24*time.Hour), lab), lab, refused},
		"GitLab: another body, signed": {"signed", signedHook("Push Hook", "1", noon, lab), push, refused},
	} {
		h := newHouse(t)
		expect(t, name, h.send(post(c.repository, c.header, c.body)), c.want)
		if got := len(h.waiting()); (got == 1) != (c.want.status == http.StatusAccepted) {
			t.Errorf("%s: %d events", name, got)
		}
	}

	h := newHouse(t)
	swapped := signedHook("Push Hook", "1", noon, lab)
	swapped.Set("Webhook-Id", "2")
	expect(t, "GitLab: another id", h.send(post("signed", swapped, lab)), refused)
	swapped = signedHook("Push Hook", "1", noon, lab)
	swapped.Set("Webhook-Timestamp", strconv.FormatInt(noon.Unix()+1, 10))
	expect(t, "GitLab: another time", h.send(post("signed", swapped, lab)), refused)
}

// Nobody learns from an answer whether there is such a Repository, and the work is the same.
func TestNoOracle(t *testing.T) {
	h := newHouse(t)
	body := payload(t, "github_push")
	forged := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + strings.Repeat("0", 64)}}
	stranger := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + digest(h.stranger, body)}}
	lab := http.Header{"X-Gitlab-Event": {"Push Hook"}, "X-Gitlab-Token": {string(h.stranger)}}
	unkeyed := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + digest(nil, body)}}
	line := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + digest([]byte("\n"), body)}}
	var answers []string
	for _, r := range []*http.Request{
		post("fraud", forged, body),
		post("absent", forged, body),
		// The signature of the secret that is used for strangers is checked, and helps nobody.
		post("absent", stranger, body),
		post("absent", lab, body),
		post("empty", stranger, body),
		// An empty secret is none.
		post("empty", unkeyed, body),
		post("empty", line, body),
		post("NOT_A_NAME", forged, body),
		post("fraud", http.Header{}, body),
		post("absent", http.Header{}, body),
	} {
		res := h.send(r)
		answers = append(answers, fmt.Sprint(res.StatusCode, res.Header, content(t, res)))
	}
	if all := slices.Compact(slices.Clone(answers)); len(all) != 1 || !strings.HasPrefix(all[0], "401 ") {
		t.Errorf("answers differ: %q", all)
	}
	if events := h.waiting(); events != nil {
		t.Errorf("events: %+v", events)
	}
	// Each is looked up and hashed alike: only names that cannot be, and hooks without a signature, are not.
	if h.looked != 7 {
		t.Errorf("%d looked up", h.looked)
	}
}

// BenchmarkRefused shows what a forged hook costs for a Repository that is there and one that is not.
func BenchmarkRefused(b *testing.B) {
	h := newHouse(b)
	body := payload(b, "github_push")
	for _, name := range []string{"fraud", "absent"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				h.send(post(name, http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {"sha256=" + strings.Repeat("0", 64)}}, body))
			}
		})
	}
}

func TestOddRequests(t *testing.T) {
	body := payload(t, "github_push")
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   answer
	}{
		"GET":             {func(r *http.Request) { r.Method = http.MethodGet }, notPost},
		"another path":    {func(r *http.Request) { r.URL.Path = "/" }, notFound},
		"no name":         {func(r *http.Request) { r.URL.Path = "/hooks/platform" }, notFound},
		"an empty name":   {func(r *http.Request) { r.URL.Path = "/hooks/platform/" }, notFound},
		"a longer path":   {func(r *http.Request) { r.URL.Path = "/hooks/platform/fraud/x" }, notFound},
		"a crooked path":  {func(r *http.Request) { r.URL.Path = "//hooks/../hooks/platform/fraud" }, notFound},
		"a form":          {func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=x") }, form},
		"no content type": {func(r *http.Request) { r.Header.Del("Content-Type") }, accepted},
	} {
		h := newHouse(t)
		r := post("fraud", githubHook("push", "1", body), body)
		c.change(r)
		expect(t, name, h.send(r), c.want)
	}

	h := newHouse(t)
	generic := post("fraud", genericHook([]byte("x=y")), []byte("x=y"))
	generic.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	expect(t, "a form, generic", h.send(generic), accepted)
}

// What is signed and yet of no use.
func TestSignedAndOfNoUse(t *testing.T) {
	h := newHouse(t)
	garbled := []byte(`{"ref": <script>`)
	expect(t, "garbage", h.send(post("fraud", githubHook("push", "1", garbled), garbled)), garbage)
	if got := h.count("github", garbage); got != 1 {
		t.Errorf("garbage counted %d times", got)
	}
	comment := []byte(`{"action": "created"}`)
	expect(t, "a comment", h.send(post("fraud", githubHook("issue_comment", "2", comment), comment)), nothing)
	expect(t, "a job", h.send(post("lab", gitlabHook("Job Hook", "2"), comment)), nothing)
	push := payload(t, "github_push")
	expect(t, "a branch for who follows tags", h.send(post("tags", githubHook("push", "3", push), push)), nothing)

	res := h.send(post("other", githubHook("push", "4", push), push))
	expect(t, "another repository", res, answer{status: http.StatusUnprocessableEntity,
		text: "This hook is for ml/platform, and Repository platform/other follows git.example.com/ml/other: correct the hook's URL, or spec.url of the Repository."})
	// Its URL is corrected, and the forge sends the same once more.
	h.targets["platform/other"] = Target{URL: "https://git.example.com/ml/platform.git", Token: []byte(secret), Ref: "refs/heads/main"}
	expect(t, "once more", h.send(post("other", githubHook("push", "4", push), push)), accepted)
	if got := h.waiting(); len(got) != 1 || got[0].Repository != repo("other") {
		t.Errorf("%+v", got)
	}
}

// No part of a request is in an answer, but for the name of a repository in a signed one.
func TestNothingIsReflected(t *testing.T) {
	const evil = "<script>evil()</script>"
	h := newHouse(t)
	for _, r := range []*http.Request{
		post(evil, githubHook(evil, evil, nil), nil),
		post("fraud", githubHook(evil, evil, []byte(evil)), []byte(evil)),
		post("fraud", githubHook("push", evil, []byte(evil)), []byte(evil)),
		post("other", githubHook("push", "1", []byte(`{"ref":"refs/heads/x","repository":{"full_name":"`+evil+`"}}`)), []byte(`{"ref":"refs/heads/x","repository":{"full_name":"`+evil+`"}}`)),
		httptest.NewRequest(http.MethodPost, "/"+"%3Cscript%3Eevil()", nil),
		httptest.NewRequest(http.MethodGet, "/hooks/a/b?evil()", nil),
	} {
		r.Header.Set("User-Agent", evil)
		res := h.send(r)
		if all := fmt.Sprint(res.Header, content(t, res)); strings.Contains(all, "evil") {
			t.Errorf("%s: %s", r.URL, all)
		}
		if got := res.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: content type %q", r.URL, got)
		}
	}
	if all := strings.Join(h.lines, "\n"); strings.Contains(all, "evil") || strings.Contains(all, secret) {
		t.Errorf("the log: %s", all)
	}
}

func TestReplays(t *testing.T) {
	h := newHouse(t)
	push, lab := payload(t, "github_push"), payload(t, "gitlab_push")
	signed := func(id string) http.Header { return signedHook("Push Hook", id, noon, lab) }
	for _, c := range []struct {
		name, repository string
		header           http.Header
		body             []byte
		want             answer
	}{
		{"the first", "fraud", githubHook("push", "1", push), push, accepted},
		{"a copy", "fraud", githubHook("push", "1", push), push, seen},
		{"a copy under another id", "fraud", githubHook("push", "2", push), push, seen},
		{"a copy as Gitea's", "fraud", giteaHook("push", "2", push), push, seen},
		{"a copy of what it was not", "fraud", githubHook("pull_request", "2", push), push, seen},
		{"the same id", "fraud", githubHook("push", "1", append(slices.Clone(push), '\n')), append(slices.Clone(push), '\n'), seen},
		{"for another Repository", "churn", githubHook("push", "1", push), push, accepted},

		// A branch that is pushed, put back and pushed again: all bodies are alike.
		{"GitLab: the first", "lab", gitlabHook("Push Hook", "1"), lab, accepted},
		{"GitLab: a copy", "lab", gitlabHook("Push Hook", "1"), lab, seen},
		{"GitLab: the same push again", "lab", gitlabHook("Push Hook", "2"), lab, accepted},
		{"GitLab: no id", "lab", gitlabHook("Push Hook", ""), lab, accepted},
		{"GitLab: no id again", "lab", gitlabHook("Push Hook", ""), lab, seen},
		{"GitLab: signed", "signed", signed("1"), lab, accepted},
		{"GitLab: signed, a copy", "signed", signed("1"), lab, seen},
		{"GitLab: signed, the same push again", "signed", signed("2"), lab, accepted},

		{"generic", "fraud", genericHook([]byte("look")), []byte("look"), accepted},
		{"generic again", "fraud", genericHook([]byte("look")), []byte("look"), accepted},
	} {
		expect(t, c.name, h.send(post(c.repository, c.header, c.body)), c.want)
	}
	if got := h.waiting(); len(got) != 4 {
		t.Errorf("events: %+v", got)
	}
}

// Of copies that come at the same time one counts.
func TestReplaysAtTheSameTime(t *testing.T) {
	for n := range 200 {
		h := newHouse(t)
		body := fmt.Appendf(nil, `{"ref":"refs/heads/main","repository":{"full_name":"ml/platform"},"n":%d}`, n)
		var senders sync.WaitGroup
		for id := range mostOfOne {
			senders.Go(func() { h.send(post("fraud", githubHook("push", fmt.Sprint(id), body), body)) })
		}
		senders.Wait()
		if a, b := h.count("github", accepted), h.count("github", seen); a != 1 || a+b != mostOfOne {
			t.Fatalf("%d accepted, %d seen before", a, b)
		}
	}
	var d doors
	for _, want := range []bool{true, false} {
		if got := d.remember(repo("fraud"), []mark{{1}, {2}}, noon); got != want {
			t.Errorf("remembered: %v", got)
		}
	}
}

// Copies take nothing out of the bucket: who repeats a hook cannot keep the next one out. And only so
// many are remembered.
func TestReplaysAreBounded(t *testing.T) {
	h := newHouse(t)
	push := payload(t, "github_push")
	expect(t, "the first", h.send(post("fraud", githubHook("push", "1", push), push)), accepted)
	for range 10 * burst {
		expect(t, "a copy", h.send(post("fraud", githubHook("push", "1", push), push)), seen)
	}
	pull := payload(t, "github_pull_opened")
	expect(t, "the next", h.send(post("fraud", githubHook("pull_request", "2", pull), pull)), accepted)

	for n := range mostMarks {
		h.tick(time.Second)
		body := append(slices.Clone(push), strings.Repeat(" ", n+1)...)
		expect(t, "others", h.send(post("fraud", githubHook("push", fmt.Sprint("other", n), body), body)), accepted)
	}
	if got := len(h.doors.of[repo("fraud")].marks); got != mostMarks {
		t.Errorf("%d marks", got)
	}
	h.waiting()
	h.tick(time.Second)
	expect(t, "one that is forgotten", h.send(post("fraud", githubHook("push", "1", push), push)), accepted)
	if got := h.waiting(); !reflect.DeepEqual(got, []Event{{Repository: repo("fraud"), Fetch: true}}) {
		t.Errorf("it does more than a look: %+v", got)
	}
}

// A thousand hooks a second for one Repository, and now and then one for another.
func TestFlood(t *testing.T) {
	h := newHouse(t)
	const seconds, rate = 2, 1000
	counts := map[int]int{}
	for n := range seconds * rate {
		h.tick(time.Second / rate)
		body := fmt.Appendf(nil, `{"ref":"refs/heads/main","repository":{"full_name":"ml/platform"},"n":%d}`, n)
		res := h.send(post("fraud", githubHook("push", fmt.Sprint(n), body), body))
		counts[res.StatusCode]++
		if after := res.Header.Get("Retry-After"); (after == "1") != (res.StatusCode == http.StatusTooManyRequests) {
			t.Fatalf("%d comes with Retry-After %q", res.StatusCode, after)
		}
		if n%250 == 0 {
			expect(t, "the other", h.send(post("churn", githubHook("push", fmt.Sprint(n), body), body)), accepted)
		}
	}
	let := burst + seconds*perSecond
	if got := counts[http.StatusAccepted]; got < let-1 || got > let || got+counts[http.StatusTooManyRequests] != seconds*rate {
		t.Errorf("answers: %v", counts)
	}
	if got := h.count("github", flooded); got != counts[http.StatusTooManyRequests] {
		t.Errorf("%d counted", got)
	}
	if got := h.waiting(); len(got) != 2 {
		t.Errorf("events: %+v", got)
	}
	if len(h.lines) != 1 {
		t.Errorf("the log has %d lines: %q", len(h.lines), h.lines)
	}
	// A flood that is not signed empties nobody's bucket.
	forged := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {strings.Repeat("0", 64)}}
	for range rate {
		expect(t, "forged", h.send(post("tags", forged, nil)), refused)
	}
	tag := payload(t, "github_push_tag")
	expect(t, "after the forged ones", h.send(post("tags", githubHook("push", "1", tag), tag)), accepted)
}

// As many as there may be are under way and do not go on; for the Repository they are for, no more are
// let in, for others they are.
func TestCrowd(t *testing.T) {
	h := newHouse(t)
	push := payload(t, "github_push")
	release := make(chan struct{})
	var slow sync.WaitGroup
	hold := func(name string, requests int) {
		for range requests {
			r := post(name, githubHook("push", "slow", push), nil)
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(until(release), bytes.NewReader(push))), -1
			slow.Go(func() { h.send(r) })
		}
	}
	underWay := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprint(want, " under way"), func() bool {
			h.crowd.mu.Lock()
			defer h.crowd.mu.Unlock()
			return h.crowd.all == want
		})
	}
	hold("fraud", mostOfOne)
	underWay(mostOfOne)
	res := h.send(post("fraud", githubHook("push", "1", push), push))
	expect(t, "one more", res, crowded)
	if res.Header.Get("Retry-After") != "1" {
		t.Errorf("headers: %v", res.Header)
	}
	expect(t, "another", h.send(post("churn", githubHook("push", "1", push), push)), accepted)

	for n := 1; n < mostRequests/mostOfOne; n++ {
		hold(fmt.Sprint("absent", n), mostOfOne)
	}
	underWay(mostRequests)
	expect(t, "another, when all are taken", h.send(post("churn", githubHook("push", "2", push), push)), crowded)

	close(release)
	slow.Wait()
	underWay(0)
	if len(h.crowd.of) != 0 {
		t.Errorf("left over: %v", h.crowd.of)
	}
	expect(t, "afterwards", h.send(post("churn", githubHook("push", "3", push), push)), seen)
	if got := h.count("github", accepted); got != 2 {
		t.Errorf("%d accepted: of the slow ones, all copies of one, one should be", got)
	}
}

// until is a reader that ends when a channel is closed.
type until <-chan struct{}

func (u until) Read([]byte) (int, error) {
	<-u
	return 0, io.EOF
}

// A large body is refused, whether it says how large it is or not, and takes no memory.
func TestLargeBodies(t *testing.T) {
	h := newHouse(t)
	const size = 100 << 20
	header := http.Header{"X-Github-Event": {"push"}, "X-Hub-Signature-256": {strings.Repeat("0", 64)}}
	for _, length := range []int64{size, -1} {
		r := post("fraud", header, nil)
		body := &counter{left: size}
		r.Body, r.ContentLength = io.NopCloser(body), length
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		expect(t, fmt.Sprint(length, " bytes"), h.send(r), tooLarge)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
			t.Errorf("%d: it took %d bytes", length, took)
		}
		if body.read > 2*maxBody || length > 0 && body.read > 0 {
			t.Errorf("%d: %d bytes were read", length, body.read)
		}
	}
	// As much as is allowed.
	body := append(slices.Clone(payload(t, "github_push")), bytes.Repeat([]byte{' '}, maxBody)...)[:maxBody]
	expect(t, "1 MiB", h.send(post("fraud", githubHook("push", "1", body), body)), accepted)
}

// counter is a long body.
type counter struct{ left, read int }

func (c *counter) Read(b []byte) (int, error) {
	n := min(len(b), c.left)
	if n == 0 {
		return 0, io.EOF
	}
	c.left -= n
	c.read += n
	return n, nil
}

// The operator is told of what is wrong, once a minute, also of hooks for Repositories that are not
// there; those share one line, since anybody can make names up.
func TestTheOperatorIsTold(t *testing.T) {
	h := newHouse(t)
	forged := http.Header{"X-Gitea-Event": {"push"}, "X-Gitea-Signature": {strings.Repeat("0", 64)}}
	for n := range 500 {
		h.send(post("fraud", forged, nil))
		h.send(post(fmt.Sprint("absent", n), forged, nil))
		h.send(post("churn", http.Header{"X-Gitlab-Event": {"Push Hook"}}, nil))
	}
	if got := h.count("gitea", refused); got != 1000 {
		t.Errorf("%d counted", got)
	}
	want := []string{
		`"provider"="gitea" "result"="refused" "status"=401 "why"="its signature is wrong`,
		`"provider"="gitea" "result"="refused" "status"=401 "why"="there is no such Repository`,
	}
	if len(h.lines) != 2 || !strings.Contains(h.lines[0], want[0]) || !strings.Contains(h.lines[1], want[1]) ||
		!strings.Contains(h.lines[0], `"namespace"="platform" "name"="fraud"`) {
		t.Fatalf("%d lines: %q", len(h.lines), h.lines)
	}
	h.tick(between)
	h.send(post("fraud", forged, nil))
	if len(h.lines) != 3 || !strings.Contains(h.lines[2], `"alike"=499`) {
		t.Errorf("%d lines: %q", len(h.lines), h.lines[2:])
	}
	for n := range 2 * mostTopics {
		h.Handler.log.due(topic{result: fmt.Sprint(n)}, noon)
	}
	if got := len(h.Handler.log.said); got > mostTopics {
		t.Errorf("%d topics", got)
	}
}

func TestDoorsAreBounded(t *testing.T) {
	var d doors
	for n := range 2 * mostDoors {
		d.admit(repo(fmt.Sprint(n)), nil, noon)
	}
	if len(d.of) != mostDoors {
		t.Errorf("%d doors", len(d.of))
	}
}

// The clock is put back: the bucket neither fills nor stays empty for ever.
func TestBucketWhenTheClockGoesBack(t *testing.T) {
	b := bucket{left: 1, at: noon}
	if wait := b.take(noon.Add(-time.Hour)); wait != 0 {
		t.Errorf("wait %s", wait)
	}
	if wait := b.take(noon.Add(-time.Hour)); wait != time.Second/perSecond {
		t.Errorf("wait %s", wait)
	}
	if wait := b.take(noon.Add(-time.Hour + time.Second)); wait != 0 {
		t.Errorf("wait %s", wait)
	}
}

func expect(t *testing.T, name string, res *http.Response, want answer) {
	t.Helper()
	if got := content(t, res); res.StatusCode != want.status || got != want.text+"\n" {
		t.Errorf("%s: %d %q, want %d %q", name, res.StatusCode, got, want.status, want.text)
	}
}

// content returns the body, as often as it is asked for.
func content(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return string(body)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in two minutes: %s", what)
		}
	}
}
