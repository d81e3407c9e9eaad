package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

const (
	// longestQuestion is how many characters an expression may have, and deepest how far it may be nested.
	longestQuestion = 1024
	deepest         = 48
	// dearest is what it may cost: some milliseconds. To look through 10,000 conditions costs about so much.
	dearest = 100_000
)

// language is CEL with one variable, the object as it is in the cluster. It is another one than that of gates: there
// every value has a type that is known before, and here none has. There are no regular expressions, of which an object
// could bring one that takes much memory.
var language = sync.OnceValue(func() *cel.Env {
	without := &env.LibrarySubset{ExcludeFunctions: []*env.Function{{Name: overloads.Matches}}}
	made, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(without)), cel.Variable("object", cel.DynType), cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(longestQuestion), cel.ParserRecursionLimit(deepest), cel.ParserErrorRecoveryLimit(1),
	)
	if err != nil {
		panic("the language of objects cannot be made: " + err.Error()) // it depends on nothing
	}
	return made
})

// question is an expression over an object.
type question struct {
	field   string
	program cel.Program
}

// newQuestion compiles an expression, or says in one sentence why it is none. A flag has to give true or false.
func newQuestion(field, text string, flag bool) (*question, error) {
	if utf8.RuneCountInString(text) > longestQuestion {
		return nil, permanentf("spec.run.object.%s is longer than %d characters: shorten it", words(field), longestQuestion)
	}
	checked, issues := language().Compile(text)
	if issues.Err() != nil {
		return nil, permanentf("spec.run.object.%s does not compile: %s", words(field), complaint(issues))
	}
	if t := checked.OutputType(); flag && !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, permanentf("spec.run.object.%s gives a %s, and has to give true or false: compare it with something", words(field), t)
	}
	program, err := language().Program(checked, cel.CostLimit(dearest))
	if err != nil {
		return nil, permanentf("spec.run.object.%s cannot be used: %s", words(field), words(err.Error()))
	}
	return &question{field, program}, nil
}

// complaint is the first of what is wrong with an expression.
func complaint(issues *cel.Issues) string {
	all := issues.Errors()
	if len(all) == 0 {
		return words(issues.Err().Error())
	}
	message, _, _ := strings.Cut(all[0].Message, " expecting {") // every token that there is
	return words(fmt.Sprintf("%s at %d:%d", message, all[0].Location.Line(), all[0].Location.Column()+1))
}

// ask evaluates it. A value of nil is not there yet.
func (q *question) ask(f fields) (ref.Val, error) {
	value, _, err := q.program.Eval(map[string]any{"object": map[string]any(f)})
	if err == nil {
		return value, nil
	}
	if _, cancelled := errors.AsType[interpreter.EvalCancelledError](err); cancelled {
		return nil, fmt.Errorf("%s takes more than %d steps: make it simpler", q.field, dearest)
	}
	if strings.HasPrefix(err.Error(), "no such key") || strings.HasPrefix(err.Error(), "index out of bounds") {
		return nil, nil
	}
	return nil, fmt.Errorf("%s cannot be judged: %s", q.field, words(err.Error()))
}

func (q *question) flag(f fields) (bool, error) {
	value, err := q.ask(f)
	if value == nil || err != nil {
		return false, err
	}
	flag, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%s gives neither true nor false", q.field)
	}
	return bool(flag), nil
}

func (q *question) text(f fields) (string, error) {
	value, err := q.ask(f)
	if err != nil {
		return "", err
	}
	if value == nil {
		return "", fmt.Errorf("%s asks for a field that is not there", q.field)
	}
	switch value.(type) {
	case types.String, types.Int, types.Uint, types.Double, types.Bool:
		if text, ok := value.ConvertToType(types.StringType).(types.String); ok {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("%s gives no text", q.field)
}
