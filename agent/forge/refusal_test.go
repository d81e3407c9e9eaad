package forge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRefusal reads answers as the forges give them.
func TestRefusal(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	unix := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		kind   Kind
		said   string
		until  time.Time
	}{
		{"GitHub, bad token", 401, nil, `{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest"}`, Unauthorized, "Bad credentials", time.Time{}},
		{"GitHub, a right", 403, map[string]string{"X-Accepted-GitHub-Permissions": "pull_requests=write"}, `{"message":"Resource not accessible by personal access token"}`,
			Forbidden, "Resource not accessible by personal access token; it takes pull_requests=write", time.Time{}},
		{"GitHub, primary limit", 403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": unix(now.Add(20 * time.Minute))},
			`{"message":"API rate limit exceeded for user ID 1."}`, RateLimited, "API rate limit exceeded for user ID 1.", now.Add(20 * time.Minute)},
		{"GitHub, secondary limit", 403, map[string]string{"Retry-After": "90", "X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": unix(now.Add(time.Hour))},
			`{"message":"You have exceeded a secondary rate limit."}`, RateLimited, "You have exceeded a secondary rate limit.", now.Add(90 * time.Second)},
		{"GitHub, secondary limit that says nothing", 403, nil, `{"message":"You have exceeded a secondary rate limit."}`, RateLimited, "You have exceeded a secondary rate limit.", now.Add(time.Minute)},
		{"GitHub, 429", 429, nil, ``, RateLimited, "", now.Add(time.Minute)},
		{"GitHub, fields", 422, nil, `{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"},{"resource":"PullRequest","code":"custom","message":"No commits between main and x"}]}`,
			Refused, "Validation Failed; head invalid; No commits between main and x", time.Time{}},
		{"GitHub, words", 422, nil, `{"message":"Validation Failed","errors":["body is too long"]}`, Refused, "Validation Failed; body is too long", time.Time{}},
		{"GitLab, 429", 429, map[string]string{"RateLimit-Reset": unix(now.Add(30 * time.Second)), "RateLimit-Remaining": "0"}, "Retry later\n", RateLimited, "", now.Add(30 * time.Second)},
		{"GitLab, scope", 403, nil, `{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}`,
			Forbidden, "insufficient_scope; The request requires higher privileges than provided by the access token.", time.Time{}},
		{"GitLab, list", 409, nil, `{"message":["Another open merge request already exists for this source branch: !7"]}`, Conflict, "Another open merge request already exists for this source branch: !7", time.Time{}},
		{"GitLab, by field", 400, nil, `{"message":{"title":["is too long","can't be blank"],"base":["?"]}}`, Refused, "base ?; title is too long; title can't be blank", time.Time{}},
		{"GitLab, error", 400, nil, `{"error":"state does not have a valid value"}`, Refused, "state does not have a valid value", time.Time{}},
		{"Gitea", 404, nil, `{"errors":["user redirect does not exist [name: x]"],"message":"The target couldn't be found.","url":"https://git.example.com/api/swagger"}`,
			NotFound, "The target couldn't be found.; user redirect does not exist [name: x]", time.Time{}},
		{"Gitea, scope", 403, nil, `{"message":"token does not have at least one of required scope(s): [write:issue]"}`, Forbidden, "token does not have at least one of required scope(s): [write:issue]", time.Time{}},
		{"Gitea, merged already", 412, nil, `{"message":"cannot change state of this pull request, it was already merged"}`, Conflict, "cannot change state of this pull request, it was already merged", time.Time{}},
		{"a proxy", 502, nil, "<html><body>Bad Gateway</body></html>", Unavailable, "", time.Time{}},
		{"a proxy that says when", 503, map[string]string{"Retry-After": "Wed, 25 Nov 2026 12:00:40 GMT"}, "", Unavailable, "", now.Add(40 * time.Second)},
		{"one that wants to be left alone for years", 429, map[string]string{"Retry-After": "99999999"}, "", RateLimited, "", now.Add(time.Hour)},
		{"one that says nonsense", 429, map[string]string{"Retry-After": "soon", "X-RateLimit-Reset": "-1"}, "", RateLimited, "", now.Add(time.Minute)},
		{"one that says much", 400, nil, `{"message":"` + strings.Repeat("x", 1000) + `"}`, Refused, strings.Repeat("x", 300) + "…", time.Time{}},
		{"one that says it on several lines", 400, nil, `{"message":"a\nb\u001b[31mc"}`, Refused, "a b [31mc", time.Time{}},
		{"one that says it deep", 400, nil, `{"message":` + strings.Repeat(`{"a":`, 500) + `"x"` + strings.Repeat("}", 500) + `}`, Refused, "", time.Time{}},
		{"one that says too much", 400, nil, `{"message":"` + strings.Repeat("x", 1<<20) + `"}`, Refused, "", time.Time{}},
	} {
		header := http.Header{}
		for key, value := range c.header {
			header.Set(key, value)
		}
		e := refusal(answer{c.status, header, []byte(c.body)}, now)
		if e.Kind != c.kind || e.said != c.said || !e.Until.Equal(c.until) {
			t.Errorf("%s: %s %q until %v, want %s %q until %v", c.name, e.Kind, e.said, e.Until, c.kind, c.said, c.until)
		}
	}
}

func TestCache(t *testing.T) {
	var c cache
	put := func(key string, size int) {
		c.keep(key, answer{200, http.Header{"Etag": {key}}, make([]byte, size)})
	}
	put("a", 10)
	put("a", 20)
	put("too large", maxEntryKept+1)
	c.keep("without an ETag", answer{200, http.Header{}, nil})
	if _, etag := c.find("a"); etag != "a" || c.size != 20 || len(c.entries) != 1 {
		t.Errorf("%d entries of %d bytes", len(c.entries), c.size)
	}
	for i := range 3 * maxEntries {
		put(fmt.Sprint(i), maxKept/100)
		if c.find("a"); len(c.entries) > maxEntries || c.size > maxKept {
			t.Fatalf("%d entries of %d bytes", len(c.entries), c.size)
		}
	}
	if _, etag := c.find("a"); etag != "a" {
		t.Error("what is used is thrown away")
	}
	if _, etag := c.find("0"); etag != "" {
		t.Error("what is not used is kept")
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"a":                       "a",
		" a\n\tb ":                "a b",
		"äöü":                     "äöü",
		"äöüß":                    "äöüß",
		"äöüß-":                   "äö…",
		"a\xff":                   "a?",
		"모델":                      "모델",
		"모델a":                     "모…",
		"a모델":                     "a…",
		strings.Repeat("a", 1000): "aa…",
	} {
		if have := line(text, 4); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}
