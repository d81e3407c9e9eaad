package models_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/cluster"
	"github.com/sluice-dev/sluice/e2e/kserve"
	"github.com/sluice-dev/sluice/e2e/rig"
)

// deployed is a Model that Deployments serve behind a gateway, with the stages that follow.
const deployed = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  serving:
    deployment:
      port: 8080
      gateway: {name: public}
      template:
        replicas: 1
        template:
          spec:
            containers:
            - name: server
              image: registry.example.com/scorer:1
              args: ["${uri}"]
  stages:
`

// inferred is one that KServe serves.
const inferred = `apiVersion: sluice.dev/v1alpha1
kind: Model
metadata:
  name: fraud
spec:
  serving:
    kserve:
      mode: Standard
      template:
        predictor:
          minReplicas: 1
          model:
            modelFormat: {name: sklearn}
  stages:
`

// stepwise is a stage with a canary.
const stepwise = `  - name: production
    namespace: fraud
    version: v7
    rollout:
      drain: 1s
      canary:
      - {traffic: 10, hold: 2s}
      - {traffic: 50, hold: 2s}
`

// held is how long each step of stepwise has to last.
const held = 2 * time.Second

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
	return rand.New(rand.NewPCG(seed, 3))
}

// crash kills the agent and starts it again.
func (h *house) crash() {
	h.T.Helper()
	h.KillAgent()
	h.StartAgent("--allow-loopback-checks")
}

// crashing kills the agent whenever the Promotion of a version has gone on, until that has ended: the
// first time in a state at once, before anything follows from it, and later a moment after, when
// something has. Before tells how often it was killed in which state.
func (h *house) crashing(r *record, version string, random *rand.Rand, before map[string]int) {
	h.T.Helper()
	patience := time.After(rig.Patience)
	for known := 0; ; {
		select {
		case <-r.moved:
		case <-patience:
			h.T.Fatalf("the Promotion of %s has not ended: %s", version, way(r.of("production", version)))
		}
		stands := r.of("production", version)
		if len(stands) == known {
			continue
		}
		if before[stands[len(stands)-1].String()] > 0 {
			time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond) // the moment
		}
		h.KillAgent()
		stands = r.of("production", version) // with what it did until then
		known = len(stands)
		before[stands[known-1].String()]++
		h.StartAgent("--allow-loopback-checks")
		if stands[known-1].phase.Ended() {
			return
		}
	}
}

// The agent is killed at every state of a promotion. It goes on from there: each state comes once,
// in its order, each step lasts as long as it has to, and the traffic of the version only rises.
func TestKilledWhilePromoting(t *testing.T) {
	for _, c := range []struct{ name, model string }{
		{"Deployment", deployed + stepwise},
		{"KServe", inferred + stepwise},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := killer(t)
			h := newHouse(t, cluster.Options{})
			stand := kserve.Start(t, h.Cluster.Config(), kserve.Options{Canary: true, Gateway: true})
			h.files["models/model.yaml"] = c.model
			for _, v := range []string{"v7", "v8", "v9"} {
				h.register(v, "")
			}
			h.begin()
			h.serves("production", "v7")
			r, shares, killed := h.watch(), h.shares("fraud"), map[string]int{}
			divisions := func() []string {
				if flows := stand.Flows("fraud", "fraud"); len(flows) > 0 {
					return flows
				}
				return shares.list()
			}
			for _, version := range []string{"v8", "v9"} {
				h.set("production", version)
				h.push("fraud: " + version + " to production")
				h.crashing(r, version, random, killed)
				h.serves("production", version)
				h.onceEach(r, version)
				h.Eventually(version+" has everything", func() (bool, string) {
					had := percents(divisions(), version)
					return len(had) > 0 && had[len(had)-1] == 100, fmt.Sprint(had)
				})
				if had := percents(divisions(), version); !slices.IsSorted(had) || !slices.Equal(slices.Compact(had), []int{0, 10, 50, 100}) {
					t.Errorf("the traffic of %s went %v: %q", version, had, divisions())
				}
			}
			if trail := h.trail("production"); trail != "v7 Succeeded, v8 Succeeded, v9 Succeeded" {
				t.Errorf("the promotions went: %s", trail)
			}
			h.nothingLeft("v7", "v8")
			t.Logf("killed in %v", killed)
		})
	}
}

// onceEach fails unless the Promotion of a version has been in every state once, and long enough.
func (h *house) onceEach(r *record, version string) {
	h.T.Helper()
	const want = "New, Verifying, Gated, Preparing, Canary 10, Canary 50, Shifting 100, Completing 100, Succeeded 100"
	if got := h.way(r, "production", version); got != want {
		h.T.Fatalf("the Promotion of %s went\n     %s\nwant %s", version, got, want)
	}
	stands := r.of("production", version)
	for n, s := range stands {
		if s.of != stands[0].of {
			h.T.Errorf("%s has two Promotions", version)
		}
		if s.phase != v1alpha1.PromotionCanary {
			continue
		}
		if lasted := stands[n+1].since.Sub(s.since); lasted < held {
			h.T.Errorf("%s was at %d %% for %s only", version, s.traffic, lasted)
		}
	}
}

// The agent is killed at every state of a promotion that fails, between turning it back and giving
// the traffic back, and between pushing the revert and noting it. The version is turned back once,
// and one revert is proposed.
func TestKilledWhileTurningBack(t *testing.T) {
	random := killer(t)
	metrics := unscraped(t, "")
	h := newHouse(t, cluster.Options{})
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Gateway: true})
	h.files["models/model.yaml"] = deployed + stepwise + analysed(metrics.URL, "vector(1)", 0)
	h.register("v7", "")
	h.register("v8", "")
	h.begin()
	h.serves("production", "v7")
	r, shares := h.watch(), h.shares("fraud")

	h.set("production", "v8")
	h.push("fraud: v8 to production")
	h.crashing(r, "v8", random, map[string]int{})
	const branch = "sluice/revert/fraud-production-v8"
	h.Eventually("the revert is on its branch", func() (bool, string) {
		return h.git("for-each-ref", "refs/heads/"+branch) != "", "it is not"
	})
	h.crash()
	h.Eventually("the revert is on record", func() (bool, string) {
		p := h.promotions("production")[0].Status.Proposal
		return p != nil && p.Commit != "", fmt.Sprintf("%+v", p)
	})
	if got := h.way(r, "production", "v8"); got != "New, Verifying, Gated, Preparing, Canary 10, RolledBack" {
		t.Errorf("the Promotion of v8 went %s", got)
	}
	h.crash()
	h.look()
	if trail := h.trail("production"); trail != "v7 Succeeded, v8 RolledBack" {
		t.Errorf("the promotions went: %s", trail)
	}
	if heads := strings.Fields(h.git("for-each-ref", "--format=%(refname:short)", "refs/heads")); !slices.Equal(heads, []string{"main", branch}) {
		t.Errorf("the branches are %v", heads)
	}
	if commits := strings.Fields(h.git("rev-list", "main.."+branch)); len(commits) != 1 {
		t.Errorf("the revert has %d commits", len(commits))
	}
	if diff := h.git("diff", "main", branch); !strings.Contains(diff, "-    version: v8\n+    version: v7\n") {
		t.Errorf("the revert:\n%s", diff)
	}
	h.await("production", "v8 is held", func(s v1alpha1.StageStatus) bool {
		return s.Phase == v1alpha1.StageHeld && s.Version == "v7" && s.Traffic == 0
	})
	h.nothingLeft("v8")
	if had := percents(shares.list(), "v8"); !slices.Equal(slices.Compact(had), []int{0, 10, 0}) {
		t.Errorf("the traffic of v8 went %q", shares.list())
	}
}

// analysed continues a rollout with an analysis of which no value above 0.5 passes.
func analysed(address, query string, errorLimit int) string {
	return fmt.Sprintf(`      analysis:
      - name: errors
        interval: 1s
        errorLimit: %d
        max: "0.5"
        prometheus: {address: %q, query: %q}
`, errorLimit, address, query)
}
