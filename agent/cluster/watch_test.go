package cluster

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// An object may be deleted right after it was written, and its watch may say so before the
// answer to the write arrives.
func TestDeletionOvertakesTheAnswer(t *testing.T) {
	ref := agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "settings"}
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "settings", UID: "a", ResourceVersion: "100",
		Labels: map[string]string{v1alpha1.OverlayLabel: "app", v1alpha1.OverlayNamespaceLabel: "platform"},
	}}
	for _, c := range []struct {
		name  string
		gone  string
		stays bool
	}{
		{"it is gone since", "101", false},
		{"one before it was gone", "99", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := make(chan agent.Owner, 10)
			s := &Session{seen: map[agent.Ref]sighting{}, writing: map[agent.Ref]*write{}, notify: func(o agent.Owner) { told <- o }}
			w := &watcher{key: watchKey{GroupKind: ref.GroupKind()}, session: s}
			gone := answer.DeepCopy()
			gone.ResourceVersion = c.gone

			s.beginWrite(ref)
			if err := w.Delete(gone); err != nil {
				t.Fatal(err)
			}
			s.observe(ref, answer)
			s.endWrite(ref)

			if _, seen := s.Seen(ref); seen != c.stays {
				t.Errorf("it is seen: %v, want %v", seen, c.stays)
			}
			if !c.stays && (<-told) != (agent.Owner{Namespace: "platform", Name: "app"}) {
				t.Error("its owner was not told")
			}
			if len(s.writing) != 0 {
				t.Error("the write is remembered for ever")
			}
		})
	}
}

// What is known of an object only gets newer, whatever order its sightings come in and whether
// or not it was deleted and made anew in between.
func TestSightingsGetNewer(t *testing.T) {
	type event struct {
		what, uid, version string
	}
	for _, c := range []struct {
		name   string
		events []event
		uid    string // of what is known in the end; empty for nothing
		told   int
	}{
		{"it changes", []event{{"seen", "a", "5"}, {"seen", "a", "6"}}, "a", 1},
		{"late news of the same object", []event{{"seen", "a", "6"}, {"seen", "a", "5"}}, "a", 1},
		{"it is made anew", []event{{"seen", "a", "5"}, {"gone", "a", "6"}, {"seen", "b", "7"}}, "b", 3},
		{"made anew, nobody saw it go", []event{{"seen", "a", "5"}, {"seen", "b", "7"}}, "b", 2},
		{"late news of the one before", []event{{"seen", "b", "7"}, {"seen", "a", "5"}}, "b", 1},
		{"late news that the one before is gone", []event{{"seen", "b", "7"}, {"gone", "a", "6"}}, "b", 1},
		{"it goes", []event{{"seen", "a", "5"}, {"gone", "a", "6"}}, "", 2},
		{"the watch ended", []event{{"end", "", ""}, {"seen", "a", "5"}}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := 0
			s := &Session{seen: map[agent.Ref]sighting{}, notify: func(agent.Owner) { told++ }}
			w := &watcher{key: watchKey{GroupKind: schema.GroupKind{Kind: "ConfigMap"}}, session: s, cancel: func() {}, first: make(chan struct{})}
			for _, e := range c.events {
				object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings", UID: types.UID(e.uid), ResourceVersion: e.version}}
				var err error
				switch e.what {
				case "seen":
					err = w.Update(object)
				case "gone":
					err = w.Delete(object)
				case "end":
					w.end()
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if live, _ := s.Seen(agent.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "settings"}); live.UID != c.uid {
				t.Errorf("%q is known, want %q", live.UID, c.uid)
			}
			if told != c.told {
				t.Errorf("the owner was told %d times, want %d", told, c.told)
			}
		})
	}
}

// What is streamed to a watcher is reduced as it comes, and means the same as the whole object.
func TestGlance(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sluice.dev/v1alpha1", "kind": "Retraining", "spec": map[string]any{"model": "fraud"},
		"metadata": map[string]any{"namespace": "ml", "name": "fraud", "uid": "a", "resourceVersion": "5", "generation": int64(2), "finalizers": []any{"x"},
			"deletionTimestamp": "2026-11-25T03:00:00Z", "annotations": map[string]any{v1alpha1.PruneAnnotation: "disabled"},
			"managedFields": []any{map[string]any{"manager": v1alpha1.FieldManager, "operation": "Apply", "fieldsV1": map[string]any{"f:spec": map[string]any{}}}}},
	}}
	seen := func(reduce func(w *watcher, obj any) any) agent.Live {
		t.Helper()
		s := &Session{seen: map[agent.Ref]sighting{}, notify: func(agent.Owner) {}}
		w := &watcher{key: watchKey{GroupKind: schema.GroupKind{Group: "sluice.dev", Kind: "Retraining"}}, session: s, first: make(chan struct{})}
		if err := w.Replace([]any{reduce(w, object)}, "5"); err != nil {
			t.Fatal(err)
		}
		live, _ := s.Seen(agent.Ref{Group: "sluice.dev", Kind: "Retraining", Namespace: "ml", Name: "fraud"})
		return live
	}
	whole := seen(func(_ *watcher, obj any) any { return obj })
	reduced := seen(func(w *watcher, obj any) any {
		for range 2 { // what was streamed comes again with the whole list
			var err error
			if obj, err = w.Transformer()(obj); err != nil {
				t.Fatal(err)
			}
		}
		if _, is := obj.(*glance); !is {
			t.Errorf("%T is held", obj)
		}
		return obj
	})
	if whole.Fields == "" || !whole.KeepOnPrune || !reflect.DeepEqual(whole, reduced) {
		t.Errorf("seen whole it is %+v, and reduced %+v", whole, reduced)
	}
}

