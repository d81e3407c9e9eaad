package bench_test

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is promised of counts, in small: 20 Overlays with 5 objects each, one after the other
// commit, look, drift and restart. The benchmark shows the same numbers for 1,000 Overlays.
func TestCounts(t *testing.T) {
	size := shape{20, 5}
	s := newStage(t, cluster.Options{}, size.files())
	for o := range size.overlays {
		s.overlay(overlayName(o), overlayName(o))
	}
	first := s.firstApply()
	expect(t, "first apply", first, size.overlays*size.objects, limits{calls: 500, writes: 200, renders: 20})

	expect(t, "a commit of one line", s.commit("one line", files{objectPath(7, 3): object(7, 3, "blue")}), 1,
		limits{calls: 15, writes: 3, renders: 1, kept: 19, fetched: 20 << 10})
	if is := s.color(7, 3); is != "blue" {
		t.Errorf("the object says %s, want blue", is)
	}
	expect(t, "a commit that no overlay reads", s.commit("notes", files{"README.md": "# Platform\n"}), 0,
		limits{calls: 6, kept: 20, fetched: 20 << 10})
	expect(t, "looks that find nothing", s.polls(3), 0, limits{})
	expect(t, "resyncs that find nothing", s.resync(10), 0, limits{calls: 20})
	m := s.begin()
	s.drift(4, 2)
	expect(t, "drift of one object", m.end(), 1, limits{calls: 3, writes: 1})
	burst := s.burst(30, 3*time.Second)
	expect(t, "30 commits in 3 s", burst, -1, limits{calls: 90, writes: 30, renders: 10, kept: 10 * 19, fetched: 1 << 20})
	expect(t, "a restart", s.restart(), 0, limits{calls: 8, kept: 20, fetched: 2 << 10})
}

// limits are the most that a scenario may take; what is not said may not be at all.
type limits struct {
	calls, writes, renders, kept int
	status                       int // 0: as many as calls
	fetched                      int64
}

// expect compares a result with its limits, and with how many objects had to be written; -1 is
// some.
func expect(t *testing.T, what string, r Result, changes int, most limits) {
	t.Helper()
	t.Logf("%s: %d calls (%d writes, %d status, %d events, %d reads, %d discovery) and %d watches, %d renders, %d kept, %s fetched",
		what, r.Calls.All, r.Calls.Writes, r.Calls.Status, r.Calls.Events, r.Calls.Reads, r.Calls.Discovery, r.Calls.Watches, r.Renders, r.Kept, size(r.Fetched))
	is := limits{calls: r.Calls.All, writes: r.Calls.Writes, renders: r.Renders, kept: r.Kept, fetched: r.Fetched}
	ok := is.calls <= most.calls && is.writes <= most.writes && r.Calls.Status <= cmp.Or(most.status, most.calls) && is.renders <= most.renders && is.kept <= most.kept && is.fetched <= max(most.fetched, 30<<10)
	if done := len(deployed(r.calls)); done != changes && (changes >= 0 || done == 0) {
		t.Errorf("%s: %d objects were written, want %d:\n%s", what, done, changes, r.calls)
	} else if !ok || r.Calls.DryRuns > 0 {
		t.Errorf("%s: %+v with %d dry-runs, want at most %+v and none:\n%s", what, is, r.Calls.DryRuns, most, r.calls)
	}
}

// polls has the agent look at the remote by itself, once a second.
func (s *stage) polls(times int) Result {
	s.T.Helper()
	every := func(interval time.Duration) {
		o := s.GetRepository("platform")
		s.Update(o, func() { o.Spec.Interval = metav1.Duration{Duration: interval} })
		await(s, o.Name, &v1alpha1.RepositoryList{}, s.Namespace, func(r *v1alpha1.Repository) bool { return r.Status.ObservedGeneration == r.Generation })
	}
	every(time.Second)
	s.awaitIdle()
	m, before := s.begin(), s.Git.Traffic()
	s.Eventually(fmt.Sprintf("the agent has looked %d times", times), func() (bool, string) {
		seen := s.Git.Traffic().Sub(before).LsRefs
		return seen >= times, fmt.Sprint(seen)
	})
	r := m.end()
	every(time.Hour)
	s.awaitIdle()
	return r
}
