package retraining_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine/pipelines"
	"github.com/sluice-dev/sluice/e2e/kfp"
	"github.com/sluice-dev/sluice/e2e/rig"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// killer kills agents at moments that a seed decides: $SLUICE_SEED, or a new one each time.
func killer(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SLUICE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLUICE_SEED: %v", err)
		}
	}
	t.Logf("SLUICE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 12))
}

// everMade are the Jobs that there have ever been, also those that are gone: the UIDs by the names.
type everMade struct {
	mu   sync.Mutex
	uids map[string]map[types.UID]bool
}

// watchJobs notes the Jobs of the namespace until the test ends.
func (h *house) watchJobs() *everMade {
	h.T.Helper()
	events, err := h.Client.Watch(context.Background(), &batchv1.JobList{}, client.InNamespace(h.Namespace))
	h.must(err)
	h.T.Cleanup(events.Stop)
	e := &everMade{uids: map[string]map[types.UID]bool{}}
	go func() {
		for event := range events.ResultChan() {
			if j, is := event.Object.(*batchv1.Job); is {
				e.mu.Lock()
				if e.uids[j.Name] == nil {
					e.uids[j.Name] = map[types.UID]bool{}
				}
				e.uids[j.Name][j.UID] = true
				e.mu.Unlock()
			}
		}
	}()
	return e
}

// count is how many Jobs there have been.
func (e *everMade) count() (count int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, uids := range e.uids {
		count += len(uids)
	}
	return count
}

// once fails the test unless each attempt of the runs, and nothing else, has had one Job.
func (e *everMade) once(t *testing.T, runs []v1alpha1.RetrainingRun) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	attempts := map[string]bool{}
	for _, r := range runs {
		for _, a := range r.Status.Attempts {
			attempts[a.Name] = true
			if len(e.uids[a.Name]) != 1 || !e.uids[a.Name][types.UID(a.ID)] {
				t.Errorf("the attempt %s, known as %q, has had the Jobs %v", a.Name, a.ID, e.uids[a.Name])
			}
		}
	}
	for name := range e.uids {
		if !attempts[name] {
			t.Errorf("the Job %s is of no attempt", name)
		}
	}
}

// steps counts what the agent has done: what it has written to the API server about the house, and to the forge.
func (h *house) steps() (count int, last string) {
	h.T.Helper()
	for _, q := range h.Calls().By("sluice").Writes().Without("events", "leases.coordination.k8s.io") {
		if q.Namespace == h.Namespace && q.Code < 300 {
			count, last = count+1, q.String()
		}
	}
	for _, q := range h.gitea.Traffic() {
		if q.Method != http.MethodGet && strings.Contains(q.Path, h.repo.FullName()) && !strings.HasSuffix(q.Path, "git-upload-pack") {
			count, last = count+1, q.Method+" "+q.Path
		}
	}
	return count, last
}

// The agent is killed after everything that it writes, at once or a moment later, from the request for a run to the pull
// request. Job and pipeline are run once, there is one commit, and one pull request.
func TestKilledAtEveryStep(t *testing.T) {
	random := killer(t)
	h := newHouse(t)
	h.train(h.writes("0.947"))
	s := h.pipelines(kfp.Options{Walk: &kfp.Walk{Pending: time.Second, Running: time.Second}})
	h.serving()
	h.files["models/model.yaml"] = strings.ReplaceAll(simple, "NAMESPACE", h.Namespace)
	h.retraining("job", job+result+"  version: v8\n"+proposed)
	h.retraining("kfp", piped)
	h.begin()
	h.serves("v7")
	made := h.watchJobs()
	over := func() bool {
		for _, name := range []string{"job", "kfp"} {
			if runs := h.runs(name); len(runs) == 0 || !runs[0].Status.Phase.Ended() {
				return false
			}
		}
		pulls, err := h.repo.Pulls(t.Context(), "open")
		h.must(err)
		return len(pulls) > 0
	}
	h.ask("job")
	h.ask("kfp")
	known, _ := h.steps()
	// A run that has begun and is not on record yet is what matters most: that is looked at before all else.
	begun := func() int { return made.count() + s.Count("POST", "/apis/v2beta1/runs") }
	kills, had := map[string]int{}, begun()
	kill := func(after string) {
		// Something has followed from it, or not. A forge takes long for what it does, and gets ever more time.
		if n := kills[after]; n%2 == 1 {
			time.Sleep(time.Duration(random.IntN(500*(n+1)/2)) * time.Millisecond)
		}
		h.KillAgent()
		kills[after]++
		known, _ = h.steps() // with what it did until then
		had = begun()
		h.StartAgent(flags...)
	}
	deadline := time.Now().Add(2 * rig.Patience)
	for still := time.Now(); ; time.Sleep(time.Millisecond) {
		now, last := known, ""
		if begun() == had {
			now, last = h.steps()
		}
		switch {
		case begun() != had:
			kill("a run began")
		case now != known:
			what, _, _ := strings.Cut(last, " "+h.Namespace)
			kill(what)
		case time.Since(still) < 300*time.Millisecond: // it is at work
			continue
		}
		if over() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to its end: %s", h.standing())
		}
		still = time.Now()
	}
	t.Logf("killed after %v", kills)
	runs := []v1alpha1.RetrainingRun{h.ends("job", v1alpha1.RunSucceeded)}
	made.once(t, runs)
	r := h.ends("kfp", v1alpha1.RunSucceeded)
	if ids := s.Counting(pipelines.RunName(r.Status.Attempts[0].Name, r.UID)); len(r.Status.Attempts) != 1 || len(ids) != 1 || ids[0] != r.Status.Attempts[0].ID {
		t.Errorf("the pipeline was run as %q, of the attempts %+v", ids, r.Status.Attempts)
	}
	h.onePull(runs[0], "v8")
}

