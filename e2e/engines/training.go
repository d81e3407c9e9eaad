package engines

// training is the tests' own kind: Busy, and then Done or Broken.
var training = []stage{
	{
		name: "start", apiVersion: "example.com/v1", kind: "Training", delay: startAfter,
		when:  `.status.phase == null`,
		write: "phase: Busy\n",
	},
	{
		name: "succeed", apiVersion: "example.com/v1", kind: "Training", delay: completeAfter,
		when: `.status.phase == "Busy" and fate == "Succeed"`,
		write: `phase: Done
uri: {{ .spec.output | Quote }}
metrics: [{{ range $name, $value := $outputs }}{name: {{ $name | Quote }}, value: {{ $value | Quote }}}, {{ end }}]
`,
	},
	{
		name: "fail", apiVersion: "example.com/v1", kind: "Training", delay: completeAfter,
		when:  `.status.phase == "Busy" and fate == "Fail"`,
		write: "phase: Broken\nmessage: the table is empty\n",
	},
}
