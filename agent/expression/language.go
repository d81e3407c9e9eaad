package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

const (
	// longest is how many characters an expression may have.
	longest = 4096
	// deepest is how far parentheses and lists may be nested.
	deepest = 64
	// kept is how many compiled expressions a Language keeps. Models of one platform share most
	// of theirs.
	kept = 256
)

// Language is what expressions of one purpose may say. It may be used from several goroutines.
type Language struct {
	env *cel.Env

	mu       sync.Mutex
	compiled map[string]compiled
}

// compiled is what came of compiling a text.
type compiled struct {
	expression *Expression
	err        error
}

// New makes a Language of its variables and of the objects that they, or fields of theirs, are.
// It panics where they do not fit together.
func New(variables map[string]Type, objects ...Object) *Language {
	objectsByName := provider{Registry: types.NewEmptyRegistry(), objects: map[string]Object{}}
	for _, o := range objects {
		objectsByName.objects[o.Type.TypeName()] = o
	}
	options := []cel.EnvOption{
		cel.CustomTypeProvider(objectsByName),
		cel.CustomTypeAdapter(objectsByName),
		cel.StdLib(cel.StdLibSubset(standard())),
		cel.ParserExpressionSizeLimit(longest),
		cel.ParserRecursionLimit(deepest),
		cel.ParserErrorRecoveryLimit(1),
		cel.Variable(literalName, Number),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateHomogeneousAggregateLiterals()),
	}
	for name, t := range variables {
		options = append(options, cel.Variable(name, t))
	}
	made, err := cel.NewCustomEnv(append(options, numberFunctions()...)...)
	if err != nil {
		panic("the language cannot be made: " + err.Error())
	}
	return &Language{env: made, compiled: map[string]compiled{}}
}

// standard is what of CEL's own functions the language has. Those on numbers are not among them.
func standard() *env.LibrarySubset {
	function := func(name string, ids ...string) *env.Function {
		f := &env.Function{Name: name}
		for _, id := range ids {
			f.Overloads = append(f.Overloads, &env.Overload{ID: id})
		}
		return f
	}
	return &env.LibrarySubset{
		IncludeMacros: []string{operators.Has, operators.All, operators.Exists, operators.ExistsOne, operators.Filter, operators.Map},
		IncludeFunctions: []*env.Function{
			function(operators.Conditional), function(operators.LogicalAnd), function(operators.LogicalOr), function(operators.LogicalNot),
			function(operators.NotStrictlyFalse), function(operators.Equals), function(operators.NotEquals), function(operators.In),
			function(operators.Index, overloads.IndexMap),
			function(operators.Add, overloads.AddString, overloads.AddList, overloads.AddDurationDuration, overloads.AddDurationTimestamp, overloads.AddTimestampDuration),
			function(operators.Subtract, overloads.SubtractDurationDuration, overloads.SubtractTimestampDuration, overloads.SubtractTimestampTimestamp),
			function(operators.Less, overloads.LessString, overloads.LessDuration, overloads.LessTimestamp),
			function(operators.LessEquals, overloads.LessEqualsString, overloads.LessEqualsDuration, overloads.LessEqualsTimestamp),
			function(operators.Greater, overloads.GreaterString, overloads.GreaterDuration, overloads.GreaterTimestamp),
			function(operators.GreaterEquals, overloads.GreaterEqualsString, overloads.GreaterEqualsDuration, overloads.GreaterEqualsTimestamp),
			function(overloads.Contains), function(overloads.StartsWith), function(overloads.EndsWith),
			function(overloads.TypeConvertDuration, overloads.StringToDuration),
			function(overloads.TypeConvertTimestamp, overloads.StringToTimestamp),
		},
	}
}

// Compile makes an expression of its text, or says in one sentence why it is none. The same text
// is compiled once.
func (l *Language) Compile(text string) (*Expression, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, known := l.compiled[text]; known {
		return c.expression, c.err
	}
	expression, err := l.compile(text)
	if len(l.compiled) >= kept {
		clear(l.compiled)
	}
	l.compiled[strings.Clone(text)] = compiled{expression, err}
	return expression, err
}

func (l *Language) compile(text string) (*Expression, error) {
	if utf8.RuneCountInString(text) > longest {
		return nil, fmt.Errorf("the expression is longer than %d characters: shorten it", longest)
	}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("the expression is empty: write what has to be true")
	}
	parsed, issues := l.env.Parse(text)
	if issues.Err() != nil {
		return nil, complaint(issues)
	}
	numbers, err := exact(parsed.NativeRep(), text)
	if err != nil {
		return nil, err
	}
	checked, issues := l.env.Check(parsed)
	if issues.Err() != nil {
		return nil, complaint(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(Flag) {
		return nil, fmt.Errorf("the expression gives a %s, and has to give true or false: compare it with something", t)
	}
	if err := l.affordable(checked); err != nil {
		return nil, err
	}
	bind(checked.NativeRep(), numbers)
	// Two programs, for CEL does not count what it costs where it records the values on the way.
	counted, err := l.env.Program(checked, cel.CostTracking(price{}), cel.CostLimit(dearest))
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be used: %s", printable(err.Error()))
	}
	recorded, err := l.env.Program(checked, cel.EvalOptions(cel.OptTrackState))
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be used: %s", printable(err.Error()))
	}
	return &Expression{checked: checked.NativeRep(), counted: counted, recorded: recorded, numbers: numbers}, nil
}

// plain is what CEL says of mistakes that are often made, and what that means to people.
var plain = []struct {
	said  *regexp.Regexp
	meant string
}{
	{regexp.MustCompile(`^mismatched input '<EOF>'$`), "it ends where something has to follow: complete it"},
	{regexp.MustCompile(`^undeclared reference to '_?([^'_]+)_?'$`), "there is no $1: mend its spelling, or use what there is"},
	{regexp.MustCompile(`^undefined field '([^']+)'$`), "there is no field $1: mend its spelling, or use one that there is"},
	{regexp.MustCompile(`^found no matching overload for '_([^a-z_]+)_' applied to '\(([^,]+), ([^,]+)\)'$`), "$1 does not go between a $2 and a $3: give it two of one kind"},
}

// complaint is the first error of a compilation in one sentence, with where it is.
func complaint(issues *cel.Issues) error {
	all := issues.Errors()
	if len(all) == 0 {
		return fmt.Errorf("the expression does not compile: %s", printable(issues.Err().Error()))
	}
	first := all[0]
	if strings.Contains(first.Message, "recursion") {
		return fmt.Errorf("the expression is nested more than %d deep: simplify it", deepest)
	}
	message := strings.TrimSuffix(strings.TrimPrefix(first.Message, "Syntax error: "), " (in container '')")
	message, _, _ = strings.Cut(message, " expecting {") // every token that there is
	for _, p := range plain {
		message = p.said.ReplaceAllString(message, p.meant)
	}
	if first.Location == common.NoLocation {
		return fmt.Errorf("the expression does not compile: %s", printable(message))
	}
	return fmt.Errorf("the expression does not compile at %d:%d: %s", first.Location.Line(), first.Location.Column()+1, printable(message))
}
