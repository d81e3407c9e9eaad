package engines

import (
	"fmt"
	"slices"
	"strings"
)

// operated is a kind of the training-operator, of which each has a controller of its own, with its own words.
type operated struct {
	kind string
	// replicas is the field of the spec that has them, and leader the one whose success or failure is the job's.
	replicas, leader string
	// runs, succeeded and failed are what is said of a job, as templates over it.
	runs, succeeded, failed string
	// failure is the reason of what failed.
	failure string
	// forgets: the others are not counted any more when the leader is done.
	forgets bool
}

// trainingJobs is how the training-operator 1.9 goes on.
var trainingJobs = slices.Concat(
	operated{
		kind: "PyTorchJob", replicas: "pytorchReplicaSpecs", leader: "Master", failure: "PyTorchJobFailed",
		runs:      "PyTorchJob {{ .metadata.name }} is running.",
		succeeded: "PyTorchJob {{ .metadata.name }} is successfully completed.",
		failed:    "PyTorchJob {{ .metadata.name }} is failed because 1 Master replica(s) failed.",
	}.stages(),
	operated{
		kind: "TFJob", replicas: "tfReplicaSpecs", leader: "Chief", failure: "TFJobFailed",
		runs:      "TFJob {{ .metadata.namespace }}/{{ .metadata.name }} is running.",
		succeeded: "TFJob {{ .metadata.namespace }}/{{ .metadata.name }} successfully completed.",
		failed:    "TFJob {{ .metadata.namespace }}/{{ .metadata.name }} has failed because 1 Chief replica(s) failed.",
	}.stages(),
	operated{
		kind: "MPIJob", replicas: "mpiReplicaSpecs", leader: "Launcher", failure: "MPIJobMPIJobFailed", forgets: true,
		runs:      "MPIJob {{ .metadata.name }} is running.",
		succeeded: "MPIJob {{ .metadata.name }} is successfully completed.",
		failed:    "MPIJob {{ .metadata.name }} is failed because 1 Launcher replica(s) failed.",
	}.stages(),
)

// stages are those of one kind: conditions of the past stay, and Running becomes False when it is over. Who was at work
// when the leader succeeded has succeeded too, and is at work still when it failed.
func (k operated) stages() []stage {
	const (
		works     = "{active: {{ $spec.replicas | default 1 }}}"
		succeeded = "{active: null, succeeded: {{ $spec.replicas | default 1 }}}"
		forgotten = "{active: null}"
	)
	created := "conditions:\n- {{ index .status.conditions 0 | toJson }}\n"
	stopped := created + k.condition("Running", "False", k.kind+"Running", k.runs)
	restSucceeds, restFails := succeeded, works
	if k.forgets {
		restSucceeds, restFails = forgotten, forgotten
	}
	stages := []stage{
		{
			name: "create", delay: startAfter,
			when: `.status.conditions == null`,
			write: "conditions:\n" + k.condition("Created", "True", k.kind+"Created", k.kind+" {{ .metadata.name }} is created.") +
				"startTime: {{ $now }}\n" + k.counts("{}", "{}"),
		},
		{
			name:  "start",
			when:  `is("Created") and (is("Running") or over | not) and .spec.runPolicy.suspend != true`,
			write: created + k.condition("Running", "True", k.kind+"Running", k.runs) + k.counts(works, works),
		},
		{
			name: "succeed", delay: completeAfter,
			when: `is("Running") and (over | not) and fate == "Succeed"`,
			write: stopped + k.condition("Succeeded", "True", k.kind+"Succeeded", k.succeeded) +
				"completionTime: {{ $now }}\n" + k.counts(succeeded, restSucceeds),
		},
		{
			name: "fail", delay: completeAfter,
			when: `is("Running") and (over | not) and fate == "Fail"`,
			write: stopped + k.condition("Failed", "True", k.failure, k.failed) +
				"completionTime: {{ $now }}\n" + k.counts("{active: null, failed: 1}", restFails),
		},
	}
	for n := range stages {
		stages[n].apiVersion, stages[n].kind = "kubeflow.org/v1", k.kind
	}
	return stages
}

func (k operated) condition(kind, status, reason, message string) string {
	return fmt.Sprintf("- {type: %s, status: %q, reason: %s, message: %s, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}\n", kind, status, reason, message)
}

// counts says of each replica how many are at work, and how many have ended.
func (k operated) counts(leader, rest string) string {
	return strings.NewReplacer("REPLICAS", k.replicas, "LEADER", k.leader, "FIRST", leader, "REST", rest).Replace(
		`replicaStatuses: { {{ range $type, $spec := .spec.REPLICAS }}{{ $type }}: {{ if eq $type "LEADER" }}FIRST{{ else }}REST{{ end }}, {{ end }} }` + "\n")
}
