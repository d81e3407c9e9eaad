package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Report is what merging a pull request would do.
type Report struct {
	// Number of the pull request; 0 if there is none yet.
	Number int
	// Name of the agent, where several report on the same pull requests; empty for most.
	Name string
	// Head is what would be merged, without a commit if that is a work tree, and Base the branch into
	// which, as it was when the plan was made.
	Head, Base agent.Revision
	// Time at which the plan was made.
	Time time.Time
	// Trouble is why there is no plan at all: the merge has conflicts, or its head cannot be fetched.
	Trouble *Problem
	// Overlays that the pull request may make a difference to.
	Overlays []Overlay
	// Unaffected is how many others there are.
	Unaffected int
	// Models whose stages would change.
	Models []Model
	// NewHead and NewBase are the commits that are there now; empty where it is still the same.
	// A report with one of them is out of date.
	NewHead, NewBase string
}

// Overlay is what would happen to one Overlay.
type Overlay struct {
	// Name as it is to be shown: with the namespace, where that is needed to tell it from others.
	Name string
	Path string
	// Cluster that it is applied to; empty for the agent's own.
	Cluster string
	// Plan is empty where there is Trouble.
	Plan agent.Plan
	// Trouble is why there is no plan: it does not render.
	Trouble *Problem
	// Violations of policies.
	Violations []Problem
}

// Problem is something that has to be put right before the merge.
type Problem struct {
	// Policy that is violated; empty if it is no matter of policy.
	Policy string
	// Ref of the object, if it is about one.
	Ref agent.Ref
	// File in the repository, and the line in it; empty and 0 if they are not known.
	File string
	Line int
	// Message says what is wrong and what to do.
	Message string
}

// Model is what would happen to one stage of a model.
type Model struct {
	Name  string
	Stage string
	// From is the version that serves: the zero Version if none does. To is the one that is asked for:
	// the zero Version if none is to serve any more.
	From, To Version
	// Findings of the gates, as things are now.
	Findings []v1alpha1.Finding
	// Canary steps on the way to all the traffic; none if it gets all at once, as a version does that
	// goes back to where it has served before.
	Canary []v1alpha1.CanaryStep
	// Trouble is why it could not be promoted at all: there is no such version.
	Trouble *Problem
	// Violations of policies that are about the model.
	Violations []Problem
}

// Version is one version of a model.
type Version struct {
	Name    string
	Metrics map[string]string // decimal numbers, as they are written
	Digest  string
	Size    int64 // bytes; 0 if it is not known
	Format  v1alpha1.ModelFormat
	Lineage v1alpha1.Lineage
}

// State of a commit status, in the words that forges use.
type State string

// States.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
)

// State of the report: it fails if something has to be put right before the merge. Gates that have
// not been passed do not fail it: they hold the version and not the merge.
func (r Report) State() State {
	switch {
	case r.stale():
		return Pending
	case len(r.problems()) > 0:
		return Failure
	}
	return Success
}

func (r Report) stale() bool { return r.NewHead != "" || r.NewBase != "" }

// Status is the commit status of the head.
func (r Report) Status() Status { return Status{context(r.Name, "plan"), r.State(), r.Summary()} }

// longestSummary is what all forges take as the description of a commit status.
const longestSummary = 140

// Summary is one sentence for the commit status: plain text, of no more than 140 characters.
func (r Report) Summary() string {
	if r.stale() {
		return r.moved() + ": the plan is being made anew"
	}
	problems := r.problems()
	switch {
	case r.Trouble != nil:
		return visible("no plan: "+r.Trouble.text(), longestSummary-1)
	case len(problems) == 0:
		return r.headline()
	}
	return visible(count(len(problems), "problem")+": "+problems[0].text(), longestSummary-1)
}

func (r Report) moved() string {
	if r.NewHead != "" {
		return "the pull request has moved on"
	}
	return "the base has moved on"
}

// headline counts what would happen: 2 overlays, 3 objects change (1 deleted), 1 model promotes.
func (r Report) headline() string {
	overlays, objects, deleted, replaced := 0, 0, 0, 0
	for _, o := range r.Overlays {
		if n := changed(o.Plan); n > 0 {
			overlays++
			objects += n
			deleted += o.Plan.Count(agent.Delete)
			replaced += o.Plan.Count(agent.Replace)
		}
	}
	var parts, loud []string
	if objects > 0 {
		if deleted > 0 {
			loud = append(loud, fmt.Sprintf("%d deleted", deleted))
		}
		if replaced > 0 {
			loud = append(loud, fmt.Sprintf("%d replaced", replaced))
		}
		part := count(objects, "object") + " " + verb(objects, "change")
		if len(loud) > 0 {
			part += " (" + strings.Join(loud, ", ") + ")"
		}
		parts = append(parts, count(overlays, "overlay"), part)
	}
	promoted, stopped, failing := 0, 0, 0
	for _, m := range r.Models {
		switch {
		case m.Trouble != nil:
		case m.To.Name == "":
			stopped++
		case m.To.Name != m.From.Name:
			promoted++
		}
		failing += len(m.findings(v1alpha1.FindingFailed))
	}
	for _, part := range []struct {
		n          int
		what, does string
	}{{promoted, "model", "promote"}, {stopped, "model", "stop"}, {failing, "gate", "fail"}} {
		if part.n > 0 {
			parts = append(parts, count(part.n, part.what)+" "+verb(part.n, part.does))
		}
	}
	if len(parts) == 0 {
		return "nothing changes"
	}
	return strings.Join(parts, ", ")
}

// changed is how many objects of the cluster would change.
func changed(p agent.Plan) int {
	return p.Count(agent.Create, agent.Update, agent.Replace, agent.Delete)
}

// verb follows on a number: 1 object changes, 2 objects change.
func verb(n int, word string) string {
	if n == 1 {
		return word + "s"
	}
	return word
}

// findings with one result.
func (m Model) findings(result v1alpha1.FindingResult) []v1alpha1.Finding {
	var found []v1alpha1.Finding
	for _, f := range m.Findings {
		if f.Result == result {
			found = append(found, f)
		}
	}
	return found
}
