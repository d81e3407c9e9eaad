package expression

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// explanation finds the values that decided an evaluation.
type explanation struct {
	*Expression
	state interpreter.EvalState
	name  Naming
	true  bool // the expression is
}

// comparison is an operator that is explained: what is said of its right side, the operator that
// says the same with the sides exchanged, and the one that says the contrary.
type comparison struct{ need, exchanged, contrary string }

var comparisons = map[string]comparison{
	operators.GreaterEquals: {"at least %s is needed", operators.LessEquals, operators.Less},
	operators.Greater:       {"more than %s is needed", operators.Less, operators.LessEquals},
	operators.LessEquals:    {"at most %s is allowed", operators.GreaterEquals, operators.Greater},
	operators.Less:          {"less than %s is needed", operators.Greater, operators.GreaterEquals},
	operators.Equals:        {"%s is needed", operators.Equals, operators.NotEquals},
	operators.NotEquals:     {"anything but %s is needed", operators.NotEquals, operators.Equals},
	operators.In:            {"one of %s is needed", "", notIn},
	notIn:                   {"none of %s is allowed", "", operators.In},
}

// notIn is no operator of CEL; it is what !(a in b) asks for.
const notIn = "not in"

// why says why a node came out as it did, where wanted is what it had to be for the whole
// expression to be true.
func (x explanation) why(e ast.Expr, wanted bool) string {
	if e.Kind() != ast.CallKind {
		return x.facts(e)
	}
	call := e.AsCall()
	args := call.Args()
	switch operator := call.FunctionName(); operator {
	case operators.LogicalAnd, operators.LogicalOr:
		return x.parts(args, wanted, operator == operators.LogicalAnd)
	case operators.LogicalNot:
		return x.why(args[0], !wanted)
	case operators.Conditional:
		if condition, known := x.value(args[0]); known && condition == types.True {
			return x.why(args[1], wanted)
		}
		return x.why(args[2], wanted)
	default:
		if c, compares := comparisons[operator]; compares && x.named(e) {
			if !wanted {
				c = comparisons[c.contrary]
			}
			return x.compared(c, args[0], args[1])
		}
	}
	return x.facts(e)
}

// parts explains the operands of && and ||: those that came out as the whole did. The first is
// enough where one alone decides.
func (x explanation) parts(args []ast.Expr, wanted, and bool) string {
	outcome := wanted == x.true
	var all []string
	for _, arg := range args {
		if v, known := x.value(arg); !known || v != types.Bool(outcome) {
			continue
		}
		if part := x.why(arg, wanted); part != "" && !slices.Contains(all, part) {
			all = append(all, part)
		}
		if and != outcome {
			break
		}
	}
	return strings.Join(all, "; ")
}

// compared explains a comparison: one side is what is spoken about, the other is what it is held
// against.
func (x explanation) compared(c comparison, left, right ast.Expr) string {
	if c.exchanged != "" && !x.named(left) {
		left, right, c = right, left, comparisons[c.exchanged]
	}
	subject, bound := x.subject(left), x.bound(right)
	if subject == "" || bound == "" {
		return x.facts(left)
	}
	return subject + ", and " + fmt.Sprintf(c.need, bound)
}

// subject says what a side is: "auc of v8 is 0.938".
func (x explanation) subject(e ast.Expr) string {
	v, known := x.value(e)
	if !known {
		return ""
	}
	if !x.composite(e) {
		return x.text(e, true) + " is " + show(v)
	}
	return x.text(e, true) + " is " + x.text(e, false) + " = " + show(v)
}

// bound says what a side comes to: "0.9", "0.941 (auc of v7)", "0.941 - 0.002 = 0.939".
func (x explanation) bound(e ast.Expr) string {
	v, known := x.value(e)
	switch {
	case !known:
		return ""
	case x.composite(e):
		return x.text(e, false) + " = " + show(v)
	case x.path(e) != nil:
		return show(v) + " (" + x.text(e, true) + ")"
	}
	return show(v)
}

// facts lists the values that a node names.
func (x explanation) facts(e ast.Expr) string {
	const enough = 8
	var all []string
	var visit func(ast.Expr)
	visit = func(e ast.Expr) {
		if path := x.path(e); path != nil {
			if fact := x.fact(e, path); fact != "" && !slices.Contains(all, fact) {
				all = append(all, fact)
			}
			return
		}
		for _, child := range children(e) {
			visit(child)
		}
	}
	visit(e)
	if len(all) > enough {
		all = append(all[:enough], fmt.Sprintf("and %d more", len(all)-enough))
	}
	return strings.Join(all, ", ")
}

