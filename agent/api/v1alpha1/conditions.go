package v1alpha1

// Types of conditions. Ready, Reconciling and Stalled mean what they mean to kstatus.
const (
	// ReadyCondition: the newest revision is here (Repository), or applied and healthy (Overlay).
	ReadyCondition = "Ready"
	// ReconcilingCondition: the agent is at work on it. Absent when it is not.
	ReconcilingCondition = "Reconciling"
	// StalledCondition: it cannot go on until somebody changes something. Absent when it can.
	StalledCondition = "Stalled"
	// HealthyCondition: all applied objects are healthy.
	HealthyCondition = "Healthy"
	// PullRequestsCondition: people are met on the pull requests of a Repository.
	PullRequestsCondition = "PullRequests"
)

// Reasons of conditions and events.
const (
	// SucceededReason: everything is as Git says.
	SucceededReason = "Succeeded"
	// ProgressingReason: at work, or waiting for objects to become healthy.
	ProgressingReason = "Progressing"
	// SuspendedReason: spec.suspend is set.
	SuspendedReason = "Suspended"
	// InvalidSpecReason: a field of the spec is wrong in a way the API server did not see.
	InvalidSpecReason = "InvalidSpec"
	// AccessDeniedReason: a reference to another namespace is locked down.
	AccessDeniedReason = "AccessDenied"

	// FetchFailedReason: the remote could not be read. Where more is known, the reason says it:
	// Timeout, Network, Storage, Invalid, AuthenticationFailed, HostKeyUnknown, HostKeyMismatch,
	// CertificateInvalid, NotFound, ReferenceNotFound, Empty, TooLarge, Refused.
	FetchFailedReason = "FetchFailed"

	// RepositoryNotReadyReason: the Repository is missing or has no revision yet.
	RepositoryNotReadyReason = "RepositoryNotReady"
	// DependencyNotReadyReason: an Overlay in dependsOn is missing or not Ready.
	DependencyNotReadyReason = "DependencyNotReady"
	// RenderFailedReason: Kustomize could not build the directory.
	RenderFailedReason = "RenderFailed"
	// PlanRefusedReason: the plan holds a change that must not be made.
	PlanRefusedReason = "PlanRefused"
	// PruneRefusedReason: the plan would delete more than is done without being asked to.
	PruneRefusedReason = "PruneRefused"
	// ApplyFailedReason: objects could not be applied.
	ApplyFailedReason = "ApplyFailed"
	// PruneFailedReason: objects could not be deleted.
	PruneFailedReason = "PruneFailed"
	// UnhealthyReason: objects are applied but not healthy.
	UnhealthyReason = "Unhealthy"
	// HealthTimeoutReason: objects did not become healthy within spec.timeout.
	HealthTimeoutReason = "HealthTimeout"
	// HeldReason: the version that a stage of a Model names was refused or turned back.
	HeldReason = "Held"
	// ArtifactUnreadReason: the artifact of a ModelVersion could not be looked at.
	ArtifactUnreadReason = "ArtifactUnread"
	// DeliveryFailedReason: a Pipeline could not be delivered. Where more is known, the reason says it:
	// Unreachable, Overloaded, Broken, Unauthenticated, Forbidden, Missing, Taken, Invalid.
	DeliveryFailedReason = "DeliveryFailed"
	// DriftedReason: objects differ from Git and are not corrected, as spec.drift asks.
	DriftedReason = "Drifted"
	// DriftCorrectedReason: objects had been changed and were put back.
	DriftCorrectedReason = "DriftCorrected"
	// DriftFightReason: somebody keeps changing an object back; correcting it waits.
	DriftFightReason = "DriftFight"
)
