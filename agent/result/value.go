package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// value is a part of a document as it is written, in JSON or in YAML: of numbers their text counts.
type value struct {
	kind    kind
	text    string // of words, of a number, of what is other
	members []member
}

type member struct {
	name  string
	value value
}

type kind int

const (
	null kind = iota
	object
	list
	words
	number
	other
)

// String names a value in an error.
func (v value) String() string {
	switch v.kind {
	case null:
		return "empty"
	case object:
		return "an object"
	case list:
		return "a list"
	}
	return shown(v.text)
}

var errDeep = fmt.Errorf("it is deeper than %d levels: keep it short", deepest)

// read takes JSON first, for not all JSON is YAML.
func read(content []byte) (value, error) {
	if json.Valid(content) {
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.UseNumber()
		return readJSON(decoder, 0)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return value{}, errors.New("it is empty: write at least the uri of the artifact")
	case err != nil:
		return value{}, fmt.Errorf("it is neither JSON nor YAML (%s): write for instance {\"uri\": \"s3://models/fraud/v8/\"}", shown(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return value{}, errors.New("it is more than one document: write one")
	}
	return readYAML(&document, 0)
}

// readJSON reads the next value of JSON that is valid.
func readJSON(decoder *json.Decoder, depth int) (value, error) {
	token, err := decoder.Token()
	if err != nil {
		return value{}, err
	}
	switch t := token.(type) {
	case nil:
		return value{}, nil
	case string:
		return value{kind: words, text: t}, nil
	case json.Number:
		return value{kind: number, text: t.String()}, nil
	case bool:
		return value{kind: other, text: fmt.Sprint(t)}, nil
	}
	if depth == deepest {
		return value{}, errDeep
	}
	v := value{kind: object}
	if token == json.Delim('[') {
		v.kind = list
	}
	for decoder.More() {
		name := ""
		if v.kind == object {
			token, err := decoder.Token()
			if err != nil {
				return value{}, err
			}
			name, _ = token.(string)
		}
		inner, err := readJSON(decoder, depth+1)
		if err != nil {
			return value{}, err
		}
		if err := v.add(name, inner); err != nil {
			return value{}, err
		}
	}
	_, err = decoder.Token() // the end
	return v, err
}

// readYAML reads a node of YAML.
func readYAML(node *yaml.Node, depth int) (value, error) {
	switch {
	case node.Kind == yaml.DocumentNode:
		return readYAML(node.Content[0], depth)
	case node.Kind == yaml.ScalarNode:
		return scalar(node), nil
	case node.Kind == yaml.AliasNode:
		return value{}, errors.New("it has anchors and aliases: write each value out")
	case depth == deepest:
		return value{}, errDeep
	}
	v := value{kind: object}
	step := 2
	if node.Kind == yaml.SequenceNode {
		v.kind, step = list, 1
	}
	for n := 0; n+step <= len(node.Content); n += step {
		name := node.Content[n]
		if v.kind == object && name.Kind != yaml.ScalarNode {
			return value{}, errors.New("it has a field whose name is no text: write fields and their values")
		}
		inner, err := readYAML(node.Content[n+step-1], depth+1)
		if err != nil {
			return value{}, err
		}
		if err := v.add(name.Value, inner); err != nil {
			return value{}, err
		}
	}
	return v, nil
}

func scalar(node *yaml.Node) value {
	switch node.ShortTag() {
	case "!!null":
		return value{}
	case "!!int", "!!float":
		return value{kind: number, text: node.Value}
	case "!!str", "!!timestamp":
		return value{kind: words, text: node.Value}
	}
	return value{kind: other, text: node.Value}
}

// add adds a member. Of two with one name it would be for chance to say which counts.
func (v *value) add(name string, inner value) error {
	if v.kind == list {
		return nil // there are no lists in a document
	}
	if len(v.members) == widest {
		return fmt.Errorf("it has an object with more than %d fields: keep it short", widest)
	}
	for _, m := range v.members {
		if m.name == name {
			return fmt.Errorf("it has the field %s twice: leave one of them out", shown(name))
		}
	}
	v.members = append(v.members, member{name, inner})
	return nil
}
