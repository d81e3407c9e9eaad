package sync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// A CRD stops serving the version in which objects were applied and are watched. They are not
// forgotten: drift is corrected and prune works in the version that is left.
func TestVersionThatIsNotServedAnyMore(t *testing.T) {
	old := func(name string) string {
		return newObject("NS.example.com/v1alpha1", "Widget", name, "spec: {size: 1}\n")
	}
	s := begin(t, files{
		"app/one.yaml":     old("one"),
		"app/two.yaml":     old("two"),
		"left/widget.yaml": old("left"),
		"left/beside.yaml": configMap("beside", "a: b"),
	})
	definition := s.define("Widget", "v1alpha1", "v1")
	s.Overlay("app", "app")
	s.Overlay("left", "left")
	s.WaitReady("app")
	s.WaitReady("left")
	one := s.live(s.Namespace+".example.com/v1", "Widget", "one")

	before := s.Calls()
	s.Update(definition, func() {
		definition.Spec.Versions[0].Served, definition.Spec.Versions[0].Storage = false, false
		definition.Spec.Versions[1].Storage = true
	})
	for _, name := range []string{"one", "two", "left"} {
		s.patch(s.Namespace+".example.com/v1", "Widget", name, "metadata: {annotations: {migrated: 'yes'}}")
	}
	start := time.Now()
	s.Eventually("the kind is watched in the other version", func() (bool, string) {
		calls := s.Calls().Since(before).By("sluice/").Of("widgets." + s.Namespace + ".example.com").Verb("watch")
		for _, q := range calls {
			if strings.Contains(q.URI, ".example.com/v1/") {
				return true, ""
			}
		}
		return false, calls.String()
	})
	t.Logf("the watch moved after %s", time.Since(start).Round(time.Millisecond))

	// What leaves Git goes, and is not just forgotten.
	s.readyAt("left", s.remove("it leaves", "left/widget.yaml"))
	s.goes(s.Namespace+".example.com/v1", "Widget", "left")
	s.same(one)

	// Git follows.
	revision := s.push("another version", gitserver.Change{
		Files:  files{"app/one.yaml": newObject("NS.example.com/v1", "Widget", "one", "spec: {size: 1}\n")},
		Delete: []string{"app/two.yaml"},
	})
	s.readyAt("app", revision)
	s.same(one)
	s.goes(s.Namespace+".example.com/v1", "Widget", "two")
	s.patch(s.Namespace+".example.com/v1", "Widget", "one", "spec: {size: 7}")
	s.becomes("1", s.Namespace+".example.com/v1", "Widget", "one", "spec", "size")
}

// A CRD is deleted and comes back with another scope.
func TestDefinitionThatGoesAndComesBack(t *testing.T) {
	s := begin(t, files{
		"app/widget.yaml": newObject("NS.example.com/v1", "Widget", "NS-blue", "spec: {size: 1}\n"),
		"app/beside.yaml": configMap("beside", "a: b"),
	})
	definition := s.define("Widget", "v1")
	s.Overlay("app", "app")
	s.WaitReady("app")
	s.live(s.Namespace+".example.com/v1", "Widget", s.Namespace+"-blue")

	if err := s.Client.Delete(context.Background(), definition); err != nil {
		t.Fatal(err)
	}
	o := s.WaitOverlay("app", "waits for the kind", func(o *v1alpha1.Overlay) bool {
		return strings.Contains(rig.Ready(o).Message, "does not know the kind Widget")
	})
	s.told(o)
	s.othersGoOn()

	s.Eventually("the CRD is gone", func() (bool, string) {
		return s.Get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", definition.Name) == nil, "it is there"
	})
	definition = s.definition("Widget", "v1")
	definition.Spec.Scope = apiextensionsv1.ClusterScoped
	s.Create(definition)
	s.WaitReady("app")
	fresh, err := client.New(s.Cluster.Config(), client.Options{}) // the other one remembers the old scope
	if err != nil {
		t.Fatal(err)
	}
	widget := &unstructured.Unstructured{}
	widget.SetAPIVersion(s.Namespace + ".example.com/v1")
	widget.SetKind("Widget")
	if err := fresh.Get(context.Background(), client.ObjectKey{Name: s.Namespace + "-blue"}, widget); err != nil {
		t.Error(err)
	}
}

