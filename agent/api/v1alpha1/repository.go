package v1alpha1

import (
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RepositoryKind is the kind of a Repository.
const RepositoryKind = "Repository"

// RepositorySpec says where Git is, which commit to follow and how to be let in.
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('ssh://') && !self.url.matches('^[^/]+@[^/]+:') || has(self.secretRef)",message="an SSH url needs secretRef: a Secret with the keys identity and known_hosts"
type RepositorySpec struct {
	// URL of the repository: https://host/path, ssh://user@host[:port]/path or user@host:path.
	// http:// and file:// are refused unless the agent was started with --allow-insecure-git.
	// Credentials do not belong here but in the Secret that secretRef names.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern="^(https?|ssh|file)://.+$|^[^/@:]+@[^/:]+:.+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/?#]*@|^[a-z]+://[^/]*:[^/]*@')",message="the url must not contain credentials: put them into the Secret that secretRef names"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^?#]*[?#]')",message="the url must have no query and no fragment: spec.ref says which commit to follow"
	// +kubebuilder:validation:XValidation:rule="!self.matches(r'[\\s\\p{Z}\\p{Cc}]')",message="the url must have no spaces and no control characters"
	// +required
	URL string `json:"url"`

	// Ref says which commit to follow. The default is the branch that the remote's HEAD names.
	// +optional
	Ref *RepositoryRef `json:"ref,omitempty"`

	// Interval between two looks at the remote, at least 1s. A look is one request that lists the
	// references; commits are transferred only when the wanted one moved. The
	// annotation reconcile.fluxcd.io/requestedAt makes the agent look at once. Default 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval must be at least 1s"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`

	// Timeout of one look at the remote including the transfer. Default 1m.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="timeout must be at least 1s"
	// +optional
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// SecretRef names a Secret of the same namespace with what it takes to be let in. Keys:
	// username and password (basic), bearerToken, identity with known_hosts and optionally
	// password for the key's passphrase (SSH), ca.crt (the server's certificate authority),
	// tls.crt with tls.key (client certificate). They are the keys Flux uses.
	// +kubebuilder:validation:XValidation:rule="self.name.size() > 0",message="name the Secret, or leave secretRef out"
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// ProxySecretRef names a Secret of the same namespace with the keys address (the proxy's
	// URL: http, https or socks5), and optionally username and password.
	// +kubebuilder:validation:XValidation:rule="self.name.size() > 0",message="name the Secret, or leave proxySecretRef out"
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// Receiver lets the forge tell of pushes by a hook, so that they are seen at once:
	// POST /hooks/NAMESPACE/NAME of this Repository, at the agent's --hooks-address. Looks by interval
	// go on.
	// +optional
	Receiver *Receiver `json:"receiver,omitempty"`

	// PullRequests has the agent meet people on the pull requests to the branch that is followed: it
	// says what merging one would do, opens some itself, and says what has become of those merged.
	// +optional
	PullRequests *PullRequests `json:"pullRequests,omitempty"`

	// Suspend stops looking at the remote. What was fetched before stays usable.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Receiver says who may send hooks.
type Receiver struct {
	// SecretRef names a Secret of the same namespace with the key token: the secret with which the
	// forge signs its hooks (Gitea, Forgejo, GitHub), or that it sends along (GitLab).
	// +kubebuilder:validation:XValidation:rule="self.name.size() > 0",message="name the Secret with the key token"
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`
}

// PullRequests says on which forge the repository is, and how to be let in there.
type PullRequests struct {
	// Provider is the kind of forge: gitea (Forgejo too), github, gitlab.
	// +required
	Provider Provider `json:"provider"`

	// URL of the forge's API, where it is not at its usual place on the host of spec.url:
	// https://host/api/v1 (Gitea), https://host/api/v3 (GitHub Enterprise), https://host/api/v4
	// (GitLab).
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern="^https?://[^@ ?#]+$"
	// +optional
	URL string `json:"url,omitempty"`

	// SecretRef names a Secret of the same namespace with the key token; or, for a GitHub App,
	// githubAppID, githubAppInstallationID and githubAppPrivateKey, as Flux has them. The key ca.crt
	// is the forge's certificate authority, where it is not a public one.
	// +kubebuilder:validation:XValidation:rule="self.name.size() > 0",message="name the Secret with the key token"
	// +required
	SecretRef meta.LocalObjectReference `json:"secretRef"`

	// Name tells this agent from others that meet people on the same pull requests, such as one in
	// each cluster: the commit status is sluice/NAME/plan then, and not sluice/plan.
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Name string `json:"name,omitempty"`

	// Interval between two looks at the forge, at least 5s. Default 1m, and 10m where spec.receiver
	// has the forge tell of changes.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s')",message="interval must be at least 5s"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Forks has pull requests from forks planned too, which anybody may open. What they would change
	// is rendered, tried as dry runs and shown. Default false.
	// +optional
	Forks bool `json:"forks,omitempty"`
}

// Provider is a kind of forge.
// +kubebuilder:validation:Enum=gitea;github;gitlab
type Provider string

// Providers.
const (
	// Gitea and Forgejo.
	Gitea Provider = "gitea"
	// GitHub and GitHub Enterprise.
	GitHub Provider = "github"
	// GitLab, whose pull requests are called merge requests.
	GitLab Provider = "gitlab"
)

// RepositoryRef selects a commit. Branch may be combined with commit; the others stand alone.
// +kubebuilder:validation:XValidation:rule="[has(self.tag), has(self.semver), has(self.name), has(self.commit) || has(self.branch)].filter(x, x).size() <= 1",message="give one of branch, tag, semver, name or commit (commit may go with branch)"
type RepositoryRef struct {
	// Branch to follow, for instance main.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Branch string `json:"branch,omitempty"`

	// Tag to follow, for instance v1.4.2. An annotated tag stands for the commit it points at.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Tag string `json:"tag,omitempty"`

	// SemVer follows the highest tag in this range, for instance ">=1.4 <2".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +optional
	SemVer string `json:"semver,omitempty"`

	// Name is a full reference name, for instance refs/pull/420/head.
	// +kubebuilder:validation:Pattern="^refs/.+$"
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Name string `json:"name,omitempty"`

	// Commit pins one commit by its full SHA-1: 40 hexadecimal digits.
	// +kubebuilder:validation:Pattern="^[0-9a-f]{40}$"
	// +optional
	Commit string `json:"commit,omitempty"`
}

// RepositoryStatus is what the agent saw at the remote.
type RepositoryStatus struct {
	// ObservedGeneration is the metadata.generation that this status answers.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready (the wanted commit is here), Stalled (it cannot become Ready until
	// somebody changes the spec or its Secret).
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Revision is the commit last fetched, as main@sha1:<commit>.
	// +optional
	Revision string `json:"revision,omitempty"`

	// SyncedRevision is the newest revision that every Overlay of this Repository has reached:
	// applied and healthy, or found to be untouched by it.
	// +optional
	SyncedRevision string `json:"syncedRevision,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that
	// was answered last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// PullRequests are those that the agent has to do with: open ones, and merged ones of which it has
	// not said yet what has become of them.
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MaxItems=256
	// +optional
	PullRequests []PullRequestStatus `json:"pullRequests,omitempty"`
}

// PullRequestStatus is what the agent has said on a pull request.
type PullRequestStatus struct {
	// Number of the pull request.
	Number int64 `json:"number"`

	// Branch that it is to merge, if that is one of the agent's own.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Head is the commit that was planned.
	// +optional
	Head string `json:"head,omitempty"`

	// Base is the commit of the followed branch that it was planned for.
	// +optional
	Base string `json:"base,omitempty"`

	// State: Planned, Failed (it should not be merged as it is), Ignored (it is from a fork), Merged (what
	// becomes of it is followed), Declined (it is the agent's own, and somebody has closed it: what it
	// proposes is not proposed again).
	// +optional
	State PullRequestState `json:"state,omitempty"`

	// Summary of the plan in one sentence, or of what has become of the merge.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Summary string `json:"summary,omitempty"`

	// Said is a digest of what was said last, so that nothing is said twice.
	// +optional
	Said string `json:"said,omitempty"`

	// Merge is what is to become of a pull request that has been merged.
	// +optional
	Merge *MergeStatus `json:"merge,omitempty"`

	// Overlays that it makes a difference to, as namespace/name.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Overlays []string `json:"overlays,omitempty"`

	// Models whose stages it changes.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Models []PullRequestModel `json:"models,omitempty"`
}

// PullRequestState says how far a pull request is.
// +kubebuilder:validation:Enum=Planned;Failed;Ignored;Merged;Declined
type PullRequestState string

// States of pull requests, as PullRequestStatus explains them.
const (
	PullRequestPlanned  PullRequestState = "Planned"
	PullRequestFailed   PullRequestState = "Failed"
	PullRequestIgnored  PullRequestState = "Ignored"
	PullRequestMerged   PullRequestState = "Merged"
	PullRequestDeclined PullRequestState = "Declined"
)

// MergeStatus is a merge whose end is awaited.
type MergeStatus struct {
	// Commit that it has put on the branch.
	Commit string `json:"commit"`

	// At is when it was made, as far as the forge says it.
	At metav1.MicroTime `json:"at"`

	// Seen is when the agent learned of it.
	Seen metav1.MicroTime `json:"seen"`
}

// PullRequestModel is a stage that a pull request changes.
type PullRequestModel struct {
	// Name of the Model, and its Namespace.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`

	// Stage of the Model.
	Stage string `json:"stage"`

	// Version that is to serve there; empty if none is.
	// +optional
	Version string `json:"version,omitempty"`
}

// Repository is a Git repository: where it is, how to reach it, which commit to follow.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=repo;repos,categories=sluice
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`,priority=1
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.syncedRevision`,priority=1
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Repository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RepositorySpec   `json:"spec,omitempty"`
	Status RepositoryStatus `json:"status,omitempty"`
}

// RepositoryList is a list of Repositories.
// +kubebuilder:object:root=true
type RepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Repository `json:"items"`
}

// GetConditions returns the status conditions.
func (r *Repository) GetConditions() []metav1.Condition { return r.Status.Conditions }

// Branch is the branch that the Repository follows, by the name of the revision that was fetched for it;
// false if it follows something else.
func (r *Repository) Branch(revision string) (string, bool) {
	ref := r.Spec.Ref
	if revision == "" || ref != nil && (ref.Tag != "" || ref.SemVer != "" || ref.Name != "" && !strings.HasPrefix(ref.Name, "refs/heads/")) {
		return "", false
	}
	return strings.TrimPrefix(revision, "refs/heads/"), true
}
