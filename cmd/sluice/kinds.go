package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is one of Sluice's kinds as the command line knows it.
type kind struct {
	name    string   // as in manifests
	plural  string   // as in the API
	aliases []string // further words for it
	object  func() client.Object
	list    func() client.ObjectList
	columns []column
	// suspends: it has spec.suspend.
	suspends bool
	// syncs: a request to reconcile it has the agent look at it, and does no more than that.
	syncs bool
	// parts has an object shown in several lines, each made from one of the parts; nil for one line.
	parts func(client.Object) []client.Object
}

// column is one column of a table of objects.
type column struct {
	title string
	wide  bool // shown with -o wide only
	// restless columns change by themselves; a watch does not print a line for them.
	restless bool
	cell     func(o client.Object, now time.Time) string
}

// kinds lists the kinds that can be asked for.
var kinds = []kind{
	{
		name: v1alpha1.OverlayKind, plural: "overlays", aliases: []string{"overlay", "ov"},
		object:   func() client.Object { return &v1alpha1.Overlay{} },
		list:     func() client.ObjectList { return &v1alpha1.OverlayList{} },
		suspends: true, syncs: true,
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "READY", cell: readyCell},
			{title: "HEALTHY", cell: overlayCell(healthyCell)},
			{title: "REVISION", cell: overlayCell(func(o *v1alpha1.Overlay) string { return agent.Short(o.Status.Revision) })},
			{title: "SINCE", restless: true, cell: sinceCell},
			{title: "DRIFTED", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return fmt.Sprint(o.Status.Objects.Drifted) })},
			{title: "REPOSITORY", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return o.Spec.RepositoryRef.Name })},
			{title: "PATH", wide: true, cell: overlayCell(func(o *v1alpha1.Overlay) string { return o.Spec.Path })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
	{
		name: v1alpha1.RepositoryKind, plural: "repositories", aliases: []string{"repository", "repos", "repo"},
		object:   func() client.Object { return &v1alpha1.Repository{} },
		list:     func() client.ObjectList { return &v1alpha1.RepositoryList{} },
		suspends: true, syncs: true,
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "READY", cell: readyCell},
			{title: "REVISION", cell: repositoryCell(func(r *v1alpha1.Repository) string { return agent.Short(r.Status.Revision) })},
			{title: "SYNCED", cell: repositoryCell(func(r *v1alpha1.Repository) string { return agent.Short(r.Status.SyncedRevision) })},
			{title: "SINCE", restless: true, cell: sinceCell},
			{title: "URL", wide: true, cell: repositoryCell(func(r *v1alpha1.Repository) string { return r.Spec.URL })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
	{
		name: v1alpha1.ModelKind, plural: "models", aliases: []string{"model"},
		object:   func() client.Object { return &v1alpha1.Model{} },
		list:     func() client.ObjectList { return &v1alpha1.ModelList{} },
		suspends: true, syncs: true,
		parts: stagesOf,
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "STAGE", cell: stageCell(func(s v1alpha1.StageStatus) string { return s.Name })},
			{title: "VERSION", cell: stageCell(func(s v1alpha1.StageStatus) string { return cmp.Or(s.Version, "-") })},
			{title: "PHASE", cell: func(o client.Object, _ time.Time) string {
				if suspended(o) {
					return "Suspended"
				}
				return string(stageOf(o).Phase)
			}},
			{title: "CANDIDATE", cell: stageCell(candidateCell)},
			{title: "SINCE", restless: true, cell: func(o client.Object, now time.Time) string {
				if s := stageOf(o); s.Since != nil {
					return age(*s.Since, now)
				}
				return "-"
			}},
			{title: "METRIC", cell: stageCell(func(s v1alpha1.StageStatus) string { return cmp.Or(s.Metric, "-") })},
			{title: "NAMESPACE", wide: true, cell: stageCell(func(s v1alpha1.StageStatus) string { return s.Namespace })},
			{title: "URL", wide: true, cell: stageCell(func(s v1alpha1.StageStatus) string { return s.URL })},
			{title: "PROMOTION", wide: true, cell: stageCell(func(s v1alpha1.StageStatus) string { return s.Promotion })},
			{title: "MESSAGE", cell: stageCell(func(s v1alpha1.StageStatus) string { return s.Message })},
		},
	},
	{
		name: v1alpha1.ModelVersionKind, plural: "modelversions", aliases: []string{"modelversion", "mv"},
		object: func() client.Object { return &v1alpha1.ModelVersion{} },
		list:   func() client.ObjectList { return &v1alpha1.ModelVersionList{} },
		syncs:  true,
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "MODEL", cell: versionCell(func(v *v1alpha1.ModelVersion) string { return v.Spec.Model })},
			{title: "VERSION", cell: versionCell(func(v *v1alpha1.ModelVersion) string { return v.Spec.Version })},
			{title: "READY", cell: readyCell},
			{title: "SINCE", restless: true, cell: sinceCell},
			{title: "URI", wide: true, cell: versionCell(func(v *v1alpha1.ModelVersion) string { return v.Spec.Artifact.URI })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
	{
		name: v1alpha1.PromotionKind, plural: "promotions", aliases: []string{"promotion", "promo"},
		object: func() client.Object { return &v1alpha1.Promotion{} },
		list:   func() client.ObjectList { return &v1alpha1.PromotionList{} },
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "STAGE", cell: promotionCell(func(p *v1alpha1.Promotion) string { return p.Spec.Stage })},
			{title: "FROM", cell: promotionCell(func(p *v1alpha1.Promotion) string { return cmp.Or(p.Spec.From, "-") })},
			{title: "VERSION", cell: promotionCell(func(p *v1alpha1.Promotion) string { return p.Spec.Version })},
			{title: "PHASE", cell: promotionCell(func(p *v1alpha1.Promotion) string { return string(p.Status.Phase) })},
			{title: "TRAFFIC", cell: promotionCell(func(p *v1alpha1.Promotion) string { return fmt.Sprintf("%d %%", p.Status.Traffic) })},
			{title: "SINCE", restless: true, cell: func(o client.Object, now time.Time) string {
				if since := o.(*v1alpha1.Promotion).Status.PhaseSince; since != nil {
					return age(metav1.NewTime(since.Time), now)
				}
				return "-"
			}},
			{title: "REVISION", wide: true, cell: promotionCell(func(p *v1alpha1.Promotion) string { return agent.Short(p.Spec.Revision) })},
			{title: "MESSAGE", cell: promotionCell(func(p *v1alpha1.Promotion) string { return p.Status.Message })},
		},
	},
	{
		name: v1alpha1.PipelineKind, plural: "pipelines", aliases: []string{"pipeline"},
		object: func() client.Object { return &v1alpha1.Pipeline{} },
		list:   func() client.ObjectList { return &v1alpha1.PipelineList{} },
		syncs:  true,
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "READY", cell: readyCell},
			{title: "VERSION", cell: pipelineCell(func(p *v1alpha1.Pipeline) string { return cmp.Or(p.Status.Version, "-") })},
			{title: "REVISION", cell: pipelineCell(func(p *v1alpha1.Pipeline) string { return cmp.Or(agent.Short(p.Status.Revision), "-") })},
			{title: "PIPELINE", wide: true, cell: pipelineCell(func(p *v1alpha1.Pipeline) string { return cmp.Or(p.Spec.KFP.Name, p.Name) })},
			{title: "ID", wide: true, cell: pipelineCell(func(p *v1alpha1.Pipeline) string { return cmp.Or(p.Status.PipelineID, "-") })},
			{title: "MESSAGE", cell: messageCell},
		},
	},
	{
		name: v1alpha1.RetrainingKind, plural: "retrainings", aliases: []string{"retraining", "retrain"},
		object:   func() client.Object { return &v1alpha1.Retraining{} },
		list:     func() client.ObjectList { return &v1alpha1.RetrainingList{} },
		suspends: true, // and a request to reconcile it starts a run
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "MODEL", cell: retrainingCell(func(r *v1alpha1.Retraining) string { return r.Spec.Model })},
			{title: "READY", cell: readyCell},
			{title: "HEALTHY", cell: retrainingCell(func(r *v1alpha1.Retraining) string { return statusOf(r, v1alpha1.HealthyCondition) })},
			{title: "LAST", cell: lastCell},
			{title: "NEXT", restless: true, cell: nextCell},
			{title: "STREAK", cell: retrainingCell(streakCell)},
			{title: "ACTIVE", cell: retrainingCell(func(r *v1alpha1.Retraining) string { return fmt.Sprint(len(r.Status.Active)) })},
			{title: "MISSED", wide: true, cell: retrainingCell(func(r *v1alpha1.Retraining) string { return fmt.Sprint(r.Status.Missed) })},
			{title: "SCHEDULES", wide: true, cell: retrainingCell(schedulesCell)},
			{title: "MESSAGE", cell: retrainingMessage},
		},
	},
	{
		name: v1alpha1.RetrainingRunKind, plural: "retrainingruns", aliases: []string{"retrainingrun", "runs", "run", "rtr"},
		object: func() client.Object { return &v1alpha1.RetrainingRun{} },
		list:   func() client.ObjectList { return &v1alpha1.RetrainingRunList{} },
		columns: []column{
			{title: "NAME", cell: nameCell},
			{title: "RETRAINING", cell: runCell(func(r *v1alpha1.RetrainingRun) string { return r.Spec.Retraining })},
			{title: "SLOT", cell: runCell(func(r *v1alpha1.RetrainingRun) string { return utc(r.Spec.Slot.Time) })},
			{title: "TRIGGER", cell: runCell(func(r *v1alpha1.RetrainingRun) string { return string(r.Spec.Trigger.Kind) })},
			{title: "PHASE", cell: runCell(func(r *v1alpha1.RetrainingRun) string { return string(phaseOf(r)) })},
			{title: "VERSION", cell: runCell(runVersion)},
			{title: "DURATION", restless: true, cell: func(o client.Object, now time.Time) string {
				status := o.(*v1alpha1.RetrainingRun).Status
				return took(status.StartedAt, status.EndedAt, now)
			}},
			{title: "ATTEMPTS", wide: true, cell: runCell(func(r *v1alpha1.RetrainingRun) string { return fmt.Sprint(len(r.Status.Attempts)) })},
			{title: "URL", wide: true, cell: runCell(func(r *v1alpha1.RetrainingRun) string { return cmp.Or(newestAttempt(r).URL, "-") })},
			{title: "MESSAGE", cell: runCell(runMessage)},
		},
	},
}

