package engines

// workflow is how the workflow-controller of Argo Workflows 4.1 goes on. Its kind has no subresource.
var workflow = []stage{
	{
		name: "start", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", whole: true, delay: startAfter,
		when: `(.status.phase // "") == "" and .spec.suspend != true and (.spec.workflowTemplateRef.name // "" | contains("missing") | not)`,
		write: `metadata:
  labels: {workflows.argoproj.io/completed: "false", workflows.argoproj.io/phase: Running, workflows.argoproj.io/workflow-template: {{ .spec.workflowTemplateRef.name }}}
status:
  artifactGCStatus: {notSpecified: true}
  conditions: [{type: PodRunning, status: "True"}]
  phase: Running
  progress: 0/1
  startedAt: {{ $now }}
  nodes:
    {{ .metadata.name }}:
      id: {{ .metadata.name }}
      name: {{ .metadata.name }}
      displayName: {{ .metadata.name }}
      type: Pod
      templateName: {{ $step }}
      templateScope: local/
      phase: Running
      progress: 0/1
      startedAt: {{ $now }}
      taskResultSynced: true
      {{- with .spec.arguments }}{{ with .parameters }}
      inputs: {parameters: {{ . | toJson }}}
      {{- end }}{{ end }}
`,
	},
	{
		name: "template-missing", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", whole: true,
		when: `(.status.phase // "") == "" and (.spec.workflowTemplateRef.name // "" | contains("missing"))`,
		write: `metadata:
  labels: {workflows.argoproj.io/completed: "true", workflows.argoproj.io/phase: Error}
status:
  conditions: [{type: Completed, status: "True"}]
  phase: Error
  message: '{{ if .spec.workflowTemplateRef.clusterScope }}cluster{{ end }}workflowtemplates.argoproj.io "{{ .spec.workflowTemplateRef.name }}" not found'
  progress: 0/0
  startedAt: {{ $now }}
  finishedAt: {{ $now }}
`,
	},
	{
		name: "succeed", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", whole: true, delay: completeAfter,
		when: `.status.phase == "Running" and .spec.shutdown == null and fate == "Succeed"`,
		write: `metadata:
  labels: {workflows.argoproj.io/completed: "true", workflows.argoproj.io/phase: Succeeded}
status:
  conditions: [{type: PodRunning, status: "False"}, {type: Completed, status: "True"}]
  phase: Succeeded
  progress: 1/1
  finishedAt: {{ $now }}
  resourcesDuration: {cpu: 0, memory: 10}
  nodes:
    {{ .metadata.name }}:
      phase: Succeeded
      progress: 1/1
      finishedAt: {{ $now }}
      resourcesDuration: {cpu: 0, memory: 10}
      outputs:
        exitCode: "0"
        parameters: [{{ range $name, $value := $outputs }}{name: {{ $name | Quote }}, value: {{ $value | Quote }}}, {{ end }}]
`,
	},
	{
		name: "fail", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", whole: true, delay: completeAfter,
		when: `.status.phase == "Running" and .spec.shutdown == null and fate == "Fail"`,
		write: `metadata:
  labels: {workflows.argoproj.io/completed: "true", workflows.argoproj.io/phase: Failed}
status:
  conditions: [{type: PodRunning, status: "False"}, {type: Completed, status: "True"}]
  phase: Failed
  message: 'main: Error (exit code 3)'
  finishedAt: {{ $now }}
  resourcesDuration: {cpu: 0, memory: 10}
  nodes:
    {{ .metadata.name }}:
      phase: Failed
      message: 'main: Error (exit code 3)'
      finishedAt: {{ $now }}
      resourcesDuration: {cpu: 0, memory: 10}
      outputs: {exitCode: "3"}
`,
	},
	{
		// The pod still runs when the Workflow is over, and the condition that says so stays.
		name: "shut-down", apiVersion: "argoproj.io/v1alpha1", kind: "Workflow", whole: true,
		when: `.status.phase == "Running" and .spec.shutdown != null`,
		write: `metadata:
  labels: {workflows.argoproj.io/completed: "true", workflows.argoproj.io/phase: Failed}
status:
  conditions: [{type: PodRunning, status: "True"}, {type: Completed, status: "True"}]
  phase: Failed
  message: "Stopped with strategy '{{ .spec.shutdown }}'"
  finishedAt: {{ $now }}
  nodes:
    {{ .metadata.name }}:
      phase: Failed
      message: 'workflow shutdown with strategy:  {{ .spec.shutdown }}'
      finishedAt: {{ $now }}
`,
	},
}
