package serving

import (
	"fmt"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

func serviceRef(namespace, name string) agent.Ref {
	return agent.Ref{Kind: "Service", Namespace: namespace, Name: name}
}

// entrance is where the pods of a version take requests.
type entrance struct {
	// version whose pods are chosen, and component among them, where there are several.
	version, component string
	// port of the Service and of the pods.
	port, target int32
}

// serviceManifest is a Service that leads to one version. The one named after the Model leads
// from version to version; labels say so by not naming one.
func serviceManifest(w Want, name string, to entrance, m *v1alpha1.CommonMetadata) map[string]any {
	selector := selectorOf(w, to.version)
	if to.component != "" {
		selector["component"] = to.component
	}
	own := to.version
	if name == w.Model {
		own = ""
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": metadataOf(w, name, own, m),
		"spec": map[string]any{
			"type": "ClusterIP", "selector": selector,
			"ports": []any{map[string]any{"name": "http", "protocol": "TCP", "port": int64(to.port), "targetPort": int64(to.target)}},
		},
	}
}

// metadataOf is the metadata of an object with what a Model adds to it.
func metadataOf(w Want, name, version string, m *v1alpha1.CommonMetadata) map[string]any {
	metadata := map[string]any{"name": name, "namespace": w.Namespace}
	labels := map[string]any{}
	if m != nil {
		put(labels, anyMap(m.Labels))
		if len(m.Annotations) > 0 {
			metadata["annotations"] = anyMap(m.Annotations)
		}
	}
	put(labels, labelsOf(w, version))
	metadata["labels"] = labels
	return metadata
}

// leads tells whether a live Service leads to a version, in percent.
func leads(service map[string]any, v Version) int32 {
	if text(service, "spec", "selector", v1alpha1.VersionLabel) == v.Name {
		return 100
	}
	return 0
}

// inside is where clients inside the cluster reach a Model.
func inside(w Want, port int32) string {
	if port == 80 {
		return fmt.Sprintf("http://%s.%s.svc", w.Model, w.Namespace)
	}
	return fmt.Sprintf("http://%s.%s.svc:%d", w.Model, w.Namespace, port)
}

// Ports of KServe: of its Services, of model servers that name none, and of the agent that it
// puts before one for a logger or a batcher.
const (
	kservePort      = 80
	kserveContainer = 8080
	kserveAgent     = 9081
)

// entrance is where a version's pods take requests, as KServe's own Services find it.
func (t template) entrance(w Want, version string) entrance {
	component := "predictor"
	if t.spec["transformer"] != nil {
		component = "transformer"
	}
	fields, _ := t.spec[component].(map[string]any)
	to := entrance{version: version, component: component, port: kservePort, target: kserveContainer}
	if fields["logger"] != nil || fields["batcher"] != nil {
		to.target = kserveAgent
		return to
	}
	server, modelled := fields["model"].(map[string]any)
	if containers := list(fields, "containers"); !modelled && len(containers) > 0 {
		server = containers[0]
	}
	if ports := list(server, "ports"); len(ports) > 0 {
		if port := number(ports[0], "containerPort"); port > 0 && port <= 65535 {
			to.target = int32(port)
		}
	}
	return to
}
