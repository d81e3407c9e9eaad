package v1alpha1

// Labels that the agent sets on every object it applies.
const (
	// OverlayLabel holds the name of the Overlay that owns the object.
	OverlayLabel = "sluice.dev/overlay"
	// OverlayNamespaceLabel holds the namespace of the Overlay that owns the object.
	OverlayNamespaceLabel = "sluice.dev/overlay-namespace"

	// ModelLabel holds the name of the Model that owns the object, instead of an Overlay.
	ModelLabel = "sluice.dev/model"
	// ModelNamespaceLabel holds the namespace of the Model that owns the object.
	ModelNamespaceLabel = "sluice.dev/model-namespace"
	// StageLabel holds the stage that an object of a Model serves.
	StageLabel = "sluice.dev/stage"
	// VersionLabel holds the version that an object of a Model serves, where it serves just one.
	VersionLabel = "sluice.dev/version"

	// RetrainingLabel holds the name of the Retraining that an object of an engine is a run of, and
	// RunLabel that of its RetrainingRun.
	RetrainingLabel = "sluice.dev/retraining"
	RunLabel        = "sluice.dev/run"
)

// Annotations that people set.
const (
	// ForceAnnotation on an applied object: a comma-separated list of fields (take over fields
	// of other managers), replace (delete and recreate when an immutable field changes) and
	// owner (take the object over from another owner).
	ForceAnnotation = "sluice.dev/force"
	// PruneAnnotation on an applied object: disabled keeps it in the cluster when it leaves Git.
	PruneAnnotation = "sluice.dev/prune"
	// ApplyAnnotation on an applied object: once creates it and never changes it; never leaves it alone.
	ApplyAnnotation = "sluice.dev/apply"
	// SubstituteAnnotation on an applied object: enabled or disabled.
	SubstituteAnnotation = "sluice.dev/substitute"

	// AllowPruneAnnotation on an Overlay: the commit (at least 7 hexadecimal digits) that may
	// prune everything, or a namespace with objects of other Overlays.
	AllowPruneAnnotation = "sluice.dev/allow-prune"
	// NoteAnnotation on an Overlay: why it was suspended, for people.
	NoteAnnotation = "sluice.dev/note"
)

// FollowsAnnotation names, as namespace/name, the Repository with which an Overlay is worked on.
// The agent sets it before it begins, and changes it when it has ended the work with one
// Repository and may begin it with another: replicas share the work by Repository.
const FollowsAnnotation = "sluice.dev/follows"

// PullRequestsAnnotation on a Repository has the agent look at its pull requests when its value changes. A
// hook sets it to the time at which it came.
const PullRequestsAnnotation = "sluice.dev/pullRequestsRequestedAt"

// RevisionAnnotation on a Model, a Pipeline or a Retraining names the revision at which the agent applied it
// last, as main@sha1:<commit>: the commit that asks for what it says.
const RevisionAnnotation = "sluice.dev/revision"

// Finalizer keeps a deleted Overlay until its objects are dealt with.
const Finalizer = "sluice.dev/finalizer"

// FieldManager is the name under which the agent owns fields.
const FieldManager = "sluice"

// ParametersAnnotation on a Retraining has the parameters, as a JSON object of texts, of the run that the
// annotation reconcile.fluxcd.io/requestedAt asks for: `sluice retrain run` sets both at once.
const ParametersAnnotation = "sluice.dev/run-parameters"

// CancelAnnotation on a RetrainingRun has it canceled; its value is the reason.
const CancelAnnotation = "sluice.dev/cancel"
