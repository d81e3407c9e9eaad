package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/promotion"
	"github.com/sluice-dev/sluice/agent/report"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	modelKind   = schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelKind}
	versionKind = schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: v1alpha1.ModelVersionKind}
)

// models are the stages that some changes of objects give another version.
func (p Planner) models(ctx context.Context, changes []agent.Change, now time.Time) (said []report.Model, stages []v1alpha1.PullRequestModel, err error) {
	for _, c := range changes {
		if c.Ref.GroupKind() != modelKind || c.Verb == agent.Keep || c.Verb == agent.Forget {
			continue
		}
		m := modelChange{planner: p, changes: changes, now: now}
		if c.Verb != agent.Delete && json.Unmarshal(c.Object.JSON, &m.after) != nil {
			continue // the API server refuses it, which the plan says
		}
		if err := m.read(ctx, c); err != nil {
			return nil, nil, err
		}
		for _, stage := range m.stages() {
			one, err := m.say(ctx, stage)
			if err != nil {
				return nil, nil, err
			}
			said = append(said, one)
			stages = append(stages, v1alpha1.PullRequestModel{Namespace: c.Ref.Namespace, Name: c.Ref.Name, Stage: stage.Name, Version: stage.Version})
		}
	}
	return said, stages, nil
}

// modelChange is one Model before and after the merge.
type modelChange struct {
	planner       Planner
	changes       []agent.Change
	now           time.Time
	before, after v1alpha1.Model // the zero Model for none

	versions   []v1alpha1.ModelVersion // as they are after the merge
	promotions []v1alpha1.Promotion
}

// read reads a Model as it is and as it would be.
func (m *modelChange) read(ctx context.Context, c agent.Change) error {
	reader := m.planner.Reader
	key := client.ObjectKey{Namespace: c.Ref.Namespace, Name: c.Ref.Name}
	if err := reader.Get(ctx, key, &m.before); client.IgnoreNotFound(err) != nil {
		return err
	}
	if err := m.relatives(ctx); err != nil {
		return err
	}
	for _, c := range m.changes {
		if c.Ref.GroupKind() == versionKind && c.Ref.Namespace == key.Namespace {
			m.take(c, key.Name)
		}
	}
	return nil
}

// relatives reads the ModelVersions and the Promotions of a Model as they are.
func (m *modelChange) relatives(ctx context.Context) error {
	name, namespace, reader := m.name(), m.namespace(), m.planner.Reader
	var versions v1alpha1.ModelVersionList
	if err := reader.List(ctx, &versions, client.InNamespace(namespace)); err != nil {
		return err
	}
	m.versions = slices.DeleteFunc(versions.Items, func(v v1alpha1.ModelVersion) bool { return v.Spec.Model != name })
	var promotions v1alpha1.PromotionList
	err := reader.List(ctx, &promotions, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ModelLabel: name})
	m.promotions = promotions.Items
	return err
}

// take takes in what the merge does to a ModelVersion.
func (m *modelChange) take(c agent.Change, model string) {
	var v v1alpha1.ModelVersion
	if c.Verb != agent.Delete && (len(c.Object.JSON) == 0 || json.Unmarshal(c.Object.JSON, &v) != nil || v.Spec.Model != model) {
		return
	}
	at := slices.IndexFunc(m.versions, func(o v1alpha1.ModelVersion) bool { return o.Name == c.Ref.Name })
	switch {
	case c.Verb == agent.Delete && at >= 0:
		m.versions = slices.Delete(m.versions, at, at+1)
	case c.Verb == agent.Delete:
	case at < 0:
		v.CreationTimestamp = metav1.NewTime(m.now) // it has no age yet
		m.versions = append(m.versions, v)
	default:
		v.Status, v.CreationTimestamp = m.versions[at].Status, m.versions[at].CreationTimestamp
		m.versions[at] = v
	}
}

// stages are those that get another version. One that goes gets none.
func (m *modelChange) stages() []v1alpha1.Stage {
	var changed []v1alpha1.Stage
	for _, s := range m.after.Spec.Stages {
		if was := stageOf(m.before, s.Name); was.Version != s.Version {
			changed = append(changed, s)
		}
	}
	for _, s := range m.before.Spec.Stages {
		if stageOf(m.after, s.Name).Name == "" && s.Version != "" {
			changed = append(changed, v1alpha1.Stage{Name: s.Name})
		}
	}
	return changed
}

func stageOf(m v1alpha1.Model, name string) v1alpha1.Stage {
	for _, s := range m.Spec.Stages {
		if s.Name == name {
			return s
		}
	}
	return v1alpha1.Stage{}
}

// serves is the version that serves in a stage now.
func (m *modelChange) serves(stage string) string {
	for _, s := range m.before.Status.Stages {
		if s.Name == stage {
			return s.Version
		}
	}
	return ""
}

