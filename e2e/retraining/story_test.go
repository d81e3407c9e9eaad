package retraining_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/kserve"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The story: a slot comes, a Job trains, a pull request brings the new version with its evidence; merged, it gets
// 10, 50 and all of the traffic, and serves.
func TestStory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	kserve.Start(t, h.Cluster.Config(), kserve.Options{Gateway: true})
	h.train(func(t training) *made {
		if t.number > 1 { // the slots after the first, until it is suspended
			return nil
		}
		return h.writes("0.947")(t)
	})
	h.serving()
	h.retraining("fraud", `schedules: ["@every 2s"]
timeZone: Asia/Seoul
`+job+result+`  version: v8
  onlyIfBetter: "first || candidate.metrics.auc > current.metrics.auc"
`+proposed)
	h.begin()
	h.serves("v7")

	r := h.run("fraud", "succeeds", func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunSucceeded })
	h.suspend("fraud")
	if r.Spec.Trigger.Kind != v1alpha1.TriggerSchedule || len(r.Status.Attempts) != 1 || r.Status.Result == nil || r.Status.Result.Version != "v8" || !r.Status.Result.Better {
		t.Errorf("the run is %+v", r)
	}
	p := h.pull("sluice/retrain/fraud-v8")
	if !contains(p.Body, r.Name, "0.947", "0.941", "auc") {
		t.Errorf("the pull request says:\n%s", p.Body)
	}
	diff, err := h.repo.Git(h.owner, "diff", "main..."+p.Head.Ref)
	h.must(err)
	if !contains(diff, "+    version: v8", "+- fraud-v8.yaml", "+  version: v8", `+    auc: "0.947"`, digest("the model of "+r.Status.Attempts[0].Name)) {
		t.Errorf("it changes:\n%s", diff)
	}
	climb := h.climb("v8")
	h.merge(p)
	h.serves("v8")
	h.Eventually("v8 got 10, 50 and all of the traffic", func() (bool, string) {
		phase, percents := climb.so()
		return phase == v1alpha1.PromotionSucceeded && slices.Equal(percents, []int32{0, 10, 50, 100}), fmt.Sprintf("%s, after %v %%", phase, percents)
	})
	if v := h.told("v8"); !strings.HasPrefix(v, "s3://"+h.bucket+"/runs/"+r.Name+"/1/") {
		t.Errorf("what serves was given %q", v)
	}
	h.says("fraud", "Healthy", "True")
}

// suspend has a Retraining begin nothing more.
func (h *house) suspend(name string) {
	h.T.Helper()
	h.files["models/"+name+".yaml"] += "  suspend: true\n"
	h.push("suspend " + name)
	h.Eventually(name+" is suspended", func() (bool, string) { return h.get(name).Spec.Suspend, h.GetOverlay("models").Status.Revision })
}

// climb is how much of the traffic a version has had, as its Promotion says.
type climb struct {
	mu       sync.Mutex
	phase    v1alpha1.PromotionPhase
	percents []int32
}

// climb follows the Promotion of a version from now on.
func (h *house) climb(version string) *climb {
	h.T.Helper()
	events, err := h.Client.Watch(context.Background(), &v1alpha1.PromotionList{}, client.InNamespace(h.Namespace))
	h.must(err)
	h.T.Cleanup(events.Stop)
	c := &climb{}
	go func() {
		for event := range events.ResultChan() {
			if p, is := event.Object.(*v1alpha1.Promotion); is && p.Spec.Version == version {
				c.note(p.Status)
			}
		}
	}()
	return c
}

func (c *climb) note(s v1alpha1.PromotionStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = s.Phase
	c.percents = slices.Compact(append(c.percents, s.Traffic))
}

// so is where it has come, and what it had on the way.
func (c *climb) so() (v1alpha1.PromotionPhase, []int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase, slices.Clone(c.percents)
}

// serves waits until a version serves in production and nothing else is on its way.
func (h *house) serves(version string) {
	h.T.Helper()
	h.Eventually(version+" serves", func() (bool, string) {
		var m v1alpha1.Model
		if err := h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud"}, &m); client.IgnoreNotFound(err) != nil {
			h.T.Fatal(err)
		}
		for _, s := range m.Status.Stages {
			if s.Name == "production" {
				return s.Phase == v1alpha1.StageServing && s.Version == version, fmt.Sprintf("%s %s, candidate %q at %d %%: %s", s.Phase, s.Version, s.Candidate, s.Traffic, s.Message)
			}
		}
		return false, "it has no stage"
	})
}

// told is what the server of a version is told to serve.
func (h *house) told(version string) string {
	h.T.Helper()
	var d appsv1.Deployment
	h.must(h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud-" + version}, &d))
	return strings.Join(d.Spec.Template.Spec.Containers[0].Args, " ")
}
