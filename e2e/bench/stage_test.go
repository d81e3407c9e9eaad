package bench_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/gitserver"
	"github.com/sluice-dev/sluice/e2e/rig"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type files = map[string]string

// shape is how a repository is cut: Overlays with ConfigMaps each.
type shape struct{ overlays, objects int }

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.overlays, s.objects) }

func (s shape) files() files {
	all := files{}
	for o := range s.overlays {
		list := strings.Builder{}
		list.WriteString("resources:\n")
		for n := range s.objects {
			fmt.Fprintf(&list, "- %s.yaml\n", objectName(o, n))
			all[objectPath(o, n)] = object(o, n, "red")
		}
		all[overlayName(o)+"/kustomization.yaml"] = list.String()
	}
	return all
}

func overlayName(o int) string   { return fmt.Sprintf("o%04d", o) }
func objectName(o, n int) string { return fmt.Sprintf("o%04d-%04d", o, n) }
func objectPath(o, n int) string { return fmt.Sprintf("o%04d/o%04d-%04d.yaml", o, o, n) }

// object is a ConfigMap; a change of the color is a change of one line.
func object(o, n int, color string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n  threshold: \"0.85\"\n  endpoint: https://models.example.com/v1/score\n  color: %s\n",
		objectName(o, n), apps, color)
}

// apps is the namespace of what is deployed.
const apps = "apps"

// stage is a repository with its Overlays, and the agent that follows it.
type stage struct {
	*rig.Rig
	repo     *gitserver.Repo
	files    files // as last pushed
	overlays []v1alpha1.Overlay
}

// newStage has everything in place but the Repository and the Overlays: the agent runs and has
// nothing to do.
func newStage(t *testing.T, o cluster.Options, content files) *stage {
	t.Helper()
	s := &stage{Rig: rig.New(t, o), files: content}
	s.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: apps}})
	s.Create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: floorNamespace}})
	var err error
	if s.repo, err = s.Git.Create(s.Namespace + "/platform"); err != nil {
		t.Fatal(err)
	}
	if content != nil {
		s.Push(s.repo, gitserver.Change{Message: "begin", Files: content})
	}
	s.StartAgent()
	s.awaitIdle()
	return s
}

// overlay is one more Overlay to create.
func (s *stage) overlay(name, path string) {
	s.overlays = append(s.overlays, v1alpha1.Overlay{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
		Spec:       v1alpha1.OverlaySpec{RepositoryRef: v1alpha1.RepositoryReference{Name: "platform"}, Path: path, Timeout: metav1.Duration{Duration: 10 * time.Minute}},
	})
}

// create creates the Repository and the Overlays, as kubectl apply would but more at once.
func (s *stage) create() {
	s.T.Helper()
	s.Create(&v1alpha1.Repository{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "platform"},
		Spec:       v1alpha1.RepositorySpec{URL: s.repo.URL, Ref: &v1alpha1.RepositoryRef{Branch: "main"}, Interval: metav1.Duration{Duration: time.Hour}},
	})
	var group errgroup.Group
	group.SetLimit(16)
	for n := range s.overlays {
		group.Go(func() error { return s.Client.Create(context.Background(), s.overlays[n].DeepCopy()) })
	}
	if err := group.Wait(); err != nil {
		s.T.Fatal(err)
	}
}

// push commits files and returns the revision.
func (s *stage) push(message string, changed files) string {
	s.T.Helper()
	for path, content := range changed {
		s.files[path] = content
	}
	return s.Push(s.repo, gitserver.Change{Message: message, Files: changed})
}

// head is the revision that the branch stands at.
func (s *stage) head() string {
	s.T.Helper()
	hash, err := s.repo.Hash("main")
	if err != nil {
		s.T.Fatal(err)
	}
	return "main@sha1:" + hash
}

// awaitSynced waits until every Overlay has reached a revision.
func (s *stage) awaitSynced(revision string) {
	s.T.Helper()
	await(s, "platform", &v1alpha1.RepositoryList{}, s.Namespace, func(r *v1alpha1.Repository) bool { return r.Status.SyncedRevision == revision })
}

// notify tells the agent of a commit, as a webhook would: it is to look at the Repository now.
func (s *stage) notify() (asked string) {
	s.T.Helper()
	return s.request(&v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "platform"}})
}

// request annotates an object in one call that changes nothing else.
func (s *stage) request(o client.Object) (asked string) {
	s.T.Helper()
	asked = time.Now().Format(time.RFC3339Nano)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, asked)
	if err := s.Client.Patch(context.Background(), o, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		s.T.Fatal(err)
	}
	return asked
}

// ask has the agent look at the Repository, and returns when it has said that it did.
func (s *stage) ask() {
	s.T.Helper()
	asked := s.notify()
	await(s, "platform", &v1alpha1.RepositoryList{}, s.Namespace, func(r *v1alpha1.Repository) bool { return r.Status.LastHandledReconcileAt == asked })
}

// askOverlay does the same with an Overlay.
func (s *stage) askOverlay(name string) {
	s.T.Helper()
	asked := s.request(&v1alpha1.Overlay{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}})
	await(s, name, &v1alpha1.OverlayList{}, s.Namespace, func(o *v1alpha1.Overlay) bool { return o.Status.LastHandledReconcileAt == asked })
}

// drift changes a ConfigMap by hand, and returns when it is as it was.
func (s *stage) drift(o, n int) {
	s.T.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: apps, Name: objectName(o, n)}}
	var color string
	s.Update(m, func() {
		color = m.Data["color"]
		m.Data["color"] = "black"
	})
	await(s, m.Name, &corev1.ConfigMapList{}, apps, func(m *corev1.ConfigMap) bool { return m.Data["color"] == color })
}

// color is that of a ConfigMap in the cluster.
func (s *stage) color(o, n int) string {
	s.T.Helper()
	var m corev1.ConfigMap
	if err := s.Client.Get(context.Background(), client.ObjectKey{Namespace: apps, Name: objectName(o, n)}, &m); err != nil {
		s.T.Fatal(err)
	}
	return m.Data["color"]
}

// await waits until an object is as it should be. It watches: a poll would be work for the API
// server while its work is measured.
func await[T client.Object](s *stage, name string, list client.ObjectList, namespace string, is func(T) bool) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		watch, err := s.Client.Watch(ctx, list, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)})
		if err != nil {
			s.T.Fatalf("waiting for %s: %v", name, err)
		}
		for event := range watch.ResultChan() {
			if o, ok := event.Object.(T); ok && is(o) {
				watch.Stop()
				return
			}
		}
		watch.Stop() // the server has ended it, or time is up, which the next one says
	}
}

// patience is how long a wait may take before it fails. It is no measure of anything.
const patience = 30 * time.Minute

// awaitIdle waits until the agent has nothing to do: for a second it asks for nothing and computes
// next to nothing. It returns when that second began.
func (s *stage) awaitIdle() time.Time {
	s.T.Helper()
	const quiet = time.Second
	deadline := time.Now().Add(patience)
	for {
		calls, used, since := len(s.agentCalls()), s.Usage().CPU, time.Now()
		time.Sleep(quiet)
		if len(s.agentCalls()) == calls && s.Usage().CPU-used <= quiet/20 {
			return since
		}
		if time.Now().After(deadline) {
			s.T.Fatalf("the agent is still at work after %s", patience)
		}
	}
}

// agentCalls returns the calls of the agent so far.
func (s *stage) agentCalls() cluster.Requests { return s.Calls().By("sluice/") }
