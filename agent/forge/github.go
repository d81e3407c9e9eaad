package forge

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-github/v75/github"
)

// gitHubForge is GitHub, also Enterprise.
type gitHubForge struct {
	place  place
	client *github.Client
	app    *app // nil with a token of an account
}

// newGitHubClient returns a client that counts no rate limits: the transport does.
func newGitHubClient(t *transport, at place) *github.Client {
	c := github.NewClient(t.client())
	c.DisableRateLimitCheck = true
	base := *at.api
	base.Path += "/"
	c.BaseURL = &base
	return c
}

func (g *gitHubForge) limits() limits { return limits{title: 256, body: 65536, description: 140} }

func (g *gitHubForge) whoami(ctx context.Context) (string, error) {
	if g.app != nil { // the token of an installation may not ask
		return g.app.self(ctx)
	}
	user, _, err := g.client.Users.Get(ctx, "")
	return user.GetLogin(), err
}

func (g *gitHubForge) pulls(ctx context.Context, base string, page int) ([]Pull, int, error) {
	found, response, err := g.client.PullRequests.List(ctx, g.place.owner(), g.place.name(), &github.PullRequestListOptions{
		State: "open", Base: base, Sort: "created", Direction: "asc", ListOptions: github.ListOptions{Page: page, PerPage: pullsPerPage},
	})
	if err != nil {
		return nil, 0, err
	}
	return g.read(found), following(page, len(found), pullsPerPage, response.NextPage), nil
}

func (g *gitHubForge) pull(ctx context.Context, number int) (Pull, error) {
	found, _, err := g.client.PullRequests.Get(ctx, g.place.owner(), g.place.name(), number)
	if err != nil {
		return Pull{}, err
	}
	return g.readOne(found), nil
}

func (g *gitHubForge) pullsOf(ctx context.Context, commit string) ([]Pull, error) {
	found, _, err := g.client.PullRequests.ListPullRequestsWithCommit(ctx, g.place.owner(), g.place.name(), commit, &github.ListOptions{PerPage: perPage})
	if says(err, http.StatusUnprocessableEntity, "no commit found") {
		return nil, nil
	}
	return g.read(found), err
}

func (g *gitHubForge) read(found []*github.PullRequest) []Pull {
	pulls := make([]Pull, 0, len(found))
	for _, p := range found {
		pulls = append(pulls, g.readOne(p))
	}
	return pulls
}

// readOne reads a pull request. Lists have no field merged, and before the merge merge_commit_sha is a
// commit that GitHub makes to see whether it can be merged.
func (g *gitHubForge) readOne(p *github.PullRequest) Pull {
	read := Pull{
		Number: p.GetNumber(), URL: p.GetHTMLURL(), Title: p.GetTitle(), Body: p.GetBody(), Author: p.GetUser().GetLogin(),
		Draft: p.GetDraft(), Open: p.GetState() == "open", Merged: p.GetMerged() || !p.GetMergedAt().IsZero(),
		Base: g.branchOf(p.GetBase()), Head: g.branchOf(p.GetHead()), Updated: p.GetUpdatedAt().Time,
	}
	for _, l := range p.Labels {
		read.Labels = append(read.Labels, l.GetName())
	}
	if read.Merged {
		read.MergeCommit = p.GetMergeCommitSHA()
	}
	return read
}

// branchOf reads an end of a pull request. The repository of a fork that was deleted is null.
func (g *gitHubForge) branchOf(b *github.PullRequestBranch) Branch {
	read := Branch{Name: b.GetRef(), Commit: b.GetSHA()}
	switch full := b.GetRepo().GetFullName(); {
	case full == "":
		read.Fork = strings.TrimSuffix(b.GetLabel(), ":"+b.GetRef())
	case !strings.EqualFold(full, g.place.path):
		read.Fork = full
	}
	return read
}

// mergeBase compares two commits. The first page of the answer would have the diffs of 300 files in it.
func (g *gitHubForge) mergeBase(ctx context.Context, base, head string) (string, error) {
	found, _, err := g.client.Repositories.CompareCommits(ctx, g.place.owner(), g.place.name(), base, head, &github.ListOptions{Page: 2, PerPage: 1})
	if says(err, http.StatusNotFound, "no common ancestor") {
		return "", nil
	}
	return found.GetMergeBaseCommit().GetSHA(), err
}

