package gate

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/agent/decimal"
	"github.com/sluice-dev/sluice/agent/expression"
)

// The objects of the language of gates.
var (
	versionType  = expression.ObjectType("Version")
	lineageType  = expression.ObjectType("Lineage")
	formatType   = expression.ObjectType("Format")
	artifactType = expression.ObjectType("Artifact")
)

// language is what expressions of gates may say. It is made when the first gate needs it.
var language = sync.OnceValue(func() *expression.Language {
	return expression.New(
		map[string]expression.Type{
			"candidate": versionType, "current": versionType, "first": expression.Flag,
			"model": expression.Text, "stage": expression.Text, "labels": expression.Texts, "now": expression.Time,
		},
		expression.Object{Type: versionType, Fields: map[string]expression.Field{
			"version":  field(expression.Text, func(v seen) any { return v.Name }),
			"metrics":  field(expression.Numbers, func(v seen) any { return expression.NumberTable(v.Metrics, "metric", v.Name) }),
			"labels":   field(expression.Texts, func(v seen) any { return expression.TextTable(v.Labels, "label", v.Name) }),
			"lineage":  field(lineageType, func(v seen) any { return expression.Value(lineageType, v) }),
			"format":   field(formatType, func(v seen) any { return expression.Value(formatType, v) }),
			"artifact": field(artifactType, func(v seen) any { return expression.Value(artifactType, v) }),
			"age":      {Type: expression.Duration, Get: age},
		}},
		expression.Object{Type: lineageType, Fields: map[string]expression.Field{
			"run":       field(expression.Text, func(v seen) any { return v.Lineage.Run }),
			"pipeline":  field(expression.Text, func(v seen) any { return v.Lineage.Pipeline }),
			"dataset":   field(expression.Text, func(v seen) any { return v.Lineage.Dataset }),
			"commit":    field(expression.Text, func(v seen) any { return v.Lineage.Commit }),
			"trainedAt": {Type: expression.Time, Get: trainedAt},
		}},
		expression.Object{Type: formatType, Fields: map[string]expression.Field{
			"name":    field(expression.Text, func(v seen) any { return v.Format.Name }),
			"version": field(expression.Text, func(v seen) any { return v.Format.Version }),
		}},
		expression.Object{Type: artifactType, Fields: map[string]expression.Field{
			"uri":      field(expression.Text, func(v seen) any { return v.Artifact.URI }),
			"digest":   field(expression.Text, func(v seen) any { return v.Artifact.Digest }),
			"size":     {Type: expression.Number, Get: size},
			"verified": field(expression.Flag, func(v seen) any { return v.Artifact.Verified }),
		}},
	)
})

// seen is a version at a time.
type seen struct {
	*Version
	now time.Time
}

func field(t expression.Type, get func(seen) any) expression.Field {
	return expression.Field{Type: t, Get: func(v any) (any, error) { return get(v.(seen)), nil }}
}

func age(v any) (any, error) {
	s := v.(seen)
	switch {
	case s.Lineage.TrainedAt != nil:
		return s.now.Sub(s.Lineage.TrainedAt.Time), nil
	case !s.Created.IsZero():
		return s.now.Sub(s.Created), nil
	}
	return nil, fmt.Errorf("it is not known how old %s is", s.Name)
}

func trainedAt(v any) (any, error) {
	s := v.(seen)
	if s.Lineage.TrainedAt == nil {
		return nil, fmt.Errorf("it is not known when %s was trained", s.Name)
	}
	return s.Lineage.TrainedAt.Time, nil
}

func size(v any) (any, error) {
	s := v.(seen)
	if s.Artifact.Size == nil {
		return nil, fmt.Errorf("it is not known how large the artifact of %s is", s.Name)
	}
	return decimal.Of(*s.Artifact.Size), nil
}

// values are those of the variables at a time.
func (e Evidence) values(now time.Time) map[string]any {
	values := map[string]any{
		"candidate": expression.Value(versionType, seen{&e.Candidate, now}), "current": nil, "first": e.Current == nil,
		"model": e.Model, "stage": e.Stage, "labels": expression.TextTable(e.Labels, "label", e.Model), "now": now,
	}
	if e.Current != nil {
		values["current"] = expression.Value(versionType, seen{e.Current, now})
	}
	return values
}

// name is what people call what an expression names: "auc of v8".
func (e Evidence) name(path []string) string {
	owner := e.Candidate.Name
	switch path[0] {
	case "candidate":
	case "current":
		owner = "what serves in " + e.Stage
		if e.Current != nil {
			owner = e.Current.Name
		}
	case "labels":
		path, owner = append([]string{"model"}, path...), e.Model
	case "first":
		return "" // is said in another way where it matters
	case "now":
		return "the time"
	default:
		return "the " + strings.Join(path, ".")
	}
	switch path = path[1:]; {
	case len(path) == 0:
		return owner
	case len(path) == 2 && path[0] == "metrics":
		return path[1] + " of " + owner
	case len(path) == 2 && path[0] == "labels":
		return "label " + path[1] + " of " + owner
	}
	return strings.Join(path, ".") + " of " + owner
}

func (c check) cel(text string) ruling {
	e, err := language().Compile(text)
	if err != nil {
		return failed("%v", err)
	}
	verdict, err := e.Eval(c.values(c.now), c.name)
	switch {
	case errors.Is(err, expression.ErrNull):
		return failed("nothing serves in %s yet, so that %s cannot be compared with it: begin the expression with first || to let the first version pass", c.Stage, c.Candidate.Name)
	case err != nil:
		return failed("%v", err)
	case verdict.True && verdict.Why == "" && c.Current == nil:
		return passed("nothing serves in %s yet, and the expression is true for %s", c.Stage, c.Candidate.Name)
	case verdict.Why == "":
		verdict.Why = fmt.Sprintf("the expression is %v for %s", verdict.True, c.Candidate.Name)
	}
	if verdict.True {
		return passed("%s", verdict.Why)
	}
	if later := c.later(e); !later.IsZero() {
		return waiting(later, "%s", verdict.Why)
	}
	return failed("%s", verdict.Why)
}

// later is when an expression that is false becomes true by the time alone; zero for never. It
// looks ahead in steps that double, and so overlooks what is true for a short time far ahead.
func (c check) later(e *expression.Expression) time.Time {
	if !e.Mentions("now") && !e.Mentions("candidate", "age") && !e.Mentions("current", "age") {
		return time.Time{}
	}
	holds := func(ahead time.Duration) bool {
		verdict, err := e.Eval(c.values(c.now.Add(ahead)), c.name)
		return err == nil && verdict.True
	}
	const farthest = 100 * 365 * 24 * time.Hour
	var not time.Duration
	for ahead := time.Second; ahead < farthest; not, ahead = ahead, 2*ahead {
		if !holds(ahead) {
			continue
		}
		for ahead-not > time.Second {
			if middle := (not + ahead) / 2; holds(middle) {
				ahead = middle
			} else {
				not = middle
			}
		}
		return c.now.Add(ahead)
	}
	return time.Time{}
}
