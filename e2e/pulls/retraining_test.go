package pulls_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/registration"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
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

// runs has a run propose a version, as a pipeline that has succeeded does.
func (h *modelHouse) runs(n int, version string) *v1alpha1.RetrainingRun {
	h.T.Helper()
	slot := metav1.NewTime(time.Date(2026, 11, 2+7*n, 3, 0, 0, 0, time.UTC))
	ended := metav1.NewTime(slot.Add(41 * time.Minute))
	run := &v1alpha1.RetrainingRun{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "weekly-" + slot.Format("20060102-1504")}}
	artifact, at := `{"run": "`+run.Name+`"}`, "fraud/runs/"+run.Name+"/1/model.json"
	h.must(h.store.Put(h.T.Context(), bucket, at, strings.NewReader(artifact)))
	metrics, err := registration.Metrics(map[string]string{"auc": fmt.Sprintf("0.94%d", 5+n)})
	h.must(err)
	spec := v1alpha1.ModelVersionSpec{
		Model: "fraud", Version: version, Metrics: metrics,
		Artifact: v1alpha1.Artifact{URI: "s3://" + bucket + "/" + at, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(artifact))), Size: new(int64(len(artifact))), SecretRef: &meta.LocalObjectReference{Name: "store"}},
		Lineage:  v1alpha1.Lineage{Run: run.Name, Dataset: "payments-2026", TrainedAt: &ended},
	}
	manifest, err := registration.YAML("", spec)
	h.must(err)
	list, err := h.repo.Git(h.owner, "show", "main:models/versions/kustomization.yaml")
	h.must(err)
	model, err := h.repo.Git(h.owner, "show", "main:models/model.yaml")
	h.must(err)
	branch := "sluice/retrain/fraud-" + version
	commit, err := h.repo.Push(h.T.Context(), h.bot, gitserver.Change{Branch: branch, Message: "fraud: " + version + " from weekly", Files: files{
		"models/versions/fraud-" + version + ".yaml": string(manifest), "models/versions/kustomization.yaml": list + "\n- fraud-" + version + ".yaml\n",
		"models/model.yaml": strings.Replace(model, "    version: "+h.stage("staging").Version+"\n", "    version: "+version+"\n", 1) + "\n",
	}})
	h.must(err)
	run.Spec = v1alpha1.RetrainingRunSpec{Retraining: "weekly", Model: "fraud", Slot: slot, Trigger: v1alpha1.RunTrigger{Kind: v1alpha1.TriggerSchedule, Message: "0 3 * * 1 in UTC"},
		Result: &v1alpha1.ResultSpec{ConfigMap: "result", Propose: &v1alpha1.ResultProposal{Path: "models/versions", Stage: "staging"}}}
	h.Create(run)
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
	h := newModelHouse(t, scored, "v7")
	h.files["models/weekly.yaml"] = weekly
	h.push(h.owner, "main", files{"models/weekly.yaml": weekly, "models/kustomization.yaml": "resources: [model.yaml, versions, weekly.yaml]\n"})
	h.begin()
	h.WaitReady("models")

	first := h.runs(1, "v12")
	superseded := h.pullOf("sluice/retrain/fraud-v12")
	h.pull(superseded, "has its label", func(p *forge.Pull) bool { return len(p.Labels) == 1 && p.Labels[0].Name == "sluice/retraining" })
	if superseded.Title != "fraud: v12 from weekly" || superseded.User.Login != h.bot.Name || superseded.Draft {
		t.Errorf("the pull request is %+v", superseded)
	}
	if !contains(superseded.Body, h.Namespace+"/weekly-20261109-0300", "2026-11-09 03:00:00 UTC", "Schedule: `0 3 * * 1 in UTC`", "s3://models/fraud/runs/weekly-20261109-0300/1/model.json", "41m", "auc", "0.940", "0.946", "payments-2026", "serves in staging, in the place of `v7`") {
		t.Errorf("its body:\n%s", superseded.Body)
	}
	h.status(superseded.Head.SHA, "sluice/plan", "success", "1 model promotes")
	h.comment(superseded, "plan", "v12")
	t.Run("page", func(t *testing.T) {
		page := h.page(t, chromium(t), superseded, "1200,2100")
		if !contains(page.dom, "fraud: v12 from weekly", "sluice/retraining", "sluice/plan") {
			t.Error("the page does not show the title, the label and the status")
		}
		page.shows(t, 0, "<table", "weekly-20261109-0300", "2026-11-09 03:00:00 UTC", "0 3 * * 1 in UTC", "s3://models/fraud/runs/weekly-20261109-0300/1/model.json", "0.940", "0.946", "+0.006", "sha256:", "payments-2026")
		page.shows(t, 1, "1 model promotes", "<table", "v12")
	})

	second := h.runs(2, "v13")
	p := h.pullOf("sluice/retrain/fraud-v13")
	h.pull(superseded, "is closed", func(p *forge.Pull) bool { return p.State == "closed" && !p.Merged })
	h.comment(superseded, "merged", "superseded: v13 of the run", "weekly-20261116-0300", "has taken its place")
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
	third := h.runs(3, "v14")
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
