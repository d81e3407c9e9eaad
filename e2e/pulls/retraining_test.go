package pulls_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/forge"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// weekly is a Retraining that starts nothing: its runs are put on record by the test.
const weekly = `apiVersion: sluice.dev/v1alpha1
kind: Retraining
metadata: {name: weekly}
spec:
  model: fraud
  suspend: true
  schedules: ["0 3 * * 1"]
  run: {job: {spec: {template: {spec: {containers: [{name: train, image: "registry.example.com/train:1"}]}}}}}
  result:
    configMap: result
    propose: {path: models/versions, stage: staging}
`

// runs has a run propose a version, of the artifact of another, as a pipeline that has succeeded does.
func (h *modelHouse) runs(n int, version, like string) *v1alpha1.RetrainingRun {
	h.T.Helper()
	there, err := h.repo.Git(h.owner, "show", "main:models/versions/fraud-"+like+".yaml")
	h.must(err)
	list, err := h.repo.Git(h.owner, "show", "main:models/versions/kustomization.yaml")
	h.must(err)
	model, err := h.repo.Git(h.owner, "show", "main:models/model.yaml")
	h.must(err)
	named := strings.NewReplacer("fraud-"+like, "fraud-"+version, "version: "+like, "version: "+version).Replace(there)
	branch := "sluice/retrain/fraud-" + version
	commit := h.push(h.bot, branch, files{
		"models/versions/fraud-" + version + ".yaml": named + "\n", "models/versions/kustomization.yaml": list + "\n- fraud-" + version + ".yaml\n",
		"models/model.yaml": strings.Replace(model, "    version: "+h.stage("staging").Version+"\n", "    version: "+version+"\n", 1) + "\n",
	})
	var of v1alpha1.ModelVersion
	h.must(h.Client.Get(h.T.Context(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud-" + like}, &of))
	spec := of.Spec
	spec.Version, spec.Lineage.Run = version, fmt.Sprintf("weekly-%d", n)
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: fmt.Sprintf("weekly-%d", n)}}
	slot := metav1.NewTime(time.Date(2026, 11, 2+7*n, 3, 0, 0, 0, time.UTC))
	run.Spec = v1alpha1.RetrainingRunSpec{Retraining: "weekly", Model: "fraud", Slot: slot, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: "0 3 * * 1"},
		Result: &v1alpha1.ResultSpec{ConfigMap: "result", Propose: &v1alpha1.ResultProposal{Path: "models/versions", Stage: "staging"}}}
	h.Create(run)
	ended := metav1.NewTime(slot.Add(5 * time.Minute))
	run.Status = v1alpha1.RetrainingRunStatus{Phase: v1alpha1.RunSucceeded, StartedAt: &slot, EndedAt: &ended, Result: &v1alpha1.RunResult{Version: version, Better: true, ModelVersion: &spec},
		Proposal: &v1alpha1.ProposalStatus{Branch: branch, Commit: commit}}
	h.must(h.Client.Status().Update(h.T.Context(), run))
	return run
}

// settled waits until nothing more is to become of what a run proposes.
func (h *modelHouse) settled(run *v1alpha1.RetrainingRun) {
	h.T.Helper()
	h.Eventually(run.Name+" is settled", func() (bool, string) {
		h.must(h.Client.Get(h.T.Context(), client.ObjectKeyFromObject(run), run))
		return run.Status.SettledAt != nil, fmt.Sprintf("%+v", run.Status)
	})
}

// What a run has made is proposed by a pull request, the newest alone. Merged, it serves; when it leaves Git
// then, it does not come back. Closed, it is not proposed again.
func TestRetraining(t *testing.T) {
	h := newModelHouse(t, scored, "v7", "v8")
	h.files["models/weekly.yaml"] = weekly
	h.push(h.owner, "main", files{"models/weekly.yaml": weekly, "models/kustomization.yaml": "resources: [model.yaml, versions, weekly.yaml]\n"})
	h.begin()
	h.WaitReady("models")

	first := h.runs(1, "v12", "v8")
	superseded := h.pullOf("sluice/retrain/fraud-v12")
	h.pull(superseded, "has its label", func(p *forge.Pull) bool { return len(p.Labels) == 1 && p.Labels[0].Name == "sluice/retraining" })
	if superseded.Title != "fraud: v12 from weekly" || superseded.User.Login != h.bot.Name || superseded.Draft {
		t.Errorf("the pull request is %+v", superseded)
	}
	if !contains(superseded.Body, h.Namespace+"/weekly-1", "2026-11-09 03:00:00 UTC", "Schedule: 0 3", "5m", "auc", "0.940", "0.941", "payments-2026", "serves in staging, in the place of `v7`") {
		t.Errorf("its body:\n%s", superseded.Body)
	}
	h.status(superseded.Head.SHA, "sluice/plan", "success", "1 model promotes")

	second := h.runs(2, "v13", "v8")
	p := h.pullOf("sluice/retrain/fraud-v13")
	h.pull(superseded, "is closed", func(p *forge.Pull) bool { return p.State == "closed" && !p.Merged })
	h.comment(superseded, "merged", "superseded: v13 of the run", "weekly-2", "has taken its place")
	h.look()
	h.settled(first)

	h.status(p.Head.SHA, "sluice/plan", "success", "1 model promotes")
	h.must(p.Merge(t.Context(), h.ann, forge.Merge))
	h.settled(second)
	h.serves("staging", "v13")

	// Somebody takes it back.
	list, err := h.repo.Git(h.owner, "show", "main:models/versions/kustomization.yaml")
	h.must(err)
	h.set("staging", "v7")
	h.serves("staging", "v7")
	h.push(h.owner, "main", files{"models/versions/kustomization.yaml": strings.Replace(list, "- fraud-v13.yaml", "", 1) + "\n"})
	h.Eventually("v13 is gone", func() (bool, string) {
		err := h.Client.Get(t.Context(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud-v13"}, &v1alpha1.ModelVersion{})
		return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprint(err)
	})

	// The rejected twin, also for an agent that starts anew.
	third := h.runs(3, "v14", "v8")
	rejected := h.pullOf("sluice/retrain/fraud-v14")
	h.status(rejected.Head.SHA, "sluice/plan", "success")
	h.close(rejected)
	h.look()
	h.settled(third)
	h.KillAgent()
	h.StartAgent("--allow-loopback-checks")
	before := gitea.Traffic()
	h.Ask("platform")
	h.quiet(before)
	all, err := h.repo.Pulls(t.Context(), "all")
	h.must(err)
	for _, other := range all {
		if strings.HasPrefix(other.Head.Ref, "sluice/retrain/") && other.Number > rejected.Number || other.State == "open" && strings.HasPrefix(other.Head.Ref, "sluice/retrain/") {
			t.Errorf("it is proposed again: %+v", other)
		}
	}
}
