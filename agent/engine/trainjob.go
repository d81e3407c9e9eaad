package engine

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// trainJob is a TrainJob of Kubeflow Trainer. Its spec is handed on as it is: fields were renamed in each minor
// version, and it is the API server that knows which ones there are. To stop it, it is deleted, for the same
// reasons as a Job.
var trainJob = form{
	kind:    trainer.WithKind("TrainJob"),
	install: "install Kubeflow Trainer (v2)",
	content: func(run Run) (content, error) { return fromTemplate(*run.Template.TrainJob, "trainJob") },
	read:    readTrainJob,
	pods:    "jobset.sigs.k8s.io/jobset-name",
	needs:   runtimeOf,
}

var trainer = schema.GroupVersion{Group: "trainer.kubeflow.org", Version: "v1alpha1"}

// runtimeOf is the runtime of a TrainJob, with the defaults of Trainer. Without it Trainer writes no status at all, for
// ever.
func runtimeOf(o *unstructured.Unstructured) (agent.Ref, schema.GroupVersionKind) {
	ref := fields(o.Object).object("spec", "runtimeRef")
	kind := schema.GroupVersionKind{
		Group: cmp.Or(ref.text("apiGroup"), trainer.Group), Version: trainer.Version, Kind: cmp.Or(ref.text("kind"), "ClusterTrainingRuntime"),
	}
	runtime := agent.Ref{Group: kind.Group, Kind: kind.Kind, Name: ref.text("name")}
	if kind.Group != trainer.Group { // of somebody else, in a version that is not known
		runtime.Name = ""
	}
	return runtime, kind
}

func readTrainJob(_ Run, f fields) State {
	s := byConditions(f, "Complete")
	jobs := f.list("status", "jobsStatus")
	switch s.Phase {
	case v1alpha1.RunSucceeded:
		s.Outputs = map[string]string{}
		for _, m := range f.list("status", "trainerStatus", "metrics") {
			s.Outputs[m.text("name")] = m.text("value")
		}
	case v1alpha1.RunFailed:
		for _, j := range jobs {
			if j.number("failed") > 0 {
				s.Step = j.text("name")
				break
			}
		}
	case v1alpha1.RunPending:
		if f.object("status") == nil {
			runtime := f.object("spec", "runtimeRef")
			s.Message = fmt.Sprintf("Trainer has not taken it up: see whether its controller runs, and whether there is the %s %s",
				cmp.Or(runtime.text("kind"), "ClusterTrainingRuntime"), runtime.text("name"))
			return s
		}
		running(&s, jobs)
	}
	return s
}

// running says of a TrainJob without a condition, by its Jobs, whether it runs.
func running(s *State, jobs []fields) {
	var waiting []string
	for _, j := range jobs {
		if s.Message == "" && j.number("active")+j.number("ready")+j.number("succeeded")+j.number("failed") > 0 {
			s.Phase = v1alpha1.RunRunning
		}
		if j.number("active") > j.number("ready") {
			waiting = append(waiting, j.text("name"))
		}
	}
	if s.Phase == v1alpha1.RunRunning && len(waiting) > 0 {
		s.Message = "not all pods are ready of: " + strings.Join(waiting, ", ")
	}
}
