package forge

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// gitLabForge is GitLab.
type gitLabForge struct {
	place  place
	client *gitlab.Client
}

// gitLabPage is how many merge requests are on a page: a description may have a million characters.
const gitLabPage = 20

// gitLabDraft is the title of what may not be merged, which has no other field that could be set.
var gitLabDraft = regexp.MustCompile(`(?i)^\s*(draft:|\[draft\]|\(draft\))\s*`)

// unlimited keeps the library from asking and waiting for GitLab's rate limit.
type unlimited struct{}

func (unlimited) Wait(context.Context) error { return nil }

func newGitLab(t *transport, at place) (*gitLabForge, error) {
	client, err := gitlab.NewAuthSourceClient(gitlab.Unauthenticated{}, // the transport does that
		gitlab.WithBaseURL(at.api.String()), gitlab.WithHTTPClient(t.client()), gitlab.WithoutRetries(),
		gitlab.WithCustomLimiter(unlimited{}), gitlab.WithURLWarningLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, errorf(Invalid, "the address of the API is not one: write https://host/api/v4")
	}
	return &gitLabForge{place: at, client: client}, nil
}

func (g *gitLabForge) limits() limits {
	return limits{title: 248, body: 1_000_000, description: 255} // the title has 255, with Draft:
}

func (g *gitLabForge) whoami(ctx context.Context) (string, error) {
	user, _, err := g.client.Users.CurrentUser(gitlab.WithContext(ctx))
	if err != nil {
		return "", err
	}
	return user.Username, nil
}

func (g *gitLabForge) pulls(ctx context.Context, base string, page int) ([]Pull, int, error) {
	found, response, err := g.client.MergeRequests.ListProjectMergeRequests(g.place.path, &gitlab.ListProjectMergeRequestsOptions{
		ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: gitLabPage},
		State:       gitlab.Ptr("opened"), TargetBranch: &base, OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"), Scope: gitlab.Ptr("all"),
	}, gitlab.WithContext(ctx))
	if err != nil {
		return nil, 0, err
	}
	return g.read(found), following(page, len(found), gitLabPage, int(response.NextPage)), nil
}

func (g *gitLabForge) pull(ctx context.Context, number int) (Pull, error) {
	found, err := g.get(ctx, number)
	if err != nil {
		return Pull{}, err
	}
	return g.readOne(&found.BasicMergeRequest), nil
}

func (g *gitLabForge) get(ctx context.Context, number int) (*gitlab.MergeRequest, error) {
	found, _, err := g.client.MergeRequests.GetMergeRequest(g.place.path, int64(number), nil, gitlab.WithContext(ctx))
	return found, err
}

func (g *gitLabForge) pullsOf(ctx context.Context, commit string) ([]Pull, error) {
	found, _, err := g.client.Commits.ListMergeRequestsByCommit(g.place.path, commit, gitlab.WithContext(ctx))
	return g.read(found), err
}

func (g *gitLabForge) read(found []*gitlab.BasicMergeRequest) []Pull {
	pulls := make([]Pull, 0, len(found))
	for _, m := range found {
		pulls = append(pulls, g.readOne(m))
	}
	return pulls
}

func (g *gitLabForge) readOne(m *gitlab.BasicMergeRequest) Pull {
	read := Pull{
		Number: int(m.IID), URL: m.WebURL, Title: m.Title, Body: m.Description, Labels: m.Labels,
		Draft: m.Draft, Open: m.State == "opened" || m.State == "locked", Merged: m.State == "merged",
		Base: Branch{Name: m.TargetBranch}, Head: Branch{Name: m.SourceBranch, Commit: m.SHA},
	}
	if m.Author != nil {
		read.Author = m.Author.Username
	}
	if m.Draft {
		read.Title = gitLabDraft.ReplaceAllString(m.Title, "")
	}
	if m.SourceProjectID != m.TargetProjectID { // 0 if the fork is gone
		read.Head.Fork = fmt.Sprintf("project %d", m.SourceProjectID)
	}
	if read.Merged { // a fast-forward has no commit of its own: the head is on the branch then
		read.MergeCommit = cmp.Or(m.MergeCommitSHA, m.SquashCommitSHA, m.SHA)
	}
	if m.UpdatedAt != nil {
		read.Updated = *m.UpdatedAt
	}
	return read
}

