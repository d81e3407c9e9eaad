package report

import (
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/plan"
)

// problem is a Problem, what it is the problem of, and what is the matter with that.
type problem struct {
	Problem
	of     string // overlay shop, fraud in production
	matter string // does not render
	alike  int    // how many more objects it is about
}

// problems is everything that has to be put right before the merge. What does not render comes
// first, for then the rest is not known.
func (r Report) problems() []problem {
	var broken, found []problem
	if r.Trouble != nil {
		broken = append(broken, problem{Problem: *r.Trouble, of: "the merge", matter: "cannot be planned"})
	}
	for _, o := range r.Overlays {
		of := "overlay " + o.Name
		if o.Trouble != nil {
			broken = append(broken, problem{Problem: *o.Trouble, of: of, matter: "does not render"})
		}
		found = append(found, violations(of, o.Violations)...)
		found = append(found, refusals(o)...)
	}
	for _, m := range r.Models {
		of := m.Name + " in " + m.Stage
		if m.Trouble != nil {
			broken = append(broken, problem{Problem: *m.Trouble, of: of, matter: "cannot be promoted"})
		}
		found = append(found, violations(of, m.Violations)...)
	}
	return append(broken, found...)
}

func violations(of string, all []Problem) []problem {
	var found []problem
	for _, v := range all {
		p := problem{Problem: v, of: of, matter: "is not allowed"}
		if v.Policy != "" {
			p.matter = "violates the policy " + v.Policy
		}
		found = append(found, p)
	}
	return found
}

// refusals are the changes that the plan refuses and that do not come to be possible by themselves.
// What is refused for the same reason is told once.
func refusals(o Overlay) []problem {
	type reason struct {
		verb    agent.Verb
		message string
	}
	var found []problem
	seen := map[reason]int{}
	for _, v := range o.Plan.Violations {
		if v.Waits {
			continue
		}
		key := reason{v.Verb, v.Message}
		if at, again := seen[key]; again {
			found[at].alike++
			continue
		}
		seen[key] = len(found)
		found = append(found, problem{Problem: Problem{Ref: v.Ref, Message: v.Message}, of: "overlay " + o.Name, matter: "would not be " + past[v.Verb]})
	}
	return found
}

// past has the verbs for what was or is not done.
var past = map[agent.Verb]string{agent.Create: "created", agent.Update: "updated", agent.Replace: "replaced", agent.Delete: "deleted"}

// place is the file with the line.
func (p Problem) place() string {
	if p.File != "" && p.Line > 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return p.File
}

// text is the problem as plain text, as far as it does not matter what it is the problem of.
func (p Problem) text() string {
	if p.File != "" {
		return p.place() + ": " + oneLine(p.Message)
	}
	return oneLine(p.Message)
}

// text is the problem as plain text.
func (p problem) text() string {
	message := oneLine(p.Message)
	switch {
	case p.File != "":
		return p.Problem.text()
	case p.Ref.Name != "":
		return p.Ref.String() + " " + p.matter + ": " + message
	}
	return p.of + " " + p.matter + ": " + message
}

// item is the problem as an item of a list.
func (p problem) item() string {
	var b strings.Builder
	b.WriteString("- ")
	if p.File != "" {
		b.WriteString(code(p.place()) + ": ")
	}
	if p.Ref.Name != "" {
		b.WriteString(code(p.Ref.String()))
		if p.alike > 0 {
			b.WriteString(" and " + count(p.alike, "other object"))
		}
		b.WriteString(" in ")
	}
	fmt.Fprintf(&b, "%s %s: %s\n", prose(p.of), prose(p.matter), prose(p.Message))
	return b.String()
}

// oneLine is text without secrets and without line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(plan.Masked(s)), " ") }
