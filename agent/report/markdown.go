package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
)

// detail says how much of a report is shown.
type detail struct {
	problems  int
	overlays  int // of which more than the numbers are shown
	loud      int // objects of each overlay that are deleted or replaced
	objects   int // other objects of each overlay
	fields    int // of each object
	value     int // characters of each value
	models    int
	metrics   int // of each model
	findings  int // of each model, those first that do not pass
	untouched int // names of overlays in which nothing changes
}

const all = math.MaxInt

// steps is how a report gets shorter, until it fits: shorter diffs, names only, some of the names,
// numbers only. What is deleted or replaced, and what is wrong, stays longest.
var steps = []detail{
	{problems: all, overlays: all, loud: all, objects: all, fields: all, value: 120, models: all, metrics: all, findings: all, untouched: 20},
	{problems: all, overlays: all, loud: all, objects: all, fields: 20, value: 60, models: all, metrics: 30, findings: all, untouched: 5},
	{problems: all, overlays: all, loud: all, objects: all, fields: 5, value: 60, models: all, metrics: 30, findings: 50},
	{problems: all, overlays: all, loud: all, objects: all, models: all, metrics: 30, findings: 50},
	{problems: 50, overlays: all, loud: all, objects: 1000, models: 50, metrics: 10, findings: 20},
	{problems: 50, overlays: all, loud: all, objects: 200, models: 50, metrics: 10, findings: 20},
	{problems: 50, overlays: all, loud: 100, objects: 50, models: 20, metrics: 10, findings: 10},
	{problems: 20, overlays: 100, loud: 50, objects: 10, models: 10, metrics: 10, findings: 10},
	{problems: 20, overlays: 50, loud: 20, models: 5, metrics: 5, findings: 5},
	{problems: 10, overlays: 10, loud: 10, models: 2, metrics: 5, findings: 5},
	{problems: 5, overlays: 2, loud: 5},
	{problems: 1},
	{},
}

// How long things are that are not folded.
const (
	longDiff = 12 // fields of an object
	longList = 40 // objects and fields of an overlay
)

// Markdown writes the report as a comment of no more than limit bytes; 0 for any number.
func Markdown(r Report, limit int) string {
	if limit <= 0 {
		limit = all
	}
	problems, overlays := r.problems(), arranged(r.Overlays)
	for _, d := range steps {
		p := page{show: d, limit: limit, problems: problems, overlays: overlays}
		p.write(r)
		if !p.full() {
			return p.String()
		}
	}
	heading := r.heading(len(problems))
	return heading[:min(limit, len(heading))]
}

// heading has numbers only, and nothing that others wrote.
func (r Report) heading(problems int) string {
	switch {
	case r.Trouble != nil:
		return "There is no plan"
	case problems == 0:
		return capital(r.headline())
	}
	return count(problems, "problem") + " to put right; otherwise " + r.headline()
}

// page is one attempt to write a report with so much detail.
type page struct {
	strings.Builder
	show     detail
	limit    int
	problems []problem
	overlays []overlay
	// How many things have been left out.
	lessProblems, lessObjects, lessDiffs, lessOverlays, lessModels int
}

// full tells that the attempt has failed, so that the rest need not be written.
func (p *page) full() bool { return p.Len() > p.limit }

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *page) write(r Report) {
	if r.stale() {
		p.printf("### %s\n\n%s: the plan is being made anew. This one was for %s.\n\n", named(r.Name, "Out of date"), p.moved(r), commits(r))
		p.printf("<details><summary>The plan as it was</summary>\n\n")
	}
	p.printf("### %s\n\n", named(r.Name, r.heading(len(p.problems))))
	p.facts(r)
	p.problemList()
	p.overlayList()
	p.modelList(r.Models)
	p.leftOut(r)
	if r.stale() {
		p.printf("</details>\n")
	}
}

func (p *page) moved(r Report) string {
	var moved []string
	if r.NewHead != "" {
		moved = append(moved, "The pull request is at "+code(short(r.NewHead))+" now")
	}
	if r.NewBase != "" {
		moved = append(moved, code(r.Base.Name)+" is at "+code(short(r.NewBase))+" now")
	}
	return strings.Join(moved, ", and ")
}

// commits says from where to where it goes: 4f2a9c1 into main at 0b1c2d3.
func commits(r Report) string {
	text := "the work tree"
	if r.Head.Commit != "" {
		text = code(short(r.Head.Commit))
	}
	switch {
	case r.Base.Name != "" && r.Base.Commit != "":
		text += " into " + code(r.Base.Name) + " at " + code(short(r.Base.Commit))
	case r.Base.Name != "":
		text += " into " + code(r.Base.Name)
	}
	return text
}

