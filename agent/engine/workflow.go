package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// workflow is a Workflow of Argo Workflows. To stop it, it is terminated: its pods end, and its nodes stay on
// record. Exit handlers are not run, as they would be by Stop, for the run is not to do anything more.
var workflow = form{
	kind:    schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Workflow"},
	install: "install Argo Workflows, which is a part of Kubeflow Pipelines",
	content: buildWorkflow,
	read:    readWorkflow,
	pods:    "workflows.argoproj.io/workflow",
	stopped: map[string]any{"shutdown": "Terminate"},
}

func buildWorkflow(run Run) (content, error) {
	t := run.Template.Workflow
	template := map[string]any{"name": t.Template}
	if t.ClusterScope {
		template["clusterScope"] = true
	}
	spec := map[string]any{"workflowTemplateRef": template}
	if t.Entrypoint != "" {
		spec["entrypoint"] = t.Entrypoint
	}
	if t.ServiceAccount != "" {
		spec["serviceAccountName"] = t.ServiceAccount
	}
	if len(run.Parameters) > 0 {
		var parameters []any
		for _, name := range namesOf(run.Parameters) {
			parameters = append(parameters, map[string]any{"name": name, "value": run.Parameters[name]})
		}
		spec["arguments"] = map[string]any{"parameters": parameters}
	}
	over, err := decode(t.Spec, "workflow.spec")
	if err != nil {
		return content{}, err
	}
	for _, taken := range []struct {
		is  bool
		why string
	}{
		{fields(over).at("workflowTemplateRef") != nil, "workflowTemplateRef is given by spec.run.workflow.template"},
		{fields(over).at("arguments", "parameters") != nil, "arguments.parameters are given by spec.run.parameters"},
		{fields(over).at("shutdown") != nil, "shutdown is for the agent to set"},
	} {
		if taken.is {
			return content{}, permanentf("spec.run.workflow.spec: %s: take it out", taken.why)
		}
	}
	merge(spec, over)
	return content{map[string]any{"spec": spec}, t.Labels, t.Annotations}, nil
}

func readWorkflow(_ Run, f fields) State {
	s := State{
		Phase: v1alpha1.RunPending, Message: f.text("status", "message"),
		StartedAt: f.time("status", "startedAt"), EndedAt: f.time("status", "finishedAt"),
	}
	switch f.text("status", "phase") {
	case "Running":
		s.Phase = v1alpha1.RunRunning
		if progress := f.text("status", "progress"); s.Message == "" && progress != "" {
			s.Message = "steps done: " + progress
		}
	case "Succeeded":
		s.Phase, s.Message = v1alpha1.RunSucceeded, ""
		s.Outputs, s.Message = workflowOutputs(f)
	case "Failed", "Error":
		s.Phase = v1alpha1.RunFailed
		nodes, _ := nodesOf(f)
		if cause := nodes.cause(f.text("metadata", "name")); cause != nil {
			s.Step, s.Message = stepOf(cause, f), firstText(cause.text("message"), s.Message)
		}
		if f.text("spec", "shutdown") != "" { // by Cancel, or by somebody with argo terminate or stop
			s.Phase, s.Step, s.Message = v1alpha1.RunCanceled, "", f.text("status", "message")
		}
	}
	return s
}

// workflowOutputs is the outputs of a Workflow and of the nodes of it that succeeded: each as step.name, and as name
// where no two nodes differ in it. What the Workflow as a whole gives comes before what a step does.
func workflowOutputs(f fields) (outputs map[string]string, trouble string) {
	nodes, trouble := nodesOf(f)
	outputs, plain, ambiguous := map[string]string{}, map[string]string{}, map[string]bool{}
	for _, id := range namesOf(nodes) {
		node := nodes[id]
		if node.text("phase") != "Succeeded" {
			continue
		}
		for name, value := range parametersOf(node) {
			outputs[stepOf(node, f)+"."+name] = value
			if before, known := plain[name]; known && before != value {
				ambiguous[name] = true
			}
			plain[name] = value
		}
	}
	for name, value := range plain {
		if !ambiguous[name] {
			outputs[name] = value
		}
	}
	for _, whole := range []fields{nodes[f.text("metadata", "name")], f.object("status")} {
		for name, value := range parametersOf(whole) {
			outputs[name] = value
		}
	}
	return outputs, trouble
}