func (g *gitHubForge) reviews(ctx context.Context, number int) ([]Review, error) {
	found, err := all(func(page int) ([]*github.PullRequestReview, int, error) {
		found, response, err := g.client.PullRequests.ListReviews(ctx, g.place.owner(), g.place.name(), number, &github.ListOptions{Page: page, PerPage: perPage})
		if err != nil {
			return nil, 0, err
		}
		return found, following(page, len(found), perPage, response.NextPage), nil
	})
	if err != nil {
		return nil, err
	}
	var reviews []Review
	for _, r := range found {
		if state := r.GetState(); slices.Contains([]string{"APPROVED", "CHANGES_REQUESTED", "DISMISSED"}, state) {
			reviews = append(reviews, Review{
				Author: r.GetUser().GetLogin(), Approved: state == "APPROVED", Commit: r.GetCommitID(), At: r.GetSubmittedAt().Time,
			})
		}
	}
	reviews = lastOfEach(reviews)
	for i, r := range reviews {
		if !r.Approved {
			continue
		}
		if reviews[i].Official, err = g.mayWrite(ctx, r.Author); err != nil {
			return nil, err
		}
	}
	return reviews, nil
}

// mayWrite tells whether somebody may write to the repository. The review only says whether he has to
// do with it.
func (g *gitHubForge) mayWrite(ctx context.Context, user string) (bool, error) {
	if !personName.MatchString(user) {
		return false, nil
	}
	level, _, err := g.client.Repositories.GetPermissionLevel(ctx, g.place.owner(), g.place.name(), user)
	if isKind(err, NotFound) {
		return false, nil // an account that is gone, or an App
	}
	return level.GetPermission() == "write" || level.GetPermission() == "admin", err
}

func (g *gitHubForge) teamHas(ctx context.Context, team, user string) (bool, error) {
	org, slug, _ := strings.Cut(team, "/")
	membership, _, err := g.client.Teams.GetTeamMembershipBySlug(ctx, org, slug, user)
	if isKind(err, NotFound) { // the person is not in it, or there is no team that the token may see
		_, _, err = g.client.Teams.GetTeamBySlug(ctx, org, slug)
		return false, err
	}
	return membership.GetState() == "active", err
}

