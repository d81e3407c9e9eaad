package pull

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/report"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Bounds of how long a merge is followed: an Overlay that is not live may be mended by what comes next,
// and a version may wait days for a gate.
const (
	followOverlays = time.Hour
	followModels   = 7 * 24 * time.Hour
)

// merged begins to follow a pull request that was merged. A branch of the agent's own has done its work.
func (w *work) merged(ctx context.Context, r v1alpha1.PullRequestStatus, p forge.Pull) error {
	if err := w.decided(ctx, r.Branch); err != nil {
		return err
	}
	if len(r.Overlays)+len(r.Models) == 0 || p.MergeCommit == "" {
		w.drop(p.Number) // it makes no difference here
	} else {
		at := w.now
		if p.Updated.Before(at) && at.Sub(p.Updated) < every(w.repo) {
			at = p.Updated // the forge knows better when it was
		}
		r.State, r.Said, r.Summary = v1alpha1.PullRequestMerged, "", "merged"
		r.Merge = &v1alpha1.MergeStatus{Commit: p.MergeCommit, At: metav1.NewMicroTime(at.UTC()), Seen: metav1.NewMicroTime(w.now.UTC())}
		w.keep(r)
		w.queue.add(task{w.name(), p.Number})
	}
	if source, is := w.Repositories.Source(w.name()); !is || source.Revision.Commit != p.MergeCommit {
		w.Repositories.Look(w.name())
	}
	if r.Branch == "" {
		return nil
	}
	err := w.forge.DeleteBranch(ctx, r.Branch, p.Head.Commit)
	if isKind(err, forge.Conflict) { // somebody has pushed to it
		return nil
	}
	return err
}

// follow says what has become of a merge so far, unless it was said, and ends when there is nothing
// more to come.
func (w *work) follow(ctx context.Context, r v1alpha1.PullRequestStatus) error {
	m := report.Merge{Name: w.repo.Spec.PullRequests.Name}
	age := w.now.Sub(r.Merge.At.Time)
	for _, name := range r.Overlays {
		applied, err := w.applied(ctx, r, name)
		if err != nil {
			return err
		}
		m.Overlays = append(m.Overlays, applied)
	}
	for _, stage := range r.Models {
		promoted, err := w.promoted(ctx, stage, w.arrived(r))
		if err != nil {
			return err
		}
		m.Models = append(m.Models, promoted)
	}
	if digest := digestOf(fmt.Sprint(m)); digest != r.Said {
		if err := w.tell(ctx, r, m); err != nil {
			return err
		}
		r.Said, r.Summary = digest, m.Summary()
		w.keep(r)
	}
	open := slices.ContainsFunc(m.Overlays, func(a report.Applied) bool { return a.State != report.Success })
	open = open && age < followOverlays
	open = open || age < followModels && slices.ContainsFunc(m.Models, func(p report.Promoted) bool { return p.State == report.Pending })
	if !open {
		w.drop(int(r.Number))
	}
	return nil
}

// tell sets the statuses that are new and keeps the closing comment up to date.
func (w *work) tell(ctx context.Context, r v1alpha1.PullRequestStatus, m report.Merge) error {
	number := int(r.Number)
	w.mu.Lock()
	posted := w.table.posted[number]
	if posted == nil {
		posted = map[string]forge.Status{}
		w.table.posted[number] = posted
	}
	w.mu.Unlock()
	for _, s := range m.Statuses() {
		status := statusOf(s, "")
		if posted[s.Context] == status {
			continue
		}
		if err := w.forge.SetStatus(ctx, r.Merge.Commit, status); err != nil {
			return err
		}
		posted[s.Context] = status
	}
	return w.comment(ctx, number, mergedComment, report.Closing(m))
}

// arrived tells whether what the agent has of the Repository has the merge in it.
func (w *work) arrived(r v1alpha1.PullRequestStatus) bool {
	source, is := w.Repositories.Source(w.name())
	return is && (source.Revision.Commit == r.Merge.Commit || w.Repositories.Looked(w.name()).After(r.Merge.Seen.Time))
}

