package pulls_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// evil is markup of all kinds.
const evil = `<script>alert(1)</script><img src=x onerror=alert(2)> ![](http://evil.example/x.png) [y](http://evil.example/) **loud** $(reboot) #1`

// evilFile has a name that would be markup.
const evilFile = "overlays/shop/notes/@root <img src=x> `rm`.txt"

const vault = `apiVersion: v1
kind: Secret
metadata: {name: vault}
stringData: {pin: before}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: vault}
data:
  DB_PASSWORD: before
  app.conf: |
    user = shop
    password = before
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {hello: before}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: vault}
spec:
  selector: {matchLabels: {app: vault}}
  template:
    metadata: {labels: {app: vault}}
    spec:
      containers:
      - name: vault
        image: registry.example.com/vault:1
        args: [--db-password, before]
        env: [{name: DB_PASSWORD, value: before}]
`

const replicaPolicy = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few-in-git}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  validations:
  - {expression: "object.spec.replicas <= 5", message: "at most 5 replicas, says Git"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few-in-git}
spec:
  policyName: few-in-git
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: platform}}}
`

const plainModel = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
  labels: {tier: high}
spec:
  serving:
    deployment:
      port: 8080
      template: {template: {spec: {containers: [{name: server, image: "registry.example.com/scorer:1"}]}}}
  stages:
  - {name: production, namespace: platform, version: v7}
`

func plainVersion(version string) string {
	return `apiVersion: sluice.dev/v1alpha1
kind: ModelVersion
metadata: {name: fraud-` + version + `}
spec:
  model: fraud
  version: ` + version + `
  artifact: {uri: "s3://models/fraud/` + version + `", digest: "sha256:` + strings.Repeat("0", 64) + `"}
  metrics: {auc: "0.94"}
`
}

// What strangers write is shown as the text that it is, and what they do is judged by what was there
// before them.
func TestStrangers(t *testing.T) {
	content := platform()
	maps.Copy(content, files{
		evilFile:                             "a\n",
		"overlays/vault/kustomization.yaml":  "resources: [vault.yaml]\n",
		"overlays/vault/vault.yaml":          vault,
		"overlays/policy/kustomization.yaml": "resources: [policy.yaml]\n",
		"overlays/policy/policy.yaml":        replicaPolicy,
		"overlays/models/kustomization.yaml": "resources: [model.yaml, versions.yaml]\n",
		"overlays/models/model.yaml":         plainModel,
		"overlays/models/versions.yaml":      plainVersion("v7") + "---\n" + plainVersion("v8"),
	})
	h := newHouse(t, cluster.Options{Nodes: 1}, content)
	h.Create(h.secret("variables", map[string]string{"GREETING": rig.Canary}))
	h.Create(&v1alpha1.PromotionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "high-tier"}, Spec: v1alpha1.PromotionPolicySpec{
		Models: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "high"}},
		Gates:  []v1alpha1.Gate{{Name: "excellent", CEL: "candidate.metrics.auc >= 0.99"}},
	}})
	h.begin()
	h.Overlay("vault", "overlays/vault", func(o *v1alpha1.Overlay) {
		o.Spec.TargetNamespace = h.Namespace
		o.Spec.Substitute = &v1alpha1.Substitute{
			From:    []v1alpha1.SubstituteReference{{Kind: "Secret", Name: "variables"}},
			Targets: []kustomize.Selector{{Kind: "ConfigMap", Name: "greeting"}},
		}
	})
	h.Overlay("policy", "overlays/policy")
	h.Overlay("models", "overlays/models", func(o *v1alpha1.Overlay) { o.Spec.TargetNamespace = h.Namespace })
	h.follow("shop", "other")
	h.WaitReady("vault")
	h.WaitReady("policy")
	h.Eventually("the Model is there", func() (bool, string) {
		return h.Get("sluice.dev/v1alpha1", "Model", h.Namespace, "fraud") != nil, "not yet"
	})
	for _, part := range []struct {
		name string
		run  func(*testing.T, *house)
	}{
		{"Conflict", conflict}, {"Nothing", changesNothing}, {"Many", changesMuch}, {"Broken", doesNotRender}, {"All", deletesAll},
		{"Secrets", hasSecrets}, {"Policy", changesItsPolicy}, {"Label", dropsItsLabel}, {"Fork", fromFork}, {"Words", usesWords},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, h.in(t)) })
	}
	h.CheckSecrets()
	h.checkForge()
}

