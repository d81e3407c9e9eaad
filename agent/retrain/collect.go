package retrain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/engine"
	"github.com/sluice-dev/sluice/agent/result"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// grace is for how long a result may be missing: what a store lists, or a ConfigMap, may come a moment
	// after its run has ended.
	grace = 30 * time.Second
	// proposeTime is for how long a result is tried to be brought to Git: the training is paid for, and who
	// looks after Git may be back on Monday.
	proposeTime = 3 * 24 * time.Hour
	// collectTime is for how long a result is tried to be read while something does not answer.
	collectTime = time.Hour
)

// collect reads the result, and judges it.
func (g going) collect(ctx context.Context) {
	if g.status.Canceling != "" {
		g.end(v1alpha1.RunCanceled, "%s", g.status.Canceling)
		return
	}
	a, err := g.attempt(ctx)
	if err != nil {
		g.end(v1alpha1.RunFailed, "%s", err)
		return
	}
	spec, err := filled(*g.run.Spec.Result, valuesOf(g.run, a.number))
	if err != nil {
		g.end(v1alpha1.RunFailed, "spec.result: %s", err)
		return
	}
	last, of := *g.last().DeepCopy(), going{pass: g.pass, run: g.run.DeepCopy()} // for who reads it
	got, err, known := g.call("collect", a.number, func(ctx context.Context) (answer, error) {
		made, err := of.read(ctx, a, spec, last)
		return answer{result: made}, err
	})
	switch since := g.failing("collect", a.number); {
	case !known:
	case err == nil:
		g.status.Result = got.result
		g.judge(spec)
	case missing(err) && since < grace, !missing(err) && temporary(err) && since < collectTime:
		g.at(v1alpha1.RunCollecting, "the result cannot be read yet: %s", err)
	default:
		g.end(v1alpha1.RunFailed, "it succeeded, and its result cannot be used: %s", err)
	}
}

func missing(err error) bool {
	e, is := errors.AsType[*result.Error](err)
	return is && e.Missing
}

// read reads the result of an attempt, in the background.
func (g going) read(ctx context.Context, a attempt, spec v1alpha1.ResultSpec, last v1alpha1.RunAttempt) (*v1alpha1.RunResult, error) {
	source := result.Source{Namespace: g.name.Namespace, Model: g.run.Spec.Model, Spec: spec}
	if spec.Outputs != nil {
		state, err := g.engine(a.run).State(ctx, a.run)
		if err != nil {
			return nil, err
		}
		source.Outputs = state.Outputs
	}
	if spec.TerminationMessage {
		var err error
		if source.Message, err = g.terminationMessage(ctx, a.run); err != nil {
			return nil, err
		}
	}
	found, err := g.Results.Read(ctx, source)
	if err != nil {
		return nil, err
	}
	version := cmp.Or(found.Version, spec.Version, stamp(g.run.Spec.Slot.UTC()))
	lineage := v1alpha1.Lineage{Run: g.run.Name, Pipeline: pipelineOf(a), TrainedAt: last.EndedAt}
	mv, err := found.ModelVersion(g.name.Namespace, version, lineage)
	if err != nil {
		return nil, err
	}
	return &v1alpha1.RunResult{Version: version, ModelVersion: &mv.Spec}, nil
}

// stamp is the version of a slot where nothing else is said.
func stamp(slot time.Time) string {
	if slot.Second() != 0 {
		return slot.Format("20060102-150405")
	}
	return slot.Format("20060102-1504")
}

// pipelineOf names what was run, for people.
func pipelineOf(a attempt) string {
	switch t := a.run.Template; {
	case t.KFP != nil && t.KFP.Version != "":
		return t.KFP.Pipeline + "@" + t.KFP.Version
	case t.KFP != nil:
		return t.KFP.Pipeline
	case t.Workflow != nil:
		return t.Workflow.Template
	}
	return ""
}

// terminationMessage is what the pod of a run has left. Of several, it is that of the one which ended last.
func (w *pass) terminationMessage(ctx context.Context, run engine.Run) (string, error) {
	selector := engine.Pods(run)
	if selector == "" {
		return "", &result.Error{Message: "result.terminationMessage: the pods of this engine are not known: let the run write its result elsewhere"}
	}
	pods, _, err := w.session.Resource(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	if err != nil {
		return "", err
	}
	list, err := pods.Namespace(run.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: 100})
	if err != nil {
		return "", fmt.Errorf("the pods of the run cannot be listed: %w", err)
	}
	var newest time.Time
	text := ""
	for _, o := range list.Items {
		said, at, err := messageOf(o)
		if err != nil {
			return "", err
		}
		if said != "" && !at.Before(newest) {
			text, newest = said, at
		}
	}
	if text == "" {
		return "", &result.Error{Missing: true, Message: "result.terminationMessage: no pod of the run has left a message: let its container write one to /dev/termination-log"}
	}
	return text, nil
}

