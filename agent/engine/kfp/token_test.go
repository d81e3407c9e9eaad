package kfp

import (
	"context"
	"testing"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

func fixed(token string) Token {
	return func(context.Context) (string, error) { return token, nil }
}

// A token is renewed while the agent runs.
func TestTokenIsAskedForEachTime(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	token := kfp.Expired(account)
	w.client.Token = func(context.Context) (string, error) { return token, nil }
	find := func() error {
		_, err := w.client.FindPipeline(t.Context(), namespace, "echo")
		return err
	}
	if err := find(); ReasonOf(err) != Unauthenticated || !Temporary(err) {
		t.Errorf("expired: %v", err)
	}
	token = kfp.Token(account)
	if err := find(); ReasonOf(err) != Missing {
		t.Errorf("renewed: %v", err)
	}
	refused := sayf(Unauthenticated, "there is none")
	w.client.Token = func(context.Context) (string, error) { return "", refused }
	before := w.Count("", "")
	if err := find(); ReasonOf(err) != Unauthenticated || w.Count("", "") != before {
		t.Errorf("without a token: %v, and %d requests", err, w.Count("", "")-before)
	}
}
