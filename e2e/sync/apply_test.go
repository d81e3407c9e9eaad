package sync_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// files are the files of a commit by path. In them, NS stands for the namespace of the test.
type files map[string]string

// story is one test: a namespace, a Git repository and the Overlays that follow it. Beside
// what the test is about there is always a neighbour, an Overlay whose one ConfigMap counts
// the commits, and which has a Secret that must never be shown.
type story struct {
	*rig.Rig
	git     *gitserver.Repo
	commits int
}

// begin starts a story with the files of its first commit.
func begin(t *testing.T, first files) *story {
	t.Helper()
	t.Parallel()
	s := &story{Rig: rig.Shared(t)}
	s.git = s.Repository("platform", nil)
	s.push("begin", gitserver.Change{Files: first})
	s.Overlay("neighbour", "neighbour")
	return s
}

// push commits a change, in which the neighbour changes too, and has the agent look.
func (s *story) push(message string, change gitserver.Change) (revision string) {
	s.T.Helper()
	s.commits++
	written := files{
		"neighbour/count.yaml":  configMap("neighbour", fmt.Sprintf(`commits: "%d"`, s.commits)),
		"neighbour/secret.yaml": secret("neighbour", "token: "+rig.Canary),
	}
	for path, content := range change.Files {
		written[path] = content
	}
	for path, content := range written {
		written[path] = s.local(content)
	}
	change.Message, change.Files = message, written
	revision = s.Push(s.git, change)
	s.Ask("platform")
	return revision
}

// commit writes files.
func (s *story) commit(message string, changed files) (revision string) {
	s.T.Helper()
	return s.push(message, gitserver.Change{Files: changed})
}

// remove deletes files.
func (s *story) remove(message string, paths ...string) (revision string) {
	s.T.Helper()
	return s.push(message, gitserver.Change{Delete: paths})
}

var placeholder = regexp.MustCompile(`\bNS\b`)

// local puts the namespace of the test into a manifest.
func (s *story) local(text string) string { return placeholder.ReplaceAllString(text, s.Namespace) }

// apply creates or changes an object as somebody other than Sluice.
func (s *story) apply(manager, manifest string) *unstructured.Unstructured {
	s.T.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(s.local(manifest)), &o.Object); err != nil {
		s.T.Fatal(err)
	}
	//lint:ignore SA1019 unstructured objects have no apply configuration
	if err := s.Client.Patch(context.Background(), o, client.Apply, client.FieldOwner(manager), client.ForceOwnership); err != nil {
		s.T.Fatalf("%s: %v", manifest, err)
	}
	return o
}

// patch changes a live object by a merge patch, as kubectl edit does.
func (s *story) patch(apiVersion, kind, name, merge string, subresource ...string) {
	s.T.Helper()
	if err := s.tryPatch("kubectl-edit", apiVersion, kind, name, merge, subresource...); err != nil {
		s.T.Fatal(err)
	}
}

func (s *story) tryPatch(manager, apiVersion, kind, name, merge string, subresource ...string) error {
	o := s.object(apiVersion, kind, name)
	patch, err := yaml.YAMLToJSON([]byte(s.local(merge)))
	if err != nil {
		return err
	}
	if len(subresource) > 0 {
		return s.Client.SubResource(subresource[0]).Patch(context.Background(), o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
	}
	return s.Client.Patch(context.Background(), o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(manager))
}

func (s *story) object(apiVersion, kind, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetName(name)
	o.SetNamespace(s.Namespace)
	return o
}

// delete deletes an object of the test's namespace, as kubectl delete does.
func (s *story) delete(apiVersion, kind, name string) {
	s.T.Helper()
	if err := s.Client.Delete(context.Background(), s.object(apiVersion, kind, name)); err != nil {
		s.T.Fatal(err)
	}
}

// live reads an object of the test's namespace, which must be there.
func (s *story) live(apiVersion, kind, name string) *unstructured.Unstructured {
	s.T.Helper()
	o := s.Get(apiVersion, kind, s.Namespace, name)
	if o == nil {
		s.T.Fatalf("%s %s is not in the cluster", kind, name)
	}
	return o
}

// gone fails the test if an object of the test's namespace is there.
func (s *story) gone(apiVersion, kind, name string) {
	s.T.Helper()
	if o := s.Get(apiVersion, kind, s.Namespace, name); o != nil && o.GetDeletionTimestamp() == nil {
		s.T.Errorf("%s %s is still in the cluster", kind, name)
	}
}

// goes waits until an object of the test's namespace is gone. What leaves Git goes as soon as
// the other Overlays of the Repository have looked at the revision, for one of them may want it;
// that may be a moment after the Overlay itself is Ready.
func (s *story) goes(apiVersion, kind, name string) {
	s.T.Helper()
	s.Eventually(kind+" "+name+" is gone", func() (bool, string) {
		return s.Get(apiVersion, kind, s.Namespace, name) == nil, "it is there"
	})
}

// at reads one field of a live object as text; empty if it or the object is not there.
func (s *story) at(apiVersion, kind, name string, path ...string) string {
	s.T.Helper()
	o := s.Get(apiVersion, kind, s.Namespace, name)
	if o == nil {
		return ""
	}
	return field(o, path...)
}

func field(o *unstructured.Unstructured, path ...string) string {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if err != nil || !found {
		return ""
	}
	return fmt.Sprint(value)
}

// data reads a key of a ConfigMap.
func (s *story) data(name, key string) string {
	s.T.Helper()
	return s.at("v1", "ConfigMap", name, "data", key)
}

// becomes waits until a field of an object has a value.
func (s *story) becomes(want, apiVersion, kind, name string, path ...string) {
	s.T.Helper()
	s.Eventually(fmt.Sprintf("%s %s has %s = %q", kind, name, strings.Join(path, "."), want), func() (bool, string) {
		is := s.at(apiVersion, kind, name, path...)
		return is == want, fmt.Sprintf("it is %q", is)
	})
}

// readyAt waits until an Overlay that a revision changes is Ready at it.
func (s *story) readyAt(name, revision string) *v1alpha1.Overlay {
	s.T.Helper()
	return s.WaitOverlay(name, "is Ready at "+revision, func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Status == metav1.ConditionTrue && o.Status.Revision == revision
	})
}

