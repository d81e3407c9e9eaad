package pulls_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hang holds the first request fast that a method and a pattern fit, before the forge has seen it or
// after it has done it; held is closed when it is.
func hang(method, pattern string, after bool) (f forge.Fault, held chan struct{}) {
	held = make(chan struct{})
	return forge.Only(method, pattern, forge.First(1, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if after {
				next.ServeHTTP(unheard{http.Header{}}, r)
			}
			_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that the agent is gone
			close(held)
			<-r.Context().Done()
		})
	})), held
}

// unheard is an answer that nobody gets.
type unheard struct{ header http.Header }

func (u unheard) Header() http.Header               { return u.header }
func (u unheard) Write(content []byte) (int, error) { return len(content), nil }
func (u unheard) WriteHeader(int)                   {}

// killAt ends the agent as a power failure would while it is at a request, and starts it again.
func (h *house) killAt(method, pattern string, after bool, act func()) {
	h.T.Helper()
	fault, held := hang(method, pattern, after)
	h.misbehave(fault)
	act()
	h.Eventually("the agent is at "+method+" "+pattern, func() (bool, string) {
		select {
		case <-held:
			return true, ""
		default:
			return false, "not yet"
		}
	})
	h.KillAgent()
	gitea.Misbehave(nil)
	h.StartAgent("--allow-loopback-checks")
}

// What was said is not said again: not by an agent that was killed, not when it starts, not when it looks
// and finds nothing, and not when the branch moves by what is no matter of a pull request.
func TestSaysNothingTwice(t *testing.T) {
	h := newHouse(t, cluster.Options{Nodes: 1}, platform())
	h.begin()
	h.follow("shop", "other")
	isKilled(t, h)
	staysQuiet(t, h)
	followsMain(t, h)
	h.CheckSecrets()
}

// isKilled kills the agent between the things that it does about a pull request.
func isKilled(t *testing.T, h *house) {
	for n, at := range []struct {
		name, method, pattern string
		after                 bool
	}{
		{"before the status", http.MethodPost, "/repos/*/*/statuses/*", false},
		{"after the status", http.MethodPost, "/repos/*/*/statuses/*", true},
		{"before the comment", http.MethodPost, "/repos/*/*/issues/*/comments", false},
		{"after the comment", http.MethodPost, "/repos/*/*/issues/*/comments", true},
	} {
		before := gitea.Traffic()
		var p *forge.Pull
		h.killAt(at.method, at.pattern, at.after, func() {
			p = h.propose(fmt.Sprintf("killed-%d", n), files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("2", fmt.Sprint(10+n))})
		})
		h.status(p.Head.SHA, "sluice/plan", "success", "1 object changes")
		h.comment(p, "plan", fmt.Sprintf("shop:%d", 10+n))
		h.record(p, "is written", func(r v1alpha1.PullRequestStatus) bool { return r.Head == p.Head.SHA })
		since := h.quiet(before)
		h.saidOnce(p, 1)
		if set := since.Count(http.MethodPost, "/repos/"+h.repo.FullName()+"/statuses/"+p.Head.SHA); set > 2 {
			t.Errorf("killed %s, the agent has set the status %d times", at.name, set)
		}

		// The same of a merge, of which the last one is left to others.
		before = gitea.Traffic()
		h.killAt(at.method, at.pattern, at.after, func() { h.must(p.Merge(t.Context(), h.ben, forge.Merge)) })
		h.status(p.MergeCommit, "sluice/shop", "success", "live in")
		h.comment(p, "merged", "Live in")
		h.Eventually("nothing is left on record", func() (bool, string) {
			left := h.GetRepository("platform").Status.PullRequests
			return len(left) == 0, fmt.Sprintf("%+v", left)
		})
		since = h.quiet(before)
		h.saidOnce(p, 2)
		// It may be pending, and may be said twice, of which one was before the kill.
		if set := since.Count(http.MethodPost, "/repos/"+h.repo.FullName()+"/statuses/"+p.MergeCommit); set > 3 {
			t.Errorf("killed %s, the agent has set the status of the merge %d times", at.name, set)
		}
	}
}

// saidOnce fails the test if a pull request has not as many comments as it should, of which each is of
// another kind.
func (h *house) saidOnce(p *forge.Pull, comments int) {
	h.T.Helper()
	list, err := p.Comments(h.T.Context())
	h.must(err)
	if len(list) != comments {
		h.T.Errorf("pull request %d has %d comments, and not %d: %+v", p.Number, len(list), comments, list)
	}
}

