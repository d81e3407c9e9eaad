package cluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// refusedFor is how long an account that may not watch an object is not asked to again.
const refusedFor = 10 * time.Minute

// follower is the watch of one ConfigMap or Secret, of which it keeps the data.
type follower struct {
	ref     agent.Ref
	session *Session
	cancel  context.CancelFunc

	first  chan struct{} // closed at the first answer or the first failure
	closer sync.Once

	mu      sync.Mutex
	synced  bool
	failed  bool              // since it was synced
	refused time.Time         // when the account turned out not to have the right to watch it
	data    map[string]string // nil if there is no such object
}

// Follow returns the data of ConfigMaps and Secrets, with the values of Secrets decoded; those
// that are not there are left out. Each of them is watched alone, as the session's account, so
// that they cost nothing when they are asked for again, and so that the owner is told when
// their data changes. What the account may get but not watch is read every time. Those that
// the owner followed before and does not name any more are left.
func (s *Session) Follow(ctx context.Context, owner agent.Owner, refs []agent.Ref) (map[agent.Ref]map[string]string, error) {
	found := map[agent.Ref]map[string]string{}
	for _, f := range s.follow(owner, refs) {
		data, err := f.read(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.ref, err)
		}
		if data != nil {
			found[f.ref] = data
		}
	}
	return found, nil
}

// follow notes what the owner follows, starts the watches that are missing and ends those that
// nobody needs any more.
func (s *Session) follow(owner agent.Owner, refs []agent.Ref) []*follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.followed[owner]
	delete(s.followed, owner)
	var followers []*follower
	for _, ref := range refs {
		if s.followed[owner] == nil {
			s.followed[owner] = map[agent.Ref]bool{}
		}
		s.followed[owner][ref] = true
		if f, running := s.followers[ref]; !running || f.tryAgain() {
			s.followers[ref] = s.startFollower(ref)
		}
		followers = append(followers, s.followers[ref])
	}
	for ref := range before {
		if len(s.followersOf(ref)) == 0 {
			s.followers[ref].cancel()
			delete(s.followers, ref)
		}
	}
	return followers
}

// followersOf lists the owners that follow an object. The session's mutex is held.
func (s *Session) followersOf(ref agent.Ref) []agent.Owner {
	var owners []agent.Owner
	for owner, refs := range s.followed {
		if refs[ref] {
			owners = append(owners, owner)
		}
	}
	return owners
}

func (s *Session) startFollower(ref agent.Ref) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{ref: ref, session: s, cancel: cancel, first: make(chan struct{})}
	resource := schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(ref.Kind) + "s"}
	alone := fields.OneTermEqualSelector("metadata.name", ref.Name).String()
	source := sourceOf(s.dynamic.Resource(resource).Namespace(ref.Namespace), func(o *metav1.ListOptions) { o.FieldSelector = alone }, f.note)
	go watchWith(ctx, source, f, ref.String())
	return f
}

// tryAgain tells that a watch was refused long ago.
func (f *follower) tryAgain() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.refused.IsZero() && time.Since(f.refused) > refusedFor
}

// read returns what the watch shows, or what is there if it does not work.
func (f *follower) read(ctx context.Context) (map[string]string, error) {
	patience, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	select {
	case <-f.first:
	case <-patience.Done():
		f.note(patience.Err()) // and it is not waited for again
	}
	f.mu.Lock()
	synced, data := f.synced, f.data
	f.mu.Unlock()
	if synced {
		return data, nil
	}
	ctx, stop := context.WithTimeout(ctx, requestPatience)
	defer stop()
	object, err := f.session.Get(ctx, f.ref, "v1")
	if err != nil || object == nil {
		return nil, err
	}
	return dataOf(object)
}

// note takes in what came of a request. A watch that has shown the object goes on with what it
// has shown, unless the account lost the right to see it. One that is refused ends: it would
// be refused again and again.
func (f *follower) note(err error) {
	if err == nil || everyday(err) {
		return
	}
	f.mu.Lock()
	f.failed = f.failed || !f.synced
	if apierrors.IsForbidden(err) {
		f.synced, f.refused, f.data = false, time.Now(), nil
		f.cancel()
	}
	f.mu.Unlock()
	f.closer.Do(func() { close(f.first) })
}

// Add, Update, Delete, Replace and Resync make a follower the store of its reflector.

// Add takes in that the object appeared.
func (f *follower) Add(obj any) error { return f.Update(obj) }

// Update takes in what the object is now.
func (f *follower) Update(obj any) error {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%s: %T came from its watch", f.ref, obj)
	}
	data, err := dataOf(object)
	if err != nil {
		return err
	}
	f.take(data)
	return nil
}

// Delete takes in that the object is gone.
func (f *follower) Delete(any) error {
	f.take(nil)
	return nil
}

// Replace takes in the object, or that there is none.
func (f *follower) Replace(objects []any, _ string) error {
	if len(objects) == 0 {
		return f.Delete(nil)
	}
	return f.Update(objects[0]) // there is but one of a name
}

// Resync does nothing: there is no second level to resync to.
func (f *follower) Resync() error { return nil }

// take keeps data, and tells those who follow the object if they have seen other data.
func (f *follower) take(data map[string]string) {
	f.mu.Lock()
	news := f.failed || f.synced && ((f.data == nil) != (data == nil) || !maps.Equal(f.data, data))
	f.synced, f.failed, f.data = true, false, data
	f.mu.Unlock()
	f.closer.Do(func() { close(f.first) })
	if !news {
		return
	}
	f.session.mu.Lock()
	owners := f.session.followersOf(f.ref)
	f.session.mu.Unlock()
	for _, owner := range owners {
		f.session.notify(owner)
	}
}

// dataOf returns the data of a ConfigMap or Secret; it is not nil.
func dataOf(object *unstructured.Unstructured) (map[string]string, error) {
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = map[string]string{}
	}
	if object.GetKind() != "Secret" {
		return data, nil
	}
	for key, value := range data {
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("the value of %s is not base64", key)
		}
		data[key] = string(plain)
	}
	return data, nil
}