// onePull fails the test unless a result has come to Git as one commit and one pull request.
func (h *house) onePull(r v1alpha1.RetrainingRun, version string) {
	h.T.Helper()
	branch := "sluice/retrain/fraud-" + version
	h.pull(branch)
	pulls, err := h.repo.Pulls(h.T.Context(), "all")
	h.must(err)
	if len(pulls) != 1 {
		h.T.Errorf("there are %d pull requests", len(pulls))
	}
	commits, err := h.repo.Git(h.owner, "rev-list", "main.."+branch)
	h.must(err)
	if n := len(strings.Fields(commits)); n != 1 {
		h.T.Errorf("%s has %d commits", branch, n)
	}
	if p := r.Status.Proposal; p == nil || p.Commit != strings.TrimSpace(commits) {
		h.T.Errorf("on record is %+v, and the commit is %s", p, commits)
	}
}

// Two agents that know nothing of each other work on the same Retrainings, and one of them is killed at last. Each slot
// is run once.
func TestTwoAgentsFight(t *testing.T) {
	h := newHouse(t)
	h.train(h.writes("0.947"))
	// Both can have the server make a run at once, and it does. One of the two is stopped when that is seen, for
	// which it has to last a while.
	s := h.pipelines(kfp.Options{Walk: &kfp.Walk{Running: 2 * time.Second}})
	h.retraining("job", "schedules: [\"@every 3s\"]\nmissed: All\nhistoryLimit: 100\n"+job+result)
	h.retraining("kfp", "schedules: [\"@every 3s\"]\nmissed: All\nhistoryLimit: 100\n"+piped)
	made := h.watchJobs()
	other := h.Replica()
	other.StartAgent(flags...)
	h.begin()
	succeeded := func(name string) int { return int(h.get(name).Status.Streak) }
	h.Eventually("four runs of each have succeeded", func() (bool, string) {
		return succeeded("job") >= 4 && succeeded("kfp") >= 4, h.standing()
	})
	other.KillAgent()
	before := succeeded("job")
	h.Eventually("it goes on with one", func() (bool, string) { return succeeded("job") > before, h.standing() })
	h.files["models/job.yaml"] += "  suspend: true\n"
	h.files["models/kfp.yaml"] += "  suspend: true\n"
	h.push("enough")
	for _, name := range []string{"job", "kfp"} {
		h.Eventually(name+" has come to rest", func() (bool, string) {
			r := h.get(name)
			return r.Status.SuspendedSince != nil && len(r.Status.Active) == 0, h.standing()
		})
		runs := h.runs(name)
		for n, r := range runs {
			if r.Status.Phase == v1alpha1.RunSkipped || r.Status.Phase == "" {
				continue
			}
			if r.Status.Phase != v1alpha1.RunSucceeded || len(r.Status.Attempts) != 1 {
				t.Errorf("%s is %s with %d attempts: %s", r.Name, r.Status.Phase, len(r.Status.Attempts), r.Status.Message)
			}
			if n > 0 && r.Spec.Slot.Sub(runs[n-1].Spec.Slot.Time) != 3*time.Second {
				t.Errorf("between %s and %s a slot is lost", runs[n-1].Name, r.Name)
			}
		}
		if name == "job" {
			made.once(t, runs)
			continue
		}
		for _, r := range begun(runs) {
			for _, a := range r.Status.Attempts {
				if ids := s.Counting(pipelines.RunName(a.Name, r.UID)); !slices.Equal(ids, []string{a.ID}) {
					t.Errorf("the attempt %s, known as %q, was run as %q", a.Name, a.ID, ids)
				}
			}
		}
	}
}
