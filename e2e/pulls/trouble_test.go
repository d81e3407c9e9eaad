package pulls_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// api limits a fault to the REST API, so that Git goes on.
func api(f forge.Fault) forge.Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				f(next).ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// misbehave has the forge misbehave, at most until the test ends.
func (h *house) misbehave(f forge.Fault) {
	gitea.Misbehave(f)
	h.T.Cleanup(func() { gitea.Misbehave(nil) })
}

// token gives the agent another token for the forge.
func (h *house) token(token string) {
	h.T.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "forge"}}
	h.Update(secret, func() { secret.Data = map[string][]byte{"token": []byte(token)} })
}

// scopes gives the agent a token with some rights.
func (h *house) scopes(scopes ...string) {
	h.T.Helper()
	token, err := h.bot.Token(h.T.Context(), scopes...)
	h.must(err)
	h.token(token)
}

// A forge that is not as it should be is told of in one sentence, holds up nothing else, and is caught up
// with when it is well again: once.
func TestForgeTrouble(t *testing.T) {
	h := newHouse(t, cluster.Options{Nodes: 1}, platform())
	h.token("no-token-at-all")
	h.begin()
	h.follow("shop", "other")
	missesRights(t, h)
	isDown(t, h)
	limitsCalls(t, h)
	h.CheckSecrets()
	h.checkForge()
}

// settings is what the Overlay other has.
func settings(a string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: %q}\n", a)
}

// missesRights gives the agent tokens with too few rights, and at last a good one.
func missesRights(t *testing.T, h *house) {
	p := h.propose("rights", files{"overlays/other/settings.yaml": settings("2")})
	h.look()
	h.says(metav1.ConditionFalse, "Unauthorized", "the token is not accepted", "read:repository")
	h.scopes("read:user")
	h.look()
	h.says(metav1.ConditionFalse, "Forbidden", "the scope read:repository")
	h.scopes("read:user", "read:repository")
	h.look()
	h.says(metav1.ConditionFalse, "Forbidden", "sluice/plan", "the scope write:repository")
	h.scopes("read:user", "write:repository")
	h.look()
	h.says(metav1.ConditionFalse, "Forbidden", "comment on pull request", "the scope write:issue")
	h.WaitRepository("platform", "is Ready all the same", func(_ *v1alpha1.Repository, ready metav1.Condition) bool { return ready.Status == metav1.ConditionTrue })
	told := map[string]bool{}
	for _, e := range h.Events(v1alpha1.RepositoryKind, "platform") {
		for _, right := range []string{"read:repository", "write:repository", "write:issue"} {
			if e.Type == corev1.EventTypeWarning && e.Reason == "PullRequestsForbidden" && strings.HasSuffix(strings.SplitN(e.Message, ", and its owner", 2)[0], "the scope "+right) {
				told[right] = true
			}
		}
	}
	if len(told) != 3 {
		t.Errorf("events tell of %v only: %+v", told, h.Events(v1alpha1.RepositoryKind, "platform"))
	}
	h.scopes("read:user", "read:organization", "write:repository", "write:issue")
	h.look()
	h.comment(p, "plan", "data.a")
	h.says(metav1.ConditionTrue, v1alpha1.SucceededReason)
	h.close(p)
	h.comment(p, "plan", "Closed without a merge")
}

// isDown takes the API of the forge away while people work.
func isDown(t *testing.T, h *house) {
	merged := h.propose("merged", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("2", "2")})
	pushed := h.propose("pushed", files{"overlays/other/settings.yaml": settings("3")})
	closed := h.propose("closed", files{"docs/README.md": "Read it.\n"})
	for _, p := range []*forge.Pull{merged, pushed, closed} {
		h.status(p.Head.SHA, "sluice/plan", "success")
		h.comment(p, "plan", p.Head.SHA[:7])
		h.record(p, "is written", func(r v1alpha1.PullRequestStatus) bool { return r.State == v1alpha1.PullRequestPlanned })
	}
	before := gitea.Traffic()
	h.misbehave(api(forge.Down()))
	second := h.push(h.ann, "pushed", files{"overlays/other/settings.yaml": settings("4")})
	opened := h.propose("opened", files{"overlays/other/more.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n", "overlays/other/kustomization.yaml": "resources: [settings.yaml, more.yaml]\n"})
	first := opened.Head.SHA
	third := h.push(h.ann, "opened", files{"overlays/other/more.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: b}\n"})
	h.close(closed)
	h.must(merged.Merge(t.Context(), h.ben, forge.Merge))
	h.says(metav1.ConditionFalse, "Unavailable", "it is asked again")
	h.Ask("platform")
	h.WaitSynced("platform", "main@sha1:"+merged.MergeCommit)
	if made := done(calls(before)); len(made) > 0 {
		t.Fatalf("the forge was not down:\n%s", made)
	}

	gitea.Misbehave(nil)
	h.look() // it does so by itself, in some minutes
	h.status(second, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.status(third, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.status(merged.MergeCommit, "sluice/shop", "success", "live in")
	h.comment(pushed, "plan", second[:7])
	h.comment(opened, "plan", third[:7], "create")
	h.comment(merged, "merged", "Live in")
	h.comment(closed, "plan", "Closed without a merge")
	h.says(metav1.ConditionTrue, v1alpha1.SucceededReason)
	since := h.quiet(before)
	t.Logf("what was missed took these calls:\n%s", done(since))
	made := writes(done(since))
	for path, times := range map[string]int{
		"/statuses/" + second:                             1,
		"/statuses/" + third:                              1,
		"/statuses/" + first:                              0, // it was pushed over before anybody could see it
		"/statuses/" + merged.MergeCommit:                 1,
		fmt.Sprintf("/issues/%d/comments", opened.Number): 1,
		fmt.Sprintf("/issues/%d/comments", merged.Number): 1,
		fmt.Sprintf("/issues/%d/comments", pushed.Number): 0, // there is one to edit
		fmt.Sprintf("/issues/%d/comments", closed.Number): 0,
	} {
		if n := made.Count(http.MethodPost, "/repos/"+h.repo.FullName()+path); n != times {
			t.Errorf("POST %s was made %d times, and not %d", path, n, times)
		}
	}
	if n := made.Count(http.MethodPatch, "/repos/"+h.repo.FullName()+"/issues/comments/*"); n != 2 {
		t.Errorf("comments were edited %d times, and not twice", n)
	}
	h.close(opened)
	h.close(pushed)
	h.quiet(before)
}

// limitsCalls has the forge say that it was asked too much.
func limitsCalls(t *testing.T, h *house) {
	var mu sync.Mutex
	var asked []time.Time
	const rest = 7 * time.Second
	limit := forge.First(1, forge.Status(http.StatusTooManyRequests, "Retry-After", fmt.Sprint(rest.Seconds())))
	h.misbehave(api(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, time.Now())
			mu.Unlock()
			limit(next).ServeHTTP(w, r)
		})
	}))
	h.look()
	h.says(metav1.ConditionFalse, "RateLimited", "too many requests")
	p := h.propose("limited", files{"docs/README.md": "Read it again.\n"}) // whose hooks make it no more impatient
	h.look()
	h.status(p.Head.SHA, "sluice/plan", "success", "nothing changes")
	h.says(metav1.ConditionTrue, v1alpha1.SucceededReason)
	mu.Lock()
	defer mu.Unlock()
	if pause := asked[1].Sub(asked[0]); pause < rest {
		t.Errorf("it was asked again after %s", pause)
	}
}
