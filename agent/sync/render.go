package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/cluster"
	"github.com/sluice-dev/sluice/agent/render"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// rendered returns the overlay's set at a revision. It is rendered only if the spec, a variable,
// or a file that the last render has read is not the same any more.
func (s *Syncer) rendered(ctx context.Context, session *cluster.Session, m *memory, o *v1alpha1.Overlay, source Source, now time.Time) (agent.Set, *Verdict) {
	variables, err := substitutes(ctx, session, o)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Failing, Reason: v1alpha1.RenderFailedReason, Message: err.Error(), Retry: m.backoff(transientRetry)}
	}
	spec := SpecOf(o, variables)
	key, err := keyOf(spec, o.Spec.Ignore)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Stalled, Reason: v1alpha1.InvalidSpecReason, Message: err.Error()}
	}
	if !m.begun {
		m.begun = true
		m.rendered = s.recall(OwnerOf(o), key)
	}
	if !s.stands(m, key, source) {
		start := time.Now()
		result, err := s.Renders.Run(ctx, render.Request{Source: source.files(), Spec: spec})
		s.Metrics.Rendered(time.Since(start), err)
		if m.rendered.key != key || m.rendered.set.Digest != result.Set.Digest || err != nil {
			m.since = now
		}
		m.rendered = rendered{key: key, source: source.files(), trace: result.Trace, set: result.Set, err: err, retry: render.Temporary(err)}
	}
	if err := m.rendered.err; err != nil {
		v := Verdict{Phase: Stalled, Reason: v1alpha1.RenderFailedReason, Message: err.Error()}
		if m.rendered.retry {
			v.Phase, v.Retry = Failing, m.backoff(permanentRetry)
		}
		return agent.Set{}, &v
	}
	return m.rendered.set, nil
}

// stands tells whether the last render would come to the same again.
func (s *Syncer) stands(m *memory, key string, source Source) bool {
	r := &m.rendered
	if r.key != key || r.retry {
		return false
	}
	if r.source == source.files() {
		return true
	}
	tree, giveBack, err := s.trees.Open(source.Dir, source.Revision.Commit)
	if err != nil {
		return false // a render finds out what is wrong
	}
	defer giveBack()
	if !r.trace.Holds(tree) {
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
	return rendered{key: key, trace: kept.Trace, set: kept.Set, sketch: true, kept: true}
}

// keep remembers the last render beyond the end of the process, in the shape that it was
// applied in.
func (s *Syncer) keep(ctx context.Context, m *memory, owner agent.Owner, set agent.Set) {
	if m.rendered.kept {
		return
	}
	m.rendered.kept = true
	if err := s.Keep.save(owner, sketch{Spec: m.rendered.key, Trace: m.rendered.trace, Set: set}); err != nil {
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

// substitutes collects the variables of an overlay, reading as the overlay's account. A change
// of what they come from wakes the overlay.
func substitutes(ctx context.Context, session *cluster.Session, o *v1alpha1.Overlay) (map[string]string, error) {
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
		return nil, fmt.Errorf("spec.substitute.from: %w", err)
	}
	if o.Spec.Substitute == nil {
		return nil, nil
	}
	variables := map[string]string{}
	for n, ref := range refs {
		data, there := found[ref]
		if !there && !from[n].Optional {
			return nil, fmt.Errorf("spec.substitute.from: %s is not there: create it, or set optional: true", ref)
		}
		maps.Copy(variables, data)
	}
	maps.Copy(variables, o.Spec.Substitute.Variables)
	return variables, nil
}
