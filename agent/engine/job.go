package engine

import (
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// job is a Job of Kubernetes. To stop it, it is deleted: to suspend it would end its pods as well, and keep
// nothing but a Job that Kueue, or anybody, can have go on.
var job = form{
	kind:    schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"},
	install: "see whether the API server serves batch/v1",
	content: func(run Run) (content, error) { return fromTemplate(*run.Template.Job, "job") },
	read:    readJob,
	pods:    "batch.kubernetes.io/job-name",
}

func readJob(_ Run, f fields) State {
	s := byConditions(f, "Complete")
	s.StartedAt = f.time("status", "startTime")
	switch s.Phase {
	case v1alpha1.RunSucceeded:
		if at := f.time("status", "completionTime"); !at.IsZero() {
			s.EndedAt = at
		}
	case v1alpha1.RunFailed:
		if failed := f.text("status", "failedIndexes"); failed != "" {
			s.Step = "index " + failed
		}
	case v1alpha1.RunPending:
		begun(&s, f.object("status"))
		if c, is := f.condition("FailureTarget"); is { // it is Failed when its pods have ended
			s.Phase, s.Message = v1alpha1.RunRunning, "it is about to fail: "+c.says()
		}
	}
	return s
}

// begun says of a Job that has not ended, by the counts of its pods, whether it runs.
func begun(s *State, counts fields) {
	active := counts.number("active")
	if s.Message != "" || active+counts.number("succeeded")+counts.number("failed") == 0 {
		return // it is suspended, or nobody has taken it up
	}
	s.Phase = v1alpha1.RunRunning
	if active > 0 && counts.number("ready") == 0 {
		s.Message = "none of its pods is ready"
	}
}
