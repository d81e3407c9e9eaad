package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ModelVersionKind is the kind of a ModelVersion.
const ModelVersionKind = "ModelVersion"

// ModelVersionSpec is one trained artifact of a model. It never changes: another artifact is
// another version.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a ModelVersion never changes: register another version"
type ModelVersionSpec struct {
	// Model is the name of the Model, in this namespace, that this is a version of.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=48
	// +required
	Model string `json:"model"`

	// Version is the name of the version, unique within the model, for instance v8.
	// +kubebuilder:validation:Pattern="^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	// +required
	Version string `json:"version"`

	// Artifact is where the trained model is.
	// +required
	Artifact Artifact `json:"artifact"`

	// Format of the artifact, as KServe names it.
	// +optional
	Format ModelFormat `json:"format,omitzero"`

	// Metrics are what was measured of this version, by name: decimals such as "0.941". Gates
	// compare them with those of the version that serves.
	// +kubebuilder:validation:MaxProperties=128
	// +optional
	Metrics map[string]Metric `json:"metrics,omitempty"`

	// Lineage says where this version comes from.
	// +optional
	Lineage Lineage `json:"lineage,omitzero"`
}

// Metric is a decimal, such as "0.941" or "12".
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,3})?$')",message="a metric is a decimal number in quotes, such as \"0.941\": NaN, infinity and words are none"
type Metric string

// Artifact is a trained model in object storage, an image registry or a volume.
// +kubebuilder:validation:XValidation:rule="!self.uri.split('/').exists(p, p == '..')",fieldPath=".uri",message="the URI has '..' in its path: name the path that is meant"
// +kubebuilder:validation:XValidation:rule="!self.uri.matches('@.*/|[?#]') && (self.uri.startsWith('oci://') || !self.uri.contains('@'))",fieldPath=".uri",message="the URI has credentials, a query or a fragment in it: credentials go into the Secret that secretRef names"
type Artifact struct {
	// URI of an object or of everything below a prefix: s3://, gs://, azblob://, oci://, https://.
	// pvc:// and hf:// are taken as they are and not verified.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URI string `json:"uri"`

	// Digest is the SHA-256 of the artifact, as `sluice model digest` computes it: sha256: and 64
	// hexadecimal digits. Without it, the digest of the first look counts from then on.
	// +kubebuilder:validation:Pattern="^sha256:[0-9a-f]{64}$"
	// +optional
	Digest string `json:"digest,omitempty"`

	// Size is the sum of the sizes of all files in bytes. It is compared if it is given.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Size *int64 `json:"size,omitempty"`

	// SecretRef names a Secret of this namespace with credentials for the object storage: in the
	// form that KServe takes, so that one Secret serves both. Default: the agent's own identity.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Signature is a detached signature over the digest, in base64.
	// +kubebuilder:validation:MaxLength=8192
	// +optional
	Signature string `json:"signature,omitempty"`
}

// ModelFormat is the format of an artifact.
type ModelFormat struct {
	// Name of the format, for instance sklearn, xgboost, onnx, huggingface.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Name string `json:"name,omitempty"`

	// Version of the format.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Version string `json:"version,omitempty"`
}

// Lineage says where a version comes from. All of it is for people and for gates.
type Lineage struct {
	// Run is what trained it, for instance the name of a RetrainingRun.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Run string `json:"run,omitempty"`

	// Pipeline is the pipeline of the run, with its version.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pipeline string `json:"pipeline,omitempty"`

	// Dataset is what it was trained with: a URI, a version or a fingerprint.
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Dataset string `json:"dataset,omitempty"`

	// Commit is the commit of the training code.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Commit string `json:"commit,omitempty"`

	// TrainedAt is when the training ended.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
	// +optional
	TrainedAt *metav1.Time `json:"trainedAt,omitempty"`
}

// ModelVersionStatus is what was found of the artifact.
type ModelVersionStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready (the artifact is what the spec says, or is of a kind that is not verified),
	// Reconciling (it is being read), Stalled (it is not what the spec says).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Artifact as it was found.
	// +optional
	Artifact *ArtifactStatus `json:"artifact,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that
	// was answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// MetricTexts returns the metrics as the texts that they are.
func (s ModelVersionSpec) MetricTexts() map[string]string {
	texts := make(map[string]string, len(s.Metrics))
	for name, value := range s.Metrics {
		texts[name] = string(value)
	}
	return texts
}

// ArtifactStatus is an artifact as it was found.
type ArtifactStatus struct {
	// Verified tells whether the artifact was read and is what the spec says; false for kinds of
	// storage that are taken as they are.
	Verified bool `json:"verified"`

	// Digest of all files, as `sluice model digest` computes it.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Size of all files in bytes.
	// +optional
	Size int64 `json:"size,omitempty"`

	// Files is how many there are.
	// +optional
	Files int32 `json:"files,omitempty"`

	// Fingerprint of names, sizes and ETags: as long as it is the same, nothing is read again.
	// +optional
	Fingerprint string `json:"fingerprint,omitempty"`
}

// ModelVersion is one trained artifact of a model: an immutable record that lives in Git.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mv,categories=sluice
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Verified",type=boolean,JSONPath=`.status.artifact.verified`
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.status.artifact.size`,priority=1
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="URI",type=string,JSONPath=`.spec.artifact.uri`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ModelVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   ModelVersionSpec   `json:"spec"`
	Status ModelVersionStatus `json:"status,omitempty"`
}

// ModelVersionList is a list of ModelVersions.
// +kubebuilder:object:root=true
type ModelVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ModelVersion `json:"items"`
}

// GetConditions returns the status conditions.
func (v *ModelVersion) GetConditions() []metav1.Condition { return v.Status.Conditions }
