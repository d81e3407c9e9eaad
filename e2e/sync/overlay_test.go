package sync_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// All that an Overlay can do to what is in its directory.
func TestTransformations(t *testing.T) {
	s := begin(t, files{
		"app/kustomization.yaml":             "resources: [web.yaml, settings.yaml]\n",
		"app/web.yaml":                       strings.Replace(deployment("web", "", 1), "  namespace: NS\n", "", 1),
		"app/settings.yaml":                  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: red}\n",
		"components/more/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [more.yaml]\n",
		"components/more/more.yaml":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {from: component}\n",
	})
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) {
		o.Spec.TargetNamespace = s.Namespace
		o.Spec.NamePrefix, o.Spec.NameSuffix = "eu-", "-blue"
		o.Spec.CommonMetadata = &v1alpha1.CommonMetadata{Labels: map[string]string{"team": "ml"}, Annotations: map[string]string{"contact": "ml@example.com"}}
		o.Spec.Images = []kustomize.Image{{Name: "registry.example.com/web", NewName: "mirror.example.com/web", NewTag: "v2"}}
		o.Spec.Components = []string{"../components/more"}
		o.Spec.Patches = []kustomize.Patch{
			{Patch: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {shape: round}\n"},
			{Patch: "- op: replace\n  path: /spec/replicas\n  value: 2\n", Target: &kustomize.Selector{Kind: "Deployment"}},
		}
	})
	s.WaitReady("app")
	web, settings, more := s.live("apps/v1", "Deployment", "eu-web-blue"), s.live("v1", "ConfigMap", "eu-settings-blue"), s.live("v1", "ConfigMap", "eu-more-blue")
	for _, c := range []struct {
		is, want string
	}{
		{field(settings, "data", "color") + " " + field(settings, "data", "shape"), "red round"},
		{field(more, "data", "from"), "component"},
		{field(web, "spec", "replicas"), "2"},
		{web.GetLabels()["team"] + settings.GetLabels()["team"] + more.GetLabels()["team"], "mlmlml"},
		{settings.GetAnnotations()["contact"], "ml@example.com"},
		{field(web, "spec", "selector", "matchLabels"), "map[app:web]"},
		{settings.GetLabels()[v1alpha1.OverlayLabel] + "/" + settings.GetLabels()[v1alpha1.OverlayNamespaceLabel], "app/" + s.Namespace},
	} {
		if c.is != c.want {
			t.Errorf("got %q, want %q", c.is, c.want)
		}
	}
	containers, _, err := unstructured.NestedSlice(web.Object, "spec", "template", "spec", "containers")
	if err != nil || fmt.Sprint(containers[0].(map[string]any)["image"]) != "mirror.example.com/web:v2" {
		t.Errorf("containers are %v: %v", containers, err)
	}
	s.gone("v1", "ConfigMap", "settings")
}

// Variables come from ConfigMaps and Secrets, go into the objects that ask for them, and leave
// every other ${...} as it is.
func TestSubstitute(t *testing.T) {
	script := "script: 'echo ${HOME} ${COLOR:-none} $(date)'"
	s := begin(t, files{
		"app/asks.yaml":     annotated(configMap("asks", "color: ${COLOR}", "size: \"${SIZE}\"", "shape: ${SHAPE:=round}", "literal: $${COLOR}"), v1alpha1.SubstituteAnnotation, "enabled"),
		"app/token.yaml":    annotated(secret("token", "token: ${TOKEN}"), v1alpha1.SubstituteAnnotation, "enabled"),
		"app/pipeline.yaml": configMap("pipeline", script),
	})
	s.apply("admin", configMap("variables", "COLOR: red", `SIZE: "3"`))
	s.apply("admin", secret("variables", "TOKEN: "+rig.Canary))
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) {
		o.Spec.Substitute = &v1alpha1.Substitute{
			Variables: map[string]string{"COLOR": "green"},
			From:      []v1alpha1.SubstituteReference{{Kind: "ConfigMap", Name: "variables"}, {Kind: "Secret", Name: "variables"}, {Kind: "Secret", Name: "none", Optional: true}},
		}
	})
	s.WaitReady("app")
	for key, want := range map[string]string{"color": "green", "size": "3", "shape": "round", "literal": "${COLOR}"} {
		if is := s.data("asks", key); is != want {
			t.Errorf("%s is %q, want %q", key, is, want)
		}
	}
	if is := s.data("pipeline", "script"); is != "echo ${HOME} ${COLOR:-none} $(date)" {
		t.Errorf("the script is %q", is)
	}
	var token corev1.Secret
	if err := s.Client.Get(context.Background(), key(s.Namespace, "token"), &token); err != nil || string(token.Data["token"]) != rig.Canary {
		t.Errorf("the Secret does not hold the variable: %v", err)
	}

	// A Secret that must be there and is not.
	o := s.GetOverlay("app")
	s.Update(o, func() { o.Spec.Substitute.From[2].Optional = false })
	s.mentions(s.says("app", v1alpha1.RenderFailedReason), "spec.substitute.from", "Secret/NS/none is not there", "create it")
	s.apply("admin", secret("none", "UNUSED: "+rig.Canary))
	s.WaitReady("app") // it is tried again
}

