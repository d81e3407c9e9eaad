package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/expression"
	"github.com/sluice-dev/sluice/agent/plan"
)

// Proposal is a pull request that the agent opens itself: a version is to serve in a stage, or, with
// Revert, Git is to say what serves after a version was turned back, or, with Retrained, a run has made
// a version.
//
// What it says changes only where the facts do, and not with the time: it may be written again and
// again.
type Proposal struct {
	// Name of the agent, where several report on the same pull requests; empty for most.
	Name string
	// Model with the version that is proposed, To, against the one that serves now, From. For a revert
	// To is the version that failed, and From the one that serves again. What a run has made need not have
	// a stage.
	Model Model
	// Soak is where the version has served before; nil for nowhere.
	Soak *Soak
	// Branch with the change, and the commit on it.
	Branch, Commit string
	// Auto: the agent merges it, once all gates hold that need no commit.
	Auto bool
	// Revert is what was turned back; nil for a promotion.
	Revert *Revert
	// Retrained is what has made the version; nil for one that Git has.
	Retrained *Retrained
}

// Retrained is a run that has made a version.
type Retrained struct {
	// Retraining by its name, and the Run with its namespace.
	Retraining, Run string
	// Slot for which it ran, what started it, and how long it took.
	Slot    time.Time
	Trigger v1alpha1.RunTrigger
	Took    time.Duration
	// Attempts that it took.
	Attempts int
	// Artifact is where that is which it has made: a URI.
	Artifact string
}

// Soak is a stage in which a version serves.
type Soak struct {
	Stage string
	// Since when it has had all traffic there.
	Since time.Time
}

// Revert is an attempt to have a version serve that was turned back.
type Revert struct {
	// Promotion is the record of it, as namespace/name.
	Promotion string
	// Message says why it was turned back, At when, and Traffic how much it had then, in percent.
	Message string
	At      time.Time
	Traffic int32
	// Checks that were made, with their last values.
	Checks []v1alpha1.AnalysisStatus
}

// Title of the pull request: plain text, in the words of its commit.
func (p Proposal) Title() string {
	model, stage, to := bare(p.Model.Name), bare(p.Model.Stage), bare(p.Model.To.Name)
	switch {
	case p.Retrained != nil:
		return fmt.Sprintf("%s: %s from %s", model, to, bare(p.Retrained.Retraining))
	case p.Revert == nil:
		return fmt.Sprintf("%s: promote %s to %s", model, to, stage)
	case p.Model.From.Name == "":
		return fmt.Sprintf("%s: revert %s from %s to nothing", model, stage, to)
	}
	return fmt.Sprintf("%s: revert %s from %s to %s", model, stage, to, bare(p.Model.From.Name))
}

// bare is a name for a title, in which nothing can be shown as code: what names do not have is left out.
func bare(name string) string {
	const longest = 63
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, name)
	return kept[:min(len(kept), longest)]
}

// Held says in one sentence what makes a draft of it: plain text. It is empty if nothing does, so that
// it is ready to be merged. A gate that waits does not: it may do so at the merge as well.
func (p Proposal) Held() string {
	if p.Revert != nil {
		return ""
	}
	failed := p.Model.findings(v1alpha1.FindingFailed)
	switch m := p.Model; {
	case m.Trouble != nil:
		return visible("it cannot be promoted: "+m.Trouble.text(), longestMessage)
	case len(m.Violations) > 0:
		return visible("it is not allowed: "+m.Violations[0].text(), longestMessage)
	case len(failed) == 1:
		return visible(fmt.Sprintf("the gate %s fails: %s", failed[0].Gate, oneLine(failed[0].Message)), longestMessage)
	case len(failed) > 1:
		return visible(fmt.Sprintf("%d gates fail, the first of them %s: %s", len(failed), failed[0].Gate, oneLine(failed[0].Message)), longestMessage)
	}
	return ""
}

// Markdown writes the body of the pull request in no more than limit bytes; 0 for any number.
func (p Proposal) Markdown(limit int) string {
	if limit <= 0 {
		limit = all
	}
	for _, d := range steps {
		body := page{show: d, limit: limit}
		switch {
		case p.Retrained != nil:
			body.retrained(p)
		case p.Revert != nil:
			body.revert(p)
		default:
			body.promotion(p)
		}
		if !body.full() {
			return body.String()
		}
	}
	const short = "What there is to say of it is too long for this place."
	return short[:min(limit, len(short))]
}

func (p *page) promotion(o Proposal) {
	m := o.Model
	p.printf("%s\n\n", named(o.Name, fmt.Sprintf("With this, %s of the model %s serves in %s, %s. %s", code(m.To.Name), code(m.Name), prose(m.Stage), m.place(), m.course())))
	p.held(o)
	if o.Soak != nil {
		p.printf("It has had all traffic in %s since %s.\n\n", prose(o.Soak.Stage), moment(o.Soak.Since))
	}
	p.evidence(m)
	p.commit(o)
	p.auto(o)
	p.printf("To close it without a merge is a no: %s is not proposed for %s again.\n", code(m.To.Name), prose(m.Stage))
}

