package forge

import (
	"cmp"
	"context"
	"fmt"
)

// MergeBase returns the commit that the head of a pull request has in common with its base, as both
// are in p: what the head changes, it has changed since then. It is worked out anew: Gitea also says
// one with each pull request, which is that of an older head for some time after a push. If there are
// several it is one of them. An error is NotFound if there is none, and Unavailable if the repository does
// not have the head or the base: it gets that of a fork some time after the push. On GitLab, the base is
// the branch as it is now if p does not say at which commit.
func (f *Forge) MergeBase(ctx context.Context, p Pull) (string, error) {
	found := ""
	err := f.call(ctx, fmt.Sprintf("find the merge base of pull request %d", p.Number), toCompare, func(ctx context.Context) (err error) {
		base := p.Base.Commit
		if f.place.provider == GitLab {
			base = cmp.Or(base, p.Base.Name)
		}
		if !commitName.MatchString(p.Head.Commit) || base != p.Base.Name && !commitName.MatchString(base) || base == "" {
			return errorf(Invalid, "its head and base are to be full names of commits")
		}
		found, err = f.provider.mergeBase(ctx, base, p.Head.Commit)
		switch {
		case isKind(err, NotFound):
			return errorf(Unavailable, "the repository does not have its head or its base, or the token may not see it: it is tried again; the token needs %s", rights[f.place.provider][toCompare])
		case err != nil:
			return err
		case found == "":
			return errorf(NotFound, "its head has no history in common with %s: begin the branch at a commit of that", printable(p.Base.Name))
		case !commitName.MatchString(found):
			return errorf(Refused, "the forge answers with something else: see whether the address is its API's")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return found, nil
}
