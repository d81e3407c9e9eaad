package forge_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
)

// shared serves all tests but those that need one of their own. Each makes its own people and
// repositories in it.
var shared *forge.Server

func TestMain(m *testing.M) {
	if os.Getenv("FORGE_TEST_VICTIM") != "" {
		victim()
	}
	s, err := forge.Start(context.Background(), forge.Options{Progress: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = s
	status := m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func user(t *testing.T, s *forge.Server, name string) *forge.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), name)
	must(t, err)
	return u
}

func repo(t *testing.T, s *forge.Server, as *forge.User, spec forge.RepoSpec) *forge.Repo {
	t.Helper()
	r, err := s.CreateRepo(t.Context(), as, spec)
	must(t, err)
	return r
}

func push(t *testing.T, r *forge.Repo, as *forge.User, branch, path, content string) string {
	t.Helper()
	commit, err := r.Push(t.Context(), as, gitserver.Change{Branch: branch, Message: "Write " + path, Files: map[string]string{path: content}})
	must(t, err)
	return commit
}

func open(t *testing.T, r *forge.Repo, as *forge.User, head string) *forge.Pull {
	t.Helper()
	p, err := r.Open(t.Context(), as, forge.PullSpec{Head: head, Title: "Take " + head, Body: "Because."})
	must(t, err)
	return p
}

func token(t *testing.T, u *forge.User, scopes ...string) string {
	t.Helper()
	made, err := u.Token(t.Context(), scopes...)
	must(t, err)
	return made
}

// call calls the REST API as a client does, and returns the status of the answer.
func call(t *testing.T, s *forge.Server, token, method, path, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/api/v1"+path, strings.NewReader(body))
	must(t, err)
	request.Header.Set("Authorization", "token "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(content)
}

// eventually waits for what Gitea does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute there is still no %s", what)
		}
	}
}

// git is the program, with no configuration but what the arguments set.
func git(t *testing.T, dir string, arguments ...string) (output string, err error) {
	t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
	combined, err := command.CombinedOutput()
	return strings.TrimSpace(string(combined)), err
}

// as is the URL with credentials in it.
func as(url, name, password string) string {
	return strings.Replace(url, "://", "://"+name+":"+password+"@", 1)
}

func TestGitOverHTTP(t *testing.T) {
	owner := user(t, shared, "git-owner")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform", Private: true, Files: map[string]string{"a/b.yaml": "one\n", "c.yaml": "two\n"}})
	dir := filepath.Join(t.TempDir(), "clone")
	if output, err := git(t, "", "clone", r.URL, dir); err == nil {
		t.Errorf("a private repository is open to all: %s", output)
	}
	reader, writer := token(t, owner, "read:repository"), token(t, owner, "write:repository")
	if output, err := git(t, "", "clone", as(r.URL, owner.Name, reader), dir); err != nil {
		t.Fatal(output)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "a/b.yaml")); err != nil || string(content) != "one\n" {
		t.Errorf("cloned %q, %v", content, err)
	}
	if author, err := git(t, dir, "log", "-1", "--format=%an <%ae>"); err != nil || author != "git-owner <git-owner@example.com>" {
		t.Errorf("the commit is of %s (%v)", author, err)
	}
	if output, err := git(t, dir, "-c", "user.name=n", "-c", "user.email=e", "commit", "--allow-empty", "--message=Mine"); err != nil {
		t.Fatal(output)
	}
	if output, err := git(t, dir, "push", as(r.URL, owner.Name, reader), "main"); err == nil {
		t.Errorf("a token that may read has pushed: %s", output)
	}
	if output, err := git(t, dir, "push", as(r.URL, owner.Name, writer), "main"); err != nil {
		t.Error(output)
	}

	first, err := r.Git(owner, "rev-parse", "main")
	must(t, err)
	second := push(t, r, owner, "main", "c.yaml", "three\n")
	if parent, err := r.Git(owner, "rev-parse", second+"^"); err != nil || parent != first {
		t.Errorf("our push is on top of %s (%v), want that of the clone, %s", parent, err, first)
	}
	must(t, r.SetBranch(owner, "main", first))
	if now, err := r.Git(owner, "rev-parse", "main"); err != nil || now != first {
		t.Errorf("main is at %s (%v) after a forced push, want %s", now, err, first)
	}
	push(t, r, owner, "side", "d.yaml", "four\n")
	must(t, r.DeleteBranch(owner, "side"))
	if branches, err := r.Git(owner, "for-each-ref", "--format=%(refname)", "refs/heads"); err != nil || branches != "refs/heads/main" {
		t.Errorf("the branches are %q (%v), want main alone", branches, err)
	}

	empty := repo(t, shared, owner, forge.RepoSpec{Name: "empty"})
	if output, err := git(t, "", "ls-remote", empty.URL); err != nil || output != "" {
		t.Errorf("an empty public repository has %q (%v)", output, err)
	}
}

