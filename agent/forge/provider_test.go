package forge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent/forge"
)

// said is what reviews say, in short.
func said(t *testing.T, f *forge.Forge, number int) string {
	t.Helper()
	reviews, err := f.Reviews(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range reviews {
		one := r.Author
		for word, is := range map[string]bool{" approves": r.Approved, " officially": r.Approved && r.Official, " stale": r.Stale} {
			if is {
				one += word
			}
		}
		words := strings.Fields(one)
		slices.Sort(words[1:])
		all = append(all, strings.Join(words, " ")+" "+strings.TrimLeft(r.Commit, "0"))
	}
	return strings.Join(all, ", ")
}

func TestGitHubReviews(t *testing.T) {
	w := gitHubWorld(t)
	f := w.open(forge.GitHub)
	p := prepare(t, w, f)
	for _, r := range []review{
		{author: reviewer, state: "APPROVED", commit: p.Head.Commit},
		{author: reviewer, state: "COMMENTED", commit: p.Head.Commit}, // takes nothing back
		{author: "boss", state: "APPROVED", commit: p.Head.Commit},
		{author: "BOSS", state: "CHANGES_REQUESTED", commit: p.Head.Commit},
		{author: "passer-by", state: "APPROVED", commit: p.Head.Commit},
		{author: "gone", state: "APPROVED", commit: p.Head.Commit},
		{author: "", state: "APPROVED", commit: p.Head.Commit}, // an account that was deleted
		{author: "undone", state: "APPROVED", commit: p.Head.Commit, dismissed: true},
		{author: "writing", state: "PENDING"},
	} {
		w.review(p.Number, r)
	}
	w.most = 2
	if have, want := said(t, f, p.Number), "ann approves officially 2, BOSS 2, passer-by approves 2, gone approves 2, undone 2"; have != want {
		t.Errorf("%s\nwant %s", have, want)
	}
}

func TestGiteaReviews(t *testing.T) {
	w := giteaWorld(t)
	f := w.open(forge.Gitea)
	p := prepare(t, w, f)
	w.review(p.Number, review{author: "boss", state: "APPROVED", commit: p.Head.Commit})
	second := w.push("sluice/a")
	for _, r := range []review{
		{author: reviewer, state: "REQUEST_CHANGES", commit: second},
		{author: reviewer, state: "APPROVED", commit: second},
		{author: reviewer, state: "COMMENT", commit: second},
		{author: reviewer, state: "REQUEST_REVIEW", commit: second},
		{author: "passer-by", state: "APPROVED", commit: second, unofficial: true},
		{author: "undone", state: "APPROVED", commit: second, dismissed: true},
	} {
		w.review(p.Number, r)
	}
	w.most = 2
	if have, want := said(t, f, p.Number), "boss approves officially stale 2, ann approves officially 3, passer-by approves 3, undone 3"; have != want {
		t.Errorf("%s\nwant %s", have, want)
	}
}

// TestGitLabReviews: GitLab does not say which commit was approved, and older ones not even when.
func TestGitLabReviews(t *testing.T) {
	w := gitLabWorld(t)
	f := w.open(forge.GitLab)
	p := prepare(t, w, f)
	if have := said(t, f, p.Number); have != "" {
		t.Error(have)
	}
	w.wantRequests("no approval", "GET /api/v4/projects/ml%2Fplatform/merge_requests/1/approvals")
	w.review(p.Number, review{author: "early", state: "APPROVED"})
	w.comment(p.Number, "old", "approved this merge request") // a person writes what GitLab writes
	w.push("sluice/a")
	w.review(p.Number, review{author: reviewer, state: "APPROVED"})
	w.review(p.Number, review{author: "undone", state: "APPROVED", dismissed: true})
	if have, want := said(t, f, p.Number), "early approves officially 2, ann approves officially 3"; have != want {
		t.Errorf("%s\nwant %s", have, want)
	}
	w.wantRequests("approvals with times", "GET /api/v4/projects/ml%2Fplatform/merge_requests/1/approvals", "GET /api/v4/projects/ml%2Fplatform/merge_requests/1/versions?page=1&per_page=100")
	w.review(p.Number, review{author: "old", state: "APPROVED"})
	w.push("sluice/a")
	w.comment(p.Number, "old", "approved this merge request") // and after another push, to make it newer
	if have, want := said(t, f, p.Number), "early approves officially 2, ann approves officially 3, old approves officially 3"; have != want {
		t.Errorf("%s\nwant %s", have, want)
	}
}

func TestTeams(t *testing.T) {
	for _, c := range []struct {
		provider   forge.Provider
		team, user string
		has        bool
		kind       forge.Kind
	}{
		{forge.Gitea, "ml/risk", reviewer, true, ""}, // its name is Risk
		{forge.Gitea, "ml/risk-readers", reviewer, false, ""},
		{forge.Gitea, "ml/risk", "bob", false, ""},
		{forge.Gitea, "ml/none", reviewer, false, forge.NotFound},
		{forge.Gitea, "other/risk", reviewer, false, forge.NotFound},
		{forge.Gitea, "risk", reviewer, false, forge.Invalid},
		{forge.GitHub, "ml/risk", reviewer, true, ""},
		{forge.GitHub, "ml/risk", "new", false, ""}, // is invited
		{forge.GitHub, "ml/risk", "bob", false, ""},
		{forge.GitHub, "ml/none", reviewer, false, forge.NotFound},
		{forge.GitHub, "ml/risk/more", reviewer, false, forge.Invalid},
		{forge.GitLab, "ml/risk/reviewers", reviewer, true, ""}, // annabel is found too
		{forge.GitLab, "ml/risk/reviewers", "anna", false, ""},
		{forge.GitLab, "ml/risk/reviewers", "minimal", false, ""},
		{forge.GitLab, "ml/risk", reviewer, false, forge.NotFound},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.provider, c.team, c.user), func(t *testing.T) {
			w := worlds[c.provider](t)
			w.most = 1
			has, err := w.open(c.provider).TeamHas(t.Context(), c.team, c.user)
			if has != c.has {
				t.Errorf("%v", has)
			}
			if c.kind == "" && err != nil {
				t.Error(err)
			} else if c.kind != "" {
				wantError(t, err, c.kind, "team "+c.team)
			}
		})
	}
}

