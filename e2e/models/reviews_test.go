package models_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// town is a house whose repository is on a forge, with the people who work there.
type town struct {
	*house
	forge         *forge.Server
	origin        *forge.Repo
	ana, ben, cay *forge.User // who may write
	eve           *forge.User // who may not
}

// newTown puts a house on a forge, and starts the agent.
func newTown(t *testing.T, h *house) *town {
	t.Helper()
	ctx := t.Context()
	server, err := forge.Start(ctx, forge.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &town{house: h, forge: server}
	person := func(name string) *forge.User {
		u, err := server.CreateUser(ctx, name)
		w.must(err)
		return u
	}
	bot := person("sluice-bot")
	w.ana, w.ben, w.cay, w.eve = person("ana"), person("ben"), person("cay"), person("eve")
	w.must(server.CreateOrganisation(ctx, w.ana, "ml"))
	w.origin, err = server.CreateRepo(ctx, w.ana, forge.RepoSpec{Organisation: "ml", Name: "platform", Files: h.files})
	w.must(err)
	for _, u := range []*forge.User{bot, w.ben, w.cay} {
		w.must(w.origin.AddCollaborator(ctx, u, "write"))
	}
	w.must(server.CreateTeam(ctx, w.ana, "ml", "leads", "write", w.ben, bot))
	token, err := bot.Token(ctx, "read:user", "read:repository", "read:organization")
	w.must(err)
	h.Create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "forge"}, StringData: map[string]string{"token": token}})
	h.Create(&v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "platform"},
		Spec: v1alpha1.RepositorySpec{
			URL: w.origin.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour},
			PullRequests: &v1alpha1.PullRequests{Provider: v1alpha1.Gitea, SecretRef: meta.LocalObjectReference{Name: "forge"}},
		},
	})
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	h.StartAgent("--allow-loopback-checks")
	return w
}

func (w *town) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// write pushes the files to a branch, in somebody's name.
func (w *town) write(as *forge.User, branch, message string) {
	w.T.Helper()
	_, err := w.origin.Push(context.Background(), as, gitserver.Change{Branch: branch, Message: message, Files: w.files})
	w.must(err)
}

// open proposes a version for production, in the name of ana.
func (w *town) open(version string) *forge.Pull {
	w.T.Helper()
	w.set("production", version)
	w.write(w.ana, version, "fraud: "+version+" to production")
	p, err := w.origin.Open(context.Background(), w.ana, forge.PullSpec{Head: version, Title: "fraud: " + version + " to production"})
	w.must(err)
	return p
}

func (w *town) approve(p *forge.Pull, by ...*forge.User) {
	w.T.Helper()
	for _, u := range by {
		_, err := p.Review(context.Background(), u, forge.Approve, "Fine.")
		w.must(err)
	}
}

// accept merges a pull request, and has the agent look.
func (w *town) accept(p *forge.Pull, method forge.Method) {
	w.T.Helper()
	w.must(p.Merge(context.Background(), w.ana, method))
	w.Ask("platform")
}

// A version waits for reviews of the pull request that brought it: of what was merged, by people who may
// write and did not open it, however it was merged.
func TestApprovalByReviews(t *testing.T) {
	h := routedHouse(t, "  - name: production\n    namespace: fraud\n    version: v7\n    rollout: {drain: 1s}\n", "v8", "v9", "v10", "v11", "v12")
	w := newTown(t, h)
	h.serves("production", "v7") // before there is a policy
	h.policy("reviewed", v1alpha1.PromotionPolicySpec{Gates: []v1alpha1.Gate{{Name: "two-people", Approval: &v1alpha1.ApprovalGate{Minimum: 2, Reviews: &v1alpha1.ReviewApproval{}}}}})
	waits := func(version string, words ...string) {
		t.Helper()
		s := h.await("production", version+" waits for reviews", func(s v1alpha1.StageStatus) bool {
			for _, word := range words {
				if !strings.Contains(s.Message, word) {
					return false
				}
			}
			return s.Candidate == version
		})
		t.Log(s.Message)
	}

	// Of the three who approve, one has seen something else, and one may not write.
	p := w.open("v8")
	w.approve(p, w.ben)
	w.files["models/note.txt"] = "and something else\n"
	w.write(w.ana, "v8", "fraud: and something else")
	w.approve(p, w.cay, w.eve)
	w.accept(p, forge.Squash)
	waits("v8", "two-people", "pull request 1, which brought v8, has 1 approval (cay) of the 2 needed", "ben's is of an older commit", "eve may not write to the repository")

	// What comes after it approves nothing of it, though it changes what the Overlay reads.
	h.edit("image: registry.example.com/scorer:1", "image: registry.example.com/scorer:2")
	w.write(w.ana, "retune", "fraud: another image")
	retune, err := w.origin.Open(t.Context(), w.ana, forge.PullSpec{Head: "retune", Title: "fraud: another image"})
	w.must(err)
	w.approve(retune, w.ben, w.cay)
	w.accept(retune, forge.Merge)
	h.Eventually("it is asked for anew", func() (bool, string) { return len(h.promotions("production")) == 3, h.trail("production") })
	waits("v8", "pull request 1, which brought v8, has 1 approval (cay) of the 2 needed")

	for n, method := range []forge.Method{forge.Merge, forge.Squash, forge.Rebase} {
		version := []string{"v9", "v10", "v11"}[n]
		p := w.open(version)
		w.approve(p, w.ben, w.cay)
		w.accept(p, method)
		h.serves("production", version)
		if f := h.promotions("production")[0].Status.Findings; len(f) != 1 || f[0].Result != v1alpha1.FindingPassed || !strings.Contains(f[0].Message, "is approved by ben, cay") {
			t.Errorf("by %s: %+v", method, f)
		}
	}

	// Nobody has reviewed what was pushed.
	h.set("production", "v12")
	w.write(w.ana, "main", "fraud: v12 to production")
	h.Ask("platform")
	waits("v12", "no pull request that was merged into main has brought it")

	// A team of the Model's own counts besides the policy.
	h.edit("    rollout:", "    gates: [{name: a-lead, approval: {reviews: {teams: [ml/leads]}}}]\n    rollout:")
	h.set("production", "v8")
	w.write(w.ana, "v8-again", "fraud: v8 to production, with a lead")
	again, err := w.origin.Open(t.Context(), w.ana, forge.PullSpec{Head: "v8-again", Title: "fraud: v8 to production"})
	w.must(err)
	w.approve(again, w.ben, w.cay)
	w.accept(again, forge.Merge)
	h.serves("production", "v8")
	var lead string
	for _, f := range h.promotions("production")[0].Status.Findings {
		if f.Gate == "a-lead" {
			lead = f.Message
		}
	}
	if !strings.Contains(lead, "is approved by ben") || strings.Contains(lead, "cay") {
		t.Errorf("the lead: %q", lead)
	}
	h.CheckSecrets()
}