// TestScopes shows which scopes of a token the calls of a client need.
func TestScopes(t *testing.T) {
	ctx := t.Context()
	owner, machine := user(t, shared, "scope-owner"), user(t, shared, "scope-machine")
	must(t, shared.CreateOrganisation(ctx, owner, "scope-ml"))
	must(t, shared.CreateTeam(ctx, owner, "scope-ml", "machines", "write", machine))
	r := repo(t, shared, owner, forge.RepoSpec{Organisation: "scope-ml", Name: "platform", Private: true, Files: map[string]string{"a": "1"}})
	commit := push(t, r, owner, "tune", "a", "2")
	pull := open(t, r, owner, "tune")
	must(t, pull.Comment(ctx, owner, "Hello"))
	comments, err := pull.Comments(ctx)
	must(t, err)
	base, number := "/repos/scope-ml/platform", fmt.Sprint(pull.Number)
	for _, c := range []struct{ scope, method, path, body string }{
		{"read:repository", "GET", base, ""},
		{"read:repository", "GET", base + "/pulls?state=open", ""},
		{"read:repository", "GET", base + "/pulls/" + number, ""},
		{"read:repository", "GET", base + "/pulls/" + number + "/reviews", ""},
		{"read:repository", "GET", base + "/pulls/" + number + "/files", ""},
		{"read:repository", "GET", base + "/commits/" + commit + "/status", ""},
		{"write:repository", "POST", base + "/statuses/" + commit, `{"context":"sluice/plan","state":"success","description":"nothing changes"}`},
		{"write:repository", "PATCH", base + "/pulls/" + number, `{"title":"WIP: Tune"}`},
		{"write:repository", "PATCH", base + "/pulls/" + number, `{"title":"Tune"}`},
		{"read:issue", "GET", base + "/issues/" + number + "/comments", ""},
		{"write:issue", "POST", base + "/issues/" + number + "/comments", `{"body":"Hi"}`},
		{"write:issue", "POST", base + "/labels", `{"name":"sluice","color":"#00aabb"}`},
		{"read:issue", "GET", base + "/labels", ""},
		{"write:issue", "POST", base + "/issues/" + number + "/labels", `{"labels":["sluice"]}`},
		{"read:organization", "GET", "/orgs/scope-ml/teams", ""},
		{"read:user", "GET", "/user", ""},
	} {
		category, level := c.scope[strings.Index(c.scope, ":")+1:], c.scope[:strings.Index(c.scope, ":")]
		others := []string{"read:misc"}
		for _, other := range []string{"repository", "issue", "organization", "user"} {
			if other != category {
				others = append(others, "write:"+other)
			}
		}
		if level == "write" {
			others = append(others, "read:"+category)
		}
		if status, answer := call(t, shared, token(t, machine, others...), c.method, c.path, c.body); status != http.StatusForbidden || !strings.Contains(answer, "required scope") {
			t.Errorf("%s %s without %s: %d %s", c.method, c.path, c.scope, status, answer)
		}
		if status, answer := call(t, shared, token(t, machine, c.scope), c.method, c.path, c.body); status >= 300 {
			t.Errorf("%s %s with %s: %d %s", c.method, c.path, c.scope, status, answer)
		}
	}

	statuses, err := r.Statuses(ctx, commit)
	must(t, err)
	if len(statuses) != 1 || statuses[0].Context != "sluice/plan" || statuses[0].State != "success" || statuses[0].Creator.Login != "scope-machine" {
		t.Errorf("the statuses are %+v", statuses)
	}
	edited := fmt.Sprintf("%s/issues/comments/%d", base, comments[0].ID)
	if status, answer := call(t, shared, token(t, owner, "write:issue"), "PATCH", edited, `{"body":"Changed"}`); status != http.StatusOK {
		t.Errorf("editing a comment: %d %s", status, answer)
	}
	if comments, err = pull.Comments(ctx); err != nil || len(comments) != 2 || comments[0].Body != "Changed" || comments[1].Body != "Hi" {
		t.Errorf("the comments are %+v (%v)", comments, err)
	}
	if status, answer := call(t, shared, token(t, user(t, shared, "scope-stranger"), "all"), "GET", base, ""); status != http.StatusNotFound {
		t.Errorf("a stranger asks for a private repository: %d %s, want a 404", status, answer)
	}
	var teams []struct {
		ID   int64
		Name string
	}
	must(t, owner.Call(ctx, "GET", "/orgs/scope-ml/teams", nil, &teams))
	for _, team := range teams {
		err := machine.Call(ctx, "GET", fmt.Sprintf("/teams/%d/members/scope-machine", team.ID), nil, nil)
		if in := err == nil; in != (team.Name == "machines") {
			t.Errorf("whether the machine is in %s: %v", team.Name, err)
		}
	}
}

