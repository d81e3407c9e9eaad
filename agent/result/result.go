package result

import (
	"cmp"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/artifact"
	"github.com/sluice-dev/sluice/agent/gate"
	"github.com/sluice-dev/sluice/agent/registration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Result is what a run has made, and it is what it says.
type Result struct {
	Document
	// Artifact as it was found, with the Secret that the Retraining names for it. What is of a kind that is not
	// read is as the document has it.
	Artifact v1alpha1.Artifact
}

// ModelVersion is the result as a version of a model. What the document says of itself, its version and where
// it comes from, goes before what is given; all but the run, which the agent knows best. An error says what
// the API server would refuse.
func (r Result) ModelVersion(namespace, version string, lineage v1alpha1.Lineage) (v1alpha1.ModelVersion, error) {
	spec := v1alpha1.ModelVersionSpec{
		Model: r.Model, Version: cmp.Or(r.Version, version), Artifact: r.Artifact, Format: r.Format, Metrics: r.Metrics,
		Lineage: v1alpha1.Lineage{
			Run:       lineage.Run,
			Pipeline:  cmp.Or(r.Lineage.Pipeline, lineage.Pipeline),
			Dataset:   cmp.Or(r.Lineage.Dataset, lineage.Dataset),
			Commit:    cmp.Or(r.Lineage.Commit, lineage.Commit),
			TrainedAt: cmp.Or(r.Lineage.TrainedAt, lineage.TrainedAt),
		},
	}
	if err := registration.Check(spec); err != nil {
		return v1alpha1.ModelVersion{}, wrongf("the result makes no ModelVersion: %w", err)
	}
	return ModelVersionOf(namespace, spec), nil
}

// ModelVersionOf is a ModelVersion with the name that it has wherever it is registered.
func ModelVersionOf(namespace string, spec v1alpha1.ModelVersionSpec) v1alpha1.ModelVersion {
	return v1alpha1.ModelVersion{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.ModelVersionKind},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: registration.Name(spec.Model, spec.Version)},
		Spec:       spec,
	}
}

// Better judges a candidate by an expression as gates have it, and says why in a sentence. The stage is the
// one whose version is current.
//
// Where nothing serves, current is nil: an expression that mentions it is not met, unless it begins with
// first ||; one that is about the candidate alone decides. What is not known counts against the candidate. An
// error says why the expression is none.
func Better(expression, stage string, candidate v1alpha1.ModelVersion, current *v1alpha1.ModelVersion, now time.Time) (better bool, message string, err error) {
	g := v1alpha1.Gate{Name: "onlyIfBetter", CEL: expression}
	if err := gate.Validate(g); err != nil {
		return false, "", err
	}
	e := gate.Evidence{Model: candidate.Spec.Model, Stage: cmp.Or(stage, "any stage"), Candidate: gate.VersionOf(&candidate)}
	// A result is none before its artifact has been read.
	e.Candidate.Artifact.Verified = artifact.Verified(candidate.Spec.Artifact.URI)
	if current != nil {
		serves := gate.VersionOf(current)
		e.Current = &serves
	}
	findings, _ := gate.Check([]gate.Required{{Gate: g}}, e, now)
	return findings[0].Result == v1alpha1.FindingPassed, findings[0].Message, nil
}