// An Overlay that names an account can do what the account can do.
func TestServiceAccount(t *testing.T) {
	s := begin(t, files{"app/settings.yaml": configMap("settings", "color: red")})
	s.Create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"}})
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) { o.Spec.ServiceAccountName = "deployer" })
	o := s.WaitOverlay("app", "is refused", func(o *v1alpha1.Overlay) bool { return rig.Ready(o).Status == metav1.ConditionFalse })
	s.mentions(s.told(o), "app/settings.yaml: ConfigMap/NS/settings", "ServiceAccount NS/deployer may not", "grant")
	s.gone("v1", "ConfigMap", "settings")
	s.othersGoOn()

	// It gets rights in its namespace only, so that is where it watches.
	before := s.Calls()
	s.Create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"}}}})
	s.Create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "deployer"},
		RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "deployer"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.Namespace, Name: "deployer"}}})
	s.WaitReady("app")
	s.Eventually("the account watches in its namespace", func() (bool, string) {
		calls := s.Calls().Since(before).By("sluice/").Of("configmaps").Verb("watch")
		return slices.ContainsFunc(calls, func(q cluster.Request) bool { return q.Namespace == s.Namespace }), calls.String()
	})
	s.patch("v1", "ConfigMap", "settings", "data: {color: black}")
	s.becomes("red", "v1", "ConfigMap", "settings", "data", "color")

	// A commit that asks for more than the account may do is refused where it does, only there.
	revision := s.commit("more than is granted", files{"app/secret.yaml": secret("token", "token: "+rig.Canary), "app/settings.yaml": configMap("settings", "color: blue")})
	o = s.WaitOverlay("app", "is refused again", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Status == metav1.ConditionFalse && o.Status.AttemptedRevision == revision
	})
	s.mentions(s.told(o), "app/secret.yaml: Secret/NS/token", "ServiceAccount NS/deployer may not")
	s.becomes("blue", "v1", "ConfigMap", "settings", "data", "color")
}

// An Overlay waits for those it depends on, whenever they come.
func TestDependencies(t *testing.T) {
	on := func(names ...string) func(*v1alpha1.Overlay) {
		return func(o *v1alpha1.Overlay) {
			for _, name := range names {
				o.Spec.DependsOn = append(o.Spec.DependsOn, v1alpha1.OverlayReference{Name: name})
			}
		}
	}
	s := begin(t, files{
		"base/settings.yaml": configMap("base", "step: one"),
		"app/settings.yaml":  configMap("app", "step: one"),
		"top/settings.yaml":  configMap("top", "step: one"),
	})
	s.Overlay("top", "top", on("app"))
	s.Overlay("app", "app", on("base"))
	s.mentions(s.says("app", v1alpha1.DependencyNotReadyReason), "Overlay NS/base", "not there")
	s.gone("v1", "ConfigMap", "app")
	s.Overlay("base", "base")
	s.WaitReady("top")

	// It fails: what depends on it stays where it is, and follows when it is mended.
	broken := s.commit("break the base", files{"base/settings.yaml": "a: [", "app/settings.yaml": configMap("app", "step: two"), "top/settings.yaml": configMap("top", "step: two")})
	s.saysAt("base", broken, v1alpha1.RenderFailedReason)
	o := s.WaitOverlay("app", "waits for base to be Ready", func(o *v1alpha1.Overlay) bool {
		return o.Status.AttemptedRevision == broken && strings.Contains(rig.Ready(o).Message, "waiting for Overlay "+s.Namespace+"/base to be Ready")
	})
	s.told(o)
	s.saysAt("top", broken, v1alpha1.DependencyNotReadyReason)
	s.othersGoOn()
	if s.data("app", "step")+s.data("top", "step") != "oneone" {
		t.Error("it was applied before what it depends on")
	}
	s.commit("mend the base", files{"base/settings.yaml": configMap("base", "step: two")})
	s.becomes("two", "v1", "ConfigMap", "top", "data", "step")
	s.WaitReady("top")

	// A circle is told to its members.
	o = s.GetOverlay("base")
	s.Update(o, func() { on("top")(o) })
	s.mentions(s.says("base", v1alpha1.DependencyNotReadyReason), "circle", "NS/base -> NS/top -> NS/app -> NS/base")
	s.WaitReady("neighbour")
	s.Update(o, func() { o.Spec.DependsOn = nil })
	s.WaitReady("base")
	s.WaitReady("top")
}

