package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/gitrepo"
	"github.com/sluice-dev/sluice/agent/report"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// planTime is how long one plan may take, with the fetch.
	planTime = 5 * time.Minute
	// soon is how long a plan may take before the one that it takes the place of is marked.
	soon = 3 * time.Second
)

// The comments that are kept up to date on a pull request.
const (
	planComment   = "plan"
	mergedComment = "merged"
)

// plan plans an open pull request, and says on it what came of that, unless it was said.
func (w *work) plan(ctx context.Context, p forge.Pull, r v1alpha1.PullRequestStatus) error {
	source, fetched := w.Repositories.Source(w.name())
	if !fetched {
		return nil
	}
	if p.Head.Fork != "" && !w.repo.Spec.PullRequests.Forks {
		r.State, r.Head, r.Base, r.Summary = v1alpha1.PullRequestIgnored, p.Head.Commit, "", "it is from a fork, and spec.pullRequests.forks does not allow those"
		w.keep(r)
		return nil
	}
	done := r.Head == p.Head.Commit && r.Base == source.Revision.Commit && r.State != "" && r.State != v1alpha1.PullRequestIgnored
	before, early := w.early(p.Number)
	if done && !early {
		return w.merge(ctx, p, r)
	}
	late := w.late(ctx, source.Revision)
	if done && slices.ContainsFunc(before.Overlays, late.has) {
		return w.merge(ctx, p, r)
	}
	planned, err := w.planned(ctx, p, source.Revision)
	if err != nil {
		return err
	}
	if now, is := w.Repositories.Source(w.name()); is && now.Revision.Commit != source.Revision.Commit {
		w.queue.add(task{w.name(), p.Number}) // the base has moved on while the plan was made
	}
	said := planned.Report
	if digest := sayingOf(said); digest != r.Said || r.Head != p.Head.Commit {
		if err := w.say(ctx, p, said); err != nil {
			return err
		}
		r.Said = digest
		log.FromContext(ctx).Info("planned", "repository", w.name(), "pullRequest", p.Number, "head", p.Head.Commit, "state", said.State(), "summary", said.Summary())
	}
	r.Head, r.Base, r.State, r.Summary = p.Head.Commit, source.Revision.Commit, v1alpha1.PullRequestPlanned, said.Summary()
	if said.State() == report.Failure {
		r.State = v1alpha1.PullRequestFailed
	}
	r.Overlays, r.Models = nil, nil
	for _, name := range planned.Overlays[:min(len(planned.Overlays), mostRecords)] {
		r.Overlays = append(r.Overlays, name.String())
	}
	r.Models = planned.Models[:min(len(planned.Models), mostRecords)]
	if planned.Unclear {
		r.Base = "" // so that the next look has it planned anew
	}
	early = slices.ContainsFunc(planned.Overlays, late.has)
	w.mu.Lock()
	w.table.planned[p.Number], w.table.early[p.Number] = planned, early
	w.mu.Unlock()
	w.keep(r)
	if early && !slices.ContainsFunc(planned.Overlays, w.late(ctx, source.Revision).has) {
		w.queue.add(task{w.name(), p.Number}) // they have come while the plan was made
	}
	return w.merge(ctx, p, r)
}

// latecomers are Overlays that are not Ready at the newest revision of the branch. What they are still to do is
// in a plan that is made now as if the pull request did it: it is made anew when they are.
type latecomers map[types.NamespacedName]bool

func (l latecomers) has(name types.NamespacedName) bool { return l[name] }

// early returns the last plan of a pull request, and whether it was made before its Overlays had come.
func (w *work) early(number int) (Planned, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.table.planned[number], w.table.early[number]
}

func (w *work) late(ctx context.Context, at agent.Revision) latecomers {
	var all v1alpha1.OverlayList
	if err := w.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil // only when the agent ends
	}
	late := latecomers{}
	for n := range all.Items {
		o := &all.Items[n]
		if _, ready := w.Planner.Syncer.Reached(o, at.String()); !ready && o.RepositoryName() == w.name() && !o.Spec.Suspend {
			late[client.ObjectKeyFromObject(o)] = true
		}
	}
	return late
}

