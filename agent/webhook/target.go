package webhook

import (
	"context"
	"strings"

	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
)

// Repositories is what the Handler asks and tells.
type Repositories interface {
	// Lookup returns what hooks for a Repository are checked against, and false if it takes none.
	// It answers from memory: everybody who reaches the server can call it as often as he likes,
	// and the time it takes must not tell whether there is such a Repository.
	Lookup(ctx context.Context, namespace, name string) (Target, bool)
	// Notify takes an event. It does not block.
	Notify(Event)
}

// Target is a Repository as its receiver sees it.
type Target struct {
	// URL of the Repository, as in its spec.
	URL string
	// Token is the secret that it shares with the forge. A line break at its end does not count.
	Token []byte
	// Ref is the reference that it follows, as Ref makes it of its spec.
	Ref string
}

// Ref returns the full name of the reference that a Repository follows, such as refs/heads/main. One
// that ends in a slash stands for all below it: every branch, as it is the remote that says which
// one; every tag, as the highest version counts. It is empty for a commit, which never moves.
func Ref(ref *v1alpha1.RepositoryRef) string {
	switch {
	case ref == nil:
		return "refs/heads/"
	case ref.Commit != "":
		return ""
	case ref.Name != "" && ref.Name != "HEAD":
		return ref.Name
	case ref.SemVer != "":
		return "refs/tags/"
	case ref.Tag != "":
		return "refs/tags/" + ref.Tag
	}
	return "refs/heads/" + ref.Branch
}

// follows tells whether the Repository follows a reference, given by its full name.
func (t Target) follows(ref string) bool {
	if strings.HasSuffix(t.Ref, "/") {
		return strings.HasPrefix(ref, t.Ref)
	}
	return t.Ref != "" && t.Ref == ref
}
