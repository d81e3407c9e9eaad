package v1alpha1

import (
	"strings"

	"github.com/fluxcd/pkg/apis/kustomize"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// OverlayKind is the kind of an Overlay.
const OverlayKind = "Overlay"

// OverlaySpec says which Kustomize directory to keep applied, and how.
type OverlaySpec struct {
	// RepositoryRef names the Repository whose files are used.
	// +required
	RepositoryRef RepositoryReference `json:"repositoryRef"`

	// Path of the Kustomize directory, relative to the repository's root. A directory without a
	// kustomization.yaml stands for all YAML files below it. Default: the root.
	// +kubebuilder:default="."
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path must be relative to the repository's root and must not contain '..'"
	// +optional
	Path string `json:"path,omitempty"`

	// DependsOn lists Overlays that must be Ready before this one is applied: those of the same
	// Repository at the same revision, those of another as they are. Becoming Ready is noticed at
	// once; nothing is polled.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	DependsOn []OverlayReference `json:"dependsOn,omitempty"`

	// Prune deletes objects from the cluster that left Git, after what came new is healthy, in
	// reverse order. Single objects are exempt by the annotation sluice.dev/prune: disabled.
	// Default true.
	// +kubebuilder:default=true
	// +optional
	Prune *bool `json:"prune,omitempty"`

	// Timeout for the objects to become healthy after they were applied, and for every single
	// request to the cluster. After it the Overlay is not Ready and says which objects are not
	// healthy; watching goes on, and so does recovery. Default 5m.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="timeout must be at least 1s"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// Interval after which the Overlay is looked at though nothing happened: a net below commits,
	// drift and health, which never wait for it. It costs no request to the API server. Default 1h.
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="interval must be at least 10s"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// Drift says what to do when somebody changes an applied object in the cluster: Correct puts
	// back what Git says, Report only counts it in status.objects.drifted and says so, Ignore does
	// nothing. Default Correct.
	// +kubebuilder:default=Correct
	// +kubebuilder:validation:Enum=Correct;Report;Ignore
	// +optional
	Drift DriftPolicy `json:"drift,omitempty"`

	// Ignore lists fields that belong to somebody else, such as spec.replicas under an autoscaler.
	// They are applied when the object is created and left alone afterwards.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Ignore []IgnoreRule `json:"ignore,omitempty"`

	// ServiceAccountName is the account of this namespace in whose name everything is read and
	// written. Without it the agent uses the account given by its flag --default-service-account,
	// or else its own.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// DeletionPolicy says what happens to the objects when this Overlay is deleted. MirrorPrune
	// does what prune says, Delete deletes them, Orphan leaves them and takes the ownership labels
	// off. Default MirrorPrune.
	// +kubebuilder:default=MirrorPrune
	// +kubebuilder:validation:Enum=MirrorPrune;Delete;Orphan
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Suspend stops all work on this Overlay: no commits, no drift correction, no pruning. When it
	// is deleted while it is suspended, its objects stay, without ownership labels.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// TargetNamespace sets or overrides the namespace of every namespaced object.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	TargetNamespace string `json:"targetNamespace,omitempty"`

	// NamePrefix is put before the name of every object.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	NamePrefix string `json:"namePrefix,omitempty"`

	// NameSuffix is put after the name of every object.
	// +kubebuilder:validation:MaxLength=200
	// +optional
	NameSuffix string `json:"nameSuffix,omitempty"`

	// CommonMetadata is set on every object and wins over what the files say.
	// +optional
	CommonMetadata *CommonMetadata `json:"commonMetadata,omitempty"`

	// Patches are strategic merge or JSON 6902 patches, as in a kustomization. A target that
	// matches no object is an error.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Patches []kustomize.Patch `json:"patches,omitempty"`

	// Images replaces names, tags or digests of images, as in a kustomization.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Images []kustomize.Image `json:"images,omitempty"`

	// Components are Kustomize components to add, as paths relative to path.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Components []string `json:"components,omitempty"`

	// Substitute replaces ${VARIABLES} in the objects that ask for it.
	// +optional
	Substitute *Substitute `json:"substitute,omitempty"`
}

// RepositoryReference names a Repository.
type RepositoryReference struct {
	// Name of the Repository.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Namespace of the Repository. Default: the namespace of the Overlay. Another namespace is
	// refused when the agent runs with --no-cross-namespace-refs.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// OverlayReference names another Overlay.
type OverlayReference struct {
	// Name of the Overlay.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Namespace of the Overlay. Default: the namespace of this one. Another namespace is refused
	// when the agent runs with --no-cross-namespace-refs.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// DriftPolicy says what to do about changes made in the cluster.
type DriftPolicy string

const (
	// DriftCorrect puts back what Git says.
	DriftCorrect DriftPolicy = "Correct"
	// DriftReport counts and tells, and changes nothing.
	DriftReport DriftPolicy = "Report"
	// DriftIgnore does nothing.
	DriftIgnore DriftPolicy = "Ignore"
)

// DeletionPolicy says what becomes of the objects of a deleted Overlay.
type DeletionPolicy string

const (
	// DeletionMirrorPrune does what spec.prune says.
	DeletionMirrorPrune DeletionPolicy = "MirrorPrune"
	// DeletionDelete deletes the objects.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionOrphan leaves the objects in the cluster, without ownership labels.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// IgnoreRule leaves fields of some objects alone.
type IgnoreRule struct {
	// Target selects the objects by group, version, kind, namespace and name (regular
	// expressions, anchored), and by label and annotation selectors. Default: all objects.
	// +optional
	Target *kustomize.Selector `json:"target,omitempty"`

	// Paths are JSON pointers (RFC 6901) to the fields, for instance /spec/replicas.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern="^/.+$"
	// +required
	Paths []string `json:"paths"`
}

// CommonMetadata is metadata for every object.
type CommonMetadata struct {
	// Annotations to set.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Labels to set. Selectors and templates are not touched.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// Substitute gives values to ${VARIABLES}. Only objects that carry the annotation
// sluice.dev/substitute: enabled, or that targets selects, are looked at; the annotation
// sluice.dev/substitute: disabled always wins. Everything else keeps its ${...} untouched.
// In a chosen object a variable without value and without default is an error.
type Substitute struct {
	// Variables by name. They win over those in from.
	// +optional
	Variables map[string]string `json:"variables,omitempty"`

	// From takes variables from ConfigMaps and Secrets of this namespace; later ones win.
	// +kubebuilder:validation:MaxItems=32
	// +optional
	From []SubstituteReference `json:"from,omitempty"`

	// Targets selects objects to substitute in that do not carry the annotation.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Targets []kustomize.Selector `json:"targets,omitempty"`
}

// SubstituteReference names a ConfigMap or Secret whose keys are variables.
type SubstituteReference struct {
	// Kind: ConfigMap or Secret.
	// +kubebuilder:validation:Enum=ConfigMap;Secret
	// +required
	Kind string `json:"kind"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// Optional tolerates that the object is not there.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// OverlayStatus is how far the cluster is.
type OverlayStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready (applied and healthy), Healthy (the objects are), Reconciling (at work),
	// Stalled (it cannot go on until somebody changes something).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Revision is the last revision that changed this Overlay's objects and was applied in full.
	// A later commit that leaves them alone does not change it by itself; see the Repository's
	// status.syncedRevision.
	// +optional
	Revision string `json:"revision,omitempty"`

	// AttemptedRevision is the last revision that was tried.
	// +optional
	AttemptedRevision string `json:"attemptedRevision,omitempty"`

	// Objects counts the objects of this Overlay.
	// +optional
	Objects ObjectCounts `json:"objects,omitzero"`

	// Claims are objects that this Overlay wants and that belong to another one, at most 100. The
	// other leaves them to this one as soon as it does not want them any more.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Claims []ObjectReference `json:"claims,omitempty"`

	// History holds the last five different results, newest first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +optional
	History []HistoryEntry `json:"history,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that
	// was answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// ObjectReference names an object of the cluster.
type ObjectReference struct {
	// Group of the object's API; empty for the core group.
	// +optional
	Group string `json:"group,omitempty"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object; empty for cluster scope.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
}

// ObjectCounts counts objects.
type ObjectCounts struct {
	// Total is how many objects the Overlay has in the cluster. Their names are in the Inventory
	// objects that carry the label sluice.dev/overlay; `sluice tree` prints them.
	Total int32 `json:"total"`
	// Healthy is how many of them are healthy.
	Healthy int32 `json:"healthy"`
	// Drifted is how many differ from Git and are not corrected.
	Drifted int32 `json:"drifted"`
}

// HistoryEntry is one result.
type HistoryEntry struct {
	// Revision that was applied or tried.
	Revision string `json:"revision"`
	// Digest of the rendered objects: SHA-256 in hexadecimal. Empty if they could not be rendered.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Time at which the result was there.
	Time metav1.Time `json:"time"`
	// Result is the reason of the Ready condition then, for instance Succeeded.
	Result string `json:"result"`
}

// Overlay is one Kustomize directory of a Repository, kept applied to the cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ov,categories=sluice
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name of an Overlay becomes a label value: at most 63 characters"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Objects",type=integer,JSONPath=`.status.objects.total`
// +kubebuilder:printcolumn:name="Healthy",type=integer,JSONPath=`.status.objects.healthy`
// +kubebuilder:printcolumn:name="Drifted",type=integer,JSONPath=`.status.objects.drifted`,priority=1
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`,priority=1
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Path",type=string,JSONPath=`.spec.path`,priority=1
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Overlay struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   OverlaySpec   `json:"spec,omitempty"`
	Status OverlayStatus `json:"status,omitempty"`
}

// OverlayList is a list of Overlays.
// +kubebuilder:object:root=true
type OverlayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Overlay `json:"items"`
}

// GetConditions returns the status conditions.
func (o *Overlay) GetConditions() []metav1.Condition { return o.Status.Conditions }

// RepositoryName returns the namespace and name of the Repository.
func (o *Overlay) RepositoryName() types.NamespacedName {
	return o.Spec.RepositoryRef.In(o.Namespace)
}

// In returns the namespace and name of the Repository, for a reference from a namespace.
func (r RepositoryReference) In(namespace string) types.NamespacedName {
	return types.NamespacedName{Name: r.Name, Namespace: orDefault(r.Namespace, namespace)}
}

// Follows returns the Repository with which the Overlay is worked on: that of its spec, but for
// the moment between a change of it and the end of the work with the former one.
func (o *Overlay) Follows() types.NamespacedName {
	if namespace, name, ok := strings.Cut(o.Annotations[FollowsAnnotation], "/"); ok {
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	return o.RepositoryName()
}

// Dependencies returns the namespaces and names of the Overlays this one depends on.
func (o *Overlay) Dependencies() []types.NamespacedName {
	refs := make([]types.NamespacedName, 0, len(o.Spec.DependsOn))
	for _, d := range o.Spec.DependsOn {
		refs = append(refs, types.NamespacedName{Name: d.Name, Namespace: orDefault(d.Namespace, o.Namespace)})
	}
	return refs
}

// PruneEnabled tells whether objects that left Git are deleted.
func (o *Overlay) PruneEnabled() bool { return o.Spec.Prune == nil || *o.Spec.Prune }

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
