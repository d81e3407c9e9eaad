package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/gate"
	"k8s.io/apimachinery/pkg/types"
)

// Forges are those that Repositories are on.
type Forges interface {
	// Of opens the one of a Repository that has spec.pullRequests.
	Of(ctx context.Context, repo *v1alpha1.Repository) (*forge.Forge, error)
}

// reviewed names what a forge was asked about a commit.
type reviewed struct {
	commit, branch string
	whose          string // in JSON
	repository     types.UID
	generation     int64
}

// reviewedOn is the branch that the pull requests of a Repository go to. The error says why there are none.
func reviewedOn(repo *v1alpha1.Repository, newest agent.Revision) (string, error) {
	name := repo.Namespace + "/" + repo.Name
	branch, is := repo.Branch(newest.Name)
	switch {
	case repo.Spec.PullRequests == nil:
		return "", fmt.Errorf("Repository %s does not say where its pull requests are: set spec.pullRequests", name)
	case !is:
		return "", fmt.Errorf("Repository %s follows no branch, so that no pull request is merged into what it follows: name a branch in spec.ref", name)
	}
	return branch, nil
}

// approvals asks the forge who has approved what brought a commit to a branch.
func approvals(ctx context.Context, forges Forges, repo *v1alpha1.Repository, branch, commit string, whose v1alpha1.ReviewApproval) (found gate.Approval) {
	defer func() {
		if cause := recover(); cause != nil { // it reads what others wrote
			found = gate.Approval{Reason: fmt.Sprintf("of a mistake in the agent: %v", cause)}
		}
		found.Commit = commit
	}()
	f, err := forges.Of(ctx, repo)
	if err != nil {
		return unknown(err)
	}
	pull, err := f.PullOf(ctx, branch, commit)
	if e, is := errors.AsType[*forge.Error](err); is && e.Kind == forge.NotFound {
		return gate.Approval{Reason: fmt.Sprintf("no pull request that was merged into %s has brought it, as far as the agent's token may see: propose the change in one", branch)}
	}
	if err != nil {
		return unknown(err)
	}
	self, err := f.Self(ctx)
	if err != nil {
		return unknown(err)
	}
	reviews, err := f.Reviews(ctx, pull.Number)
	if err != nil {
		return unknown(err)
	}
	found.Pull = pull.Number
	for _, r := range reviews {
		why := discounted(r, pull, self)
		if why == "" {
			asked, err := isAsked(ctx, f, r.Author, whose)
			if err != nil {
				return unknown(err)
			}
			if !asked {
				why = r.Author + " is not among those who are asked"
			}
		}
		if why != "" {
			found.Others = append(found.Others, why)
		} else {
			found.By = append(found.By, r.Author)
		}
	}
	return found
}

// unknown is that the forge does not tell, which may pass if nobody has to change anything for it.
func unknown(err error) gate.Approval {
	e, is := errors.AsType[*forge.Error](err)
	return gate.Approval{Reason: err.Error(), Waits: !is || e.Kind.Temporary() || e.Kind == forge.Conflict}
}

// discounted says why a review does not count, whoever is asked for; empty if it does. What was merged is
// the head as it was then: a review of something else, or of what is not known, approves something else.
func discounted(r forge.Review, pull forge.Pull, self string) string {
	switch {
	case !r.Approved:
		return r.Author + " does not approve it"
	case strings.EqualFold(r.Author, pull.Author):
		return r.Author + " has opened it"
	case strings.EqualFold(r.Author, self):
		return r.Author + " is the agent itself"
	case !r.Official:
		return r.Author + " may not write to the repository"
	case pull.Head.Commit == "":
		return r.Author + "'s may be of another commit, for the forge does not say which one was merged"
	case r.Commit == "":
		return r.Author + "'s may be of another commit, for the forge does not say which one it is of"
	case r.Stale || r.Commit != pull.Head.Commit:
		return r.Author + "'s is of an older commit"
	}
	return ""
}

// isAsked tells whether somebody is one of those whose reviews count.
func isAsked(ctx context.Context, f *forge.Forge, user string, whose v1alpha1.ReviewApproval) (bool, error) {
	if len(whose.Users) == 0 && len(whose.Teams) == 0 {
		return true, nil
	}
	for _, one := range whose.Users {
		if strings.EqualFold(one, user) {
			return true, nil
		}
	}
	var failed error
	for _, team := range whose.Teams {
		has, err := f.TeamHas(ctx, team, user)
		if has {
			return true, nil
		}
		failed = errors.Join(failed, err)
	}
	return false, failed
}
