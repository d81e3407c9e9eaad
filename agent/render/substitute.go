package render

import (
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
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

func newSubstitution(s *Substitute) (substitution, error) {
	if s == nil {
		return substitution{}, nil
	}
	sub := substitution{variables: s.Variables, on: true}
	for _, t := range s.Targets {
		sub.targets = append(sub.targets, *patchOf("", &t).Target)
	}
	return sub, nil
}

// apply replaces variables in an object that asks for it.
func (s substitution) apply(r *resource.Resource, origin string) error {
	if !s.on {
		return nil
	}
	asked, err := s.asked(r)
	if err != nil || !asked {
		return err
	}
	return s.walk(r, origin, r.YNode())
}

// asked tells whether an object is to be looked at.
func (s substitution) asked(r *resource.Resource) (bool, error) {
	switch r.GetAnnotations()[v1alpha1.SubstituteAnnotation] {
	case "enabled":
		return true, nil
	case "disabled":
		return false, nil
	}
	one := resmap.New()
	if err := one.Append(r); err != nil {
		return false, err
	}
	for _, target := range s.targets {
		found, err := one.Select(target)
		if err != nil {
			return false, invalid("", "spec.substitute.targets: %v", err)
		}
		if len(found) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// lone matches a scalar that is one variable and nothing else.
var lone = regexp.MustCompile(`^\$\{[^{}]*\}$`)

func (s substitution) walk(r *resource.Resource, origin string, node *yaml.Node) error {
	for _, child := range node.Content {
		if err := s.walk(r, origin, child); err != nil {
			return err
		}
	}
	if node.Kind != yaml.ScalarNode || !strings.Contains(node.Value, "$") {
		return nil
	}
	missing := ""
	value, err := envsubst.Eval(node.Value, func(name string) (string, bool) {
		v, ok := s.variables[name]
		if !ok && missing == "" {
			missing = name
		}
		return v, ok
	})
	if err != nil {
		e := &Error{Kind: Invalid, File: origin, Ref: idOf(r.CurId()), Message: "a ${...} in it is malformed: mend it, or write $${...} for a literal one"}
		if missing != "" {
			e.Message = "the variable " + missing + " has no value: set it in spec.substitute, give it a default as ${" + missing + ":=value}, or annotate the object with " +
				v1alpha1.SubstituteAnnotation + ": disabled"
		}
		return e
	}
	if lone.MatchString(node.Value) && node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		node.Tag = "" // a plain scalar: let its new value say what it is
	}
	node.Value = value
	return nil
}
