package validate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/manifests"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	openapierrors "k8s.io/kube-openapi/pkg/validation/errors"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// schemas judges objects without a cluster: those of Kubernetes by its Go types, custom
// resources by the definitions that it has been given. The CEL rules of definitions are left
// to the API server.
type schemas struct {
	custom   map[schema.GroupVersionKind]customSchema
	versions map[schema.GroupKind][]string
}

type customSchema struct {
	shape  *structural.Structural
	schema *validate.SchemaValidator
}

// problem is what is wrong with an object, and the field where that is known.
type problem struct {
	field   string
	message string
}

// newSchemas knows Sluice's own kinds.
func newSchemas() (*schemas, error) {
	s := &schemas{custom: map[schema.GroupVersionKind]customSchema{}, versions: map[schema.GroupKind][]string{}}
	files, err := fs.Glob(manifests.CRDs, "crds/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := manifests.CRDs.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if text, err = yaml.YAMLToJSON(text); err != nil {
			return nil, err
		}
		if err := s.define(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// define takes in the kinds that a CRD defines.
func (s *schemas) define(text []byte) error {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(text, &crd); err != nil {
		return err
	}
	gk := schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}
	s.versions[gk] = nil
	for _, version := range crd.Spec.Versions {
		if version.Served {
			s.versions[gk] = append(s.versions[gk], version.Name)
		}
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		c, err := compile(version.Schema.OpenAPIV3Schema)
		if err != nil {
			return fmt.Errorf("the schema of version %s: %w", version.Name, err)
		}
		s.custom[gk.WithVersion(version.Name)] = c
	}
	return nil
}

func compile(props *apiextensionsv1.JSONSchemaProps) (customSchema, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return customSchema{}, err
	}
	shape, err := structural.NewStructural(&internal)
	if err != nil {
		return customSchema{}, err
	}
	return customSchema{shape, validate.NewSchemaValidator(shape.ToKubeOpenAPI(), nil, "", strfmt.Default)}, nil
}

// check says what the API server would refuse about an object, as far as can be known.
func (s *schemas) check(o agent.Object) []problem {
	gvk := o.GroupVersionKind()
	if c, known := s.custom[gvk]; known {
		return c.check(o)
	}
	if versions, known := s.versions[gvk.GroupKind()]; known {
		for _, v := range versions {
			if v == gvk.Version {
				return nil // it has no schema
			}
		}
		return []problem{{"apiVersion", fmt.Sprintf("its CRD serves %s and not %s", strings.Join(versions, ", "), gvk.Version)}}
	}
	if manifest.Defines(o.Ref) {
		return strict(o.JSON, &apiextensionsv1.CustomResourceDefinition{})
	}
	if !scheme.Scheme.IsGroupRegistered(gvk.Group) {
		return nil
	}
	object, err := scheme.Scheme.New(gvk)
	if err != nil {
		return []problem{{"kind", fmt.Sprintf("Kubernetes has no kind %s in %s: check apiVersion and kind", gvk.Kind, gvk.GroupVersion())}}
	}
	return strict(o.JSON, object)
}

// strict decodes an object as the API server does when it is asked to be strict.
func strict(text []byte, into any) []problem {
	unknown, err := kjson.UnmarshalStrict(text, into)
	if err != nil {
		message := strings.TrimPrefix(err.Error(), "json: ")
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			return []problem{{mismatch.Field, fmt.Sprintf("%s must be %s and not %s", mismatch.Field, mismatch.Type, mismatch.Value)}}
		}
		return []problem{{"", message}}
	}
	var problems []problem
	for _, e := range unknown {
		where := ""
		if f, ok := errors.AsType[kjson.FieldError](e); ok {
			where = f.FieldPath()
		}
		problems = append(problems, problem{where, e.Error()})
	}
	return problems
}

func (c customSchema) check(o agent.Object) []problem {
	var fields map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.JSON, &fields); err != nil {
		return []problem{{"", err.Error()}}
	}
	var problems []problem
	for _, path := range pruning.PruneWithOptions(fields, c.shape, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		problems = append(problems, problem{path, fmt.Sprintf("unknown field %q", path)})
	}
	fill(fields, c.shape)
	for _, err := range c.schema.Validate(fields).Errors {
		where := ""
		if e, ok := errors.AsType[*openapierrors.Validation](err); ok {
			where = e.Name
		}
		problems = append(problems, problem{where, shorten(strings.ReplaceAll(err.Error(), " in body", ""))})
	}
	return problems
}

// shorten cuts a message that quotes a value of any length.
func shorten(message string) string {
	const most = 500
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return message
}

// fill sets the fields that are missing to their defaults, as the API server does before it
// validates.
func fill(value any, shape *structural.Structural) {
	switch value := value.(type) {
	case map[string]any:
		for name, property := range shape.Properties {
			if _, set := value[name]; !set && property.Default.Object != nil {
				value[name] = runtime.DeepCopyJSONValue(property.Default.Object)
			}
		}
		for name := range value {
			if property, known := shape.Properties[name]; known {
				fill(value[name], &property)
			} else if more := shape.AdditionalProperties; more != nil && more.Structural != nil {
				fill(value[name], more.Structural)
			}
		}
	case []any:
		for _, element := range value {
			if shape.Items != nil {
				fill(element, shape.Items)
			}
		}
	}
}
