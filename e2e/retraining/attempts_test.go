package retraining_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// jobs are the names of the Jobs that there are of a run.
func (h *house) jobs(run string) []string {
	h.T.Helper()
	var list batchv1.JobList
	h.must(h.Client.List(context.Background(), &list, client.InNamespace(h.Namespace), client.MatchingLabels{v1alpha1.RunLabel: run}))
	var names []string
	for _, j := range list.Items {
		names = append(names, j.Name)
	}
	return names
}

// An attempt that takes too long is stopped, one that fails is tried again, each with a name of its own, and the third
// makes a model.
func TestTimeoutAndRetries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(func(t training) *made {
		switch t.number {
		case 1:
			return nil
		case 2:
			return fails(t)
		}
		return h.writes("0.947")(t)
	})
	h.retraining("fraud", "timeout: 3s\nretries: 3\nretryBackoff: 1s\n"+job+result)
	h.begin()
	h.ask("fraud")
	r := h.ends("fraud", v1alpha1.RunSucceeded)
	if len(r.Status.Attempts) != 3 {
		t.Fatalf("it has the attempts %+v", r.Status.Attempts)
	}
	for n, want := range []struct {
		phase v1alpha1.RunPhase
		words string
	}{{v1alpha1.RunFailed, "it took longer than spec.timeout, 3s"}, {v1alpha1.RunFailed, "BackoffLimitExceeded"}, {v1alpha1.RunSucceeded, ""}} {
		a := r.Status.Attempts[n]
		if a.Name != fmt.Sprintf("%s-%d", r.Name, n+1) || a.Number != int32(n+1) || a.Phase != want.phase || !strings.Contains(a.Message, want.words) || a.EndedAt == nil {
			t.Errorf("attempt %d is %+v, want %+v", n+1, a, want)
		}
	}
	if a := r.Status.Attempts; a[1].StartedAt.Before(a[0].EndedAt) || a[2].StartedAt.Before(a[1].EndedAt) {
		t.Errorf("they overlap: %+v", a)
	}
	if r.Status.Result == nil || !strings.Contains(r.Status.Result.ModelVersion.Artifact.URI, "/"+r.Name+"/3/") {
		t.Errorf("its result is %+v", r.Status.Result)
	}
	if h.Get("batch/v1", "Job", h.Namespace, r.Name+"-1") != nil {
		t.Error("the Job that took too long is there")
	}
	h.says("fraud", "Healthy", metav1.ConditionTrue)
	h.event("fraud", corev1.EventTypeNormal, "RunBackoff", r.Name+": attempt 1 of 4 failed", "it took longer than spec.timeout, 3s")
	h.event("fraud", corev1.EventTypeNormal, "RunBackoff", r.Name+": attempt 2 of 4 failed", "BackoffLimitExceeded")
	h.event("fraud", corev1.EventTypeNormal, "RunSucceeded", r.Name+": "+r.Status.Message)
	h.measured("fraud", measures{"ready": 1, "retraining_runs_total": 1, "retraining_streak": 1, "retraining_missed_slots_total": 0,
		"retraining_last_success_timestamp_seconds": float64(r.Status.EndedAt.Unix()), "retraining_last_run_seconds": took(r)})
	h.measured("fraud", measures{"retraining_runs_total": 1}, "result=Succeeded")

	// When it is gone, nothing is measured of it.
	h.forget("fraud")
	h.measured("fraud", measures{})
}

// When all attempts have failed, so has the run.
func TestAllAttemptsFail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tr := h.train(fails)
	h.retraining("fraud", "retries: 1\nretryBackoff: 1s\n"+job+result)
	h.begin()
	h.ask("fraud")
	h.run("fraud", "waits for its second attempt", func(r v1alpha1.RetrainingRun) bool {
		return r.Status.Phase == v1alpha1.RunBackoff && contains(r.Status.Message, "attempt 1 of 2 failed") && r.Status.NextAttemptAt != nil || len(r.Status.Attempts) == 2
	})
	r := h.ends("fraud", v1alpha1.RunFailed, "BackoffLimitExceeded")
	if worked := tr.worked(); len(r.Status.Attempts) != 2 || len(worked) != 2 {
		t.Errorf("the Jobs %q worked, of the attempts %+v", worked, r.Status.Attempts)
	}
	h.Eventually("it is counted", func() (bool, string) {
		s := h.get("fraud").Status
		return s.Streak == -1 && s.LastResult == v1alpha1.RunFailed && s.LastSuccess == nil, fmt.Sprintf("%+v", s)
	})
	h.says("fraud", "Healthy", metav1.ConditionFalse, r.Name, "BackoffLimitExceeded")
	h.event("fraud", corev1.EventTypeNormal, "RunBackoff", r.Name+": attempt 1 of 2 failed", "BackoffLimitExceeded")
	h.event("fraud", corev1.EventTypeWarning, "RunFailed", r.Name+": "+r.Status.Message)
	h.measured("fraud", measures{"ready": 1, "retraining_runs_total": 1, "retraining_streak": -1, "retraining_missed_slots_total": 0, "retraining_last_run_seconds": took(r)})
	h.measured("fraud", measures{"retraining_runs_total": 1}, "result=Failed")
}

