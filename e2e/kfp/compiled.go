package kfp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// compiled is what is looked at of a pipeline.
type compiled struct {
	// document is the pipeline spec, or it and the platform spec, as versions are answered with it.
	document   json.RawMessage
	parameters map[string]parameter
}

type parameter struct {
	Type     string          `json:"parameterType"`
	Default  json.RawMessage `json:"defaultValue"`
	Optional bool            `json:"isOptional"`
}

type pipelineSpec struct {
	PipelineInfo  struct{ Name string } `json:"pipelineInfo"`
	SchemaVersion string                `json:"schemaVersion"`
	Root          *struct {
		InputDefinitions struct {
			Parameters map[string]parameter `json:"parameters"`
		} `json:"inputDefinitions"`
	} `json:"root"`
}

// compile reads a pipeline as Kubeflow Pipelines does: of all documents the one that is a pipeline spec,
// and the one that is a platform spec.
func compile(content []byte) (compiled, error) {
	var spec *pipelineSpec
	var document, platform json.RawMessage
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return compiled{}, fail(invalidArgument, "unable to decode yaml document: %v", err)
		}
		data, err := sigsyaml.YAMLToJSON(text)
		if err != nil {
			return compiled{}, fail(invalidArgument, "unable to decode yaml document: %v", err)
		}
		var read pipelineSpec
		var other struct{ Platforms map[string]json.RawMessage }
		switch {
		case json.Unmarshal(data, &read) == nil && read.PipelineInfo.Name != "" && read.Root != nil:
			if spec != nil {
				return compiled{}, fail(invalidArgument, "multiple pipeline specs provided")
			}
			spec, document = &read, data
		case json.Unmarshal(data, &other) == nil && other.Platforms["kubernetes"] != nil:
			if platform != nil {
				return compiled{}, fail(invalidArgument, "multiple platform specs provided")
			}
			platform = data
		}
	}
	switch {
	case spec == nil:
		return compiled{}, fail(invalidArgument, "no pipeline spec is provided")
	case spec.SchemaVersion != "2.1.0":
		return compiled{}, fail(invalidArgument, "KFP only supports schema version 2.1.0, but the pipeline spec has version %s", spec.SchemaVersion)
	}
	if platform != nil {
		document = json.RawMessage(fmt.Sprintf(`{"pipeline_spec":%s,"platform_spec":%s}`, document, platform))
	}
	return compiled{document, spec.Root.InputDefinitions.Parameters}, nil
}

// check says what is wrong with the parameters of a run.
func (c compiled) check(values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(c.parameters)) {
		p := c.parameters[name]
		value, given := values[name]
		if !given && !p.Optional && p.Default == nil {
			return fail(invalidArgument, "parameter %s is not optional, yet has neither default value nor user provided value", name)
		}
		if given && !kinds[p.Type](value) {
			return fail(invalidArgument, "input parameter %s requires type %s, but the input parameter is not of that type", name, p.Type)
		}
	}
	var extra []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, known := c.parameters[name]; !known {
			extra = append(extra, name)
		}
	}
	if len(extra) > 0 {
		return fail(invalidArgument, "parameter(s) provided are not required by pipeline: %s", strings.Join(extra, ", "))
	}
	return nil
}

var kinds = map[string]func(any) bool{
	"NUMBER_DOUBLE":  is[float64],
	"NUMBER_INTEGER": is[float64],
	"STRING":         is[string],
	"BOOLEAN":        is[bool],
	"LIST":           is[[]any],
	"STRUCT":         is[map[string]any],
}

func is[T any](value any) bool {
	_, ok := value.(T)
	return ok
}
