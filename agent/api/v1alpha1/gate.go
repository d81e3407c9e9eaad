package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Gate is a condition that a version has to meet before it may serve in a stage. Exactly one of
// its kinds is given.
// +kubebuilder:validation:XValidation:rule="[has(self.cel), has(self.soak), has(self.window), has(self.freeze), has(self.approval), has(self.analysis)].filter(x, x).size() == 1",message="a gate has exactly one of cel, soak, window, freeze, approval and analysis"
type Gate struct {
	// Name of the gate, for people: not-worse, soaked, office-hours.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`

	// CEL is an expression over the evidence that has to be true, for instance
	// "candidate.metrics.auc >= current.metrics.auc - 0.002". It has candidate and current, each
	// with version, metrics (decimals), labels, lineage, format, artifact (uri, digest, size,
	// verified) and age (a duration); model, stage, and first, which is true where nothing serves
	// in the stage yet. A metric that is not there makes the gate fail, not pass.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	CEL string `json:"cel,omitempty"`

	// Soak has the version serve in another stage for a time, without a break.
	// +optional
	Soak *SoakGate `json:"soak,omitempty"`

	// Window is when a promotion may begin.
	// +optional
	Window *Window `json:"window,omitempty"`

	// Freeze is when no promotion may begin.
	// +optional
	Freeze *Window `json:"freeze,omitempty"`

	// Approval by people.
	// +optional
	Approval *ApprovalGate `json:"approval,omitempty"`

	// Analysis of measurements, before the version gets any traffic.
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`
}

// SoakGate has a version serve in an earlier stage.
type SoakGate struct {
	// Stage in which it has to serve.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Stage string `json:"stage"`

	// Duration for which it has to have served all traffic there, for instance 30m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="duration must be at most 87600h, which is ten years"
	// +required
	Duration metav1.Duration `json:"duration"`
}

// Window is a time that comes again and again.
type Window struct {
	// Cron says when it begins, in five fields (minute hour day-of-month month day-of-week), for
	// instance "0 9 * * 1-5".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Cron string `json:"cron"`

	// Duration is how long it lasts, for instance 8h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="a window has a duration"
	// +required
	Duration metav1.Duration `json:"duration"`

	// TimeZone of Cron by its IANA name, for instance Asia/Seoul. Default: UTC.
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
}

// ApprovalGate asks for people: who signed the commit that names the version, or who reviewed the pull
// request that brought it.
// +kubebuilder:validation:XValidation:rule="has(self.keysSecretRef) != has(self.reviews)",message="an approval has exactly one of keysSecretRef and reviews"
type ApprovalGate struct {
	// Minimum number of people. Default 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	// +optional
	Minimum int32 `json:"minimum,omitempty"`

	// KeysSecretRef names a Secret of this namespace with public keys, PGP or SSH, one in each
	// value: the commit that names the version has to be signed by one of them.
	// +optional
	KeysSecretRef *meta.LocalObjectReference `json:"keysSecretRef,omitempty"`

	// Reviews has people approve the pull request whose merge made the commit that names the version.
	// Those count who may write to the repository, who did not open it, and whose approval is of what
	// was merged and was not dismissed. It takes spec.pullRequests of the Repository.
	// +optional
	Reviews *ReviewApproval `json:"reviews,omitempty"`
}

// ReviewApproval says whose reviews count. With neither users nor teams, everybody's do who may write to
// the repository; with both, those in either.
type ReviewApproval struct {
	// Users by their names on the forge.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=255
	// +optional
	Users []string `json:"users,omitempty"`

	// Teams: organization/team on Gitea and GitHub, a group with its parents on GitLab.
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=255
	// +optional
	Teams []string `json:"teams,omitempty"`
}

// Analysis is a measurement that is taken several times, and what it has to be. Exactly one of
// prometheus and http is given.
// +kubebuilder:validation:XValidation:rule="has(self.prometheus) != has(self.http)",message="an analysis has exactly one of prometheus and http"
// +kubebuilder:validation:XValidation:rule="has(self.http) || has(self.min) || has(self.max) || has(self.success) || has(self.failure)",message="say what the value has to be: min, max, success or failure"
type Analysis struct {
	// Name of the analysis, for people: errors, latency.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`

	// Prometheus is asked for one number.
	// +optional
	Prometheus *PrometheusQuery `json:"prometheus,omitempty"`

	// HTTP sends a request and looks at the answer.
	// +optional
	HTTP *HTTPCheck `json:"http,omitempty"`

	// Min is the least that the value may be: a decimal.
	// +kubebuilder:validation:Pattern="^-?[0-9]+(\\.[0-9]+)?$"
	// +optional
	Min string `json:"min,omitempty"`

	// Max is the most that the value may be: a decimal.
	// +kubebuilder:validation:Pattern="^-?[0-9]+(\\.[0-9]+)?$"
	// +optional
	Max string `json:"max,omitempty"`

	// Success is a CEL expression over value, for instance "value < 0.01". A sample for which it is
	// not true, and Failure neither, is inconclusive.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Success string `json:"success,omitempty"`

	// Failure is a CEL expression over value that makes a sample fail.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Failure string `json:"failure,omitempty"`

	// Interval between two samples. Default 30s.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('87600h')",message="interval must be at most 87600h, which is ten years"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// Samples is how many have to succeed. Default 1.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Samples int32 `json:"samples,omitempty"`

	// FailureLimit is how many may fail. Default 0: the first failure ends it.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	FailureLimit int32 `json:"failureLimit,omitempty"`

	// InconclusiveLimit is how many may be neither a success nor a failure. Default 3.
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	InconclusiveLimit *int32 `json:"inconclusiveLimit,omitempty"`

	// ErrorLimit is how many in a row may fail to measure at all: Prometheus does not answer, the
	// answer has no number. Default 5. Above it the analysis fails.
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	ErrorLimit *int32 `json:"errorLimit,omitempty"`
}

