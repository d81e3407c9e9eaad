package promotion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/serving"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ByModel is the index of the cache over ModelVersions and Promotions: namespace/model.
const ByModel = "model"

// versions are the ModelVersions of a Model.
type versions struct {
	model string
	all   []v1alpha1.ModelVersion
}

func (w *pass) versionsOf(ctx context.Context) (versions, error) {
	var list v1alpha1.ModelVersionList
	err := w.Cache.List(ctx, &list, client.InNamespace(w.model.Namespace), client.MatchingFields{ByModel: w.model.Name}, client.UnsafeDisableDeepCopy)
	return versions{model: w.model.Name, all: list.Items}, err
}

// find returns the one ModelVersion of a version, or says in a sentence why there is none.
func (v versions) find(version string) (*v1alpha1.ModelVersion, string) {
	var found []*v1alpha1.ModelVersion
	var others []string
	for n := range v.all {
		if v.all[n].Spec.Version == version {
			found = append(found, &v.all[n])
		}
		others = append(others, v.all[n].Spec.Version)
	}
	switch len(found) {
	case 1:
		return found[0], ""
	case 0:
		return nil, fmt.Sprintf("there is no ModelVersion %s of model %s in this namespace: register it, or name one of those there are (%s)", version, v.model, few(others))
	}
	return nil, fmt.Sprintf("version %s of model %s is in two ModelVersions, %s and %s: remove one of them", version, v.model, found[0].Name, found[1].Name)
}

// few lists some names.
func few(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	const most = 8
	if len(names) > most {
		return strings.Join(names[len(names)-most:], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// artifactOf is what is put on record of a version that is to serve.
func artifactOf(v *v1alpha1.ModelVersion) v1alpha1.ServedArtifact {
	digest := v.Spec.Artifact.Digest
	if digest == "" && v.Status.Artifact != nil {
		digest = v.Status.Artifact.Digest
	}
	return v1alpha1.ServedArtifact{URI: v.Spec.Artifact.URI, Digest: digest, Format: v.Spec.Format}
}

// served describes a version for package serving; nil for none.
func served(version string, a *v1alpha1.ServedArtifact) *serving.Version {
	if version == "" || a == nil {
		return nil
	}
	return &serving.Version{Name: version, URI: a.URI, Digest: a.Digest, Format: a.Format}
}