// saysAt waits until the Ready condition of an Overlay has a reason at a revision, and
// returns its message.
func (s *story) saysAt(name, revision, reason string) string {
	s.T.Helper()
	o := s.WaitOverlay(name, "says "+reason+" at "+revision, func(o *v1alpha1.Overlay) bool {
		return rig.Ready(o).Reason == reason && o.Status.AttemptedRevision == revision
	})
	return s.told(o)
}

// says waits until the Ready condition of an Overlay has a reason, and returns its message.
func (s *story) says(name, reason string) string {
	s.T.Helper()
	return s.told(s.WaitReason(name, reason))
}

func (s *story) told(o *v1alpha1.Overlay) string {
	c := rig.Ready(o)
	s.T.Logf("%s: Ready=%s %s: %s", o.Name, c.Status, c.Reason, c.Message)
	return c.Message
}

// mentions fails the test if a message lacks one of the texts.
func (s *story) mentions(message string, texts ...string) {
	s.T.Helper()
	for _, text := range texts {
		if !strings.Contains(message, s.local(text)) {
			s.T.Errorf("%q is not in the message: %s", s.local(text), message)
		}
	}
}

// othersGoOn waits until the neighbour is Ready and as the last commit says.
func (s *story) othersGoOn() {
	s.T.Helper()
	s.becomes(fmt.Sprint(s.commits), "v1", "ConfigMap", "neighbour", "data", "commits")
	s.WaitReady("neighbour")
}

// same fails the test unless the object is the one it was.
func (s *story) same(before *unstructured.Unstructured) {
	s.T.Helper()
	now := s.Get(before.GetAPIVersion(), before.GetKind(), before.GetNamespace(), before.GetName())
	switch {
	case now == nil:
		s.T.Errorf("%s %s was deleted", before.GetKind(), before.GetName())
	case now.GetUID() != before.GetUID():
		s.T.Errorf("%s %s was deleted and created again", before.GetKind(), before.GetName())
	}
}

func newObject(apiVersion, kind, name, rest string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n  namespace: NS\n%s", apiVersion, kind, name, rest)
}

func indented(lines []string) string { return "  " + strings.Join(lines, "\n  ") + "\n" }

func configMap(name string, data ...string) string {
	return newObject("v1", "ConfigMap", name, "data:\n"+indented(data))
}

func secret(name string, data ...string) string {
	return newObject("v1", "Secret", name, "stringData:\n"+indented(data))
}

// annotated adds an annotation to a manifest.
func annotated(manifest, key, value string) string {
	return strings.Replace(manifest, "  namespace: NS\n", fmt.Sprintf("  namespace: NS\n  annotations:\n    %s: %q\n", key, value), 1)
}

// deployment is one whose pods do as the annotation fake.sluice.dev/pod says; "" for well.
func deployment(name, fate string, replicas int) string {
	if fate != "" {
		fate = "{fake.sluice.dev/pod: " + fate + "}"
	} else {
		fate = "{}"
	}
	return newObject("apps/v1", "Deployment", name, fmt.Sprintf(`spec:
  replicas: %d
  selector: {matchLabels: {app: %s}}
  template:
    metadata:
      labels: {app: %s}
      annotations: %s
    spec:
      containers:
      - name: main
        image: registry.example.com/%s:v1
`, replicas, name, name, fate, name))
}

// crd defines a kind in a group that is the test's own: widgets.NS.example.com.
func crd(kind string) string {
	plural := strings.ToLower(kind) + "s"
	return fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %s.NS.example.com
spec:
  group: NS.example.com
  names: {kind: %s, plural: %s}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
`, plural, kind, plural)
}

func timeout(d time.Duration) func(*v1alpha1.Overlay) {
	return func(o *v1alpha1.Overlay) { o.Spec.Timeout = metav1.Duration{Duration: d} }
}

func condition(o *v1alpha1.Overlay, kind string) metav1.Condition {
	if c := apimeta.FindStatusCondition(o.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func (s *story) namespaceIs(name string) bool {
	s.T.Helper()
	var ns corev1.Namespace
	err := s.Client.Get(context.Background(), client.ObjectKey{Name: name}, &ns)
	if err != nil && !apierrors.IsNotFound(err) {
		s.T.Fatal(err)
	}
	return err == nil && ns.DeletionTimestamp.IsZero()
}
