package kfp

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	// maxPackage bounds a compiled pipeline, in bytes.
	maxPackage = 4 << 20
	// maxUnfolded bounds what becomes of it when its aliases are written out.
	maxUnfolded = 4 * maxPackage
	// maxDepth bounds how deep it is nested.
	maxDepth = 200
	// maxName is what Kubeflow Pipelines takes for names of pipelines and experiments, in bytes.
	maxName = 128
)

// Package is a compiled pipeline: IR of KFP v2.
type Package struct {
	// Name that the pipeline has in itself.
	Name string
	// Digest of the content, whatever its format, its comments and the order of its fields: sha256:….
	Digest string
	// Version is the name of the version that has this content.
	Version string
	// Parameters that a run can be given, by their names.
	Parameters map[string]Parameter
	// Spec is the pipeline, and Platform what is for Kubernetes, if there is such, as canonical JSON.
	Spec, Platform json.RawMessage
}

// Parameter is an input of a pipeline.
type Parameter struct {
	// Type: NUMBER_INTEGER, NUMBER_DOUBLE, STRING, BOOLEAN, LIST, STRUCT.
	Type string `json:"parameterType"`
	// Default that it has. None: a value has to be given unless it is Optional.
	Default  json.RawMessage `json:"defaultValue"`
	Optional bool            `json:"isOptional"`
	// Literals are the only values that it can have, if there are any.
	Literals []json.RawMessage `json:"literals"`
}

// ir is what is looked at of a pipeline.
type ir struct {
	PipelineInfo struct {
		Name string `json:"name"`
	} `json:"pipelineInfo"`
	SchemaVersion  string               `json:"schemaVersion"`
	Root           *component           `json:"root"`
	Components     map[string]component `json:"components"`
	DeploymentSpec struct {
		Executors map[string]json.RawMessage `json:"executors"`
	} `json:"deploymentSpec"`
}

type component struct {
	InputDefinitions struct {
		Parameters map[string]Parameter `json:"parameters"`
	} `json:"inputDefinitions"`
	DAG *struct {
		Tasks map[string]struct {
			ComponentRef struct {
				Name string `json:"name"`
			} `json:"componentRef"`
		} `json:"tasks"`
	} `json:"dag"`
	ExecutorLabel string `json:"executorLabel"`
}

// ReadPackage reads what the compiler of kfp writes, or of Kale or Elyra: one document, or two with
// the second for the platform.
func ReadPackage(content []byte) (Package, error) {
	if len(content) > maxPackage {
		return Package{}, sayf(Invalid, "the package has more than 4 MiB: move what is large in it into images")
	}
	documents, err := readDocuments(content)
	switch {
	case err != nil:
		return Package{}, err
	case len(documents) == 0:
		return Package{}, sayf(Invalid, "the package is empty: compile the pipeline with kfp 2")
	case len(documents) > 2:
		return Package{}, sayf(Invalid, "the package has %d documents: it is one pipeline, and a platform spec if there is one", len(documents))
	case len(documents) == 1:
		documents = append(documents, nil)
	}
	return newPackage(documents[0], documents[1])
}

// oneLine is a separator of documents with something behind it.
var oneLine = regexp.MustCompile(`(?m)^(---[ \t]+[^#\s]|\.\.\.)`)

// readDocuments reads YAML into canonical JSON.
func readDocuments(content []byte) ([]json.RawMessage, error) {
	if oneLine.Match(content) {
		return nil, sayf(Invalid, "the package separates documents in a way that is not read: write --- on a line of its own")
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var documents []json.RawMessage
	unfolded := 0
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, sayf(Invalid, "the package is no YAML: %s", printable(err.Error()))
		}
		if err := checkUnfolded(text, maxUnfolded-unfolded); err != nil {
			return nil, err
		}
		data, err := sigsyaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, sayf(Invalid, "the package is no YAML: %s", printable(err.Error()))
		}
		unfolded += len(data)
		if string(data) == "null" {
			continue // nothing, or comments
		}
		data, err = canonical(data)
		if err != nil {
			return nil, sayf(Invalid, "the package cannot be read: %s", printable(err.Error()))
		}
		documents = append(documents, data)
	}
}

// checkUnfolded refuses a document before its aliases are written out, if that comes to more than there is room for: a
// few bytes can say gigabytes.
func checkUnfolded(text []byte, room int) error {
	var document kyaml.Node
	if err := kyaml.Unmarshal(text, &document); err != nil {
		return sayf(Invalid, "the package is no YAML: %s", printable(err.Error()))
	}
	return unfold(&document, 0, &room)
}

// unfold takes from the room what a node needs.
func unfold(node *kyaml.Node, depth int, room *int) error {
	const around = 3 // quotes and a comma, or brackets and a comma
	*room -= len(node.Value) + around
	switch {
	case depth > maxDepth:
		return sayf(Invalid, "the package is nested deeper than %d levels: write it flatter", maxDepth)
	case *room < 0:
		return sayf(Invalid, "the package has more than 16 MiB when its aliases are written out: write it without them")
	case node.Kind == kyaml.AliasNode:
		return unfold(node.Alias, depth+1, room)
	}
	for _, child := range node.Content {
		if err := unfold(child, depth+1, room); err != nil {
			return err
		}
	}
	return nil
}

