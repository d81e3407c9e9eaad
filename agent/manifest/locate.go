package manifest

import (
	"bytes"
	"strings"

	"github.com/sluice-dev/sluice/agent"
)

// Line finds the line, counted from 1, at which an object begins in a file of YAML documents;
// 0 if it is not there.
func Line(file []byte, ref agent.Ref) int {
	if lines := Lines(file, ref); len(lines) > 0 {
		return lines[0]
	}
	return 0
}

// Lines finds all lines at which an object begins. It looks at text, so that it also finds
// objects in files that do not parse: documents with the kind and name of the object, and not
// with another namespace.
func Lines(file []byte, ref agent.Ref) []int {
	var found []int
	var d document
	for n, line := range bytes.Split(file, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("---")) {
			if d.is(ref) {
				found = append(found, d.start)
			}
			d = document{}
			continue
		}
		d.line(n+1, string(line))
	}
	if d.is(ref) {
		found = append(found, d.start)
	}
	return found
}

// document is what is seen of one YAML document.
type document struct {
	start                 int // the first line that is not empty
	kind, name, namespace string
	inMetadata            bool
	indent                int // of the fields of metadata
}

// line looks at one line.
func (d *document) line(n int, line string) {
	text := strings.TrimLeft(line, " ")
	if strings.TrimSpace(text) == "" || text[0] == '#' {
		return
	}
	if d.start == 0 {
		d.start = n
	}
	indent := len(line) - len(text)
	key, value, isField := strings.Cut(text, ":")
	switch {
	case !isField:
	case indent == 0:
		d.inMetadata, d.indent = key == "metadata", 0
		if key == "kind" {
			d.kind = scalar(value)
		}
		if d.inMetadata {
			d.flow(value)
		}
	case d.inMetadata && (d.indent == 0 || d.indent == indent):
		d.indent = indent
		d.field(key, value)
	}
}

// flow reads metadata that is written in one line: {name: a, namespace: b}.
func (d *document) flow(value string) {
	value = strings.TrimSpace(value)
	if !strings.HasPrefix(value, "{") {
		return
	}
	for part := range strings.SplitSeq(strings.Trim(value, "{} \r"), ",") {
		if key, value, ok := strings.Cut(part, ":"); ok {
			d.field(strings.TrimSpace(key), value)
		}
	}
}

func (d *document) field(key, value string) {
	switch key {
	case "name":
		d.name = scalar(value)
	case "namespace":
		d.namespace = scalar(value)
	}
}

func (d *document) is(ref agent.Ref) bool {
	return d.start > 0 && d.kind == ref.Kind && d.name == ref.Name &&
		(d.namespace == ref.Namespace || d.namespace == "" || ref.Namespace == "")
}

// scalar returns a value without comment, space and quotes.
func scalar(text string) string {
	text, _, _ = strings.Cut(text, " #")
	return strings.Trim(strings.TrimSpace(text), `"'`)
}
