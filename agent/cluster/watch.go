package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// syncPatience is how long a pass waits for the first answer of a new watch. Groups that do
// not answer in time are taken as not to be seen now; their first answer wakes the overlay.
const syncPatience = 10 * time.Second

// watchKey names a watch: the objects of a kind that Overlays own, or Models, or Retrainings, everywhere or
// in one namespace.
type watchKey struct {
	schema.GroupKind
	namespace string
	of        agent.OwnerKind
}

// watcher is one running watch.
type watcher struct {
	key      watchKey
	resource schema.GroupVersionResource
	session  *Session
	cancel   context.CancelFunc
	static   bool
	ended    bool // under the mutex of the session: what still comes is not news any more

	first  chan struct{} // closed at the first answer or the first failure
	closer sync.Once

	mu      sync.Mutex
	synced  bool
	failed  error
	failure time.Time
	refused time.Time // since when it is refused, without an answer in between
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
// now, with the reason; everything else goes on without them. Only a kind of which the API
// server says that it is not served has the class NoKind.
func (s *Session) Watch(ctx context.Context, owner agent.Owner, needs []Need) map[schema.GroupKind]error {
	failed := map[schema.GroupKind]error{}
	keys := map[watchKey]bool{}
	mappings := make([]*meta.RESTMapping, len(needs))
	everywhere := make([]*watcher, len(needs))
	for n, need := range needs {
		gk := need.Kind.GroupKind()
		mapping, err := s.mappingToWatch(owner.Kind, need.Kind)
		if err != nil {
			failed[gk] = explainKind(need.Kind, err)
			if !meta.IsNoMatchError(err) {
				s.keep(owner, gk, keys)
			}
			continue
		}
		mappings[n], everywhere[n] = mapping, s.start(owner, watchKey{GroupKind: gk, of: owner.Kind}, mapping)
	}
	patience, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	var waiting []*watcher
	for n, need := range needs {
		if everywhere[n] != nil {
			waiting = append(waiting, everywhere[n])
			waiting = append(waiting, s.narrow(patience, owner, everywhere[n], mappings[n], need.Namespaces)...)
		}
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

// mappingToWatch finds the resource to watch of a kind. Overlays may have different versions of
// it: any one shows all objects, so the one that is watched stays while it is served.
func (s *Session) mappingToWatch(of agent.OwnerKind, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	s.mu.Lock()
	w, running := s.watches[watchKey{GroupKind: gvk.GroupKind(), of: of}]
	s.mu.Unlock()
	if running {
		gvk.Version = w.resource.Version
	}
	return s.mapping(gvk)
}

// keep adds the watches that an owner has of a kind to keys.
func (s *Session) keep(owner agent.Owner, gk schema.GroupKind, keys map[watchKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.needs[owner] {
		if key.GroupKind == gk {
			keys[key] = true
		}
	}
}

// Leave ends the owner's interest in all its kinds, and in what it follows.
func (s *Session) Leave(owner agent.Owner) {
	s.settle(owner, nil)
	s.follow(owner, nil)
}

// settle notes what the owner needs and ends the watches nobody needs.
func (s *Session) settle(owner agent.Owner, keys map[watchKey]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(keys) > 0 && maps.Equal(s.settled[owner], keys) {
		s.needs[owner] = keys
		return // as after its last pass, like nearly always
	}
	s.settled[owner] = keys
	if len(keys) == 0 {
		delete(s.settled, owner)
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
			w.end()
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
func (s *Session) narrow(ctx context.Context, owner agent.Owner, everywhere *watcher, mapping *meta.RESTMapping, namespaces []string) []*watcher {
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace || !everywhere.giveUpIfForbidden(ctx) {
		return nil
	}
	var each []*watcher
	for _, ns := range namespaces {
		each = append(each, s.start(owner, watchKey{GroupKind: everywhere.key.GroupKind, namespace: ns, of: owner.Kind}, mapping))
	}
	return each
}

// start returns the running watch of a kind, and starts it if there is none, or if the one that
// runs is of no use any more. The owner needs it from now on: an Overlay that settles meanwhile
// must not end it.
func (s *Session) start(owner agent.Owner, key watchKey, mapping *meta.RESTMapping) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.needs[owner] == nil {
		s.needs[owner] = map[watchKey]bool{}
	}
	s.needs[owner][key] = true
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{key: key, resource: mapping.Resource, session: s, cancel: cancel, first: make(chan struct{}), static: health.Static(key.GroupKind)}
	if before, running := s.watches[key]; running {
		useful, why := before.useful(mapping.Resource)
		if useful {
			cancel()
			return before
		}
		before.end()
		w.failed = why // until the first answer, which those who met the failure are told of
	}
	s.watches[key] = w
	go watchWith(ctx, w.source(), w, key.String())
	return w
}

// restartAfter is how long after a refusal a pass has a watch tried again at once, and not only
// when its turn has come.
const restartAfter = 2 * time.Second

// useful tells whether a watch can go on: it is of the resource that the kind has now, and
// was not refused a while ago. If it is not, it says why.
func (w *watcher) useful(resource schema.GroupVersionResource) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.resource != resource:
		return false, fmt.Errorf("%s is not served as %s any more", w.key, w.resource.Version)
	case (apierrors.IsForbidden(w.failed) || apierrors.IsNotFound(w.failed)) && !w.narrowed && time.Since(w.failure) > restartAfter:
		return false, w.failed
	}
	return true, nil
}

// end stops a watch. The session's mutex is held.
func (w *watcher) end() {
	w.ended = true
	w.cancel()
	w.closer.Do(func() { close(w.first) })
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced && w.failed == nil {
		w.failed = errors.New("the watch was replaced by another")
	}
}

// watchWith lists and watches until ctx ends. After failures it tries again, at least twice a
// minute.
func watchWith(ctx context.Context, source cache.ListerWatcher, store cache.ReflectorStore, what string) {
	cache.NewReflectorWithOptions(source, nil, store, cache.ReflectorOptions{
		Name: "sluice", TypeDescription: what,
		Backoff: &wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Cap: 15 * time.Second, Steps: 10},
	}).RunWithContext(ctx)
}

// source lists and watches objects with the ownership label, and notes failures.
func (w *watcher) source() cache.ListerWatcher {
	if w.static {
		return sourceOf(w.session.metadata.Resource(w.resource).Namespace(w.key.namespace), w.key.labelled, w.note)
	}
	return sourceOf(w.session.dynamic.Resource(w.resource).Namespace(w.key.namespace), w.key.labelled, w.note)
}

// labelled restricts a list or watch to objects with the ownership label.
func (k watchKey) labelled(o *metav1.ListOptions) {
	switch k.of {
	case agent.ModelOwner:
		o.LabelSelector = v1alpha1.ModelNamespaceLabel
	case agent.RetrainingOwner:
		o.LabelSelector = v1alpha1.RetrainingLabel
	default:
		o.LabelSelector = v1alpha1.OverlayLabel
	}
}

// lister is a client of one resource that gives lists of type L.
type lister[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// sourceOf lists and watches what a restriction leaves of a resource, and notes what comes of
// every request.
func sourceOf[L runtime.Object](client lister[L], restrict func(*metav1.ListOptions), note func(error)) cache.ListerWatcher {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			restrict(&o)
			found, err := client.List(ctx, o)
			note(err)
			return found, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			restrict(&o)
			stream, err := client.Watch(ctx, o)
			note(err)
			return stream, err
		},
	}
}

// refusalStands is how long a watch that has shown its objects has to be refused until that is
// believed: an API server that starts refuses what it will allow in a moment.
const refusalStands = time.Minute

// note keeps a failure until the next success. A watch that has shown its objects once goes on
// with what it has shown: a failure then is mostly an API server that restarts, and the
// reflector may resume without a new list. But when there is nothing any more where the watch
// looks, or the account lost the right to look, it shows nothing: the overlays look again.
func (w *watcher) note(err error) {
	if everyday(err) {
		return
	}
	w.mu.Lock()
	switch {
	case !apierrors.IsForbidden(err):
		w.refused = time.Time{}
	case w.refused.IsZero():
		w.refused = time.Now()
	}
	unserved, revoked := apierrors.IsNotFound(err), apierrors.IsForbidden(err) && w.synced && time.Since(w.refused) > refusalStands
	if err != nil && (!w.synced || unserved || revoked) {
		w.synced, w.failed, w.failure = false, err, time.Now()
	}
	w.mu.Unlock()
	if err != nil {
		w.closer.Do(func() { close(w.first) })
	}
	if unserved {
		w.session.kinds.change(w.key.Group)
	}
	if unserved || revoked {
		w.session.wake(w.key)
	}
}

// everyday tells that a request of a watch was ended, or has to be made in another way, which
// is no failure.
func everyday(err error) bool {
	return errors.Is(err, context.Canceled) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err)
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
	seen, err := w.glance(obj)
	if err != nil {
		return err
	}
	g := seen.(*glance)
	w.session.see(w, refOf(w.key.GroupKind, g), g.live)
	return nil
}

