package fill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// largest is how large a document may be, before and after it is filled.
	largest = 1 << 20
	// deepest is how deep lists and objects may be within each other.
	deepest = 100
)

// Document is JSON whose strings can be filled.
type Document struct {
	raw    []byte
	places []place
}

// place is a string with something to fill.
type place struct {
	path       string
	start, end int // in raw, with the quotes
	template   Template
}

// ParseJSON reads a document.
func ParseJSON(raw []byte) (Document, error) {
	switch {
	case len(raw) > largest:
		return Document{}, fmt.Errorf("it is larger than %d bytes", largest)
	case !json.Valid(raw):
		return Document{}, fmt.Errorf("it is no JSON")
	}
	d := Document{raw: raw}
	r := reader{Decoder: json.NewDecoder(bytes.NewReader(raw)), raw: raw}
	r.UseNumber()
	for r.more() {
		text, is := r.token.(string)
		if !is || r.isKey || !strings.Contains(text, "{{") {
			continue
		}
		t, err := Parse(text)
		if err != nil {
			return Document{}, fmt.Errorf("%s: %w", r.path(), err)
		}
		d.places = append(d.places, place{r.path(), r.start, int(r.InputOffset()), t})
	}
	return d, r.err
}

// Fill fills the strings of the document. All else stays as it is, byte by byte.
func (d Document) Fill(v Values) ([]byte, error) {
	var filled bytes.Buffer
	done := 0
	for _, p := range d.places {
		text, err := p.template.Fill(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.path, err)
		}
		filled.Write(d.raw[done:p.start])
		filled.Write(encoded(text))
		done = p.end
		if filled.Len() > largest {
			break
		}
	}
	filled.Write(d.raw[done:])
	if filled.Len() > largest {
		return nil, fmt.Errorf("it becomes larger than %d bytes", largest)
	}
	return filled.Bytes(), nil
}

// encoded is a text in JSON; < and > stay, for nobody reads it as HTML.
func encoded(text string) []byte {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string can be encoded
	return bytes.TrimSuffix(line.Bytes(), []byte("\n"))
}

// reader goes through the tokens of a document, and knows where it is.
type reader struct {
	*json.Decoder
	raw   []byte
	token json.Token
	start int
	isKey bool
	in    []level
	err   error
}

// level is an object or a list that the reader is in.
type level struct {
	list  bool
	count int // of keys and values that were begun
	key   string
}

// more reads the next token, and tells whether there was one.
func (r *reader) more() bool {
	before := int(r.InputOffset())
	token, err := r.Token()
	if err != nil {
		return false // the end: it is valid
	}
	r.token = token
	r.start = before + len(r.raw[before:]) - len(bytes.TrimLeft(r.raw[before:], " \t\r\n,:"))
	if token == json.Delim('}') || token == json.Delim(']') {
		r.in = r.in[:len(r.in)-1]
		return true
	}
	r.isKey = r.step(token)
	if delim, is := token.(json.Delim); is {
		r.in = append(r.in, level{list: delim == '['})
	}
	if len(r.in) > deepest {
		r.err = fmt.Errorf("it is deeper than %d levels", deepest)
	}
	return r.err == nil
}

// step counts a key or a value, and tells whether it is a key.
func (r *reader) step(token json.Token) bool {
	if len(r.in) == 0 {
		return false
	}
	top := &r.in[len(r.in)-1]
	top.count++
	if top.list || top.count%2 == 0 {
		return false
	}
	top.key, _ = token.(string)
	return true
}

// path is where the reader is, such as spec.containers[0].args[1].
func (r *reader) path() string {
	path := ""
	for _, level := range r.in {
		switch {
		case level.list:
			path += fmt.Sprintf("[%d]", level.count-1)
		case path == "":
			path = cut(level.key, 60)
		default:
			path += "." + cut(level.key, 60)
		}
	}
	return cut(path, 300)
}