// pullRequests are no kind of their own: they are listed out of the status of their Repositories.
var pullRequests = kind{
	name: v1alpha1.RepositoryKind, plural: "pullrequests", aliases: []string{"pullrequest", "pulls", "prs", "pr"},
	object: func() client.Object { return &v1alpha1.Repository{} },
	list:   func() client.ObjectList { return &v1alpha1.RepositoryList{} },
	parts:  pullsOf,
	columns: []column{
		{title: "REPOSITORY", cell: nameCell},
		{title: "NUMBER", cell: pullCell(func(p v1alpha1.PullRequestStatus) string { return fmt.Sprint(p.Number) })},
		{title: "STATE", cell: pullCell(func(p v1alpha1.PullRequestStatus) string { return cmp.Or(string(p.State), "Unknown") })},
		{title: "HEAD", cell: pullCell(func(p v1alpha1.PullRequestStatus) string { return cmp.Or(p.Head[:min(len(p.Head), 7)], "-") })},
		{title: "OVERLAYS", wide: true, cell: pullCell(func(p v1alpha1.PullRequestStatus) string { return cmp.Or(strings.Join(p.Overlays, ","), "-") })},
		{title: "BRANCH", wide: true, cell: pullCell(func(p v1alpha1.PullRequestStatus) string { return cmp.Or(p.Branch, "-") })},
		{title: "SUMMARY", cell: pullCell(func(p v1alpha1.PullRequestStatus) string {
			return cmp.Or(p.Summary, "the agent has not planned it yet")
		})},
	},
}

