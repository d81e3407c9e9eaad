package sync_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Commits that cannot be applied. The Overlay "shop" follows the directory shop, which begins
// with one ConfigMap, "settings", and gets broken; then it is mended.
var badCommits = []struct {
	name   string
	broken gitserver.Change
	mended gitserver.Change
	reason string
	says   []string // file, object, and what to do
	edit   func(*v1alpha1.Overlay)
}{
	{
		name:   "invalid YAML",
		broken: gitserver.Change{Files: files{"shop/settings.yaml": "apiVersion: v1\nkind: ConfigMap\n  metadata: {name\n"}},
		mended: gitserver.Change{Files: files{"shop/settings.yaml": configMap("settings", "color: green")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/settings.yaml:", "not valid YAML"},
	},
	{
		name:   "an unknown field",
		broken: gitserver.Change{Files: files{"shop/web.yaml": strings.Replace(deployment("web", "", 1), "replicas:", "replica:", 1)}},
		mended: gitserver.Change{Files: files{"shop/web.yaml": deployment("web", "", 1)}},
		reason: v1alpha1.ApplyFailedReason,
		says:   []string{"Deployment/NS/web", "shop/web.yaml", "spec.replica"},
	},
	{
		name:   "an unknown field of a kustomization",
		broken: gitserver.Change{Files: files{"shop/kustomization.yaml": "resource: [settings.yaml]\n"}},
		mended: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources: [settings.yaml]\n"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/kustomization.yaml:1", `no field resource`, "mend its spelling"},
	},
	{
		name:   "an unknown kind",
		broken: gitserver.Change{Files: files{"shop/widget.yaml": newObject("example.com/v1", "Widget", "blue", "")}},
		mended: gitserver.Change{Delete: []string{"shop/widget.yaml"}},
		reason: v1alpha1.PlanRefusedReason,
		says:   []string{"Widget.example.com/NS/blue", "shop/widget.yaml", "does not know the kind Widget in example.com/v1", "install its CRD"},
		edit:   timeout(time.Second),
	},
	{
		name:   "a patch without its target",
		broken: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources: [settings.yaml]\npatches:\n- path: patch.yaml\n", "shop/patch.yaml": configMap("missing", "a: b")}},
		mended: gitserver.Change{Files: files{"shop/patch.yaml": configMap("settings", "color: green")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/patch.yaml", "ConfigMap/NS/missing", "matches no object"},
	},
	{
		name:   "two objects with one id",
		broken: gitserver.Change{Files: files{"shop/again.yaml": configMap("settings", "color: green")}},
		mended: gitserver.Change{Delete: []string{"shop/again.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/again.yaml", "shop/settings.yaml", "ConfigMap/NS/settings", "twice"},
	},
	{
		name:   "an invalid object",
		broken: gitserver.Change{Files: files{"shop/port.yaml": newObject("v1", "Service", "web", "spec: {ports: [{port: 99999}]}\n")}},
		mended: gitserver.Change{Files: files{"shop/port.yaml": newObject("v1", "Service", "web", "spec: {ports: [{port: 80}]}\n")}},
		reason: v1alpha1.ApplyFailedReason,
		says:   []string{"Service/NS/web", "shop/port.yaml", "must be between 1 and 65535"},
	},
	{
		name:   "a label that is no string",
		broken: gitserver.Change{Files: files{"shop/labels.yaml": strings.Replace(configMap("labels", "a: b"), "  namespace: NS\n", "  namespace: NS\n  labels: {version: 2}\n", 1)}},
		mended: gitserver.Change{Files: files{"shop/labels.yaml": configMap("labels", "a: b")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/labels.yaml", "ConfigMap/NS/labels", "is not a string: put it in quotes"},
	},
	{
		name:   "an annotation of Sluice's that it does not know",
		broken: gitserver.Change{Files: files{"shop/odd.yaml": annotated(configMap("odd", "a: b"), v1alpha1.PruneAnnotation, "maybe")}},
		mended: gitserver.Change{Files: files{"shop/odd.yaml": configMap("odd", "a: b")}},
		reason: v1alpha1.PlanRefusedReason,
		says:   []string{"shop/odd.yaml:1", "ConfigMap/NS/odd", v1alpha1.PruneAnnotation, "disabled"},
	},
	{
		name:   "a resource that is not there",
		broken: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources:\n- settings.yaml\n- nothing.yaml\n"}},
		mended: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources:\n- settings.yaml\n"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/kustomization.yaml:3", "nothing.yaml is not there", "add the file"},
	},
	{
		name:   "a path that is not there any more",
		broken: gitserver.Change{Delete: []string{"shop"}, Files: files{"store/settings.yaml": configMap("settings", "color: green")}},
		mended: gitserver.Change{Delete: []string{"store"}, Files: files{"shop/settings.yaml": configMap("settings", "color: green")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"spec.path", "no directory shop", "the root has neighbour, store"},
	},
	{
		name:   "a remote base",
		broken: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources:\n- settings.yaml\n- https://git.example.com/bases//shop?ref=v1\n"}},
		mended: gitserver.Change{Delete: []string{"shop/kustomization.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/kustomization.yaml:3", "remote base", "copy it into the repository"},
	},
	{
		name:   "a kustomization that includes itself",
		broken: gitserver.Change{Files: files{"shop/kustomization.yaml": "resources: [settings.yaml, ../shop]\n"}},
		mended: gitserver.Change{Delete: []string{"shop/kustomization.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/kustomization.yaml", "includes itself"},
	},
	{
		name:   "a symlink out of the tree",
		broken: gitserver.Change{Symlinks: files{"shop/passwords.yaml": "../../../../../../etc/passwd"}},
		mended: gitserver.Change{Delete: []string{"shop/passwords.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/passwords.yaml", "leads out of the repository", "point it inside"},
	},
	{
		name:   "a submodule",
		broken: gitserver.Change{Submodules: files{"shop/lib": strings.Repeat("1", 40)}, Files: files{"shop/kustomization.yaml": "resources: [settings.yaml, lib]\n"}},
		mended: gitserver.Change{Delete: []string{"shop/lib", "shop/kustomization.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/lib", "submodule"},
	},
	{
		name:   "a file name with a newline",
		broken: gitserver.Change{Files: files{"shop/two\nlines.yaml": "a: [\n"}},
		mended: gitserver.Change{Files: files{"shop/two\nlines.yaml": configMap("two-lines", "a: b")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{`"shop/two\nlines.yaml"`, "not valid YAML"},
	},
	{
		name:   "a YAML alias bomb",
		broken: gitserver.Change{Files: files{"shop/bomb.yaml": aliasBomb()}},
		mended: gitserver.Change{Delete: []string{"shop/bomb.yaml"}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/bomb.yaml", "alias"},
	},
	{
		name:   "a substitute variable that is missing",
		broken: gitserver.Change{Files: files{"shop/settings.yaml": annotated(configMap("settings", "color: ${COLOR}"), v1alpha1.SubstituteAnnotation, "enabled")}},
		mended: gitserver.Change{Files: files{"shop/settings.yaml": annotated(configMap("settings", "color: ${COLOR:=green}"), v1alpha1.SubstituteAnnotation, "enabled")}},
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/settings.yaml", "ConfigMap/NS/settings", "COLOR has no value", "spec.substitute"},
		edit: func(o *v1alpha1.Overlay) {
			o.Spec.Substitute = &v1alpha1.Substitute{Variables: map[string]string{"SHAPE": "round"}}
		},
	},
	{
		name:   "an object of 3 MB",
		broken: gitserver.Change{Files: files{"shop/large.yaml": configMap("large", "text: "+strings.Repeat("0123456789abcdef", 200_000))}},
		mended: gitserver.Change{Files: files{"shop/large.yaml": configMap("large", "text: small")}},
		reason: v1alpha1.ApplyFailedReason,
		says:   []string{"ConfigMap/NS/large", "shop/large.yaml", "larger than the API server takes", "split it"},
	},
	{
		name:   "an object of 2 MB",
		broken: gitserver.Change{Files: files{"shop/large.yaml": configMap("large", "text: "+strings.Repeat("0123456789abcdef", 125_000))}},
		mended: gitserver.Change{Files: files{"shop/large.yaml": configMap("large", "text: small")}},
		reason: v1alpha1.ApplyFailedReason,
		says:   []string{"ConfigMap/NS/large", "larger than the API server takes", "split it"},
	},
	{
		name:   "a Secret that is not valid",
		broken: gitserver.Change{Files: files{"shop/secret.yaml": newObject("v1", "Secret", "token", "data: {password: canary-b7d1e0-this-is-secret}\n")}},
		mended: gitserver.Change{Files: files{"shop/secret.yaml": secret("token", "password: canary-b7d1e0-this-is-secret")}},
		reason: v1alpha1.ApplyFailedReason,
		says:   []string{"Secret/NS/token", "shop/secret.yaml"},
	},
}

// Whatever is wrong with a commit: the Overlay says what, where, and what to do; its objects
// stay; the neighbour goes on; and the commit that mends it is applied.
func TestBadCommit(t *testing.T) {
	for _, c := range badCommits {
		t.Run(c.name, func(t *testing.T) {
			s := begin(t, files{"shop/settings.yaml": configMap("settings", "color: red")})
			s.Overlay("shop", "shop", func(o *v1alpha1.Overlay) {
				if c.edit != nil {
					c.edit(o)
				}
			})
			s.WaitReady("shop")
			settings := s.live("v1", "ConfigMap", "settings")

			broken := s.push("break it", c.broken)
			s.mentions(s.saysAt("shop", broken, c.reason), c.says...)
			s.othersGoOn()
			s.same(settings)

			mended := s.push("mend it", c.mended)
			s.readyAt("shop", mended)
			s.othersGoOn()
			s.same(settings)
		})
	}
}

// An object that is there and belongs to somebody else is left as it is until the two agree.
func TestObjectOfSomebodyElse(t *testing.T) {
	s := begin(t, files{"shop/settings.yaml": configMap("settings", "color: red")})
	s.Overlay("shop", "shop")
	s.WaitReady("shop")
	release := s.apply("helm", annotated(configMap("release", "from: helm"), "meta.helm.sh/release-name", "web"))

	broken := s.commit("take what is Helm's, and what is the neighbour's", files{
		"shop/release.yaml":   configMap("release", "from: git"),
		"shop/neighbour.yaml": configMap("neighbour", "commits: none"),
		"shop/another.yaml":   configMap("another", "color: blue"),
	})
	s.mentions(s.saysAt("shop", broken, v1alpha1.PlanRefusedReason),
		"shop/release.yaml: ConfigMap/NS/release", "belongs to Helm release web", "sluice.dev/force: owner",
		"shop/neighbour.yaml: ConfigMap/NS/neighbour", "belongs to Overlay NS/neighbour", "remove it from one of the two")
	s.othersGoOn()
	s.same(release)
	if from := s.data("release", "from"); from != "helm" {
		t.Errorf("the object of Helm was changed: from is %q", from)
	}
	s.becomes("blue", "v1", "ConfigMap", "another", "data", "color") // what is not in question is applied

	mended := s.push("take over on purpose", gitserver.Change{
		Files:  files{"shop/release.yaml": annotated(configMap("release", "from: git"), v1alpha1.ForceAnnotation, "owner")},
		Delete: []string{"shop/neighbour.yaml"},
	})
	s.readyAt("shop", mended)
	s.othersGoOn()
	s.same(release)
	if from := s.data("release", "from"); from != "git" {
		t.Errorf("from is %q after it was taken over", from)
	}
}

// A merely invalid spec never deletes the live object, whatever the object asks for.
func TestInvalidSpecWithForce(t *testing.T) {
	forced := func(manifest string) string { return annotated(manifest, v1alpha1.ForceAnnotation, "replace") }
	job := func(command, policy string) string {
		return newObject("batch/v1", "Job", "train", "spec:\n  template:\n    metadata: {annotations: {fake.sluice.dev/pod: Run}}\n    spec:\n      restartPolicy: "+policy+
			"\n      containers: [{name: train, image: registry.example.com/train:v1, command: ["+command+"]}]\n")
	}
	s := begin(t, files{
		"shop/service.yaml": forced(newObject("v1", "Service", "web", "spec: {ports: [{port: 80}]}\n")),
		"shop/job.yaml":     forced(job("one", "Never")),
	})
	s.Overlay("shop", "shop")
	s.Eventually("the Job and the Service are there", func() (bool, string) {
		return s.Get("batch/v1", "Job", s.Namespace, "train") != nil && s.Get("v1", "Service", s.Namespace, "web") != nil, "not yet"
	})
	service, train := s.live("v1", "Service", "web"), s.live("batch/v1", "Job", "train")

	broken := s.commit("a port that cannot be", files{
		"shop/service.yaml": forced(newObject("v1", "Service", "web", "spec: {ports: [{port: 99999}]}\n")),
	})
	s.mentions(s.saysAt("shop", broken, v1alpha1.ApplyFailedReason), "shop/service.yaml", "Service/NS/web", "must be between 1 and 65535")
	s.othersGoOn()
	s.same(service)
	s.same(train)

	// Invalid and immutable at once: the new object would be refused, so the old one stays.
	broken = s.push("another command, and a policy that Jobs do not have", gitserver.Change{Files: files{
		"shop/service.yaml": forced(newObject("v1", "Service", "web", "spec: {ports: [{port: 80}]}\n")),
		"shop/job.yaml":     forced(job("two", "Always")),
	}})
	s.mentions(s.saysAt("shop", broken, v1alpha1.PlanRefusedReason), "shop/job.yaml", "Job/NS/train", "immutable", "the live one stays", "restartPolicy")
	s.othersGoOn()
	s.same(service)
	s.same(train)
}

// An immutable field is refused with a word on what to do; with force the object is replaced,
// once, unless data would go with it.
func TestImmutableField(t *testing.T) {
	claim := func(size, class string) string {
		return newObject("v1", "PersistentVolumeClaim", "data", "spec:\n  accessModes: [ReadWriteOnce]\n  storageClassName: "+class+"\n  resources: {requests: {storage: "+size+"}}\n")
	}
	selector := func(manifest, label string) string {
		return strings.ReplaceAll(manifest, "{app: web}", "{app: "+label+"}")
	}
	templateLabels := func(manifest, label string) string {
		return strings.ReplaceAll(manifest, "labels: {app: web}", "labels: {app: "+label+"}")
	}
	web := deployment("web", "", 1)
	s := begin(t, files{
		"shop/claim.yaml": claim("1Gi", "fast"),
		"shop/web.yaml":   web,
		"shop/ip.yaml":    newObject("v1", "Service", "ip", "spec: {ports: [{port: 80}], selector: {app: web}}\n"),
	})
	s.Overlay("shop", "shop")
	s.Eventually("all is there", func() (bool, string) {
		return s.Get("v1", "PersistentVolumeClaim", s.Namespace, "data") != nil && s.Get("apps/v1", "Deployment", s.Namespace, "web") != nil &&
			s.Get("v1", "Service", s.Namespace, "ip") != nil, "not yet"
	})
	data, deployed, service := s.live("v1", "PersistentVolumeClaim", "data"), s.live("apps/v1", "Deployment", "web"), s.live("v1", "Service", "ip")

	without := s.commit("change what cannot change", files{
		"shop/claim.yaml": claim("1Gi", "slow"),
		"shop/web.yaml":   templateLabels(selector(web, "shop"), "shop"),
		"shop/ip.yaml":    newObject("v1", "Service", "ip", "spec: {clusterIP: None, ports: [{port: 80}], selector: {app: web}}\n"),
	})
	s.mentions(s.saysAt("shop", without, v1alpha1.ApplyFailedReason),
		"shop/web.yaml: Deployment/NS/web", "field is immutable", "annotate it with sluice.dev/force: replace",
		"shop/ip.yaml: Service/NS/ip", "clusterIP", "shop/claim.yaml: PersistentVolumeClaim/NS/data")
	s.othersGoOn()
	s.same(data)
	s.same(deployed)
	s.same(service)

	forced := func(manifest string) string { return annotated(manifest, v1alpha1.ForceAnnotation, "replace") }
	with := s.commit("with force", files{
		"shop/claim.yaml": forced(claim("1Gi", "slow")),
		"shop/web.yaml":   forced(templateLabels(selector(web, "shop"), "shop")),
		"shop/ip.yaml":    forced(newObject("v1", "Service", "ip", "spec: {ports: [{port: 81}], selector: {app: web}}\n")),
	})
	s.mentions(s.saysAt("shop", with, v1alpha1.PlanRefusedReason), "shop/claim.yaml: PersistentVolumeClaim/NS/data", "never replaced", "the data would go with it", "new name")
	s.othersGoOn()
	s.same(data)
	s.same(service) // nothing immutable changed in it
	s.becomes("shop", "apps/v1", "Deployment", "web", "spec", "selector", "matchLabels", "app")
	replaced := s.live("apps/v1", "Deployment", "web")
	if replaced.GetUID() == deployed.GetUID() {
		t.Error("the Deployment has another selector, and is the same object")
	}

	mended := s.push("leave the claim alone", gitserver.Change{Files: files{
		"shop/claim.yaml": claim("1Gi", "fast"),
		"shop/ip.yaml":    forced(newObject("v1", "Service", "ip", "spec: {clusterIP: None, ports: [{port: 81}], selector: {app: web}}\n")),
	}})
	s.becomes("None", "v1", "Service", "ip", "spec", "clusterIP")
	s.WaitOverlay("shop", "applied all", func(o *v1alpha1.Overlay) bool {
		return o.Status.AttemptedRevision == mended && rig.Ready(o).Reason != v1alpha1.PlanRefusedReason && rig.Ready(o).Reason != v1alpha1.ApplyFailedReason
	})
	if s.live("v1", "Service", "ip").GetUID() == service.GetUID() {
		t.Error("the Service has another clusterIP, and is the same object")
	}
	s.same(data)
	s.same(replaced)
}

// A kind whose conversion webhook is down, and an API group that does not answer, stop what
// needs them and nothing else. They get a control plane of their own: Kubernetes itself does
// not delete namespaces while they are there.
func TestBrokenAPIs(t *testing.T) {
	r := rig.New(t, cluster.Options{})
	s := &story{Rig: r}
	s.git = s.Repository("platform", nil)
	s.push("begin", gitserver.Change{Files: files{
		"definition/crd.yaml": crd("Widget"),
		"widgets/widget.yaml": newObject("NS.example.com/v1", "Widget", "blue", "spec: {size: 1}\n"),
		"widgets/config.yaml": configMap("beside-widgets", "commits: one"),
		"shop/settings.yaml":  configMap("settings", "color: red"),
	}})
	s.StartAgent()
	s.Overlay("neighbour", "neighbour")
	s.Overlay("definition", "definition")
	s.Overlay("widgets", "widgets", timeout(2*time.Second))
	s.Overlay("shop", "shop", timeout(2*time.Second))
	s.WaitReady("definition")
	s.WaitReady("widgets")
	widget := s.live(s.Namespace+".example.com/v1", "Widget", "blue")

	// The kind gets a second version, which is converted by a webhook that nobody answers for;
	// and another group goes to a Service that is not there.
	s.commit("a version that needs conversion", files{"definition/crd.yaml": strings.Replace(crd("Widget"), "  versions:\n", `  conversion:
    strategy: Webhook
    webhook:
      conversionReviewVersions: [v1]
      clientConfig: {url: "https://127.0.0.1:9/convert"}
  versions:
  - name: v2
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
`, 1)})
	dead := s.apply("kubectl", `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.dead.example.com}
spec: {group: dead.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: nobody, namespace: NS}}
`)
	s.WaitReady("definition")

	revision := s.commit("go on", files{
		"widgets/widget.yaml": newObject("NS.example.com/v2", "Widget", "blue", "spec: {size: 2}\n"),
		"widgets/config.yaml": configMap("beside-widgets", "commits: two"),
		"shop/dead.yaml":      newObject("dead.example.com/v1", "Thing", "one", ""),
		"shop/settings.yaml":  configMap("settings", "color: green"),
	})
	s.othersGoOn()
	s.becomes("two", "v1", "ConfigMap", "beside-widgets", "data", "commits")
	s.becomes("green", "v1", "ConfigMap", "settings", "data", "color")
	said := ""
	s.WaitOverlay("widgets", "says that Widgets cannot be had", func(o *v1alpha1.Overlay) bool {
		said = rig.Ready(o).Message
		return o.Status.AttemptedRevision == revision && rig.Ready(o).Status == metav1.ConditionFalse && strings.Contains(said, "conversion webhook")
	})
	t.Log("widgets:", said)
	s.mentions(said, "widgets/widget.yaml", "Widget.NS.example.com/NS/blue")
	s.WaitOverlay("shop", "says that the group does not answer", func(o *v1alpha1.Overlay) bool {
		said = rig.Ready(o).Message
		return o.Status.AttemptedRevision == revision && rig.Ready(o).Status == metav1.ConditionFalse
	})
	t.Log("shop:", said)
	s.mentions(said, "shop/dead.yaml", "Thing.dead.example.com/NS/one", "dead.example.com", "does not answer")

	// Both are mended.
	if err := s.Client.Delete(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	s.push("mend it", gitserver.Change{
		Files: files{"definition/crd.yaml": crd("Widget"), "widgets/widget.yaml": newObject("NS.example.com/v1", "Widget", "blue", "spec: {size: 3}\n")}, Delete: []string{"shop/dead.yaml"},
	})
	s.WaitReady("definition")
	s.becomes("3", s.Namespace+".example.com/v1", "Widget", "blue", "spec", "size")
	s.WaitReady("widgets")
	s.WaitReady("shop")
	s.same(widget)
	s.CheckSecrets()
}

// Many objects take their time, and that is all.
func TestManyObjects(t *testing.T) {
	count := 2_000
	if os.Getenv("SLUICE_E2E_LARGE") != "" {
		count = 20_000
	}
	var all strings.Builder
	for n := range count {
		fmt.Fprintf(&all, "%s---\n", configMap(fmt.Sprintf("item-%05d", n), fmt.Sprintf(`number: "%d"`, n)))
	}
	s := begin(t, files{"many/all.yaml": all.String()})
	s.Overlay("many", "many")
	s.othersGoOn()
	o := s.WaitReady("many")
	if int(o.Status.Objects.Total) != count || int(o.Status.Objects.Healthy) != count {
		t.Errorf("%+v, want %d", o.Status.Objects, count)
	}
	before := s.Calls()
	revision := s.commit("change one of them", files{"many/all.yaml": strings.Replace(all.String(), `number: "7"`, `number: "seven"`, 1)})
	s.readyAt("many", revision)
	writes := s.Calls().Since(before).By("sluice/").Writes().Of("configmaps")
	var here []string // other tests write too
	for _, w := range writes {
		if w.Namespace == s.Namespace && w.Name != "neighbour" {
			here = append(here, w.String())
		}
	}
	if len(here) != 1 {
		t.Errorf("%d writes for a change of one object: %s", len(here), here)
	}
}

// aliasBomb is 2 kB that stand for ten to the twelfth strings.
func aliasBomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 lol\n")
	for n := 1; n < 13; n++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", n, n, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", n-1), 10), ", "))
	}
	return b.String()
}
