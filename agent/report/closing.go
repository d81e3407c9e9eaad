package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/expression"
)

// Merge is what has become of a merged pull request so far.
type Merge struct {
	// Name of the agent, where several report on the same pull requests; empty for most.
	Name     string
	Overlays []Applied
	Models   []Promoted
}

// Applied is how far an Overlay is with the commit of the merge.
type Applied struct {
	// Overlay is its name, and Namespace where it is.
	Overlay, Namespace string
	State              State
	// Took is the time from the merge to when all of it was live.
	Took time.Duration
	// Message says what it waits for, or what is wrong; not needed when it is live.
	Message string
}

// Promoted is how far a version is on its way into a stage.
type Promoted struct {
	// Model is its name, and Namespace where it is.
	Model, Namespace, Stage string
	// Version that is to serve; empty if none is to.
	Version string
	State   State
	// Traffic in percent that it has while it is pending.
	Traffic int32
	// Message says what it waits for, or why it does not serve; not needed when it serves.
	Message string
}

// Statuses are one for every Overlay and every stage of a model. Each has a context of its own, which
// stays the same for as long as the Merge is about the same.
func (m Merge) Statuses() []Status {
	var keys []key
	for _, a := range m.Overlays {
		keys = append(keys, a.key())
	}
	for _, p := range m.Models {
		keys = append(keys, p.key())
	}
	names := contexts(m.Name, keys)
	var statuses []Status
	for n, a := range m.Overlays {
		statuses = append(statuses, Status{names[n], a.State, summary(a.text(), a.Message)})
	}
	for n, p := range m.Models {
		statuses = append(statuses, Status{names[len(m.Overlays)+n], p.State, summary(p.text(), p.Message)})
	}
	return statuses
}

func (a Applied) key() key { return key{a.Overlay, []string{"overlay", a.Namespace, a.Overlay}} }

func (p Promoted) key() key {
	return key{p.Model + "-" + p.Stage, []string{"model", p.Namespace, p.Model, p.Stage}}
}

func summary(text, message string) string {
	if message != "" {
		text += ": " + oneLine(message)
	}
	return visible(text, longestSummary-1)
}

// text says it in a few words, for a status.
func (a Applied) text() string {
	switch a.State {
	case Success:
		return "live in " + lasting(a.Took)
	case Failure:
		return "not live"
	}
	return "being applied"
}

func (p Promoted) text() string {
	switch {
	case p.Version == "" && p.State == Success:
		return "nothing serves " + p.Stage
	case p.Version == "":
		return p.Stage + " is not empty yet"
	case p.State == Success:
		return p.Version + " serves " + p.Stage
	case p.State == Failure:
		return p.Version + " does not serve " + p.Stage
	case p.Traffic > 0:
		return fmt.Sprintf("%s at %d %%", p.Version, p.Traffic)
	}
	return p.Version + " is on its way"
}

// lasting is a time that something took: 0.4 s, 3 s, 1m12s.
func lasting(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return expression.Span(d)
}

// most is how many rows of each kind the closing comment has.
const most = 50

// Closing is the comment that says what became of the merge: "Live in 3 s; v8 at 10 %", and later
// "v8 serves production".
func Closing(m Merge) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n", named(m.Name, m.headline(prose)))
	for _, a := range m.Overlays[:min(most, len(m.Overlays))] {
		b.WriteString(item("overlay "+code(a.Overlay), a.text(), a.Message))
	}
	b.WriteString(theRest(len(m.Overlays), "overlay"))
	for _, p := range m.Models[:min(most, len(m.Models))] {
		b.WriteString(item("model "+code(p.Model)+", "+prose(p.Stage), prose(p.text()), p.Message))
	}
	b.WriteString(theRest(len(m.Models), "model"))
	return b.String()
}

func item(what, text, message string) string {
	if message != "" {
		text += ": " + prose(message)
	}
	return "- " + what + ": " + text + "\n"
}

func theRest(n int, what string) string {
	if n <= most {
		return ""
	}
	return "- and " + count(n-most, "more "+what) + "\n"
}

// Summary is the headline of the closing comment as plain text, of no more than 140 characters.
func (m Merge) Summary() string { return visible(m.headline(oneLine), longestSummary-1) }

// headline says how far all of it is, with texts that others wrote shown in one way.
func (m Merge) headline(show func(string) string) string {
	var parts []string
	served := len(m.Models) > 0 && !slices.ContainsFunc(m.Models, func(p Promoted) bool { return p.State != Success })
	live := !slices.ContainsFunc(m.Overlays, func(a Applied) bool { return a.State != Success })
	if len(m.Models) == 0 || len(m.Overlays) > 0 && !(served && live) {
		parts = append(parts, capital(m.applied()))
	}
	for n, p := range m.Models {
		if n == 3 {
			parts = append(parts, fmt.Sprintf("%d more models", len(m.Models)-n))
			break
		}
		text := p.text()
		if len(m.Models) > 1 {
			text = p.Model + ": " + text
		}
		parts = append(parts, show(text))
	}
	return strings.Join(parts, "; ")
}

// applied says of all Overlays how far they are.
func (m Merge) applied() string {
	live, failed, took := 0, 0, time.Duration(0)
	for _, a := range m.Overlays {
		switch a.State {
		case Success:
			live++
			took = max(took, a.Took)
		case Failure:
			failed++
		}
	}
	switch total := len(m.Overlays); {
	case total == 0:
		return "nothing to apply"
	case failed > 0 && total > 1:
		return fmt.Sprintf("%d of %d overlays %s not live", failed, total, areOf(failed))
	case failed > 0:
		return "not live"
	case live == total:
		return "live in " + lasting(took)
	case live > 0:
		return fmt.Sprintf("%d of %d overlays %s live", live, total, areOf(live))
	}
	return "being applied"
}

// Withdrawn is the comment in the place of a plan whose pull request is not to be merged here, for a
// reason. Head is the commit that was planned; it may be empty.
func Withdrawn(name, head, reason string) string {
	of := ""
	if head != "" {
		of = " of " + code(short(head))
	}
	return fmt.Sprintf("%s: the plan%s is withdrawn.\n", named(name, reason), of)
}

// Settled is the comment with which the agent closes a pull request of its own, for a reason.
func Settled(name, reason string) string {
	return fmt.Sprintf("%s: %s\n", named(name, "Closed without a merge"), prose(reason))
}
