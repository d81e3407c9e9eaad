package engines

import (
	"fmt"
	"slices"
	"strings"
)

// stage is a step that an object takes: when a condition of it holds, after a delay, something is written.
type stage struct {
	name       string
	apiVersion string
	kind       string
	// when is a condition of jq, which may ask for the object's fate.
	when string
	// delay is an expression of jq that gives a duration; empty for none.
	delay string
	// whole: write is a patch of the object, for kinds without a subresource status. It is the status otherwise.
	whole bool
	// write is YAML, a template of kwok's over the object.
	write string
}

// fates is what conditions are written with.
const fates = `def fate: .metadata.annotations["fake.sluice.dev/run"] // ((.spec.arguments.parameters? // [])[] | select(.name == "fate") | .value) // "Succeed"; ` +
	`def is($type): [.status.conditions[]? | select(.type == $type and .status == "True")] != []; ` +
	`def over: is("Complete") or is("Succeeded") or is("Failed"); `

const (
	startAfter    = `.metadata.annotations["fake.sluice.dev/start-after"]`
	completeAfter = `.metadata.annotations["fake.sluice.dev/complete-after"]`
)

// values are what templates are written with. Engines write whole seconds.
const values = `{{ $now := dateInZone "2006-01-02T15:04:05Z" now "UTC" | Quote -}}
{{ $annotations := .metadata.annotations | default dict -}}
{{ $outputs := index $annotations "fake.sluice.dev/outputs" | default "{}" | fromJson -}}
{{ $step := index $annotations "fake.sluice.dev/step" | default "main" -}}
`

// String is a Stage of kwok.
func (s stage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: %s-%s
spec:
  resourceRef: {apiGroup: %s, kind: %s}
  selector:
    matchExpressions:
    - key: %q
      operator: In
      values: ["true"]
`, strings.ToLower(s.kind), s.name, s.apiVersion, s.kind, fates+".metadata.deletionTimestamp == null and ("+s.when+")")
	if s.delay != "" {
		fmt.Fprintf(&b, "  delay:\n    durationFrom:\n      expressionFrom: %q\n", s.delay)
	}
	b.WriteString("  steps:\n  - patch:\n      type: merge\n")
	if !s.whole {
		b.WriteString("      subresource: status\n      root: status\n")
	}
	b.WriteString("      template: |\n")
	for line := range strings.Lines(values + s.write) {
		b.WriteString("        " + line)
	}
	return b.String()
}

// stages are those of all kinds.
func stages() string {
	var all []string
	for _, s := range slices.Concat(workflow, trainJob, trainingJobs, experiment, training) {
		all = append(all, s.String())
	}
	return strings.Join(all, "\n---\n")
}