// TestForks: what is from another repository never looks as if it were from this one.
func TestForks(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		p := prepare(t, w, f)
		forks := []string{"mallory/platform", "gone"}
		if strings.HasSuffix(t.Name(), "gitea") {
			forks = append(forks, "agit")
		}
		w.mu.Lock()
		for _, fork := range forks {
			w.make("x", "", "sluice/a", "main", false).fork = fork
		}
		w.mu.Unlock()
		pulls, err := f.Pulls(t.Context(), "main")
		if err != nil || len(pulls) != 1+len(forks) {
			t.Fatalf("%v, %v", pulls, err)
		}
		for _, p := range pulls[1:] {
			if p.Head.Fork == "" {
				t.Errorf("%+v looks as if it were from here", p)
			}
			if one, err := f.Pull(t.Context(), p.Number); err != nil || one.Head.Fork == "" {
				t.Errorf("%+v looks as if it were from here, %v", one, err)
			}
		}
		if pulls[0].Number != p.Number || pulls[0].Head.Fork != "" {
			t.Errorf("%+v is not from here", pulls[0])
		}
		// One from a fork with the branch of ours is not taken for ours.
		if again, err := f.Open(t.Context(), forge.Draft{Base: "main", Head: "sluice/a", Title: "a"}); err != nil || again.Number != p.Number {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// TestGiteaHead: a branch that is set back after the merge does not make another commit the merged one.
func TestGiteaHead(t *testing.T) {
	w := giteaWorld(t)
	f := w.open(forge.Gitea)
	p := prepare(t, w, f)
	reviewed := p.Head.Commit
	merged := w.push("sluice/a")
	if err := f.Merge(t.Context(), p.Number, merged, forge.Squash); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.branches["sluice/a"] = reviewed
	commit := w.pulls[0].merge
	w.mu.Unlock()
	if have, err := f.PullOf(t.Context(), "main", commit); err != nil || have.Head.Commit != merged {
		t.Errorf("%+v, %v; want the head %s", have, err, merged)
	}
}

// TestPullOf: of a commit that a merge has brought along, and of several requests that have it.
func TestPullOf(t *testing.T) {
	w := gitHubWorld(t)
	f := w.open(forge.GitHub)
	p := prepare(t, w, f)
	inner := p.Head.Commit
	w.mu.Lock()
	other := w.make("a backport", "", "sluice/a", "release", false) // has the same commits, and is merged elsewhere
	w.merge(other, "merge")
	w.mu.Unlock()
	_, err := f.PullOf(t.Context(), "main", inner)
	wantError(t, err, forge.NotFound, "none was merged into main")
	if err := f.Merge(t.Context(), p.Number, inner, forge.Rebase); err != nil {
		t.Fatal(err)
	}
	if have, err := f.PullOf(t.Context(), "main", inner); err != nil || have.Number != p.Number || have.MergeCommit == inner {
		t.Errorf("%+v, %v", have, err)
	}
	_, err = f.PullOf(t.Context(), "main", strings.Repeat("e", 40))
	wantError(t, err, forge.NotFound, "none was merged into main", "Pull requests: read")
}

// TestMergeRefused: the forges' ways to say no.
func TestMergeRefused(t *testing.T) {
	for _, c := range []struct {
		provider forge.Provider
		status   int
		body     string
		kind     forge.Kind
		want     string
	}{
		{forge.Gitea, 405, `{"message":"Please try again later"}`, forge.Unavailable, "still looking whether it can be merged, or there are conflicts"},
		{forge.Gitea, 405, `{"message":"User not allowed to merge PR"}`, forge.Forbidden, "the right to merge into the branch"},
		{forge.Gitea, 405, `{"message":"Work in progress PRs cannot be merged"}`, forge.Refused, "Work in progress"},
		{forge.Gitea, 405, `{"message":"rebase is not allowed an allowed merge style for this repository"}`, forge.Refused, "not allowed"},
		{forge.Gitea, 405, `{"message":"Not all required status checks successful"}`, forge.Refused, "status checks"},
		{forge.Gitea, 409, `{"message":"PushRejected with remote message: protected"}`, forge.Refused, "the forge refuses: PushRejected"},
		{forge.Gitea, 409, `{"message":"merge push out of date"}`, forge.Unavailable, "somebody else merges"},
		{forge.Gitea, 409, `{"Style":"merge","StdOut":"CONFLICT","StdErr":"","Err":{}}`, forge.Refused, "conflicts with its base"},
		{forge.GitHub, 405, `{"message":"At least 1 approving review is required by reviewers with write access."}`, forge.Refused, "approving review"},
		{forge.GitHub, 405, `{"message":"Base branch was modified. Review and try the merge again."}`, forge.Unavailable, "somebody else merges"},
		{forge.GitHub, 403, `{"message":"Resource not accessible by integration"}`, forge.Forbidden, "Contents: write"},
		{forge.GitLab, 405, `{"message":"405 Method Not Allowed"}`, forge.Refused, "its state is not_approved"},
		{forge.GitLab, 405, `{"message":"405 Method Not Allowed"}`, forge.Unavailable, "still looking whether it can be merged (checking)"},
		{forge.GitLab, 422, `{"message":"Branch cannot be merged"}`, forge.Refused, "its state is conflict"},
		{forge.GitLab, 401, `{"message":"401 Unauthorized"}`, forge.Unauthorized, "a role that may merge"},
	} {
		t.Run(fmt.Sprint(c.provider, " ", c.want), func(t *testing.T) {
			w := worlds[c.provider](t)
			f := w.open(c.provider)
			p := prepare(t, w, f)
			w.say(reply{match: "PUT", status: c.status, body: c.body}, reply{match: "POST", status: c.status, body: c.body})
			if i := strings.LastIndexAny(c.want, " ("); c.provider == forge.GitLab && c.status != 401 {
				state := strings.TrimSuffix(c.want[i+1:], ")")
				w.say(reply{match: "GET", status: 200, body: `{"iid":1,"state":"opened","detailed_merge_status":"` + state + `"}`})
			}
			wantError(t, f.Merge(t.Context(), p.Number, p.Head.Commit, forge.Squash), c.kind, c.want)
			if w.pulls[0].isMerged() {
				t.Error("it is merged")
			}
		})
	}
	w := gitLabWorld(t)
	f := w.open(forge.GitLab)
	p := prepare(t, w, f)
	wantError(t, f.Merge(t.Context(), p.Number, p.Head.Commit, forge.Rebase), forge.Refused, "set its merge method to fast-forward")
}

// TestNothingToMerge: the sentence of the forge comes through.
func TestNothingToMerge(t *testing.T) {
	for provider, body := range map[forge.Provider]string{
		forge.Gitea:  `{"message":"Invalid PullRequest: There are no changes between the head and the base"}`,
		forge.GitHub: `{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"No commits between main and sluice/a"}]}`,
		forge.GitLab: `{"message":["Source branch is the same as target"]}`,
	} {
		w := worlds[provider](t)
		w.say(reply{match: "POST", status: 422, body: body})
		_, err := w.open(provider).Open(t.Context(), forge.Draft{Base: "main", Head: "sluice/a", Title: "x"})
		wantError(t, err, forge.Refused, "cannot open a pull request from sluice/a to main: the forge refuses: ")
	}
}

// TestDrafts: a title is cut to what the forge takes, and what makes a draft of it is not of the title.
func TestDrafts(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		w.push("sluice/a")
		draft := forge.Draft{Base: "main", Head: "sluice/a", Title: "v8\n" + strings.Repeat("ü", 1000), NotReady: true}
		p, err := f.Open(t.Context(), draft)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Draft || !strings.HasPrefix(p.Title, "v8 üü") || !strings.HasSuffix(p.Title, "ü…") || len([]rune(w.pulls[0].title)) > 256 {
			t.Errorf("%q shown as %q, draft %v", w.pulls[0].title, p.Title, p.Draft)
		}
		wantError(t, f.Merge(t.Context(), p.Number, p.Head.Commit, forge.Merge), forge.Refused)
		w.requests()
		if err := f.Edit(t.Context(), p.Number, draft); err != nil {
			t.Fatal(err)
		}
		if asked := w.requests(); len(asked) != 1 {
			t.Errorf("nothing has changed, and asked %q", asked)
		}
		draft.NotReady = false
		if err := f.Edit(t.Context(), p.Number, draft); err != nil {
			t.Fatal(err)
		}
		if p, err = f.Pull(t.Context(), p.Number); err != nil || p.Draft {
			t.Errorf("%+v, %v", p, err)
		}
	})
	for title, provider := range map[string]forge.Provider{"[Draft] a": forge.GitLab, "(draft) a": forge.GitLab, "DRAFT: a": forge.GitLab, "[wip] a": forge.Gitea, "WIP:a": forge.Gitea} {
		w := worlds[provider](t)
		f := w.open(provider)
		p := prepare(t, w, f)
		w.pulls[0].title = title
		if have, err := f.Pull(t.Context(), p.Number); err != nil || !have.Draft || have.Title != "a" {
			t.Errorf("%q shown as %q, draft %v, %v", title, have.Title, have.Draft, err)
		}
	}
}

