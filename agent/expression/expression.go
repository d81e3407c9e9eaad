package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// Expression is a condition that was compiled. It may be evaluated from several goroutines.
type Expression struct {
	checked  *ast.AST
	counted  cel.Program      // judges, within what it may cost
	recorded cel.Program      // explains, after the other has shown that it is cheap
	numbers  map[int64]number // literals, by the ids of their nodes
}

// Verdict is what an expression came to.
type Verdict struct {
	True bool
	// Why names the values that decided, in a part of a sentence; empty where none did.
	Why string
}

// Naming says what people call the value that is found at a path, such as
// ["candidate", "metrics", "auc"]: "auc of v8". What it has no name for is not spoken about.
type Naming func(path []string) string

// Eval evaluates the expression over the values of all variables of its Language. An error says
// in one sentence why it cannot be judged; it is ErrNull where a field of null was asked for.
func (e *Expression) Eval(values map[string]any, name Naming) (Verdict, error) {
	out, _, err := e.counted.Eval(values)
	if err != nil {
		return Verdict{}, e.failure(err, values, name)
	}
	verdict, ok := out.(types.Bool)
	if !ok {
		return Verdict{}, errors.New("the expression gives neither true nor false")
	}
	x := e.explanation(values, name)
	x.true = bool(verdict)
	return Verdict{True: x.true, Why: x.why(e.checked.Expr(), true)}, nil
}

func (e *Expression) explanation(values map[string]any, name Naming) explanation {
	x := explanation{Expression: e, name: name}
	if _, details, _ := e.recorded.Eval(values); details != nil {
		x.state = details.State()
	}
	return x
}

// failure is the error of an evaluation in a sentence.
func (e *Expression) failure(err error, values map[string]any, name Naming) error {
	if _, cancelled := errors.AsType[interpreter.EvalCancelledError](err); cancelled {
		return fmt.Errorf("the expression takes more than %d steps: make it simpler", dearest)
	}
	if errors.Is(err, ErrNull) {
		return ErrNull
	}
	if errors.Is(err, decimal.ErrDivision) || errors.Is(err, decimal.ErrTooLarge) {
		err = fmt.Errorf("the expression cannot be judged, for %w", err)
		if facts := e.explanation(values, name).facts(e.checked.Expr()); facts != "" {
			err = fmt.Errorf("%w: %s", err, facts)
		}
		return err
	}
	if s, ours := errors.AsType[sentence](err); ours {
		return s
	}
	return fmt.Errorf("the expression cannot be judged: %s", printable(err.Error()))
}

// sentence is an error that says in a sentence of its own what is missing.
type sentence string

func (s sentence) Error() string { return string(s) }

// Mentions tells whether the value at a path occurs.
func (e *Expression) Mentions(path ...string) bool {
	found := false
	ast.PostOrderVisit(e.checked.Expr(), ast.NewExprVisitor(func(n ast.Expr) {
		found = found || slices.Equal(e.path(n), path)
	}))
	return found
}

// path is the way from a variable to a node, or nil for a node that is none.
func (e *Expression) path(n ast.Expr) []string {
	switch n.Kind() {
	case ast.IdentKind:
		if _, literal := e.numbers[n.ID()]; !literal {
			return []string{strings.TrimPrefix(n.AsIdent(), ".")}
		}
	case ast.SelectKind:
		if path := e.path(n.AsSelect().Operand()); path != nil {
			return append(path, n.AsSelect().FieldName())
		}
	case ast.CallKind:
		call := n.AsCall()
		if call.FunctionName() != operators.Index || call.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		key, ok := call.Args()[1].AsLiteral().(types.String)
		if path := e.path(call.Args()[0]); ok && path != nil {
			return append(path, string(key))
		}
	}
	return nil
}

// printable makes text of others fit to be a part of a sentence.
func printable(s string) string { return Printable(s, 200) }

// Printable makes text that others wrote fit to print: one line, no control characters, and no
// more than longest characters.
func Printable(s string, longest int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest-1]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
