package render_test

import (
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sluice-dev/sluice/agent/render"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// An overlay with a schema of its own changes how the next ones are merged in no way, and
// those before it change nothing in it.
func TestSchemaStaysWithItsOverlay(t *testing.T) {
	const plain = `
-- top/kustomization.yaml --
resources: [web.yaml]
patches: [{path: patch.yaml}]
-- top/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: a, image: a}]}}}
-- top/patch.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: b, image: b}]}}}
`
	const schema = `
-- top/base/kustomization.yaml --
openapi: {path: schema.json}
resources: [more.yaml]
-- top/base/more.yaml --
{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}
-- top/base/schema.json --
{"definitions": {"Deployment": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}]}}}
-- top/kustomization.yaml --
resources: [web.yaml, base]
patches: [{path: patch.yaml}]
`
	openapi.ResetOpenAPI() // other tests run Kustomize itself, which leaves its schema behind
	build := func(text string) int {
		t.Helper()
		tree := fstest.MapFS{}
		for _, f := range txtar.Parse([]byte(text)).Files {
			tree[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
		}
		objects, err := render.Build(tree, render.Spec{Path: "top"}, render.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Fields["kind"] == "Deployment" {
				return len(dig(o.Fields, "spec", "template", "spec")["containers"].([]any))
			}
		}
		t.Fatal("no Deployment")
		return 0
	}
	for n, c := range []struct {
		files string
		want  int
	}{{plain, 2}, {plain + schema, 1}, {plain, 2}, {plain + schema, 1}, {plain, 2}} {
		if got := build(c.files); got != c.want {
			t.Errorf("build %d: %d containers, not %d", n, got, c.want)
		}
	}
}

func dig(fields map[string]any, path ...string) map[string]any {
	for _, name := range path {
		fields = fields[name].(map[string]any)
	}
	return fields
}

// The OpenAPI definitions of Kubernetes are read once in a process, until an overlay brings
// some of its own: reading them takes longer than a small render.
func TestSchemaIsReadOnce(t *testing.T) {
	openapi.ResetOpenAPI()
	build := func(kustomization string) {
		t.Helper()
		tree := fstest.MapFS{"kustomization.yaml": text(kustomization), "schema.json": text(`{"definitions": {}}`),
			"web.yaml": text("{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}")}
		if _, err := render.Build(tree, render.Spec{Path: "."}, render.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
	}
	pointer := func() *spec.Schema {
		return openapi.SchemaForResourceType(yaml.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}).Schema
	}
	const resources = "resources: [web.yaml]\nnamePrefix: p-\n"
	build(resources)
	first := pointer()
	build(resources)
	if pointer() != first {
		t.Error("the definitions were read again")
	}
	build(resources + "openapi: {path: schema.json}\n")
	if pointer() == first {
		t.Error("the definitions are those from before an overlay brought its own")
	}
}
