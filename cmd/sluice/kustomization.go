package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// addToKustomization adds a file to the resources of the kustomization in its directory, which is
// made if there is none. It returns the name of the kustomization, and whether it was changed.
func addToKustomization(dir, resource string) (file string, added bool, err error) {
	file = filepath.Join(dir, konfig.DefaultKustomizationFileName())
	text := fmt.Appendf(nil, "apiVersion: %s\nkind: %s\n", types.KustomizationVersion, types.KustomizationKind)
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		there, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			file, text = filepath.Join(dir, name), there
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return file, false, err
		}
	}
	changed, err := addResource(text, resource)
	if err != nil {
		return file, false, fmt.Errorf("%s: %w", file, err)
	}
	if bytes.Equal(changed, text) {
		return file, false, nil
	}
	return file, true, replaceFile(file, changed)
}

// addResource adds a line to the resources of a kustomization and leaves everything else as it
// is, to the byte: it works on the text, and checks what it has done by reading it again.
func addResource(text []byte, resource string) ([]byte, error) {
	root, resources, err := readResources(text)
	if err != nil {
		return nil, err
	}
	before := names(resources)
	if slices.ContainsFunc(before, func(name string) bool { return path.Clean(name) == resource }) {
		return text, nil
	}
	changed := insert(text, root, resources, resource)
	_, after, err := readResources(changed)
	if err != nil || !slices.Equal(names(after), append(before, resource)) {
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

func names(resources *kyaml.Node) []string {
	var all []string
	if resources != nil {
		for _, item := range resources.Content {
			all = append(all, item.Value)
		}
	}
	return all
}

// insert writes the new line where it belongs.
func insert(text []byte, root, resources *kyaml.Node, resource string) []byte {
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