// say says what becomes of one stage.
func (m *modelChange) say(ctx context.Context, stage v1alpha1.Stage) (report.Model, error) {
	said := report.Model{Name: m.name(), Stage: stage.Name, From: m.version(m.serves(stage.Name)), To: m.version(stage.Version)}
	if stage.Version == "" {
		return said, nil
	}
	if !slices.ContainsFunc(m.versions, func(v v1alpha1.ModelVersion) bool { return v.Spec.Version == stage.Version }) {
		said.Trouble = &report.Problem{Message: fmt.Sprintf("there is no ModelVersion %s of model %s in namespace %s: add it to the pull request, or name another", stage.Version, m.name(), m.namespace())}
		return said, nil
	}
	if !m.returns(stage) {
		said.Canary = stage.Rollout.Canary
	}
	findings, err := m.findings(ctx, stage)
	if err != nil {
		return said, err
	}
	said.Findings = findings
	return said, nil
}

func (m *modelChange) name() string      { return cmp.Or(m.after.Name, m.before.Name) }
func (m *modelChange) namespace() string { return cmp.Or(m.after.Namespace, m.before.Namespace) }

// returns tells whether a version has served in the stage before, so that it gets all traffic at once.
func (m *modelChange) returns(stage v1alpha1.Stage) bool {
	return promotion.Ahead{Promotions: m.promotions}.Returns(stage, stage.Version)
}

// findings of the gates that need no commit. PromotionPolicies are found by the labels that the Model
// has after the merge, and by those that it has now: a pull request does not choose who judges it.
func (m *modelChange) findings(ctx context.Context, stage v1alpha1.Stage) ([]v1alpha1.Finding, error) {
	var policies v1alpha1.PromotionPolicyList
	if err := m.planner.Reader.List(ctx, &policies); err != nil {
		return nil, err
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := m.planner.Reader.Get(ctx, client.ObjectKey{Name: m.namespace()}, namespace); err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	var found []v1alpha1.Finding
	for _, labels := range []map[string]string{m.after.Labels, m.before.Labels} {
		model := m.after.DeepCopy()
		model.Labels, model.Status = labels, m.before.Status
		ahead := promotion.Ahead{Model: model, Namespace: namespace.Labels, Versions: m.versions, Policies: policies.Items, Promotions: m.promotions}
		findings, err := ahead.Check(stage.Name, stage.Version, m.now)
		if err != nil {
			return nil, err
		}
		for _, f := range findings {
			if !slices.ContainsFunc(found, func(o v1alpha1.Finding) bool { return o.Gate == f.Gate && o.Policy == f.Policy }) {
				found = append(found, f)
			}
		}
	}
	return found, nil
}

// version is what is known of a version; its name alone if there is no ModelVersion.
func (m *modelChange) version(name string) report.Version {
	for _, v := range m.versions {
		if v.Spec.Version != name {
			continue
		}
		known := report.Version{Name: name, Metrics: v.Spec.MetricTexts(), Digest: v.Spec.Artifact.Digest, Format: v.Spec.Format, Lineage: v.Spec.Lineage}
		if v.Spec.Artifact.Size != nil {
			known.Size = *v.Spec.Artifact.Size
		}
		if seen := v.Status.Artifact; seen != nil && seen.Verified {
			known.Digest, known.Size = seen.Digest, seen.Size
		}
		return known
	}
	return report.Version{Name: name}
}

// proposal is what is said of a version that a Model proposes, or a run.
func (p Planner) proposal(ctx context.Context, i wish, now time.Time) (report.Proposal, error) {
	if i.run != nil {
		return p.retrained(ctx, i, now)
	}
	m := modelChange{planner: p, now: now, before: *i.model, after: *i.model}
	if err := m.relatives(ctx); err != nil {
		return report.Proposal{}, err
	}
	said := report.Proposal{Branch: i.branch, Commit: i.commit, Auto: i.stage.Merge == v1alpha1.MergeAuto}
	said.Model = report.Model{Name: i.model.Name, Stage: i.stage.Name, From: m.version(m.serves(i.stage.Name)), To: m.version(i.version), Findings: i.findings}
	if r := i.reverts; r != nil {
		said.Auto = false
		said.Model.From, said.Model.To = m.version(r.Spec.From), m.version(r.Spec.Version)
		said.Revert = &report.Revert{Promotion: r.Namespace + "/" + r.Name, Message: r.Status.Message, Traffic: turnedBackAt(*r, i.stage), Checks: r.Status.Analyses}
		if r.Status.EndedAt != nil {
			said.Revert.At = r.Status.EndedAt.Time
		}
		return said, nil
	}
	stage := i.stage
	stage.Version = i.version
	if !m.returns(stage) {
		said.Model.Canary = stage.Rollout.Canary
	}
	for _, s := range i.model.Status.Stages {
		if s.Name == i.stage.PromoteFrom && s.Version == i.version && s.Since != nil {
			said.Soak = &report.Soak{Stage: s.Name, Since: s.Since.Time}
		}
	}
	return said, nil
}

// turnedBackAt is the traffic that a version had when it was turned back: that of the step it was in.
func turnedBackAt(p v1alpha1.Promotion, stage v1alpha1.Stage) int32 {
	if steps := stage.Rollout.Canary; p.Status.LiveAt != nil && int(p.Status.Step) < len(steps) {
		return steps[p.Status.Step].Traffic
	}
	return 0
}
