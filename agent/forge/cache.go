package forge

import (
	"net/http"
	"slices"
	"sync"
)

// Bounds of a cache.
const (
	maxEntries   = 128
	maxKept      = 8 << 20 // bytes of all answers together
	maxEntryKept = 1 << 20
)

// cache keeps answers that have an ETag, to ask whether they have changed. The newest stay.
type cache struct {
	mu      sync.Mutex
	entries []entry // the newest last
	size    int
}

type entry struct {
	key  string
	etag string
	kept answer
}

// answer is what a forge answered, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// find returns an answer and its ETag; without one there is none.
func (c *cache) find(key string) (kept answer, etag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.entries {
		if e.key == key {
			c.entries = append(slices.Delete(c.entries, i, i+1), e)
			return e.kept, e.etag
		}
	}
	return answer{}, ""
}

// keep keeps an answer in place of an older one.
func (c *cache) keep(key string, a answer) {
	etag := a.header.Get("ETag")
	if etag == "" || len(a.body) > maxEntryKept {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = slices.DeleteFunc(c.entries, func(e entry) bool {
		if e.key == key {
			c.size -= len(e.kept.body)
		}
		return e.key == key
	})
	c.entries = append(c.entries, entry{key, etag, a})
	c.size += len(a.body)
	for len(c.entries) > maxEntries || c.size > maxKept {
		c.size -= len(c.entries[0].kept.body)
		c.entries = slices.Delete(c.entries, 0, 1)
	}
}
