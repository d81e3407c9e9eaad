package render

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// A kustomization may bring an OpenAPI schema of its own, and Kustomize keeps it in a global:
// without what follows, the lists of the next overlay that this process renders would be
// merged by the schema of the last.

// withSchema runs a build that leaves no schema behind. A build that comes upon a schema is
// run again in the state of a new process, which is what `kustomize build` is: definitions
// that earlier builds loaded would show through it.
func (f *files) withSchema(build func() (resmap.ResMap, error)) (resmap.ResMap, error) {
	if f.schema {
		openapi.ResetOpenAPI()
	}
	known := f.schema
	result, err := caught(build)
	if f.schema && !known {
		openapi.ResetOpenAPI()
		f.documents = 0
		result, err = caught(build)
	}
	if f.schema {
		openapi.ResetOpenAPI()
	}
	return result, err
}

// caught turns a panic of Kustomize into an error. It panics at a schema that does not parse.
func caught(build func() (resmap.ResMap, error)) (result resmap.ResMap, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("Kustomize gave up: %v", p)
		}
	}()
	return build()
}
