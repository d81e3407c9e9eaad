package kfp

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// The kinds are as an API server takes them, and what does not change has a rule that says so.
func TestCRDs(t *testing.T) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(CRDs), 4096)
	kinds := map[string]*structural.Structural{}
	for {
		var crd apiextensionsv1.CustomResourceDefinition
		err := decoder.Decode(&crd)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var schema apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		s, err := structural.NewStructural(&schema)
		if err != nil {
			t.Fatal(err)
		}
		if errs := structural.ValidateStructural(nil, s); len(errs) > 0 {
			t.Errorf("%s: %v", crd.Name, errs.ToAggregate())
		}
		if crd.Name != crd.Spec.Names.Plural+"."+crd.Spec.Group || crd.Spec.Versions[0].Name != "v2beta1" {
			t.Errorf("%s is of %+v", crd.Name, crd.Spec.Names)
		}
		kinds[crd.Spec.Names.Kind] = s
	}
	if len(kinds) != 2 || kinds["Pipeline"] == nil || kinds["PipelineVersion"] == nil {
		t.Fatalf("%d kinds", len(kinds))
	}
	spec := kinds["PipelineVersion"].Properties["spec"]
	for name, field := range spec.Properties {
		rules := field.XValidations
		if fixed := len(rules) == 1 && rules[0].Rule == "self == oldSelf"; fixed != (name != "displayName") {
			t.Errorf("%s has the rules %v", name, rules)
		}
	}
	if len(spec.XValidations) != 1 || len(spec.Properties) != 7 {
		t.Errorf("%d fields, and the rules %v", len(spec.Properties), spec.XValidations)
	}
}
