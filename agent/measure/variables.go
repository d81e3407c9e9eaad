package measure

import (
	"errors"
	"fmt"
	"strings"
)

// Variables are what can be filled into queries and URLs.
type Variables struct {
	Model, Stage, Namespace string
	// Version that is measured, and Service, the name of what serves it.
	Version, Service string
	// Current is the version that served before, and CurrentService what serves it. Empty for none.
	Current, CurrentService string
	// URL of what is measured, if it has one of its own.
	URL string
}

// variable is one of the names that can be filled in.
type variable struct {
	name    string
	value   func(Variables) string
	missing string // what it means that there is no value, and what to do
}

var variables = []variable{
	{"model", func(v Variables) string { return v.Model }, ""},
	{"stage", func(v Variables) string { return v.Stage }, ""},
	{"namespace", func(v Variables) string { return v.Namespace }, ""},
	{"version", func(v Variables) string { return v.Version }, ""},
	{"service", func(v Variables) string { return v.Service }, ""},
	{"current", func(v Variables) string { return v.Current }, "nothing serves in the stage yet; an analysis of a first version cannot name it"},
	{"currentService", func(v Variables) string { return v.CurrentService }, "nothing serves in the stage yet; an analysis of a first version cannot name it"},
	{"url", func(v Variables) string { return v.URL }, "the candidate has no address of its own; write one with ${service} and ${namespace}"},
}

// lookUp returns the value of a variable, which is never empty.
func (v Variables) lookUp(name string) (string, error) {
	names := make([]string, 0, len(variables))
	for _, known := range variables {
		if known.name != name {
			names = append(names, "${"+known.name+"}")
			continue
		}
		if value := known.value(v); value != "" {
			return value, nil
		}
		if known.missing == "" {
			return "", fmt.Errorf("${%s} has no value here; leave it out", name)
		}
		return "", fmt.Errorf("${%s} has no value: %s", name, known.missing)
	}
	name = printable(name)
	return "", fmt.Errorf("${%s} is no variable: use one of %s, or write $${%s} for the text itself", name, strings.Join(names, ", "), name)
}

// maxFilled bounds what a text may become when variables are filled in, in bytes.
const maxFilled = 64 << 10

// expand fills in variables. For each, fill is given the text before it, in which nothing is
// filled in, and its value, and returns what to put there.
func expand(text string, vars Variables, fill func(before, name, value string) (string, error)) (string, error) {
	var out strings.Builder
	rest := text
	for {
		at := strings.Index(rest, "${")
		if at < 0 {
			out.WriteString(rest)
			return out.String(), nil
		}
		if at > 0 && rest[at-1] == '$' {
			out.WriteString(rest[:at-1] + "${")
			rest = rest[at+2:]
			continue
		}
		name, after, closed := strings.Cut(rest[at+2:], "}")
		if !closed {
			return "", errors.New("there is a ${ without a }: add it, or write $${ for the text itself")
		}
		value, err := vars.lookUp(name)
		if err != nil {
			return "", err
		}
		filled, err := fill(text[:len(text)-len(rest)+at], name, value)
		if err != nil {
			return "", err
		}
		out.WriteString(rest[:at] + filled)
		if out.Len() > maxFilled {
			return "", fmt.Errorf("it becomes longer than %d KiB when its variables are filled in: shorten it", maxFilled>>10)
		}
		rest = after
	}
}