// messageOf is the message of a container of a pod that has succeeded, and when it ended.
func messageOf(o unstructured.Unstructured) (string, time.Time, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &pod); err != nil {
		return "", time.Time{}, err
	}
	for _, c := range pod.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && t.ExitCode == 0 && t.Message != "" {
			return t.Message, t.FinishedAt.Time, nil
		}
	}
	return "", time.Time{}, nil
}

// judge compares a result with what serves, and goes on to bring it to Git if it is to be.
func (g going) judge(spec v1alpha1.ResultSpec) {
	made := g.status.Result
	made.Better = true
	if spec.OnlyIfBetter != "" {
		stage := ""
		if spec.Propose != nil {
			stage = spec.Propose.Stage
		}
		stage = lastStage(g.model(), stage)
		var current *v1alpha1.ModelVersion
		if version := g.versions()[stage]; version != "" {
			made.Current = version
			if current = g.modelVersion(version); current == nil { // its metrics are not known, which is no reason to be better
				current = &v1alpha1.ModelVersion{Spec: v1alpha1.ModelVersionSpec{Model: g.run.Spec.Model, Version: version}}
			}
		}
		candidate := v1alpha1.ModelVersion{ObjectMeta: metav1.ObjectMeta{Namespace: g.name.Namespace, CreationTimestamp: metav1.NewTime(g.now)}, Spec: *made.ModelVersion}
		better, why, err := result.Better(spec.OnlyIfBetter, stage, candidate, current, g.now)
		if err != nil {
			better, why = false, err.Error()
		}
		made.Better, made.Message = better, short(why)
	}
	switch {
	case !made.Better:
		g.end(v1alpha1.RunSucceeded, "%s is not proposed: %s", made.Version, made.Message)
	case spec.Propose == nil:
		g.end(v1alpha1.RunSucceeded, "%s", made.Version)
	default:
		g.at(v1alpha1.RunProposing, "%s is brought to Git", made.Version)
	}
}

// modelVersion is the ModelVersion of a version of the Model; nil if there is none.
func (w *pass) modelVersion(version string) *v1alpha1.ModelVersion {
	var all v1alpha1.ModelVersionList
	err := w.Cache.List(context.Background(), &all, client.InNamespace(w.name.Namespace), client.MatchingFields{"model": w.retraining.Spec.Model}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil // only when the agent ends
	}
	n := slices.IndexFunc(all.Items, func(v v1alpha1.ModelVersion) bool { return v.Spec.Version == version })
	if n < 0 {
		return nil
	}
	return all.Items[n].DeepCopy()
}

// propose brings the result to Git.
func (g going) propose(ctx context.Context) {
	if g.status.Canceling != "" && !g.under("propose") { // what may be in Git by now is not denied
		g.end(v1alpha1.RunCanceled, "%s", g.status.Canceling)
		return
	}
	made, last := g.status.Result, g.last()
	version, run, retraining := g.proposal()
	got, err, known := g.call("propose", last.Number, func(ctx context.Context) (answer, error) {
		status, err := g.Git.ProposeResult(ctx, retraining, run, version, evidenceOf(run))
		return answer{proposal: status}, err
	})
	switch {
	case !known:
	case err == nil:
		g.status.Proposal = &got.proposal
		g.end(v1alpha1.RunSucceeded, "%s is %s", made.Version, got.proposal.Message)
	case !temporary(err) || g.failing("propose", last.Number) > proposeTime:
		g.end(v1alpha1.RunFailed, "it succeeded, and %s cannot be proposed: %s; what it has made is in status.result.modelVersion, to be committed by hand", made.Version, err)
	default:
		g.at(v1alpha1.RunProposing, "%s cannot be proposed yet: %s", made.Version, err)
	}
}

// proposal is what is to be proposed, as copies for who does it.
func (g going) proposal() (v1alpha1.ModelVersion, *v1alpha1.RetrainingRun, *v1alpha1.Retraining) {
	run := g.run.DeepCopy()
	if spec, err := filled(*run.Spec.Result, valuesOf(run, g.last().Number)); err == nil { // as it could be when it was read
		run.Spec.Result = &spec
	}
	return result.ModelVersionOf(g.name.Namespace, *run.Status.Result.ModelVersion), run, g.retraining.DeepCopy()
}

// evidenceOf says in sentences why a version is proposed.
func evidenceOf(run *v1alpha1.RetrainingRun) []string {
	made := run.Status.Result
	var lines []string
	if made.Message != "" {
		lines = append(lines, made.Message)
	}
	for _, name := range slices.Sorted(maps.Keys(made.ModelVersion.Metrics)) {
		lines = append(lines, fmt.Sprintf("%s: %s", name, made.ModelVersion.Metrics[name]))
	}
	if set := made.ModelVersion.Lineage.Dataset; set != "" {
		lines = append(lines, "trained with "+set)
	}
	return lines
}
