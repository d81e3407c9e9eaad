package render

import (
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// substitution replaces ${VARIABLES} in the scalars of objects. A value can become a number
// or a boolean where the variable stood alone and without quotes, but it can never add a
// field: it is put into a parsed object, not into text.
type substitution struct {
	variables map[string]string
	targets   []types.Selector
	on        bool
}

func newSubstitution(s *Substitute) substitution {
	if s == nil {
		return substitution{}
	}
	sub := substitution{variables: s.Variables, on: true}
	for _, t := range s.Targets {
		sub.targets = append(sub.targets, selectorOf(t))
	}
	return sub
}

// apply replaces variables in an object that asks for it.
func (s substitution) apply(o built) error {
	if !s.on {
		return nil
	}
	asked, err := s.asked(o)
	if err != nil || !asked {
		return err
	}
	root := o.YNode().Content
	for n := 1; n < len(root); n += 2 {
		if err := s.walk(o, root[n], textOnly(o, root[n-1].Value)); err != nil {
			return err
		}
	}
	return nil
}

// textOnly tells whether a field holds nothing but strings, whatever they look like.
func textOnly(o built, field string) bool {
	switch field {
	case "metadata":
		return true
	case "data", "stringData", "binaryData":
		kind := o.GetKind()
		return kind == "ConfigMap" || kind == "Secret"
	}
	return false
}

// asked tells whether an object is to be looked at.
func (s substitution) asked(o built) (bool, error) {
	switch o.GetAnnotations()[v1alpha1.SubstituteAnnotation] {
	case "enabled":
		return true, nil
	case "disabled":
		return false, nil
	}
	if len(s.targets) == 0 {
		return false, nil
	}
	one := resmap.New()
	if err := one.Append(o.Resource); err != nil {
		return false, err
	}
	for n, target := range s.targets {
		found, err := one.Select(target)
		if err != nil {
			return false, invalid("", "spec.substitute.targets[%d]: %v", n, err)
		}
		if len(found) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// lone matches a scalar that is one variable and nothing else.
var lone = regexp.MustCompile(`^\$\{[^{}]*\}$`)

var quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func (s substitution) walk(o built, node *yaml.Node, text bool) error {
	for _, child := range node.Content {
		if err := s.walk(o, child, text); err != nil {
			return err
		}
	}
	if node.Kind != yaml.ScalarNode || !strings.Contains(node.Value, "$") {
		return nil
	}
	value, problem := s.value(node.Value)
	if problem != "" {
		return &Error{Kind: Invalid, File: o.origin, Line: node.Line, Ref: refOf(o.CurId()), Message: problem}
	}
	if !text && lone.MatchString(node.Value) && node.Style&quoted == 0 {
		node.Tag = "" // a plain scalar: let its new value say what it is
	}
	node.Value = value
	return nil
}

// value replaces the variables in a text, or says what is wrong with it.
func (s substitution) value(text string) (value, problem string) {
	missing := ""
	value, err := envsubst.Eval(text, func(name string) (string, bool) {
		v, ok := s.variables[name]
		if !ok && missing == "" {
			missing = name
		}
		return v, ok
	})
	switch {
	case err == nil:
		return value, ""
	case missing == "":
		return "", "a ${...} in it is malformed: mend it, or write $${...} for a literal one"
	}
	return "", "the variable " + printable(missing) + " has no value: set it in spec.substitute, give it a default as ${" + printable(missing) +
		":=value}, or annotate the object with " + v1alpha1.SubstituteAnnotation + ": disabled"
}