// A pass that waits for a kind does not ask for it again and again, and neither do many CRDs
// that come at once cause many questions.
func TestDiscoveryIsNotPolled(t *testing.T) {
	t.Parallel()
	s := &story{Rig: rig.New(t, cluster.Options{})}
	s.git = s.Repository("platform", nil)
	s.push("begin", gitserver.Change{Files: files{
		"app/settings.yaml": configMap("settings", "a: b"),
		"app/widget.yaml":   newObject("NS.example.com/v1", "Widget", "blue", "spec: {size: 1}\n"),
		"app/gadget.yaml":   newObject("gadgets.example.com/v1", "Gadget", "blue", "spec: {size: 1}\n"),
	}})
	s.StartAgent()
	s.Overlay("app", "app")
	s.WaitOverlay("app", "waits for kinds", func(o *v1alpha1.Overlay) bool {
		return strings.Contains(rig.Ready(o).Message, "does not know the kind") && s.data("settings", "a") == "b"
	})
	before, start := s.Calls(), time.Now()
	const passes = 5
	for n := range passes {
		s.request("app", fmt.Sprint(n))
	}
	asked := discovery(s.Calls().Since(before))
	t.Logf("%d passes asked %d times in %s", passes, len(asked), time.Since(start).Round(time.Millisecond))
	if len(asked) > 2*(1+int(time.Since(start)/(10*time.Second))) {
		t.Errorf("%d passes in %s asked %d times:\n%s", passes, time.Since(start), len(asked), asked)
	}

	before = s.Calls()
	const many = 40
	for n := range many {
		other := s.definition("Thing", "v1")
		other.Spec.Group = fmt.Sprintf("group%d.example.com", n)
		other.Name = "things." + other.Spec.Group
		s.Create(other)
	}
	s.define("Widget", "v1")
	gadgets := s.definition("Gadget", "v1")
	gadgets.Spec.Group, gadgets.Name = "gadgets.example.com", "gadgets.gadgets.example.com"
	s.Create(gadgets)
	s.WaitReady("app")
	asked = discovery(s.Calls().Since(before))
	t.Logf("%d CRDs: asked %d times", many+2, len(asked))
	if len(asked) > many {
		t.Errorf("%d CRDs came, and the agent asked %d times:\n%s", many+2, len(asked), asked)
	}
}

// discovery returns the agent's questions about what kinds there are.
func discovery(calls cluster.Requests) cluster.Requests {
	asked := cluster.Requests{}
	for _, q := range calls.By("sluice/").Verb("get") {
		if q.Resource == "" && strings.HasPrefix(q.Target(), "/api") {
			asked = append(asked, q)
		}
	}
	return asked
}

// request asks for a pass over an Overlay and waits for its end.
func (s *story) request(name, token string) {
	s.T.Helper()
	o := s.GetOverlay(name)
	s.Update(o, func() {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations["reconcile.fluxcd.io/requestedAt"] = token
	})
	s.WaitOverlay(name, "has answered", func(o *v1alpha1.Overlay) bool { return o.Status.LastHandledReconcileAt == token })
}

// definition is a CRD with several versions, the first of which is stored.
func (s *story) definition(kind string, versions ...string) *apiextensionsv1.CustomResourceDefinition {
	s.T.Helper()
	var d apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(s.local(crd(kind))), &d); err != nil {
		s.T.Fatal(err)
	}
	first := d.Spec.Versions[0]
	d.Spec.Versions = nil
	for n, name := range versions {
		version := *first.DeepCopy()
		version.Name, version.Storage = name, n == 0
		d.Spec.Versions = append(d.Spec.Versions, version)
	}
	d.ObjectMeta = metav1.ObjectMeta{Name: d.Name}
	return &d
}

// define creates a CRD.
func (s *story) define(kind string, versions ...string) *apiextensionsv1.CustomResourceDefinition {
	s.T.Helper()
	d := s.definition(kind, versions...)
	s.Create(d)
	return d
}
