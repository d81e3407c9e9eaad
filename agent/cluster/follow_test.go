package cluster

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Those who follow an object are told when they have seen other data of it, and only then.
func TestFollower(t *testing.T) {
	red, blue := map[string]any{"color": "cmVk"}, map[string]any{"color": "Ymx1ZQ=="}
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "variables", errors.New("no"))
	for _, c := range []struct {
		name   string
		events []any // data as it is in the object, nil for its end, an error, or a list of data
		want   map[string]string
		synced bool
		told   int
	}{
		{"it is there", []any{[]any{red}}, map[string]string{"color": "red"}, true, 0},
		{"it is not there", []any{[]any{}}, nil, true, 0},
		{"it comes", []any{[]any{}, red}, map[string]string{"color": "red"}, true, 1},
		{"it comes empty", []any{[]any{}, map[string]any{}}, map[string]string{}, true, 1},
		{"it changes", []any{[]any{red}, blue}, map[string]string{"color": "blue"}, true, 1},
		{"something else of it changes", []any{[]any{red}, red}, map[string]string{"color": "red"}, true, 0},
		{"it goes", []any{[]any{red}, nil}, nil, true, 1},
		{"it changes while nobody looks", []any{[]any{red}, errors.New("reset"), []any{blue}}, map[string]string{"color": "blue"}, true, 1},
		{"nothing changes while nobody looks", []any{[]any{red}, errors.New("reset"), []any{red}}, map[string]string{"color": "red"}, true, 0},
		{"it is shown late", []any{errors.New("no answer"), []any{red}}, map[string]string{"color": "red"}, true, 1},
		{"the account may not look", []any{refused}, nil, false, 0},
		{"the account may not look any more", []any{[]any{red}, refused}, nil, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ref, told, ended := agent.Ref{Kind: "Secret", Namespace: "shop", Name: "variables"}, 0, false
			s := &Session{followed: map[agent.Owner]map[agent.Ref]bool{{Namespace: "shop", Name: "app"}: {ref: true}, {Namespace: "shop", Name: "other"}: {}}, notify: func(agent.Owner) { told++ }}
			f := &follower{ref: ref, session: s, cancel: func() { ended = true }, first: make(chan struct{})}
			object := func(data any) *unstructured.Unstructured {
				return &unstructured.Unstructured{Object: map[string]any{"kind": "Secret", "data": data}}
			}
			for _, event := range c.events {
				var err error
				switch e := event.(type) {
				case nil:
					err = f.Delete(object(nil))
				case error:
					f.note(e)
				case map[string]any:
					err = f.Update(object(e))
				case []any:
					for n := range e {
						e[n] = object(e[n])
					}
					err = f.Replace(e, "1")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if f.synced != c.synced || (f.data == nil) != (c.want == nil) || !maps.Equal(f.data, c.want) {
				t.Errorf("it has %v (synced: %v), want %v", f.data, f.synced, c.want)
			}
			if told != c.told {
				t.Errorf("told %d times, want %d", told, c.told)
			}
			if refused := !c.synced; ended != refused || f.tryAgain() {
				t.Errorf("the watch ended: %v, is tried again: %v", ended, f.tryAgain())
			}
			if f.refused = f.refused.Add(-refusedFor); !c.synced && !f.tryAgain() {
				t.Errorf("it is never tried again after %s", time.Since(f.refused))
			}
		})
	}
}
