package render

import (
	"bytes"
	"regexp"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// mostNodes is how many nodes the YAML of one file may have when its aliases are written out,
// as Kustomize does. The whole Kubeflow platform has fewer.
const mostNodes = 2_000_000

// anchors matches where a file may define one.
var anchors = regexp.MustCompile(`(?m)[:\-\[,{]\s*&[^\s&]`)

// inspectAliases refuses files that aliases blow up.
func inspectAliases(file string, data []byte) *Error {
	if bytes.IndexByte(data, '&') < 0 || bytes.IndexByte(data, '*') < 0 || !anchors.Match(data) {
		return nil
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			return nil // the end, or what Kustomize cannot read either
		}
		if size(&document, map[*yaml.Node]int{}) > mostNodes {
			e := refused(file, "its YAML aliases stand for more than %d values: write out what is needed", mostNodes)
			e.Line = document.Line
			return e
		}
	}
}

// size counts the nodes below a node, with aliases written out. What contains itself is
// larger than anything.
func size(node *yaml.Node, known map[*yaml.Node]int) int {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if n, ok := known[node]; ok {
		return n
	}
	known[node] = mostNodes + 1
	n := 1
	for _, child := range node.Content {
		n = min(n+size(child, known), mostNodes+1)
	}
	known[node] = n
	return n
}
