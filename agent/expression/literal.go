package expression

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// literalName stands for every literal of a number in the syntax tree. Nobody can write it.
const literalName = "@number"

// exact puts a variable in the place of each literal of a number, for CEL knows no literals of
// other types than its own. It returns what they stand for, by the ids of their nodes.
func exact(tree *ast.AST, text string) (map[int64]number, error) {
	numbers := map[int64]number{}
	source, factory := []rune(text), ast.NewExprFactory()
	var failure error
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.StructKind && failure == nil {
			failure = fmt.Errorf("the expression makes a %s at %s, which it cannot: compare fields", printable(e.AsStruct().TypeName()), place(tree, e))
		}
		if e.Kind() != ast.LiteralKind {
			return
		}
		n, is, err := literal(e, tree, source)
		if err != nil && failure == nil {
			failure = fmt.Errorf("the number at %s %w", place(tree, e), err)
		}
		if is {
			numbers[e.ID()] = n
			e.SetKindCase(factory.NewIdent(e.ID(), literalName))
		}
	}))
	return numbers, failure
}

// place is where a node is written, as line:column.
func place(tree *ast.AST, e ast.Expr) string {
	location := tree.SourceInfo().GetStartLocation(e.ID())
	return fmt.Sprintf("%d:%d", location.Line(), location.Column()+1)
}

// literal is the number that a node is, if it is one.
func literal(e ast.Expr, tree *ast.AST, source []rune) (n number, is bool, err error) {
	switch v := e.AsLiteral().(type) {
	case types.Int:
		return number{decimal.Of(int64(v))}, true, nil
	case types.Uint:
		n.Decimal, err = decimal.Parse(strconv.FormatUint(uint64(v), 10))
		return n, true, err
	case types.Double:
		n.Decimal, err = decimal.Parse(written(float64(v), tree.SourceInfo(), source, e.ID()))
		return n, true, err
	}
	return number{}, false, nil
}

// digits are those of a fraction as they may be written, with the sign before them.
var digits = regexp.MustCompile(`^(-?)\s*([0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`)

// written is a fraction as it was written: CEL has made a binary fraction of it, which is
// something else.
func written(read float64, info *ast.SourceInfo, source []rune, id int64) string {
	at, known := info.GetOffsetRange(id)
	if !known || int(at.Start) >= len(source) {
		return strconv.FormatFloat(read, 'g', -1, 64)
	}
	part := digits.FindStringSubmatch(string(source[at.Start:]))
	whole := part[2]
	if whole == "" {
		whole = "0" // .5 may be written, too
	}
	return part[1] + whole + part[3] + part[4]
}

// bind gives the literals of a checked tree their values.
func bind(tree *ast.AST, numbers map[int64]number) {
	for id, n := range numbers {
		tree.SetReference(id, ast.NewIdentReference(literalName, n))
	}
}