// checkForge fails the test if the Canary is in anything that the agent has written on the forge.
func (h *house) checkForge() {
	h.T.Helper()
	pulls, err := h.repo.Pulls(h.T.Context(), "all")
	h.must(err)
	for _, p := range pulls {
		comments, err := p.Comments(h.T.Context())
		h.must(err)
		var said []string
		for _, c := range comments {
			said = append(said, c.Body)
		}
		for _, commit := range []string{p.Head.SHA, p.MergeCommit} {
			if commit == "" {
				continue
			}
			statuses, err := h.repo.Statuses(h.T.Context(), commit)
			h.must(err)
			for _, s := range statuses {
				said = append(said, s.Description)
			}
		}
		text := strings.Join(append(said, p.Title, p.Body), "\n")
		if strings.Contains(text, rig.Canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(rig.Canary))) {
			h.T.Errorf("a secret is on pull request %d:\n%s", p.Number, text)
		}
	}
}

// rendered is the HTML that the forge makes of a text.
func (h *house) rendered(text string) string {
	h.T.Helper()
	token, err := h.ann.Token(h.T.Context(), "all")
	h.must(err)
	body, err := json.Marshal(map[string]any{"Text": text, "Mode": "comment", "Context": h.repo.FullName()})
	h.must(err)
	request, err := http.NewRequestWithContext(h.T.Context(), http.MethodPost, gitea.URL+"/api/v1/markdown", bytes.NewReader(body))
	h.must(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "token "+token)
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	defer response.Body.Close()
	html, err := io.ReadAll(response.Body)
	h.must(err)
	if response.StatusCode != http.StatusOK {
		h.T.Fatalf("the forge does not render: %s: %s", response.Status, html)
	}
	return string(html)
}

// tag finds what begins an element of HTML.
var tag = regexp.MustCompile(`<([a-z][a-z0-9]*)[^>]*>`)

// harmless are the elements of what the agent writes: no links, pictures or scripts.
var harmless = []string{"h3", "h4", "p", "ul", "li", "code", "pre", "span", "strong", "details", "summary", "div", "table", "thead", "tbody", "tr", "th", "td", "br"}

// plainly fails the test if a comment has more on the forge's page than the agent has put there.
func (h *house) plainly(comment string) {
	h.T.Helper()
	html := h.rendered(comment)
	if strings.Contains(comment, "<script") && !strings.Contains(html, "&lt;script") {
		h.T.Errorf("the forge leaves out what is to be seen:\n%s\n\n%s", comment, html)
	}
	for _, found := range tag.FindAllStringSubmatch(html, -1) {
		if !slices.Contains(harmless, found[1]) || strings.Contains(found[0], " on") {
			h.T.Errorf("there is %s in the comment:\n%s\n\n%s", found[0], comment, html)
			return
		}
	}
}

func usesWords(t *testing.T, h *house) {
	mention := "@" + h.ben.Name
	if html := h.rendered(mention + " " + evil); !contains(html, "/"+h.ben.Name+`"`, "<img", "<strong", "evil.example/x.png") {
		t.Fatalf("the forge makes nothing of a text that is full of it, so that it proves nothing if it makes nothing of ours:\n%s", html)
	}
	branch := "tune/$(reboot)-" + mention + "-<b>-`rm`"
	annotated := strings.Replace(shop("3", "1"), "  name: shop\n", fmt.Sprintf("  name: shop\n  annotations:\n    note: %q\n    %q: %q\n",
		"```\n</code></pre></details>"+evil+" "+mention+"\n\n"+evil, "a.example/x", mention), 1)
	head := h.change(h.ann, gitserver.Change{
		Branch: branch, Message: evil + "\n\n" + mention + "\nSluice-Version: v9\n" + evil + "\n", Author: evilAuthor, Files: files{"overlays/shop/deployment.yaml": annotated},
	})
	p := h.open(h.ann, branch, evil+" "+mention)
	h.status(head, "sluice/plan", "success", "1 overlay, 1 object changes")
	comment := h.comment(p, "plan", "spec.replicas", "alert(1)")
	h.plainly(comment)

	// What cannot be rendered is quoted in the error.
	head = h.change(h.ann, gitserver.Change{Branch: branch, Message: evil, Files: files{
		"overlays/shop/kustomization.yaml": fmt.Sprintf("resources: [%q]\n", mention+" "+strings.ReplaceAll(evil, "/", "")+" ```.yaml")}})
	status := h.status(head, "sluice/plan", "failure")
	if strings.ContainsAny(status.Description, "\r\n") {
		t.Errorf("the status is of many lines: %q", status.Description)
	}
	comment = h.comment(p, "plan", head[:7], "alert")
	h.plainly(comment)

	// So is it in what is said after the merge.
	h.must(p.Merge(t.Context(), h.ben, forge.Merge))
	h.status(p.MergeCommit, "sluice/shop", "failure")
	h.plainly(h.comment(p, "merged", "Not live", "alert"))
	h.push(h.owner, "main", files{"overlays/shop/kustomization.yaml": "resources: [deployment.yaml]\n"})
	h.status(p.MergeCommit, "sluice/shop", "success")
	h.comment(p, "merged", "Live in")
}