// pullsOf takes a Repository apart into its pull requests.
func pullsOf(o client.Object) []client.Object {
	r := o.(*v1alpha1.Repository)
	var parts []client.Object
	for _, p := range r.Status.PullRequests {
		part := *r
		part.Status.PullRequests = []v1alpha1.PullRequestStatus{p}
		parts = append(parts, &part)
	}
	return parts
}

func pullCell(cell func(v1alpha1.PullRequestStatus) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string {
		return cell(o.(*v1alpha1.Repository).Status.PullRequests[0])
	}
}

// stagesOf takes a Model apart into its stages.
func stagesOf(o client.Object) []client.Object {
	m := o.(*v1alpha1.Model)
	if len(m.Status.Stages) == 0 {
		return []client.Object{m}
	}
	var parts []client.Object
	for _, s := range m.Status.Stages {
		part := *m
		part.Status.Stages = []v1alpha1.StageStatus{s}
		parts = append(parts, &part)
	}
	return parts
}

// stageOf is the stage of a part of a Model.
func stageOf(o client.Object) v1alpha1.StageStatus {
	if m := o.(*v1alpha1.Model); len(m.Status.Stages) > 0 {
		return m.Status.Stages[0]
	}
	return v1alpha1.StageStatus{Name: "-", Phase: "Unknown", Message: messageCell(o, time.Time{})}
}

