// Package pull meets people on pull requests: it shows on each what merging it would do to the
// cluster and to the models, opens those that propose versions, and says what has become of a merge.
//
// In go Repositories with spec.pullRequests, what their forges say, and the hooks that make it look at
// once; out come a commit status and a comment on each open pull request, pull requests for what
// Models and the runs of Retrainings propose, statuses and a comment for those merged, and status.pullRequests of the Repository,
// which is the record of all that: after a restart nothing is said twice.
//
// [Planner] makes the plan of a merge, for the agent and for the command line. [Desk] is the
// reconciler: it lists, plans, posts, opens, merges and follows.
//
// # The plan is of the merge
//
// What is planned is the tree that the merge would come to ([gitrepo.Mirror.Merge]) against the live
// cluster. What a pull request pushes is kept in a mirror of its own, apart from the one that
// Overlays live from. Overlays are affected that read a file that is not the same any more.
//
// # Who judges
//
// Changes are tried as dry runs in the name of each Overlay's account, so that the cluster's own
// admission judges them: ValidatingAdmissionPolicies, and the webhooks of Kyverno or Gatekeeper.
// Models are judged by the PromotionPolicies of the cluster. Nothing of a pull request counts
// before it is merged: not its policies, not its Repositories and Overlays, not the labels by which
// a PromotionPolicy finds a Model.
//
// # What it never does
//
// It never writes to the cluster but status.pullRequests, status.settledAt of RetrainingRuns, and events.
// It never runs anything of a pull request, never follows a remote base, never shows a value of a Secret. A pull request from a
// fork gets nothing, unless spec.pullRequests.forks allows it. One that breaks delays no other.
package pull
