package retraining_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/e2e/kfp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// delivers waits until the Pipeline fraud-train is delivered, as another version than before.
func (h *house) delivers(before v1alpha1.PipelineStatus) v1alpha1.PipelineStatus {
	h.T.Helper()
	var p v1alpha1.Pipeline
	h.Eventually("the Pipeline is delivered", func() (bool, string) {
		h.must(client.IgnoreNotFound(h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud-train"}, &p)))
		is := apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ReadyCondition) && p.Status.ObservedGeneration == p.Generation
		return is && p.Status.VersionID != before.VersionID, fmt.Sprintf("%+v", p.Status)
	})
	return p.Status
}

// A run is of the version that its Pipeline has when it begins, and so are all its attempts, whatever is committed
// meanwhile. The next one is of what came then; one that begins while the Pipeline is broken waits, and is of what mends it.
func TestRunsKeepTheirVersions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{})
	commit := func(old, new string) {
		h.files["models/package.yaml"] = strings.Replace(h.files["models/package.yaml"], old, new, 1)
		h.push("fraud-train: " + new)
	}
	succeeds := func(r v1alpha1.RetrainingRun, attempt int, want v1alpha1.PipelineStatus) {
		t.Helper()
		a := r.Status.Attempts[attempt-1]
		if id := s.Run(a.ID).Version(); id != want.VersionID || a.KFP == nil || a.KFP.Version != want.Version {
			t.Errorf("attempt %d at %s is of the version %s, and is to be of %+v: %+v", attempt, r.Name, id, want, a)
		}
		h.leaves(r, attempt)
		s.Run(a.ID).Succeed()
		done := h.run("fraud", r.Name+" has succeeded", func(o v1alpha1.RetrainingRun) bool {
			return o.Name == r.Name && o.Status.Phase == v1alpha1.RunSucceeded
		})
		if got := done.Status.Result.ModelVersion.Lineage.Pipeline; got != "fraud-train@"+want.Version {
			t.Errorf("%s says that it is of %s, and is of %s", r.Name, got, want.Version)
		}
	}
	h.retraining("fraud", "retries: 1\nretryBackoff: 1s\n"+piped+result)
	h.begin()
	first := h.delivers(v1alpha1.PipelineStatus{})
	h.ask("fraud")
	r := h.started(s, "fraud")
	commit("trainer:1", "trainer:2")
	second := h.delivers(first)
	s.Run(r.Status.Attempts[0].ID).Fail("train")
	r = h.run("fraud", "is tried again", func(r v1alpha1.RetrainingRun) bool {
		return len(r.Status.Attempts) == 2 && r.Status.Attempts[1].ID != ""
	})
	succeeds(r, 2, first)

	h.ask("fraud")
	succeeds(h.started(s, "fraud"), 1, second)

	commit("schemaVersion: 2.1.0", "schemaVersion: 1.0.0")
	h.Eventually("the Pipeline is broken", func() (bool, string) {
		var p v1alpha1.Pipeline
		h.must(h.Client.Get(context.Background(), client.ObjectKey{Namespace: h.Namespace, Name: "fraud-train"}, &p))
		return apimeta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ReadyCondition), fmt.Sprintf("%+v", p.Status)
	})
	h.ask("fraud")
	h.run("fraud", "waits for its Pipeline", func(r v1alpha1.RetrainingRun) bool {
		return r.Status.Phase == v1alpha1.RunPending && contains(r.Status.Message, "it waits: Pipeline fraud-train: ", `the schemaVersion "1.0.0"`)
	})
	commit("trainer:2", "trainer:3")
	commit("schemaVersion: 1.0.0", "schemaVersion: 2.1.0")
	third := h.delivers(second)
	succeeds(h.started(s, "fraud"), 1, third)
	h.ended("fraud", 3)
}

// A pipeline that somebody deletes from Kubeflow Pipelines leaves the run alone that goes on; the next one says what is
// missing and how it comes back, and then goes.
func TestPipelineIsDeletedThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	s := h.pipelines(kfp.Options{})
	h.retraining("fraud", piped)
	h.begin()
	first := h.delivers(v1alpha1.PipelineStatus{})
	h.ask("fraud")
	r := h.started(s, "fraud")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.URL+"/apis/v2beta1/pipelines/"+first.PipelineID+"?cascade=true", nil)
	h.must(err)
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	if h.must(response.Body.Close()); response.StatusCode != http.StatusOK {
		t.Fatalf("the pipeline cannot be deleted: %s", response.Status)
	}
	s.Run(r.Status.Attempts[0].ID).Succeed()
	h.ends("fraud", v1alpha1.RunSucceeded)

	h.ask("fraud")
	if r = h.ended("fraud", 2)[1]; r.Status.Phase != v1alpha1.RunFailed || len(r.Status.Attempts) != 0 {
		t.Errorf("%s is %s with %d attempts", r.Name, r.Status.Phase, len(r.Status.Attempts))
	}
	h.says("fraud", "Healthy", metav1.ConditionFalse, r.Name, "the pipeline fraud-train of namespace "+h.Namespace, "it is not there",
		"let a Pipeline fraud-train of the namespace "+h.Namespace+" deliver it, upload it, or correct spec.run.kfp",
		"annotated with "+meta.ReconcileRequestAnnotation)

	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: h.Namespace, Name: "fraud-train"}}
	h.Update(p, func() {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	})
	again := h.delivers(first)
	if again.PipelineID == first.PipelineID || again.Version != first.Version {
		t.Errorf("it is %+v, and was %+v", again, first)
	}
	h.ask("fraud")
	r = h.started(s, "fraud")
	if id := s.Run(r.Status.Attempts[0].ID).Version(); id != again.VersionID {
		t.Errorf("the run is of the version %s, and is to be of %s", id, again.VersionID)
	}
	s.Run(r.Status.Attempts[0].ID).Succeed()
	h.ended("fraud", 3)
	h.says("fraud", "Healthy", metav1.ConditionTrue)
}
