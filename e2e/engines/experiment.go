package engines

// experiment is how Katib 0.19 goes on. Its best trial has of each parameter the most that it may be, or the first
// of its list, and the outputs as metrics.
var experiment = []stage{
	{
		name: "create", apiVersion: "kubeflow.org/v1beta1", kind: "Experiment", delay: startAfter,
		when: `.status.conditions == null`,
		write: `conditions:
- {type: Created, status: "True", reason: ExperimentCreated, message: Experiment is created, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
startTime: {{ $now }}
`,
	},
	{
		name: "start", apiVersion: "kubeflow.org/v1beta1", kind: "Experiment",
		when: `is("Created") and (is("Running") or over | not)`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "True", reason: ExperimentRunning, message: Experiment is running, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
trials: 1
trialsRunning: 1
runningTrialList: [{{ .metadata.name }}-x7k2]
`,
	},
	{
		name: "succeed", apiVersion: "kubeflow.org/v1beta1", kind: "Experiment", delay: completeAfter,
		when: `is("Running") and (over | not) and fate == "Succeed"`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "False", reason: ExperimentRunning, message: Experiment is running, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
- {type: Succeeded, status: "True", reason: ExperimentMaxTrialsReached, message: Experiment has succeeded because max trial count has reached, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
completionTime: {{ $now }}
trials: 1
trialsRunning: null
runningTrialList: null
trialsSucceeded: 1
succeededTrialList: [{{ .metadata.name }}-x7k2]
currentOptimalTrial:
  bestTrialName: {{ .metadata.name }}-x7k2
  parameterAssignments: [{{ range .spec.parameters }}{name: {{ .name | Quote }}, value: {{ if .feasibleSpace.list }}{{ index .feasibleSpace.list 0 | Quote }}{{ else }}{{ .feasibleSpace.max | Quote }}{{ end }}}, {{ end }}]
  observation:
    metrics: [{{ range $name, $value := $outputs }}{name: {{ $name | Quote }}, latest: {{ $value | Quote }}, min: {{ $value | Quote }}, max: {{ $value | Quote }}}, {{ end }}]
`,
	},
	{
		name: "fail", apiVersion: "kubeflow.org/v1beta1", kind: "Experiment", delay: completeAfter,
		when: `is("Running") and (over | not) and fate == "Fail"`,
		write: `conditions:
- {{ index .status.conditions 0 | toJson }}
- {type: Running, status: "False", reason: ExperimentRunning, message: Experiment is running, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
- {type: Failed, status: "True", reason: ExperimentMaxFailedTrialsReached, message: Experiment has failed because max failed count has reached, lastTransitionTime: {{ $now }}, lastUpdateTime: {{ $now }}}
completionTime: {{ $now }}
trials: 1
trialsRunning: null
runningTrialList: null
trialsFailed: 1
failedTrialList: [{{ .metadata.name }}-x7k2]
`,
	},
}