// delivered is what a webhook has brought.
type delivered struct {
	header http.Header
	body   []byte
}

// receiver keeps what webhooks bring, and answers with a status.
func receiver(t *testing.T, status int) (url string, received func() []delivered) {
	var mu sync.Mutex
	var all []delivered
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		all = append(all, delivered{r.Header, body})
		mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []delivered {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestHooks(t *testing.T) {
	ctx := t.Context()
	owner, reviewer := user(t, shared, "hook-owner"), user(t, shared, "hook-reviewer")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform"})
	url, received := receiver(t, http.StatusAccepted)
	hook, err := r.Hook(ctx, owner, forge.Hook{URL: url, Secret: "s3cret"})
	must(t, err)

	// Each step, and the events and actions that it brings.
	var pull *forge.Pull
	var review forge.Review
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"first push", func() error { push(t, r, owner, "main", "a", "1"); return nil }, []string{"push push"}},
		{"push", func() error { push(t, r, owner, "tune", "a", "2"); return nil }, []string{"push push"}},
		{"open", func() error { pull = open(t, r, owner, "tune"); return nil }, []string{"pull_request pull_request opened"}},
		{"comment", func() error { return pull.Comment(ctx, reviewer, "Why?") }, []string{"issue_comment pull_request_comment created"}},
		{"approve", func() (err error) {
			review, err = pull.Review(ctx, reviewer, forge.Approve, "Fine")
			return err
		}, []string{"pull_request_approved pull_request_review_approved reviewed"}},
		{"push again", func() error { push(t, r, owner, "tune", "a", "3"); return nil }, []string{"push push", "pull_request pull_request_sync synchronized"}},
		{"dismiss", func() error { return pull.Dismiss(ctx, owner, review.ID, "It has changed") }, nil},
		{"reject", func() error {
			_, err := pull.Review(ctx, reviewer, forge.RequestChanges, "No")
			return err
		}, []string{"pull_request_rejected pull_request_review_rejected reviewed"}},
		{"edit", func() error { return pull.Edit(ctx, owner, "Another title", "") }, []string{"pull_request pull_request edited"}},
		{"close", func() error { return pull.Edit(ctx, owner, "", "closed") }, []string{"pull_request pull_request closed"}},
		{"reopen", func() error { return pull.Edit(ctx, owner, "", "open") }, []string{"pull_request pull_request reopened"}},
		{"merge", func() error { return pull.Merge(ctx, owner, forge.Merge) }, []string{"push push", "pull_request pull_request closed"}},
	} {
		before := len(received())
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var got []string
		eventually(t, fmt.Sprintf("%s for %s", step.want, step.name), func() bool {
			got = nil
			for _, d := range received()[before:] {
				got = append(got, about(t, d))
			}
			return len(got) >= len(step.want)
		})
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(step.want)); !slices.Equal(got, want) {
			t.Errorf("%s brings %q, want %q", step.name, got, want)
		}
	}

	for _, d := range received() {
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write(d.body)
		want := hex.EncodeToString(mac.Sum(nil))
		if got := d.header.Get("X-Gitea-Signature"); got != want {
			t.Errorf("signed %q, want %q", got, want)
		}
		if got := d.header.Get("X-Hub-Signature-256"); got != "sha256="+want {
			t.Errorf("signed %q, want sha256=%q", got, want)
		}
	}
	var list []forge.Delivery
	eventually(t, "record of all deliveries", func() bool {
		list, err = shared.Deliveries(ctx, hook)
		must(t, err)
		return len(list) == len(received()) && !slices.ContainsFunc(list, func(d forge.Delivery) bool { return !d.Tried })
	})
	for _, d := range list {
		if !d.Succeeded || d.Status != http.StatusAccepted || !json.Valid([]byte(d.Body)) {
			t.Errorf("a delivery is recorded as %+v", d)
		}
		if !slices.ContainsFunc(received(), func(r delivered) bool { return r.header.Get("X-Gitea-Delivery") == d.ID }) {
			t.Errorf("delivery %s has not been received", d.ID)
		}
	}
}