// A run that somebody cancels ends with what it runs, is not tried again, and does not count as a failure.
func TestCancel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(goesOn)
	h.retraining("fraud", "retries: 3\n"+job+result)
	h.retraining("flow", "run: {workflow: {template: fraud-train, annotations: {fake.sluice.dev/run: Run}}}\nretries: 3\n")
	h.begin()
	h.ask("fraud")
	h.ask("flow")
	for _, name := range []string{"fraud", "flow"} {
		r := h.run(name, "runs", func(r v1alpha1.RetrainingRun) bool { return r.Status.Phase == v1alpha1.RunRunning })
		h.Update(&r, func() {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.CancelAnnotation, "INC-42: the data is bad")
		})
		r = h.ends(name, v1alpha1.RunCanceled, "canceled by hand: INC-42: the data is bad")
		if len(r.Status.Attempts) != 1 || !strings.Contains(r.Status.Attempts[0].Stopping, "INC-42") {
			t.Errorf("its attempts are %+v", r.Status.Attempts)
		}
		h.Eventually("it is counted", func() (bool, string) {
			s := h.get(name).Status
			return s.LastResult == v1alpha1.RunCanceled && s.Streak == 0 && len(s.Active) == 0, fmt.Sprintf("%+v", s)
		})
		h.event(name, corev1.EventTypeNormal, "RunRunning", r.Name+": ")
		h.event(name, corev1.EventTypeNormal, "RunCanceled", r.Name+": "+r.Status.Message)
		h.measured(name, measures{"ready": 1, "retraining_runs_total": 1, "retraining_streak": 0, "retraining_missed_slots_total": 0, "retraining_last_run_seconds": took(r)})
		h.measured(name, measures{"retraining_runs_total": 1}, "result=Canceled")
	}
	if left := h.jobs(h.runs("fraud")[0].Name); len(left) != 0 {
		t.Errorf("it is said to be canceled, and there are %q", left)
	}
	flow := h.Get("argoproj.io/v1alpha1", "Workflow", h.Namespace, h.runs("flow")[0].Name+"-1")
	if flow == nil || flow.Object["status"].(map[string]any)["message"] != "Stopped with strategy 'Terminate'" {
		t.Errorf("the Workflow is %v", flow)
	}
}

// Of the runs that are over, some are kept, with what their engines have of them; the others go with it.
func TestHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.train(h.writes("0.947"))
	h.retraining("fraud", "historyLimit: 2\n"+job+result)
	h.begin()
	var names []string
	for n := range 4 {
		h.ask("fraud")
		h.Eventually(fmt.Sprintf("run %d has succeeded", n+1), func() (bool, string) {
			s := h.get("fraud").Status
			return int(s.Streak) == n+1, fmt.Sprintf("%d; %s", s.Streak, h.standing())
		})
		names = append(names, h.get("fraud").Status.LastRun)
	}
	h.Eventually("two are left", func() (bool, string) { return len(h.runs("fraud")) == 2, h.standing() })
	for n, name := range names {
		kept := n >= 2
		if (h.Get("sluice.dev/v1alpha1", v1alpha1.RetrainingRunKind, h.Namespace, name) != nil) != kept {
			t.Errorf("run %d of 4, %s, is kept or not, and should be otherwise: %s", n+1, name, h.standing())
		}
		h.Eventually(fmt.Sprintf("the Job of run %d is as it should be", n+1), func() (bool, string) {
			left := h.jobs(name)
			return (len(left) == 1) == kept, fmt.Sprint(left)
		})
	}
}