// What is proposed is judged until it is accepted: the findings follow the policies, and what the stage
// serves that it comes from.
func TestProposalIsJudged(t *testing.T) {
	h := routedHouse(t, `  - name: staging
    namespace: fraud-staging
    version: v7
    rollout: {drain: 1s}
  - name: production
    namespace: fraud
    version: v7
    promoteFrom: staging
    gates:
    - {name: soaked, soak: {stage: staging, duration: 1s}}
    rollout: {drain: 1s}
`)
	h.register("v8", `auc: "0.85"`)
	h.begin()
	h.serves("production", "v7")
	h.set("staging", "v8")
	h.push("fraud: v8 to staging")
	says := func(what string, is func([]v1alpha1.Finding) bool) v1alpha1.StageStatus {
		t.Helper()
		return h.await("production", what, func(s v1alpha1.StageStatus) bool {
			return s.Proposed == "v8" && s.Proposal != nil && s.Proposal.Commit != "" && is(s.Proposal.Findings)
		})
	}
	found := func(findings []v1alpha1.Finding, gate string, result v1alpha1.FindingResult, words string) bool {
		for _, f := range findings {
			if f.Gate == gate {
				return f.Result == result && strings.Contains(f.Message, words)
			}
		}
		return false
	}
	proposed := says("v8 is proposed, with what the gates say", func(f []v1alpha1.Finding) bool {
		return len(f) == 1 && found(f, "soaked", v1alpha1.FindingPassed, "v8 has served in staging")
	})
	h.Eventually("a second has gone by", func() (bool, string) { return time.Since(h.stage("staging").Since.Time) > 3*time.Second, "not yet" })
	h.look() // that alone is not written
	if now := h.stage("production"); now.Proposal.Findings[0] != proposed.Proposal.Findings[0] {
		t.Errorf("the findings were %+v, and are %+v", proposed.Proposal.Findings, now.Proposal.Findings)
	}

	policy := &v1alpha1.PromotionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "good-enough"}, Spec: v1alpha1.PromotionPolicySpec{Stages: []string{"production"}, Gates: []v1alpha1.Gate{{Name: "auc", CEL: "candidate.metrics.auc >= 0.9"}}}}
	h.Create(policy)
	s := says("the policy stands against it", func(f []v1alpha1.Finding) bool {
		return len(f) == 2 && found(f, "auc", v1alpha1.FindingFailed, "0.85") && f[0].Policy == "good-enough" && found(f, "soaked", v1alpha1.FindingPassed, "")
	})
	if s.Proposal.Commit != proposed.Proposal.Commit || s.Proposal.Branch != proposed.Proposal.Branch {
		t.Errorf("it is proposed again: %+v", s.Proposal)
	}
	h.Update(policy, func() { policy.Spec.Gates[0].CEL = "candidate.metrics.auc >= 0.8" })
	says("the policy is met", func(f []v1alpha1.Finding) bool { return found(f, "auc", v1alpha1.FindingPassed, "0.8") })

	// It goes back where it comes from.
	h.set("staging", "v7")
	h.push("fraud: v7 to staging")
	says("it serves there no more", func(f []v1alpha1.Finding) bool {
		return found(f, "order", v1alpha1.FindingFailed, "v8 does not serve in staging any more: v7 does") && found(f, "soaked", v1alpha1.FindingWaiting, "v7 does")
	})
	h.set("staging", "v8")
	h.push("fraud: v8 to staging once more")
	says("it serves there again", func(f []v1alpha1.Finding) bool { return len(f) == 2 && found(f, "soaked", v1alpha1.FindingPassed, "") })

	// It is withdrawn, and comes back.
	withdrawn := h.files["models/versions/kustomization.yaml"]
	h.files["models/versions/kustomization.yaml"] = strings.Replace(withdrawn, "- fraud-v8.yaml\n", "", 1)
	h.push("fraud: no v8 any more")
	says("there is no such version", func(f []v1alpha1.Finding) bool {
		return len(f) == 1 && found(f, "version", v1alpha1.FindingFailed, "there is no ModelVersion v8")
	})
	h.files["models/versions/kustomization.yaml"] = withdrawn
	h.push("fraud: v8 is back")
	says("it is there again", func(f []v1alpha1.Finding) bool { return len(f) == 2 && found(f, "soaked", v1alpha1.FindingPassed, "") })

	// Accepted, it is no proposal any more.
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	if s := h.stage("production"); s.Proposed != "" || s.Proposal != nil {
		t.Errorf("production: %+v", s)
	}
}
