package forge

// right is what a token needs for a call.
type right int

const (
	toKnowSelf right = iota
	toRead
	toCompare
	toReview
	toTeams
	toStatus
	toComment
	toWrite
	toMerge
	toDelete
)

// rights says how the forges call them: the scopes of a Gitea token, the permissions of a
// fine-grained GitHub token or a GitHub App, the scope and the role of a GitLab token.
var rights = map[Provider]map[right]string{
	Gitea: {
		toKnowSelf: "the scope read:user",
		toRead:     "the scope read:repository, and its owner access to the repository",
		toCompare:  "the scope read:repository, and its owner access to the code",
		toReview:   "the scope read:repository",
		toTeams:    "the scope read:organization, and its owner a place in the organization",
		toStatus:   "the scope write:repository, and its owner write access to the code",
		toComment:  "the scope write:issue",
		toWrite:    "the scopes write:repository and write:issue",
		toMerge:    "the scope write:repository, and its owner the right to merge into the branch",
		toDelete:   "the scope write:repository, and its owner write access to the code",
	},
	GitHub: {
		toKnowSelf: "nothing but to be valid",
		toRead:     "the permission Pull requests: read",
		toCompare:  "the permission Contents: read",
		toReview:   "the permissions Pull requests: read and Metadata: read",
		toTeams:    "the organization's permission Members: read",
		toStatus:   "the permission Commit statuses: write",
		toComment:  "the permission Pull requests: write",
		toWrite:    "the permissions Pull requests: write and Contents: write",
		toMerge:    "the permissions Contents: write and Pull requests: write",
		toDelete:   "the permission Contents: write",
	},
	GitLab: {
		toKnowSelf: "the scope api",
		toRead:     "the scope api, and the role Reporter in the project",
		toCompare:  "the scope api, and the role Reporter in the project",
		toReview:   "the scope api, and the role Reporter in the project",
		toTeams:    "the scope api, and its owner a place in the group",
		toStatus:   "the scope api, and the role Developer in the project (Maintainer for a protected branch)",
		toComment:  "the scope api, and the role Reporter in the project",
		toWrite:    "the scope api, and the role Developer in the project",
		toMerge:    "the scope api, and a role that may merge into the branch",
		toDelete:   "the scope api, and the role Developer in the project",
	},
}