// TestGitHubDraft: what GraphQL refuses comes with 200.
func TestGitHubDraft(t *testing.T) {
	w := gitHubWorld(t)
	f := w.open(forge.GitHub)
	p := prepare(t, w, f)
	draft := forge.Draft{Title: "a", NotReady: true}
	w.say(reply{match: "POST /api/graphql", status: 200, body: `{"data":null,"errors":[{"type":"FORBIDDEN","message":"Resource not accessible by integration"}]}`})
	wantError(t, f.Edit(t.Context(), p.Number, draft), forge.Forbidden, "Contents: write", "not accessible by integration")
	w.say(reply{match: "POST /api/graphql", status: 200, body: `{"errors":[{"type":"UNPROCESSABLE","message":"Draft pull requests are not supported in this repository"}]}`})
	wantError(t, f.Edit(t.Context(), p.Number, draft), forge.Refused, "not supported in this repository")
	w.requests()
	if err := f.Edit(t.Context(), p.Number, draft); err != nil {
		t.Fatal(err)
	}
	w.wantRequests("a draft", "GET /api/v3/repos/ml/platform/pulls/1", "GET /api/v3/repos/ml/platform/pulls/1", "POST /api/graphql")
	if !w.pulls[0].draft {
		t.Error("it is no draft")
	}
}

