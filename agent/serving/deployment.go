package serving

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// deployment is a Deployment and a Service for each version, and before them what divides the
// traffic.
type deployment struct {
	splitter
	// spec of the Deployments, checked.
	spec   map[string]any
	to     func(Want, Version) entrance
	common *v1alpha1.CommonMetadata
}

const (
	deploymentField = "spec.serving.deployment"
	podField        = deploymentField + ".template.template"
)

// deploymentTemplate reads and checks the spec of the Deployments.
func deploymentTemplate(s v1alpha1.DeploymentServing) (map[string]any, error) {
	spec, err := s.Object()
	if err != nil || spec == nil {
		return nil, fmt.Errorf("%s.template is not an object: give it the spec of a Deployment", deploymentField)
	}
	if s.Port < 1 || s.Port > 65535 || s.ServicePort < 0 || s.ServicePort > 65535 {
		return nil, fmt.Errorf("%s.port and servicePort have to be from 1 to 65535", deploymentField)
	}
	if _, set := spec["selector"]; set {
		return nil, fmt.Errorf("%s.template.selector is set, and pods are chosen by the agent's labels: remove it", deploymentField)
	}
	if err := checkMetadata(deploymentField+".metadata", s.Metadata); err != nil {
		return nil, err
	}
	if err := checkGateway(deploymentField+".gateway", s.Gateway); err != nil {
		return nil, err
	}
	return spec, checkPods(spec["template"])
}

// checkPods looks at the pod template.
func checkPods(value any) error {
	pods, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is not there: give it the template of the pods", podField)
	}
	for _, field := range []string{"metadata", "spec"} {
		if _, ok := pods[field].(map[string]any); !ok && pods[field] != nil {
			return fmt.Errorf("%s.%s is not an object", podField, field)
		}
	}
	if err := checkLabels(podField+".metadata.labels", at(pods, "metadata", "labels")); err != nil {
		return err
	}
	if _, ok := at(pods, "metadata", "annotations").(map[string]any); !ok && at(pods, "metadata", "annotations") != nil {
		return fmt.Errorf("%s.metadata.annotations is not a mapping of annotations", podField)
	}
	if containers := at(pods, "spec", "containers"); !objectsOnly(containers) || len(list(pods, "spec", "containers")) == 0 {
		return fmt.Errorf("%s.spec.containers has no container: give it the one that serves the model", podField)
	}
	return nil
}

func deploymentLayout(s v1alpha1.DeploymentServing, can Abilities) (layout, error) {
	spec, err := deploymentTemplate(s)
	if err != nil {
		return nil, err
	}
	port := s.ServicePort
	if port == 0 {
		port = 80
	}
	to := func(w Want, v Version) entrance { return entrance{version: v.Name, port: port, target: s.Port} }
	service := byService{to: to, metadata: s.Metadata, kind: "Deployment, ", why: missingGateway(deploymentField, s.Gateway)}
	d := deployment{splitter: service, spec: spec, to: to, common: s.Metadata}
	if s.Gateway != nil && can.Gateway {
		backend := func(w Want, v Version) string { return nameOf(w.Model, v.Name) }
		d.splitter = byRoute{route{*s.Gateway, backend, port}, service}
	}
	return d, nil
}

func (d deployment) objects(w Want) ([]map[string]any, error) {
	w = w.beside()
	var all []map[string]any
	for _, v := range w.running() {
		all = append(all, d.manifest(w, v), serviceManifest(w, nameOf(w.Model, v.Name), d.to(w, v), d.common))
	}
	return append(all, d.split(w)...), nil
}

// manifest is the Deployment of a version.
func (d deployment) manifest(w Want, v Version) map[string]any {
	spec := clone(d.spec)
	pods := child(spec, "template")
	fill(child(pods, "spec"), v)
	metadata := child(pods, "metadata")
	put(child(metadata, "labels"), labelsOf(w, v.Name))
	child(metadata, "annotations")[TemplateAnnotation] = d.digest()
	spec["selector"] = map[string]any{"matchLabels": selectorOf(w, v.Name)}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": metadataOf(w, nameOf(w.Model, v.Name), v.Name, d.common),
		"spec":     spec,
	}
}

// digest names what pods are made of, besides the version.
func (d deployment) digest() string { return digestOf(d.spec["template"].(map[string]any)) }

// fill puts a version into the containers. What stands for what is replaced once: a URI in which
// ${version} occurs is no template.
func fill(pods map[string]any, v Version) {
	values := strings.NewReplacer("${uri}", v.URI, "${version}", v.Name, "${digest}", v.Digest)
	for _, field := range []string{"containers", "initContainers"} {
		if pods[field] != nil {
			pods[field] = replaced(pods[field], values)
		}
	}
}

// replaced is a value with all strings in it replaced. Keys are not.
func replaced(value any, values *strings.Replacer) any {
	switch value := value.(type) {
	case string:
		return values.Replace(value)
	case []any:
		for n := range value {
			value[n] = replaced(value[n], values)
		}
	case map[string]any:
		for key := range value {
			value[key] = replaced(value[key], values)
		}
	}
	return value
}

func (d deployment) ref(w Want, v Version) agent.Ref {
	return agent.Ref{Group: "apps", Kind: "Deployment", Namespace: w.Namespace, Name: nameOf(w.Model, v.Name)}
}

func (d deployment) reads(w Want) []agent.Ref {
	w = w.beside()
	var refs []agent.Ref
	for _, v := range w.running() {
		refs = append(refs, d.ref(w, v), serviceRef(w.Namespace, nameOf(w.Model, v.Name)))
	}
	return append(refs, d.splitter.reads(w)...)
}

func (d deployment) observe(given Want, live objects) State {
	return observed(given, live, d.splitter, func(v Version) (Readiness, map[string]any) {
		object := live[d.ref(given, v)]
		return d.version(object, v), object
	})
}

// version is how the Deployment of one version is.
func (d deployment) version(object map[string]any, v Version) Readiness {
	switch {
	case object == nil:
		return waiting("its Deployment is not there yet")
	case text(object, "spec", "template", "metadata", "annotations", TemplateAnnotation) != d.digest():
		return waiting("Deployment %s has not been given the present template", text(object, "metadata", "name"))
	}
	return rolledOut(object)
}

// next needs no detours: each version is brought up and taken down by itself.
func (d deployment) next(w Want, _ objects) Want { return w }
