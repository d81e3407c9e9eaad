package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/agent"
	"github.com/sluice-dev/sluice/agent/api/v1alpha1"
	"github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/gate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	reviewedHead = "1111111111111111111111111111111111111111"
	earlierHead  = "2222222222222222222222222222222222222222"
	mergeCommit  = "3333333333333333333333333333333333333333"
)

// Which reviews count, and why others do not.
func TestDiscounted(t *testing.T) {
	pull := forge.Pull{Number: 12, Author: "Ana", Merged: true, Head: forge.Branch{Commit: reviewedHead}}
	unmerged := pull
	unmerged.Head.Commit = ""
	good := forge.Review{Author: "ben", Approved: true, Official: true, Commit: reviewedHead}
	but := func(change func(*forge.Review)) forge.Review {
		r := good
		change(&r)
		return r
	}
	for _, c := range []struct {
		review forge.Review
		pull   forge.Pull
		want   string
	}{
		{good, pull, ""},
		{but(func(r *forge.Review) { r.Author = "Robot[bot]" }), pull, ""},
		{but(func(r *forge.Review) { r.Approved = false }), pull, "ben does not approve it"},
		{but(func(r *forge.Review) { r.Author = "aNA" }), pull, "aNA has opened it"},
		{but(func(r *forge.Review) { r.Author = "SLUICE[bot]" }), pull, "SLUICE[bot] is the agent itself"},
		{but(func(r *forge.Review) { r.Official = false }), pull, "ben may not write to the repository"},
		{but(func(r *forge.Review) { r.Commit = earlierHead }), pull, "ben's is of an older commit"},
		{but(func(r *forge.Review) { r.Stale = true }), pull, "ben's is of an older commit"},
		{but(func(r *forge.Review) { r.Commit = "" }), pull, "ben's may be of another commit, for the forge does not say which one it is of"},
		{good, unmerged, "ben's may be of another commit, for the forge does not say which one was merged"},
	} {
		if got := discounted(c.review, c.pull, "sluice[bot]"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.review, got, c.want)
		}
	}
}

// What pull requests go to.
func TestReviewedOn(t *testing.T) {
	for _, c := range []struct {
		ref    *v1alpha1.RepositoryRef
		none   bool // no pull requests
		name   string
		branch string
		err    string
	}{
		{nil, false, "trunk", "trunk", ""},
		{&v1alpha1.RepositoryRef{Branch: "main"}, false, "main", "main", ""},
		{&v1alpha1.RepositoryRef{Branch: "main", Commit: mergeCommit}, false, "main", "main", ""},
		{&v1alpha1.RepositoryRef{Commit: mergeCommit}, false, "", "", "Repository team/platform follows no branch"},
		{&v1alpha1.RepositoryRef{Tag: "v1"}, false, "v1", "", "name a branch in spec.ref"},
		{&v1alpha1.RepositoryRef{SemVer: ">=1"}, false, "v1", "", "follows no branch"},
		{&v1alpha1.RepositoryRef{Name: "refs/pull/1/head"}, false, "refs/pull/1/head", "", "follows no branch"},
		{nil, true, "main", "", "Repository team/platform does not say where its pull requests are: set spec.pullRequests"},
	} {
		repo := &v1alpha1.Repository{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "platform"}, Spec: v1alpha1.RepositorySpec{Ref: c.ref}}
		if !c.none {
			repo.Spec.PullRequests = &v1alpha1.PullRequests{Provider: v1alpha1.Gitea}
		}
		branch, err := reviewedOn(repo, agent.Revision{Name: c.name, Commit: mergeCommit})
		if branch != c.branch || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: %q, %v", c.ref, branch, err)
		}
	}
}

// site is a Gitea with one merged pull request.
type site struct {
	reviews []map[string]any
	head    string         // of refs/pull/12/head; empty for none
	broken  map[string]int // statuses of answers, by how paths begin
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	none := func() { answer(http.StatusNotFound, map[string]any{"message": "not found"}) }
	for begin, status := range s.broken {
		if strings.HasPrefix(path, begin) {
			answer(status, map[string]any{"message": "no"})
			return
		}
	}
	const repo = "/repos/ml/platform"
	switch path {
	case "/user":
		answer(200, map[string]any{"login": "sluice-bot"})
	case repo + "/commits/" + mergeCommit + "/pull":
		answer(200, map[string]any{"number": 12, "state": "closed", "merged": true, "merge_commit_sha": mergeCommit, "user": map[string]any{"login": "ana"},
			"base": map[string]any{"ref": "main", "repo": map[string]any{"full_name": "ml/platform"}},
			"head": map[string]any{"ref": "v8", "sha": earlierHead, "repo": map[string]any{"full_name": "ml/platform"}}})
	case repo + "/git/refs/pull/12/head":
		if s.head == "" {
			none()
			return
		}
		answer(200, map[string]any{"ref": "refs/pull/12/head", "object": map[string]any{"type": "commit", "sha": s.head}})
	case repo + "/pulls/12/reviews":
		answer(200, s.reviews)
	case "/orgs/ml/teams/search":
		answer(200, map[string]any{"ok": true, "data": []any{map[string]any{"id": 7, "name": "leads"}}})
	case "/teams/7/members/ben":
		answer(200, map[string]any{"login": "ben"})
	default:
		none()
	}
}

