package pulls_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// blue is the house as another agent sees it, which follows the same repository for another namespace and
// has a name.
func (h *house) blue() *house {
	h.T.Helper()
	h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "blue"}})
	b := h.in(h.T.(*testing.T))
	b.Namespace = "blue"
	for _, name := range []string{"forge", "git", "hooks"} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: name}}
		h.Update(secret, func() {})
		b.Create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: name}, Data: secret.Data})
	}
	b.Create(&v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: "platform"}, Spec: v1alpha1.RepositorySpec{
		URL: h.repo.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour},
		SecretRef:    &meta.LocalObjectReference{Name: "git"},
		Receiver:     &v1alpha1.Receiver{SecretRef: meta.LocalObjectReference{Name: "hooks"}},
		PullRequests: &v1alpha1.PullRequests{Provider: v1alpha1.Gitea, SecretRef: meta.LocalObjectReference{Name: "forge"}, Interval: &metav1.Duration{Duration: time.Hour}, Name: "blue"},
	}})
	_, err := h.repo.Hook(h.T.Context(), h.owner, forge.Hook{URL: "http://" + h.Hooks + "/hooks/blue/platform", Secret: hookToken})
	h.must(err)
	return b
}

// Two agents that follow one repository say what they have to say side by side, also with one account.
func TestTwoAgents(t *testing.T) {
	h := newHouse(t, cluster.Options{Nodes: 1}, platform())
	h.begin()
	h.follow("shop")
	measure(t, h)
	b := h.blue()
	b.follow("other")

	p := h.propose("both", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("3", "1"), "overlays/other/settings.yaml": settings("2")})
	h.status(p.Head.SHA, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.status(p.Head.SHA, "sluice/blue/plan", "success", "1 overlay, 1 object changes")
	plan, bluePlan := h.comment(p, "plan", "Overlay `shop`", "spec.replicas"), h.comment(p, "blue/plan", "`blue`", "Overlay `other`", "data.a")
	if strings.Contains(plan, "data.a") || strings.Contains(bluePlan, "spec.replicas") {
		t.Errorf("one has what is the other's:\n%s\n%s", plan, bluePlan)
	}

	// What is news for one is none for the other.
	second := h.push(h.ann, "both", files{"overlays/other/settings.yaml": settings("3")})
	h.status(second, "sluice/plan", "success")
	h.status(second, "sluice/blue/plan", "success")
	h.comment(p, "blue/plan", second[:7], `+ data.a: "3"`)
	h.comment(p, "plan", second[:7], "spec.replicas")

	h.must(p.Merge(t.Context(), h.ben, forge.Squash))
	h.status(p.MergeCommit, "sluice/shop", "success", "live in")
	h.status(p.MergeCommit, "sluice/blue/other", "success", "live in")
	h.comment(p, "merged", "Live in", "`shop`")
	h.comment(p, "blue/merged", "Live in", "`other`")
	h.quiet(nil)
	h.saidOnce(p, 4)
	h.checkForge()
	h.CheckSecrets()
	b.CheckSecrets()
}

// measure prints how long it takes from a push to the status, and how many calls a pull request takes.
func measure(t *testing.T, h *house) {
	const pushes = 10
	p := h.propose("measured", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("1", "1")})
	h.status(p.Head.SHA, "sluice/plan", "success")
	h.comment(p, "plan", p.Head.SHA[:7])
	begin := h.settled()
	var took []time.Duration
	for n := range pushes {
		head := h.push(h.ann, "measured", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("1", fmt.Sprint(100+n))})
		at := time.Now()
		h.status(head, "sluice/plan", "success", "1 overlay, 1 object changes")
		took = append(took, time.Since(at))
		h.comment(p, "plan", head[:7])
	}
	updates := h.quiet(begin)
	slices.Sort(took)
	t.Logf("from a push to its status: at least %s, half of them within %s, at most %s",
		took[0].Round(time.Millisecond), took[pushes/2].Round(time.Millisecond), took[pushes-1].Round(time.Millisecond))
	t.Logf("%d pushes took %d calls, %.1f each:\n%s", pushes, len(updates), float64(len(updates))/pushes, general(updates))
	if most := 8 * pushes; len(updates) > most {
		t.Errorf("that is more than %d", most)
	}

	before := gitea.Traffic()
	h.look()
	h.Eventually("the agent looks", func() (bool, string) { return len(calls(before)) > 0, "it has not asked for anything" })
	each := len(h.quiet(before))
	t.Logf("a look that finds nothing takes %d call: %d in a quiet hour with looks each minute, %d with hooks and looks each 10 minutes", each, 60*each, 6*each)

	before = gitea.Traffic()
	h.must(p.Merge(t.Context(), h.ben, forge.Squash))
	h.status(p.MergeCommit, "sluice/shop", "success", "live in")
	h.comment(p, "merged", "Live in")
	merge := h.quiet(before)
	t.Logf("a merge took %d calls:\n%s", len(merge), general(merge))
}

// general counts requests whatever commit or number they are about.
func general(t forge.Traffic) forge.Traffic {
	t = slices.Clone(t)
	for n := range t {
		segments := strings.Split(t[n].Path, "/")
		for at, s := range segments {
			if len(s) == 40 || at > 0 && s != "" && strings.Trim(s, "0123456789") == "" {
				segments[at] = "…"
			}
		}
		t[n].Path = strings.Join(segments, "/")
	}
	return t
}
