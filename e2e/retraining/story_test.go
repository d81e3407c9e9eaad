package retraining_test

import (
	"context"
	"fmt"
	"strings"
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
	h.merge(p)
	h.serves("v8")
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