// References to other namespaces work, unless they are locked down.
func TestReferencesAcrossNamespaces(t *testing.T) {
	t.Run("allowed", func(t *testing.T) {
		s := begin(t, files{"base/settings.yaml": configMap("base", "step: one"), "app/settings.yaml": configMap("app", "step: one")})
		s.Overlay("base", "base")
		other := s.Namespace + "-tenant"
		s.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other}})
		s.Create(tenant(other, s.Namespace))
		s.becomes("one", "v1", "ConfigMap", "app", "data", "step")
	})
	t.Run("locked", func(t *testing.T) {
		s := &story{Rig: rig.New(t, cluster.Options{})}
		s.git = s.Repository("platform", nil)
		s.push("begin", gitserver.Change{Files: files{"base/settings.yaml": configMap("base", "step: one"), "app/settings.yaml": configMap("app", "step: one")}})
		s.StartAgent("--no-cross-namespace-refs")
		s.Overlay("base", "base")
		s.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "tenant"}})
		s.Create(tenant("tenant", s.Namespace))
		s.WaitReady("base")
		inTenant := *s.Rig
		inTenant.Namespace = "tenant"
		o := inTenant.WaitReason("app", v1alpha1.AccessDeniedReason)
		s.mentions(s.told(o), "another namespace", "--no-cross-namespace-refs")
		s.gone("v1", "ConfigMap", "app")
	})
}

// tenant is an Overlay of one namespace that refers to another.
func tenant(namespace, to string) *v1alpha1.Overlay {
	return &v1alpha1.Overlay{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"},
		Spec: v1alpha1.OverlaySpec{
			RepositoryRef: v1alpha1.RepositoryReference{Name: "platform", Namespace: to}, Path: "app",
			DependsOn: []v1alpha1.OverlayReference{{Name: "base", Namespace: to}},
		},
	}
}

// What leaves Git is deleted, except what is to stay; and never all of it by accident.
func TestPrune(t *testing.T) {
	s := begin(t, files{
		"app/one.yaml":  configMap("one", "a: b"),
		"app/two.yaml":  configMap("two", "a: b"),
		"app/keep.yaml": annotated(configMap("keep", "a: b"), v1alpha1.PruneAnnotation, "disabled"),
	})
	s.Overlay("app", "app")
	s.WaitReady("app")
	keep, two := s.live("v1", "ConfigMap", "keep"), s.live("v1", "ConfigMap", "two")
	revision := s.remove("two objects leave", "app/one.yaml", "app/keep.yaml")
	s.readyAt("app", revision)
	s.goes("v1", "ConfigMap", "one")
	s.same(keep)
	s.same(two)

	// Everything leaves: that needs a word.
	revision = s.push("nothing is left", gitserver.Change{Delete: []string{"app/two.yaml"}, Files: files{"app/kustomization.yaml": "resources: []\nnamePrefix: a-\n"}})
	o := s.WaitOverlay("app", "refuses", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Status == metav1.ConditionFalse && o.Status.AttemptedRevision == revision
	})
	s.mentions(s.told(o), "ConfigMap/NS/two", "would delete all 1 objects", v1alpha1.AllowPruneAnnotation)
	s.othersGoOn()
	s.same(two)
	_, commit, _ := strings.Cut(revision, "sha1:")
	s.Update(o, func() { o.Annotations = map[string]string{v1alpha1.AllowPruneAnnotation: commit[:12]} })
	s.WaitReady("app")
	s.goes("v1", "ConfigMap", "two")

	// With prune: false, nothing goes.
	s.Update(o, func() { o.Spec.Prune = new(bool) })
	revision = s.push("one more", gitserver.Change{Delete: []string{"app/kustomization.yaml"}, Files: files{"app/three.yaml": configMap("three", "a: b"), "app/four.yaml": configMap("four", "a: b")}})
	s.readyAt("app", revision)
	three := s.live("v1", "ConfigMap", "three")
	revision = s.remove("and away", "app/three.yaml")
	s.readyAt("app", revision)
	s.same(three)
}