// TestLabels: people's stay, and Gitea's are made once.
func TestLabels(t *testing.T) {
	onEach(t, func(t *testing.T, w *world, f *forge.Forge) {
		w.most = 1
		w.labels = []string{"other", "sluice"}
		p := prepare(t, w, f)
		w.mu.Lock()
		w.pulls[0].labels = []string{"urgent"}
		w.mu.Unlock()
		for range 2 {
			if err := f.Edit(t.Context(), p.Number, forge.Draft{Title: "a", Labels: []string{"sluice", "held", "sluice"}}); err != nil {
				t.Fatal(err)
			}
		}
		if have := strings.Join(w.pulls[0].labels, " "); have != "urgent sluice held" {
			t.Errorf("labels are %s", have)
		}
		w.say(reply{match: "POST /api/v1/repos/ml/platform/issues", status: 500}, reply{match: "POST /api/v3/repos/ml/platform/issues", status: 500}, reply{match: "PUT", status: 400}, reply{match: "PUT", status: 400})
		w.push("sluice/b")
		made, err := f.Open(t.Context(), forge.Draft{Base: "main", Head: "sluice/b", Title: "b", Labels: []string{"sluice"}})
		if err == nil || made.Number != 2 {
			t.Errorf("%+v, %v: want the pull request and an error", made, err)
		}
	})
}

