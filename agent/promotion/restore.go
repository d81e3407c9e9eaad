package promotion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/rollout"
)

// restore puts on record again what a stage serves where the record is gone, for what is on no record
// would be taken away: somebody has deleted Promotions, or the stage has another name now. The status
// of the Model knows what serves. A version of which nothing else is known stays without a record
// until another one is ready.
func (w *pass) restore(ctx context.Context, s *stage) error {
	last := numberOf(s.before.Promotion)
	switch {
	case s.newest != nil && s.newest.Spec.Number >= last:
		return nil
	case s.before.Version == "" && s.newest == nil:
		s.before = w.renamed(*s)
	}
	version := s.before.Version
	if version == "" {
		return nil
	}
	behind, err := w.Promotions.Has(ctx, w.model, s.spec.Name, s.before.Promotion)
	if err == nil && behind {
		err = fmt.Errorf("Promotion %s is there and has not been seen yet", s.before.Promotion)
	}
	if err != nil {
		return err
	}
	artifact := w.artifactOnRecord(*s)
	if artifact == nil {
		return nil
	}
	err = w.record(ctx, s, v1alpha1.PromotionSpec{
		Version: version, Artifact: *artifact, From: version, FromArtifact: artifact, Number: last + 1, Request: restored,
	})
	if err != nil || s.newest.Spec.Request != restored || s.newest.Status.Phase != "" { // somebody was here before
		return err
	}
	status := rollout.Succeed(s.newest.Status, version+" serves; its record was gone and is made anew from the status of the Model", w.now)
	status.Digest = artifact.Digest
	return w.write(ctx, s, status)
}

// restored is the request of a Promotion that nobody asked for.
const restored = "restored"

// renamed is the status of a stage that the spec does not have any more and that served where a new
// one is to serve: the new one is the old one with another name.
func (w *pass) renamed(s stage) v1alpha1.StageStatus {
	for _, other := range w.model.Status.Stages {
		if !w.has(other.Name) && other.Namespace == s.namespace && other.Version != "" {
			other.Name = s.spec.Name
			return other
		}
	}
	return s.before
}

// artifactOnRecord is the artifact of the version that a stage serves, as a Promotion or the
// ModelVersion has it; nil if none has. What is not known to be the same is not on record: it would
// come to serve without having passed anything.
func (w *pass) artifactOnRecord(s stage) *v1alpha1.ServedArtifact {
	same := func(a *v1alpha1.ServedArtifact) bool { return a != nil && a.Digest == s.before.Digest }
	stages := slices.Sorted(maps.Keys(w.promotions))
	for _, name := range append([]string{s.spec.Name}, stages...) {
		for n := range w.promotions[name] {
			if one := (stage{newest: &w.promotions[name][n]}); one.serves() == s.before.Version && same(one.servesArtifact()) {
				return one.servesArtifact()
			}
		}
	}
	found, _ := w.versions.find(s.before.Version)
	if found == nil || found.Status.Artifact == nil || !found.Status.Artifact.Verified || s.before.Digest == "" {
		return nil
	}
	artifact := artifactOf(found)
	if artifact.Digest = found.Status.Artifact.Digest; !same(&artifact) {
		return nil
	}
	return &artifact
}

// numberOf reads the number of a Promotion in its name; 0 if there is none.
func numberOf(promotion string) int64 {
	number, err := strconv.ParseInt(promotion[strings.LastIndex(promotion, ".")+1:], 10, 64)
	if err != nil {
		return 0
	}
	return number
}