func (g *gitLabForge) mergeBase(ctx context.Context, base, head string) (string, error) {
	found, _, err := g.client.Repositories.MergeBase(g.place.path, &gitlab.MergeBaseOptions{Ref: &[]string{base, head}}, gitlab.WithContext(ctx))
	switch {
	case says(err, http.StatusNotFound, "merge base not found"):
		return "", nil
	case says(err, http.StatusBadRequest, "could not find ref"):
		return "", &Error{Kind: NotFound, said: "one of its commits is not there"}
	case err != nil:
		return "", err
	}
	return found.ID, nil
}

// approval is what GitLab says of an approval: not of which commit, and since version 18 when.
type approval struct {
	User       struct{ Username string } `json:"user"`
	ApprovedAt time.Time                 `json:"approved_at"`
}

// reviews returns the approvals. Who may approve is a member of the project. Which commit somebody has
// approved follows from when that was, and when there was which head.
func (g *gitLabForge) reviews(ctx context.Context, number int) ([]Review, error) {
	path := fmt.Sprintf("projects/%s/merge_requests/%d/approvals", gitlab.PathEscape(g.place.path), number)
	request, err := g.client.NewRequest(http.MethodGet, path, nil, []gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
	if err != nil {
		return nil, err
	}
	var found struct {
		ApprovedBy []approval `json:"approved_by"`
	}
	if _, err := g.client.Do(request, &found); err != nil || len(found.ApprovedBy) == 0 {
		return nil, err
	}
	if slices.ContainsFunc(found.ApprovedBy, func(a approval) bool { return a.ApprovedAt.IsZero() }) {
		if err := g.fillTimes(ctx, number, found.ApprovedBy); err != nil {
			return nil, err
		}
	}
	heads, err := g.heads(ctx, number)
	if err != nil {
		return nil, err
	}
	var reviews []Review
	for _, a := range found.ApprovedBy {
		reviews = append(reviews, Review{Author: a.User.Username, Approved: true, Official: true, Commit: headAt(heads, a.ApprovedAt), At: a.ApprovedAt})
	}
	return reviews, nil
}

// heads returns the heads that a merge request has had.
func (g *gitLabForge) heads(ctx context.Context, number int) ([]*gitlab.MergeRequestDiffVersion, error) {
	return all(func(page int) ([]*gitlab.MergeRequestDiffVersion, int, error) {
		found, response, err := g.client.MergeRequests.GetMergeRequestDiffVersions(g.place.path, int64(number),
			&gitlab.GetMergeRequestDiffVersionsOptions{ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage}}, gitlab.WithContext(ctx))
		if err != nil {
			return nil, 0, err
		}
		return found, following(page, len(found), perPage, int(response.NextPage)), nil
	})
}

// fillTimes finds in what GitLab notes itself when people have approved.
func (g *gitLabForge) fillTimes(ctx context.Context, number int, approvals []approval) error {
	notes, err := all(func(page int) ([]*gitlab.Note, int, error) { return g.notes(ctx, number, page) })
	for _, n := range notes {
		for i, a := range approvals {
			if n.System && n.Body == "approved this merge request" && strings.EqualFold(n.Author.Username, a.User.Username) && n.CreatedAt != nil && n.CreatedAt.After(a.ApprovedAt) {
				approvals[i].ApprovedAt = *n.CreatedAt
			}
		}
	}
	return err
}

