package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
)

// giteaForge is Gitea, and Forgejo, whose API is the same here.
type giteaForge struct {
	place  place
	client *http.Client
}

// giteaDraft is the title of what may not be merged, as Gitea is set up unless somebody changes it.
var giteaDraft = regexp.MustCompile(`(?i)^\s*(WIP:|\[WIP\])\s*`)

// labelColor is that of labels we make.
const labelColor = "#4f7cac"

func (g *giteaForge) limits() limits {
	return limits{title: 250, body: 65536, description: 255} // the title has 255, with WIP:
}

// at returns a client for one call: the library has a context for a client and not for a call. It is
// told no version of the server, which it would ask for otherwise, and by which it refuses calls.
func (g *giteaForge) at(ctx context.Context) (c *gitea.Client, owner, name string, err error) {
	base := strings.TrimSuffix(g.place.api.String(), suffix[Gitea])
	c, err = gitea.NewClient(base, gitea.SetGiteaVersion(""), gitea.SetHTTPClient(g.client), gitea.SetContext(ctx))
	return c, g.place.owner(), g.place.name(), err
}

func (g *giteaForge) whoami(ctx context.Context) (string, error) {
	c, _, _, err := g.at(ctx)
	if err != nil {
		return "", err
	}
	user, _, err := c.GetMyUserInfo()
	if err != nil {
		return "", err
	}
	return user.UserName, nil
}

func (g *giteaForge) pulls(ctx context.Context, _ string, page int) ([]Pull, int, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return nil, 0, err
	}
	found, response, err := c.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
		ListOptions: gitea.ListOptions{Page: page, PageSize: pullsPerPage}, State: gitea.StateOpen, Sort: "oldest",
	})
	if err != nil {
		return nil, 0, err
	}
	return g.read(found), response.NextPage, nil
}

func (g *giteaForge) pull(ctx context.Context, number int) (Pull, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return Pull{}, err
	}
	found, _, err := c.GetPullRequest(owner, name, int64(number))
	if err != nil {
		return Pull{}, err
	}
	return g.settle(c, g.readOne(found))
}

// settle corrects the head of a pull request that is merged: Gitea says where the branch is now, which
// may have been pushed to since, so that what was reviewed could be made to look like what was merged.
func (g *giteaForge) settle(c *gitea.Client, p Pull) (Pull, error) {
	if !p.Merged {
		return p, nil
	}
	p.Head.Commit = ""
	ref, _, err := c.GetRepoRef(g.place.owner(), g.place.name(), fmt.Sprintf("pull/%d/head", p.Number))
	if err != nil && !isKind(err, NotFound) {
		return Pull{}, err
	}
	if err == nil && ref.Object != nil {
		p.Head.Commit = ref.Object.SHA
	}
	return p, nil
}

func (g *giteaForge) pullsOf(ctx context.Context, commit string) ([]Pull, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return nil, err
	}
	found, _, err := c.GetCommitPullRequest(owner, name, commit)
	if err != nil {
		return nil, err
	}
	p, err := g.settle(c, g.readOne(found))
	return []Pull{p}, err
}

func (g *giteaForge) read(found []*gitea.PullRequest) []Pull {
	pulls := make([]Pull, 0, len(found))
	for _, p := range found {
		pulls = append(pulls, g.readOne(p))
	}
	return pulls
}

func (g *giteaForge) readOne(p *gitea.PullRequest) Pull {
	read := Pull{
		Number: int(p.Index), URL: p.HTMLURL, Title: p.Title, Body: p.Body,
		Draft: p.Draft || giteaDraft.MatchString(p.Title), Open: p.State == gitea.StateOpen, Merged: p.HasMerged,
		Base: g.branchOf(p.Base), Head: g.headOf(p.Head),
	}
	if p.Poster != nil {
		read.Author = p.Poster.UserName
	}
	if read.Draft {
		read.Title = giteaDraft.ReplaceAllString(p.Title, "")
	}
	for _, l := range p.Labels {
		read.Labels = append(read.Labels, l.Name)
	}
	if p.HasMerged && p.MergedCommitID != nil {
		read.MergeCommit = *p.MergedCommitID
	}
	if p.Updated != nil {
		read.Updated = *p.Updated
	}
	return read
}

