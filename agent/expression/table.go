package expression

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/sluice-dev/sluice/agent/decimal"
)

// table is a map from strings that knows what it is, so that what is missing from it can be named.
// It belongs to one evaluation at a time.
type table struct {
	kind  Type
	texts map[string]string
	what  string // an entry is, such as metric
	owner string // it belongs to, such as v8
	read  map[string]ref.Val
	keys  []string // in their order, once they were asked for
}

// TextTable is a value of the type Texts. An entry that is missing is reported as "v8 has no label
// tier" where what is "label" and owner is "v8".
func TextTable(texts map[string]string, what, owner string) any {
	return &table{kind: Texts, texts: texts, what: what, owner: owner}
}

// NumberTable is a value of the type Numbers: texts are read as numbers when they are asked for,
// and one that is no number is reported as "metric auc of v8 is "NaN", which is no decimal number".
func NumberTable(texts map[string]string, what, owner string) any {
	return &table{kind: Numbers, texts: texts, what: what, owner: owner, read: map[string]ref.Val{}}
}

// Get is the entry of a key, or an error that says that there is none. A table is no
// traits.Mapper on purpose: what is missing from a Mapper, CEL reports without saying from where.
func (t *table) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	text, found := t.texts[string(name)]
	if !found {
		return types.WrapErr(sentence(fmt.Sprintf("%s has no %s %s", t.owner, t.what, printable(string(name)))))
	}
	if t.kind == Texts {
		return types.String(text)
	}
	v, known := t.read[string(name)]
	if !known {
		v = t.parse(string(name), text)
		t.read[string(name)] = v
	}
	return v
}

func (t *table) parse(name, text string) ref.Val {
	d, err := decimal.Parse(text)
	if err != nil {
		return types.WrapErr(sentence(fmt.Sprintf("%s %s of %s %v", t.what, printable(name), t.owner, err)))
	}
	return number{d}
}

// IsSet tells whether there is an entry: has(candidate.metrics.auc).
func (t *table) IsSet(key ref.Val) ref.Val { return t.Contains(key) }

// Contains tells whether there is an entry: "auc" in candidate.metrics.
func (t *table) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.False
	}
	_, found := t.texts[string(name)]
	return types.Bool(found)
}

// Size is how many entries there are.
func (t *table) Size() ref.Val { return types.Int(len(t.texts)) }

// Iterator goes through the keys in their order.
func (t *table) Iterator() traits.Iterator {
	if t.keys == nil {
		t.keys = slices.Sorted(maps.Keys(t.texts))
	}
	return types.NewStringList(types.DefaultTypeAdapter, t.keys).Iterator()
}

// Equal tells whether two tables have the same entries.
func (t *table) Equal(other ref.Val) ref.Val {
	o, ok := other.(*table)
	if !ok || t.kind != o.kind || len(t.texts) != len(o.texts) {
		return types.False
	}
	for name := range t.texts {
		key := types.String(name)
		if o.Contains(key) == types.False {
			return types.False
		}
		if same := t.Get(key).Equal(o.Get(key)); same != types.True {
			return same
		}
	}
	return types.True
}

// ConvertToNative is not needed: no value leaves an expression but its verdict.
func (t *table) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("a %s is no %s", t.kind, to)
}

// ConvertToType is refused, for the language has no conversions.
func (t *table) ConvertToType(ref.Type) ref.Val { return types.NoSuchOverloadErr() }

// Type is a map.
func (t *table) Type() ref.Type { return types.MapType }

// Value is the entries.
func (t *table) Value() any { return t.texts }