// about is a delivery's event, its type and its action.
func about(t *testing.T, d delivered) string {
	var payload struct{ Action string }
	if err := json.Unmarshal(d.body, &payload); err != nil {
		t.Errorf("a delivery is no JSON: %v", err)
	}
	return strings.TrimSpace(d.header.Get("X-Gitea-Event") + " " + d.header.Get("X-Gitea-Event-Type") + " " + payload.Action)
}

func TestRefusedHook(t *testing.T) {
	ctx := t.Context()
	owner := user(t, shared, "refused-owner")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	url, _ := receiver(t, http.StatusUnauthorized)
	hook, err := r.Hook(ctx, owner, forge.Hook{URL: url, Secret: "s3cret", Events: []string{"push"}})
	must(t, err)
	push(t, r, owner, "main", "a", "2")
	var list []forge.Delivery
	eventually(t, "record of the delivery", func() bool {
		list, err = shared.Deliveries(ctx, hook)
		must(t, err)
		return len(list) == 1 && list[0].Tried
	})
	if d := list[0]; d.Succeeded || d.Status != http.StatusUnauthorized || d.Event != "push" {
		t.Errorf("a refused delivery is recorded as %+v", d)
	}
}

func TestReviews(t *testing.T) {
	ctx := t.Context()
	owner, reviewer := user(t, shared, "review-owner"), user(t, shared, "review-reviewer")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	must(t, r.AddCollaborator(ctx, reviewer, "write"))
	first := push(t, r, owner, "tune", "a", "2")
	pull := open(t, r, owner, "tune")
	if _, err := pull.Review(ctx, owner, forge.Approve, ""); err == nil {
		t.Error("the author approves")
	}
	approval, err := pull.Review(ctx, reviewer, forge.Approve, "")
	must(t, err)
	if approval.State != forge.Approve || approval.Commit != first || approval.Stale || approval.User.Login != "review-reviewer" {
		t.Errorf("approved: %+v", approval)
	}
	reviews := func() []string {
		list, err := pull.Reviews(ctx)
		must(t, err)
		var all []string
		for _, review := range list {
			all = append(all, fmt.Sprintf("%s %s stale=%t dismissed=%t", review.State, review.Commit[:7], review.Stale, review.Dismissed))
		}
		return all
	}
	second := push(t, r, owner, "tune", "a", "3")
	want := []string{fmt.Sprintf("APPROVED %s stale=true dismissed=false", first[:7])}
	eventually(t, "stale review", func() bool { return slices.Equal(reviews(), want) })

	// A person's next word puts an end to the last one, as a dismissal does.
	rejection, err := pull.Review(ctx, reviewer, forge.RequestChanges, "Not so")
	must(t, err)
	want = []string{
		fmt.Sprintf("APPROVED %s stale=true dismissed=true", first[:7]),
		fmt.Sprintf("REQUEST_CHANGES %s stale=false dismissed=false", second[:7]),
	}
	if got := reviews(); !slices.Equal(got, want) {
		t.Errorf("the reviews are %q, want %q", got, want)
	}
	must(t, pull.Dismiss(ctx, owner, rejection.ID, "We talked"))
	want[1] = fmt.Sprintf("REQUEST_CHANGES %s stale=false dismissed=true", second[:7])
	if got := reviews(); !slices.Equal(got, want) {
		t.Errorf("the reviews are %q, want %q", got, want)
	}
}

