package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Pull is a pull request as it was when it was read.
type Pull struct {
	Number int
	// URL of its page.
	URL                      string `json:"html_url"`
	Title, Body, State       string
	User                     struct{ Login string }
	Labels                   []struct{ Name string }
	Draft, Merged, Mergeable bool
	Head, Base               Branch
	MergeCommit              string                 `json:"merge_commit_sha"`
	MergeBase                string                 `json:"merge_base"`
	MergedBy                 struct{ Login string } `json:"merged_by"`

	repo *Repo
}

// Branch is one end of a pull request.
type Branch struct {
	Ref, SHA string
	Repo     *struct {
		FullName string `json:"full_name"`
	}
}

// PullSpec is what a new pull request is to be.
type PullSpec struct {
	// Head is a branch; of a fork "owner:branch".
	Head string
	// Base is main if it is empty.
	Base        string
	Title, Body string
}

// Open opens a pull request in the name of the user.
func (r *Repo) Open(ctx context.Context, as *User, spec PullSpec) (*Pull, error) {
	if spec.Base == "" {
		spec.Base = "main"
	}
	p := &Pull{repo: r}
	return p, as.Call(ctx, http.MethodPost, r.path("/pulls"), map[string]any{
		"head": spec.Head, "base": spec.Base, "title": spec.Title, "body": spec.Body,
	}, p)
}

// Pull reads a pull request.
func (r *Repo) Pull(ctx context.Context, number int) (*Pull, error) {
	p := &Pull{repo: r}
	return p, r.server.Admin.Call(ctx, http.MethodGet, r.path(fmt.Sprintf("/pulls/%d", number)), nil, p)
}

// Pulls are the pull requests in a state (open, closed, all), the newest first.
func (r *Repo) Pulls(ctx context.Context, state string) (list []*Pull, err error) {
	err = r.server.Admin.Call(ctx, http.MethodGet, r.path("/pulls?limit=50&state="+state), nil, &list)
	for _, p := range list {
		p.repo = r
	}
	return list, err
}

// Refresh reads the pull request again.
func (p *Pull) Refresh(ctx context.Context) error {
	now, err := p.repo.Pull(ctx, p.Number)
	if err == nil {
		*p = *now
	}
	return err
}

func (p *Pull) path(below string) string {
	return p.repo.path(fmt.Sprintf("/pulls/%d", p.Number)) + below
}

// Edit changes the title, if it is not empty, and the state ("open", "closed"), if it is not empty.
func (p *Pull) Edit(ctx context.Context, as *User, title, state string) error {
	change := map[string]any{}
	if title != "" {
		change["title"] = title
	}
	if state != "" {
		change["state"] = state
	}
	return as.Call(ctx, http.MethodPatch, p.path(""), change, nil)
}

// Opinion is what a review says.
type Opinion string

// Opinions.
const (
	Approve        Opinion = "APPROVED"
	RequestChanges Opinion = "REQUEST_CHANGES"
	Comment        Opinion = "COMMENT"
)

// Review is a review as it was when it was read.
type Review struct {
	ID        int64
	User      struct{ Login string }
	State     Opinion
	Body      string
	Commit    string `json:"commit_id"`
	Stale     bool
	Official  bool
	Dismissed bool
}

// Review reviews the head as it is, in the name of the user. All but an approval need a body.
func (p *Pull) Review(ctx context.Context, as *User, opinion Opinion, body string) (Review, error) {
	var made Review
	err := as.Call(ctx, http.MethodPost, p.path("/reviews"), map[string]any{"event": opinion, "body": body}, &made)
	return made, err
}

// Dismiss dismisses a review in the name of the user, who must administer the repository.
func (p *Pull) Dismiss(ctx context.Context, as *User, review int64, why string) error {
	return as.Call(ctx, http.MethodPost, p.path(fmt.Sprintf("/reviews/%d/dismissals", review)), map[string]any{"message": why}, nil)
}

// Reviews are the reviews, oldest first.
func (p *Pull) Reviews(ctx context.Context) (list []Review, err error) {
	err = p.repo.server.Admin.Call(ctx, http.MethodGet, p.path("/reviews"), nil, &list)
	return list, err
}

// Method of a merge.
type Method string

// Methods.
const (
	Merge  Method = "merge"
	Squash Method = "squash"
	Rebase Method = "rebase"
)

// mergePatience is twenty times what Gitea takes to find out whether a pull request can be merged. It
// says the same when there are conflicts.
const mergePatience = 30 * time.Second

// Merge merges the pull request in the name of the user, and reads it again. It waits until Gitea
// has found out whether it can be merged.
func (p *Pull) Merge(ctx context.Context, as *User, method Method) error {
	for deadline := time.Now().Add(mergePatience); ; {
		err := as.Call(ctx, http.MethodPost, p.path("/merge"), map[string]any{"do": method}, nil)
		if err == nil {
			return p.Refresh(ctx)
		}
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.Contains(refusal.Message, "try again later") || time.Now().After(deadline) {
			return err
		}
		if err := p.Refresh(ctx); err != nil { // Gitea looks again when it is read
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// IssueComment is a comment below a pull request.
type IssueComment struct {
	ID   int64
	User struct{ Login string }
	Body string
	// Updated is later than Created when it has been edited.
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
}

// Comments are those below the pull request, oldest first, without reviews.
func (p *Pull) Comments(ctx context.Context) (list []IssueComment, err error) {
	err = p.repo.server.Admin.Call(ctx, http.MethodGet, p.repo.path(fmt.Sprintf("/issues/%d/comments", p.Number)), nil, &list)
	return list, err
}

// Comment writes one, in the name of the user.
func (p *Pull) Comment(ctx context.Context, as *User, body string) error {
	return as.Call(ctx, http.MethodPost, p.repo.path(fmt.Sprintf("/issues/%d/comments", p.Number)), map[string]any{"body": body}, nil)
}

// CommitStatus is the last of its context on a commit.
type CommitStatus struct {
	Context     string
	State       string `json:"status"`
	Description string
	URL         string `json:"target_url"`
	Creator     struct{ Login string }
}

// Statuses are the last of each context on a commit.
func (r *Repo) Statuses(ctx context.Context, commit string) ([]CommitStatus, error) {
	var combined struct{ Statuses []CommitStatus }
	err := r.server.Admin.Call(ctx, http.MethodGet, r.path("/commits/"+commit+"/status?limit=50"), nil, &combined)
	return combined.Statuses, err
}
