package record

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// object is the pointer to a T.
type object[T any] interface {
	*T
	client.Object
	DeepCopy() *T
}

// kept are records as they were last written, by what they are records of, until the cache has them.
type kept[T any, P object[T]] struct {
	mu      sync.Mutex
	written map[types.NamespacedName]map[string]P
}

// merge puts what was written in the place of what the cache has of it, as long as that is older.
func (k *kept[T, P]) merge(of types.NamespacedName, cached []T) []T {
	k.mu.Lock()
	defer k.mu.Unlock()
	written := k.written[of]
	for n := range cached {
		o := P(&cached[n])
		mine := written[o.GetName()]
		switch {
		case mine == nil:
		case mine.GetUID() == o.GetUID() && Older(o.GetResourceVersion(), mine.GetResourceVersion()):
			cached[n] = *mine.DeepCopy()
		default:
			delete(written, o.GetName())
		}
	}
	for name, mine := range written { // what is not in the cache yet
		if !slices.ContainsFunc(cached, func(o T) bool { return P(&o).GetName() == name }) {
			cached = append(cached, *mine.DeepCopy())
		}
	}
	return cached
}

// keep remembers a record as it was written.
func (k *kept[T, P]) keep(of types.NamespacedName, o P) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.written == nil {
		k.written = map[types.NamespacedName]map[string]P{}
	}
	if k.written[of] == nil {
		k.written[of] = map[string]P{}
	}
	k.written[of][o.GetName()] = o.DeepCopy()
}

// gone forgets a record that was deleted.
func (k *kept[T, P]) gone(of types.NamespacedName, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.written[of], name)
}

// forget drops what is remembered of all records of something.
func (k *kept[T, P]) forget(of types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.written, of)
}

// Older compares two resource versions of one object.
func Older(a, b string) bool { return len(a) < len(b) || len(a) == len(b) && a < b }
