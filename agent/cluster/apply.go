package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
)

// Apply sends one object by server-side apply under the given field manager. With a uid it
// updates the object that has it and no other; without, it creates one if there is none. With
// force it takes over fields that others own. Only metadata comes back.
func (s *Session) Apply(ctx context.Context, o agent.Object, uid, manager string, force bool) (agent.Live, error) {
	client, err := s.metadataOf(o)
	if err != nil {
		return agent.Live{}, err
	}
	body, err := addressed(o, uid)
	if err != nil {
		return agent.Live{}, err
	}
	s.beginWrite(o.Ref)
	defer s.endWrite(o.Ref)
	got, err := client.Patch(ctx, o.Ref.Name, types.ApplyPatchType, body, patchOptions(manager, force, false))
	if err != nil {
		return agent.Live{}, explain(o.Ref, s.account, err)
	}
	return s.observe(o.Ref, got), nil
}

// addressed returns the JSON of an object with the UID of the one that it is meant for. The
// API server compares it and does not count it as a field that was applied.
func addressed(o agent.Object, uid string) ([]byte, error) {
	if uid == "" {
		return o.JSON, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(o.JSON, &object); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Ref, err)
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(object["metadata"], &metadata); err != nil {
		return nil, fmt.Errorf("%s: metadata: %w", o.Ref, err)
	}
	var err error
	if metadata["uid"], err = json.Marshal(uid); err != nil {
		return nil, err
	}
	if object["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// write is a write under way. A watch may tell that the object is gone before the answer to
// the write is here; then the answer must not bring it back to mind.
type write struct {
	count int
	lost  uint64 // version at which it was gone
}

func (s *Session) beginWrite(ref agent.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[ref] == nil {
		s.writing[ref] = &write{}
	}
	s.writing[ref].count++
}

func (s *Session) endWrite(ref agent.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing[ref].count--; s.writing[ref].count == 0 {
		delete(s.writing, ref)
	}
}

// observe takes an own write into what is known, ahead of the watch. The health of an object
// that the write changed is open until its watch shows it.
func (s *Session) observe(ref agent.Ref, got *metav1.PartialObjectMetadata) agent.Live {
	live := sight(ref.GroupKind(), got)
	via := watchKey{GroupKind: ref.GroupKind(), of: live.Owner.Kind}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.writing[ref]; w != nil && w.lost > live.ResourceVersion {
		go s.notify(live.Owner) // it is gone already: that is for the next pass
		return live
	}
	before, known := s.seen[ref]
	if known {
		via = before.via
	}
	if !known || before.live.ResourceVersion < live.ResourceVersion {
		s.seen[ref] = sighting{live: live, via: via}
	}
	// Even if the watch is ahead: what is recorded is what this write left behind, so that a
	// change right after it is seen as drift.
	return live
}

// DryRun asks the API server what applying an object would give, without writing.
func (s *Session) DryRun(ctx context.Context, o agent.Object, force bool) (*unstructured.Unstructured, error) {
	client, err := s.dynamicOf(o)
	if err != nil {
		return nil, err
	}
	got, err := client.Patch(ctx, o.Ref.Name, types.ApplyPatchType, o.JSON, patchOptions(v1alpha1.FieldManager, force, true))
	if err != nil {
		return nil, explain(o.Ref, s.account, err)
	}
	return got, nil
}

// Creatable asks whether the object would be accepted if it were created anew. The API server
// validates a create before it notices that the name is taken, so "already exists" is a yes.
func (s *Session) Creatable(ctx context.Context, o agent.Object) error {
	client, err := s.dynamicOf(o)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(o.JSON, &object.Object); err != nil {
		return fmt.Errorf("%s: %w", o.Ref, err)
	}
	_, err = client.Create(ctx, object, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: v1alpha1.FieldManager, FieldValidation: metav1.FieldValidationStrict,
	})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return explain(o.Ref, s.account, err)
}

// Get reads a whole object. It returns nil and no error when there is none.
func (s *Session) Get(ctx context.Context, ref agent.Ref, version string) (*unstructured.Unstructured, error) {
	client, err := s.dynamicOf(agent.Object{Ref: ref, Version: version})
	if err != nil {
		return nil, err
	}
	got, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explainRead(agent.Object{Ref: ref, Version: version}, err)
	}
	return got, nil
}

// Delete deletes an object in the background, if it still is the one with that UID and belongs
// to owner. That it is gone already is no error.
func (s *Session) Delete(ctx context.Context, ref agent.Ref, version, uid string, owner agent.Owner) error {
	client, err := s.metadataOf(agent.Object{Ref: ref, Version: version})
	if err != nil {
		return err
	}
	err = s.deleteOwned(ctx, client, ref, uid, owner)
	if err != nil && !absent(err) {
		return s.explainRead(agent.Object{Ref: ref, Version: version}, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen, known := s.seen[ref]; known && seen.live.UID == uid {
		seen.live.Deleting = true
		s.seen[ref] = seen
	}
	return nil
}

// deleteOwned makes the deletion depend on the version in which the object was seen to be the
// owner's. Where that is not the newest any more, it is read again: a status was written since,
// or the owner changed.
func (s *Session) deleteOwned(ctx context.Context, client metadata.ResourceInterface, ref agent.Ref, uid string, owner agent.Owner) error {
	live, known := s.Seen(ref)
	for {
		if !known {
			now, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			live = sight(ref.GroupKind(), now)
		}
		if live.UID != uid || live.Owner != owner {
			return &Error{agent.Waiting, "it is not the object that the plan saw, or belongs to somebody else by now: it is looked at again"}
		}
		only := metav1.Preconditions{UID: new(types.UID(uid))}
		if live.ResourceVersion != 0 { // or else its version is no number
			only.ResourceVersion = new(strconv.FormatUint(live.ResourceVersion, 10))
		}
		err := client.Delete(ctx, ref.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground), Preconditions: &only})
		if !apierrors.IsConflict(err) {
			return err
		}
		known = false
	}
}

// Disown takes the ownership labels off an object, if it still is the one with that UID.
func (s *Session) Disown(ctx context.Context, ref agent.Ref, version, uid string) error {
	client, err := s.metadataOf(agent.Object{Ref: ref, Version: version})
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":    uid,
		"labels": map[string]any{v1alpha1.OverlayLabel: nil, v1alpha1.OverlayNamespaceLabel: nil, v1alpha1.ModelNamespaceLabel: nil},
	}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, ref.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil && !absent(err) && !apierrors.IsConflict(err) {
		return s.explainRead(agent.Object{Ref: ref, Version: version}, err)
	}
	return nil
}

func patchOptions(manager string, force, dryRun bool) metav1.PatchOptions {
	o := metav1.PatchOptions{FieldManager: manager, Force: &force, FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		o.DryRun = []string{metav1.DryRunAll}
	}
	return o
}

func (s *Session) metadataOf(o agent.Object) (metadata.ResourceInterface, error) {
	m, err := s.mapping(o.GroupVersionKind())
	if err != nil {
		return nil, explainKind(o.GroupVersionKind(), err)
	}
	return s.metadata.Resource(m.Resource).Namespace(o.Ref.Namespace), nil
}

func (s *Session) dynamicOf(o agent.Object) (dynamic.ResourceInterface, error) {
	m, err := s.mapping(o.GroupVersionKind())
	if err != nil {
		return nil, explainKind(o.GroupVersionKind(), err)
	}
	return s.dynamic.Resource(m.Resource).Namespace(o.Ref.Namespace), nil
}
