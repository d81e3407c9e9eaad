package sync_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// pushed is the part that counts of what GitHub sends after a push.
func pushed(branch, repository string) string {
	return fmt.Sprintf(`{"ref": "refs/heads/%s", "before": "%[3]s", "after": "%[3]s", "repository": {"full_name": %[2]q}}`, branch, repository, strings.Repeat("c0ffee00", 5))
}

// hook sends what a forge would, as GitHub does, and returns the answer.
func (r *remote) hook(repository, body, secret string) (status int, answer string) {
	r.T.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+r.Hooks+"/hooks/"+r.Namespace+"/"+repository, strings.NewReader(body))
	if err != nil {
		r.T.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Event", "push")
	if secret != "" {
		sum := hmac.New(sha256.New, []byte(secret))
		sum.Write([]byte(body))
		request.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum.Sum(nil)))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.T.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.T.Fatal(err)
	}
	return response.StatusCode, string(bytes.TrimSpace(text))
}

// A hook has the agent look at once, where it would have looked in an hour. One that nobody has signed
// who may has it do nothing, and tells nobody whether there is such a Repository.
func TestHooks(t *testing.T) {
	r := from(t, gitserver.Options{})
	const token = "shared-" + rig.Canary
	var err error
	if r.git, err = r.server.Create("ml/platform"); err != nil { // forges have an owner in the name
		t.Fatal(err)
	}
	r.shows("main", "one")
	r.follow(func(s *v1alpha1.RepositorySpec) {
		s.Ref = &v1alpha1.RepositoryRef{Branch: "main"}
		s.Receiver = &v1alpha1.Receiver{SecretRef: meta.LocalObjectReference{Name: "hooks"}}
	})
	r.arrives("one")
	r.Eventually("it is told that the Secret is missing", func() (bool, string) {
		for _, e := range r.Events(v1alpha1.RepositoryKind, "platform") {
			if e.Reason == "ReceiverFailed" && strings.Contains(e.Message, "Secret hooks, which spec.receiver.secretRef names, is not there") {
				return true, ""
			}
		}
		return false, "there is no such event"
	})
	repo := r.GetRepository("platform")
	r.secret("hooks", map[string]string{"token": token + "\n"})
	r.Update(repo, func() { repo.Spec.Timeout.Duration *= 2 }) // the Secret is read at once, and not in a minute
	r.Eventually("it has looked as its new spec has it", func() (bool, string) {
		now := r.GetRepository("platform")
		return now.Status.ObservedGeneration == now.Generation, fmt.Sprintf("%d of %d", now.Status.ObservedGeneration, now.Generation)
	})

	before := r.server.Traffic()
	for _, c := range []struct{ repository, body, secret string }{
		{"platform", pushed("main", "ml/platform"), ""},
		{"platform", pushed("main", "ml/platform"), "another"},
		{"nobody", pushed("main", "ml/platform"), token},
	} {
		status, answer := r.hook(c.repository, c.body, c.secret)
		if status != http.StatusUnauthorized || strings.Contains(answer, c.repository) {
			t.Errorf("%+v is answered %d, %q", c, status, answer)
		}
	}
	r.Eventually("the secret is known", func() (bool, string) {
		status, answer := r.hook("platform", pushed("main", "somebody/else"), token)
		return status == http.StatusUnprocessableEntity && strings.Contains(answer, "somebody/else"), fmt.Sprintf("%d: %s", status, answer)
	})
	if status, answer := r.hook("platform", pushed("side", "ml/platform"), token); status != http.StatusOK {
		t.Errorf("a push to another branch is answered %d, %q", status, answer)
	}
	if looks := r.server.Traffic().Sub(before).LsRefs; looks != 0 {
		t.Errorf("the agent has looked %d times for hooks that say nothing", looks)
	}

	r.shows("main", "two")
	if status, answer := r.hook("platform", pushed("main", "ml/platform"), token); status != http.StatusAccepted {
		t.Fatalf("the hook is answered %d, %q", status, answer)
	}
	r.arrives("two")
	if status, answer := r.hook("platform", pushed("main", "ml/platform"), token); status != http.StatusOK {
		t.Errorf("the same hook again is answered %d, %q", status, answer)
	}
}
