package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PipelineKind is the kind of a Pipeline.
const PipelineKind = "Pipeline"

// PipelineSpec is a compiled pipeline of Kubeflow Pipelines, delivered as Git says.
type PipelineSpec struct {
	// KFP says what is delivered, and where to.
	// +required
	KFP KFPPipeline `json:"kfp"`

	// ServiceAccountName is the account of this namespace in whose name it is delivered. Default: the agent's
	// --default-service-account, or its own.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// KFPPipeline is a package, and where it goes.
type KFPPipeline struct {
	// Name of the pipeline in Kubeflow Pipelines. Default: the name of this object.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Name string `json:"name,omitempty"`
	// Package is the compiled IR YAML (v2), as the kfp compiler, Kale and Elyra write it.
	// +required
	Package PipelinePackage `json:"package"`
	// Address of the API. Default: http://ml-pipeline.kubeflow:8888.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern="^https?://[^@ ?#]+$"
	// +optional
	Address string `json:"address,omitempty"`
	// Namespace of the pipeline in multi-user mode. Default: that of this object.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Mode: REST, or Kubernetes where Kubeflow Pipelines keeps pipelines as objects. Default: Kubernetes where
	// the cluster has its kinds, else REST.
	// +kubebuilder:validation:Enum=REST;Kubernetes
	// +optional
	Mode PipelineMode `json:"mode,omitempty"`
	// KeepVersions is how many versions are kept, besides those that Retrainings run. Default 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	KeepVersions int32 `json:"keepVersions,omitempty"`
}

// PipelineMode is how Kubeflow Pipelines keeps pipelines.
type PipelineMode string

// Modes.
const (
	PipelineREST       PipelineMode = "REST"
	PipelineKubernetes PipelineMode = "Kubernetes"
)

// PipelinePackage is where the compiled pipeline is.
type PipelinePackage struct {
	// ConfigMapRef names a ConfigMap of this namespace, such as one that a configMapGenerator makes of the
	// file, with the key pipeline.yaml.
	// +required
	ConfigMapRef meta.LocalObjectReference `json:"configMapRef"`
	// Key in it. Default pipeline.yaml.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Key string `json:"key,omitempty"`
}

// PipelineStatus is what was delivered.
type PipelineStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready (the version is there), Stalled.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was
	// answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	// PipelineID of the pipeline, and Version with VersionID: the name is made of the content.
	// +optional
	PipelineID string `json:"pipelineID,omitempty"`
	// +optional
	Version string `json:"version,omitempty"`
	// +optional
	VersionID string `json:"versionID,omitempty"`
	// Digest of the package.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Revision of Git that it came with.
	// +optional
	Revision string `json:"revision,omitempty"`
	// DeliveredAt is when the version was delivered first.
	// +optional
	DeliveredAt *metav1.Time `json:"deliveredAt,omitempty"`
}

// Pipeline is a compiled pipeline, delivered to Kubeflow Pipelines on commit.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=sluice
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Pipeline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   PipelineSpec   `json:"spec"`
	Status PipelineStatus `json:"status,omitempty"`
}

// PipelineList is a list of Pipelines.
// +kubebuilder:object:root=true
type PipelineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Pipeline `json:"items"`
}

// GetConditions returns the status conditions.
func (p *Pipeline) GetConditions() []metav1.Condition { return p.Status.Conditions }
