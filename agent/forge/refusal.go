package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// refusal makes an error of an answer that is no success.
func refusal(a answer, now time.Time) *Error {
	e := &Error{Kind: kindOf(a.status), status: a.status, said: printable(said(a.body))}
	if wanted := a.header.Get("X-Accepted-GitHub-Permissions"); wanted != "" && a.status == http.StatusForbidden {
		e.said = strings.TrimSpace(e.said + "; it takes " + printable(wanted))
	}
	e.Until = until(a.header, now)
	if limited(a, e.said) {
		e.Kind = RateLimited
		if e.Until.IsZero() {
			e.Until = now.Add(time.Minute) // what GitHub asks for where it does not say more
		}
	}
	if e.Kind != RateLimited && e.Kind != Unavailable {
		e.Until = time.Time{}
	}
	return e
}

// limited tells whether an answer is about too many requests. GitHub has 403 for that too.
func limited(a answer, said string) bool {
	switch a.status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return a.header.Get("Retry-After") != "" || a.header.Get("X-RateLimit-Remaining") == "0" ||
			strings.Contains(strings.ToLower(said), "rate limit")
	}
	return false
}

// until is when a forge wants to be asked again: Retry-After, in seconds or as a date, or the reset
// of the limit as GitHub (x-ratelimit-reset) and GitLab (RateLimit-Reset) have it. A forge is not
// believed that it wants to be left alone for days.
func until(header http.Header, now time.Time) time.Time {
	at := time.Time{}
	if after := header.Get("Retry-After"); after != "" {
		if seconds, err := strconv.ParseInt(after, 10, 32); err == nil {
			at = now.Add(time.Duration(seconds) * time.Second)
		} else if date, err := http.ParseTime(after); err == nil {
			at = date
		}
	}
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if seconds, err := strconv.ParseInt(header.Get(name), 10, 64); at.IsZero() && err == nil && seconds > 0 {
			at = time.Unix(seconds, 0)
		}
	}
	if at.After(now.Add(longestLimit)) {
		at = now.Add(longestLimit)
	}
	return at
}

// said finds the sentence in an answer: message or error, which on GitLab may be a list or lists by
// field, and GitHub's errors. HTML and the like have none.
func said(body []byte) string {
	const longest = 64 << 10
	if len(body) > longest {
		return ""
	}
	var a struct {
		Message          any    `json:"message"`
		Error            any    `json:"error"`
		ErrorDescription string `json:"error_description"`
		Errors           any    `json:"errors"`
	}
	if json.Unmarshal(body, &a) != nil {
		return ""
	}
	var sentences []string
	for _, v := range []any{a.Message, a.Error, a.ErrorDescription, a.Errors} {
		sentences = append(sentences, words(v, 0)...)
	}
	return strings.Join(slices.Compact(sentences), "; ")
}

// words are the sentences in a value of JSON.
func words(v any, depth int) []string {
	const deepest, most = 4, 10
	var all []string
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		for _, item := range v[:min(len(v), most)] {
			if depth < deepest {
				all = append(all, words(item, depth+1)...)
			}
		}
	case map[string]any:
		if m, ok := v["message"].(string); ok && m != "" {
			return []string{m}
		}
		if code, ok := v["code"].(string); ok { // GitHub: {"resource": …, "field": …, "code": …}
			return []string{strings.TrimSpace(fmt.Sprintf("%v %s", v["field"], code))}
		}
		fields := make([]string, 0, len(v))
		for field := range v {
			fields = append(fields, field)
		}
		slices.Sort(fields)
		for _, field := range fields[:min(len(fields), most)] {
			if depth < deepest {
				for _, w := range words(v[field], depth+1) {
					all = append(all, field+" "+w)
				}
			}
		}
	}
	return all
}
