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
	a := Event{Repository: repo("a"), Pulls: []int{7, 9}}
	got := a.Merge(Event{Repository: repo("a"), Fetch: true, Pulls: []int{3, 7}})
	if want := (Event{Repository: repo("a"), Fetch: true, Pulls: []int{3, 7, 9}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(a.Pulls, []int{7, 9}) {
		t.Errorf("the first has changed: %+v", a)
	}
	for n := range maxPulls {
		got = got.Merge(Event{Pulls: []int{100 + n}})
	}
	if !got.AllPulls || got.Pulls != nil || !got.Fetch {
		t.Errorf("too many: %+v", got)
	}
	if got = got.Merge(Event{Pulls: []int{1}}); !got.AllPulls || got.Pulls != nil {
		t.Errorf("one more: %+v", got)
	}
}

func TestMailboxKeepsOneEventOfEachRepository(t *testing.T) {
	m := NewMailbox()
	for n := range 10_000 {
		m.Notify(Event{Repository: repo("a"), Pulls: []int{n}})
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
	want := []Event{{Repository: repo("a"), Fetch: true, AllPulls: true}, {Repository: repo("b"), Fetch: true}}
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
				for _, n := range e.Pulls {
					seen[fmt.Sprint(e.Repository, n)] = true
				}
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
				// Names of their own, lest a merge overflows.
				m.Notify(Event{Repository: repo(fmt.Sprintf("r%d-%d", w, n/8)), Pulls: []int{n}})
			}
		})
	}
	writing.Wait()
	readers.Wait()
	if len(seen) != writers*each {
		t.Errorf("%d of %d came out", len(seen), writers*each)
	}
}
