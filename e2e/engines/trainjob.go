package engines

// trainJob is how Trainer 2.3 and JobSet 0.11 go on: no condition at all while something runs.
var trainJob = []stage{
	{
		name: "start", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob", delay: startAfter,
		when: `.status.jobsStatus == null and .spec.suspend != true and (.spec.runtimeRef.name | contains("missing") | not) and (over | not)`,
		write: `jobsStatus: [{name: node, active: 1, failed: 0, ready: 0, succeeded: 0, suspended: 0}]
`,
	},
	{
		name: "suspend", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob",
		when: `.spec.suspend == true and (is("Suspended") or over | not)`,
		write: `conditions:
- {type: Suspended, status: "True", reason: Suspended, message: TrainJob is suspended, lastTransitionTime: {{ $now }}}
`,
	},
	{
		name: "succeed", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob", delay: completeAfter,
		when: `.status.jobsStatus != null and (over | not) and .spec.suspend != true and fate == "Succeed"`,
		write: `conditions:
- {type: Complete, status: "True", reason: AllJobsCompleted, message: jobset completed successfully, lastTransitionTime: {{ $now }}}
jobsStatus: [{name: node, active: 0, failed: 0, ready: 0, succeeded: 1, suspended: 0}]
{{- if $outputs }}
trainerStatus:
  lastUpdatedTime: {{ $now }}
  metrics: [{{ range $name, $value := $outputs }}{name: {{ $name | Quote }}, value: {{ $value | Quote }}}, {{ end }}]
{{- end }}
`,
	},
	{
		name: "fail", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob", delay: completeAfter,
		when: `.status.jobsStatus != null and (over | not) and .spec.suspend != true and fate == "Fail"`,
		write: `conditions:
- {type: Failed, status: "True", reason: FailedJobs, message: 'jobset failed due to one or more job failures (first failed job: {{ .metadata.name }}-node-0)', lastTransitionTime: {{ $now }}}
jobsStatus: [{name: node, active: 0, failed: 1, ready: 0, succeeded: 0, suspended: 0}]
`,
	},
	{
		// Its pods are gone, and jobsStatus says that one is active.
		name: "out-of-time", apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob", delay: `"\(.spec.activeDeadlineSeconds)s"`,
		when: `.status.jobsStatus != null and (over | not) and .spec.activeDeadlineSeconds != null and fate == "Run"`,
		write: `conditions:
- {type: Failed, status: "True", reason: DeadlineExceeded, message: TrainJob exceeded its active deadline, lastTransitionTime: {{ $now }}}
`,
	},
}