// A namespace in which others have objects does not go by accident.
func TestPruneOfANamespace(t *testing.T) {
	s := begin(t, files{
		"space/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS-space}\n",
		"space/settings.yaml":  configMap("space", "a: b"),
		"guest/settings.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: guest, namespace: NS-space}\ndata: {a: b}\n",
	})
	s.Overlay("guest", "guest") // before the namespace is there
	s.Overlay("space", "space")
	s.WaitReady("space")
	s.WaitReady("guest")
	revision := s.remove("the namespace leaves", "space/namespace.yaml")
	o := s.WaitOverlay("space", "refuses", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == v1alpha1.PruneRefusedReason && o.Status.AttemptedRevision == revision
	})
	s.mentions(s.told(o), "Namespace/NS-space", "1 objects of other Overlays", "move them away", v1alpha1.AllowPruneAnnotation)
	s.othersGoOn()
	s.WaitReady("guest")
	if !s.namespaceIs(s.Namespace + "-space") {
		t.Fatal("the namespace was deleted")
	}
	_, commit, _ := strings.Cut(revision, "sha1:")
	s.Update(o, func() { o.Annotations = map[string]string{v1alpha1.AllowPruneAnnotation: commit} })
	s.Eventually("the namespace is gone", func() (bool, string) { return !s.namespaceIs(s.Namespace + "-space"), "it is there" })
	s.WaitReady("space")
}

// An object that moves from one Overlay to another is handed over, whoever looks first; one
// that is renamed is created before the old one goes.
func TestMovedAndRenamedObjects(t *testing.T) {
	s := begin(t, files{
		"left/kustomization.yaml": "resources: [stays.yaml, moves.yaml, renamed.yaml]\n",
		"left/stays.yaml":         configMap("stays-left", "a: b"),
		"left/moves.yaml":         configMap("moves", "a: b"),
		"left/renamed.yaml":       configMap("old-name", "a: b"),
		"right/stays.yaml":        configMap("stays-right", "a: b"),
	})
	s.Overlay("left", "left")
	s.Overlay("right", "right")
	s.WaitReady("left")
	s.WaitReady("right")
	moves := s.live("v1", "ConfigMap", "moves")
	for n, way := range []struct{ from, to string }{{"left", "right"}, {"right", "left"}, {"left", "right"}} {
		there := "moves.yaml"
		change := gitserver.Change{Delete: []string{way.from + "/" + there}, Files: files{way.to + "/" + there: configMap("moves", fmt.Sprintf(`a: "%d"`, n))}}
		if way.from == "left" {
			change.Files["left/kustomization.yaml"] = "resources: [stays.yaml, renamed.yaml]\n"
		} else {
			change.Files["left/kustomization.yaml"] = "resources: [stays.yaml, renamed.yaml, moves.yaml]\n"
		}
		revision := s.push("it moves "+way.to, change)
		s.readyAt(way.from, revision)
		s.readyAt(way.to, revision)
		s.same(moves)
		if o := s.live("v1", "ConfigMap", "moves"); o.GetLabels()[v1alpha1.OverlayLabel] != way.to || field(o, "data", "a") != fmt.Sprint(n) {
			t.Errorf("it moved to %s, and has labels %v and data %v", way.to, o.GetLabels(), o.Object["data"])
		}
	}
	revision := s.commit("rename", files{"left/renamed.yaml": configMap("new-name", "a: b")})
	s.readyAt("left", revision)
	s.live("v1", "ConfigMap", "new-name")
	s.goes("v1", "ConfigMap", "old-name")
}

