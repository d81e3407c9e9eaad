package gate

import (
	"strings"
	"time"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Required is a gate that a version has to pass.
type Required struct {
	v1alpha1.Gate
	// Policy is the name of the PromotionPolicy that requires it; empty for the stage's own.
	Policy string
}

// Key tells the gates of a stage from one another, also those of policies, which may have the same
// names. It is what evidence about single gates is found by.
func (r Required) Key() string {
	if r.Policy == "" && !strings.Contains(r.Name, "/") {
		return r.Name
	}
	return r.Policy + "/" + r.Name
}

// Evidence is all that gates may ask about.
type Evidence struct {
	Model  string
	Stage  string
	Labels map[string]string // of the Model
	// Candidate is the version that is to serve.
	Candidate Version
	// Current is the version that serves; nil where nothing does.
	Current *Version
	// Stages is what serves in each stage of the Model, by its name.
	Stages map[string]Serving
	// Commit that asks for the candidate; empty where the Model does not come from Git.
	Commit string
	// Approvals are those of the commit, by the keys of the gates that ask for them.
	Approvals map[string]Approval
	// Analyses is how far the analyses of gates are, by the keys of the gates.
	Analyses map[string]v1alpha1.AnalysisStatus
}

// Version is what is known of a version of a model.
type Version struct {
	Name     string
	Metrics  map[string]string // decimals
	Labels   map[string]string
	Lineage  v1alpha1.Lineage
	Format   v1alpha1.ModelFormat
	Artifact Artifact
	// Created is when it was registered. Its age counts from its training, where that is known.
	Created time.Time
}

// VersionOf is what gates know of a ModelVersion.
func VersionOf(v *v1alpha1.ModelVersion) Version {
	of := Version{
		Name: v.Spec.Version, Metrics: v.Spec.MetricTexts(), Labels: v.Labels, Lineage: v.Spec.Lineage, Format: v.Spec.Format,
		Artifact: Artifact{URI: v.Spec.Artifact.URI, Digest: v.Spec.Artifact.Digest, Size: v.Spec.Artifact.Size},
		Created:  v.CreationTimestamp.Time,
	}
	if found := v.Status.Artifact; found != nil && found.Verified {
		of.Artifact.Digest, of.Artifact.Size, of.Artifact.Verified = found.Digest, &found.Size, true
	}
	return of
}

// Artifact is what is known of an artifact.
type Artifact struct {
	URI      string
	Digest   string
	Size     *int64 // nil where it is not known
	Verified bool
}

// Serving is what serves in a stage.
type Serving struct {
	// Version that serves; empty for none.
	Version string
	// Since when it has had all traffic, without a break; zero while it has not.
	Since time.Time
}

// Approval is what people say of the commit to one gate.
type Approval struct {
	// Commit that brought the version, if it is not the one that applied the Model.
	Commit string
	// Pull is the number of the pull request that brought that commit, where reviews are asked for.
	Pull int
	// By are those who approve it and whom the gate counts: names of the keys that have signed the
	// commit, or of those who have reviewed the pull request.
	By []string
	// Others says of each other approval why it does not count, in a part of a sentence: "ben's is of an
	// older commit".
	Others []string
	// Reason says why it is not known who approves, in a part of a sentence: "it is not signed".
	Reason string
	// Waits tells that the reason may pass by itself.
	Waits bool
}