// TestMerges shows what each method makes of two commits, and how the pull request tells.
func TestMerges(t *testing.T) {
	ctx := t.Context()
	owner, merger := user(t, shared, "merge-owner"), user(t, shared, "merge-merger")
	for _, c := range []struct {
		method  forge.Method
		parents int
		added   int // commits on main
		author  string
		subject string
	}{
		{forge.Merge, 2, 3, "merge-merger", "Merge pull request 'Take tune' (#1) from tune into main"},
		{forge.Squash, 1, 1, "merge-owner", "Take tune (#1)"},
		{forge.Rebase, 1, 2, "merge-owner", "Write c"},
	} {
		t.Run(string(c.method), func(t *testing.T) {
			r := repo(t, shared, owner, forge.RepoSpec{Name: string(c.method), Files: map[string]string{"a": "1"}})
			must(t, r.AddCollaborator(ctx, merger, "write"))
			push(t, r, owner, "tune", "b", "2")
			head := push(t, r, owner, "tune", "c", "3")
			pull := open(t, r, owner, "tune")
			base := push(t, r, owner, "main", "d", "4") // main goes on
			must(t, pull.Merge(ctx, merger, c.method))
			if !pull.Merged || pull.State != "closed" || pull.MergedBy.Login != "merge-merger" || pull.Head.SHA != head {
				t.Errorf("merged: %+v", pull)
			}
			about, err := r.Git(owner, "log", "-1", "--format=%H|%an|%s|%P", "main")
			must(t, err)
			fields := strings.Split(about, "|")
			if fields[0] != pull.MergeCommit || fields[1] != c.author || fields[2] != c.subject || len(strings.Fields(fields[3])) != c.parents {
				t.Errorf("main is at %q, the pull request names %s", about, pull.MergeCommit)
			}
			count, err := r.Git(owner, "rev-list", "--count", base+"..main")
			must(t, err)
			if count != fmt.Sprint(c.added) {
				t.Errorf("%s commits were added, want %d", count, c.added)
			}
			var found struct{ Number int }
			if err := owner.Call(ctx, "GET", "/repos/"+r.FullName()+"/commits/"+pull.MergeCommit+"/pull", nil, &found); err != nil || found.Number != pull.Number {
				t.Errorf("the pull request of the merge commit is %d (%v), want %d", found.Number, err, pull.Number)
			}
		})
	}
}