// TestGitLabStatus: another who is at it, and a branch that has the commit no more.
func TestGitLabStatus(t *testing.T) {
	w := gitLabWorld(t)
	f := w.open(forge.GitLab)
	sha, s := w.branches["main"], forge.Status{Context: "sluice/plan", State: forge.Broken}
	w.say(reply{match: "POST", status: 409, body: `{"message":"Another update to this commit status is in progress"}`})
	wantError(t, f.SetStatus(t.Context(), sha, s), forge.Unavailable, "at the same status")
	w.say(reply{match: "POST", status: 404, body: `{"message":"404 References for commit Not Found"}`})
	wantError(t, f.SetStatus(t.Context(), sha, s), forge.NotFound, "References for commit")
	if err := f.SetStatus(t.Context(), sha, s); err != nil || w.statuses[0]["state"] != "failure" {
		t.Errorf("%v, %v", w.statuses, err)
	}
}

// TestSecondComments: GitHub says that a full page has not changed and not that there is another now.
func TestSecondComments(t *testing.T) {
	w := gitHubWorld(t)
	f := w.open(forge.GitHub)
	p := prepare(t, w, f)
	for i := range 100 {
		w.comment(p.Number, reviewer, fmt.Sprint(i))
	}
	for _, body := range []string{"one", "two", "two"} {
		if err := f.Comment(t.Context(), p.Number, "plan", body); err != nil {
			t.Fatal(err)
		}
		w.server.Config.Handler = forgetful(w.server.Config.Handler)
	}
	if have := w.of(p.Number, false); len(have) != 101 || have[100].body != "<!-- sluice:plan -->\ntwo" {
		t.Errorf("%d comments", len(have))
	}
	for i := range 2000 {
		w.comment(p.Number+1, reviewer, fmt.Sprint(i))
	}
	wantError(t, f.Comment(t.Context(), p.Number+1, "plan", "x"), forge.Refused, "more than 2000 comments")
}

// forgetful leaves out what is about other pages when nothing has changed.
func forgetful(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(linkless{rw}, r)
	})
}

type linkless struct{ http.ResponseWriter }

func (l linkless) WriteHeader(status int) {
	if status == http.StatusNotModified {
		l.Header().Del("Link")
	}
	l.ResponseWriter.WriteHeader(status)
}

// TestCost counts the requests of what is done most.
func TestCost(t *testing.T) {
	for provider, c := range map[forge.Provider]struct {
		update, report []string
	}{
		forge.Gitea: {
			[]string{"POST /api/v1/repos/ml/platform/statuses/", "GET /api/v1/repos/ml/platform/issues/1/comments", "PATCH /api/v1/repos/ml/platform/issues/comments/"},
			[]string{"GET /api/v1/repos/ml/platform/commits/", "GET /api/v1/repos/ml/platform/git/refs/pull/1/head"},
		},
		forge.GitHub: {
			[]string{"POST /api/v3/repos/ml/platform/statuses/", "GET /api/v3/repos/ml/platform/issues/1/comments", "PATCH /api/v3/repos/ml/platform/issues/comments/"},
			[]string{"GET /api/v3/repos/ml/platform/commits/"},
		},
		forge.GitLab: {
			[]string{"POST /api/v4/projects/ml%2Fplatform/statuses/", "GET /api/v4/projects/ml%2Fplatform/merge_requests/1/notes", "PUT /api/v4/projects/ml%2Fplatform/merge_requests/1/notes/"},
			[]string{"GET /api/v4/projects/ml%2Fplatform/repository/commits/"},
		},
	} {
		w := worlds[provider](t)
		f := w.open(provider)
		p := prepare(t, w, f)
		if err := f.Comment(t.Context(), p.Number, "plan", "one"); err != nil {
			t.Fatal(err)
		}
		w.requests()
		if err := f.SetStatus(t.Context(), p.Head.Commit, forge.Status{Context: "sluice/plan", State: forge.Success, Description: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := f.Comment(t.Context(), p.Number, "plan", "two"); err != nil {
			t.Fatal(err)
		}
		w.wantRequests("a new plan", c.update...)
		w.mu.Lock()
		w.merge(w.pulls[0], "merge")
		w.mu.Unlock()
		if _, err := f.PullOf(t.Context(), "main", w.pulls[0].merge); err != nil {
			t.Fatal(err)
		}
		w.wantRequests("the pull request of a commit", c.report...)
	}
}
