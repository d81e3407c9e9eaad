package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PromotionKind is the kind of a Promotion.
const PromotionKind = "Promotion"

// PromotionSpec is what was asked for when the attempt began. It never changes: something else
// that is asked for is another Promotion.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a Promotion is a record of the agent and never changes: change the version of the stage in Git"
type PromotionSpec struct {
	// Model that is promoted, in this namespace.
	Model string `json:"model"`

	// Stage of the Model.
	Stage string `json:"stage"`

	// Version that is to serve.
	Version string `json:"version"`

	// Artifact of the version.
	Artifact ServedArtifact `json:"artifact"`

	// From is the version that served before; empty for none.
	// +optional
	From string `json:"from,omitempty"`

	// FromArtifact is the artifact of From.
	// +optional
	FromArtifact *ServedArtifact `json:"fromArtifact,omitempty"`

	// Number counts the Promotions of the stage.
	Number int64 `json:"number"`

	// Request is a digest of everything that was asked for: the version, its artifact, the stage's
	// gates and rollout, the template. With something else another attempt is made.
	Request string `json:"request"`

	// Revision is the commit that asked for it, as main@sha1:<commit>; empty where the Model does
	// not come from Git.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// ServedArtifact is what of a ModelVersion serving it depends on. With it on record, what serves
// does not depend on whether the ModelVersion is still there.
type ServedArtifact struct {
	// URI of the artifact.
	URI string `json:"uri"`

	// Digest of the artifact; empty where it is not known.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Format of the artifact.
	// +optional
	Format ModelFormat `json:"format,omitzero"`
}

// PromotionPhase is where a Promotion stands.
// +kubebuilder:validation:Enum=Verifying;Gated;Preparing;Canary;Shifting;Completing;Succeeded;Failed;RolledBack;Superseded
type PromotionPhase string

// Phases of Promotions, in their order. The last four are ends.
const (
	// PromotionVerifying: the artifact is looked at.
	PromotionVerifying PromotionPhase = "Verifying"
	// PromotionGated: a gate has not been passed.
	PromotionGated PromotionPhase = "Gated"
	// PromotionPreparing: the version is brought up, without traffic.
	PromotionPreparing PromotionPhase = "Preparing"
	// PromotionCanary: the version has a part of the traffic.
	PromotionCanary PromotionPhase = "Canary"
	// PromotionShifting: the version gets all traffic, and can be turned back at once.
	PromotionShifting PromotionPhase = "Shifting"
	// PromotionCompleting: the version is what serves, and the one before drains.
	PromotionCompleting PromotionPhase = "Completing"
	// PromotionSucceeded: the version serves.
	PromotionSucceeded PromotionPhase = "Succeeded"
	// PromotionFailed: the version did not come to have traffic. It is held.
	PromotionFailed PromotionPhase = "Failed"
	// PromotionRolledBack: the version had traffic and lost it to the one before. It is held.
	PromotionRolledBack PromotionPhase = "RolledBack"
	// PromotionSuperseded: something else was asked for meanwhile.
	PromotionSuperseded PromotionPhase = "Superseded"
)

// Ended tells whether a phase is an end.
func (p PromotionPhase) Ended() bool {
	switch p {
	case PromotionSucceeded, PromotionFailed, PromotionRolledBack, PromotionSuperseded:
		return true
	}
	return false
}

// Held tells whether a phase is an end after which the version is not tried again until something
// else is asked for.
func (p PromotionPhase) Held() bool { return p == PromotionFailed || p == PromotionRolledBack }

// PromotionStatus is how far the attempt is. The agent goes on from here after a restart.
type PromotionStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready (it succeeded), Reconciling (it goes on), Stalled (it ended otherwise, or
	// somebody has to change something).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Phase: Verifying, Gated, Preparing, Canary, Shifting, Completing, or an end: Succeeded, Failed,
	// RolledBack, Superseded.
	// +optional
	Phase PromotionPhase `json:"phase,omitempty"`

	// Message says in one sentence why it is there.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// Digest of the artifact that was verified.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Findings of the gates, in their order.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	// +optional
	Findings []Finding `json:"findings,omitempty"`

	// Step is the index of the canary step that it is at, from 0.
	// +optional
	Step int32 `json:"step,omitempty"`

	// Traffic that the version has, in percent.
	// +optional
	Traffic int32 `json:"traffic,omitempty"`

	// PhaseSince is when the phase began, and in the phase Canary the step.
	// +optional
	PhaseSince *metav1.MicroTime `json:"phaseSince,omitempty"`

	// Analyses of the present step, or of the gates.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Analyses []AnalysisStatus `json:"analyses,omitempty"`

	// UnreadySince is when the version stopped being ready for the traffic of the present canary step;
	// unset while it is.
	// +optional
	UnreadySince *metav1.MicroTime `json:"unreadySince,omitempty"`

	// LiveAt is when the version got its first traffic.
	// +optional
	LiveAt *metav1.MicroTime `json:"liveAt,omitempty"`

	// EndedAt is when the attempt ended.
	// +optional
	EndedAt *metav1.MicroTime `json:"endedAt,omitempty"`

	// Released tells that something else was asked for since the version was held: it may be tried
	// again.
	// +optional
	Released bool `json:"released,omitempty"`

	// DrainUntil is how long the version that lost its traffic by this attempt runs on: the version
	// itself where it was turned back or superseded, or else the one before.
	// +optional
	DrainUntil *metav1.MicroTime `json:"drainUntil,omitempty"`

	// Withdrawn tells that no version was asked for since: nothing of it serves any more.
	// +optional
	Withdrawn bool `json:"withdrawn,omitempty"`

	// Proposal is the branch that proposes the revert to Git, after a rollback.
	// +optional
	Proposal *ProposalStatus `json:"proposal,omitempty"`
}

// ProposalStatus is a change that was proposed to Git.
type ProposalStatus struct {
	// Branch that was pushed.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Commit on it.
	// +optional
	Commit string `json:"commit,omitempty"`

	// Message says what became of it, or why it could not be made.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`

	// Findings of the gates that need no commit, for the version that is proposed, as they are now.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Findings []Finding `json:"findings,omitempty"`
}

// Promotion is the record of one attempt to have a version serve in a stage. The agent writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=promo,categories=sluice
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stage`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.spec.from`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Traffic",type=integer,JSONPath=`.status.traffic`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Promotion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   PromotionSpec   `json:"spec"`
	Status PromotionStatus `json:"status,omitempty"`
}

// PromotionList is a list of Promotions.
// +kubebuilder:object:root=true
type PromotionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Promotion `json:"items"`
}

// GetConditions returns the status conditions.
func (p *Promotion) GetConditions() []metav1.Condition { return p.Status.Conditions }
