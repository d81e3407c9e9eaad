package webhook

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func repo(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "platform", Name: name}
}

func TestEventsMerge(t *testing.T) {
	a := Event{Repository: repo("a"), Pulls: true}
	if got, want := a.Merge(Event{Repository: repo("a"), Fetch: true}), (Event{Repository: repo("a"), Fetch: true, Pulls: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := a.Merge(a); got != a {
		t.Errorf("%+v, want %+v", got, a)
	}
}

func TestMailboxKeepsOneEventOfEachRepository(t *testing.T) {
	m := NewMailbox()
	for range 10_000 {
		m.Notify(Event{Repository: repo("a"), Pulls: true})
		m.Notify(Event{Repository: repo("b"), Fetch: true})
	}
	m.Notify(Event{Repository: repo("a"), Fetch: true})
	var got []Event
	for range 2 {
		e, ok := m.Next(t.Context())
		if !ok {
			t.Fatal("nothing there")
		}
		got = append(got, e)
	}
	want := []Event{{Repository: repo("a"), Fetch: true, Pulls: true}, {Repository: repo("b"), Fetch: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if e, ok := m.Next(over); ok {
		t.Errorf("one too many: %+v", e)
	}
}

// Two wait, and two events come before one of them wakes up: neither waits on.
func TestMailboxWakesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMailbox()
		var got sync.Map
		for range 2 {
			go func() {
				e, ok := m.Next(t.Context())
				got.Store(e.Repository.Name, ok)
			}()
		}
		synctest.Wait()
		m.mu.Lock()
		for _, name := range []string{"a", "b"} {
			m.waiting[repo(name)] = Event{Repository: repo(name), Fetch: true}
			m.order = append(m.order, repo(name))
		}
		m.ring()
		m.mu.Unlock()
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			if ok, there := got.Load(name); !there || ok != true {
				t.Errorf("%s: %v, %v", name, ok, there)
			}
		}
	})
}

// What is put in by many is taken out by many, and nobody waits while there is something.
func TestMailboxLosesNothing(t *testing.T) {
	m := NewMailbox()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const writers, each = 8, 500
	var mu sync.Mutex
	seen := map[string]bool{}
	var readers, writing sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				e, ok := m.Next(ctx)
				if !ok {
					return
				}
				mu.Lock()
				seen[e.Repository.Name] = true
				all := len(seen) == writers*each
				mu.Unlock()
				if all {
					cancel()
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				m.Notify(Event{Repository: repo(fmt.Sprintf("r%d-%d", w, n)), Pulls: true})
			}
		})
	}
	writing.Wait()
	readers.Wait()
	if len(seen) != writers*each {
		t.Errorf("%d of %d came out", len(seen), writers*each)
	}
}