// headAt is the head at a time; empty if that is not known.
func headAt(heads []*gitlab.MergeRequestDiffVersion, at time.Time) string {
	head, since := "", time.Time{}
	for _, v := range heads {
		if v.CreatedAt != nil && !v.CreatedAt.After(at) && !v.CreatedAt.Before(since) {
			head, since = v.HeadCommitSHA, *v.CreatedAt
		}
	}
	return head
}

// teamHas looks a person up among the members of a group, also inherited ones. GitLab finds by parts of
// names.
func (g *gitLabForge) teamHas(ctx context.Context, team, user string) (bool, error) {
	members, err := all(func(page int) ([]*gitlab.GroupMember, int, error) {
		found, response, err := g.client.Groups.ListAllGroupMembers(team, &gitlab.ListGroupMembersOptions{
			ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage}, Query: &user,
		}, gitlab.WithContext(ctx))
		if err != nil {
			return nil, 0, err
		}
		return found, following(page, len(found), perPage, int(response.NextPage)), nil
	})
	return slices.ContainsFunc(members, func(m *gitlab.GroupMember) bool {
		return strings.EqualFold(m.Username, user) && m.State == "active" && m.AccessLevel >= gitlab.GuestPermissions
	}), err
}

// gitLabStates are the states of statuses there.
var gitLabStates = map[State]gitlab.BuildStateValue{Pending: gitlab.Pending, Success: gitlab.Success, Failure: gitlab.Failed, Broken: gitlab.Failed}

func (g *gitLabForge) setStatus(ctx context.Context, commit string, s Status) error {
	options := &gitlab.SetCommitStatusOptions{State: gitLabStates[s.State], Name: &s.Context, Description: &s.Description}
	if s.URL != "" {
		options.TargetURL = &s.URL
	}
	_, _, err := g.client.Commits.SetCommitStatus(g.place.path, commit, options, gitlab.WithContext(ctx))
	switch {
	case says(err, http.StatusBadRequest, "cannot transition status"):
		return nil // from pending to pending: it is so already
	case statusOf(err) == http.StatusConflict:
		return errorf(Unavailable, "GitLab is at the same status just now: it is tried again")
	}
	return err
}

// notes returns a page of notes, the oldest first, which GitLab has the other way round by itself.
func (g *gitLabForge) notes(ctx context.Context, number, page int) ([]*gitlab.Note, int, error) {
	found, response, err := g.client.Notes.ListMergeRequestNotes(g.place.path, int64(number), &gitlab.ListMergeRequestNotesOptions{
		ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage}, OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"),
	}, gitlab.WithContext(ctx))
	if err != nil {
		return nil, 0, err
	}
	return found, following(page, len(found), perPage, int(response.NextPage)), nil
}

// comments returns notes of people.
func (g *gitLabForge) comments(ctx context.Context, number, page int) ([]comment, int, error) {
	found, next, err := g.notes(ctx, number, page)
	if err != nil {
		return nil, 0, err
	}
	var read []comment
	for _, n := range found {
		if !n.System {
			read = append(read, comment{n.ID, n.Author.Username, n.Body})
		}
	}
	return read, next, nil
}

