package engine

import (
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// trainingJob is a job of the training-operator: PyTorchJob, TFJob and their like. To stop it, it is deleted, for the
// same reasons as a Job; older operators know no suspending besides.
func trainingJob(kind string) form {
	return form{
		kind:    schema.GroupVersionKind{Group: "kubeflow.org", Version: "v1", Kind: kind},
		install: "install the training-operator (v1), or use trainJob with Kubeflow Trainer (v2)",
		content: func(run Run) (content, error) {
			return fromTemplate(run.Template.TrainingJob.ObjectTemplate, "trainingJob")
		},
		read: readTrainingJob,
		pods: "training.kubeflow.org/job-name",
	}
}

func readTrainingJob(_ Run, f fields) State {
	s := byConditions(f, "Succeeded")
	s.StartedAt = f.time("status", "startTime")
	if at := f.time("status", "completionTime"); s.Phase.Ended() && !at.IsZero() {
		s.EndedAt = at
	}
	replicas := f.object("status", "replicaStatuses")
	switch {
	case s.Phase == v1alpha1.RunFailed:
		for _, name := range namesOf(replicas) {
			if replicas.number(name, "failed") > 0 {
				s.Step = name
				break
			}
		}
	case s.Phase == v1alpha1.RunPending && s.Message == "":
		atWork(&s, f)
	}
	return s
}

// atWork says by the conditions of the training-operator and of Katib whether something runs.
func atWork(s *State, f fields) {
	for _, kind := range []string{"Restarting", "Running"} {
		if c, is := f.condition(kind); is && !c.stale {
			s.Phase = v1alpha1.RunRunning
			if kind == "Restarting" {
				s.Message = c.says()
			}
			return
		}
	}
}
