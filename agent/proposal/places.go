package proposal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// place is one place in a file that may hold the version, and what would be written there.
type place struct {
	path string
	line int
	// doubt orders places: those that are likely come first, as each costs a render.
	doubt int
	// content of the file with the new version.
	content []byte
	// refused says why the place cannot be changed.
	refused string
}

// search is what is looked for.
type search struct {
	model, stage string
	// current is the version that the overlay has now, empty for none; version is the new one.
	current, version string

	path   string
	places []place
}

// mostYAML is how large a file may be that is looked through.
const mostYAML = 4 << 20

// file looks through a file.
func (s *search) file(path string, content []byte) {
	hint := s.current
	if hint == "" {
		hint = s.stage
	}
	if !bytes.Contains(content, []byte(hint)) || !utf8.Valid(content) {
		return
	}
	s.path = path
	t, ok := whole(content)
	switch {
	case len(content) > mostYAML:
		s.places = append(s.places, place{path: path, line: 1, doubt: 3, refused: fmt.Sprintf("it is larger than %d MiB: split it", mostYAML>>20)})
	case !ok:
		s.places = append(s.places, place{path: path, line: 1, doubt: 3, refused: "it has line breaks that are neither LF nor CRLF: use one of them"})
	default:
		s.documents(t, false)
	}
}

// documents looks through all documents of a text. A text that is no YAML is none of ours.
func (s *search) documents(t text, inner bool) {
	for decoder := yaml.NewDecoder(bytes.NewReader(t.yaml)); ; {
		var document yaml.Node
		if decoder.Decode(&document) != nil {
			return
		}
		for _, n := range document.Content {
			s.node(t, n, s.doubt(n, inner), inner)
		}
	}
}

// doubt is small for Models of the name that is looked for, larger for those of which it may
// be a part (Kustomize adds to names) and for patches, and largest for all else.
func (s *search) doubt(n *yaml.Node, inner bool) int {
	var object struct {
		Kind     string `yaml:"kind"`
		Metadata struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
	}
	switch err := n.Decode(&object); {
	case err == nil && object.Kind == "Model" && object.Metadata.Name == s.model:
		return 0
	case inner, n.Kind == yaml.SequenceNode, err == nil && object.Kind == "Model" && strings.Contains(s.model, object.Metadata.Name):
		return 1
	}
	return 2
}

func (s *search) node(t text, n *yaml.Node, doubt int, inner bool) {
	switch n.Kind {
	case yaml.MappingNode:
		s.mapping(t, n, doubt)
	case yaml.ScalarNode:
		if !inner && strings.Contains(n.Value, ":") && n.Line <= len(t.lines) {
			s.documents(t.within(n), true)
		}
		return
	}
	for _, child := range n.Content { // of an alias there are none: what it stands for is seen elsewhere
		s.node(t, child, doubt, inner)
	}
}

// mapping looks at a mapping: it may be a stage, or an operation of a JSON patch.
func (s *search) mapping(t text, n *yaml.Node, doubt int) {
	at := func(name string) (key, value *yaml.Node) {
		for k := 0; k+1 < len(n.Content); k += 2 {
			if n.Content[k].Value == name {
				return n.Content[k], n.Content[k+1]
			}
		}
		return nil, nil
	}
	nameKey, name := at("name")
	versionKey, version := at("version")
	_, path := at("path")
	_, value := at("value")
	switch {
	case name != nil && name.Kind == yaml.ScalarNode && name.Value == s.stage:
		switch {
		case version == nil && s.current == "":
			s.insertion(t, n, nameKey, name, doubt)
		case version != nil:
			s.replacement(t, versionKey, version, doubt)
		}
	case path != nil && value != nil && strings.HasSuffix(path.Value, "/version"):
		s.replacement(t, nil, value, doubt)
	}
}