const evilAuthor = "@root $(reboot) **x** <root@example.com>"

func conflict(t *testing.T, h *house) {
	p := h.propose("conflict", files{evilFile: "b\n"})
	h.status(p.Head.SHA, "sluice/plan", "success", "nothing changes")
	h.push(h.owner, "main", files{evilFile: "c\n"})
	h.status(p.Head.SHA, "sluice/plan", "failure", "overlays/shop/notes/@root")
	h.plainly(h.comment(p, "plan", "merge the base branch", "overlays/shop/notes/@root"))
	if r := h.record(p, "says so", func(r v1alpha1.PullRequestStatus) bool { return r.State == v1alpha1.PullRequestFailed }); !contains(r.Summary, "both sides") {
		t.Errorf("the record: %+v", r)
	}
	// Whoever does as it says is through.
	settled := h.change(h.ann, gitserver.Change{Branch: "settled", Files: files{evilFile: "both\n"}})
	h.must(h.repo.SetBranch(h.ann, "conflict", settled))
	h.status(settled, "sluice/plan", "success", "nothing changes")
	h.close(p)
	h.comment(p, "plan", "Closed without a merge")
}

func changesNothing(t *testing.T, h *house) {
	many := files{}
	for n := range 5000 {
		many[fmt.Sprintf("docs/many/%d/%d.md", n%70, n)] = fmt.Sprintf("%d\n", n)
	}
	renders := h.Metric("sluice_render_seconds")
	p := h.propose("many-files", many)
	h.status(p.Head.SHA, "sluice/plan", "success", "nothing changes")
	if comment := h.comment(p, "plan", "Nothing changes"); len(comment) > 1000 {
		t.Errorf("the comment has %d bytes", len(comment))
	}
	if n := h.Metric("sluice_render_seconds") - renders; n != 0 {
		t.Errorf("it took %v renders", n)
	}
	h.close(p)
}

// manyObjects are more than there is room for in a comment. More of them take Kustomize minutes.
const manyObjects = 2000

func changesMuch(t *testing.T, h *house) {
	var b strings.Builder
	for n := range manyObjects {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: many-%d}\ndata: {a: %q}\n---\n", n, strings.Repeat("x", 100))
	}
	p := h.propose("many-objects", files{"overlays/other/many.yaml": b.String(), "overlays/other/kustomization.yaml": "resources: [settings.yaml, many.yaml]\n"})
	h.status(p.Head.SHA, "sluice/plan", "success", fmt.Sprintf("1 overlay, %d objects change", manyObjects))
	if comment := h.comment(p, "plan", fmt.Sprintf("%d to create", manyObjects), "Left out", fmt.Sprintf("sluice plan --pr %d", p.Number)); len(comment) > 65536 {
		t.Errorf("the comment has %d bytes", len(comment))
	}
	h.close(p)
}

func doesNotRender(t *testing.T, h *house) {
	p := h.propose("broken", files{"overlays/shop/deployment.yaml": "# the shop\n" + strings.Replace(shop("2", "1"), "      containers:\n", "      containers: [\n", 1)})
	h.status(p.Head.SHA, "sluice/plan", "failure", "overlays/shop/deployment.yaml:")
	h.plainly(h.comment(p, "plan", "1 problem to put right", "overlays/shop/deployment.yaml:", "does not render"))
	h.record(p, "says so", func(r v1alpha1.PullRequestStatus) bool { return r.State == v1alpha1.PullRequestFailed })
	h.close(p)
}

func deletesAll(t *testing.T, h *house) {
	before := h.Calls()
	h.change(h.ann, gitserver.Change{Branch: "delete-all", Delete: []string{"overlays"}, Files: files{"docs/README.md": "Nothing is left.\n"}})
	p := h.open(h.ann, "delete-all", "Away with it")
	h.status(p.Head.SHA, "sluice/plan", "failure", "5 problems")
	h.comment(p, "plan", "5 problems to put right", "overlays/shop", "overlays/policy")
	written := h.Calls().Since(before).By("sluice/").Writes().Without("repositories.sluice.dev", "repositories.sluice.dev/status", "events", "events.events.k8s.io")
	if len(written) > 0 {
		t.Errorf("the agent has written to the cluster: %v", written)
	}
	h.close(p)
}

