package v1alpha1

import (
	"encoding/json"

	"github.com/fluxcd/pkg/apis/meta"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ModelKind is the kind of a Model.
const ModelKind = "Model"

// ModelSpec says which version of a model serves in which stage, how, and what has to be true
// before.
type ModelSpec struct {
	// Serving is the template of what serves the model in each stage.
	// +required
	Serving Serving `json:"serving"`

	// Stages in the order of promotion, for instance staging and production.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(s, !has(s.promoteFrom) || self.exists(other, other.name == s.promoteFrom && other.name != s.name))",message="promoteFrom names another stage of this Model"
	// +required
	Stages []Stage `json:"stages"`

	// ServiceAccountName is the ServiceAccount of this namespace in whose name what serves is read
	// and written. Default: as for Overlays.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// KeysSecretRef names a Secret of this namespace with public keys: the artifact of every
	// version has to be signed with one of them.
	// +optional
	KeysSecretRef *meta.LocalObjectReference `json:"keysSecretRef,omitempty"`

	// HistoryLimit is how many ended Promotions are kept for each stage. Default 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	HistoryLimit int32 `json:"historyLimit,omitempty"`

	// KeyMetric is the metric of versions that overviews show, for instance auc.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	KeyMetric string `json:"keyMetric,omitempty"`

	// Suspend leaves everything as it is: no promotion begins or goes on, and drift is not
	// corrected.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Serving is the template of what serves a model. Exactly one of its kinds is given.
// +kubebuilder:validation:XValidation:rule="has(self.kserve) != has(self.deployment)",message="serving has exactly one of kserve and deployment"
type Serving struct {
	// KServe serves by an InferenceService.
	// +optional
	KServe *KServeServing `json:"kserve,omitempty"`

	// Deployment serves by a Deployment and a Service.
	// +optional
	Deployment *DeploymentServing `json:"deployment,omitempty"`
}

// KServeServing is the template of an InferenceService.
type KServeServing struct {
	// Template is the spec of the InferenceService. The agent puts in the artifact's URI
	// (predictor.model.storageUri), the format, where the template has none, and the traffic; a
	// template that has a storageUri or canary traffic is refused.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +required
	Template apiextensionsv1.JSON `json:"template"`

	// Mode of KServe: Knative or Standard. Default: what the cluster has by default.
	// +kubebuilder:validation:Enum=Knative;Standard
	// +optional
	Mode string `json:"mode,omitempty"`

	// Metadata for the InferenceService.
	// +optional
	Metadata *CommonMetadata `json:"metadata,omitempty"`

	// Gateway that traffic comes through, for canaries where the installed KServe has none in
	// Standard mode: an HTTPRoute is attached to it.
	// +optional
	Gateway *GatewayReference `json:"gateway,omitempty"`
}

// DeploymentServing is the template of a Deployment with a Service.
type DeploymentServing struct {
	// Template is the spec of the Deployment. In all strings of its containers, ${uri}, ${version}
	// and ${digest} stand for those of the version. The agent sets the selector and its own labels.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	// +required
	Template apiextensionsv1.JSON `json:"template"`

	// Port of the container that serves.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +required
	Port int32 `json:"port"`

	// ServicePort is the port of the Service. Default 80.
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	ServicePort int32 `json:"servicePort,omitempty"`

	// Metadata for the Deployment and the Service.
	// +optional
	Metadata *CommonMetadata `json:"metadata,omitempty"`

	// Gateway that traffic comes through: an HTTPRoute with weights is attached to it. Without it,
	// or where the Gateway API is not installed, a version gets all traffic at once.
	// +optional
	Gateway *GatewayReference `json:"gateway,omitempty"`
}

// GatewayReference names a Gateway of the Gateway API.
type GatewayReference struct {
	// Name of the Gateway.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Namespace of the Gateway. Default: that of the stage.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Hostnames of the route; ${stage} and ${model} are filled in.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Hostnames []string `json:"hostnames,omitempty"`

	// Path prefix of the route. Default /.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Path string `json:"path,omitempty"`
}

// Stage is one place in which a model serves.
type Stage struct {
	// Name of the stage, for instance production.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=40
	// +required
	Name string `json:"name"`

	// Namespace in which the version serves. Default: that of the Model.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Version that is to serve. Changing this line is the promotion. Empty: nothing serves.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Version string `json:"version,omitempty"`

	// Gates that a version has to pass, in this order, before it gets any traffic.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Gates []Gate `json:"gates,omitempty"`

	// Rollout says how a version takes over. Default: at once.
	// +kubebuilder:default={}
	// +optional
	Rollout Rollout `json:"rollout,omitzero"`

	// PromoteFrom names the stage whose version is proposed for this one, by a commit to a branch,
	// once it passes this stage's gates.
	// +kubebuilder:validation:MaxLength=40
	// +optional
	PromoteFrom string `json:"promoteFrom,omitempty"`

	// Merge: Auto has the agent merge the pull request with which it proposes a version for this
	// stage, once all gates are passed that need no commit. Default: people merge it.
	// +kubebuilder:validation:Enum=Auto;Manual
	// +optional
	Merge MergePolicy `json:"merge,omitempty"`
}

// Rollout says how a version takes over from the one before.
type Rollout struct {
	// Canary gives the version more and more of the traffic. Without steps it gets all at once,
	// when it is ready.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.map(s, s.traffic).isSorted() && self.all(a, self.exists_one(b, b.traffic == a.traffic))",message="each step has more traffic than the one before"
	// +optional
	Canary []CanaryStep `json:"canary,omitempty"`

	// Analysis goes on at each step, for as long as it holds; the step ends when all have
	// succeeded and it has held.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Analysis []Analysis `json:"analysis,omitempty"`

	// OnFailure says what happens when an analysis fails or the version does not get ready:
	// Rollback gives all traffic back to the version before at once; Hold leaves it as it is.
	// Either way the version is held until the spec changes. Default Rollback.
	// +kubebuilder:validation:Enum=Rollback;Hold
	// +kubebuilder:default=Rollback
	// +optional
	OnFailure string `json:"onFailure,omitempty"`

	// ReadyTimeout is how long a version may take to get ready. Default 10m.
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="readyTimeout must be at most 87600h, which is ten years"
	// +optional
	ReadyTimeout metav1.Duration `json:"readyTimeout,omitzero"`

	// Drain is how long the former version keeps running after it has lost its traffic, for
	// requests that are under way. Default 15s.
	// +kubebuilder:default="15s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="drain must be at most 87600h, which is ten years"
	// +optional
	Drain metav1.Duration `json:"drain,omitzero"`

	// CanaryOnReturn has a version that served here before go through all steps again. Default
	// false: going back is fast.
	// +optional
	CanaryOnReturn bool `json:"canaryOnReturn,omitempty"`
}

// What happens when a rollout fails.
const (
	// OnFailureRollback gives all traffic back to the version before.
	OnFailureRollback = "Rollback"
	// OnFailureHold leaves the traffic as it is.
	OnFailureHold = "Hold"
)

// CanaryStep is a share of the traffic and how long it stays.
type CanaryStep struct {
	// Traffic in percent.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +required
	Traffic int32 `json:"traffic"`

	// Hold is how long the step lasts at least, for instance 5m. Default 0.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="hold must be at most 87600h, which is ten years"
	// +optional
	Hold metav1.Duration `json:"hold,omitzero"`
}

// Object reads a template.
func (t KServeServing) Object() (map[string]any, error) { return objectOf(t.Template) }

// Object reads a template.
func (t DeploymentServing) Object() (map[string]any, error) { return objectOf(t.Template) }

func objectOf(raw apiextensionsv1.JSON) (map[string]any, error) {
	var object map[string]any
	err := json.Unmarshal(raw.Raw, &object)
	return object, err
}

// ModelStatus is what serves now.
type ModelStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready (each stage serves the version that its spec names), Healthy (what serves
	// is healthy), Reconciling (a promotion is under way), Stalled (somebody has to change something).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Summary is what serves in a line: "staging v8, production v7 (v8 at 10 %)".
	// +optional
	Summary string `json:"summary,omitempty"`

	// Means is what the cluster can do for this Model, and how its traffic is shared.
	// +optional
	Means string `json:"means,omitempty"`

	// Stages are the stages of the spec as they are.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Stages []StageStatus `json:"stages,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that
	// was answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// StagePhase is how a stage is.
// +kubebuilder:validation:Enum=Empty;Serving;Promoting;Held;Unhealthy
type StagePhase string

// Phases of stages.
const (
	// StageEmpty: nothing is to serve.
	StageEmpty StagePhase = "Empty"
	// StageServing: the version of the spec serves, with all traffic.
	StageServing StagePhase = "Serving"
	// StagePromoting: a promotion is under way.
	StagePromoting StagePhase = "Promoting"
	// StageHeld: the version of the spec was turned back or refused, and what served before serves on.
	StageHeld StagePhase = "Held"
	// StageUnhealthy: the version of the spec has the traffic and does not serve.
	StageUnhealthy StagePhase = "Unhealthy"
)

// StageStatus is one stage as it is.
type StageStatus struct {
	// Name of the stage.
	Name string `json:"name"`

	// Namespace in which it serves.
	Namespace string `json:"namespace"`

	// Layout is what it serves by: Knative, Standard (both KServe), SideBySide (KServe, with an
	// InferenceService for each version) or Deployment. After a change of the spec or of the cluster,
	// it and Namespace stay what they are until what serves is ready in the new way.
	// +optional
	Layout string `json:"layout,omitempty"`

	// Version that serves, with all the traffic that Traffic does not give to another. Empty if
	// nothing serves.
	// +optional
	Version string `json:"version,omitempty"`

	// Digest of the artifact of Version.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Since when Version has had all traffic without a break; unset while it has not.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// Phase: Empty, Serving, Promoting, Held or Unhealthy.
	Phase StagePhase `json:"phase"`

	// Candidate is the version that a promotion is about, or that is held; empty for none.
	// +optional
	Candidate string `json:"candidate,omitempty"`

	// Traffic that the candidate has, in percent.
	// +optional
	Traffic int32 `json:"traffic,omitempty"`

	// Metric is the key metric of the version that serves, or of the candidate beside it: "auc 0.945
	// (v7 0.941)".
	// +optional
	Metric string `json:"metric,omitempty"`

	// Promotion is the name of the newest Promotion of this stage.
	// +optional
	Promotion string `json:"promotion,omitempty"`

	// Proposed is the version that is proposed for this stage, because it passed the gates in the stage
	// before; until a commit names it.
	// +optional
	Proposed string `json:"proposed,omitempty"`

	// Proposal is the branch that proposes it, or why there is none.
	// +optional
	Proposal *ProposalStatus `json:"proposal,omitempty"`

	// URL at which the stage serves, as far as it is known.
	// +optional
	URL string `json:"url,omitempty"`

	// Message says in one sentence how the stage is: why its version does not serve, if it does not.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// Model says which version of a trained model serves in which stage. Changing the version of a
// stage is its promotion.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=sluice
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 48",message="the name of a Model becomes part of the names of Services and of labels: at most 48 lower-case letters, digits and '-', a letter first"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Serving",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Means",type=string,JSONPath=`.status.means`,priority=1
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Model struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ModelSpec   `json:"spec,omitempty"`
	Status ModelStatus `json:"status,omitempty"`
}

// ModelList is a list of Models.
// +kubebuilder:object:root=true
type ModelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Model `json:"items"`
}

// GetConditions returns the status conditions.
func (m *Model) GetConditions() []metav1.Condition { return m.Status.Conditions }

// NamespaceOf returns the namespace in which a stage serves.
func (m *Model) NamespaceOf(s Stage) string { return orDefault(s.Namespace, m.Namespace) }

// MergePolicy says who merges what the agent proposes.
type MergePolicy string

// Policies.
const (
	// MergeManual: people do.
	MergeManual MergePolicy = "Manual"
	// MergeAuto: the agent does.
	MergeAuto MergePolicy = "Auto"
)