// staysQuiet counts the calls of an agent that has nothing to do.
func staysQuiet(t *testing.T, h *house) {
	var open []*forge.Pull
	for n := range 5 {
		p := h.propose(fmt.Sprintf("open-%d", n), files{fmt.Sprintf("overlays/other/more-%d.yaml", n): fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more-%d}\n", n),
			"overlays/other/kustomization.yaml": fmt.Sprintf("resources: [settings.yaml, more-%d.yaml]\n", n)})
		open = append(open, p)
	}
	for _, p := range open {
		h.status(p.Head.SHA, "sluice/plan", "success", "1 overlay, 1 object changes")
		h.record(p, "is written", func(r v1alpha1.PullRequestStatus) bool { return r.Head == p.Head.SHA && r.Base != "" })
	}

	for _, lost := range []bool{false, true} { // as with another Pod: what it has comes from the remote again
		before := h.settled()
		h.KillAgent()
		if lost {
			h.must(os.RemoveAll(h.Dir))
		}
		h.StartAgent("--allow-loopback-checks")
		h.Eventually("the agent looks", func() (bool, string) { return len(calls(before)) > 0, "it has not asked for anything" })
		started := h.quiet(before)
		t.Logf("a start with 5 open pull requests took these calls:\n%s", started)
		if len(started) > 2 || len(writes(started)) > 0 {
			t.Errorf("it took %d calls", len(started))
		}
	}

	for range 3 {
		before := gitea.Traffic()
		h.look()
		h.Eventually("the agent looks", func() (bool, string) { return len(calls(before)) > 0, "it has not asked for anything" })
		if looked := h.quiet(before); len(looked) != 1 {
			t.Errorf("a look that finds nothing took these calls:\n%s", looked)
		}
	}

	// The branch moves by what none of them reads.
	before := gitea.Traffic()
	commit := h.push(h.owner, "main", files{"docs/README.md": "Nobody reads it.\n"})
	for _, p := range open {
		h.record(p, "is for the new base", func(r v1alpha1.PullRequestStatus) bool { return r.Base == commit })
	}
	moved := h.quiet(before)
	t.Logf("a commit on the branch took these calls, with 5 open pull requests:\n%s", moved)
	if said := writes(moved); len(said) > 0 {
		t.Errorf("a commit that nobody reads is told:\n%s", said)
	}
	for _, p := range open {
		h.close(p)
	}
	h.Eventually("nothing is left on record", func() (bool, string) {
		left := h.GetRepository("platform").Status.PullRequests
		return len(left) == 0, fmt.Sprintf("%+v", left)
	})
}

// settled waits until the agent has nothing to do, and returns what was asked so far.
func (h *house) settled() forge.Traffic {
	h.T.Helper()
	h.quiet(nil)
	return gitea.Traffic()
}

// followsMain moves the branch by what a pull request does read: what merging it would do is another
// thing then, and what the branch itself does is no part of it, also where that comes late.
func followsMain(t *testing.T, h *house) {
	p := h.propose("annotate", files{"overlays/shop/kustomization.yaml": "resources: [deployment.yaml]\ncommonAnnotations: {team: payments}\n"})
	h.status(p.Head.SHA, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.comment(p, "plan", "payments")
	shop := &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "shop"}}
	other := &v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "other"}}
	for n := range 2 {
		waits := n == 1
		if waits { // for another Overlay, so that the plan is made before it has come to what the branch says
			h.Update(shop, func() { shop.Spec.DependsOn = []v1alpha1.OverlayReference{{Name: "other"}} })
			h.Update(other, func() { other.Spec.Path = "overlays/broken" })
			h.WaitReason("other", v1alpha1.RenderFailedReason)
		}
		text, err := h.repo.Git(h.owner, "show", "main:overlays/shop/deployment.yaml")
		h.must(err)
		text = strings.TrimRight(text, "\n") + fmt.Sprintf("\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: more-%d}\n", n)
		commit := h.push(h.owner, "main", files{"overlays/shop/deployment.yaml": text})
		h.status(p.Head.SHA, "sluice/plan", "success", fmt.Sprintf("1 overlay, %d objects change", n+2))
		if waits {
			h.comment(p, "plan", "1 to create")
			h.Update(other, func() { other.Spec.Path = "overlays/other" })
		}
		body := ""
		h.Eventually("the plan is of what the pull request does", func() (bool, string) {
			body = h.comment(p, "plan", fmt.Sprintf("more-%d", n))
			return contains(body, fmt.Sprintf("%d to update", n+2)) && !strings.Contains(body, "to create"), body
		})
		h.record(p, "is for the new base", func(r v1alpha1.PullRequestStatus) bool { return r.Base == commit })
	}
	h.saidOnce(p, 1)
	h.close(p)
}
