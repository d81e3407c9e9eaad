package models_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Commits come while a canary is under way: what it promotes is reverted, or something else is
// asked for. The last one counts.
func TestCommitsOvertake(t *testing.T) {
	h := routedHouse(t, strings.ReplaceAll(stepwise, "hold: 2s", "hold: 10m"), "v8", "v9", "v10") // no canary comes to its end
	h.begin()
	h.serves("production", "v7")
	r := h.watch()

	// The commit is reverted.
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.has("v8", 10)
	h.set("production", "v7")
	h.push("Revert \"fraud: v8 to production\"")
	h.serves("production", "v7")
	h.alone("v7")
	h.nothingLeft("v8")
	if got := h.way(r, "production", "v8"); got != "New, Verifying, Gated, Preparing, Canary 10, Superseded" {
		t.Errorf("the Promotion of v8 went %s", got)
	}
	if len(r.of("production", "v7")) != 1 {
		t.Errorf("v7, which has served all the time, was promoted again: %v", r.of("production", "v7"))
	}

	// Another commit comes right after one.
	h.set("production", "v9")
	h.push("fraud: v9 to production")
	h.Eventually("v9 is under way", func() (bool, string) { return len(r.of("production", "v9")) > 0, "not yet" })
	h.set("production", "v10")
	h.push("fraud: v10 to production")
	h.has("v10", 10)
	if got := h.way(r, "production", "v9"); !strings.HasSuffix(got, ", Superseded") || strings.Contains(got, "Canary 50") {
		t.Errorf("the Promotion of v9 went %s", got)
	}
	h.nothingLeft("v9")

	// Two come at once.
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.set("production", "v9")
	h.push("fraud: v9 to production")
	h.has("v9", 10)
	h.nothingLeft("v8", "v10")
	active := 0
	for _, p := range h.promotions("production") {
		if !p.Status.Phase.Ended() {
			active++
		}
	}
	if active != 1 || h.promotions("production")[0].Spec.Version != "v9" {
		t.Errorf("%d Promotions are under way: %s", active, h.trail("production"))
	}
	if s := h.stage("production"); s.Version != "v7" {
		t.Errorf("production: %+v", s)
	}
}

// A version that fails keeps its traffic where onFailure is Hold, until a commit says what is to
// be. And a version that served before goes through the steps again where canaryOnReturn is set.
func TestHoldAndReturn(t *testing.T) {
	metrics := unscraped(t, "")
	h := routedHouse(t, stepwise+analysed(metrics.URL, "vector(1)", 0)+"      onFailure: Hold\n      canaryOnReturn: true\n", "v8")
	h.begin()
	h.serves("production", "v7")
	r, shares := h.watch(), h.shares("fraud")

	h.set("production", "v8")
	h.push("fraud: v8 to production")
	s := h.await("production", "v8 is held", func(s v1alpha1.StageStatus) bool { return s.Phase == v1alpha1.StageHeld })
	if s.Version != "v7" || s.Candidate != "v8" || s.Traffic != 10 || !strings.Contains(s.Message, "onFailure is Hold") {
		t.Errorf("production: %+v", s)
	}
	h.look()
	if now := h.route(); now != "fraud-v7=90 fraud-v8=10" {
		t.Errorf("the traffic is divided %s", now)
	}
	if heads := h.git("for-each-ref", "refs/heads/sluice"); heads != "" {
		t.Errorf("nothing was turned back, and a revert is proposed: %s", heads)
	}
	if got := h.way(r, "production", "v8"); got != "New, Verifying, Gated, Preparing, Canary 10, Failed 10" {
		t.Errorf("the Promotion of v8 went %s", got)
	}
	h.set("production", "v7")
	h.push("fraud: back to v7")
	h.serves("production", "v7")
	h.alone("v7")
	h.nothingLeft("v8")

	// With a better query, v8 comes to serve, and v7 goes back through all steps.
	h.edit("vector(1)", "vector(0)")
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	before := len(shares.list())
	h.set("production", "v7")
	h.push("fraud: back to v7, step by step")
	h.serves("production", "v7")
	h.Eventually("v7 has everything", func() (bool, string) {
		had := shares.list()
		return had[len(had)-1] == "fraud-v7=100", had[len(had)-1]
	})
	if had := percents(shares.list()[before:], "v7"); !slices.Equal(slices.Compact(had), []int{10, 50, 100}) {
		t.Errorf("the traffic of v7 went %q", shares.list()[before:])
	}
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Failed, v8 Succeeded, v7 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}
}