func (g *gitLabForge) addComment(ctx context.Context, number int, body string) error {
	_, _, err := g.client.Notes.CreateMergeRequestNote(g.place.path, int64(number), &gitlab.CreateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
	return err
}

func (g *gitLabForge) editComment(ctx context.Context, number int, id int64, body string) error {
	_, _, err := g.client.Notes.UpdateMergeRequestNote(g.place.path, int64(number), id, &gitlab.UpdateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
	return err
}

func (g *gitLabForge) open(ctx context.Context, d Draft) (Pull, bool, error) {
	made, _, err := g.client.MergeRequests.CreateMergeRequest(g.place.path, &gitlab.CreateMergeRequestOptions{
		Title: gitLabTitle(d), Description: &d.Body, SourceBranch: &d.Head, TargetBranch: &d.Base,
	}, gitlab.WithContext(ctx))
	switch {
	case statusOf(err) == http.StatusConflict:
		return Pull{}, true, nil
	case err != nil:
		return Pull{}, false, err
	}
	return g.readOne(&made.BasicMergeRequest), false, nil
}

func gitLabTitle(d Draft) *string {
	if d.NotReady {
		return gitlab.Ptr("Draft: " + d.Title)
	}
	return &d.Title
}

func (g *gitLabForge) openOf(ctx context.Context, base, head string) ([]Pull, error) {
	found, _, err := g.client.MergeRequests.ListProjectMergeRequests(g.place.path, &gitlab.ListProjectMergeRequestsOptions{
		ListOptions: gitlab.ListOptions{PerPage: gitLabPage},
		State:       gitlab.Ptr("opened"), TargetBranch: &base, SourceBranch: &head, Scope: gitlab.Ptr("all"),
	}, gitlab.WithContext(ctx))
	return g.read(found), err
}

func (g *gitLabForge) addLabels(ctx context.Context, number int, labels []string) error {
	return g.update(ctx, number, &gitlab.UpdateMergeRequestOptions{AddLabels: (*gitlab.LabelOptions)(&labels)})
}

func (g *gitLabForge) edit(ctx context.Context, have Pull, d Draft) error {
	return g.update(ctx, have.Number, &gitlab.UpdateMergeRequestOptions{Title: gitLabTitle(d), Description: &d.Body})
}

func (g *gitLabForge) close(ctx context.Context, number int) error {
	return g.update(ctx, number, &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")})
}

func (g *gitLabForge) update(ctx context.Context, number int, options *gitlab.UpdateMergeRequestOptions) error {
	_, _, err := g.client.MergeRequests.UpdateMergeRequest(g.place.path, int64(number), options, gitlab.WithContext(ctx))
	return err
}

// unready are states of a merge request that GitLab is still looking at by itself.
var unready = []string{"unchecked", "checking", "preparing", "approvals_syncing", "ci_still_running"}

func (g *gitLabForge) merge(ctx context.Context, number int, commit string, method Method) error {
	if method == Rebase {
		project, _, err := g.client.Projects.GetProject(g.place.path, nil, gitlab.WithContext(ctx))
		switch {
		case err != nil:
			return err
		case project.MergeMethod != gitlab.FastForwardMerge:
			return errorf(Refused, "the project merges with a merge commit, and only its settings can say otherwise: set its merge method to fast-forward, or ask for merge or squash")
		}
	}
	_, _, err := g.client.MergeRequests.AcceptMergeRequest(g.place.path, int64(number), &gitlab.AcceptMergeRequestOptions{
		SHA: &commit, Squash: gitlab.Ptr(method == Squash), ShouldRemoveSourceBranch: gitlab.Ptr(false),
	}, gitlab.WithContext(ctx))
	if status := statusOf(err); status != http.StatusMethodNotAllowed && status != http.StatusUnprocessableEntity {
		return err
	}
	m, failed := g.get(ctx, number) // GitLab says no more than that it does not
	switch {
	case failed != nil || m.DetailedMergeStatus == "":
		return err
	case slices.Contains(unready, m.DetailedMergeStatus):
		return errorf(Unavailable, "GitLab is still looking whether it can be merged (%s): it is tried again", m.DetailedMergeStatus)
	}
	return errorf(Refused, "GitLab does not merge it: its state is %s; see its page", printable(m.DetailedMergeStatus))
}

func (g *gitLabForge) branch(ctx context.Context, name string) (string, error) {
	found, _, err := g.client.Branches.GetBranch(g.place.path, name, gitlab.WithContext(ctx))
	if err != nil || found.Commit == nil {
		return "", err
	}
	return found.Commit.ID, nil
}

func (g *gitLabForge) deleteBranch(ctx context.Context, name string) error {
	_, err := g.client.Branches.DeleteBranch(g.place.path, name, gitlab.WithContext(ctx))
	return err
}
