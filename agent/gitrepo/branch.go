package gitrepo

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

const (
	// Branches is what the name of every branch begins with that is ours. Whatever a caller does wrong,
	// no other branch is ever replaced or deleted.
	Branches = "sluice/"

	branchRefs    = "refs/heads/"
	longestBranch = 200 // bytes: on most servers a branch is a file
)

// CheckBranch tells whether a branch may be ours: one below Branches whose name every Git takes.
func CheckBranch(branch string) error {
	if rest, below := strings.CutPrefix(branch, Branches); !below || rest == "" {
		return errorf(Invalid, "the branch %q is not one to push to; its name has to begin with %s", printable(branch), Branches)
	}
	return checkName(branch)
}

// checkAdvanced tells whether a branch may be one of people's, which a commit only moves on.
func checkAdvanced(branch string) error {
	if branch+"/" == Branches || strings.HasPrefix(branch, Branches) {
		return errorf(Invalid, "the branch %q is not one to move on; those below %s are made anew", printable(branch), Branches)
	}
	return checkName(branch)
}

func checkName(branch string) error {
	switch {
	case len(branch) > longestBranch:
		return errorf(Invalid, "the name of the branch %q is longer than %d bytes; use shorter names", printable(branch), longestBranch)
	case branch == "" || strings.HasPrefix(branch, "-") || strings.ContainsFunc(branch, isUnprintable) || strings.Contains(branch, "/-") ||
		plumbing.ReferenceName(branchRefs+branch).Validate() != nil:
		return errorf(Invalid, "%q is no name of a branch in Git; leave out spaces, the characters ~ ^ : ? * [ \\, two dots in a row, and .lock and a dot at the end", printable(branch))
	}
	return nil
}

// inTheWay returns the branch that keeps another one from being created: Git can hold a and a/b
// only one at a time.
func inTheWay(references map[string]plumbing.Hash, branch string) (string, bool) {
	for name := range references {
		other, isBranch := strings.CutPrefix(name, branchRefs)
		if isBranch && (strings.HasPrefix(branch, other+"/") || strings.HasPrefix(other, branch+"/")) {
			return other, true
		}
	}
	return "", false
}
