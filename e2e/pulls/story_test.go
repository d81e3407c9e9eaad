package pulls_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shop is an Overlay with a Deployment.
func shop(replicas, image string) string {
	return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  replicas: ` + replicas + `
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - name: shop
        image: registry.example.com/shop:` + image + `
`
}

func platform() files {
	return files{
		"overlays/shop/kustomization.yaml":   "resources: [deployment.yaml]\n",
		"overlays/shop/deployment.yaml":      "# the shop\n" + shop("2", "1"),
		"overlays/other/kustomization.yaml":  "resources: [settings.yaml]\n",
		"overlays/other/settings.yaml":       "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: \"1\"}\n",
		"docs/README.md":                     "Read me.\n",
		"overlays/broken/kustomization.yaml": "resources: [missing.yaml]\n",
	}
}

// fewReplicas has the API server refuse more than five replicas in the namespace of a test.
func (h *house) fewReplicas() {
	h.T.Helper()
	fail := admissionv1.Fail
	name := "few-replicas-" + h.Namespace
	h.Create(&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "object.spec.replicas <= 5", Message: "at most 5 replicas: ask the platform team for more"}},
	}})
	h.Create(&admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": h.Namespace}}},
	}})
}

// A Deployment is tuned by pull request: the plan, the plan of a second push, a violation, the fix, a
// review, the merge, and what has become of it.
func TestTune(t *testing.T) {
	h := newHouse(t, cluster.Options{Nodes: 1}, platform())
	h.fewReplicas()
	h.begin()
	h.follow("shop", "other")

	h.push(h.ann, "tune", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("3", "1")})
	p := h.open(h.ann, "tune", "Three replicas")
	h.status(p.Head.SHA, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.comment(p, "plan", "spec.replicas", "Deployment")

	before := gitea.Traffic()
	second := h.push(h.ann, "tune", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("4", "2")})
	h.status(second, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.comment(p, "plan", "spec.replicas", "shop:2", second[:7])
	t.Logf("a second push took these calls:\n%s", calls(before))

	// While a plan takes long, the one before it is marked.
	h.misbehave(forge.Only(http.MethodGet, "/repos/*/*/commits", forge.Slow(8*time.Second)))
	third := h.push(h.ann, "tune", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("9", "2")})
	h.status(third, "sluice/plan", "pending", "the pull request has moved on")
	h.comment(p, "plan", "Out of date", third[:7])
	gitea.Misbehave(nil)
	h.status(third, "sluice/plan", "failure", "overlays/shop/deployment.yaml:2: at most 5 replicas")
	h.comment(p, "plan", "overlays/shop/deployment.yaml:2", "at most 5 replicas: ask the platform team for more", "few-replicas-"+h.Namespace)

	fourth := h.push(h.ann, "tune", files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("5", "2")})
	h.status(fourth, "sluice/plan", "success")
	if body := h.comment(p, "plan", fourth[:7]); strings.Contains(body, "at most 5 replicas") {
		t.Errorf("the violation is still in the comment:\n%s", body)
	}

	_, err := p.Review(t.Context(), h.ben, forge.Approve, "Fine.")
	h.must(err)
	before = gitea.Traffic()
	h.must(p.Merge(t.Context(), h.ben, forge.Squash))
	h.status(p.MergeCommit, "sluice/shop", "success", "live in")
	h.comment(p, "merged", "Live in")
	t.Logf("the merge took these calls:\n%s", calls(before))
	h.Eventually("nothing is left on record", func() (bool, string) {
		left := h.GetRepository("platform").Status.PullRequests
		return len(left) == 0, "there is something"
	})
	h.CheckSecrets()
}
