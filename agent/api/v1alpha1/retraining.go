package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RetrainingKind is the kind of a Retraining.
const RetrainingKind = "Retraining"

// RetrainingSpec says when to run which pipeline, and what becomes of the result.
// +kubebuilder:validation:XValidation:rule="!has(self.endAt) || !has(self.startAt) || self.endAt > self.startAt",message="endAt has to be after startAt"
type RetrainingSpec struct {
	// Model that is retrained, by the name of its Model or of the model that its ModelVersions name.
	// +kubebuilder:validation:Pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=48
	// +required
	Model string `json:"model"`

	// Schedules say when it is run: cron expressions of five fields (minute hour day-of-month month
	// day-of-week), descriptors such as @weekly, or "@every 6h", which counts from startAt, or from
	// the creation of the Retraining. A time that two of them name is one slot. None: by triggers and
	// by hand only.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +optional
	Schedules []string `json:"schedules,omitempty"`

	// TimeZone of the schedules by its IANA name, for instance Asia/Seoul. Default: UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// StartAt is when the first slot may be. Default: the creation of the Retraining.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +optional
	StartAt *metav1.Time `json:"startAt,omitempty"`

	// EndAt is when the last slot may be. Default: never.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +optional
	EndAt *metav1.Time `json:"endAt,omitempty"`

	// Suspend starts nothing more. What runs goes on. What was missed meanwhile is treated as missed
	// says.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Jitter delays each run by a part of this time that is always the same for this Retraining, so that
	// not all begin at once. The slot stays what it is. Default: none.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="jitter must be at most 87600h, which is ten years"
	// +optional
	Jitter metav1.Duration `json:"jitter,omitzero"`

	// ConcurrencyPolicy says what becomes of a slot while a run is going on: Forbid skips it, Allow runs
	// both, Replace cancels the one that goes on. Default Forbid.
	// +kubebuilder:validation:Enum=Allow;Forbid;Replace
	// +kubebuilder:default=Forbid
	// +optional
	ConcurrencyPolicy ConcurrencyPolicy `json:"concurrencyPolicy,omitempty"`

	// Missed says what becomes of slots that went by while the agent was not running, the Retraining was
	// suspended, or the engine could not be reached: Skip records them, Latest runs the last of them,
	// All runs each, one after the other, at most missedLimit of them, the newest. The newest slot is on
	// time for five minutes. Default Latest.
	// +kubebuilder:validation:Enum=Skip;Latest;All
	// +kubebuilder:default=Latest
	// +optional
	Missed MissedPolicy `json:"missed,omitempty"`

	// MissedLimit bounds missed: All. Default 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MissedLimit int32 `json:"missedLimit,omitempty"`

	// StartingDeadline is how late after its slot a run may begin; a slot that is later is missed for
	// good. Default: none.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="startingDeadline must be at most 87600h, which is ten years"
	// +optional
	StartingDeadline metav1.Duration `json:"startingDeadline,omitzero"`

	// Triggers start runs besides the schedules.
	// +optional
	Triggers *RetrainingTriggers `json:"triggers,omitempty"`

	// Run is what is run, by which engine.
	// +required
	Run RunTemplate `json:"run"`

	// Timeout of one attempt. Default: none.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="timeout must be at most 87600h, which is ten years"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// Retries is how many more attempts a failed run gets, for the same slot. Default 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=16
	// +optional
	Retries int32 `json:"retries,omitempty"`

	// RetryBackoff is the pause before the second attempt; it doubles with each, up to an hour. Default
	// 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="retryBackoff must be at most 87600h, which is ten years"
	// +optional
	RetryBackoff metav1.Duration `json:"retryBackoff,omitzero"`

	// Result says where the result of a run is found, and how it comes to Git. Default: it is recorded as
	// succeeded or failed, and that is all.
	// +optional
	Result *ResultSpec `json:"result,omitempty"`

	// HistoryLimit is how many ended RetrainingRuns are kept, with what their engines have of them.
	// Default 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	HistoryLimit int32 `json:"historyLimit,omitempty"`

	// UnhealthyAfter is how many runs in a row have to fail for the condition Healthy to be False.
	// Default 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	UnhealthyAfter int32 `json:"unhealthyAfter,omitempty"`

	// ServiceAccountName is the account of this namespace in whose name the engine is spoken with.
	// Default: the agent's --default-service-account, or its own.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// ConcurrencyPolicy says what becomes of a slot while a run is going on.
type ConcurrencyPolicy string

// Concurrency policies.
const (
	AllowConcurrent   ConcurrencyPolicy = "Allow"
	ForbidConcurrent  ConcurrencyPolicy = "Forbid"
	ReplaceConcurrent ConcurrencyPolicy = "Replace"
)

// MissedPolicy says what becomes of missed slots.
type MissedPolicy string

// Policies for missed slots.
const (
	MissedSkip   MissedPolicy = "Skip"
	MissedLatest MissedPolicy = "Latest"
	MissedAll    MissedPolicy = "All"
)

// RetrainingTriggers start runs besides schedules. Each run says what started it.
type RetrainingTriggers struct {
	// Data starts a run when what is below a prefix of an object store has changed.
	// +optional
	Data *DataTrigger `json:"data,omitempty"`

	// Metric starts a run when a measurement has been out of its bounds for a time.
	// +optional
	Metric *MetricTrigger `json:"metric,omitempty"`

	// Commit starts a run when the definition of the pipeline has changed in Git. Default false.
	// +optional
	Commit bool `json:"commit,omitempty"`

	// MinimumInterval between two runs that triggers start. Default 1h.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="minimumInterval must be at most 87600h, which is ten years"
	// +optional
	MinimumInterval metav1.Duration `json:"minimumInterval,omitzero"`
}

// DataTrigger watches a prefix of an object store.
type DataTrigger struct {
	// URI of the prefix: s3://bucket/path/, gs://, azblob://.
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URI string `json:"uri"`

	// SecretRef names a Secret of this namespace with the credentials, as for artifacts of
	// ModelVersions.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Interval between two looks, at least 1s. A look is one list of the prefix. Default 5m.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval must be at least 1s"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="interval must be at most 87600h, which is ten years"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// Settle is how long nothing may have changed any more, so that a run does not begin while data
	// is being written. Default 5m.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="settle must be at most 87600h, which is ten years"
	// +optional
	Settle metav1.Duration `json:"settle,omitzero"`
}

// MetricTrigger measures again and again.
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="say what the value has to be: min or max"
type MetricTrigger struct {
	// Prometheus is asked for one number. Its variables are ${model}, ${stage}, ${namespace} and ${version}
	// of what serves in Stage.
	// +required
	Prometheus PrometheusQuery `json:"prometheus"`

	// Stage whose version is meant. Default: the last stage of the Model.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Stage string `json:"stage,omitempty"`

	// Min is the least that the value may be: a decimal.
	// +kubebuilder:validation:Pattern="^-?[0-9]+(\\.[0-9]+)?$"
	// +optional
	Min string `json:"min,omitempty"`

	// Max is the most that the value may be: a decimal.
	// +kubebuilder:validation:Pattern="^-?[0-9]+(\\.[0-9]+)?$"
	// +optional
	Max string `json:"max,omitempty"`

	// For is how long it has to be out of its bounds, without a break. Default 10m.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="for must be at most 87600h, which is ten years"
	// +optional
	For metav1.Duration `json:"for,omitzero"`

	// Interval between two measurements, at least 500ms. Default 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('500ms')",message="interval must be at least 500ms"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="interval must be at most 87600h, which is ten years"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`
}

// RunTemplate is what is run. Exactly one engine is given. Values of parameters and texts of templates are
// Go templates over .Slot (a time), .Run (its name), .Attempt, .LastSuccess (a time), .Model, .Version (that
// serves in a stage: .Version "production"), .Data (.Fingerprint, .Count, .Newest), .Revision (of Git).
// +kubebuilder:validation:XValidation:rule="[has(self.kfp), has(self.workflow), has(self.trainJob), has(self.trainingJob), has(self.experiment), has(self.job), has(self.object)].filter(x, x).size() == 1",message="a run has exactly one of kfp, workflow, trainJob, trainingJob, experiment, job and object"
type RunTemplate struct {
	// KFP runs a pipeline of Kubeflow Pipelines.
	// +optional
	KFP *KFPRun `json:"kfp,omitempty"`
	// Workflow runs a WorkflowTemplate of Argo Workflows.
	// +optional
	Workflow *WorkflowRun `json:"workflow,omitempty"`
	// TrainJob is the spec of a TrainJob of Kubeflow Trainer.
	// +optional
	TrainJob *ObjectTemplate `json:"trainJob,omitempty"`
	// TrainingJob is a job of the training-operator: PyTorchJob, TFJob, MPIJob, XGBoostJob, PaddleJob,
	// JAXJob.
	// +optional
	TrainingJob *TrainingJobRun `json:"trainingJob,omitempty"`
	// Experiment is the spec of an Experiment of Katib.
	// +optional
	Experiment *ObjectTemplate `json:"experiment,omitempty"`
	// Job is the spec of a Job of Kubernetes.
	// +optional
	Job *ObjectTemplate `json:"job,omitempty"`
	// Object is any object, with how to tell what has become of it.
	// +optional
	Object *ObjectRun `json:"object,omitempty"`

	// Parameters of the run by their names.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	Parameters map[string]string `json:"parameters,omitempty"`
}

// KFPRun runs a pipeline.
type KFPRun struct {
	// Pipeline is the name of a Pipeline of this namespace, or of one that is in Kubeflow Pipelines.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Pipeline string `json:"pipeline"`
	// Version of the pipeline. Default: of a Pipeline the one of the same commit as the Retraining; else the
	// newest.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Version string `json:"version,omitempty"`
	// Address of the API. Default: http://ml-pipeline.kubeflow:8888.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern="^https?://[^@ ?#]+$"
	// +optional
	Address string `json:"address,omitempty"`
	// Namespace of the run in multi-user mode. Default: that of the Retraining.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Experiment by its name. Default: the model's name.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Experiment string `json:"experiment,omitempty"`
	// ServiceAccount of the pods of the run.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// PipelineRoot is where artifacts go.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	PipelineRoot string `json:"pipelineRoot,omitempty"`
	// Values of parameters that are no texts: numbers, booleans, lists, structs.
	// +optional
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// WorkflowRun runs a template of Argo Workflows.
type WorkflowRun struct {
	// Template is the name of a WorkflowTemplate of this namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Template string `json:"template"`
	// ClusterScope: it is a ClusterWorkflowTemplate.
	// +optional
	ClusterScope bool `json:"clusterScope,omitempty"`
	// Entrypoint, if another than the template's.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Entrypoint string `json:"entrypoint,omitempty"`
	// ServiceAccount of the pods.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Spec is merged over the spec of the Workflow: queues, node selectors, priorities.
	// +optional
	Spec *apiextensionsv1.JSON `json:"spec,omitempty"`
	// Labels and Annotations of the Workflow.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ObjectTemplate is a spec whose texts are templates.
type ObjectTemplate struct {
	// Spec of the object.
	// +required
	Spec apiextensionsv1.JSON `json:"spec"`
	// Labels and Annotations of the object, such as kueue.x-k8s.io/queue-name.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// TrainingJobRun is a job of the training-operator.
type TrainingJobRun struct {
	// Kind of the job.
	// +kubebuilder:validation:Enum=PyTorchJob;TFJob;MPIJob;XGBoostJob;PaddleJob;JAXJob
	// +required
	Kind           string `json:"kind"`
	ObjectTemplate `json:",inline"`
}

// ObjectRun is any namespaced object.
type ObjectRun struct {
	// APIVersion and Kind of the object.
	// +kubebuilder:validation:MaxLength=253
	// +required
	APIVersion string `json:"apiVersion"`
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind"`
	// Template is the object but for apiVersion, kind, and metadata other than labels and annotations.
	// +required
	Template apiextensionsv1.JSON `json:"template"`
	// Succeeded is a CEL expression over object: "object.status.phase == 'Done'".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Succeeded string `json:"succeeded"`
	// Failed is a CEL expression over object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Failed string `json:"failed"`
	// Message is a CEL expression over object that gives a text: why it failed.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
	// Outputs are CEL expressions over object that give texts, by the name of the output.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Outputs map[string]string `json:"outputs,omitempty"`
}

// ResultSpec says where the result of a run is found, and how it comes to Git.
// +kubebuilder:validation:XValidation:rule="[has(self.artifact), has(self.outputs), has(self.configMap), has(self.terminationMessage)].filter(x, x).size() == 1",message="a result has exactly one of artifact, outputs, configMap and terminationMessage"
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || !has(self.artifact) && !has(self.outputs)",message="artifact and outputs have a secretRef of their own: put it there"
type ResultSpec struct {
	// Artifact is a JSON or YAML document in an object store, at most 1 MiB: uri, digest, size, metrics,
	// format, lineage.
	// +optional
	Artifact *ResultArtifact `json:"artifact,omitempty"`
	// Outputs takes it from what the engine says of the run: the outputs of a Workflow, of an object, or the
	// optimum of an Experiment. Uri, metrics and dataset are the names of outputs.
	// +optional
	Outputs *ResultOutputs `json:"outputs,omitempty"`
	// ConfigMap of this namespace whose key result.json has the document. Its name is a template.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ConfigMap string `json:"configMap,omitempty"`
	// TerminationMessage of the pod of a Job is the document.
	// +optional
	TerminationMessage bool `json:"terminationMessage,omitempty"`

	// SecretRef names a Secret of this namespace with the credentials for the artifact, where the document is in
	// a ConfigMap or a termination message. ModelVersions get the same.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Version of the ModelVersion: a template over what parameters are over.
	// Default: {{ .Slot.UTC.Format "20060102-1504" }}.
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Version string `json:"version,omitempty"`

	// OnlyIfBetter is a CEL expression over candidate and current, as of gates, that has to be true for the
	// result to be proposed. It is recorded in any case.
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	OnlyIfBetter string `json:"onlyIfBetter,omitempty"`

	// Propose commits the ModelVersion to a branch. Default: it is only recorded.
	// +optional
	Propose *ResultProposal `json:"propose,omitempty"`
}

// ResultArtifact is a document in an object store.
type ResultArtifact struct {
	// URI of the document: a template.
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URI string `json:"uri"`
	// SecretRef names a Secret of this namespace with the credentials. ModelVersions get the same.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`
}

// ResultOutputs names outputs.
type ResultOutputs struct {
	// URI is the name of the output with the URI of the artifact, or a template of it.
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URI string `json:"uri"`
	// SecretRef names a Secret of this namespace with the credentials for the artifact.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`
	// Metrics are the names of outputs by the names of metrics.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Metrics map[string]string `json:"metrics,omitempty"`
	// Dataset is the name of the output with the dataset.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Dataset string `json:"dataset,omitempty"`
}

// ResultProposal says where in Git a result goes.
type ResultProposal struct {
	// RepositoryRef names the Repository. Default: the one that the Retraining comes from.
	// +optional
	RepositoryRef *RepositoryReference `json:"repositoryRef,omitempty"`
	// Path of the directory, with a kustomization, to which the file is added.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Path string `json:"path"`
	// Branch to which the commit is pushed, such as main, without anybody being asked: the agent's account
	// for Git has to be allowed to. Default: a branch of its own, sluice/retrain/<model>-<version>, of which
	// a pull request is opened where the Repository has spec.pullRequests.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Branch string `json:"branch,omitempty"`
	// Stage of the Model whose version is set too. Default: none.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Stage string `json:"stage,omitempty"`
}

// RetrainingStatus is how a Retraining is.
type RetrainingStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready (the spec can be carried out; also while a run goes on), Healthy (the last runs
	// succeeded, and no slot was missed since), Stalled (the spec has to be changed).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was
	// answered last: each starts a run.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	// HandledSlot is the last slot of which it was decided what becomes of it. Slots before it are never
	// looked at again.
	// +optional
	HandledSlot *metav1.Time `json:"handledSlot,omitempty"`
	// Waiting are slots before it that were missed and are still to be run, one after the other, the
	// oldest first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Waiting []metav1.Time `json:"waiting,omitempty"`
	// ScheduleDigest is that of the schedules, zone, start and end that HandledSlot is of. When they
	// change, what was due by those before is not run.
	// +optional
	ScheduleDigest string `json:"scheduleDigest,omitempty"`
	// SuspendedSince is when it was first seen to be suspended; slots from then on are missed.
	// +optional
	SuspendedSince *metav1.Time `json:"suspendedSince,omitempty"`
	// Next are the coming slots, with the jitter.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Next []metav1.Time `json:"next,omitempty"`
	// Active are the names of the RetrainingRuns that go on.
	// +listType=atomic
	// +optional
	Active []string `json:"active,omitempty"`
	// LastRun is the run that ended last, at LastEnded, with LastResult: Succeeded, Failed or Canceled.
	// +optional
	LastRun string `json:"lastRun,omitempty"`
	// +optional
	LastEnded *metav1.Time `json:"lastEnded,omitempty"`
	// +optional
	LastResult RunPhase `json:"lastResult,omitempty"`
	// LastSuccess is when the newest run that succeeded ended, and LastSuccessSlot what it was for.
	// +optional
	LastSuccess *metav1.Time `json:"lastSuccess,omitempty"`
	// +optional
	LastSuccessSlot *metav1.Time `json:"lastSuccessSlot,omitempty"`
	// Streak counts runs in a row with the same end: positive if they succeeded, negative if they failed.
	// +optional
	Streak int32 `json:"streak,omitempty"`
	// Missed counts slots that were missed for good since the creation, and LastMissed is the newest
	// of them.
	// +optional
	Missed int64 `json:"missed,omitempty"`
	// +optional
	LastMissed *metav1.Time `json:"lastMissed,omitempty"`
	// Data is what the data trigger has seen, and Definition the digest of the pipeline's definition.
	// +optional
	Data *DataSeen `json:"data,omitempty"`
	// +optional
	Definition string `json:"definition,omitempty"`
	// Metric is what the metric trigger has seen.
	// +optional
	Metric *MetricSeen `json:"metric,omitempty"`
}

// MetricSeen is how a measurement has been.
type MetricSeen struct {
	// Value that was measured last.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Value string `json:"value,omitempty"`
	// Since when it has been out of its bounds without a break; none if it is within them.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Used is the Since that the last run was started with.
	// +optional
	Used *metav1.Time `json:"used,omitempty"`
}

// DataSeen is what a prefix had in it.
type DataSeen struct {
	// Fingerprint over names, sizes and ETags.
	Fingerprint string `json:"fingerprint"`
	// Count of objects, and the time of the Newest.
	Count  int64        `json:"count"`
	Newest *metav1.Time `json:"newest,omitempty"`
	// Since when it is so.
	Since metav1.Time `json:"since"`
	// Used is the fingerprint that the last run was started with, or the first that was seen.
	// +optional
	Used string `json:"used,omitempty"`
}

// Retraining says when to run which pipeline, and what becomes of the result.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=retrain,categories=sluice
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 48",message="the name of a Retraining becomes part of the names of its runs: at most 48 characters"
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="Healthy")].status`
// +kubebuilder:printcolumn:name="Last success",type=date,JSONPath=`.status.lastSuccess`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.next[0]`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Retraining struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   RetrainingSpec   `json:"spec"`
	Status RetrainingStatus `json:"status,omitempty"`
}

// RetrainingList is a list of Retrainings.
// +kubebuilder:object:root=true
type RetrainingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Retraining `json:"items"`
}

// GetConditions returns the status conditions.
func (r *Retraining) GetConditions() []metav1.Condition { return r.Status.Conditions }