// What becomes of the objects when the Overlay itself is deleted.
func TestDeletionPolicy(t *testing.T) {
	no := false
	for _, c := range []struct {
		policy v1alpha1.DeletionPolicy
		prune  *bool
		stays  bool
	}{
		{v1alpha1.DeletionMirrorPrune, nil, false},
		{v1alpha1.DeletionMirrorPrune, &no, true},
		{v1alpha1.DeletionDelete, &no, false},
		{v1alpha1.DeletionOrphan, nil, true},
	} {
		t.Run(fmt.Sprintf("%s with prune %v", c.policy, c.prune == nil), func(t *testing.T) {
			s := begin(t, files{"app/settings.yaml": configMap("settings", "a: b")})
			o := s.Overlay("app", "app", func(o *v1alpha1.Overlay) { o.Spec.DeletionPolicy, o.Spec.Prune = c.policy, c.prune })
			s.WaitReady("app")
			if err := s.Client.Delete(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			s.Eventually("the Overlay is gone", func() (bool, string) {
				return s.Get("sluice.dev/v1alpha1", "Overlay", s.Namespace, "app") == nil, "it is there"
			})
			left := s.Get("v1", "ConfigMap", s.Namespace, "settings")
			if (left != nil) != c.stays {
				t.Fatalf("the object stays: %v, want %v", left != nil, c.stays)
			}
			if left != nil && left.GetLabels()[v1alpha1.OverlayLabel] != "" {
				t.Errorf("it still has labels %v", left.GetLabels())
			}
			s.othersGoOn()
		})
	}
}

// What somebody does to an applied object is undone, reported, or ignored.
func TestDrift(t *testing.T) {
	s := begin(t, files{
		"correct/settings.yaml": configMap("correct", "color: red"),
		"report/settings.yaml":  configMap("report", "color: red"),
		"ignore/settings.yaml":  configMap("ignore", "color: red"),
	})
	for name, policy := range map[string]v1alpha1.DriftPolicy{"correct": v1alpha1.DriftCorrect, "report": v1alpha1.DriftReport, "ignore": v1alpha1.DriftIgnore} {
		s.Overlay(name, name, func(o *v1alpha1.Overlay) { o.Spec.Drift = policy })
		s.WaitReady(name)
	}

	// Edited: what Git says comes back, what others added stays.
	s.patch("v1", "ConfigMap", "correct", "data: {color: black, theirs: kept}")
	s.becomes("red", "v1", "ConfigMap", "correct", "data", "color")
	if is := s.data("correct", "theirs"); is != "kept" {
		t.Errorf("a field that Git does not speak of is %q", is)
	}
	s.Eventually("an event names the field and who changed it", func() (bool, string) {
		var all []string
		for _, e := range s.Events("Overlay", "correct") {
			all = append(all, e.Reason+": "+e.Message)
			if e.Reason == v1alpha1.DriftCorrectedReason && strings.Contains(e.Message, "data.color changed by kubectl-edit") {
				t.Log(e.Message)
				return true, ""
			}
		}
		return false, strings.Join(all, "\n")
	})

	// Its label taken off, and deleted.
	s.patch("v1", "ConfigMap", "correct", "metadata: {labels: {sluice.dev/overlay: null}}")
	s.becomes("correct", "v1", "ConfigMap", "correct", "metadata", "labels", v1alpha1.OverlayLabel)
	s.delete("v1", "ConfigMap", "correct")
	s.becomes("red", "v1", "ConfigMap", "correct", "data", "color")
	s.WaitReady("correct")

	s.patch("v1", "ConfigMap", "report", "data: {color: black}")
	s.patch("v1", "ConfigMap", "ignore", "data: {color: black}")
	o := s.WaitOverlay("report", "reports", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == v1alpha1.DriftedReason && o.Status.Objects.Drifted == 1
	})
	s.mentions(s.told(o), "1 differ from Git")
	s.delete("v1", "ConfigMap", "report")
	s.WaitOverlay("report", "reports that it is gone", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Status != metav1.ConditionTrue || o.Status.Objects.Drifted == 1
	})
	s.gone("v1", "ConfigMap", "report")
	if is := s.data("ignore", "color"); is != "black" {
		t.Errorf("drift that is ignored was corrected to %q", is)
	}

	// A commit about the object settles it, whatever the policy.
	s.commit("another color", files{"report/settings.yaml": configMap("report", "color: green"), "correct/settings.yaml": configMap("correct", "color: green")})
	s.becomes("green", "v1", "ConfigMap", "correct", "data", "color")
	s.becomes("green", "v1", "ConfigMap", "report", "data", "color")
	s.WaitReady("report")
}

// What a broken commit leaves in force is kept up: drift is corrected, health is told, and
// nothing is pruned.
func TestDriftBesideABrokenCommit(t *testing.T) {
	s := begin(t, files{"app/kustomization.yaml": "resources: [settings.yaml, other.yaml]\n", "app/settings.yaml": configMap("settings", "color: red"), "app/other.yaml": configMap("other", "color: red")})
	s.Overlay("app", "app")
	s.WaitReady("app")
	revision := s.commit("broken", files{"app/kustomization.yaml": "resources: [settings.yaml, nothing.yaml]\n"})
	s.saysAt("app", revision, v1alpha1.RenderFailedReason)
	s.patch("v1", "ConfigMap", "settings", "data: {color: black}")
	s.becomes("red", "v1", "ConfigMap", "settings", "data", "color")
	s.delete("v1", "ConfigMap", "settings")
	s.becomes("red", "v1", "ConfigMap", "settings", "data", "color")
	o := s.GetOverlay("app")
	if rig.Ready(o).Reason != v1alpha1.RenderFailedReason || o.Status.Objects.Total != 2 {
		t.Errorf("it says %s, of %d objects", rig.Ready(o).Reason, o.Status.Objects.Total)
	}
	s.live("v1", "ConfigMap", "other")
	revision = s.commit("mended", files{"app/kustomization.yaml": "resources: [settings.yaml]\n"})
	s.readyAt("app", revision)
	s.goes("v1", "ConfigMap", "other")
}