func TestForkPull(t *testing.T) {
	ctx := t.Context()
	owner, stranger := user(t, shared, "fork-owner"), user(t, shared, "fork-stranger")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	if _, err := r.Push(ctx, stranger, gitserver.Change{Files: map[string]string{"a": "2"}}); err == nil {
		t.Error("a stranger pushes")
	} else if strings.Contains(err.Error(), stranger.Password) {
		t.Error("an error tells a password")
	}
	fork, err := r.Fork(ctx, stranger)
	must(t, err)
	head := push(t, fork, stranger, "tune", "a", "2")
	pull, err := r.Open(ctx, stranger, forge.PullSpec{Head: "fork-stranger:tune", Title: "From outside"})
	must(t, err)
	if pull.Head.SHA != head || pull.Head.Repo == nil || pull.Head.Repo.FullName != "fork-stranger/platform" || pull.Base.Repo.FullName != "fork-owner/platform" {
		t.Errorf("opened %+v", pull)
	}
	// The head is in the repository itself, under a name of its own.
	if got, err := r.Git(owner, "rev-parse", fmt.Sprintf("refs/pull/%d/head", pull.Number)); err != nil || got != head {
		t.Errorf("the head is %s (%v), want %s", got, err, head)
	}
	if err := pull.Merge(ctx, stranger, forge.Squash); err == nil {
		t.Error("a stranger merges")
	}
	must(t, pull.Merge(ctx, owner, forge.Squash))
	if got, err := r.Git(owner, "show", "main:a"); err != nil || got != "2" {
		t.Errorf("main has %q (%v)", got, err)
	}
}

