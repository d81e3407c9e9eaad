package forge

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	maxPulls     = 1000
	pullsPerPage = 50
	perPage      = 100
	maxPages     = 20 // of anything else
)

// commitName is what a commit is called; anything else gets into no path.
var commitName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// personName is a name of a person on all three forges, also of a GitHub App.
var personName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,255}(\[bot\])?$`)

// all reads all pages, up to a bound.
func all[T any](read func(page int) (found []T, next int, err error)) ([]T, error) {
	var items []T
	for page, pages := 1, 0; page > 0; pages++ {
		if pages == maxPages {
			return nil, errorf(Refused, "it has more than %d items, and no more are looked at", len(items))
		}
		found, next, err := read(page)
		if err != nil {
			return nil, err
		}
		items, page = append(items, found...), next
	}
	return items, nil
}

// following is the page after one, or 0. A page that is full is followed by another, whatever is said:
// an answer that has not changed may say what was so when it was read first.
func following(page, found, size, next int) int {
	if next == 0 && found == size {
		return page + 1
	}
	return next
}

// Self returns the account of the token, or of the GitHub App. It is asked once.
func (f *Forge) Self(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.whoami(ctx)
}

// whoami is Self for who holds the lock.
func (f *Forge) whoami(ctx context.Context) (string, error) {
	if f.self != "" {
		return f.self, nil
	}
	err := f.call(ctx, "ask whose token it is", toKnowSelf, func(ctx context.Context) (err error) {
		f.self, err = f.provider.whoami(ctx)
		if err == nil && f.self == "" {
			err = errorf(Refused, "the forge does not say it: see whether the address is its API's")
		}
		return err
	})
	return f.self, err
}

// Pulls returns the open pull requests to a branch, the oldest first. With more than 1,000 it returns
// some and an error, Refused. Pages are read one after the other: one that is closed meanwhile can
// hide another until the next time. Ask [Forge.Pull] before you believe that one is closed.
func (f *Forge) Pulls(ctx context.Context, base string) ([]Pull, error) {
	var all []Pull
	seen := map[int]bool{}
	err := f.call(ctx, "list the pull requests to "+printable(base), toRead, func(ctx context.Context) error {
		for page := 1; page > 0; {
			found, next, err := f.provider.pulls(ctx, base, page)
			if err != nil {
				return err
			}
			for _, p := range found {
				if p.Open && p.Base.Name == base && !seen[p.Number] {
					seen[p.Number] = true
					all = append(all, p)
				}
			}
			if next != 0 && (len(seen) >= maxPulls || next > 5*maxPages) {
				return errorf(Refused, "more than %d are open, and no more are looked at: close some", len(seen))
			}
			page = next
		}
		return nil
	})
	return all, err
}

// Pull returns one pull request. An error is NotFound if there is none with the number.
func (f *Forge) Pull(ctx context.Context, number int) (Pull, error) {
	var p Pull
	err := f.call(ctx, fmt.Sprintf("read pull request %d", number), toRead, func(ctx context.Context) (err error) {
		p, err = f.pull(ctx, number)
		return err
	})
	return p, err
}

// pull reads one, and believes nothing that is about another.
func (f *Forge) pull(ctx context.Context, number int) (Pull, error) {
	p, err := f.provider.pull(ctx, number)
	if err == nil && p.Number != number {
		return Pull{}, errorf(Refused, "the forge answers with something else: see whether the address is its API's")
	}
	return p, err
}

// PullOf returns the merged pull request that has brought a commit onto a branch, be it by a merge, a
// squash or a rebase. If the commit is one of several that it brought, the MergeCommit is the last of
// them, and what was reviewed is that one. An error is NotFound if there is none: somebody has pushed
// the commit. Gitea knows merge commits only, so that the first ones of a rebase are not found.
func (f *Forge) PullOf(ctx context.Context, base, commit string) (Pull, error) {
	var p Pull
	err := f.call(ctx, "find the pull request of commit "+printable(commit), toRead, func(ctx context.Context) error {
		if !commitName.MatchString(commit) {
			return errorf(Invalid, "that is no full name of a commit")
		}
		found, err := f.provider.pullsOf(ctx, commit)
		if err != nil && !isKind(err, NotFound) {
			return err
		}
		found = slices.DeleteFunc(found, func(p Pull) bool { return !p.Merged || p.Base.Name != base })
		if len(found) == 0 {
			return errorf(NotFound, "none was merged into %s for it, or the token may not see it: it needs %s", printable(base), rights[f.place.provider][toRead])
		}
		p = found[max(0, slices.IndexFunc(found, func(p Pull) bool { return p.MergeCommit == commit }))]
		return nil
	})
	return p, err
}

// Reviews returns what each person has said last of a pull request, in the order in which they said it.
// A remark takes nothing back: it does not count. On GitLab there are approvals only, and the commit is
// the head at the time of the approval.
func (f *Forge) Reviews(ctx context.Context, number int) ([]Review, error) {
	var all []Review
	err := f.call(ctx, fmt.Sprintf("read the reviews of pull request %d", number), toReview, func(ctx context.Context) error {
		found, err := f.provider.reviews(ctx, number)
		all = lastOfEach(found)
		return err
	})
	return all, err
}

// lastOfEach keeps the last review of each person.
func lastOfEach(reviews []Review) []Review {
	slices.SortStableFunc(reviews, func(a, b Review) int { return a.At.Compare(b.At) })
	var last []Review
	for i, r := range reviews {
		later := slices.ContainsFunc(reviews[i+1:], func(o Review) bool { return strings.EqualFold(o.Author, r.Author) })
		if r.Author != "" && !later {
			last = append(last, r)
		}
	}
	return last
}

// TeamHas tells whether a person is in a team: organization/team on Gitea and GitHub, with the team as
// it is in its address, and a group with all its parents on GitLab, whose inherited members count. An
// error is NotFound if there is no such team.
func (f *Forge) TeamHas(ctx context.Context, team, user string) (bool, error) {
	has := false
	err := f.call(ctx, fmt.Sprintf("see whether %s is in the team %s", printable(user), printable(team)), toTeams, func(ctx context.Context) (err error) {
		parts := strings.Split(team, "/")
		odd := slices.ContainsFunc(parts, func(s string) bool { return !segment.MatchString(s) || s == "." || s == ".." })
		switch {
		case odd || f.place.provider != GitLab && len(parts) != 2:
			return errorf(Invalid, "that is no name of a team: write organization/team, or group/subgroup on GitLab")
		case !personName.MatchString(user):
			return nil // nobody can have this name
		}
		has, err = f.provider.teamHas(ctx, team, user)
		return err
	})
	return has, err
}
