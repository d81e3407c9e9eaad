package kfp

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/e2e/kfp"
)

func fixed(token string) Token {
	return func(context.Context) (string, error) { return token, nil }
}

// A token is renewed while the agent runs.
func TestTokenIsReadEachTime(t *testing.T) {
	w := newWorld(t, kfp.Options{})
	path := filepath.Join(t.TempDir(), "token")
	w.client.Token = TokenFile(path)
	find := func() error {
		_, err := w.client.FindPipeline(t.Context(), namespace, "echo")
		return err
	}
	if err := find(); ReasonOf(err) != Unauthenticated || !strings.Contains(err.Error(), "there is no token at "+path+": project one of the audience pipelines.kubeflow.org") {
		t.Errorf("without a file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "\n", "one\ntwo", strings.Repeat("x", maxToken+1)} {
		write(text)
		if err := find(); ReasonOf(err) != Unauthenticated || !strings.Contains(err.Error(), "holds no token") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	write(kfp.Expired(account) + "\n")
	if err := find(); ReasonOf(err) != Unauthenticated || !Temporary(err) {
		t.Errorf("expired: %v", err)
	}
	write(kfp.Token(account) + "\n")
	if err := find(); ReasonOf(err) != Missing {
		t.Errorf("renewed: %v", err)
	}
}