func short(commit string) string { return commit[:min(len(commit), 7)] }

// named is a headline with the name of the agent before it, if it has one.
func named(name, headline string) string {
	if name == "" {
		return headline
	}
	return code(name) + ": " + headline
}

// facts is what the plan is of.
func (p *page) facts(r Report) {
	what, done := "Plan of", "made"
	if r.Trouble != nil {
		what, done = "For", "as of"
	}
	p.printf("%s %s, %s %s.", what, commits(r), done, moment(r.Time))
	if r.Unaffected > 0 {
		p.printf(" %s %s not affected.", count(r.Unaffected, "other overlay"), areOf(r.Unaffected))
	}
	p.printf("\n\n")
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

func areOf(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func (p *page) problemList() {
	if p.show.problems == 0 {
		p.lessProblems = len(p.problems)
	}
	if len(p.problems) == p.lessProblems {
		return
	}
	p.printf("#### To put right before the merge\n\n")
	for n, problem := range p.problems {
		if p.full() {
			return
		}
		if n == p.show.problems {
			p.lessProblems = len(p.problems) - n
			break
		}
		p.WriteString(problem.item())
	}
	if p.lessProblems > 0 {
		p.printf("- and %d more\n", p.lessProblems)
	}
	p.printf("\n")
}

// leftOut says what is not shown, and what shows it.
func (p *page) leftOut(r Report) {
	var parts []string
	for _, part := range []struct {
		n          int
		what, name string
	}{
		{p.lessProblems, "", "problem"}, {p.lessOverlays, "what changes in ", "overlay"}, {p.lessObjects, "the names of ", "object"},
		{p.lessDiffs, "fields of ", "object"}, {p.lessModels, "", "model"},
	} {
		if part.n > 0 {
			parts = append(parts, part.what+count(part.n, part.name))
		}
	}
	if len(parts) == 0 {
		return
	}
	command := "sluice plan --base BRANCH --format markdown"
	if r.Number > 0 {
		command = fmt.Sprintf("sluice plan --pr %d", r.Number)
	}
	p.printf("**Left out**, for it would be too long here: %s. All of it: `%s`\n", strings.Join(parts, ", "), command)
}

// capital has a sentence begin with a capital letter.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// overlay is an Overlay with its changes in the order in which they are shown.
type overlay struct {
	Overlay
	loud    []agent.Change // what is deleted or replaced
	quiet   []agent.Change
	waiting []agent.Violation
}

// arranged has those overlays first in which something is deleted or replaced, and those last in
// which nothing changes.
func arranged(overlays []Overlay) []overlay {
	var loud, quiet, untouched []overlay
	for _, o := range overlays {
		arranged := overlay{
			Overlay: o, loud: ordered(o.Plan, agent.Delete, agent.Replace), quiet: ordered(o.Plan, agent.Update, agent.Create, agent.Forget), waiting: waiting(o.Plan)}
		switch {
		case o.Trouble != nil: // which is all there is to say
		case len(arranged.loud) > 0:
			loud = append(loud, arranged)
		case len(arranged.quiet)+len(arranged.waiting) > 0:
			quiet = append(quiet, arranged)
		case len(o.Violations)+len(o.Plan.Violations) > 0: // which is told as a problem
		default:
			untouched = append(untouched, arranged)
		}
	}
	return slices.Concat(loud, quiet, untouched)
}

// untouched tells that nothing changes.
func (o overlay) untouched() bool { return len(o.loud)+len(o.quiet)+len(o.waiting) == 0 }

func (p *page) overlayList() {
	var untouched []string
	for n, o := range p.overlays {
		switch {
		case p.full():
			return
		case o.untouched():
			untouched = append(untouched, code(o.Name))
		case n >= p.show.overlays:
			p.lessOverlays++
		default:
			p.overlay(o)
		}
	}
	switch more := len(untouched) - p.show.untouched; {
	case len(untouched) == 0 || p.show.untouched == 0:
	case more > 0:
		p.printf("No change in %s and %d more.\n\n", strings.Join(untouched[:p.show.untouched], ", "), more)
	default:
		p.printf("No change in %s.\n\n", strings.Join(untouched, ", "))
	}
}

func (p *page) overlay(o overlay) {
	p.printf("#### Overlay %s", code(o.Name))
	if o.Cluster != "" {
		p.printf(" in cluster %s", code(o.Cluster))
	}
	p.printf("\n\n%s: %s\n\n", code(o.Path), o.Plan.Summary())
	p.changes(o.loud, p.show.loud)
	if p.show.objects > 0 && p.long(o.quiet) {
		p.printf("\n<details><summary>%s</summary>\n\n", verbs(o.quiet))
		p.changes(o.quiet, p.show.objects)
		p.printf("\n</details>\n")
		if len(o.waiting) > 0 {
			p.printf("\n")
		}
	} else {
		p.changes(o.quiet, p.show.objects)
	}
	p.waits(o.waiting)
	p.printf("\n")
}

// long tells whether a list of changes is folded.
func (p *page) long(changes []agent.Change) bool {
	length := len(changes)
	for _, c := range changes {
		length += min(len(c.Fields), p.show.fields)
	}
	return length > longList
}

// ordered is the changes with the verbs, in the order of these.
func ordered(plan agent.Plan, verbs ...agent.Verb) []agent.Change {
	var found []agent.Change
	for _, verb := range verbs {
		for _, c := range plan.Changes {
			if c.Verb == verb {
				found = append(found, c)
			}
		}
	}
	return found
}

// verbs counts changes: 40 to create, 17 to update.
func verbs(changes []agent.Change) string {
	text := agent.Plan{Changes: changes}.Summary()
	text, _, _ = strings.Cut(text, ", 0 unchanged")
	return text
}

func (p *page) changes(changes []agent.Change, most int) {
	for n, c := range changes {
		if p.full() {
			return
		}
		if n == most {
			p.lessObjects += len(changes) - n
			p.printf("- %s%s\n", andMore(n), verbs(changes[n:]))
			return
		}
		p.change(c)
	}
}

// andMore goes on with a list, if it has begun.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return "and "
}

// expected reasons are those of every plan, and not worth a word.
var expected = []string{"changed in Git", "new in Git", "left Git", ""}

// gone is what goes with an object that is deleted, other than the object.
var gone = map[string]string{
	"/Namespace": "everything in it goes too", "/PersistentVolumeClaim": "its data goes too", "/PersistentVolume": "its data goes too",
	"apiextensions.k8s.io/CustomResourceDefinition": "all objects of its kind go too", "kubeflow.org/Profile": "the user's namespace goes too",
}

func (p *page) change(c agent.Change) {
	name := string(c.Verb)
	var remarks []string
	switch c.Verb {
	case agent.Delete, agent.Replace:
		name = "**" + strings.ToUpper(name) + "**"
		if what := gone[c.Ref.Group+"/"+c.Ref.Kind]; what != "" {
			remarks = append(remarks, "**"+what+"**")
		}
	}
	if !slices.Contains(expected, c.Reason) {
		remarks = append(remarks, prose(c.Reason))
	}
	p.printf("- %s %s", name, code(c.Ref.String()))
	if len(remarks) > 0 {
		p.printf(": %s", strings.Join(remarks, "; "))
	}
	p.printf("\n")
	p.diff(c)
}

// diff shows the fields of an object within its item of the list.
func (p *page) diff(c agent.Change) {
	fields := c.Fields
	if len(fields) > p.show.fields {
		fields = fields[:p.show.fields]
		p.lessDiffs++
	}
	var lines []string
	for _, f := range fields {
		lines = append(lines, p.field(f)...)
	}
	if len(lines) == 0 {
		return
	}
	if more := len(c.Fields) - len(fields); more > 0 {
		lines = append(lines, fmt.Sprintf("  … and %s", count(more, "more field")))
	}
	block := fenced("diff", lines)
	if len(fields) > longDiff {
		block = fmt.Sprintf("<details><summary>%s</summary>\n\n%s\n</details>\n", count(len(c.Fields), "field"), block)
	}
	for line := range strings.Lines(block) {
		if line != "\n" {
			p.WriteString("  ")
		}
		p.WriteString(line)
	}
}

func (p *page) field(f agent.Field) []string {
	path := visible(f.Path, longestName)
	if f.Path == "…" {
		return []string{"  … " + visible(f.New, p.show.value)} // how many more there are
	}
	var lines []string
	if f.Old != "" {
		lines = append(lines, "- "+path+": "+visible(f.Old, p.show.value))
	}
	if f.New != "" {
		lines = append(lines, "+ "+path+": "+visible(f.New, p.show.value))
	}
	return lines
}

// waiting is what is refused for now only.
func waiting(plan agent.Plan) []agent.Violation {
	var found []agent.Violation
	for _, v := range plan.Violations {
		if v.Waits {
			found = append(found, v)
		}
	}
	return found
}

func (p *page) waits(violations []agent.Violation) {
	for n, v := range violations {
		if p.full() {
			return
		}
		if n == p.show.objects {
			p.lessObjects += len(violations) - n
			p.printf("- %s%d cannot be done yet\n", andMore(n), len(violations)-n)
			return
		}
		p.printf("- %s %s cannot be done yet: %s\n", v.Verb, code(v.Ref.String()), prose(v.Message))
	}
}
