package fill

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// checker looks for what a template must not have, and for names that do not exist.
type checker struct{ tree *template.Template }

func check(tree *template.Template) error {
	if len(tree.Templates()) > 1 || tree.Tree == nil {
		return fmt.Errorf("there are no define and block")
	}
	return checker{tree}.node(tree.Root, reflect.TypeFor[dot]())
}

// at is an error at a node.
func (c checker) at(n parse.Node, format string, args ...any) error {
	where, _ := c.tree.ErrorContext(n)
	return fmt.Errorf("at %s: %s", strings.TrimPrefix(where, ":"), fmt.Sprintf(format, args...))
}

// node checks a node. over is what the dot is; nil where that is not known, after with.
func (c checker) node(n parse.Node, over reflect.Type) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return c.all(n.Nodes, over)
	case *parse.ActionNode:
		return c.node(n.Pipe, over)
	case *parse.IfNode:
		return c.all([]parse.Node{n.Pipe, n.List, n.ElseList}, over)
	case *parse.WithNode:
		if err := c.node(n.List, nil); err != nil {
			return err
		}
		return c.all([]parse.Node{n.Pipe, n.ElseList}, over)
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			if err := c.all(command.Args, over); err != nil {
				return err
			}
		}
	case *parse.ChainNode:
		return c.node(n.Node, over)
	case *parse.FieldNode:
		return c.fields(n, over, n.Ident)
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			return c.fields(n, reflect.TypeFor[dot](), n.Ident[1:])
		}
	case *parse.IdentifierNode:
		if !slices.Contains(allowed, n.Ident) {
			return c.at(n, "there is no function %s; there are %s", n.Ident, strings.Join(allowed, ", "))
		}
	case *parse.TextNode, *parse.CommentNode, *parse.DotNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
	default: // range, template, break, continue
		return c.at(n, "there are no loops, and no templates in templates")
	}
	return nil
}

func (c checker) all(nodes []parse.Node, over reflect.Type) error {
	for _, n := range nodes {
		if err := c.node(n, over); err != nil {
			return err
		}
	}
	return nil
}

// fields checks that each of the names is one of what the one before gives.
func (c checker) fields(n parse.Node, of reflect.Type, names []string) error {
	for _, name := range names {
		if of == nil {
			return nil
		}
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if method, is := of.MethodByName(name); is {
			of = method.Type.Out(0)
			continue
		}
		if of.Kind() == reflect.Struct {
			if field, is := of.FieldByName(name); is && field.IsExported() {
				of = field.Type
				continue
			}
		}
		return c.at(n, "there is no .%s; there are %s", name, known(of))
	}
	return nil
}

// known are the names of a type.
func known(of reflect.Type) string {
	var names []string
	if of.Kind() == reflect.Struct {
		for _, field := range reflect.VisibleFields(of) {
			if field.IsExported() {
				names = append(names, "."+field.Name)
			}
		}
	}
	for n := range of.NumMethod() {
		if name := of.Method(n).Name; name != "String" {
			names = append(names, "."+name)
		}
	}
	if names == nil {
		return "none of a text or a number"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