// glance is what is kept of an object, with its name and version.
type glance struct {
	metav1.ObjectMeta
	live agent.Live
}

var _ cache.TransformingStore = (*watcher)(nil)

// Transformer makes a watcher hold no whole objects while all are streamed to it.
func (w *watcher) Transformer() cache.TransformFunc { return w.glance }

// glance reduces an object to what is kept of it.
func (w *watcher) glance(obj any) (any, error) {
	if g, is := obj.(*glance); is {
		return g, nil
	}
	object, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	return &glance{
		ObjectMeta: metav1.ObjectMeta{Namespace: object.GetNamespace(), Name: object.GetName(), ResourceVersion: object.GetResourceVersion()},
		live:       sight(w.key.GroupKind, object),
	}, nil
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
// owners if something changed that matters to them. Versions are those of the resource, so
// they tell the older from the newer also when the object was made anew.
func (s *Session) see(w *watcher, ref agent.Ref, live agent.Live) {
	s.mu.Lock()
	before, known := s.seen[ref]
	if w.ended || known && before.live.ResourceVersion > live.ResourceVersion {
		s.mu.Unlock()
		return
	}
	s.seen[ref] = sighting{live: live, via: w.key}
	s.mu.Unlock()
	if known && same(before.live, live) && live.Owner.Kind == "" { // the others go by more of a status than its health
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
