package sync

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/render"
)

// shortestSecret is the length from which on a value is taken for a secret. Shorter ones, such
// as true or 8080, protect nothing, and stand for many other things in a message.
const shortestSecret = 6

const hidden = "(a value of a Secret)"

// redactor takes the values that came from Secrets out of what is told to people: the API server
// quotes what it refuses, and a variable may have brought such a value into any object. The
// zero redactor hides nothing.
type redactor struct{ replace *strings.Replacer }

// newRedactor hides values as they are, as they look in quotes, and in base64.
func newRedactor(values []string) redactor {
	forms := map[string]bool{}
	for _, v := range values {
		if len(v) < shortestSecret {
			continue
		}
		forms[v] = true
		forms[base64.StdEncoding.EncodeToString([]byte(v))] = true
		if quoted, err := json.Marshal(v); err == nil {
			forms[string(quoted[1:len(quoted)-1])] = true
		}
		for line := range strings.Lines(v) { // of keys and certificates, a message may show a part
			if line = strings.TrimSpace(line); len(line) >= shortestSecret {
				forms[line] = true
			}
		}
	}
	if len(forms) == 0 {
		return redactor{}
	}
	longestFirst := make([]string, 0, len(forms))
	for f := range forms {
		longestFirst = append(longestFirst, f)
	}
	slices.SortFunc(longestFirst, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range longestFirst {
		pairs = append(pairs, f, hidden)
	}
	return redactor{strings.NewReplacer(pairs...)}
}

func (r redactor) text(s string) string {
	if r.replace == nil {
		return s
	}
	return r.replace.Replace(s)
}

// failure hides values in why something could not be rendered.
func (r redactor) failure(err error) error {
	e, is := errors.AsType[*render.Error](err)
	if !is || r.replace == nil {
		return err
	}
	told := *e
	told.Message = r.text(e.Message)
	return &told
}

// report hides values in all that a report says.
func (r redactor) report(report Report) Report {
	if r.replace == nil {
		return report
	}
	report.Verdict.Message = r.text(report.Verdict.Message)
	report.Unhealthy = r.text(report.Unhealthy)
	report.Plan = r.plan(report.Plan)
	report.Run.Outcomes = slices.Clone(report.Run.Outcomes)
	for n, o := range report.Run.Outcomes {
		report.Run.Outcomes[n].Message, report.Run.Outcomes[n].Note = r.text(o.Message), r.text(o.Note)
	}
	return report
}

// plan hides values in what a plan says about changes; what is to be applied stays as it is.
func (r redactor) plan(p agent.Plan) agent.Plan {
	if r.replace == nil {
		return p
	}
	p.Violations = slices.Clone(p.Violations)
	for n, v := range p.Violations {
		p.Violations[n].Message = r.text(v.Message)
	}
	p.Changes = slices.Clone(p.Changes)
	for n, c := range p.Changes {
		fields := slices.Clone(c.Fields)
		for i, f := range fields {
			fields[i] = agent.Field{Path: r.text(f.Path), Old: r.text(f.Old), New: r.text(f.New)}
		}
		p.Changes[n].Reason, p.Changes[n].Fields = r.text(c.Reason), fields
	}
	return p
}
