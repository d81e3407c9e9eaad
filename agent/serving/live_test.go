package serving_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/serving"
)

// live reads the objects of a cluster: YAML documents, each of them one of
//
//	object: {…}       an object as it is
//	recorded: FILE    one of testdata/recorded; with: {…} is merged into it
//	deployment: {…}   a Deployment as KServe or the agent would have made it; see pods
//	revisions: {…}    a Knative Service; see revisions
//	objects: true     everything that is wanted, as it was applied
func (s *suite) live(t *testing.T, section string, want serving.Want) map[agent.Ref]map[string]any {
	t.Helper()
	objects := map[agent.Ref]map[string]any{}
	add := func(o map[string]any) {
		u := unstructured.Unstructured{Object: o}
		if u.GetNamespace() == "" || u.GetNamespace() == "default" {
			u.SetNamespace(want.Namespace)
		}
		gk := u.GroupVersionKind().GroupKind()
		objects[agent.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}] = u.Object
	}
	for _, text := range bytes.Split(s.file(section), []byte("---\n")) {
		var d struct {
			Object, With map[string]any
			Recorded     string
			Deployment   *pods
			Revisions    *revisions
			Objects      bool
		}
		if err := yaml.UnmarshalStrict(text, &d); err != nil {
			t.Fatalf("%s: %v", section, err)
		}
		switch {
		case d.Recorded != "":
			add(merge(recorded(t, d.Recorded), integers(t, d.With)))
		case d.Deployment != nil:
			add(integers(t, d.Deployment.object(t, s, want)))
		case d.Revisions != nil:
			add(integers(t, d.Revisions.object(t, s, want)))
		case d.Object != nil:
			add(integers(t, d.Object))
		case d.Objects:
			applied, err := serving.Objects(want, s.can)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range applied {
				add(integers(t, o))
			}
		}
	}
	return objects
}

func recorded(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "recorded", file+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	js, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.UnmarshalCaseSensitivePreserveInts(js, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// integers has numbers as the API server's client reads them.
func integers(t *testing.T, o map[string]any) map[string]any {
	t.Helper()
	text, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	js, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.UnmarshalCaseSensitivePreserveInts(js, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func merge(into, from map[string]any) map[string]any {
	into = maps.Clone(into)
	for key, value := range from {
		fields, isMap := value.(map[string]any)
		under, both := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && both:
			into[key] = merge(under, fields)
		default:
			into[key] = value
		}
	}
	return into
}

// template finds the annotation of a version's pods in what is applied for it.
func (s *suite) template(t *testing.T, want serving.Want, version string) string {
	t.Helper()
	v := s.versions[version]
	want.Stable, want.Candidate, want.Traffic, want.Retiring = &v, nil, 0, nil
	objects, err := serving.Objects(want, s.can)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range [][]string{{"spec", "predictor", "annotations"}, {"spec", "template", "metadata", "annotations"}} {
		if found, ok, _ := unstructured.NestedString(objects[0], append(path, serving.TemplateAnnotation)...); ok {
			return found
		}
	}
	t.Fatal("pods have no annotation for their template")
	return ""
}

// pods describes a Deployment. Where nothing else is said, all pods are there.
type pods struct {
	Name                         string
	Version                      string // whose artifact and template it has
	Stale                        bool   // the template is another
	Generation, Observed         int64  // 0: the same
	Replicas, Updated, Available *int64
	Old                          int64 // pods of a template before
	Reason                       string
	Message                      string
}

func (p pods) object(t *testing.T, s *suite, want serving.Want) map[string]any {
	all := func(n *int64, otherwise int64) int64 {
		if n == nil {
			return otherwise
		}
		return *n
	}
	replicas := all(p.Replicas, 1)
	annotations := map[string]any{
		"internal.serving.kserve.io/storage-initializer-sourceuri": s.versions[p.Version].URI,
		serving.TemplateAnnotation:                                 s.template(t, want, p.Version),
	}
	if p.Stale {
		annotations[serving.TemplateAnnotation] = "of-before"
	}
	generation, observed := max(p.Generation, 1), p.Observed
	if observed == 0 {
		observed = generation
	}
	progressing := map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
	if p.Reason != "" {
		progressing = map[string]any{"type": "Progressing", "status": "False", "reason": p.Reason, "message": p.Message}
	}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": p.Name, "generation": generation},
		"spec":     map[string]any{"replicas": replicas, "template": map[string]any{"metadata": map[string]any{"annotations": annotations}}},
		"status": map[string]any{
			"observedGeneration": observed, "replicas": replicas + p.Old,
			"updatedReplicas": all(p.Updated, replicas), "availableReplicas": all(p.Available, replicas),
			"conditions": []any{progressing},
		},
	}
}

// revisions describes a Knative Service.
type revisions struct {
	Version string // whose artifact and template it has
	// Unobserved: Knative has not looked at it since.
	Unobserved bool
	// Created and Ready are the newest revisions; Configured and Routed the states of the
	// conditions, True if they are not given.
	Created, Ready, Configured, Routed, Reason, Message string
	// Traffic by revision.
	Traffic []map[string]any
}

func (r revisions) object(t *testing.T, s *suite, want serving.Want) map[string]any {
	status := func(text string) string {
		if text == "" {
			return "True"
		}
		return text
	}
	observed := int64(2)
	if r.Unobserved {
		observed = 1
	}
	return map[string]any{
		"apiVersion": "serving.knative.dev/v1", "kind": "Service",
		"metadata": map[string]any{"name": want.Model + "-predictor", "generation": 2},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{
			"internal.serving.kserve.io/storage-initializer-sourceuri": s.versions[r.Version].URI,
			serving.TemplateAnnotation:                                 s.template(t, want, r.Version),
		}}}},
		"status": map[string]any{
			"observedGeneration": observed, "latestCreatedRevisionName": r.Created, "latestReadyRevisionName": r.Ready,
			"conditions": []any{
				map[string]any{"type": "ConfigurationsReady", "status": status(r.Configured), "reason": r.Reason, "message": r.Message},
				map[string]any{"type": "RoutesReady", "status": status(r.Routed)},
			},
			"traffic": r.Traffic,
		},
	}
}
