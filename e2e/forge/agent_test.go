package forge_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	agent "github.com/sluice-dev/sluice/agent/forge"
	"github.com/sluice-dev/sluice/agent/forge/forgetest"
	"github.com/sluice-dev/sluice/e2e/forge"
	"github.com/sluice-dev/sluice/e2e/gitserver"
)

// house is a repository of an organisation, with the people that the agent has to do with.
type house struct {
	repo                 *forge.Repo
	owner, bot, ann, eve *forge.User // eve may only read
	agent                *agent.Forge
	serial               int
}

func newHouse(t *testing.T, name string) *house {
	h := &house{owner: user(t, shared, name+"-owner"), bot: user(t, shared, name+"-bot"), ann: user(t, shared, name+"-ann"), eve: user(t, shared, name+"-eve")}
	must(t, shared.CreateOrganisation(t.Context(), h.owner, name))
	h.repo = repo(t, shared, h.owner, forge.RepoSpec{Organisation: name, Name: "platform", Files: map[string]string{"a.yaml": "1\n"}})
	must(t, h.repo.AddCollaborator(t.Context(), h.bot, "write"))
	must(t, h.repo.AddCollaborator(t.Context(), h.ann, "write"))
	must(t, shared.CreateTeam(t.Context(), h.owner, name, "Risk", "write", h.ann, h.bot))
	h.agent = h.with(t, "read:user", "read:organization", "write:repository", "write:issue")
	return h
}

// with is the agent with a token that has these scopes.
func (h *house) with(t *testing.T, scopes ...string) *agent.Forge {
	t.Helper()
	f, err := agent.Open(agent.Options{Provider: agent.Gitea, Repository: h.repo.URL, Token: token(t, h.bot, scopes...), AllowInsecure: true})
	must(t, err)
	t.Cleanup(f.CloseIdle)
	return f
}

func (h *house) push(t *testing.T, branch string) string {
	t.Helper()
	h.serial++
	return push(t, h.repo, h.owner, branch, branch+"/"+string(rune('a'+h.serial))+".yaml", "x\n")
}

// update merges main into a branch.
func (h *house) update(t *testing.T, branch string) string {
	t.Helper()
	tree, err := h.repo.Git(h.owner, "merge-tree", "--write-tree", branch, "main")
	must(t, err)
	commit, err := h.repo.Git(h.owner, "-c", "user.name=owner", "-c", "user.email=owner@example.com", "commit-tree", "-p", branch, "-p", "main", "-m", "Merge main", tree)
	must(t, err)
	must(t, h.repo.SetBranch(h.owner, branch, commit))
	return commit
}

// rewrite has a branch begin anew at main.
func (h *house) rewrite(t *testing.T, branch string) string {
	t.Helper()
	commit, err := h.repo.Git(h.owner, "-c", "user.name=owner", "-c", "user.email=owner@example.com", "commit-tree", "-p", "main", "-m", "Anew", branch+"^{tree}")
	must(t, err)
	must(t, h.repo.SetBranch(h.owner, branch, commit))
	return commit
}

func (h *house) pull(t *testing.T, number int) *forge.Pull {
	t.Helper()
	p, err := h.repo.Pull(t.Context(), number)
	must(t, err)
	return p
}

// TestAgentContract plays the story that all forges have to play.
func TestAgentContract(t *testing.T) {
	h := newHouse(t, "contract")
	forgetest.Run(t, forgetest.Site{
		Forge: h.agent, Base: "main", Methods: []agent.Method{agent.Merge, agent.Squash, agent.Rebase}, Reviewer: h.ann.Name,
		Push: h.push, Update: h.update, Rewrite: h.rewrite,
		Review: func(t *testing.T, number int, _ string) {
			_, err := h.pull(t, number).Review(t.Context(), h.ann, forge.Approve, "Fine.")
			must(t, err)
		},
		Comment: func(t *testing.T, number int, body string) {
			must(t, h.pull(t, number).Comment(t.Context(), h.ann, body))
		},
		Comments: func(t *testing.T, number int) (bodies []string) {
			list, err := h.pull(t, number).Comments(t.Context())
			must(t, err)
			for _, c := range list {
				bodies = append(bodies, c.Body)
			}
			return bodies
		},
		Status: func(t *testing.T, commit, context string) (agent.State, string) {
			var combined struct {
				Statuses []struct{ Status, Context, Description string }
			}
			must(t, shared.Admin.Call(t.Context(), http.MethodGet, "/repos/contract/platform/commits/"+commit+"/status", nil, &combined))
			for _, s := range combined.Statuses {
				if s.Context == context {
					return agent.State(s.Status), s.Description
				}
			}
			return "", ""
		},
	})
}

