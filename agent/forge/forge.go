package forge

import "time"

// Provider is a kind of forge.
type Provider string

// Providers.
const (
	Gitea  Provider = "gitea" // Forgejo too
	GitHub Provider = "github"
	GitLab Provider = "gitlab"
)

// Pull is a pull request, as GitLab's merge requests are too.
type Pull struct {
	Number int
	// URL of its page.
	URL         string
	Title, Body string
	Author      string
	Labels      []string
	Draft, Open bool
	Merged      bool
	Base, Head  Branch
	// MergeCommit is the commit that the merge has put on the base branch: for a rebase the last one.
	// Empty if it is not merged.
	MergeCommit string
	Updated     time.Time
}

// Branch is one end of a pull request.
type Branch struct {
	Name, Commit string
	// Fork says which repository the branch is in, if that is another one: its full name, its number
	// on GitLab, or why it has none. It is empty for a branch of the repository itself, which only
	// those make who may write to it.
	Fork string
}

// Review is what one person has said last of a pull request.
type Review struct {
	Author string
	// Approved tells whether it approves. Dismissed ones, and ones that were withdrawn, do not.
	Approved bool
	// Official tells whether the author may write to the repository, so that the forge itself would
	// count the approval. Anybody may approve a pull request of a public repository.
	Official bool
	// Commit that was reviewed. Empty where the forge does not say; Stale is what it says itself.
	Commit string
	Stale  bool
	At     time.Time
}

// State of a commit status.
type State string

// States.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
	Broken  State = "error" // the check itself could not be made
)

// Status is a commit status.
type Status struct {
	// Context names the check: sluice/plan.
	Context string
	State   State
	// Description is a sentence; it is cut to what the forge takes.
	Description string
	// URL to go to; empty for none.
	URL string
}

// Draft is a pull request that is to be there.
type Draft struct {
	Base, Head  string // branches of the repository itself
	Title, Body string // the title is cut to what the forge takes
	// Labels that it has to have, made if they are new. People may add others.
	Labels []string
	// NotReady: it is a draft in the words of the forge, and cannot be merged.
	NotReady bool
}

// Method of a merge.
type Method string

// Methods.
const (
	Merge  Method = "merge"
	Squash Method = "squash"
	Rebase Method = "rebase"
)
