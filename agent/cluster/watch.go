package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/health"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// syncPatience is how long a pass waits for the first answer of a new watch. Groups that do
// not answer in time are taken as not to be seen now; their first answer wakes the overlay.
const syncPatience = 10 * time.Second

// watchKey names a watch: a kind, everywhere or in one namespace.
type watchKey struct {
	schema.GroupKind
	namespace string
}

// watcher is one running watch.
type watcher struct {
	key     watchKey
	session *Session
	cancel  context.CancelFunc
	static  bool

	first  chan struct{} // closed at the first answer or the first failure
	closer sync.Once

	mu     sync.Mutex
	synced bool
	failed error
	// narrowed: the account may not watch the kind everywhere, so this watch has ended and
	// others watch it namespace by namespace.
	narrowed bool
}

// sighting is what was last seen of an object, and through which watch.
type sighting struct {
	live agent.Live
	via  watchKey
}

// Need is a kind whose objects an overlay has, with the namespaces they are in.
type Need struct {
	Kind       schema.GroupVersionKind
	Namespaces []string
}

// Watch makes sure that the owner's kinds are watched and that what is watched has been seen
// once. Watches that nobody needs any more end. It returns the kinds that cannot be watched
// now, with the reason; everything else goes on without them.
func (s *Session) Watch(ctx context.Context, owner agent.Owner, needs []Need) map[schema.GroupKind]error {
	failed := map[schema.GroupKind]error{}
	keys := map[watchKey]bool{}
	var waiting []*watcher
	for _, need := range needs {
		mapping, err := s.mapping(need.Kind)
		if err != nil {
			failed[need.Kind.GroupKind()] = explainKind(need.Kind, err)
			continue
		}
		waiting = append(waiting, s.start(owner, watchKey{GroupKind: need.Kind.GroupKind()}, mapping))
	}
	patience, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	for _, need := range needs {
		waiting = append(waiting, s.narrow(patience, owner, need)...)
	}
	for _, w := range waiting {
		keys[w.key] = true
	}
	s.settle(owner, keys)
	for _, w := range waiting {
		if err := w.wait(patience, s.account); err != nil {
			failed[w.key.GroupKind] = err
		}
	}
	return failed
}

// Leave ends the owner's interest in all its kinds.
func (s *Session) Leave(owner agent.Owner) { s.settle(owner, nil) }

// settle notes what the owner needs and ends the watches nobody needs.
func (s *Session) settle(owner agent.Owner, keys map[watchKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(keys) == 0 {
		delete(s.needs, owner)
	} else {
		s.needs[owner] = keys
	}
	needed := map[watchKey]bool{}
	for _, of := range s.needs {
		for k := range of {
			needed[k] = true
		}
	}
	for k, w := range s.watches {
		if !needed[k] && !keys[k] {
			w.cancel()
			w.closer.Do(func() { close(w.first) })
			delete(s.watches, k)
			for ref, seen := range s.seen {
				if seen.via == k {
					delete(s.seen, ref)
				}
			}
		}
	}
}

// narrow watches a kind namespace by namespace where the account may not look further.
func (s *Session) narrow(ctx context.Context, owner agent.Owner, need Need) []*watcher {
	mapping, err := s.mapping(need.Kind)
	if err != nil || mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return nil
	}
	everywhere := s.start(owner, watchKey{GroupKind: need.Kind.GroupKind()}, mapping)
	if !everywhere.giveUpIfForbidden(ctx) {
		return nil
	}
	var each []*watcher
	for _, ns := range need.Namespaces {
		each = append(each, s.start(owner, watchKey{GroupKind: need.Kind.GroupKind(), namespace: ns}, mapping))
	}
	return each
}

// start returns the running watch of a kind, and starts it if there is none. The owner needs
// it from now on: an Overlay that settles meanwhile must not end it.
func (s *Session) start(owner agent.Owner, key watchKey, mapping *meta.RESTMapping) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.needs[owner] == nil {
		s.needs[owner] = map[watchKey]bool{}
	}
	s.needs[owner][key] = true
	if w, running := s.watches[key]; running {
		return w
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{key: key, session: s, cancel: cancel, first: make(chan struct{}), static: health.Static(key.GroupKind)}
	s.watches[key] = w
	go cache.NewReflectorWithOptions(w.source(mapping), nil, w, cache.ReflectorOptions{Name: "sluice", TypeDescription: key.String()}).RunWithContext(ctx)
	return w
}

// source lists and watches objects with the ownership label, and notes failures.
func (w *watcher) source(mapping *meta.RESTMapping) cache.ListerWatcher {
	list := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return w.session.dynamic.Resource(mapping.Resource).Namespace(w.key.namespace).List(ctx, o)
	}
	open := func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		return w.session.dynamic.Resource(mapping.Resource).Namespace(w.key.namespace).Watch(ctx, o)
	}
	if w.static {
		list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return w.session.metadata.Resource(mapping.Resource).Namespace(w.key.namespace).List(ctx, o)
		}
		open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return w.session.metadata.Resource(mapping.Resource).Namespace(w.key.namespace).Watch(ctx, o)
		}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = v1alpha1.OverlayLabel
			found, err := list(ctx, o)
			w.note(err)
			return found, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = v1alpha1.OverlayLabel
			stream, err := open(ctx, o)
			w.note(err)
			return stream, err
		},
	}
}

