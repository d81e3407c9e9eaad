package fill

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"time"
)

const (
	// longestText is how long a template may be.
	longestText = 16 << 10
	// longestResult is how long what becomes of it may be, and everything on the way.
	longestResult = 64 << 10
)

// Values are what templates are filled with.
type Values struct {
	// Slot is in the zone in which times are to be shown.
	Slot        time.Time
	Run         string
	Attempt     int32
	LastSuccess time.Time
	Model       string
	// Versions that serve, by stage.
	Versions map[string]string
	// Data of the data trigger; nil if there is none.
	Data     *Data
	Revision string
}

// Data is what a data trigger has seen.
type Data struct {
	Fingerprint string
	Count       int64
	Newest      time.Time
}

// Template is a text that can be filled.
type Template struct {
	text string
	tree *template.Template // nil if there is nothing to fill
}

// Parse reads a template.
func Parse(text string) (Template, error) {
	t := Template{text: text}
	if !strings.Contains(text, "{{") {
		return t, nil
	}
	if len(text) > longestText {
		return t, fmt.Errorf("the template %s is longer than %d bytes", quoted(text), longestText)
	}
	tree, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return t, fmt.Errorf("the template %s cannot be read: %s; to pass on {{ as it is, write {{\"{{\"}}", quoted(text), reason(err))
	}
	if err := check(tree); err != nil {
		return t, fmt.Errorf("the template %s cannot be read: %w", quoted(text), err)
	}
	t.tree = tree
	return t, nil
}

// Fill fills the template.
func (t Template) Fill(v Values) (string, error) {
	if t.tree == nil {
		return t.text, nil
	}
	var result result
	if err := t.tree.Execute(&result, dotOf(v)); err != nil {
		return "", fmt.Errorf("the template %s cannot be filled: %s", quoted(t.text), reason(err))
	}
	return result.String(), nil
}

var errTooLong = fmt.Errorf("it becomes longer than %d bytes", longestResult)

// result is a text of bounded length.
type result struct{ strings.Builder }

func (r *result) Write(p []byte) (int, error) {
	if r.Len()+len(p) > longestResult {
		return 0, errTooLong
	}
	return r.Builder.Write(p)
}

// location is where and what, as package template says it.
var location = regexp.MustCompile(`(?s)^template: :(\d+(?::\d+)?): (?:executing "" at <.*?>: )?(?:error calling \w+: )?(.*)$`)

// noData is how package template says that .Data is not there.
var noData = regexp.MustCompile(`nil pointer evaluating \*fill\.seen\.\w+$`)

// reason says why package template does not like something.
func reason(err error) string {
	if errors.Is(err, errTooLong) {
		return errTooLong.Error()
	}
	text := err.Error()
	if found := location.FindStringSubmatch(text); found != nil {
		text = "at " + found[1] + ": " + found[2]
	}
	text = noData.ReplaceAllString(text, "there is no data: the Retraining has no triggers.data, or has not looked yet")
	return cut(strings.ToValidUTF8(text, "?"), 300)
}

// quoted shows text that somebody else wrote.
func quoted(text string) string {
	const enough = 60
	if len(text) > enough {
		return fmt.Sprintf("%q…", text[:enough])
	}
	return fmt.Sprintf("%q", text)
}

func cut(text string, longest int) string {
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