// branchOf reads an end of a pull request.
func (g *giteaForge) branchOf(b *gitea.PRBranchInfo) Branch {
	switch {
	case b == nil:
		return Branch{}
	case b.Repository == nil:
		return Branch{Name: b.Name, Commit: b.Sha, Fork: "a fork that is gone"}
	case !strings.EqualFold(b.Repository.FullName, g.place.path):
		return Branch{Name: b.Ref, Commit: b.Sha, Fork: b.Repository.FullName}
	}
	return Branch{Name: b.Ref, Commit: b.Sha}
}

// headOf reads the head. Where there is no branch, Gitea has refs/pull/1/head in its place. The branch
// may be gone, then its name is in the label. Or there never was one: whoever may read a repository
// may push to refs/for/main, and Gitea says that this is in the repository itself, without a label.
func (g *giteaForge) headOf(b *gitea.PRBranchInfo) Branch {
	head := g.branchOf(b)
	switch {
	case b == nil:
	case b.Name == "":
		head.Fork = "refs/for"
	case strings.HasPrefix(head.Name, "refs/pull/"):
		head.Name = b.Name
	}
	return head
}

// mergeBase works it out of the commits that the head has and the base has not: it is where they begin.
// Where the base was merged into the head they begin at several, of which the one is it that is behind
// no other: the first, or one that the base has and the first has not.
func (g *giteaForge) mergeBase(ctx context.Context, base, head string) (string, error) {
	ours, err := g.without(ctx, head, base)
	if err != nil || len(ours) == 0 {
		return head, err // all that it has, the base has
	}
	forks := ours.beginnings()
	switch len(forks) {
	case 0:
		return "", nil
	case 1:
		return forks[0], nil
	}
	theirs, err := g.without(ctx, base, forks[0])
	if err != nil {
		return "", err
	}
	newer := slices.DeleteFunc(slices.Clone(forks), func(sha string) bool { return !theirs.has(sha) })
	if len(newer) == 0 {
		return forks[0], nil
	}
	behind := theirs.behind(newer)
	return newer[max(0, slices.IndexFunc(newer, func(sha string) bool { return !behind[sha] }))], nil
}

// without returns the commits that one has behind it, with itself, and another has not: the newest first.
func (g *giteaForge) without(ctx context.Context, commit, other string) (commits, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return nil, err
	}
	return all(func(page int) ([]*gitea.Commit, int, error) {
		found, response, err := c.ListRepoCommits(owner, name, gitea.ListCommitOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: pullsPerPage}, SHA: commit, Not: other,
		})
		if err != nil {
			return nil, 0, err
		}
		found = slices.DeleteFunc(found, func(c *gitea.Commit) bool { return c == nil || c.CommitMeta == nil })
		return found, response.NextPage, nil
	})
}

// commits are a part of a history.
type commits []*gitea.Commit

func (some commits) has(sha string) bool {
	return slices.ContainsFunc(some, func(c *gitea.Commit) bool { return c.SHA == sha })
}

// beginnings are the parents of commits that are not among them, those of the newest first.
func (some commits) beginnings() []string {
	known := map[string]bool{}
	for _, c := range some {
		known[c.SHA] = true
	}
	var found []string
	for _, c := range some {
		for _, parent := range slices.Backward(c.Parents) { // what was merged in, then what it was merged into
			if parent != nil && !known[parent.SHA] {
				known[parent.SHA] = true
				found = append(found, parent.SHA)
			}
		}
	}
	return found
}

// behind returns which are behind one of these, as far as it can be told from the commits.
func (some commits) behind(these []string) map[string]bool {
	parents := map[string][]*gitea.CommitMeta{}
	for _, c := range some {
		parents[c.SHA] = c.Parents
	}
	behind := map[string]bool{}
	for next := slices.Clone(these); len(next) > 0; next = next[1:] {
		for _, parent := range parents[next[0]] {
			if parent != nil && !behind[parent.SHA] {
				behind[parent.SHA] = true
				next = append(next, parent.SHA)
			}
		}
	}
	return behind
}

