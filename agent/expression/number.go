package expression

import (
	"fmt"
	"reflect"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// numberType is the type of all numbers.
var numberType = cel.ObjectType("number",
	traits.AdderType, traits.SubtractorType, traits.MultiplierType, traits.DividerType, traits.NegatorType, traits.ComparerType)

// number is a number as CEL sees it.
type number struct{ decimal.Decimal }

// numberFunctions declares what can be done with numbers, and size, which gives one. Operators
// that CEL has for other types too find their implementation in the methods of number.
func numberFunctions() []cel.EnvOption {
	two, list, anyMap := []*cel.Type{Number, Number}, cel.ListType(cel.TypeParamType("A")), cel.MapType(cel.TypeParamType("A"), cel.TypeParamType("B"))
	compare := func(operator, id string) cel.EnvOption {
		return cel.Function(operator, cel.Overload(id, two, Flag))
	}
	size := func(v ref.Val) ref.Val {
		count, ok := v.(traits.Sizer).Size().(types.Int)
		if !ok {
			return types.NoSuchOverloadErr()
		}
		return number{decimal.Of(int64(count))}
	}
	return []cel.EnvOption{
		cel.Function(operators.Add, cel.Overload("add_number", two, Number)),
		cel.Function(operators.Subtract, cel.Overload("subtract_number", two, Number)),
		cel.Function(operators.Multiply, cel.Overload("multiply_number", two, Number, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			return a.(traits.Multiplier).Multiply(b)
		}))),
		cel.Function(operators.Divide, cel.Overload("divide_number", two, Number, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			return a.(traits.Divider).Divide(b)
		}))),
		cel.Function(operators.Negate, cel.Overload("negate_number", []*cel.Type{Number}, Number, cel.UnaryBinding(func(a ref.Val) ref.Val {
			return a.(traits.Negater).Negate()
		}))),
		compare(operators.Less, "less_number"), compare(operators.LessEquals, "less_equals_number"),
		compare(operators.Greater, "greater_number"), compare(operators.GreaterEquals, "greater_equals_number"),
		cel.Function(overloads.Size, cel.SingletonUnaryBinding(size, traits.SizerType),
			cel.Overload("size_of_text", []*cel.Type{Text}, Number), cel.MemberOverload("text_size", []*cel.Type{Text}, Number),
			cel.Overload("size_of_list", []*cel.Type{list}, Number), cel.MemberOverload("list_size", []*cel.Type{list}, Number),
			cel.Overload("size_of_map", []*cel.Type{anyMap}, Number), cel.MemberOverload("map_size", []*cel.Type{anyMap}, Number)),
	}
}

// calculate applies an operation to two numbers.
func (n number) calculate(other ref.Val, operation func(a, b decimal.Decimal) (decimal.Decimal, error)) ref.Val {
	o, ok := other.(number)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	result, err := operation(n.Decimal, o.Decimal)
	if err != nil {
		return types.WrapErr(err)
	}
	return number{result}
}

// Add is n + other.
func (n number) Add(other ref.Val) ref.Val { return n.calculate(other, decimal.Decimal.Add) }

// Subtract is n - other.
func (n number) Subtract(other ref.Val) ref.Val { return n.calculate(other, decimal.Decimal.Sub) }

// Multiply is n * other.
func (n number) Multiply(other ref.Val) ref.Val { return n.calculate(other, decimal.Decimal.Mul) }

// Divide is n / other.
func (n number) Divide(other ref.Val) ref.Val { return n.calculate(other, decimal.Decimal.Quo) }

// Negate is -n.
func (n number) Negate() ref.Val { return number{n.Neg()} }

// Compare is -1, 0 or 1 as CEL wants it.
func (n number) Compare(other ref.Val) ref.Val {
	o, ok := other.(number)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(n.Cmp(o.Decimal))
}

// Equal tells whether other is the same number.
func (n number) Equal(other ref.Val) ref.Val {
	o, ok := other.(number)
	return types.Bool(ok && n.Decimal.Equal(o.Decimal))
}

// ConvertToNative is not needed: no value leaves an expression but its verdict.
func (n number) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a number is no %s", t)
}

// ConvertToType is refused, for the language has no conversions.
func (n number) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Type is number.
func (n number) Type() ref.Type { return numberType }

// Value is the number itself.
func (n number) Value() any { return n.Decimal }