// staged are two stages, the first of which has a canary.
const staged = `  - name: staging
    namespace: fraud-staging
    version: v7
    rollout:
      drain: 1s
      canary: [{traffic: 10, hold: 3s}]
  - name: production
    namespace: fraud
    version: v7
    rollout: {drain: 1s}
`

// One commit moves two stages: production waits until the version serves in staging. One that is
// turned back there does not come to production. Going back, production does not wait.
func TestStagesKeepTheirOrder(t *testing.T) {
	metrics := unscraped(t, "")
	h := routedHouse(t, staged, "v8", "v9")
	h.begin()
	h.serves("staging", "v7")
	h.serves("production", "v7")
	r := h.watch()
	h.set("staging", "v8")
	h.set("production", "v8")
	h.push("fraud: v8 everywhere")
	h.await("production", "it waits for staging", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "on its way in staging") })
	h.serves("production", "v8")
	h.serves("staging", "v8")
	h.whole(r)
	served := false
	for _, s := range r.stands {
		served = served || s.stage == "staging" && s.version == "v8" && s.phase == v1alpha1.PromotionSucceeded
		if s.stage == "production" && s.version == "v8" && s.phase == v1alpha1.PromotionPreparing && !served {
			t.Error("production has overtaken staging")
		}
	}
	if !served {
		t.Error("v8 did not come to staging: the test is broken")
	}

	h.edit("canary: [{traffic: 10, hold: 3s}]\n", "canary: [{traffic: 10, hold: 3s}]\n"+analysed(metrics.URL, "vector(1)", 0))
	h.set("staging", "v9")
	h.set("production", "v9")
	h.push("fraud: v9 everywhere")
	h.await("staging", "v9 is turned back", func(s v1alpha1.StageStatus) bool { return s.Phase == v1alpha1.StageHeld })
	s := h.await("production", "it says so", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "is held in staging") })
	h.look()
	if s.Version != "v8" || h.stage("production").Version != "v8" || h.Get("apps/v1", "Deployment", "fraud", "fraud-v9") != nil {
		t.Errorf("production: %+v", h.stage("production"))
	}

	// Back to what served before, nobody waits for another stage.
	h.edit("hold: 3s}]\n", "hold: 10m}]\n      canaryOnReturn: true\n")
	h.edit("vector(1)", "vector(0)")
	h.set("staging", "v7")
	h.set("production", "v7")
	h.push("fraud: back to v7 everywhere")
	h.serves("production", "v7")
	if s := h.stage("staging"); s.Version != "v8" || s.Candidate != "v7" {
		t.Errorf("staging: %+v", s)
	}
}

// The namespace of a stage is not there yet: that stage waits, the other one does not, also for what
// it is to be rid of. When the namespace comes, the stage goes on.
func TestNamespaceComesLater(t *testing.T) {
	h := routedHouse(t, strings.Replace(staged, "namespace: fraud-staging", "namespace: later", 1), "v8", "v9")
	h.set("staging", "v9") // a version that is on its way in staging would have to wait
	h.begin()
	h.serves("production", "v7")
	s := h.await("staging", "it waits for its namespace", func(s v1alpha1.StageStatus) bool {
		return strings.Contains(s.Message, "later") && strings.Contains(strings.ToLower(s.Message), "namespace")
	})
	if s.Phase != v1alpha1.StagePromoting {
		t.Errorf("staging: %+v", s)
	}
	t.Log(s.Message)
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.serves("production", "v8")
	h.alone("v8")
	h.Eventually("v7 is gone from production", func() (bool, string) {
		return h.Get("apps/v1", "Deployment", "fraud", "fraud-v7") == nil, "it is there"
	})
	if s := h.stage("staging"); s.Version != "" || s.Phase != v1alpha1.StagePromoting {
		t.Errorf("staging: %+v", s)
	}
	h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}})
	h.serves("staging", "v9")
	if trail := h.trail("staging"); trail != "v9 Succeeded" {
		t.Errorf("the promotions of staging went: %s", trail)
	}

	// A stage that moves to a namespace which is not there serves where it did.
	h.edit("namespace: fraud\n", "namespace: nowhere\n")
	h.push("fraud: production moves")
	s = h.await("production", "it waits for its namespace", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "nowhere") })
	t.Log(s.Message)
	h.look()
	if h.Get("apps/v1", "Deployment", "fraud", "fraud-v8") == nil || h.Get("v1", "Service", "fraud", "fraud") == nil {
		t.Error("what serves production is gone, and nothing is there instead")
	}
}

