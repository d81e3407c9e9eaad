package expression

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// Type is the type of a variable or a field.
type Type = *cel.Type

// The types that an expression knows besides objects. In Go their values are a string, a bool, a
// decimal.Decimal, a time.Duration, a time.Time, and a Table for both maps.
var (
	Text     = cel.StringType
	Flag     = cel.BoolType
	Number   = numberType
	Duration = cel.DurationType
	Time     = cel.TimestampType
	Texts    = cel.MapType(Text, Text)
	Numbers  = cel.MapType(Text, Number)
)

// Object is a type whose values have fields.
type Object struct {
	Type   Type
	Fields map[string]Field
}

// Field is what an object has under a name.
type Field struct {
	Type Type
	// Get reads it from a value of the object. It gives a value of Type, or an error where there
	// is none, and then in a sentence why.
	Get func(object any) (any, error)
}

// ObjectType is the type of objects of this name. A variable of such a type is null where its
// value is nil, and whoever asks for its fields then gets ErrNull.
func ObjectType(name string) Type { return cel.ObjectType(name) }

// Value is an object of a type, as a value of a variable or of a field.
func Value(t Type, object any) any { return instance{t, object} }

// ErrNull: a field of an object that is null was asked for.
var ErrNull = errors.New("the expression asks for a field of null")

// instance is an object as CEL sees it.
type instance struct {
	of     Type
	object any
}

// ConvertToNative and those that follow make an instance a value of CEL.

// ConvertToNative is not needed: no value leaves an expression but its verdict.
func (i instance) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("%s is no %s", i.of, t)
}

// ConvertToType is refused, for the language has no conversions.
func (i instance) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Equal tells whether two are the same object.
func (i instance) Equal(other ref.Val) ref.Val {
	o, ok := other.(instance)
	return types.Bool(ok && reflect.DeepEqual(i.object, o.object))
}

// Type is the object's type.
func (i instance) Type() ref.Type { return i.of }

// Value is what fields are read from.
func (i instance) Value() any { return i.object }

// provider tells CEL of the objects of a Language, and makes values of CEL of those of Go.
type provider struct {
	*types.Registry
	objects map[string]Object
}

// FindStructType finds an object's type.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	o, found := p.objects[name]
	if !found {
		return nil, false
	}
	return types.NewTypeTypeWithParam(o.Type), true
}

// FindStructFieldNames lists the fields of an object.
func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	o, found := p.objects[name]
	return slices.Sorted(maps.Keys(o.Fields)), found
}

// FindStructFieldType finds a field of an object.
func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	f, found := p.objects[name].Fields[field]
	if !found {
		return nil, false
	}
	get := func(object any) (any, error) {
		if object == nil || object == types.NullValue.Value() {
			return nil, ErrNull
		}
		v, err := f.Get(object)
		if err != nil {
			return nil, sentence(err.Error())
		}
		return p.NativeToValue(v), nil
	}
	set := func(object any) bool {
		v, err := get(object)
		return err == nil && v != types.String("") && v != types.NullValue
	}
	return &types.FieldType{Type: f.Type, IsSet: set, GetFrom: get}, true
}

// NativeToValue makes a value of CEL.
func (p provider) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case ref.Val:
		return v
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case bool:
		return types.Bool(v)
	case decimal.Decimal:
		return number{v}
	case time.Duration:
		return types.Duration{Duration: v}
	case time.Time:
		return types.Timestamp{Time: v}
	}
	return types.NewErr("a %T is no value of an expression", v)
}