func candidateCell(s v1alpha1.StageStatus) string {
	if s.Candidate == "" {
		return "-"
	}
	return fmt.Sprintf("%s at %d %%", s.Candidate, s.Traffic)
}

func stageCell(cell func(v1alpha1.StageStatus) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(stageOf(o)) }
}

func versionCell(cell func(*v1alpha1.ModelVersion) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.ModelVersion)) }
}

func promotionCell(cell func(*v1alpha1.Promotion) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Promotion)) }
}

// parseListed finds what can be listed by any of its names.
func parseListed(word string) (kind, error) {
	if word == pullRequests.plural || slices.Contains(pullRequests.aliases, word) {
		return pullRequests, nil
	}
	k, err := parseKind(word)
	if err != nil {
		err = fmt.Errorf("there is no kind %q: use %s", word, listed())
	}
	return k, err
}

// parseKind finds a kind by any of its names.
func parseKind(word string) (kind, error) {
	for _, k := range kinds {
		if word == k.plural || slices.Contains(k.aliases, word) || strings.EqualFold(word, k.name) {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("there is no kind %q: use %s", word, choice(plurals()))
}

// listed is a choice of all that can be listed.
func listed() string { return choice(append(plurals(), pullRequests.plural)) }

func plurals() []string {
	var words []string
	for _, k := range kinds {
		words = append(words, k.plural)
	}
	return words
}

// choice is "a, b or c".
func choice(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// kindOf returns a kind by its name in manifests.
func kindOf(name string) kind {
	k, _ := parseKind(name)
	return k
}

func overlayCell(cell func(*v1alpha1.Overlay) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Overlay)) }
}

func repositoryCell(cell func(*v1alpha1.Repository) string) func(client.Object, time.Time) string {
	return func(o client.Object, _ time.Time) string { return cell(o.(*v1alpha1.Repository)) }
}

func nameCell(o client.Object, _ time.Time) string { return o.GetName() }

// readyCell is the status of the Ready condition, or why there is none to expect.
func readyCell(o client.Object, _ time.Time) string {
	ready := readyOf(o)
	switch {
	case !o.GetDeletionTimestamp().IsZero():
		return "Deleting"
	case suspended(o):
		return "Suspended"
	case ready == nil:
		return "Unknown"
	}
	return string(ready.Status)
}

func healthyCell(o *v1alpha1.Overlay) string {
	return fmt.Sprintf("%d/%d", o.Status.Objects.Healthy, o.Status.Objects.Total)
}

// sinceCell is how long ago the last result came.
func sinceCell(o client.Object, now time.Time) string {
	at := metav1.Time{}
	if ready := readyOf(o); ready != nil {
		at = ready.LastTransitionTime
	}
	if overlay, ok := o.(*v1alpha1.Overlay); ok && len(overlay.Status.History) > 0 && at.Before(&overlay.Status.History[0].Time) {
		at = overlay.Status.History[0].Time
	}
	return age(at, now)
}

// messageCell is what the agent says, or the note of whoever suspended the object.
func messageCell(o client.Object, _ time.Time) string {
	if note := o.GetAnnotations()[v1alpha1.NoteAnnotation]; suspended(o) && note != "" {
		return note
	}
	if ready := readyOf(o); ready != nil {
		return ready.Message
	}
	return "the agent has not looked at it yet"
}

func suspended(o client.Object) bool {
	switch o := o.(type) {
	case *v1alpha1.Overlay:
		return o.Spec.Suspend
	case *v1alpha1.Model:
		return o.Spec.Suspend
	case *v1alpha1.Repository:
		return o.Spec.Suspend
	case *v1alpha1.Retraining:
		return o.Spec.Suspend
	}
	return false
}

func readyOf(o client.Object) *metav1.Condition { return condition(o, v1alpha1.ReadyCondition) }

func condition(o client.Object, name string) *metav1.Condition {
	return apimeta.FindStatusCondition(o.(interface{ GetConditions() []metav1.Condition }).GetConditions(), name)
}