// PrometheusQuery asks a server with Prometheus' HTTP API.
// +kubebuilder:validation:XValidation:rule="self.address.matches('^https?://[^@ ]+$')",fieldPath=".address",message="the address is http://host:port or https://host:port, without credentials: these go into the Secret that secretRef names"
type PrometheusQuery struct {
	// Address of the server, for instance http://prometheus.monitoring:9090.
	// +kubebuilder:validation:MaxLength=2048
	// +required
	Address string `json:"address"`

	// Query that gives one number: a scalar, or a vector with one element. ${model}, ${stage},
	// ${namespace}, ${version}, ${service} (the name of what serves the version), ${current} and
	// ${currentService} are filled in; $${ stands for ${.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +required
	Query string `json:"query"`

	// SecretRef names a Secret of this namespace with username and password, or token; and ca.crt.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`
}

// HTTPCheck is a request whose answer is looked at.
type HTTPCheck struct {
	// URL to ask. The variables of a Prometheus query, and ${url} (of the candidate where it has
	// one of its own), are filled in.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +required
	URL string `json:"url"`

	// Method. Default GET.
	// +kubebuilder:validation:Enum=GET;HEAD;POST
	// +optional
	Method string `json:"method,omitempty"`

	// Headers of the request.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Headers map[string]string `json:"headers,omitempty"`

	// Body of the request, for POST.
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	Body string `json:"body,omitempty"`

	// Status that the answer has to have. Default: any from 200 to 299.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=599
	// +optional
	Status int32 `json:"status,omitempty"`

	// Value is where the value is in an answer that is JSON, as a JSON pointer such as
	// /predictions/0. Without it, the value is the status of the answer.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Value string `json:"value,omitempty"`
}

// Finding is what a gate, or a check of an analysis, came to.
type Finding struct {
	// Gate is the name of the gate.
	Gate string `json:"gate"`

	// Policy is the name of the PromotionPolicy that requires the gate; empty for a gate of the
	// stage itself.
	// +optional
	Policy string `json:"policy,omitempty"`

	// Result: Passed, Failed, or Waiting for something that may come by itself.
	Result FindingResult `json:"result"`

	// Message says why in one sentence.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// FindingResult is what a gate came to.
// +kubebuilder:validation:Enum=Passed;Failed;Waiting
type FindingResult string

// Results of findings.
const (
	// FindingPassed: the version may go on.
	FindingPassed FindingResult = "Passed"
	// FindingFailed: it may not, and only a change of Git makes a difference.
	FindingFailed FindingResult = "Failed"
	// FindingWaiting: it may not yet.
	FindingWaiting FindingResult = "Waiting"
)

// AnalysisResult is what an analysis has come to.
// +kubebuilder:validation:Enum=Running;Passed;Failed
type AnalysisResult string

// Results of analyses.
const (
	// AnalysisRunning: it goes on.
	AnalysisRunning AnalysisResult = "Running"
	// AnalysisPassed: enough samples have succeeded. Should the step hold longer, it is looked at on.
	AnalysisPassed AnalysisResult = "Passed"
	// AnalysisFailed: more samples failed, were inconclusive or could not be taken than is allowed.
	AnalysisFailed AnalysisResult = "Failed"
)

// AnalysisStatus is how far an analysis is.
type AnalysisStatus struct {
	// Name of the analysis.
	Name string `json:"name"`

	// Result: Running, Passed or Failed.
	Result AnalysisResult `json:"result"`

	// Succeeded counts the samples that succeeded.
	// +optional
	Succeeded int32 `json:"succeeded,omitempty"`
	// Failed counts the samples that failed.
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// Inconclusive counts the samples that did neither.
	// +optional
	Inconclusive int32 `json:"inconclusive,omitempty"`
	// Errors counts the samples that could not be taken, in a row.
	// +optional
	Errors int32 `json:"errors,omitempty"`

	// Value of the last sample: a decimal.
	// +optional
	Value string `json:"value,omitempty"`

	// SampledAt is when the last sample was taken or tried.
	// +optional
	SampledAt *metav1.MicroTime `json:"sampledAt,omitempty"`

	// Message says in one sentence what the last sample came to.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}

// PromotionPolicyKind is the kind of a PromotionPolicy.
const PromotionPolicyKind = "PromotionPolicy"

// PromotionPolicySpec requires gates of Models.
type PromotionPolicySpec struct {
	// Models selects Models by their labels. Default: all.
	// +optional
	Models *metav1.LabelSelector `json:"models,omitempty"`

	// Namespaces selects the namespaces of Models by their labels. Default: all.
	// +optional
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`

	// Stages are the names of the stages that the gates are required in. Default: all.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Stages []string `json:"stages,omitempty"`

	// Gates that a version has to pass besides those of the stage, and before them. Secrets that
	// they name are in the namespace of the agent.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +required
	Gates []Gate `json:"gates"`
}

// PromotionPolicy requires gates of Models that the Models cannot drop. It belongs to those who
// run the platform, and so to the cluster and to no namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=promotionpolicies,scope=Cluster,categories=sluice
// +kubebuilder:printcolumn:name="Stages",type=string,JSONPath=`.spec.stages`
// +kubebuilder:printcolumn:name="Gates",type=string,JSONPath=`.spec.gates[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PromotionPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PromotionPolicySpec `json:"spec,omitempty"`
}

// PromotionPolicyList is a list of PromotionPolicies.
// +kubebuilder:object:root=true
type PromotionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PromotionPolicy `json:"items"`
}