func (g *giteaForge) reviews(ctx context.Context, number int) ([]Review, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return nil, err
	}
	found, err := all(func(page int) ([]*gitea.PullReview, int, error) {
		found, response, err := c.ListPullReviews(owner, name, int64(number), gitea.ListPullReviewsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: pullsPerPage},
		})
		if err != nil {
			return nil, 0, err
		}
		return found, response.NextPage, nil
	})
	var reviews []Review
	for _, r := range found {
		// A team has no review of its own, only requests for one.
		if r.Reviewer != nil && (r.State == gitea.ReviewStateApproved || r.State == gitea.ReviewStateRequestChanges) {
			reviews = append(reviews, Review{
				Author: r.Reviewer.UserName, Approved: r.State == gitea.ReviewStateApproved && !r.Dismissed,
				Official: r.Official, Commit: r.CommitID, Stale: r.Stale, At: r.Submitted,
			})
		}
	}
	return reviews, err
}

func (g *giteaForge) teamHas(ctx context.Context, team, user string) (bool, error) {
	c, _, _, err := g.at(ctx)
	if err != nil {
		return false, err
	}
	org, name, _ := strings.Cut(team, "/")
	found, _, err := c.SearchOrgTeams(org, &gitea.SearchTeamsOptions{
		ListOptions: gitea.ListOptions{Page: 1, PageSize: pullsPerPage}, Query: name,
	})
	if err != nil {
		return false, err
	}
	for _, t := range found {
		if strings.EqualFold(t.Name, name) {
			_, _, err := c.GetTeamMember(t.ID, user)
			if isKind(err, NotFound) {
				return false, nil
			}
			return err == nil, err
		}
	}
	return false, &Error{Kind: NotFound, said: "no team of that name in " + org}
}

func (g *giteaForge) setStatus(ctx context.Context, commit string, s Status) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	_, _, err = c.CreateStatus(owner, name, commit, gitea.CreateStatusOption{
		State: gitea.StatusState(s.State), TargetURL: s.URL, Description: s.Description, Context: s.Context,
	})
	return err
}

// comments returns all comments: Gitea has no pages of them.
func (g *giteaForge) comments(ctx context.Context, number, page int) ([]comment, int, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return nil, 0, err
	}
	found, response, err := c.ListIssueComments(owner, name, int64(number), gitea.ListIssueCommentOptions{
		ListOptions: gitea.ListOptions{Page: page, PageSize: pullsPerPage},
	})
	if err != nil {
		return nil, 0, err
	}
	var read []comment
	for _, f := range found {
		if f.Poster != nil && f.OriginalAuthor == "" { // else it was moved here from another forge
			read = append(read, comment{f.ID, f.Poster.UserName, f.Body})
		}
	}
	return read, response.NextPage, nil
}

func (g *giteaForge) addComment(ctx context.Context, number int, body string) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	_, _, err = c.CreateIssueComment(owner, name, int64(number), gitea.CreateIssueCommentOption{Body: body})
	return err
}

func (g *giteaForge) editComment(ctx context.Context, _ int, id int64, body string) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	_, _, err = c.EditIssueComment(owner, name, id, gitea.EditIssueCommentOption{Body: body})
	return err
}

func (g *giteaForge) open(ctx context.Context, d Draft) (Pull, bool, error) {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return Pull{}, false, err
	}
	made, _, err := c.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
		Head: d.Head, Base: d.Base, Title: giteaTitle(d), Body: d.Body,
	})
	switch {
	case statusOf(err) == http.StatusConflict:
		return Pull{}, true, nil
	case err != nil:
		return Pull{}, false, err
	}
	return g.readOne(made), false, nil
}

func giteaTitle(d Draft) string {
	if d.NotReady {
		return "WIP: " + d.Title
	}
	return d.Title
}

