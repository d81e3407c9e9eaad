package artifact

import (
	"container/list"
	"crypto/sha256"
	"fmt"
	"sync"
)

// maxCached is how many files' sums are kept, each in some 200 bytes.
const maxCached = 1 << 16

// cache keeps the sums of files that were read, those used last.
type cache struct {
	mu    sync.Mutex
	kept  map[sum]*list.Element
	order *list.List // of entries, the one used last in front
}

type entry struct{ key, sum sum }

func newCache() *cache { return &cache{kept: map[sum]*list.Element{}, order: list.New()} }

// cacheKey is for a version of a file in a store; ok is false if nothing tells versions apart.
// The store is in it, lest one that lies speaks for another.
func cacheKey(store string, f file) (key sum, ok bool) {
	text := fmt.Sprintf("%q %q %d %q %d", store, f.key, f.size, f.tag, f.modified.UnixNano())
	return sha256.Sum256([]byte(text)), f.tag != "" || !f.modified.IsZero()
}

func (c *cache) get(key sum) (sum, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.kept[key]
	if !ok {
		return sum{}, false
	}
	c.order.MoveToFront(found)
	return found.Value.(entry).sum, true
}

func (c *cache) put(key, value sum) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.kept[key]; ok {
		return
	}
	c.kept[key] = c.order.PushFront(entry{key, value})
	if c.order.Len() > maxCached {
		last := c.order.Back()
		delete(c.kept, c.order.Remove(last).(entry).key)
	}
}