// Replicas belong to an autoscaler; the rest of the Deployment does not.
func TestIgnoredFields(t *testing.T) {
	s := begin(t, files{"app/web.yaml": deployment("web", "", 2)})
	s.Overlay("app", "app", func(o *v1alpha1.Overlay) {
		o.Spec.Ignore = []v1alpha1.IgnoreRule{{Target: &kustomize.Selector{Kind: "Deployment"}, Paths: []string{"/spec/replicas"}}}
	})
	s.WaitReady("app")
	if is := s.at("apps/v1", "Deployment", "web", "spec", "replicas"); is != "2" {
		t.Errorf("it begins with %s replicas, want those of Git", is)
	}
	if err := s.tryPatch("autoscaler", "apps/v1", "Deployment", "web", "spec: {replicas: 5}", "scale"); err != nil {
		t.Fatal(err)
	}
	s.patch("apps/v1", "Deployment", "web", "spec: {template: {spec: {containers: [{name: main, image: somebody/else:v1}]}}}")
	s.Eventually("the image is back", func() (bool, string) {
		image := strings.Contains(s.at("apps/v1", "Deployment", "web", "spec", "template", "spec", "containers"), "registry.example.com/web:v1")
		return image, s.at("apps/v1", "Deployment", "web", "spec", "template", "spec", "containers")
	})
	s.WaitReady("app")
	revision := s.commit("another image", files{"app/web.yaml": strings.Replace(deployment("web", "", 2), "web:v1", "web:v2", 1)})
	s.readyAt("app", revision)
	if is := s.at("apps/v1", "Deployment", "web", "spec", "replicas"); is != "5" {
		t.Errorf("the autoscaler's 5 replicas have become %s", is)
	}

	// A rule that goes takes effect at once, and so does one that comes.
	o := s.GetOverlay("app")
	s.Update(o, func() { o.Spec.Ignore = nil })
	s.mentions(s.says("app", v1alpha1.ApplyFailedReason), "Deployment/NS/web", "spec.replicas is owned by autoscaler")
	s.Update(o, func() {
		o.Spec.Ignore = []v1alpha1.IgnoreRule{{Paths: []string{"/spec/replicas", "/spec/template/spec/containers/0/image"}}}
	})
	s.WaitReady("app")

	// Somebody puts a container before the one whose image is left to others.
	containers := "spec: {template: {spec: {containers: [{name: sidecar, image: side/car:v1}, {name: main, image: somebody/else:v1}]}}}"
	s.patch("apps/v1", "Deployment", "web", containers)
	revision = s.commit("a label", files{"app/web.yaml": strings.Replace(strings.Replace(deployment("web", "", 3), "web:v1", "web:v2", 1), "  name: web\n", "  name: web\n  labels: {tier: front}\n", 1)})
	s.readyAt("app", revision)
	s.becomes("front", "apps/v1", "Deployment", "web", "metadata", "labels", "tier")
	if is := s.at("apps/v1", "Deployment", "web", "spec", "template", "spec", "containers"); !strings.Contains(is, "side/car:v1") || !strings.Contains(is, "somebody/else:v1") {
		t.Errorf("the containers are %s", is)
	}
}

// Objects that are applied once, or never.
func TestApplyOnceAndNever(t *testing.T) {
	once := func(color string) string {
		return annotated(configMap("once", "color: "+color), v1alpha1.ApplyAnnotation, "once")
	}
	s := begin(t, files{
		"app/once.yaml":  once("red"),
		"app/never.yaml": annotated(configMap("never", "color: red"), v1alpha1.ApplyAnnotation, "never"),
		"app/plain.yaml": configMap("plain", "color: red"),
	})
	s.Overlay("app", "app")
	s.WaitReady("app")
	s.live("v1", "ConfigMap", "once")
	s.gone("v1", "ConfigMap", "never")
	s.patch("v1", "ConfigMap", "once", "data: {color: black}")
	revision := s.commit("another color", files{"app/once.yaml": once("green"), "app/plain.yaml": configMap("plain", "color: green")})
	s.readyAt("app", revision)
	if is := s.data("once", "color"); is != "black" {
		t.Errorf("what is applied once was changed to %q", is)
	}
	s.delete("v1", "ConfigMap", "once")
	s.becomes("green", "v1", "ConfigMap", "once", "data", "color")
}

