package controller

import (
	"context"
	gosync "sync"

	"github.com/sluice-dev/sluice/agent/record"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// object is the pointer to a T.
type object[T any] interface {
	*T
	client.Object
	DeepCopy() *T
}

// latest are the objects of a kind as they were last written, until the cache has them, and no longer: thousands of
// them may wait for something that is days away.
type latest[T any, P object[T]] struct {
	mu   gosync.Mutex
	kept map[types.NamespacedName]P
}

// get reads an object from the cache, or as it was last written if the cache is behind.
func (l *latest[T, P]) get(ctx context.Context, cache client.Reader, name types.NamespacedName) (P, error) {
	l.mu.Lock()
	written := l.kept[name] // before the cache is read: what is dropped after that is newer than what was read
	l.mu.Unlock()
	o := P(new(T))
	if err := cache.Get(ctx, name, o); err != nil {
		return nil, err
	}
	if written != nil && !reaches(o, written) {
		return written.DeepCopy(), nil
	}
	l.seen(o)
	return o, nil
}

// reaches tells whether the cache has what was written, or another object of the same name.
func reaches(cached, written client.Object) bool {
	return cached.GetUID() != written.GetUID() || !record.Older(cached.GetResourceVersion(), written.GetResourceVersion())
}

// remember keeps an object as it was written. The cache may have it before the answer to the write is here, and then
// no event comes any more.
func (l *latest[T, P]) remember(cache client.Reader, o P) {
	name := client.ObjectKeyFromObject(o)
	l.mu.Lock()
	if l.kept == nil {
		l.kept = map[types.NamespacedName]P{}
	}
	l.kept[name] = o.DeepCopy()
	l.mu.Unlock()
	cached := P(new(T))
	if err := cache.Get(context.Background(), name, cached); err == nil {
		l.seen(cached)
	}
}

// seen drops what was kept of an object that the cache has.
func (l *latest[T, P]) seen(o P) {
	name := client.ObjectKeyFromObject(o)
	l.mu.Lock()
	defer l.mu.Unlock()
	if written := l.kept[name]; written != nil && reaches(o, written) {
		delete(l.kept, name)
	}
}

// forget drops what was kept of an object.
func (l *latest[T, P]) forget(name types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kept, name)
}

// arrivals drops what is kept as it comes to the cache. Without it that would be kept until the next pass.
func (l *latest[T, P]) arrivals() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		l.seen(e.ObjectNew.(P))
	}}
}