func TestTrafficAndFaults(t *testing.T) {
	s, err := forge.Start(t.Context(), forge.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Stop()) })
	owner := user(t, s, "alice")
	r := repo(t, s, owner, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	if got := s.Traffic(); len(got) != 0 {
		t.Errorf("the test's own calls count:\n%s", got)
	}
	machine := token(t, owner, "read:repository")
	status := func() int {
		t.Helper()
		status, _ := call(t, s, machine, "GET", "/repos/alice/platform/branches/main", "")
		return status
	}
	status()
	status()
	call(t, s, machine, "GET", "/repos/alice/platform/branches/ma%2Fin", "")
	if _, err := git(t, "", "ls-remote", r.URL); err != nil {
		t.Error(err)
	}
	got := s.Traffic()
	if n := got.Count("GET", "/repos/*/*/branches/*"); n != 3 || got.Count("", "/repos/*/*") != 0 || len(got.API()) != 3 || len(got) <= 3 {
		t.Errorf("counted:\n%s", got)
	}
	if want := "2× GET /api/v1/repos/alice/platform/branches/main 200\n"; !strings.HasPrefix(got.String(), want) {
		t.Errorf("want %q first:\n%s", want, got)
	}

	for _, c := range []struct {
		name  string
		fault forge.Fault
		want  int
	}{
		{"429", forge.Status(http.StatusTooManyRequests, "Retry-After", "7"), 429},
		{"another path", forge.Only("GET", "/repos/*/*/pulls", forge.Status(502)), 200},
		{"this path", forge.Only("GET", "/repos/*/*/branches/*", forge.Status(502)), 502},
		{"slow", forge.Slow(time.Millisecond), 200},
		{"mended", nil, 200},
	} {
		s.Misbehave(c.fault)
		if got := status(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	s.Misbehave(forge.First(2, forge.Status(500)))
	if got := []int{status(), status(), status()}; !slices.Equal(got, []int{500, 500, 200}) {
		t.Errorf("the first two are to fail: %v", got)
	}

	for name, fault := range map[string]forge.Fault{"down": forge.Down(), "silent": forge.Silent()} {
		s.Misbehave(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Page("/"), nil)
		must(t, err)
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
		}
		if late := errors.Is(err, context.DeadlineExceeded); err == nil || name == "silent" && !late {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	push(t, r, owner, "main", "a", "2") // people are not disturbed
}

func TestTLS(t *testing.T) {
	s, err := forge.Start(t.Context(), forge.Options{TLS: true})
	must(t, err)
	t.Cleanup(func() { must(t, s.Stop()) })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	response, err := client.Get(s.Page("api/v1/version"))
	must(t, err)
	defer response.Body.Close()
	var answer struct{ Version string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || !strings.HasPrefix(s.URL, "https://") || answer.Version != "1.26.0" {
		t.Errorf("it says %+v at %s (%v)", answer, s.URL, err)
	}
	if _, err := http.Get(s.URL); err == nil {
		t.Error("its certificate is trusted without its authority")
	}
	r := repo(t, s, s.Admin, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, s.CA, 0o600))
	if output, err := git(t, "", "-c", "http.sslCAInfo="+ca, "ls-remote", r.URL); err != nil || !strings.Contains(output, "refs/heads/main") {
		t.Errorf("git: %v\n%s", err, output)
	}
	push(t, r, s.Admin, "tune", "a", "2")
	if pull := open(t, r, s.Admin, "tune"); pull.URL != s.Page("root/platform/pulls/1") {
		t.Errorf("the pull request is at %s", pull.URL)
	}
}

func TestPage(t *testing.T) {
	owner := user(t, shared, "page-owner")
	r := repo(t, shared, owner, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	push(t, r, owner, "tune", "a", "2")
	pull := open(t, r, owner, "tune")
	must(t, pull.Comment(t.Context(), owner, "**2 overlays**, 3 objects change"))
	for url, want := range map[string]string{
		pull.URL:                                "<strong>2 overlays</strong>, 3 objects change",
		shared.Page("assets/css/index.css"):     `@import "./modules/normalize.css"`,
		shared.Page("assets/css/utilities.css"): ".tw-ml-1 { margin-left: 0.25rem !important; }",
	} {
		response, err := http.Get(url)
		must(t, err)
		defer response.Body.Close()
		page, err := io.ReadAll(response.Body)
		must(t, err)
		if !strings.Contains(string(page), want) {
			t.Errorf("%s: %s, without %s\n%s", url, response.Status, want, page)
		}
	}
}

// TestStopRemovesAll also looks whether what git and Gitea have written is in one directory.
func TestStopRemovesAll(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := forge.Start(t.Context(), forge.Options{})
	must(t, err)
	r := repo(t, s, s.Admin, forge.RepoSpec{Name: "platform", Files: map[string]string{"a": "1"}})
	push(t, r, s.Admin, "tune", "a", "2")
	must(t, open(t, r, s.Admin, "tune").Merge(t.Context(), s.Admin, forge.Rebase))
	must(t, s.Stop())
	left, err := os.ReadDir(os.TempDir())
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", s.Dir, err)
	}
}

// TestEndsWithItsStarter kills a process that has started a server.
func TestEndsWithItsStarter(t *testing.T) {
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), "FORGE_TEST_VICTIM=1", "TMPDIR="+t.TempDir()) // nobody tidies up after it
	output, err := starter.StdoutPipe()
	must(t, err)
	must(t, starter.Start())
	line := make([]byte, 4096)
	n, _ := output.Read(line) // its directory, or why not
	dir, ready := strings.CutPrefix(string(line[:n]), "ready ")
	if !ready {
		t.Fatalf("the starter says %q", line[:n])
	}
	if running(t, dir) == 0 {
		t.Fatal("no server runs")
	}
	_ = starter.Process.Kill()
	_ = starter.Wait() // it was killed
	eventually(t, "end of the server", func() bool { return running(t, dir) == 0 })
}

func victim() {
	s, err := forge.Start(context.Background(), forge.Options{})
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("ready " + s.Dir)
	select {}
}

// running counts the processes that serve a directory.
func running(t *testing.T, dir string) (n int) {
	processes, err := os.ReadDir("/proc")
	must(t, err)
	for _, p := range processes {
		arguments, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline") // it may have ended
		if bytes.Contains(arguments, []byte("serve\x00"+dir+"\x00")) {
			n++
		}
	}
	return n
}