// planned makes the plan. If that takes long, the plan that it takes the place of is marked meanwhile.
func (w *work) planned(ctx context.Context, p forge.Pull, base agent.Revision) (Planned, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	w.mu.Lock()
	before, had := w.table.planned[p.Number]
	w.mu.Unlock()
	marked := make(chan error, 1)
	timer := time.AfterFunc(soon, func() {
		var err error
		if had {
			old := before.Report
			old.NewHead, old.NewBase = moved(old.Head.Commit, p.Head.Commit), moved(old.Base.Commit, base.Commit)
			err = w.say(ctx, p, old)
		}
		marked <- err
	})
	planned, err := w.Planner.Pull(ctx, w.forge, w.Fetcher, w.repo, p, base, w.now)
	if !timer.Stop() {
		if failed := <-marked; err == nil {
			err = failed // what is said next must not be overtaken
		}
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !elsewhere(err) { // so it would be the next time
		planned = unplanned(w.repo, p, base, w.now)
		planned.Report.Trouble = &report.Problem{Message: fmt.Sprintf("to find out what it would do takes longer than %s: make it, or the Overlays that it changes, smaller", planTime)}
		return planned, nil
	}
	return planned, err
}

// elsewhere tells that an error is one of the forge or of Git, which may be well the next time.
func elsewhere(err error) bool {
	_, ofForge := errors.AsType[*forge.Error](err)
	_, ofGit := errors.AsType[*gitrepo.Error](err)
	return ofForge || ofGit
}

// unplanned is what is said of a pull request of which there is no plan.
func unplanned(repo *v1alpha1.Repository, p forge.Pull, base agent.Revision, now time.Time) Planned {
	head := agent.Revision{Name: p.Head.Name, Commit: p.Head.Commit}
	return Planned{Report: report.Report{Number: p.Number, Name: repo.Spec.PullRequests.Name, Head: head, Base: base, Time: now}}
}

func moved(from, to string) string {
	if from == to {
		return ""
	}
	return to
}

// Pull plans the merge of a pull request into the branch of a Repository: it asks the forge from where on
// it goes, fetches, merges and plans.
func (p Planner) Pull(ctx context.Context, f *forge.Forge, fetcher *Fetcher, repo *v1alpha1.Repository, asked forge.Pull, base agent.Revision, now time.Time) (Planned, error) {
	failed := unplanned(repo, asked, base, now)
	asked.Base.Commit = base.Commit // for the forge may be further
	ancestor, err := f.MergeBase(ctx, asked)
	if isKind(err, forge.NotFound) {
		failed.Report.Trouble = &report.Problem{Message: "it has no commit in common with " + base.Name + ": begin its branch from there"}
		return failed, nil
	}
	if err != nil {
		return Planned{}, err
	}
	dir, merged, err := fetcher.Merge(ctx, repo, base, asked.Head.Commit, ancestor)
	if e, is := errors.AsType[*gitrepo.Error](err); is && e.Kind == gitrepo.Conflict {
		failed.Report.Trouble = &report.Problem{Message: e.Message}
		return failed, nil
	}
	if err != nil {
		return Planned{}, fmt.Errorf("pull request %d: %w", asked.Number, err)
	}
	return p.Plan(ctx, Merge{
		Repository: client.ObjectKeyFromObject(repo), Number: asked.Number, Name: failed.Report.Name, Dir: dir, Base: base, Head: failed.Report.Head, Merge: merged.Revision,
	}, now)
}

// say sets the status of the head and keeps the comment up to date.
func (w *work) say(ctx context.Context, p forge.Pull, r report.Report) error {
	if err := w.forge.SetStatus(ctx, p.Head.Commit, statusOf(r.Status(), p.URL)); err != nil {
		return err
	}
	return w.comment(ctx, p.Number, planComment, report.Markdown(r, w.room(planComment)))
}

func statusOf(s report.Status, url string) forge.Status {
	return forge.Status{Context: s.Context, State: forge.State(s.State), Description: s.Summary, URL: url}
}

// comment keeps one of our comments up to date.
func (w *work) comment(ctx context.Context, number int, kind, text string) error {
	return w.forge.Comment(ctx, number, w.marker(kind), text)
}

// marker tells the comments of this agent from those of others.
func (w *work) marker(kind string) string {
	if name := w.repo.Spec.PullRequests.Name; name != "" {
		return name + "/" + kind
	}
	return kind
}

// room is how long a comment may be beside its marker, in bytes.
func (w *work) room(kind string) int { return w.forge.MaxBody() - len(w.marker(kind)) - 64 }

// sayingOf is a digest of what a report says, but for when it was made and for which base.
func sayingOf(r report.Report) string {
	r.Time, r.Base = time.Time{}, agent.Revision{}
	return digestOf(string(r.State()), r.Summary(), report.Markdown(r, 1<<20))
}

func digestOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d %s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func isKind(err error, kind forge.Kind) bool {
	e, is := errors.AsType[*forge.Error](err)
	return is && e.Kind == kind
}

func equal(a, b []v1alpha1.PullRequestStatus) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}