// A field that another manager owns is not taken without being asked to.
func TestFieldConflict(t *testing.T) {
	s := begin(t, files{"app/plain.yaml": configMap("plain", "a: b")})
	s.Overlay("app", "app")
	s.WaitReady("app")
	s.apply("scaler-bot", configMap("shared", "level: high", "theirs: kept"))
	revision := s.commit("a field of somebody else", files{"app/shared.yaml": configMap("shared", "level: low")})
	s.mentions(s.saysAt("app", revision, v1alpha1.ApplyFailedReason), "app/shared.yaml: ConfigMap/NS/shared", "data.level is owned by scaler-bot", "spec.ignore", "sluice.dev/force: fields")
	s.othersGoOn()
	if is := s.data("shared", "level"); is != "high" {
		t.Errorf("the field is %q", is)
	}
	revision = s.commit("take it", files{"app/shared.yaml": annotated(configMap("shared", "level: low"), v1alpha1.ForceAnnotation, "fields")})
	s.readyAt("app", revision)
	if s.data("shared", "level")+s.data("shared", "theirs") != "lowkept" {
		t.Errorf("data is %v", s.live("v1", "ConfigMap", "shared").Object["data"])
	}
}

// Somebody who changes an object back each time is noticed, named, and left alone for a while.
func TestFight(t *testing.T) {
	s := begin(t, files{"app/settings.yaml": configMap("settings", "color: red"), "app/plain.yaml": configMap("plain", "color: red"), "app/doomed.yaml": configMap("doomed", "color: red")})
	s.Overlay("app", "app")
	s.WaitReady("app")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_ = s.tryPatch("stubborn-operator", "v1", "ConfigMap", "settings", "data: {color: black}")
			_ = s.Client.Delete(ctx, s.object("v1", "ConfigMap", "doomed"))
			time.Sleep(50 * time.Millisecond)
		}
	}()
	s.WaitOverlay("app", "tells of both fights", func(o *v1alpha1.Overlay) bool {
		m := rig.Ready(o).Message
		return rig.Ready(o).Reason == v1alpha1.DriftFightReason && strings.Contains(m, "/settings:") && strings.Contains(m, "/doomed:")
	})
	message := s.says("app", v1alpha1.DriftFightReason)
	s.mentions(message, "ConfigMap/NS/settings", "data.color", "stubborn-operator", "spec.ignore", "the next try is at")
	s.patch("v1", "ConfigMap", "plain", "data: {color: black}") // others are corrected meanwhile
	s.becomes("red", "v1", "ConfigMap", "plain", "data", "color")
	cancel()
	<-done

	// A commit does not wait for the next try.
	revision := s.commit("another color", files{"app/settings.yaml": configMap("settings", "color: green"), "app/doomed.yaml": configMap("doomed", "color: green")})
	s.becomes("green", "v1", "ConfigMap", "settings", "data", "color")
	s.becomes("green", "v1", "ConfigMap", "doomed", "data", "color")
	s.readyAt("app", revision)
}

// A CRD and an object of it in one commit work the first time; so do kinds and namespaces that
// others bring later.
func TestKindsAndNamespacesThatComeLater(t *testing.T) {
	s := begin(t, files{
		"both/crd.yaml":      crd("Gadget"),
		"both/gadget.yaml":   newObject("NS.example.com/v1", "Gadget", "blue", "spec: {size: 1}\n"),
		"late/widget.yaml":   newObject("NS.example.com/v1", "Widget", "blue", "spec: {size: 1}\n"),
		"late/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late, namespace: NS-late}\ndata: {a: b}\n",
		"late/beside.yaml":   configMap("beside", "a: b"),
	})
	s.Overlay("both", "both")
	s.Overlay("late", "late")
	s.WaitReady("both")
	s.live(s.Namespace+".example.com/v1", "Gadget", "blue")
	o := s.WaitOverlay("late", "waits", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == v1alpha1.ProgressingReason && strings.Contains(rig.Ready(o).Message, "Widget")
	})
	s.mentions(s.told(o), "late/widget.yaml", "does not know the kind Widget", "namespace NS-late is not there (yet)")
	s.becomes("b", "v1", "ConfigMap", "beside", "data", "a")
	s.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace + "-late"}})
	s.apply("kubectl", crd("Widget"))
	s.WaitReady("late")
	s.live(s.Namespace+".example.com/v1", "Widget", "blue")
}

// A new commit does not wait for the health of the one before.
func TestCommitInterruptsAWait(t *testing.T) {
	s := begin(t, files{"app/web.yaml": deployment("web", "Pending", 1)})
	s.Overlay("app", "app", timeout(time.Hour))
	o := s.WaitOverlay("app", "waits for health", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == v1alpha1.ProgressingReason && o.Status.Objects.Total == 1
	})
	s.mentions(s.told(o), "Deployment/NS/web")
	if c := condition(o, v1alpha1.ReconcilingCondition); c.Status != metav1.ConditionTrue {
		t.Errorf("Reconciling is %+v while it waits", c)
	}
	s.othersGoOn()
	revision := s.commit("pods that start", files{"app/web.yaml": deployment("web", "", 1)})
	s.readyAt("app", revision)
}