// A Model that is suspended stays as it is, also in the middle of a canary, and goes on from there.
// When it leaves Git, what serves goes with it, and nothing is left on record.
func TestSuspendedAndDeleted(t *testing.T) {
	h := routedHouse(t, stepwise, "v8", "v9")
	h.begin()
	h.serves("production", "v7")
	suspended := func(what string) {
		t.Helper()
		h.Eventually("the Model is suspended", func() (bool, string) {
			m := h.model()
			return m.Spec.Suspend && m.Status.ObservedGeneration == m.Generation, what
		})
	}
	// In the middle of a canary.
	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.has("v8", 10)
	h.edit("spec:\n", "spec:\n  suspend: true\n")
	h.push("fraud: suspended")
	suspended("in a canary")
	at, route := h.promotions("production")[0].Status, h.route()
	h.Eventually("the step has lasted", func() (bool, string) { return time.Since(at.PhaseSince.Time) > held, "not yet" })
	h.look()
	if now := h.promotions("production")[0].Status; now.Phase != at.Phase || now.Step != at.Step || h.route() != route {
		t.Errorf("it was suspended at %s %d, %s, and is at %s %d, %s", at.Phase, at.Step, route, now.Phase, now.Step, h.route())
	}
	// Another version is not looked at either, and nobody corrects what is deleted.
	h.set("production", "v9")
	h.push("fraud: v9 to production, still suspended")
	suspended("with v9")
	h.delete(h.Get("v1", "Service", "fraud", "fraud"))
	h.look()
	if n := len(h.promotions("production")); n != 2 || h.Get("v1", "Service", "fraud", "fraud") != nil {
		t.Errorf("something moves: there are %d Promotions, and the Service %v", n, h.Get("v1", "Service", "fraud", "fraud"))
	}
	h.edit("  suspend: true\n", "")
	h.push("fraud: goes on")
	h.serves("production", "v9")
	h.nothingLeft("v7", "v8")
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 Superseded, v9 Succeeded" {
		t.Errorf("the promotions went: %s", trail)
	}

	h.files["models/kustomization.yaml"] = "resources: [versions]\n"
	h.push("no fraud any more")
	h.Eventually("the Model is gone with all that it had", func() (bool, string) {
		owned, inventory, promotions := h.owned(), h.inventory(), h.promotions("production")
		return h.model().Name == "" && len(owned)+len(inventory)+len(promotions) == 0, fmt.Sprintf("there are %v, on record %v, and %d Promotions", owned, inventory, len(promotions))
	})
}

// policy requires gates of Models.
func (h *house) policy(name string, spec v1alpha1.PromotionPolicySpec) {
	h.T.Helper()
	h.Create(&v1alpha1.PromotionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
}

// Policies require gates of the Models, namespaces and stages that they select. A Model cannot drop
// them, and those that do not select it are nothing to it.
func TestPolicies(t *testing.T) {
	h := routedHouse(t, staged)
	h.edit("  name: fraud\n", "  name: fraud\n  labels: {tier: gold}\n")
	h.register("v8", `auc: "0.85"`)
	h.register("v9", `auc: "0.95"`)
	in := func(namespace string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}
	}
	of := func(tier string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier}}
	}
	never := []v1alpha1.Gate{{Name: "never", CEL: "first"}}
	h.policy("good-enough", v1alpha1.PromotionPolicySpec{Models: of("gold"), Namespaces: in(h.Namespace), Stages: []string{"production"},
		Gates: []v1alpha1.Gate{{Name: "auc", CEL: "first || candidate.metrics.auc >= 0.9"}}})
	h.policy("other-models", v1alpha1.PromotionPolicySpec{Models: of("bronze"), Gates: never})
	h.policy("other-namespaces", v1alpha1.PromotionPolicySpec{Namespaces: in("elsewhere"), Gates: never})
	h.policy("other-stages", v1alpha1.PromotionPolicySpec{Stages: []string{"nightly"}, Gates: never})
	h.begin()
	h.serves("staging", "v7")
	h.serves("production", "v7")

	h.set("staging", "v8")
	h.set("production", "v8")
	h.push("fraud: v8 everywhere")
	h.serves("staging", "v8")
	s := h.await("production", "the policy is not met", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "0.85") })
	if s.Version != "v7" || !strings.Contains(s.Message, "auc") {
		t.Errorf("production: %+v", s)
	}
	p := h.newest("production", "it is gated", func(p v1alpha1.Promotion) bool { return p.Status.Phase == v1alpha1.PromotionGated })
	if len(p.Status.Findings) != 1 || p.Status.Findings[0].Policy != "good-enough" || p.Status.Findings[0].Result != v1alpha1.FindingFailed {
		t.Errorf("the findings are %+v", p.Status.Findings)
	}
	// A gate of the Model's own with the same name does not stand in for it.
	h.edit("    rollout: {drain: 1s}\n", "    gates: [{name: auc, cel: \"true\"}]\n    rollout: {drain: 1s}\n")
	h.push("fraud: a gate that lets everything pass")
	h.newest("production", "the policy holds it all the same", func(p v1alpha1.Promotion) bool {
		return p.Spec.Number > 2 && p.Status.Phase == v1alpha1.PromotionGated && len(p.Status.Findings) == 2 &&
			p.Status.Findings[0].Policy == "good-enough" && p.Status.Findings[0].Result == v1alpha1.FindingFailed
	})
	if s := h.stage("production"); s.Version != "v7" {
		t.Errorf("production: %+v", s)
	}
	h.set("staging", "v9")
	h.set("production", "v9")
	h.push("fraud: v9 everywhere")
	h.serves("production", "v9")
}

