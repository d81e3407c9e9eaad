package sync_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/gitserver"
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
		reason: v1alpha1.RenderFailedReason,
		says:   []string{"shop/odd.yaml", "ConfigMap/NS/odd", v1alpha1.PruneAnnotation, "disabled"},
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