func (p *page) retrained(o Proposal) {
	m, r := o.Model, o.Retrained
	what := fmt.Sprintf("A run of the retraining %s has made %s of the model %s. With this, Git has it", code(r.Retraining), code(m.To.Name), code(m.Name))
	if m.Stage == "" {
		what += "; no stage gets it by that."
	} else {
		what += fmt.Sprintf(", and it serves in %s, %s. %s", prose(m.Stage), m.place(), m.course())
	}
	p.printf("%s\n\n", named(o.Name, what))
	p.held(o)
	rows := [][]string{{"run", code(r.Run)}, {"slot", r.Slot.UTC().Format("2006-01-02 15:04:05 UTC")}, {"trigger", started(r.Trigger)}}
	if r.Took > 0 {
		took := expression.Span(r.Took)
		if r.Attempts > 1 {
			took += fmt.Sprintf(", in %d attempts", r.Attempts)
		}
		rows = append(rows, []string{"took", took})
	}
	rows = append(rows, []string{"artifact", code(plan.Masked(r.Artifact))})
	p.printf("%s\n", table(rows))
	p.evidence(m)
	p.commit(o)
	p.auto(o)
	p.printf("To close it without a merge is a no: %s is not proposed again.\n", code(m.To.Name))
}

// started says what started a run: of a schedule the expression, in which stars are stars.
func started(by v1alpha1.RunTrigger) string {
	switch {
	case by.Message == "":
		return prose(string(by.Kind))
	case by.Kind == v1alpha1.TriggerSchedule:
		return prose(string(by.Kind)) + ": " + code(by.Message)
	}
	return prose(string(by.Kind) + ": " + by.Message)
}

// place is where the version comes to serve.
func (m Model) place() string {
	if m.From.Name == "" {
		return "as the first version there"
	}
	return "in the place of " + code(m.From.Name)
}

func (p *page) held(o Proposal) {
	if held := o.Held(); held != "" {
		p.printf("**Not ready**: %s\n\n", prose(held))
	}
}

func (p *page) auto(o Proposal) {
	if o.Auto {
		p.printf("It is merged by itself, once all gates hold that need no commit. ")
	}
}

func (p *page) revert(o Proposal) {
	m, r := o.Model, o.Revert
	serves := "Nothing serves in " + prose(m.Stage)
	if m.From.Name != "" {
		serves = code(m.From.Name) + " serves in " + prose(m.Stage) + " again"
	}
	p.printf("%s\n\n", named(o.Name, fmt.Sprintf("%s, for %s of the model %s was turned back, and Git still names that. With this, Git says what serves.", serves, code(m.To.Name), code(m.Name))))
	p.printf("#### What failed\n\n")
	share := "before it had any traffic"
	if r.Traffic > 0 {
		share = fmt.Sprintf("at %d %% of the traffic", r.Traffic)
	}
	p.printf("%s, %s: %s\n\n", moment(r.At), share, prose(r.Message))
	if rows := checks(r.Checks, p.show.findings); len(rows) > 1 {
		p.printf("%s\n", table(rows))
	}
	m.Findings = nil // they are of before
	p.evidence(m)
	p.commit(o)
	if r.Promotion != "" {
		p.printf("The record of it is the Promotion %s. ", code(r.Promotion))
	}
	p.printf("%s is not tried again until Git names something else.\n", code(m.To.Name))
}

// commit says where the change is.
func (p *page) commit(o Proposal) {
	if o.Commit != "" && o.Branch != "" {
		p.printf("The change is the commit %s on the branch %s. ", linked(o.Commit), code(o.Branch))
	}
}

// whole is the full name of a commit.
var whole = regexp.MustCompile(`^[0-9a-f]{40}$`)

// linked is a commit as the forges make a link of it: its full name, in plain text.
func linked(commit string) string {
	if whole.MatchString(commit) {
		return commit
	}
	return code(short(commit))
}

// checks are the rows of what was measured, what failed first.
func checks(made []v1alpha1.AnalysisStatus, most int) [][]string {
	if most == 0 {
		return nil
	}
	rows := [][]string{{"check", "", "value", "why"}}
	for _, failed := range []bool{true, false} {
		for _, c := range made {
			if (c.Result == v1alpha1.AnalysisFailed) == failed {
				rows = append(rows, []string{prose(c.Name), outcomes[c.Result], number(c.Value), prose(c.Message)})
			}
		}
	}
	if more := len(made) - most; more > 0 {
		rows = append(rows[:1+most], []string{fmt.Sprintf("and %d more", more), "", "", ""})
	}
	return rows
}

var outcomes = map[v1alpha1.AnalysisResult]string{
	v1alpha1.AnalysisPassed: "passes", v1alpha1.AnalysisFailed: "**fails**", v1alpha1.AnalysisRunning: "goes on",
}