func hasSecrets(t *testing.T, h *house) {
	secret := strings.ReplaceAll(vault, "before", rig.Canary)
	secret = strings.Replace(secret, "{hello: "+rig.Canary+"}", `{hello: "hello ${GREETING}"}`, 1)
	p := h.propose("secrets", files{"overlays/vault/vault.yaml": secret})
	h.status(p.Head.SHA, "sluice/plan", "success", "1 overlay, 4 objects change")
	h.comment(p, "plan", "pin", "DB_PASSWORD", "app.conf", "hello", "args", "(a value of a Secret)", "***")
	h.checkForge()

	// What is refused is quoted by the API server.
	for n, broken := range []string{"stringData: " + rig.Canary, "data: {pin: " + rig.Canary + "}", "stringData: {pin: [" + rig.Canary + "]}", "stringData: {pin: " + rig.Canary + ": " + rig.Canary + "}", "type: " + rig.Canary} {
		branch := fmt.Sprintf("secrets-%d", n)
		p := h.propose(branch, files{"overlays/vault/vault.yaml": strings.Replace(vault, "stringData: {pin: before}", broken, 1)})
		h.status(p.Head.SHA, "sluice/plan", "failure")
		h.comment(p, "plan", p.Head.SHA[:7], "overlays/vault/vault.yaml")
		h.checkForge()
		h.close(p)
	}
	h.must(p.Merge(t.Context(), h.ben, forge.Squash))
	h.status(p.MergeCommit, "sluice/vault", "success", "live in")
	h.comment(p, "merged", "Live in")
	h.Eventually("the greeting is live", func() (bool, string) {
		o := h.Get("v1", "ConfigMap", h.Namespace, "greeting")
		data, _ := o.Object["data"].(map[string]any)
		return data["hello"] == "hello "+rig.Canary, "not yet"
	})
	h.checkForge()
	h.CheckSecrets()
}

func changesItsPolicy(t *testing.T, h *house) {
	p := h.propose("relax", files{
		"overlays/policy/policy.yaml":   strings.Replace(replicaPolicy, "<= 5", "<= 50", 1),
		"overlays/shop/deployment.yaml": "# the shop\n" + shop("9", "1"),
	})
	h.status(p.Head.SHA, "sluice/plan", "failure", "overlays/shop/deployment.yaml:2: at most 5 replicas, says Git")
	h.comment(p, "plan", "few-in-git", "at most 5 replicas, says Git", "Overlay `policy`", "validations")
	h.close(p)
}

func dropsItsLabel(t *testing.T, h *house) {
	p := h.propose("drop", files{"overlays/models/model.yaml": strings.NewReplacer("  labels: {tier: high}\n", "", "version: v7}", "version: v8}").Replace(plainModel)})
	h.status(p.Head.SHA, "sluice/plan", "success", "1 model promotes", "1 gate fails")
	h.comment(p, "plan", "excellent", "high-tier", "0.99")
	h.close(p)
}

func fromFork(t *testing.T, h *house) {
	eve := h.user("eve-of-forks")
	h.must(h.repo.AddCollaborator(t.Context(), eve, "read"))
	fork, err := h.repo.Fork(t.Context(), eve)
	h.must(err)
	head, err := fork.Push(t.Context(), eve, gitserver.Change{Branch: "tune", Files: files{"overlays/shop/deployment.yaml": "# the shop\n" + shop("4", "1")}})
	h.must(err)
	before := gitea.Traffic()
	p, err := h.repo.Open(t.Context(), eve, forge.PullSpec{Head: eve.Name + ":tune", Title: "From a fork"})
	h.must(err)
	h.record(p, "is ignored", func(r v1alpha1.PullRequestStatus) bool {
		return r.State == v1alpha1.PullRequestIgnored && r.Head == head && contains(r.Summary, "spec.pullRequests.forks")
	})
	if posted := writes(h.quiet(before)); len(posted) > 0 {
		t.Errorf("the agent has written on the forge:\n%s", posted)
	}
	if comments, err := p.Comments(t.Context()); err != nil || len(comments) > 0 {
		t.Errorf("there are comments: %+v %v", comments, err)
	}

	repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "platform"}}
	h.Update(repo, func() { repo.Spec.PullRequests.Forks = true })
	h.status(head, "sluice/plan", "success", "1 overlay, 1 object changes")
	h.comment(p, "plan", "spec.replicas", head[:7])
	h.close(p)
}