func wantAgentError(t *testing.T, err error, kind agent.Kind, words string) {
	t.Helper()
	if e, ok := err.(*agent.Error); !ok || e.Kind != kind || !strings.Contains(e.Error(), words) {
		t.Errorf("have %v, want %s with %q", err, kind, words)
	}
}

// TestAgentScopes: Gitea says which scope is missing, and so do we.
func TestAgentScopes(t *testing.T) {
	h := newHouse(t, "scopes")
	h.push(t, "tune")
	ctx := t.Context()
	bare := h.with(t, "read:repository")
	_, err := bare.Pulls(ctx, "main")
	must(t, err)
	wantAgentError(t, bare.Comment(ctx, 1, "plan", "x"), agent.Forbidden, "give it the scope read:user")
	_, err = bare.Open(ctx, agent.Draft{Base: "main", Head: "tune", Title: "x"})
	wantAgentError(t, err, agent.Forbidden, "give it the scopes write:repository and write:issue")
	_, err = bare.TeamHas(ctx, "scopes/risk", h.ann.Name)
	wantAgentError(t, err, agent.Forbidden, "give it the scope read:organization")
	wantAgentError(t, bare.SetStatus(ctx, strings.Repeat("a", 40), agent.Status{Context: "x", State: agent.Success}), agent.Forbidden, "give it the scope write:repository")
	p := open(t, h.repo, h.owner, "tune")
	wantAgentError(t, h.with(t, "read:user", "read:issue").Comment(ctx, p.Number, "plan", "x"), agent.Forbidden, "give it the scope write:issue")
	_, err = h.with(t, "read:user").Pulls(ctx, "main")
	wantAgentError(t, err, agent.Forbidden, "give it the scope read:repository")
	stranger, err := agent.Open(agent.Options{Provider: agent.Gitea, Repository: h.repo.URL, Token: "nonsense", AllowInsecure: true})
	must(t, err)
	_, err = stranger.Pulls(ctx, "main")
	wantAgentError(t, err, agent.Unauthorized, "put a valid one into the Secret")
}

// TestAgentReviewers: teams, and approvals that count, do not count, and were taken back.
func TestAgentReviewers(t *testing.T) {
	h := newHouse(t, "counts")
	ctx := t.Context()
	for name, want := range map[string]bool{h.ann.Name: true, h.eve.Name: false, "nobody": false} {
		if has, err := h.agent.TeamHas(ctx, "counts/risk", name); has != want || err != nil {
			t.Errorf("%s is in the team: %v, %v", name, has, err)
		}
	}
	_, err := h.agent.TeamHas(ctx, "counts/none", h.ann.Name)
	wantAgentError(t, err, agent.NotFound, "counts/none")

	first := h.push(t, "tune")
	p := open(t, h.repo, h.owner, "tune")
	_, err = p.Review(ctx, h.eve, forge.Approve, "Me too.")
	must(t, err)
	review, err := p.Review(ctx, h.ann, forge.Approve, "Fine.")
	must(t, err)
	_, err = p.Review(ctx, h.ann, forge.Comment, "By the way.")
	must(t, err)
	check := func(what string, annApproves, stale bool) {
		t.Helper()
		reviews, err := h.agent.Reviews(ctx, p.Number)
		if err != nil || len(reviews) != 2 || reviews[0].Author != h.eve.Name || !reviews[0].Approved || reviews[0].Official ||
			reviews[1].Author != h.ann.Name || reviews[1].Approved != annApproves || reviews[1].Commit != first || reviews[1].Stale != stale {
			t.Errorf("%s: %+v, %v", what, reviews, err)
		}
	}
	check("approved", true, false)
	h.push(t, "tune")
	eventually(t, "stale review", func() bool {
		reviews, err := h.agent.Reviews(ctx, p.Number)
		return err == nil && reviews[1].Stale
	})
	check("pushed to", true, true)
	must(t, p.Dismiss(ctx, h.owner, review.ID, "No."))
	check("dismissed", false, true)
}