// openOf reads the pages of open pull requests: there is a call for base and head, and it also finds
// closed ones first.
func (g *giteaForge) openOf(ctx context.Context, base, _ string) ([]Pull, error) {
	return all(func(page int) ([]Pull, int, error) { return g.pulls(ctx, base, page) })
}

// addLabels adds labels by their numbers, and makes those that are new.
func (g *giteaForge) addLabels(ctx context.Context, number int, labels []string) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	found, err := all(func(page int) ([]*gitea.Label, int, error) {
		found, response, err := c.ListRepoLabels(owner, name, gitea.ListLabelsOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: pullsPerPage}})
		if err != nil {
			return nil, 0, err
		}
		return found, response.NextPage, nil
	})
	if err != nil {
		return err
	}
	known := map[string]int64{}
	for _, l := range found {
		known[l.Name] = l.ID
	}
	var ids []int64
	for _, label := range labels {
		if known[label] == 0 {
			made, _, err := c.CreateLabel(owner, name, gitea.CreateLabelOption{Name: label, Color: labelColor})
			if err != nil {
				return err
			}
			known[label] = made.ID
		}
		ids = append(ids, known[label])
	}
	_, _, err = c.AddIssueLabels(owner, name, int64(number), gitea.IssueLabelsOption{Labels: ids})
	return err
}

func (g *giteaForge) edit(ctx context.Context, have Pull, d Draft) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	_, _, err = c.EditPullRequest(owner, name, int64(have.Number), gitea.EditPullRequestOption{Title: giteaTitle(d), Body: &d.Body})
	return err
}

func (g *giteaForge) close(ctx context.Context, number int) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	closed := gitea.StateClosed
	_, _, err = c.EditPullRequest(owner, name, int64(number), gitea.EditPullRequestOption{State: &closed})
	return err
}

// merge merges. Gitea looks at a pull request in the background whether it can be merged, and says to
// try again later until it has; also if there are conflicts.
func (g *giteaForge) merge(ctx context.Context, number int, commit string, method Method) error {
	c, owner, name, err := g.at(ctx)
	if err != nil {
		return err
	}
	keep := false
	_, _, err = c.MergePullRequest(owner, name, int64(number), gitea.MergePullRequestOption{
		Style: gitea.MergeStyle(method), HeadCommitId: commit, DeleteBranchAfterMerge: &keep,
	})
	switch {
	case says(err, http.StatusMethodNotAllowed, "try again later"):
		return errorf(Unavailable, "Gitea is still looking whether it can be merged, or there are conflicts: it is tried again; resolve the conflicts if it stays so")
	case says(err, http.StatusMethodNotAllowed, "not allowed to merge"):
		return &Error{Kind: Forbidden, said: "User not allowed to merge PR"}
	case says(err, http.StatusConflict, "head out of date"):
		return err
	case says(err, http.StatusConflict, "push out of date"):
		return errorf(Unavailable, "somebody else merges into the same branch: it is tried again")
	case says(err, http.StatusConflict, "pushrejected"):
		return refusedWith(err)
	case statusOf(err) == http.StatusConflict: // without a word
		return errorf(Refused, "it has conflicts with its base: resolve them")
	}
	return err
}

// refusedWith is an error as one of the kind Refused.
func refusedWith(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	return &Error{Kind: Refused, status: e.status, said: e.said}
}

func (g *giteaForge) branch(ctx context.Context, name string) (string, error) {
	c, owner, repository, err := g.at(ctx)
	if err != nil {
		return "", err
	}
	found, _, err := c.GetRepoBranch(owner, repository, name)
	if err != nil {
		return "", err
	}
	if found.Commit == nil {
		return "", nil
	}
	return found.Commit.ID, nil
}

func (g *giteaForge) deleteBranch(ctx context.Context, name string) error {
	c, owner, repository, err := g.at(ctx)
	if err != nil {
		return err
	}
	_, _, err = c.DeleteRepoBranch(owner, repository, name)
	return err
}
