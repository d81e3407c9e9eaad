package proposal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// AddResource adds a line to the resources of a kustomization and leaves everything else as it
// is, to the byte: it works on the text, and checks what it has done by reading it again.
func AddResource(text []byte, resource string) ([]byte, error) {
	if _, plain := whole(text); !plain {
		return nil, fmt.Errorf("it has line breaks that editors do not show (U+0085, U+2028, U+2029, or a carriage return alone): replace them, or add %s by hand", resource)
	}
	root, resources, err := readResources(text)
	if err != nil {
		return nil, err
	}
	before := listed(resources)
	if slices.ContainsFunc(before, func(name string) bool { return path.Clean(name) == resource }) {
		return text, nil
	}
	changed := insertResource(text, root, resources, resource)
	_, after, err := readResources(changed)
	if err != nil || !slices.Equal(listed(after), append(before, resource)) {
		return nil, fmt.Errorf("its resources are written in a way that is not understood here: add %s by hand", resource)
	}
	return changed, nil
}

// readResources returns the mapping of a kustomization, nil if it is empty, and its resources, nil
// if it has none.
func readResources(text []byte) (root, resources *kyaml.Node, err error) {
	decoder := kyaml.NewDecoder(bytes.NewReader(text))
	var document kyaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, errors.New("it is no YAML: mend it first")
	}
	root = document.Content[0]
	if root.Kind != kyaml.MappingNode {
		return nil, nil, errors.New("it is no kustomization: mend it first")
	}
	for n := 0; n+1 < len(root.Content); n += 2 {
		if root.Content[n].Value == "resources" {
			return root, root.Content[n+1], nil
		}
	}
	return root, nil, nil
}

func listed(resources *kyaml.Node) []string {
	var all []string
	if resources != nil {
		for _, item := range resources.Content {
			all = append(all, item.Value)
		}
	}
	return all
}

// insertResource writes the new line where it belongs.
func insertResource(text []byte, root, resources *kyaml.Node, resource string) []byte {
	lines, newline := strings.SplitAfter(string(text), "\n"), "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		newline = "\r\n"
	}
	switch {
	case resources == nil || resources.Kind != kyaml.SequenceNode && resources.Tag != "!!null": // there are none
		return fmt.Appendf(ended(text, newline), "resources:%s- %s%s", newline, resource, newline)
	case resources.Style&kyaml.FlowStyle != 0: // [a, b]
		return insertInFlow(lines, resources, resource)
	}
	line, indent := resources.Line, "" // "resources:" with nothing in it
	if n := len(resources.Content); n > 0 {
		line = resources.Content[n-1].Line
		raw := lines[line-1]
		indent = raw[:len(raw)-len(strings.TrimLeft(raw, " "))]
	}
	above := ended([]byte(strings.Join(lines[:line], "")), newline)
	above = fmt.Appendf(above, "%s- %s%s", indent, resource, newline)
	return append(above, strings.Join(lines[line:], "")...)
}

// insertInFlow writes it before the bracket that ends the list.
func insertInFlow(lines []string, resources *kyaml.Node, resource string) []byte {
	last, separator := resources, ""
	if n := len(resources.Content); n > 0 {
		last, separator = resources.Content[n-1], ", "
	}
	above := strings.Join(lines[:last.Line-1], "")
	start := min(last.Column-1, len(lines[last.Line-1]))
	rest := lines[last.Line-1][start:] + strings.Join(lines[last.Line:], "")
	end := strings.IndexByte(rest, ']')
	if end < 0 {
		return nil
	}
	item := strings.TrimRight(rest[:end], " \r\n\t,")
	return []byte(above + lines[last.Line-1][:start] + item + separator + resource + rest[end:])
}

// ended has a text end with its last line.
func ended(text []byte, newline string) []byte {
	if len(text) == 0 || bytes.HasSuffix(text, []byte("\n")) {
		return slices.Clone(text)
	}
	return append(slices.Clone(text), newline...)
}
