package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	gosync "sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/shard"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/rig"
	"k8s.io/apimachinery/pkg/types"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// Replicas come, leave in order, and are cut off from the API server and connected again, at
// random. Never do two of them work on one Repository, and in the end those that are left have
// all the work.
func TestOneReplicaForEachShard(t *testing.T) {
	seed := crashSeed(t)
	t.Logf("SLUICE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	r := rig.New(t, cluster.Options{})
	desk := &desk{t: t}
	var all, there []*sharer
	join := func() {
		s := join(t, r, desk, len(all))
		all, there = append(all, s), append(there, s)
	}
	join()
	join()
	for range 40 {
		switch s := there[random.IntN(len(there))]; {
		case random.IntN(3) == 0 && len(there) < 6:
			join()
		case random.IntN(3) == 0 && len(there) > 2:
			s.end()
			for n := range there {
				if there[n] == s {
					there = append(there[:n], there[n+1:]...)
					break
				}
			}
		default:
			s.cut.Store(!s.cut.Load())
		}
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
	}
	for _, s := range there {
		s.cut.Store(false)
	}
	r.Eventually("those that are left have all the work", func() (bool, string) {
		have, text := 0, ""
		for _, s := range there {
			have, text = have+s.shares.Held(), text+fmt.Sprintf("%d: %d, ", s.number, s.shares.Held())
		}
		return have == shard.Count, text
	})
	for _, s := range all {
		s.end()
	}
	if desk.pieces.Load() < 1000 {
		t.Errorf("only %d pieces of work were done: the test is broken", desk.pieces.Load())
	}
}

// desk knows who works on what.
type desk struct {
	t      *testing.T
	at     [shard.Count]atomic.Int32 // number of the replica, plus one
	pieces atomic.Int64
}

// repositories are names that fall into all shards.
var repositories = func() (names [shard.Count]types.NamespacedName) {
	for n, found := 0, 0; found < shard.Count; n++ {
		name := types.NamespacedName{Namespace: "team", Name: fmt.Sprint("repository-", n)}
		if s := shard.Of(name); names[s].Name == "" {
			names[s], found = name, found+1
		}
	}
	return names
}()

// sharer is a replica that does nothing but hold what it may.
type sharer struct {
	number int
	desk   *desk
	shares *shard.Shares
	cut    atomic.Bool // off from the API server
	end    func()
}

// join starts a replica.
func join(t *testing.T, r *rig.Rig, desk *desk, number int) *sharer {
	s := &sharer{number: number, desk: desk, shares: shard.New()}
	s.shares.Add(s)
	config := r.Cluster.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(request *http.Request) (*http.Response, error) {
			if s.cut.Load() {
				return nil, errors.New("cut off by the test")
			}
			return next.RoundTrip(request)
		})
	})
	leases, err := coordination.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running gosync.WaitGroup
	running.Go(func() {
		_ = s.shares.Share(ctx, shard.Replica{Leases: leases.Leases(r.Namespace), Host: fmt.Sprint("replica-", number), Duration: 3 * time.Second})
	})
	for n := range shard.Count {
		running.Go(func() { s.work(ctx, n) })
	}
	s.end = func() { cancel(); running.Wait() }
	t.Cleanup(s.end)
	return s
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// Take, Begin and Leave make it a worker. It looks at its shards all the time anyway.
func (s *sharer) Take(context.Context, shard.Set) error { return nil }
func (s *sharer) Begin(shard.Set)                       {}
func (s *sharer) Leave(of shard.Set) {
	for n := range of {
		if of[n] && s.desk.at[n].Load() == int32(s.number+1) {
			s.desk.t.Errorf("replica %d forgets shard %d in the middle of its work", s.number, n)
		}
	}
}

// work does pieces of work on one Repository, whenever it may, until ctx ends.
func (s *sharer) work(ctx context.Context, n int) {
	for ctx.Err() == nil {
		held, done, ok := s.shares.Hold(ctx, repositories[n])
		if ok {
			if !s.desk.at[n].CompareAndSwap(0, int32(s.number+1)) {
				s.desk.t.Errorf("replica %d begins with shard %d, on which replica %d is at work", s.number, n, s.desk.at[n].Load()-1)
			} else {
				s.desk.pieces.Add(1)
				select {
				case <-held.Done():
				case <-time.After(30 * time.Millisecond):
				}
				s.desk.at[n].Store(0)
			}
			done()
		}
		time.Sleep(3 * time.Millisecond)
	}
}
