package webhook

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// mostRequests are under way at once, and mostOfOne for one Repository. The product with maxBody
	// is the memory that they can take.
	mostRequests = 64
	mostOfOne    = 8

	// burst of signed hooks that one Repository may have, and how many more each second.
	burst     = 50
	perSecond = 5

	// mostMarks are remembered of a Repository, and mostDoors are the Repositories that something is
	// remembered of. Beyond, one is forgotten: a copy of a hook counts again, and a bucket is full.
	mostMarks = 256
	mostDoors = 4096
)

// crowd counts the requests that are under way. Its zero value is ready.
type crowd struct {
	mu  sync.Mutex
	all int
	of  map[types.NamespacedName]int
}

// enter lets a request in unless there are too many. Who was let in leaves.
func (c *crowd) enter(repository types.NamespacedName) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= mostRequests || c.of[repository] >= mostOfOne {
		return false
	}
	if c.of == nil {
		c.of = map[types.NamespacedName]int{}
	}
	c.all++
	c.of[repository]++
	return true
}

func (c *crowd) leave(repository types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[repository]--; c.of[repository] == 0 {
		delete(c.of, repository)
	}
}

// doors remember what came to each Repository. Only signed hooks get here. The zero value is ready.
type doors struct {
	mu sync.Mutex
	of map[types.NamespacedName]*door
}

// door is what is remembered of one Repository.
type door struct {
	bucket bucket
	marks  []mark // a ring, once it is full
	oldest int
}

// admit tells whether a hook was seen before, and if not takes it out of the bucket. If that is
// empty, wait says when to come again.
func (d *doors) admit(repository types.NamespacedName, marks []mark, now time.Time) (seen bool, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	door := d.get(repository, now)
	if door.knows(marks) {
		return true, 0
	}
	return false, door.bucket.take(now)
}

// remember notes a hook that was accepted. It returns false if it is known already, from a copy that
// came at the same time.
func (d *doors) remember(repository types.NamespacedName, marks []mark, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	door := d.get(repository, now)
	if door.knows(marks) {
		return false
	}
	for _, m := range marks {
		door.add(m)
	}
	return true
}

func (d *doors) get(repository types.NamespacedName, now time.Time) *door {
	if known, ok := d.of[repository]; ok {
		return known
	}
	if d.of == nil {
		d.of = map[types.NamespacedName]*door{}
	}
	for other := range d.of {
		if len(d.of) < mostDoors {
			break
		}
		delete(d.of, other)
	}
	created := &door{bucket: bucket{left: burst, at: now}}
	d.of[repository] = created
	return created
}

func (d *door) knows(marks []mark) bool {
	return slices.ContainsFunc(marks, func(m mark) bool { return slices.Contains(d.marks, m) })
}

func (d *door) add(m mark) {
	if len(d.marks) < mostMarks {
		d.marks = append(d.marks, m)
		return
	}
	d.marks[d.oldest] = m
	d.oldest = (d.oldest + 1) % mostMarks
}

// mark is what a delivery is known again by.
type mark [16]byte

func markOf(what string, value []byte) mark {
	whole := sha256.Sum256(append([]byte(what+"\x00"), value...))
	return mark(whole[:len(mark{})])
}

// bucket has tokens that come back with time.
type bucket struct {
	left float64
	at   time.Time
}

// take takes a token, or returns how long to wait for one.
func (b *bucket) take(now time.Time) time.Duration {
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(burst, b.left+passed.Seconds()*perSecond)
	}
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / perSecond * float64(time.Second))
	}
	b.left--
	return 0
}