// parametersOf is the output parameters of a node, or of a status.
func parametersOf(node fields) map[string]string {
	values := map[string]string{}
	for _, p := range node.list("outputs", "parameters") {
		if _, is := p.at("value").(string); is && p.text("name") != "" {
			values[p.text("name")] = p.text("value")
		}
	}
	return values
}

// stepOf is what people call a node.
func stepOf(node, f fields) string {
	name := firstText(node.text("displayName"), node.text("name"))
	if name == f.text("metadata", "name") { // the only step of its Workflow
		return firstText(node.text("templateName"), name)
	}
	return name
}

func firstText(texts ...string) string {
	n := slices.IndexFunc(texts, func(text string) bool { return text != "" })
	if n < 0 {
		return ""
	}
	return texts[n]
}

// nodes are those of a Workflow by their ids.
type nodes map[string]fields

// childFailed is how Argo says which child a node failed of.
var childFailed = regexp.MustCompile(`^child '([^']+)' failed`)

// cause is the node that made a Workflow fail: the one that is blamed from the top down, or else the first that
// failed of itself. A failure may have been tolerated or tried again, so the first one alone is no answer.
func (n nodes) cause(root string) fields {
	blamed := n[root]
	for range n { // no more often than there are nodes, whatever circle they make
		child := childFailed.FindStringSubmatch(blamed.text("message"))
		if child == nil || n[child[1]] == nil {
			break
		}
		blamed = n[child[1]]
	}
	if failed(blamed) && !inner(blamed) {
		return blamed
	}
	tolerated := map[string]bool{}
	for _, node := range n {
		if node.text("type") == "Retry" && !failed(node) {
			for _, id := range node.texts("children") {
				tolerated[id] = true
			}
		}
	}
	var first, exit fields // of the steps, and of the exit handlers, which fail on top of it or alone
	for _, id := range namesOf(n) {
		node := n[id]
		if !failed(node) || inner(node) || tolerated[id] {
			continue
		}
		earliest := &first
		if strings.Contains(node.text("name"), ".onExit") {
			earliest = &exit
		}
		if *earliest == nil || node.time("finishedAt").Before(earliest.time("finishedAt")) {
			*earliest = node
		}
	}
	switch {
	case first != nil:
		return first
	case exit != nil:
		return exit
	case failed(blamed):
		return blamed
	}
	return nil
}

func failed(node fields) bool {
	return node.text("phase") == "Failed" || node.text("phase") == "Error"
}

// inner tells of a node that only holds others together.
func inner(node fields) bool {
	switch node.text("type") {
	case "Steps", "StepGroup", "DAG", "TaskGroup", "Retry":
		return true
	}
	return false
}

// nodesOf reads the nodes of a Workflow. Argo compresses those of a large one, and keeps those of a very large one
// in its database; trouble tells that they cannot be read.
func nodesOf(f fields) (found nodes, trouble string) {
	written := f.object("status", "nodes")
	if packed := f.text("status", "compressedNodes"); written == nil && packed != "" {
		var err error
		if written, err = unpack(packed); err != nil {
			return nil, fmt.Sprintf("the outputs of its steps cannot be read: %v: give them as outputs of the entrypoint", err)
		}
	}
	if written == nil && f.text("status", "offloadNodeStatusVersion") != "" {
		return nil, "the outputs of its steps are in Argo's database, and cannot be read: give them as outputs of the entrypoint"
	}
	found = nodes{}
	for id := range written {
		if node := written.object(id); node != nil {
			found[id] = node
		}
	}
	return found, ""
}