// What leaves Git goes after what is new is healthy, and not before.
func TestPruneWaitsForHealth(t *testing.T) {
	s := begin(t, files{"app/old.yaml": configMap("old", "a: b"), "app/plain.yaml": configMap("plain", "a: b")})
	s.Overlay("app", "app", timeout(time.Hour))
	s.WaitReady("app")
	old := s.live("v1", "ConfigMap", "old")
	s.push("replace it", gitserver.Change{Delete: []string{"app/old.yaml"}, Files: files{"app/web.yaml": deployment("web", "Pending", 1)}})
	s.WaitOverlay("app", "waits for health", func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == v1alpha1.ProgressingReason && o.Status.Objects.Total == 2
	})
	s.same(old)
	revision := s.commit("pods that start", files{"app/web.yaml": deployment("web", "", 1)})
	s.readyAt("app", revision)
	s.Eventually("the old object is gone", func() (bool, string) { return s.Get("v1", "ConfigMap", s.Namespace, "old") == nil, "it is there" })
}

// What does not become healthy in time is named; it may still recover.
func TestHealthTimeout(t *testing.T) {
	s := begin(t, files{"app/slow.yaml": deployment("slow", "Pending", 1), "app/crash.yaml": deployment("crash", "Crash", 1), "app/plain.yaml": configMap("plain", "a: b")})
	s.Overlay("app", "app", timeout(2*time.Second))
	s.mentions(s.says("app", v1alpha1.HealthTimeoutReason), "not healthy within 2s", "1 of 3 objects are healthy", "Deployment/NS/slow", "Deployment/NS/crash")
	if c := condition(s.GetOverlay("app"), v1alpha1.HealthyCondition); c.Status != metav1.ConditionFalse {
		t.Errorf("Healthy is %+v", c)
	}
	s.patch("apps/v1", "Deployment", "slow", "spec: {replicas: 0}") // which is drift, and is corrected
	s.becomes("1", "apps/v1", "Deployment", "slow", "spec", "replicas")
	revision := s.commit("pods that start", files{"app/slow.yaml": deployment("slow", "", 1), "app/crash.yaml": deployment("crash", "", 1)})
	s.readyAt("app", revision)
}

// The last five results are kept, and every result is told once.
func TestHistoryAndEvents(t *testing.T) {
	s := begin(t, files{"app/settings.yaml": configMap("settings", `n: "0"`)})
	s.Overlay("app", "app")
	s.WaitReady("app")
	var revision string
	for n := 1; n <= 6; n++ {
		revision = s.commit(fmt.Sprintf("step %d", n), files{"app/settings.yaml": configMap("settings", fmt.Sprintf(`n: "%d"`, n))})
		s.readyAt("app", revision)
	}
	broken := s.commit("break it", files{"app/settings.yaml": "a: ["})
	s.saysAt("app", broken, v1alpha1.RenderFailedReason)
	o := s.GetOverlay("app")
	if h := o.Status.History; len(h) != 5 || h[0].Revision == h[1].Revision {
		t.Errorf("the history is %+v", h)
	}
	if o.Status.Revision != revision || o.Status.AttemptedRevision != broken {
		t.Errorf("at %s, tried %s; want %s and %s", o.Status.Revision, o.Status.AttemptedRevision, revision, broken)
	}

	// Asked again and again, it has nothing to add.
	var before []corev1.Event
	s.Eventually("every commit has its event, and only one", func() (bool, string) {
		counts := map[string]int{}
		before = s.Events("Overlay", "app")
		for _, e := range before {
			counts[e.Reason] += int(max(e.Count, 1))
		}
		return counts["Applied"] == 7 && counts[v1alpha1.RenderFailedReason] == 1, fmt.Sprint(counts)
	})
	for range 5 {
		s.Ask("platform")
		asked := s.GetRepository("platform").Annotations["reconcile.fluxcd.io/requestedAt"]
		s.WaitRepository("platform", "answers", func(o *v1alpha1.Repository, _ metav1.Condition) bool { return o.Status.LastHandledReconcileAt == asked })
	}
	if len(before) != len(s.Events("Overlay", "app")) {
		t.Error("events were added though nothing happened")
	}
	for _, e := range before {
		if got := e.Annotations["sluice.dev/revision"]; !strings.HasPrefix(got, "main@sha1:") {
			t.Errorf("event %s has the annotations %v, want sluice.dev/revision", e.Reason, e.Annotations)
		}
	}
}

func key(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: namespace, Name: name}
}