// TestAgentMergedHead: Gitea says where the branch is, and the agent what was merged.
func TestAgentMergedHead(t *testing.T) {
	h := newHouse(t, "head")
	first := h.push(t, "tune")
	p := open(t, h.repo, h.owner, "tune")
	merged := h.push(t, "tune")
	eventually(t, "merge", func() bool { return h.agent.Merge(t.Context(), p.Number, merged, agent.Squash) == nil })
	must(t, h.repo.SetBranch(h.owner, "tune", first))
	have, err := h.agent.Pull(t.Context(), p.Number)
	must(t, err)
	if of, err := h.agent.PullOf(t.Context(), "main", have.MergeCommit); err != nil || of.Head.Commit != merged || have.Head.Commit != merged {
		t.Errorf("the head is %s and %s, want %s; %v", have.Head.Commit, of.Head.Commit, merged, err)
	}
}

// TestAgentForks: a fork, one that is gone, and a push for review with the name of a branch of ours.
func TestAgentForks(t *testing.T) {
	h := newHouse(t, "strangers")
	h.push(t, "tune")
	fork, err := h.repo.Fork(t.Context(), h.eve)
	must(t, err)
	_, err = fork.Push(t.Context(), h.eve, gitserver.Change{Branch: "theirs", Message: "x", Files: map[string]string{"z.yaml": "1"}})
	must(t, err)
	p := open(t, h.repo, h.eve, h.eve.Name+":theirs")
	if have, err := h.agent.Pull(t.Context(), p.Number); err != nil || have.Head.Fork != fork.FullName() || have.Head.Name != "theirs" {
		t.Errorf("%+v, %v", have, err)
	}
	must(t, h.eve.Call(t.Context(), http.MethodDelete, "/repos/"+fork.FullName(), nil, nil))
	if have, err := h.agent.Pull(t.Context(), p.Number); err != nil || have.Head.Fork == "" {
		t.Errorf("%+v, %v", have, err)
	}
	dir := t.TempDir()
	for _, arguments := range [][]string{
		{"clone", "-q", as(h.repo.URL, h.eve.Name, h.eve.Password), "."},
		{"-c", "user.name=eve", "-c", "user.email=eve@example.com", "commit", "-q", "--allow-empty", "-m", "x"},
		{"push", "-q", "origin", "HEAD:refs/for/main", "-o", "topic=tune"},
	} {
		if output, err := git(t, dir, arguments...); err != nil {
			t.Fatal(output, err)
		}
	}
	pulls, err := h.agent.Pulls(t.Context(), "main")
	must(t, err)
	if len(pulls) != 1 || pulls[0].Head.Fork == "" {
		t.Errorf("%+v", pulls)
	}
}

