package proposal

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// text is YAML, and where in its file each of its lines begins. Mostly it is the file itself; a
// patch that is written out in a kustomization is a text within another.
type text struct {
	yaml []byte
	file []byte
	// lines are the offsets in the file.
	lines []int
	// opaque: the file has it in another form (folded, with escapes), so that nothing in it can be
	// changed; its lines are all at where it begins.
	opaque bool
}

// whole is a file as a text. It is false for files with line breaks that YAML counts and editors
// do not show: their lines cannot be found.
func whole(file []byte) (text, bool) {
	for _, odd := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(file, []byte(odd)) {
			return text{}, false
		}
	}
	t := text{yaml: file, file: file, lines: []int{0}}
	for at, c := range file {
		switch {
		case c == '\n':
			t.lines = append(t.lines, at+1)
		case c == '\r' && (at+1 == len(file) || file[at+1] != '\n'):
			return text{}, false
		}
	}
	return t, true
}

// line is a line of the file, from an offset to its end.
func (t text) line(at int) []byte {
	line, _, _ := bytes.Cut(t.file[at:], []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// offset is where a node begins in the file; -1 if that cannot be told. The columns of YAML are
// characters.
func (t text) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(t.lines) || n.Column < 1 {
		return -1
	}
	at := t.lines[n.Line-1]
	line := t.line(at)
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(line)
		if size == 0 {
			return -1
		}
		line, at = line[size:], at+size
	}
	return at
}

// span is where the value of a scalar is in the file, within its quotes, if it has some.
type span struct {
	start, end int
	quote      string // ", ' or nothing
}

// span finds a scalar. It is false if it is not written on one line, or as what it is.
func (t text) span(n *yaml.Node) (span, bool) {
	at := t.offset(n)
	if at < 0 || t.opaque || n.Kind != yaml.ScalarNode || n.Anchor != "" {
		return span{}, false
	}
	s := span{start: at, end: at + len(n.Value)}
	switch n.Style {
	case yaml.DoubleQuotedStyle:
		s.quote = `"`
	case yaml.SingleQuotedStyle:
		s.quote = `'`
	case 0:
	default:
		return span{}, false
	}
	s.start, s.end = s.start+len(s.quote), s.end+len(s.quote)
	inQuotes := s.quote + n.Value + s.quote
	return s, strings.HasPrefix(string(t.line(at)), inQuotes)
}

// within is the YAML that a string holds, as a patch in a kustomization. What is in it can be
// changed if it is a literal block, or on one line in quotes without escapes.
func (t text) within(n *yaml.Node) text {
	inner := text{yaml: []byte(n.Value), file: t.file}
	if lines, ok := t.block(n); ok {
		inner.lines = lines
		return inner
	}
	if s, ok := t.span(n); ok && !strings.Contains(n.Value, "\n") {
		inner.lines = []int{s.start}
		return inner
	}
	inner.opaque = true
	for range strings.Count(n.Value, "\n") + 1 {
		inner.lines = append(inner.lines, t.lines[n.Line-1])
	}
	return inner
}

// block finds the lines of a literal block. It is false for what is none.
func (t text) block(n *yaml.Node) (starts []int, ok bool) {
	if n.Style != yaml.LiteralStyle {
		return nil, false
	}
	indent := -1
	for k, line := range strings.Split(n.Value, "\n") {
		if n.Line+k >= len(t.lines) {
			return starts, line == ""
		}
		at := t.lines[n.Line+k]
		if line == "" {
			starts = append(starts, at)
			continue
		}
		there := string(t.line(at))
		if indent < 0 {
			indent = len(there) - len(line)
		}
		if indent < 0 || indent > len(there) || there[indent:] != line || strings.Trim(there[:indent], " ") != "" {
			return nil, false
		}
		starts = append(starts, at+indent)
	}
	return starts, true
}