// fact is one value that is worth to be told: what a path leads to, or that it leads nowhere.
func (x explanation) fact(e ast.Expr, path []string) string {
	v, known := x.value(e)
	name := x.name(path)
	if !known || name == "" {
		return ""
	}
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		if v == types.True {
			return name + " is there"
		}
		return name + " is not there"
	}
	return name + " is " + show(v)
}

// value is what a node came to, if it was evaluated.
func (x explanation) value(e ast.Expr) (ref.Val, bool) {
	if n, literal := x.numbers[e.ID()]; literal {
		return n, true
	}
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral(), true
	}
	if x.state == nil {
		return nil, false
	}
	v, known := x.state.Value(e.ID())
	return v, known && !types.IsUnknownOrError(v)
}

// named tells whether something is named in a node that its value is found at.
func (x explanation) named(e ast.Expr) bool {
	return x.path(e) != nil || slices.ContainsFunc(children(e), x.named)
}

// signs are the operators of arithmetic, and how close they bind.
var signs = map[string]struct {
	text  string
	binds int
}{
	operators.Add: {"+", 1}, operators.Subtract: {"-", 1}, operators.Multiply: {"*", 2}, operators.Divide: {"/", 2}, operators.Negate: {"-", 3},
}

// composite tells whether a node calculates.
func (x explanation) composite(e ast.Expr) bool {
	if e.Kind() != ast.CallKind {
		return false
	}
	_, calculates := signs[e.AsCall().FunctionName()]
	return calculates
}

// text writes a calculation down, with the names or with the values of what it names.
func (x explanation) text(e ast.Expr, names bool) string {
	if path := x.path(e); path != nil && names {
		return x.name(path)
	}
	if !x.composite(e) {
		return x.call(e, names)
	}
	sign, args := signs[e.AsCall().FunctionName()], e.AsCall().Args()
	if len(args) == 1 {
		return sign.text + x.operand(args[0], names, sign.binds)
	}
	// a - (b - c) is not a - b - c
	return x.operand(args[0], names, sign.binds) + " " + sign.text + " " + x.operand(args[1], names, sign.binds+1)
}

// call writes down what is no calculation: a call such as size(…), where names are wanted, or a
// value.
func (x explanation) call(e ast.Expr, names bool) string {
	if names && e.Kind() == ast.CallKind {
		if call := e.AsCall(); call.FunctionName() == overloads.Size {
			return "the size of " + x.text(children(e)[0], true)
		}
	}
	if v, known := x.value(e); known {
		return show(v)
	}
	return "…"
}

// operand is text in parentheses where it binds less close than what is around it.
func (x explanation) operand(e ast.Expr, names bool, around int) string {
	text := x.text(e, names)
	if x.composite(e) && signs[e.AsCall().FunctionName()].binds < around {
		return "(" + text + ")"
	}
	return text
}

// children are the nodes below a node, without those that are evaluated many times.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	case ast.CallKind:
		if call := e.AsCall(); call.IsMemberFunction() {
			return append([]ast.Expr{call.Target()}, call.Args()...)
		}
		return e.AsCall().Args()
	case ast.ListKind:
		return e.AsList().Elements()
	}
	return nil
}

// show is a value for people.
func show(v ref.Val) string {
	switch v := v.(type) {
	case number:
		return v.String()
	case types.String:
		return quoted(string(v))
	case types.Duration:
		return Span(v.Duration)
	case types.Timestamp:
		return v.UTC().Format("2006-01-02 15:04:05 UTC")
	case types.Bool:
		return fmt.Sprint(bool(v))
	case types.Null:
		return "nothing"
	case traits.Lister:
		return list(v)
	}
	return "…"
}

func list(l traits.Lister) string {
	const enough = 8
	var all []string
	for i := l.Iterator(); i.HasNext() == types.True; {
		if len(all) == enough {
			all = append(all, "…")
			break
		}
		all = append(all, show(i.Next()))
	}
	return strings.Join(all, ", ")
}

func quoted(s string) string {
	const enough = 80
	if runes := []rune(s); len(runes) > enough {
		return fmt.Sprintf("%q…", string(runes[:enough]))
	}
	return fmt.Sprintf("%q", s)
}

// Span is a duration for people, without the units that are zero: 12m, 1h30m, 8h.
func Span(d time.Duration) string {
	if d >= time.Second || d <= -time.Second {
		d = d.Truncate(time.Second)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