// A version waits for a commit that is signed by one of those whose keys the gate names: of the
// Model, or of a policy, whose keys are in the namespace of the agent.
func TestApproval(t *testing.T) {
	h := routedHouse(t, stepwise, "v8", "v9", "v10")
	ana, eve := newKey(t, "ana@example.com"), newKey(t, "eve@example.com")
	h.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sluice-system"}})
	for namespace, keys := range map[string][]string{h.Namespace: {ana, eve}, "sluice-system": {ana}} {
		public := ""
		for _, key := range keys {
			public += publicKey(t, key)
		}
		h.Create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "reviewers"}, StringData: map[string]string{"keys": public}})
	}
	h.edit("    rollout:\n", "    gates: [{name: reviewed, approval: {keysSecretRef: {name: reviewers}}}]\n    rollout:\n")
	h.repo = h.Repository("platform", h.files)
	signed := func(version, key string) {
		t.Helper()
		h.set("production", version)
		h.sign("fraud: "+version+" to production", key)
	}
	signed("v7", ana)
	h.Overlay("models", "models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	h.StartAgent("--allow-loopback-checks", "--namespace=sluice-system")
	h.serves("production", "v7")

	h.set("production", "v8")
	h.push("fraud: v8 to production, by nobody in particular")
	s := h.await("production", "it waits for a signature", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "not signed") })
	if s.Version != "v7" || !strings.Contains(s.Message, "reviewed") || h.Get("apps/v1", "Deployment", "fraud", "fraud-v8") != nil {
		t.Errorf("production: %+v", s)
	}
	t.Log(s.Message)
	signed("v9", eve)
	h.serves("production", "v9")

	// The policy takes the signature of one of them only.
	h.policy("reviewed", v1alpha1.PromotionPolicySpec{Gates: []v1alpha1.Gate{{Name: "by-ana", Approval: &v1alpha1.ApprovalGate{KeysSecretRef: &meta.LocalObjectReference{Name: "reviewers"}}}}})
	signed("v10", eve)
	s = h.await("production", "eve is not enough", func(s v1alpha1.StageStatus) bool { return strings.Contains(s.Message, "by-ana") })
	if s.Version != "v9" || h.Get("apps/v1", "Deployment", "fraud", "fraud-v10") != nil {
		t.Errorf("production: %+v", s)
	}
	t.Log(s.Message)
	signed("v8", ana)
	h.serves("production", "v8")
}

// newKey makes an SSH key and returns its file.
func newKey(t *testing.T, comment string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen, of the package openssh-client: %v\n%s", err, out)
	}
	return file
}

// publicKey is what others may know of a key.
func publicKey(t *testing.T, key string) string {
	t.Helper()
	line, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// sign commits the file of the Model with a signature, and has the agent look.
func (h *house) sign(message, key string) {
	h.T.Helper()
	h.signed(message, key)
	h.Ask("platform")
}

// signed commits the file of the Model with a signature, as a person does from a work tree.
func (h *house) signed(message, key string) {
	h.T.Helper()
	work := filepath.Join(h.T.(*testing.T).TempDir(), "work")
	run := func(arguments ...string) {
		h.T.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=Ana", "-c", "user.email=ana@example.com", "-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, arguments...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			h.T.Fatalf("git %v: %v\n%s", arguments, err, out)
		}
	}
	run("clone", "-q", "-b", "main", h.repo.Dir, work)
	if err := os.WriteFile(filepath.Join(work, "models", "model.yaml"), []byte(h.files["models/model.yaml"]), 0o600); err != nil {
		h.T.Fatal(err)
	}
	run("-C", work, "commit", "-q", "-S", "--allow-empty", "-a", "-m", message)
	run("-C", work, "push", "-q", "origin", "HEAD:main")
}