// applied is how far an Overlay is with a merge.
func (w *work) applied(ctx context.Context, r v1alpha1.PullRequestStatus, name string) (report.Applied, error) {
	namespace, short, _ := strings.Cut(name, "/")
	said := report.Applied{Overlay: short, Namespace: namespace, State: report.Pending}
	var o v1alpha1.Overlay
	err := w.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: short}, &o)
	switch {
	case apierrors.IsNotFound(err):
		said.State = report.Success // and with it goes what it had
		said.Message = "the Overlay is gone"
		return said, nil
	case err != nil:
		return said, err
	case o.Spec.Suspend:
		said.Message = "the Overlay is suspended"
		return said, nil
	case !w.arrived(r):
		return said, nil
	}
	source, _ := w.Repositories.Source(w.name())
	at, ready := w.Planner.Syncer.Reached(&o, source.Revision.String())
	condition := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ReadyCondition)
	switch {
	case !at:
	case ready:
		said.State, said.Took = report.Success, w.took(o, r)
	case condition != nil && condition.Status == metav1.ConditionFalse:
		said.State, said.Message = report.Failure, condition.Message
	}
	return said, nil
}

// took is the time from the merge to when an Overlay said that it is live.
func (w *work) took(o v1alpha1.Overlay, r v1alpha1.PullRequestStatus) time.Duration {
	for _, entry := range o.Status.History {
		if entry.Result == v1alpha1.SucceededReason && !entry.Time.Time.Before(r.Merge.At.Time.Truncate(time.Second)) {
			return entry.Time.Sub(r.Merge.At.Time)
		}
	}
	return 0
}

// promoted is how far a version is on its way into a stage.
func (w *work) promoted(ctx context.Context, stage v1alpha1.PullRequestModel, arrived bool) (report.Promoted, error) {
	said := report.Promoted{Model: stage.Name, Namespace: stage.Namespace, Stage: stage.Stage, Version: stage.Version, State: report.Pending}
	if !arrived {
		return said, nil
	}
	var m v1alpha1.Model
	err := w.Client.Get(ctx, types.NamespacedName{Namespace: stage.Namespace, Name: stage.Name}, &m)
	if apierrors.IsNotFound(err) {
		if stage.Version == "" {
			said.State = report.Success
		}
		return said, nil
	}
	if err != nil {
		return said, err
	}
	status := v1alpha1.StageStatus{}
	for _, s := range m.Status.Stages {
		if s.Name == stage.Stage {
			status = s
		}
	}
	if asked := stageOf(m, stage.Stage).Version; asked != stage.Version && m.Status.ObservedGeneration == m.Generation {
		if !w.fresh(m) {
			said.State, said.Message = report.Failure, "Git says "+cmp.Or(asked, "nothing")+" by now"
		}
		return said, nil
	}
	switch {
	case stage.Version == status.Version && (status.Phase == v1alpha1.StageServing || stage.Version == ""):
		said.State = report.Success
	case status.Phase == v1alpha1.StageHeld && status.Candidate == stage.Version:
		said.State, said.Message = report.Failure, status.Message
	case status.Candidate == stage.Version:
		if said.Traffic = status.Traffic; said.Traffic == 0 {
			said.Message = w.waitsFor(ctx, m, status)
		}
	}
	return said, nil
}

// waitsFor says which gate a version waits for, and not how it comes on, for that is told in other words
// with every minute; empty if it waits for none.
func (w *work) waitsFor(ctx context.Context, m v1alpha1.Model, s v1alpha1.StageStatus) string {
	var p v1alpha1.Promotion
	if err := w.Client.Get(ctx, types.NamespacedName{Namespace: m.Namespace, Name: s.Promotion}, &p); err != nil || p.Status.Phase != v1alpha1.PromotionGated {
		return ""
	}
	for _, f := range p.Status.Findings {
		if f.Result != v1alpha1.FindingPassed {
			return "the gate " + f.Gate + " is not passed"
		}
	}
	return ""
}

// fresh tells whether the Model may not have been applied with the merge yet.
func (w *work) fresh(m v1alpha1.Model) bool {
	var o v1alpha1.Overlay
	key := client.ObjectKey{Namespace: m.Labels[v1alpha1.OverlayNamespaceLabel], Name: m.Labels[v1alpha1.OverlayLabel]}
	if err := w.Client.Get(context.Background(), key, &o); err != nil {
		return false
	}
	source, is := w.Repositories.Source(w.name())
	if !is {
		return true
	}
	at, _ := w.Planner.Syncer.Reached(&o, source.Revision.String())
	return !at
}
