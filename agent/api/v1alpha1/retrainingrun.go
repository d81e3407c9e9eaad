package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RetrainingRunKind is the kind of a RetrainingRun.
const RetrainingRunKind = "RetrainingRun"

// RetrainingRunSpec is what is to be run. It never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a RetrainingRun is a record: it never changes"
type RetrainingRunSpec struct {
	// Retraining that it is a run of.
	// +required
	Retraining string `json:"retraining"`
	// Slot for which it is: the time of a schedule, or at which a trigger fired.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +required
	Slot metav1.Time `json:"slot"`
	// Trigger is what started it.
	// +required
	Trigger RunTrigger `json:"trigger"`
	// Model that is retrained.
	// +optional
	Model string `json:"model,omitempty"`
	// Run is what is run, as the Retraining had it: its texts are templates.
	// +optional
	Run *RunTemplate `json:"run,omitempty"`
	// Result says where the result is found and what becomes of it, as the Retraining had it.
	// +optional
	Result *ResultSpec `json:"result,omitempty"`
	// Parameters that were given by hand; they go before those of Run.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	Parameters map[string]string `json:"parameters,omitempty"`
	// Values are what templates are filled with, as it was when the run was decided upon.
	// +optional
	Values RunValues `json:"values,omitzero"`
}

// RunValues are what the templates of a run are filled with, besides its name, its slot and the number of
// the attempt.
type RunValues struct {
	// TimeZone in which times are shown.
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
	// LastSuccess is the slot of the newest run that had succeeded.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +optional
	LastSuccess *metav1.Time `json:"lastSuccess,omitempty"`
	// Versions that served, by the stages of the Model.
	// +optional
	Versions map[string]string `json:"versions,omitempty"`
	// Data that the data trigger had seen; none where there is no such trigger.
	// +optional
	Data *RunData `json:"data,omitempty"`
	// Revision of Git that the Retraining had.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// RunData is what a prefix of an object store had in it.
type RunData struct {
	// Fingerprint over names, sizes and ETags.
	Fingerprint string `json:"fingerprint"`
	// Count of objects, and the time of the Newest.
	// +optional
	Count int64 `json:"count,omitempty"`
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +optional
	Newest *metav1.Time `json:"newest,omitempty"`
}

// RunTrigger is what started a run.
type RunTrigger struct {
	// Kind: Schedule, Missed (a slot that is caught up), Data, Metric, Commit, Manual.
	// +kubebuilder:validation:Enum=Schedule;Missed;Data;Metric;Commit;Manual
	Kind TriggerKind `json:"kind"`
	// Message says more in a sentence.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// TriggerKind is a kind of trigger.
type TriggerKind string

// Kinds of triggers.
const (
	TriggerSchedule TriggerKind = "Schedule"
	TriggerMissed   TriggerKind = "Missed"
	TriggerData     TriggerKind = "Data"
	TriggerMetric   TriggerKind = "Metric"
	TriggerCommit   TriggerKind = "Commit"
	TriggerManual   TriggerKind = "Manual"
)

// RunPhase says how far a run is.
// +kubebuilder:validation:Enum=Pending;Running;Backoff;Collecting;Proposing;Succeeded;Failed;Canceled;Skipped
type RunPhase string

// Phases of a run. The last four are ends.
const (
	// RunPending: the engine has not been called, or has not said that it runs.
	RunPending RunPhase = "Pending"
	RunRunning RunPhase = "Running"
	// RunBackoff: an attempt failed, and the next one waits.
	RunBackoff RunPhase = "Backoff"
	// RunCollecting: the engine is done, and the result is read.
	RunCollecting RunPhase = "Collecting"
	// RunProposing: the result is brought to Git.
	RunProposing RunPhase = "Proposing"
	RunSucceeded RunPhase = "Succeeded"
	RunFailed    RunPhase = "Failed"
	RunCanceled  RunPhase = "Canceled"
	// RunSkipped: a slot of which nothing was run, for the reason in the message.
	RunSkipped RunPhase = "Skipped"
)

// Ended tells whether a run is over.
func (p RunPhase) Ended() bool {
	return p == RunSucceeded || p == RunFailed || p == RunCanceled || p == RunSkipped
}

// RunAttempt is one call of the engine.
type RunAttempt struct {
	// Number of the attempt, from 1.
	Number int32 `json:"number"`
	// Name that the engine's run has; the same for the same attempt.
	Name string `json:"name"`
	// ID that the engine gave it: a UID, or KFP's run id.
	// +optional
	ID string `json:"id,omitempty"`
	// Phase as the engine says it: Pending, Running, Succeeded, Failed, Canceled.
	// +optional
	Phase RunPhase `json:"phase,omitempty"`
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
	// Step that failed, in the engine's words, and its Message.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Step string `json:"step,omitempty"`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// URL of a page about it.
	// +optional
	URL string `json:"url,omitempty"`
	// KFP says which pipeline of Kubeflow Pipelines it is, and which version, as it was found when the run
	// began: each attempt is of the same.
	// +optional
	KFP *RunPipeline `json:"kfp,omitempty"`
	// Parameters with which it was started.
	// +optional
	Parameters map[string]string `json:"parameters,omitempty"`
	// Stopping says why it is being stopped: it is on record before the engine is asked to.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Stopping string `json:"stopping,omitempty"`
}

// RunPipeline is a pipeline in Kubeflow Pipelines.
type RunPipeline struct {
	// Name of the pipeline, and its Version; none for the newest.
	Name string `json:"name"`
	// +optional
	Version string `json:"version,omitempty"`
	// Address of the API; none for the default.
	// +optional
	Address string `json:"address,omitempty"`
}

// RunResult is what a run has made.
type RunResult struct {
	// Version of the model.
	// +optional
	Version string `json:"version,omitempty"`
	// ModelVersion is the spec of the ModelVersion of it: its artifact as it was found, its metrics, and where
	// it comes from.
	// +optional
	ModelVersion *ModelVersionSpec `json:"modelVersion,omitempty"`
	// Current is the version that it was compared with, by onlyIfBetter.
	// +optional
	Current string `json:"current,omitempty"`
	// Better: it passed onlyIfBetter, or there is none; Message says why not.
	// +optional
	Better bool `json:"better,omitempty"`
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// RetrainingRunStatus is how far a run is.
type RetrainingRunStatus struct {
	// Conditions: Ready (it succeeded), Reconciling (it goes on), Stalled (it ended otherwise).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase: Pending, Running, Backoff, Collecting, Proposing, or an end: Succeeded, Failed, Canceled, Skipped.
	// +optional
	Phase RunPhase `json:"phase,omitempty"`
	// Message says in one sentence why it is there.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// Attempts, the oldest first.
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=17
	// +optional
	Attempts []RunAttempt `json:"attempts,omitempty"`
	// Canceling says why the run is to end without a result.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Canceling string `json:"canceling,omitempty"`
	// NextAttemptAt is when the next attempt begins.
	// +optional
	NextAttemptAt *metav1.Time `json:"nextAttemptAt,omitempty"`
	// Result of the run.
	// +optional
	Result *RunResult `json:"result,omitempty"`
	// Proposal of the result.
	// +optional
	Proposal *ProposalStatus `json:"proposal,omitempty"`
	// SettledAt is when nothing more was to become of the pull request of the proposal: it was merged, or closed
	// by somebody, Git has the version by other means, or a newer run has taken its place. It is not opened
	// again, also when the version leaves Git.
	// +optional
	SettledAt *metav1.Time `json:"settledAt,omitempty"`
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
}

// RetrainingRun is the record of one run. Its name is derived from the slot, so that it can exist only once.
// The agent writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rtr,categories=sluice
// +kubebuilder:printcolumn:name="Retraining",type=string,JSONPath=`.spec.retraining`
// +kubebuilder:printcolumn:name="Slot",type=date,JSONPath=`.spec.slot`
// +kubebuilder:printcolumn:name="Trigger",type=string,JSONPath=`.spec.trigger.kind`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.result.version`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RetrainingRun struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   RetrainingRunSpec   `json:"spec"`
	Status RetrainingRunStatus `json:"status,omitempty"`
}

// RetrainingRunList is a list of RetrainingRuns.
// +kubebuilder:object:root=true
type RetrainingRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RetrainingRun `json:"items"`
}

// GetConditions returns the status conditions.
func (r *RetrainingRun) GetConditions() []metav1.Condition { return r.Status.Conditions }