// canonical is JSON that says the same, with its fields sorted and its numbers as they are.
func canonical(data []byte) (json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func newPackage(spec, platform json.RawMessage) (Package, error) {
	var read ir
	if err := json.Unmarshal(spec, &read); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Package{}, sayf(Invalid, "the package is no IR of KFP v2: %s is a %s there: compile the pipeline with kfp 2", fieldOf(e), e.Value)
		}
		return Package{}, sayf(Invalid, "the package is no IR of KFP v2: compile the pipeline with kfp 2")
	}
	if err := read.check(spec); err != nil {
		return Package{}, err
	}
	if platform != nil {
		var p struct {
			Platforms map[string]json.RawMessage `json:"platforms"`
		}
		if json.Unmarshal(platform, &p) != nil || p.Platforms["kubernetes"] == nil {
			return Package{}, sayf(Invalid, "the second document of the package is no platform spec: it has to have platforms.kubernetes")
		}
	}
	sum := sha256.New()
	sum.Write(spec)
	if platform != nil {
		sum.Write([]byte("\n---\n"))
		sum.Write(platform)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	parameters := read.Root.InputDefinitions.Parameters
	maps.DeleteFunc(parameters, func(_ string, p Parameter) bool { return !p.givable() })
	return Package{
		Name: read.PipelineInfo.Name, Digest: "sha256:" + digest, Version: versionPrefix + digest[:versionDigits],
		Parameters: parameters, Spec: spec, Platform: platform,
	}, nil
}

// fieldOf is the field in which something of another type is.
func fieldOf(e *json.UnmarshalTypeError) string {
	if e.Field == "" {
		return "the document"
	}
	return printable(e.Field)
}

// check says what a pipeline lacks to be one.
func (p ir) check(spec json.RawMessage) error {
	var other struct {
		APIVersion   string          `json:"apiVersion"`
		PipelineSpec json.RawMessage `json:"pipelineSpec"`
		Platforms    json.RawMessage `json:"platforms"`
	}
	_ = json.Unmarshal(spec, &other) // fields of another type are none of these
	switch {
	case strings.HasPrefix(other.APIVersion, "argoproj.io/"):
		return sayf(Invalid, "the package is a Workflow of Argo, as KFP v1 compiles it: compile the pipeline with kfp 2, or run it as a workflow")
	case other.PipelineSpec != nil:
		return sayf(Invalid, "the package is a PipelineJob: give the pipeline in its field pipelineSpec alone")
	case other.Platforms != nil:
		return sayf(Invalid, "the first document of the package is a platform spec: put the pipeline first")
	case p.PipelineInfo.Name == "":
		return sayf(Invalid, "the package has no pipelineInfo.name: compile the pipeline with kfp 2")
	case len(p.PipelineInfo.Name) > maxName:
		return sayf(Invalid, "the package has a pipelineInfo.name of more than %d bytes: write a shorter one", maxName)
	case !strings.HasPrefix(p.SchemaVersion, "2."):
		return sayf(Invalid, "the package has the schemaVersion %q: compile the pipeline with kfp 2, whose is 2.1.0", printable(p.SchemaVersion))
	case p.Root == nil:
		return sayf(Invalid, "the package has no root: compile the pipeline with kfp 2")
	case len(p.Components) == 0:
		return sayf(Invalid, "the package has no components: compile the pipeline with kfp 2")
	case len(p.DeploymentSpec.Executors) == 0:
		return sayf(Invalid, "the package has no deploymentSpec.executors: compile the pipeline with kfp 2")
	}
	if err := p.checkComponent("root", *p.Root); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Components)) {
		if err := p.checkComponent("component "+printable(name), p.Components[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Root.InputDefinitions.Parameters)) {
		if parameter := p.Root.InputDefinitions.Parameters[name]; !parameter.givable() && !parameter.Optional {
			return sayf(Invalid, "the parameter %s of the pipeline has the type %q, which a pipeline cannot be given: use one of %s", printable(name), printable(parameter.Type), strings.Join(kinds, ", "))
		}
	}
	return nil
}

// checkComponent says what it needs that is not there.
func (p ir) checkComponent(name string, c component) error {
	switch {
	case c.DAG == nil && c.ExecutorLabel == "":
		return sayf(Invalid, "the %s of the package does nothing: it has neither dag nor executorLabel", name)
	case c.DAG == nil && p.DeploymentSpec.Executors[c.ExecutorLabel] == nil:
		return sayf(Invalid, "the %s of the package needs the executor %s, which deploymentSpec does not have", name, printable(c.ExecutorLabel))
	case c.DAG == nil:
		return nil
	}
	for _, task := range slices.Sorted(maps.Keys(c.DAG.Tasks)) {
		ref := c.DAG.Tasks[task].ComponentRef.Name
		if _, found := p.Components[ref]; !found {
			return sayf(Invalid, "the task %s of the %s needs the component %q, which the package does not have", printable(task), name, printable(ref))
		}
	}
	return nil
}

// content is the package as it is sent: what its digest is of, and nothing else.
func (p Package) content() []byte {
	content := append([]byte(nil), p.Spec...)
	if p.Platform != nil {
		content = append(append(content, "\n---\n"...), p.Platform...)
	}
	return append(content, '\n')
}
