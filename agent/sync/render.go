package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/render"
	"github.com/sluice-dev/sluice/agent/trace"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// rendered returns the overlay's set at a revision. It is rendered only if the spec, a variable,
// or a file that the last render has read is not the same any more.
func (s *Syncer) rendered(ctx context.Context, session *cluster.Session, m *memory, o *v1alpha1.Overlay, source Source, now time.Time) (agent.Set, *Verdict) {
	variables, secrets, err := substitutes(ctx, session, o)
	m.redact = newRedactor(secrets)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Failing, Reason: v1alpha1.RenderFailedReason, Message: err.Error(), Retry: m.backoff(transientRetry)}
	}
	spec := SpecOf(o, variables)
	key, err := keyOf(spec, o.Spec.Ignore)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Stalled, Reason: v1alpha1.InvalidSpecReason, Message: err.Error()}
	}
	m.behind.takeIn()
	if !m.begun {
		m.begun = true
		m.rendered = s.recall(OwnerOf(o), key)
	}
	if !s.stands(m, key, source, now) {
		before := m.rendered
		s.render(ctx, m, OwnerOf(o), key, now, render.Request{Source: source.files(), Spec: spec})
		if before.key != key || before.set.Digest != m.rendered.set.Digest || m.rendered.err != nil {
			m.since = now
		}
	}
	if err := m.rendered.err; err != nil {
		v := Verdict{Phase: Stalled, Reason: v1alpha1.RenderFailedReason, Message: err.Error()}
		if m.rendered.retry {
			v.Phase, v.Retry = Failing, max(m.rendered.again.Sub(now), firstRetry)
		}
		return agent.Set{}, &v
	}
	return m.rendered.set, nil
}

// render renders an overlay: by its parts, where they are known and that is enough, or whole.
func (s *Syncer) render(ctx context.Context, m *memory, owner agent.Owner, key string, now time.Time, request render.Request) {
	if m.partial != nil && m.partial.key == key {
		next, set, err := s.follow(ctx, m.partial, request)
		if err == nil {
			m.partial = next
			m.rendered = rendered{key: key, source: request.Source, traces: next.traces(), set: set}
			s.check(ctx, m, owner, request)
			return
		}
		log.FromContext(ctx).V(1).Info("built whole", "commit", request.Source.Commit, "because", err.Error())
	}
	start := time.Now()
	result, err := s.Renders.Run(ctx, request)
	took := time.Since(start)
	s.Metrics.Rendered(took, err)
	m.rendered = rendered{key: key, source: request.Source, traces: []trace.Trace{result.Trace}, set: result.Set, err: err}
	if render.Temporary(err) { // what took long is not tried again soon
		m.rendered.retry, m.rendered.again = true, now.Add(max(m.backoff(permanentRetry), min(4*took, permanentRetry)))
	}
	if err == nil && took > largeRender && !m.whole {
		s.study(ctx, m, owner, request)
	}
}

// stands tells whether the last render would come to the same again.
func (s *Syncer) stands(m *memory, key string, source Source, now time.Time) bool {
	r := &m.rendered
	if r.key != key {
		return false
	}
	if r.source == source.files() {
		return !r.retry || now.Before(r.again)
	}
	tree, giveBack, err := s.trees.Open(source.Dir, source.Revision.Commit)
	if err != nil {
		return false // a render finds out what is wrong
	}
	defer giveBack()
	changed := func(t trace.Trace) bool { return !t.Holds(tree) }
	if len(r.traces) == 0 || slices.ContainsFunc(r.traces, changed) {
		return false
	}
	r.source = source.files()
	s.Metrics.Kept()
	return true
}

// files are where the files of the revision are.
func (s Source) files() render.Source {
	return render.Source{Dir: s.Dir, Commit: s.Revision.Commit}
}

// recall returns what is kept of the last render before the agent started.
func (s *Syncer) recall(owner agent.Owner, key string) rendered {
	kept, ok := s.Keep.load(owner, key)
	if !ok {
		return rendered{}
	}
	return rendered{key: key, traces: kept.Traces, set: kept.Set, sketch: true, kept: true}
}

// keep remembers the last render beyond the end of the process, in the shape that it was
// applied in.
func (s *Syncer) keep(ctx context.Context, m *memory, owner agent.Owner, set agent.Set) {
	if m.rendered.kept {
		return
	}
	m.rendered.kept = true
	if err := s.Keep.save(owner, sketch{Spec: m.rendered.key, Traces: m.rendered.traces, Set: set}); err != nil {
		log.FromContext(ctx).Error(err, "what was rendered cannot be kept on disk; it will be rendered again after a restart")
	}
}

// SpecOf turns an Overlay into what a render needs to know of it.
func SpecOf(o *v1alpha1.Overlay, variables map[string]string) render.Spec {
	spec := render.Spec{
		Path:            o.Spec.Path,
		TargetNamespace: o.Spec.TargetNamespace,
		NamePrefix:      o.Spec.NamePrefix,
		NameSuffix:      o.Spec.NameSuffix,
		Patches:         o.Spec.Patches,
		Images:          o.Spec.Images,
		Components:      o.Spec.Components,
		Owner:           OwnerOf(o),
	}
	if c := o.Spec.CommonMetadata; c != nil {
		spec.CommonMetadata = render.CommonMetadata{Labels: c.Labels, Annotations: c.Annotations}
	}
	if sub := o.Spec.Substitute; sub != nil {
		spec.Substitute = &render.Substitute{Variables: variables, Targets: sub.Targets}
	}
	return spec
}

// SpecOf is what of an Overlay is rendered, with its variables as they are now.
func (s *Syncer) SpecOf(ctx context.Context, o *v1alpha1.Overlay) (render.Spec, error) {
	session, err := s.Cluster.As(s.AccountOf(o))
	if err != nil {
		return render.Spec{}, err
	}
	variables, _, err := substitutes(ctx, session, o)
	return SpecOf(o, variables), err
}

// keyOf is a digest over everything that a render depends on besides the files. It covers whole
// values, so that a field added to them can not be forgotten.
func keyOf(spec render.Spec, ignore []v1alpha1.IgnoreRule) (string, error) {
	text, err := json.Marshal([]any{spec, ignore})
	if err != nil {
		return "", fmt.Errorf("the spec cannot be encoded: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// substitutes collects the variables of an overlay, reading as the overlay's account, and the
// values among them that nobody is to see. A change of what they come from wakes the overlay.
func substitutes(ctx context.Context, session *cluster.Session, o *v1alpha1.Overlay) (variables map[string]string, secrets []string, err error) {
	var from []v1alpha1.SubstituteReference
	if o.Spec.Substitute != nil {
		from = o.Spec.Substitute.From
	}
	refs := make([]agent.Ref, len(from))
	for n, f := range from {
		refs[n] = agent.Ref{Kind: f.Kind, Namespace: o.Namespace, Name: f.Name}
	}
	found, err := session.Follow(ctx, OwnerOf(o), refs)
	if err != nil {
		return nil, nil, fmt.Errorf("spec.substitute.from: %w", err)
	}
	if o.Spec.Substitute == nil {
		return nil, nil, nil
	}
	variables = map[string]string{}
	for n, ref := range refs {
		data, there := found[ref]
		if !there && !from[n].Optional {
			return nil, nil, fmt.Errorf("spec.substitute.from: %s is not there: create it, or set optional: true", ref)
		}
		maps.Copy(variables, data)
		if ref.Kind == "Secret" {
			secrets = slices.AppendSeq(secrets, maps.Values(data))
		}
	}
	maps.Copy(variables, o.Spec.Substitute.Variables)
	return variables, secrets, nil
}
