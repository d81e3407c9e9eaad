package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sender is a kind of hooks: which headers they have, and what is in them.
type sender struct {
	// name is the provider in metrics.
	name string
	// label is the name that people know.
	label string
	// events are the headers that name the kind of event; the first that is there counts. So it is
	// with the others.
	events, signatures, deliveries []string
	// kinds of events that are read; others are answered by their header alone.
	kinds map[string]bool
	// open: the body may be in any form, it is not read.
	open bool
	// parse reads what a kind of event has to say.
	parse func(kind string, body []byte) (news, error)
}

// senders in the order in which their headers are looked for.
var senders = []*sender{
	{
		name: "gitea", label: "Gitea",
		events:     []string{"X-Gitea-Event", "X-Forgejo-Event"},
		signatures: []string{"X-Gitea-Signature", "X-Forgejo-Signature", "X-Hub-Signature-256"},
		deliveries: []string{"X-Gitea-Delivery", "X-Forgejo-Delivery"},
		kinds:      set("ping", "push", "pull_request", "pull_request_approved", "pull_request_rejected", "pull_request_comment"),
		parse:      parseGitHub,
	},
	gitlab,
	{
		name: "github", label: "GitHub",
		events:     []string{"X-GitHub-Event"},
		signatures: []string{"X-Hub-Signature-256"},
		deliveries: []string{"X-GitHub-Delivery"},
		kinds:      set("ping", "push", "pull_request", "pull_request_review"),
		parse:      parseGitHub,
	},
	generic,
}

var gitlab = &sender{
	name: "gitlab", label: "GitLab",
	events:     []string{"X-Gitlab-Event"},
	signatures: []string{"Webhook-Signature", "X-Gitlab-Token"},
	deliveries: []string{"Webhook-Id", "Idempotency-Key"},
	kinds:      set("Push Hook", "Tag Push Hook", "Merge Request Hook"),
	parse:      parseGitLab,
}

var generic = &sender{
	name: "generic", label: "the sender",
	signatures: []string{"X-Signature"},
	kinds:      set(""),
	open:       true,
	parse:      func(string, []byte) (news, error) { return news{anything: true}, nil },
}

// identify tells who sends a hook; nil if nobody we know does.
func identify(h http.Header) *sender {
	for _, s := range senders {
		if s.event(h) != "" || s == generic && s.signature(h) != "" {
			return s
		}
	}
	return nil
}

func (s *sender) event(h http.Header) string     { return first(h, s.events) }
func (s *sender) signature(h http.Header) string { return first(h, s.signatures) }
func (s *sender) delivery(h http.Header) string  { return first(h, s.deliveries) }

// proof is what a hook has shown.
type proof struct {
	// valid: it comes from who knows the secret.
	valid bool
	// digest stands for the body. Without the secret nobody can make it.
	digest []byte
}

// check compares the signature of a hook with the secret. How long it takes depends on the
// body and on the sender, not on the secret: each step is done, also when it cannot matter any more.
func (s *sender) check(h http.Header, secret, body []byte, now time.Time) proof {
	p := proof{digest: sum(secret, body)}
	if s == gitlab {
		p.valid = checkGitLab(h, secret, body, now)
		return p
	}
	signature, err := hex.DecodeString(strings.TrimPrefix(s.signature(h), "sha256="))
	p.valid = hmac.Equal(signature, p.digest) && err == nil
	return p
}

const (
	// signingPrefix is what signing tokens of GitLab begin with, as those of Standard Webhooks do.
	signingPrefix = "whsec_"
	// maxSignatures is how many signatures a delivery may have; the old and the new secret's are
	// there while it is changed.
	maxSignatures = 4
	// maxAge is how far a dated delivery may be away from our clock.
	maxAge = 5 * time.Minute
)

// checkGitLab checks a signature after Standard Webhooks if the secret is a signing token, and
// the token otherwise.
func checkGitLab(h http.Header, secret, body []byte, now time.Time) bool {
	encoded, signing := bytes.CutPrefix(secret, []byte(signingPrefix))
	key, err := base64.StdEncoding.DecodeString(string(encoded))
	signed := sum(key, []byte(h.Get("Webhook-Id")+"."+h.Get("Webhook-Timestamp")+"."), body)
	right := fresh(h.Get("Webhook-Timestamp"), now) && err == nil && len(key) > 0 && anyOf(h.Get("Webhook-Signature"), signed)
	// Tokens are compared by their sums, whose length says nothing about theirs.
	same := hmac.Equal(sum(secret, secret), sum(secret, []byte(h.Get("X-Gitlab-Token"))))
	if signing {
		return right
	}
	return same
}

// fresh tells whether a time, in seconds since 1970, is near to now.
func fresh(seconds string, now time.Time) bool {
	n, err := strconv.ParseInt(seconds, 10, 64)
	at := time.Unix(n, 0)
	return err == nil && at.After(now.Add(-maxAge)) && at.Before(now.Add(maxAge))
}

// anyOf tells whether one of the signatures, written as v1,BASE64 with spaces between, is right.
func anyOf(signatures string, right []byte) bool {
	found := false
	for n, signature := range strings.Fields(signatures) {
		encoded, v1 := strings.CutPrefix(signature, "v1,")
		if !v1 || n >= maxSignatures {
			continue
		}
		decoded, err := base64.StdEncoding.DecodeString(encoded)
		found = hmac.Equal(decoded, right) && err == nil || found
	}
	return found
}

func sum(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// marks are what a delivery is known again by; see the package's comment.
func (s *sender) marks(h http.Header, p proof) []mark {
	var marks []mark
	if id := s.delivery(h); id != "" {
		marks = append(marks, markOf("id", []byte(id)))
	}
	if s == generic || s == gitlab && len(marks) > 0 {
		return marks
	}
	return append(marks, markOf("body", p.digest))
}

func first(h http.Header, names []string) string {
	for _, name := range names {
		if value := h.Get(name); value != "" {
			return value
		}
	}
	return ""
}

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}