// TestAgentMergeBase: what Gitea says itself is that of an older head for a while; ours is right at once,
// also for a fork, and the head can be fetched from the repository by the reference that we say.
func TestAgentMergeBase(t *testing.T) {
	h := newHouse(t, "merge-base")
	ctx := t.Context()
	fork, err := h.repo.Fork(ctx, h.eve)
	must(t, err)
	base, err := h.repo.Git(h.owner, "rev-parse", "main")
	must(t, err)
	head, err := fork.Push(ctx, h.eve, gitserver.Change{Branch: "theirs", Message: "x", Files: map[string]string{"z.yaml": "1"}})
	must(t, err)
	p := open(t, h.repo, h.eve, h.eve.Name+":theirs")
	h.push(t, "main")
	pulls, err := h.agent.Pulls(ctx, "main")
	must(t, err)
	if have, err := h.agent.MergeBase(ctx, pulls[0]); err != nil || have != base {
		t.Errorf("of a fork it is %s, want %s; %v", have, base, err)
	}
	ref := fmt.Sprintf("refs/pull/%d/head", p.Number) // by which the head of a fork is in the repository
	if at, err := h.repo.Git(h.owner, "rev-parse", ref); err != nil || at != head {
		t.Errorf("%s is at %s, want %s; %v", ref, at, head, err)
	}

	h.push(t, "tune")
	ours := open(t, h.repo, h.owner, "tune")
	stale := 0
	for range 5 {
		before := h.push(t, "main")
		head = h.rewrite(t, "tune")
		var now agent.Pull
		eventually(t, "the new head", func() bool {
			now, err = h.agent.Pull(ctx, ours.Number)
			return err == nil && now.Head.Commit == head
		})
		if have, err := h.agent.MergeBase(ctx, now); err != nil || have != before {
			t.Errorf("it is %s, want %s; %v", have, before, err)
		}
		if h.pull(t, ours.Number).MergeBase != before {
			stale++
		}
	}
	t.Logf("Gitea said an old merge base after %d of 5 forced pushes", stale)

	orphan, err := h.repo.Push(ctx, h.owner, gitserver.Change{Branch: "orphan", Message: "x", Orphan: true, Files: map[string]string{"o.yaml": "1"}})
	must(t, err)
	main, err := h.repo.Git(h.owner, "rev-parse", "main")
	must(t, err)
	_, err = h.agent.MergeBase(ctx, agent.Pull{Base: agent.Branch{Name: "main", Commit: main}, Head: agent.Branch{Commit: orphan}})
	wantAgentError(t, err, agent.NotFound, "no history in common with main")
	_, err = h.agent.MergeBase(ctx, agent.Pull{Base: agent.Branch{Name: "main", Commit: main}, Head: agent.Branch{Commit: strings.Repeat("e", 40)}})
	wantAgentError(t, err, agent.Unavailable, "does not have its head or its base")
}

// TestAgentNotMerged: a draft, conflicts, and nothing to merge.
func TestAgentNotMerged(t *testing.T) {
	h := newHouse(t, "not-merged")
	ctx := t.Context()
	head := push(t, h.repo, h.owner, "tune", "b.yaml", "1\n")
	p := open(t, h.repo, h.owner, "tune")
	must(t, p.Edit(ctx, h.owner, "[WIP] Tune it", ""))
	if have, err := h.agent.Pull(ctx, p.Number); err != nil || !have.Draft || have.Title != "Tune it" {
		t.Errorf("%+v, %v", have, err)
	}
	wantAgentError(t, h.agent.Merge(ctx, p.Number, head, agent.Merge), agent.Refused, "Work in progress")
	must(t, p.Edit(ctx, h.owner, "Tune it", ""))
	push(t, h.repo, h.owner, "main", "b.yaml", "2\n")
	for _, method := range []agent.Method{agent.Merge, agent.Squash, agent.Rebase} {
		switch err, ok := h.agent.Merge(ctx, p.Number, head, method).(*agent.Error); {
		case !ok || err.Kind != agent.Refused && err.Kind != agent.Unavailable || !strings.Contains(err.Error(), "conflicts"):
			t.Errorf("%s: %v", method, err)
		}
	}
	_, err := h.agent.Open(ctx, agent.Draft{Base: "main", Head: "main", Title: "x"})
	wantAgentError(t, err, agent.Refused, "no changes")
}

// TestAgentLengths: a title and a comment of all that we say the forge takes.
func TestAgentLengths(t *testing.T) {
	h := newHouse(t, "lengths")
	ctx := t.Context()
	h.push(t, "tune")
	draft := agent.Draft{Base: "main", Head: "tune", Title: strings.Repeat("ü모🙂", 300), Body: strings.Repeat("ü", h.agent.MaxBody()/2), NotReady: true}
	p, err := h.agent.Open(ctx, draft)
	must(t, err)
	before := len(shared.Traffic())
	must(t, h.agent.Edit(ctx, p.Number, draft))
	for range 2 {
		must(t, h.agent.Comment(ctx, p.Number, "plan", strings.Repeat("x", h.agent.MaxBody()-100)))
	}
	wrote := 0
	for _, call := range shared.Traffic()[before:] {
		if call.Method != http.MethodGet {
			wrote++
		}
	}
	if list, err := h.pull(t, p.Number).Comments(ctx); err != nil || len(list) != 1 || wrote != 1 {
		t.Errorf("%d comments by %d writes, %v", len(list), wrote, err)
	}
}