// note keeps a failure until the next success. An expired resource version is everyday life.
// A watch that has shown its objects once goes on with what it has shown: a failure then is
// mostly an API server that restarts, and the reflector may resume without a new list.
func (w *watcher) note(err error) {
	if err == nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) {
		return
	}
	w.mu.Lock()
	if !w.synced {
		w.failed = err
	}
	w.mu.Unlock()
	w.closer.Do(func() { close(w.first) })
}

func (w *watcher) wait(ctx context.Context, account Account) error {
	w.answered(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.synced || w.narrowed {
		return nil
	}
	return explainWatch(w.key, account, w.failed)
}

// answered waits for the first answer or failure. Silence until ctx ends is a failure, and is
// not waited for again: the answer, should it come, wakes the overlays that need it.
func (w *watcher) answered(ctx context.Context) {
	select {
	case <-w.first:
		return
	case <-ctx.Done():
	}
	select {
	case <-w.first: // both at once
	default:
		w.note(context.DeadlineExceeded)
	}
}

// giveUpIfForbidden waits for the first answer, ends the watch if that was a refusal, and
// tells so.
func (w *watcher) giveUpIfForbidden(ctx context.Context) bool {
	w.answered(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.narrowed && apierrors.IsForbidden(w.failed) {
		w.narrowed = true
		w.cancel()
	}
	return w.narrowed
}

// Add, Update, Delete, Replace and Resync make a watcher the store of its reflector.

// Add takes in an object that appeared.
func (w *watcher) Add(obj any) error { return w.Update(obj) }

// Update takes in an object that changed.
func (w *watcher) Update(obj any) error {
	object, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	w.session.see(w.key, refOf(w.key.GroupKind, object), sight(w.key.GroupKind, object))
	return nil
}

// Delete takes in that an object is gone, or lost its ownership label.
func (w *watcher) Delete(obj any) error {
	object, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	w.session.lose(refOf(w.key.GroupKind, object), parseVersion(object.GetResourceVersion()))
	return nil
}

// Replace takes in the whole truth as of a resource version.
func (w *watcher) Replace(objects []any, version string) error {
	present := make(map[agent.Ref]bool, len(objects))
	for _, obj := range objects {
		object, err := meta.Accessor(obj)
		if err != nil {
			return err
		}
		present[refOf(w.key.GroupKind, object)] = true
		if err := w.Update(obj); err != nil {
			return err
		}
	}
	w.session.loseOthers(w.key, present, parseVersion(version))
	w.mu.Lock()
	again := w.failed != nil
	w.synced, w.failed = true, nil
	w.mu.Unlock()
	w.closer.Do(func() { close(w.first) })
	if again {
		w.session.wake(w.key)
	}
	return nil
}

// Resync does nothing: there is no second level to resync to.
func (w *watcher) Resync() error { return nil }

// see keeps what was seen of an object if it is newer than what is known, and tells its
// owners if something changed that matters to them.
func (s *Session) see(via watchKey, ref agent.Ref, live agent.Live) {
	s.mu.Lock()
	before, known := s.seen[ref]
	if known && before.live.ResourceVersion > live.ResourceVersion && before.live.UID == live.UID {
		s.mu.Unlock()
		return
	}
	s.seen[ref] = sighting{live: live, via: via}
	s.mu.Unlock()
	if known && same(before.live, live) {
		return
	}
	s.notify(live.Owner)
	if known && before.live.Owner != live.Owner {
		s.notify(before.live.Owner)
	}
}

// same tells whether two sightings differ in nothing that a plan or a status depends on.
func same(a, b agent.Live) bool {
	return a.UID == b.UID && a.Owner == b.Owner && a.Foreign == b.Foreign && a.Fields == b.Fields &&
		a.Deleting == b.Deleting && a.KeepOnPrune == b.KeepOnPrune && a.Health == b.Health
}

func (s *Session) lose(ref agent.Ref, version uint64) {
	s.mu.Lock()
	if w := s.writing[ref]; w != nil {
		w.lost = max(w.lost, version)
	}
	before, known := s.seen[ref]
	if known && before.live.ResourceVersion > version {
		known = false
	}
	if known {
		delete(s.seen, ref)
	}
	s.mu.Unlock()
	if known {
		s.notify(before.live.Owner)
	}
}

// loseOthers drops what the watch had shown before and does not show any more.
func (s *Session) loseOthers(via watchKey, present map[agent.Ref]bool, version uint64) {
	var lost []agent.Ref
	s.mu.Lock()
	for ref, seen := range s.seen {
		if seen.via == via && !present[ref] && seen.live.ResourceVersion <= version {
			lost = append(lost, ref)
		}
	}
	for ref := range s.writing {
		if _, known := s.seen[ref]; !known && !present[ref] && ref.GroupKind() == via.GroupKind && (via.namespace == "" || via.namespace == ref.Namespace) {
			lost = append(lost, ref)
		}
	}
	s.mu.Unlock()
	for _, ref := range lost {
		s.lose(ref, version)
	}
}

// wake tells every owner that needs a watch that it is there again.
func (s *Session) wake(key watchKey) {
	s.mu.Lock()
	var owners []agent.Owner
	for owner, keys := range s.needs {
		if keys[key] {
			owners = append(owners, owner)
		}
	}
	s.mu.Unlock()
	for _, owner := range owners {
		s.notify(owner)
	}
}

// Seen returns what is known of an object through watches and own writes.
func (s *Session) Seen(ref agent.Ref) (agent.Live, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, known := s.seen[ref]
	return seen.live, known
}

// String names the watch.
func (k watchKey) String() string {
	if k.namespace == "" {
		return k.GroupKind.String()
	}
	return k.GroupKind.String() + " in " + k.namespace
}
