package pull

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/manifest"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/report"
	"github.com/sluice-dev/sluice/agent/sync"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Planner plans merges.
type Planner struct {
	Syncer *sync.Syncer
	// Reader has Overlays, Models and all that their gates ask for.
	Reader client.Reader
	// Account is the one as which the changes of an Overlay are read and tried.
	Account func(*v1alpha1.Overlay) cluster.Account
}

// Merge is what is planned: the commit that a merge would come to.
type Merge struct {
	Repository types.NamespacedName
	// Number and Name as in report.Report.
	Number int
	Name   string
	// Dir of the mirror or clone that has Base, the branch as it is, and Merge, what it would be: the work
	// tree of a clone if that has no commit. Head is what is merged.
	Dir               string
	Base, Head, Merge agent.Revision
}

// Planned is what a merge would do.
type Planned struct {
	Report report.Report
	// Overlays that it makes a difference to, and the stages of Models.
	Overlays []types.NamespacedName
	Models   []v1alpha1.PullRequestModel
	// Unclear tells that something could not be found out for a reason that is not in Git: a right is
	// missing, or something does not answer.
	Unclear bool
}

// Plan says what a merge would do. What cannot be planned is a part of the report; an error is that of
// ctx, of the cluster's API server, or of a mirror that does not have the commits.
func (p Planner) Plan(ctx context.Context, m Merge, now time.Time) (Planned, error) {
	planned := Planned{Report: report.Report{Number: m.Number, Name: m.Name, Head: m.Head, Base: m.Base, Time: now}}
	var all v1alpha1.OverlayList
	if err := p.Reader.List(ctx, &all); err != nil {
		return planned, err
	}
	own := slices.DeleteFunc(slices.Clone(all.Items), func(o v1alpha1.Overlay) bool {
		return o.RepositoryName() != m.Repository || !o.DeletionTimestamp.IsZero()
	})
	base, merged := sync.Source{Dir: m.Dir, Revision: m.Base}, sync.Source{Dir: m.Dir, Revision: m.Merge}
	affected, err := p.Syncer.Affected(ctx, own, base, merged)
	if err != nil {
		return planned, err
	}
	before, done, err := gitrepo.OpenFiles(m.Dir, m.Base.Commit)
	if err != nil {
		return planned, err
	}
	defer done()
	tree, done, err := gitrepo.OpenFiles(m.Dir, m.Merge.Commit)
	if err != nil {
		return planned, err
	}
	defer done()
	planned.Report.Unaffected = len(own) - len(affected)
	var changes []agent.Change
	for _, o := range affected {
		preview, err := p.Syncer.Preview(ctx, p.Account(o), o, all.Items, merged, now)
		if ctx.Err() != nil {
			return planned, err
		}
		planned.Overlays = append(planned.Overlays, client.ObjectKeyFromObject(o))
		at := places{tree, preview.Set, preview.Trace.Changed(before)}
		planned.Report.Overlays = append(planned.Report.Overlays, p.overlay(o, own, preview, err, at))
		planned.Unclear = planned.Unclear || unclear(preview, err)
		changes = append(changes, preview.Plan.Changes...)
	}
	planned.Report.Models, planned.Models, err = p.models(ctx, changes, now)
	return planned, err
}

// overlay is what is said of one Overlay.
func (p Planner) overlay(o *v1alpha1.Overlay, own []v1alpha1.Overlay, preview sync.Preview, err error, at places) report.Overlay {
	said := report.Overlay{Name: shown(o, own), Path: o.Spec.Path, Plan: preview.Plan}
	said.Plan.Changes = slices.Clone(preview.Plan.Changes)
	for n := range said.Plan.Changes {
		said.Plan.Changes[n].Object = agent.Object{} // a report is kept for as long as the pull request is open
	}
	if o.Spec.Suspend {
		said.Name += " (suspended)"
	}
	if err != nil {
		said.Trouble = trouble(err)
		return said
	}
	said.Plan.Violations = nil
	for _, v := range preview.Plan.Violations {
		if v.Waits && !v.Unread {
			said.Plan.Violations = append(said.Plan.Violations, v)
			continue
		}
		said.Violations = append(said.Violations, at.problem(v))
	}
	return said
}

// shown is the name of an Overlay, with the namespace where others have the same.
func shown(o *v1alpha1.Overlay, own []v1alpha1.Overlay) string {
	alike := func(other v1alpha1.Overlay) bool { return other.Name == o.Name && other.Namespace != o.Namespace }
	if slices.ContainsFunc(own, alike) {
		return o.Namespace + "/" + o.Name
	}
	return o.Name
}

// trouble is why an Overlay cannot be planned.
func trouble(err error) *report.Problem {
	if e, is := errors.AsType[*render.Error](err); is {
		return &report.Problem{File: e.File, Line: e.Line, Ref: e.Ref, Message: e.Message}
	}
	return &report.Problem{Message: err.Error()}
}

// unclear tells that something of an Overlay could not be found out for a reason that is not in Git.
func unclear(preview sync.Preview, err error) bool {
	if err != nil {
		e, is := errors.AsType[*render.Error](err)
		return !is || e.Kind == render.Crashed || e.Kind == render.Unavailable
	}
	return slices.ContainsFunc(preview.Plan.Violations, func(v agent.Violation) bool { return v.Unread })
}

// places knows in which files objects are.
type places struct {
	tree    agent.Tree
	set     agent.Set
	changed []string
}

// mostRead is how many of the changed files are read to find an object in them.
const mostRead = 100

// of returns the file of an object and the line in it: where the pull request changes it, or else where
// it is declared.
func (p places) of(ref agent.Ref) (file string, line int) {
	object, _ := p.set.Find(ref)
	candidates := p.changed[:min(len(p.changed), mostRead)]
	if object.Origin != "" {
		candidates = append(slices.Clone(candidates), object.Origin)
	}
	for _, file := range candidates {
		content, err := p.tree.ReadFile(file)
		if err != nil {
			continue
		}
		if line := manifest.Line(content, ref); line > 0 {
			return file, line
		}
	}
	return object.Origin, 0
}

// judgements are the words of admission: the policy, and what it says.
var judgements = []*regexp.Regexp{
	regexp.MustCompile(`(?s)ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)`),
	regexp.MustCompile(`(?s)admission webhook "([^"]+)" denied the request: (.*)`),
}

// problem is a change that is refused.
func (p places) problem(v agent.Violation) report.Problem {
	said := report.Problem{Ref: v.Ref, Message: v.Message}
	said.File, said.Line = p.of(v.Ref)
	for _, words := range judgements {
		if found := words.FindStringSubmatch(v.Message); found != nil {
			said.Policy, said.Message = found[1], found[2]
		}
	}
	return said
}
