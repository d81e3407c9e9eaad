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
)

// rendered returns the overlay's set at a revision. It renders only if the revision, the spec
// or a substituted value changed since the last time.
func (s *Syncer) rendered(ctx context.Context, session *cluster.Session, m *memory, o *v1alpha1.Overlay, source Source, now time.Time) (agent.Set, *Verdict) {
	variables, err := substitutes(ctx, session, o)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Failing, Reason: v1alpha1.RenderFailedReason, Message: err.Error(), Retry: m.backoff(transientRetry)}
	}
	request := render.Request{
		Source: render.Source{Dir: source.Dir, Commit: source.Revision.Commit},
		Spec:   SpecOf(o, variables),
	}
	key, err := keyOf(request)
	if err != nil {
		return agent.Set{}, &Verdict{Phase: Stalled, Reason: v1alpha1.InvalidSpecReason, Message: err.Error()}
	}
	if m.rendered.key != key || m.rendered.retry {
		set, err := s.Renders.Render(ctx, request)
		m.rendered = rendered{key: key, set: set, err: err, retry: render.Temporary(err)}
		m.since = now
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

// keyOf is a digest over everything that a render depends on. It covers the whole request, so
// that a field added to it can not be forgotten.
func keyOf(request render.Request) (string, error) {
	text, err := json.Marshal(request)
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