func (g *gitHubForge) setStatus(ctx context.Context, commit string, s Status) error {
	status := &github.RepoStatus{State: github.Ptr(string(s.State)), Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, _, err := g.client.Repositories.CreateStatus(ctx, g.place.owner(), g.place.name(), commit, status)
	return err
}

func (g *gitHubForge) comments(ctx context.Context, number, page int) ([]comment, int, error) {
	found, response, err := g.client.Issues.ListComments(ctx, g.place.owner(), g.place.name(), number, &github.IssueListCommentsOptions{
		ListOptions: github.ListOptions{Page: page, PerPage: perPage},
	})
	if err != nil {
		return nil, 0, err
	}
	var read []comment
	for _, c := range found {
		read = append(read, comment{c.GetID(), c.GetUser().GetLogin(), c.GetBody()})
	}
	return read, following(page, len(found), perPage, response.NextPage), nil
}

func (g *gitHubForge) addComment(ctx context.Context, number int, body string) error {
	_, _, err := g.client.Issues.CreateComment(ctx, g.place.owner(), g.place.name(), number, &github.IssueComment{Body: &body})
	return err
}

func (g *gitHubForge) editComment(ctx context.Context, _ int, id int64, body string) error {
	_, _, err := g.client.Issues.EditComment(ctx, g.place.owner(), g.place.name(), id, &github.IssueComment{Body: &body})
	return err
}

func (g *gitHubForge) open(ctx context.Context, d Draft) (Pull, bool, error) {
	made, _, err := g.client.PullRequests.Create(ctx, g.place.owner(), g.place.name(), &github.NewPullRequest{
		Title: &d.Title, Head: &d.Head, Base: &d.Base, Body: &d.Body, Draft: &d.NotReady,
	})
	switch {
	case says(err, http.StatusUnprocessableEntity, "a pull request already exists"):
		return Pull{}, true, nil
	case err != nil:
		return Pull{}, false, err
	}
	return g.readOne(made), false, nil
}

func (g *gitHubForge) openOf(ctx context.Context, base, head string) ([]Pull, error) {
	found, _, err := g.client.PullRequests.List(ctx, g.place.owner(), g.place.name(), &github.PullRequestListOptions{
		State: "open", Base: base, Head: g.place.owner() + ":" + head, ListOptions: github.ListOptions{PerPage: perPage},
	})
	return g.read(found), err
}

func (g *gitHubForge) addLabels(ctx context.Context, number int, labels []string) error {
	_, _, err := g.client.Issues.AddLabelsToIssue(ctx, g.place.owner(), g.place.name(), number, labels)
	return err
}

func (g *gitHubForge) edit(ctx context.Context, have Pull, d Draft) error {
	if have.Title != d.Title || !same(have.Body, d.Body) {
		_, _, err := g.client.PullRequests.Edit(ctx, g.place.owner(), g.place.name(), have.Number, &github.PullRequest{Title: &d.Title, Body: &d.Body})
		if err != nil {
			return err
		}
	}
	if have.Draft != d.NotReady {
		return g.setReady(ctx, have.Number, !d.NotReady)
	}
	return nil
}

// Mutations of GraphQL: GitHub's REST API cannot make a draft of a pull request, nor the reverse.
const (
	makeReady = `mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { clientMutationId } }`
	makeDraft = `mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { clientMutationId } }`
)

func (g *gitHubForge) setReady(ctx context.Context, number int, ready bool) error {
	found, _, err := g.client.PullRequests.Get(ctx, g.place.owner(), g.place.name(), number)
	if err != nil {
		return err
	}
	mutation := makeDraft
	if ready {
		mutation = makeReady
	}
	request, err := g.client.NewRequest(http.MethodPost, graphQL(g.place.api), map[string]any{
		"query": mutation, "variables": map[string]string{"id": found.GetNodeID()},
	})
	if err != nil {
		return err
	}
	var said struct {
		Errors []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if _, err := g.client.Do(ctx, request, &said); err != nil {
		return err
	}
	if len(said.Errors) == 0 {
		return nil
	}
	refused := &Error{Kind: Refused, status: http.StatusOK, said: printable(said.Errors[0].Message)} // they come with 200
	if said.Errors[0].Type == "FORBIDDEN" {
		refused.Kind = Forbidden
	}
	return refused
}

// graphQL is where the API of GraphQL is: beside that of REST.
func graphQL(rest *url.URL) string {
	u := *rest
	u.Path = strings.TrimSuffix(u.Path, "/v3") + "/graphql"
	return u.String()
}

func (g *gitHubForge) close(ctx context.Context, number int) error {
	_, _, err := g.client.PullRequests.Edit(ctx, g.place.owner(), g.place.name(), number, &github.PullRequest{State: github.Ptr("closed")})
	return err
}

func (g *gitHubForge) merge(ctx context.Context, number int, commit string, method Method) error {
	_, _, err := g.client.PullRequests.Merge(ctx, g.place.owner(), g.place.name(), number, "", &github.PullRequestOptions{
		SHA: commit, MergeMethod: string(method),
	})
	if says(err, http.StatusMethodNotAllowed, "base branch was modified") {
		return errorf(Unavailable, "somebody else merges into the same branch: it is tried again")
	}
	return err
}

func (g *gitHubForge) branch(ctx context.Context, name string) (string, error) {
	ref, _, err := g.client.Git.GetRef(ctx, g.place.owner(), g.place.name(), "refs/heads/"+name)
	return ref.GetObject().GetSHA(), err
}

func (g *gitHubForge) deleteBranch(ctx context.Context, name string) error {
	_, err := g.client.Git.DeleteRef(ctx, g.place.owner(), g.place.name(), "refs/heads/"+name)
	if says(err, http.StatusUnprocessableEntity, "reference does not exist") {
		return nil
	}
	return err
}
