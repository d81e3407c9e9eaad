package kfp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// kinds of values that a parameter of a pipeline can have.
var kinds = []string{"BOOLEAN", "LIST", "NUMBER_DOUBLE", "NUMBER_INTEGER", "STRING", "STRUCT"}

// givable tells whether a run can be given it. What is filled in by Kubeflow Pipelines, such as how a task has ended, is
// one of a pipeline too where a single component was compiled as one.
func (p Parameter) givable() bool { return slices.Contains(kinds, p.Type) }

// Values are the parameters of a run as they are sent, of texts and of values that are no texts. A text
// is read as what the parameter's type is: 3 is a number for NUMBER_INTEGER and a text for STRING. The
// error names each parameter that is wrong, missing or unknown.
func (p Package) Values(texts map[string]string, others json.RawMessage) (map[string]any, error) {
	given, err := readValues(others)
	if err != nil {
		return nil, err
	}
	var wrong []string
	values := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if _, twice := given[name]; twice {
			wrong = append(wrong, fmt.Sprintf("%s is given twice: as a text and as a value", printable(name)))
			delete(given, name)
			continue
		}
		parameter, known := p.Parameters[name]
		if !known {
			wrong = append(wrong, p.unknown(name))
			continue
		}
		value, err := parameter.read(texts[name])
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s %v", printable(name), err))
			continue
		}
		values[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		parameter, known := p.Parameters[name]
		if !known {
			wrong = append(wrong, p.unknown(name))
			continue
		}
		if err := parameter.check(given[name]); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s %v", printable(name), err))
			continue
		}
		values[name] = given[name]
	}
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		_, asText := texts[name]
		_, asValue := given[name]
		if parameter := p.Parameters[name]; !asText && !asValue && parameter.Default == nil && !parameter.Optional {
			wrong = append(wrong, fmt.Sprintf("%s is missing, and has no default", printable(name)))
		}
	}
	if len(wrong) > 0 {
		return nil, sayf(Invalid, "the parameters do not fit the pipeline %s: %s", printable(p.Name), shortened(strings.Join(wrong, "; "), maxWrong))
	}
	return values, nil
}

// maxWrong bounds what is said to be wrong: it has to fit into a status.
const maxWrong = 700

// unknown says that a pipeline has no such parameter, and which it has.
func (p Package) unknown(name string) string {
	if len(p.Parameters) == 0 {
		return fmt.Sprintf("%s is unknown: it has none", printable(name))
	}
	return printable(fmt.Sprintf("%s is unknown: it has %s", name, strings.Join(slices.Sorted(maps.Keys(p.Parameters)), ", ")))
}

func readValues(data json.RawMessage) (map[string]any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	value, err := decode(string(data))
	given, ok := value.(map[string]any)
	if err != nil || !ok && value != nil {
		return nil, sayf(Invalid, "the values of parameters are no mapping of names: write name: value")
	}
	return given, nil
}

// decode reads one JSON value, and leaves numbers as they are written.
func decode(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is more than one value")
	}
	return value, nil
}

// read reads a text as a value of the type.
func (p Parameter) read(text string) (any, error) {
	if p.Type == "STRING" {
		return text, p.check(text)
	}
	trimmed := strings.TrimSpace(text)
	if p.Type == "BOOLEAN" {
		trimmed = strings.ToLower(trimmed) // True is how Python writes it
	}
	value, err := decode(trimmed)
	if err != nil {
		return nil, fmt.Errorf("has to be %s, and is %q", kindOf[p.Type], printable(text))
	}
	return value, p.check(value)
}

var kindOf = map[string]string{
	"NUMBER_INTEGER": "a whole number",
	"NUMBER_DOUBLE":  "a number",
	"STRING":         "a text",
	"BOOLEAN":        "true or false",
	"LIST":           "a list in JSON",
	"STRUCT":         "a mapping in JSON",
}

// maxInteger is up to where a double, in which numbers travel, has every whole number.
const maxInteger = 1 << 53

// check says what is wrong with a value.
func (p Parameter) check(value any) error {
	fits := false
	switch p.Type {
	case "STRING":
		_, fits = value.(string)
	case "BOOLEAN":
		_, fits = value.(bool)
	case "LIST":
		_, fits = value.([]any)
	case "STRUCT":
		_, fits = value.(map[string]any)
	case "NUMBER_DOUBLE", "NUMBER_INTEGER":
		var number json.Number
		if number, fits = value.(json.Number); fits {
			f, err := number.Float64()
			if err != nil {
				return fmt.Errorf("is %s, which is too large for a number", printable(number.String()))
			}
			if whole := f == math.Trunc(f); p.Type == "NUMBER_INTEGER" && whole && math.Abs(f) > maxInteger {
				return fmt.Errorf("is %s, which would be rounded: give it as a text to a parameter of the type STRING", printable(number.String()))
			} else if p.Type == "NUMBER_INTEGER" {
				fits = whole
			}
		}
	}
	if !fits {
		return fmt.Errorf("has to be %s, and is %s", kindOf[p.Type], shown(value))
	}
	return p.checkLiterals(value)
}

func (p Parameter) checkLiterals(value any) error {
	if len(p.Literals) == 0 {
		return nil
	}
	mine, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var known []string
	for _, literal := range p.Literals {
		one, err := canonical(literal)
		if err == nil && bytes.Equal(one, mine) {
			return nil
		}
		known = append(known, string(literal))
	}
	return fmt.Errorf("is %s, and has to be one of %s", shown(value), printable(strings.Join(known, ", ")))
}

// shown is a value for people.
func shown(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "something else"
	}
	return printable(string(data))
}