// A watch is replaced when its version is not served any more, and when it was refused and a
// pass comes by; it goes on when it only has to wait.
func TestUsefulWatch(t *testing.T) {
	widgets := schema.GroupVersionResource{Group: "shop", Version: "v1", Resource: "widgets"}
	resource := widgets.GroupResource()
	for _, c := range []struct {
		name     string
		resource schema.GroupVersionResource
		failed   error
		ago      time.Duration
		narrowed bool
		want     bool
	}{
		{"all is well", widgets, nil, 0, false, true},
		{"another version", resource.WithVersion("v2"), nil, 0, false, false},
		{"refused just now", widgets, apierrors.NewForbidden(resource, "", nil), 0, false, true},
		{"refused a while ago", widgets, apierrors.NewForbidden(resource, "", nil), time.Minute, false, false},
		{"refused, and narrowed", widgets, apierrors.NewForbidden(resource, "", nil), time.Minute, true, true},
		{"not served a while ago", widgets, apierrors.NewNotFound(resource, ""), time.Minute, false, false},
		{"no answer", widgets, context.DeadlineExceeded, time.Minute, false, true},
		{"it does not work", widgets, apierrors.NewServiceUnavailable("down"), time.Minute, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watcher{resource: widgets, failed: c.failed, failure: time.Now().Add(-c.ago), narrowed: c.narrowed}
			if useful, why := w.useful(c.resource); useful != c.want || useful == (why != nil) {
				t.Errorf("useful: %v, because %v", useful, why)
			}
		})
	}
}

// An account may lose the right to watch what it has watched. That is told, but not because an
// API server that starts does not know yet what it allows.
func TestRightToWatchIsRevoked(t *testing.T) {
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", nil)
	key, owner := watchKey{GroupKind: schema.GroupKind{Kind: "ConfigMap"}}, agent.Owner{Namespace: "platform", Name: "app"}
	for _, c := range []struct {
		name  string
		noted []error
		want  agent.Class
		told  int
	}{
		{"once", []error{refusal}, "", 0},
		{"for long", []error{refusal, refusal}, agent.Forbidden, 1},
		{"with an answer in between", []error{refusal, nil, refusal}, "", 0},
		{"the API server starts", []error{apierrors.NewServiceUnavailable("wait"), refusal}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := 0
			s := &Session{seen: map[agent.Ref]sighting{}, needs: map[agent.Owner]map[watchKey]bool{owner: {key: true}}, notify: func(agent.Owner) { told++ }}
			w := &watcher{key: key, session: s, first: make(chan struct{})}
			if err := w.Replace(nil, "5"); err != nil {
				t.Fatal(err)
			}
			for _, err := range c.noted {
				w.note(err)
				if !w.refused.IsZero() {
					w.refused = w.refused.Add(-refusalStands)
				}
			}
			err := w.wait(t.Context(), Account{})
			if (err == nil) != (c.want == "") || err != nil && ClassOf(err) != c.want {
				t.Errorf("it says %v, want %s", err, c.want)
			}
			if told != c.told {
				t.Errorf("told %d times, want %d", told, c.told)
			}
		})
	}
}

// A watch that shows nothing because its version is gone does not count as one that has seen
// everything: its overlays look again, and its kind is asked for anew.
func TestWatchOfAVersionThatIsGone(t *testing.T) {
	told := make(chan agent.Owner, 10)
	k := &kinds{now: time.Now, changed: map[string]time.Time{}}
	key := watchKey{GroupKind: schema.GroupKind{Group: "shop", Kind: "Widget"}}
	owner := agent.Owner{Namespace: "platform", Name: "app"}
	s := &Session{seen: map[agent.Ref]sighting{}, kinds: k, needs: map[agent.Owner]map[watchKey]bool{owner: {key: true}}, notify: func(o agent.Owner) { told <- o }}
	w := &watcher{key: key, session: s, first: make(chan struct{})}
	if err := w.Replace(nil, "5"); err != nil {
		t.Fatal(err)
	}
	w.note(apierrors.NewServiceUnavailable("the API server restarts"))
	if err := w.wait(t.Context(), Account{}); err != nil {
		t.Errorf("a watch that has shown its objects goes on with them, and said %v", err)
	}
	w.note(apierrors.NewNotFound(schema.GroupResource{Group: "shop", Resource: "widgets"}, ""))
	if err := w.wait(t.Context(), Account{}); ClassOf(err) != agent.Unavailable {
		t.Errorf("%v is %s; that the objects are gone is not known", err, ClassOf(err))
	}
	if k.changed["shop"].IsZero() {
		t.Error("the kind is not asked for anew")
	}
	if len(told) != 1 || <-told != owner {
		t.Error("the owner was not told")
	}
}