func (s *site) review(author, state, commit string, more ...string) {
	r := map[string]any{"id": len(s.reviews) + 1, "user": map[string]any{"login": author}, "state": state, "commit_id": commit, "official": true,
		"submitted_at": fmt.Sprintf("2026-11-25T12:00:%02dZ", len(s.reviews))}
	for _, key := range more {
		r[key] = key != "official"
	}
	s.reviews = append(s.reviews, r)
}

// forges opens the one forge that there is.
type forges struct{ url string }

func (f forges) Of(_ context.Context, repo *v1alpha1.Repository) (*forge.Forge, error) {
	return forge.Open(forge.Options{Provider: forge.Gitea, Repository: f.url + "/ml/platform.git", Token: "t", AllowInsecure: true})
}

// Approvals of the pull request that brought a commit, as a forge tells of them.
func TestApprovals(t *testing.T) {
	for _, c := range []struct {
		name   string
		site   func(*site)
		commit string
		whose  v1alpha1.ReviewApproval
		want   gate.Approval
		reason string // contained in it
	}{
		{name: "two approve", want: gate.Approval{Pull: 12, By: []string{"ben", "cay"}}},
		{name: "one of them is in the team", whose: v1alpha1.ReviewApproval{Teams: []string{"ml/leads"}},
			want: gate.Approval{Pull: 12, By: []string{"ben"}, Others: []string{"cay is not among those who are asked"}}},
		{name: "and one is a user", whose: v1alpha1.ReviewApproval{Users: []string{"Cay"}, Teams: []string{"ml/leads"}},
			want: gate.Approval{Pull: 12, By: []string{"ben", "cay"}}},
		{name: "others are asked", whose: v1alpha1.ReviewApproval{Users: []string{"dan"}},
			want: gate.Approval{Pull: 12, Others: []string{"ben is not among those who are asked", "cay is not among those who are asked"}}},
		{name: "a team that is not there", whose: v1alpha1.ReviewApproval{Teams: []string{"ml/nobody"}}, reason: "ml/nobody"},
		{name: "one is dismissed, one stale, one of another commit", site: func(s *site) {
			s.reviews = nil
			s.review("ben", "APPROVED", reviewedHead, "dismissed")
			s.review("cay", "APPROVED", reviewedHead, "stale")
			s.review("dan", "APPROVED", earlierHead)
			s.review("eve", "APPROVED", reviewedHead, "official")
			s.review("sluice-bot", "APPROVED", reviewedHead)
			s.review("ana", "APPROVED", reviewedHead)
		}, want: gate.Approval{Pull: 12, Others: []string{"ben does not approve it", "cay's is of an older commit", "dan's is of an older commit",
			"eve may not write to the repository", "sluice-bot is the agent itself", "ana has opened it"}}},
		{name: "one has changed their mind", site: func(s *site) { s.review("ben", "REQUEST_CHANGES", reviewedHead) },
			want: gate.Approval{Pull: 12, By: []string{"cay"}, Others: []string{"ben does not approve it"}}},
		{name: "what was merged is not known", site: func(s *site) { s.head = "" },
			want: gate.Approval{Pull: 12, Others: []string{"ben's may be of another commit, for the forge does not say which one was merged", "cay's may be of another commit, for the forge does not say which one was merged"}}},
		{name: "it was pushed", commit: earlierHead, reason: "no pull request that was merged into main has brought it"},
		{name: "the token is not accepted", site: func(s *site) { s.broken = map[string]int{"/repos": http.StatusUnauthorized} }, reason: "the token is not accepted"},
		{name: "it may not read reviews", site: func(s *site) { s.broken = map[string]int{"/repos/ml/platform/pulls/12/reviews": http.StatusForbidden} }, reason: "read:repository"},
		{name: "nor whose it is", site: func(s *site) { s.broken = map[string]int{"/user": http.StatusForbidden} }, reason: "read:user"},
		{name: "the forge is down", site: func(s *site) { s.broken = map[string]int{"/": http.StatusServiceUnavailable} }, want: gate.Approval{Waits: true}, reason: "503"},
		{name: "too much was asked", site: func(s *site) { s.broken = map[string]int{"/repos/ml/platform/pulls": http.StatusTooManyRequests} }, want: gate.Approval{Waits: true}, reason: "too many requests"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{head: reviewedHead}
			s.review("ben", "APPROVED", reviewedHead)
			s.review("cay", "APPROVED", reviewedHead)
			if c.site != nil {
				c.site(s)
			}
			server := httptest.NewServer(s)
			defer server.Close()
			commit := c.commit
			if commit == "" {
				commit = mergeCommit
			}
			got := approvals(t.Context(), forges{server.URL}, &v1alpha1.Repository{}, "main", commit, c.whose)
			c.want.Commit = commit
			if (got.Reason != "") != (c.reason != "") || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("the reason is %q, want %q", got.Reason, c.reason)
			}
			got.Reason = ""
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("it is %+v, want %+v", got, c.want)
			}
		})
	}
}

// A forge whose answers make the agent fall is no forge that approves.
func TestApprovalsSurvive(t *testing.T) {
	got := approvals(t.Context(), nil, &v1alpha1.Repository{}, "main", mergeCommit, v1alpha1.ReviewApproval{})
	if got.By != nil || got.Reason == "" || got.Commit != mergeCommit {
		t.Errorf("it is %+v", got)
	}
}
