package engines

// pytorchJob is how the training-operator goes on: conditions of the past stay, and become False when it is over.
var pytorchJob = []stage{
	{
		name: "create", apiVersion: "kubeflow.org/v1", kind: "PyTorchJob", delay: startAfter,
		when: `.status.conditions == null`,
		write: `conditions:
- {type: Created, status: "True", reason: PyTorchJobCreated, message: PyTorchJob {{ .metadata.name }} is created., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
startTime: {{ $now }}
replicaStatuses: {Master: {}}
`,
	},
	{
		name: "start", apiVersion: "kubeflow.org/v1", kind: "PyTorchJob",
		when: `is("Created") and (is("Running") or over | not) and .spec.runPolicy.suspend != true`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "True", reason: PyTorchJobRunning, message: PyTorchJob {{ .metadata.name }} is running., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
replicaStatuses: {Master: {active: 1}}
`,
	},
	{
		name: "succeed", apiVersion: "kubeflow.org/v1", kind: "PyTorchJob", delay: completeAfter,
		when: `is("Running") and (over | not) and fate == "Succeed"`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "False", reason: PyTorchJobRunning, message: PyTorchJob {{ .metadata.name }} is running., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
- {type: Succeeded, status: "True", reason: PyTorchJobSucceeded, message: PyTorchJob {{ .metadata.name }} is successfully completed., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
completionTime: {{ $now }}
replicaStatuses: {Master: {active: 0, succeeded: 1}}
`,
	},
	{
		name: "fail", apiVersion: "kubeflow.org/v1", kind: "PyTorchJob", delay: completeAfter,
		when: `is("Running") and (over | not) and fate == "Fail"`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "False", reason: PyTorchJobRunning, message: PyTorchJob {{ .metadata.name }} is running., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
- {type: Failed, status: "True", reason: PyTorchJobFailed, message: PyTorchJob {{ .metadata.name }} is failed because 1 Master replica(s) failed., lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
completionTime: {{ $now }}
replicaStatuses: {Master: {active: 0, failed: 1}}
`,
	},
}