// replacement notes a version that would be another.
func (s *search) replacement(t text, key, n *yaml.Node, doubt int) {
	p := place{path: s.path, line: s.lineOf(t, n), doubt: doubt}
	if n.Kind == yaml.AliasNode && n.Alias.Value == s.current {
		p.refused = "it is an alias, and what it stands for may be used elsewhere: write the version out"
		s.places = append(s.places, p)
		return
	}
	null := n.Kind == yaml.ScalarNode && n.ShortTag() == yaml.NodeTagNull
	if n.Kind != yaml.ScalarNode || n.Value != s.current && (!null || s.current != "") {
		return
	}
	at, ok := t.span(n)
	switch {
	case n.Anchor != "":
		p.refused = "it has an anchor, and may be used elsewhere: take the anchor out"
	case !ok:
		p.refused = "it is not written plainly on one line: write it so"
	case null && at.start == at.end && (at.start == 0 || t.file[at.start-1] != ':'):
		p.refused = "it is empty: write version: \"\""
	case null && at.start == at.end:
		p.content = spliced(t.file, at.start, at.end, " "+scalar(s.version, styleOf(key)))
	case null:
		p.content = spliced(t.file, at.start, at.end, scalar(s.version, styleOf(key)))
	case at.quote != "":
		p.content = spliced(t.file, at.start, at.end, s.version)
	default:
		p.content = spliced(t.file, at.start, at.end, scalar(s.version, ""))
	}
	s.places = append(s.places, p)
}

// insertion notes a stage that would get a version, right after its name.
func (s *search) insertion(t text, stage, key, name *yaml.Node, doubt int) {
	p := place{path: s.path, line: s.lineOf(t, name), doubt: doubt}
	at, ok := t.span(name)
	from := t.offset(key)
	end := at.end + len(at.quote)
	switch {
	case !ok || from < 0:
		p.refused = "the name of the stage is not written plainly on one line: write it so, or add the version by hand"
	case stage.Style&yaml.FlowStyle != 0:
		quote := styleOf(key)
		p.content = spliced(t.file, end, end, ", "+quote+"version"+quote+": "+scalar(s.version, quote))
	default:
		start := bytes.LastIndexByte(t.file[:from], '\n') + 1
		before := t.file[start:from]
		if len(bytes.Trim(before, " -")) > 0 {
			p.refused = "what is in front of the name of the stage is not known: add the version by hand"
			break
		}
		end += len(t.line(end))
		newline := "\n"
		if bytes.HasPrefix(t.file[end:], []byte("\r")) || end == len(t.file) && bytes.Contains(t.file, []byte("\r\n")) {
			newline = "\r\n"
		}
		p.line++
		p.content = spliced(t.file, end, end, newline+strings.Repeat(" ", len(before))+"version: "+scalar(s.version, ""))
	}
	s.places = append(s.places, p)
}

// lineOf is the line of a node in the file, from 1.
func (s *search) lineOf(t text, n *yaml.Node) int {
	at := 0
	if n.Line <= len(t.lines) {
		at = t.lines[n.Line-1]
	}
	return 1 + bytes.Count(t.file[:at], []byte("\n"))
}

func spliced(file []byte, start, end int, with string) []byte {
	return slices.Concat(file[:start], []byte(with), file[end:])
}

// styleOf is the quote around a key.
func styleOf(n *yaml.Node) string {
	if n != nil && n.Style == yaml.DoubleQuotedStyle {
		return `"`
	}
	return ""
}

// scalar writes a version, with quotes if they are asked for or if it were not a string without.
func scalar(version, quote string) string {
	if quote == "" && !isString(version) {
		quote = `"`
	}
	return quote + version + quote
}

// boolean are the words that readers of older YAML take for true or false.
var boolean = []string{"y", "n", "yes", "no", "on", "off"}

func isString(version string) bool {
	var n yaml.Node
	err := yaml.Unmarshal([]byte(version), &n)
	return err == nil && len(n.Content) == 1 && n.Content[0].ShortTag() == yaml.NodeTagString &&
		!slices.Contains(boolean, strings.ToLower(version))
}
