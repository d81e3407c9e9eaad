package shard

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// diary is a worker that notes what it is told.
type diary struct {
	mu     sync.Mutex
	pages  []string
	refuse error
	news   chan struct{}
}

func (d *diary) note(what string) {
	d.mu.Lock()
	d.pages = append(d.pages, what)
	d.mu.Unlock()
	d.news <- struct{}{}
}

func (d *diary) Take(context.Context, Set) error {
	d.note("take")
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuse
}
func (d *diary) Begin(Set) { d.note("begin") }
func (d *diary) Leave(Set) { d.note("leave") }

// expect waits for the next things that the worker is told.
func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	for n := range want {
		select {
		case <-d.news:
		case <-time.After(time.Minute):
			t.Fatalf("%q does not come", want[n])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n, what := range want {
		if at := len(d.pages) - len(want) + n; d.pages[at] != what {
			t.Fatalf("the worker was told %v, want %v at the end", d.pages, want)
		}
	}
}

var (
	mine   = Table{}.Divide([]string{"me"})
	nobody = Table{}
	repo   = types.NamespacedName{Namespace: "team", Name: "platform"}
)

func work(t *testing.T) (*Shares, *diary) {
	s, d := New(), &diary{news: make(chan struct{}, 100)}
	s.Add(d)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.work(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s, d
}

// A shard goes: the work on it is told to end, and only when it has, the worker forgets.
func TestLeaveWaitsForTheWork(t *testing.T) {
	s, d := work(t)
	if _, _, ok := s.Hold(t.Context(), repo); ok {
		t.Fatal("work begins before there is any share")
	}
	s.renewed(time.Now().Add(time.Hour))
	s.heed(mine, "me")
	d.expect(t, "take", "begin")
	ctx, done, ok := s.Hold(t.Context(), repo)
	if !ok {
		t.Fatal("the replica's own work cannot begin")
	}

	s.heed(nobody, "me")
	<-ctx.Done()
	if _, _, ok := s.Hold(t.Context(), repo); ok {
		t.Error("work begins on a shard that goes")
	}
	if s.pick(state.free)[Of(repo)] {
		t.Error("the shard can be handed over while there is work on it")
	}
	d.expect(t, "leave") // the other shards
	done()
	d.expect(t, "leave")
	for !s.pick(state.free)[Of(repo)] {
		<-s.left
	}
}

// A Lease that is renewed late, but is still there: the work ends and goes on, and nothing is
// forgotten.
func TestLapseForgetsNothing(t *testing.T) {
	s, d := work(t)
	s.renewed(time.Now().Add(50 * time.Millisecond))
	s.heed(mine, "me")
	d.expect(t, "take", "begin")
	ctx, done, ok := s.Hold(t.Context(), repo)
	if ok {
		<-ctx.Done() // by itself
		done()
	}
	for s.Held() > 0 {
		time.Sleep(time.Millisecond)
	}
	if _, _, ok := s.Hold(t.Context(), repo); ok {
		t.Error("work begins though the Lease has lapsed")
	}
	s.renewed(time.Now().Add(time.Hour))
	d.expect(t, "begin")
	if _, done, ok = s.Hold(t.Context(), repo); !ok {
		t.Fatal("the work does not go on")
	}
	done()
}

// Workers that cannot take a shard are asked again, and nothing begins before.
func TestTakeIsTriedAgain(t *testing.T) {
	s, d := work(t)
	d.refuse = errors.New("the API server is not there")
	s.renewed(time.Now().Add(time.Hour))
	s.heed(mine, "me")
	d.expect(t, "take")
	if _, _, ok := s.Hold(t.Context(), repo); ok {
		t.Error("work begins on a shard that was not taken")
	}
	d.mu.Lock()
	d.refuse = nil
	d.mu.Unlock()
	d.expect(t, "take", "begin")
}

// The fence lets reads through and stops writes.
func TestFence(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	s := New()
	c := http.Client{Transport: s.Fence()(http.DefaultTransport)}
	send := func(method string) error {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Do(request)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		if err := send(method); !errors.Is(err, ErrLapsed) {
			t.Errorf("%s without a share: %v", method, err)
		}
	}
	if err := send("GET"); err != nil {
		t.Errorf("GET without a share: %v", err)
	}
	s.renewed(time.Now().Add(time.Hour))
	if err := send("PATCH"); err != nil {
		t.Errorf("PATCH with a share: %v", err)
	}
}
