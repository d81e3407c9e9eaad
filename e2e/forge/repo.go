package forge

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/e2e/gitserver"
)

// Repo is a repository of a server.
type Repo struct {
	Owner, Name string
	// URL is where to clone it from and push it to.
	URL string

	server *Server
	mu     sync.Mutex // of the clone
	clone  gitserver.Repo
	origin string // the same repository, past the proxy
}

// RepoSpec is what a new repository is to be.
type RepoSpec struct {
	// Organisation it is in; if empty, it is the user's own.
	Organisation string
	Name         string
	Private      bool
	// Files of its first commit on main: content by path. None leaves it empty.
	Files map[string]string
}

// CreateRepo makes a repository in the name of the user.
func (s *Server) CreateRepo(ctx context.Context, as *User, spec RepoSpec) (*Repo, error) {
	path, owner := "/user/repos", as.Name
	if spec.Organisation != "" {
		path, owner = "/orgs/"+spec.Organisation+"/repos", spec.Organisation
	}
	if err := as.Call(ctx, http.MethodPost, path, map[string]any{"name": spec.Name, "private": spec.Private, "default_branch": "main"}, nil); err != nil {
		return nil, err
	}
	r, err := s.repo(owner, spec.Name)
	if err != nil || spec.Files == nil {
		return r, err
	}
	_, err = r.Push(ctx, as, gitserver.Change{Message: "First commit", Files: spec.Files})
	return r, err
}

// Fork makes a fork of the repository in the name of the user, which owns it.
func (r *Repo) Fork(ctx context.Context, as *User) (*Repo, error) {
	if err := as.Call(ctx, http.MethodPost, r.path("/forks"), map[string]any{}, nil); err != nil {
		return nil, err
	}
	return r.server.repo(as.Name, r.Name)
}

func (s *Server) repo(owner, name string) (*Repo, error) {
	full := owner + "/" + name
	r := &Repo{
		Owner: owner, Name: name, URL: s.URL + "/" + full + ".git",
		server: s,
		clone:  gitserver.Repo{Dir: filepath.Join(s.Dir, "clones", owner, name)},
		origin: s.back.URL + "/" + full + ".git",
	}
	if err := os.MkdirAll(r.clone.Dir, 0o755); err != nil {
		return nil, err
	}
	if _, err := r.clone.Git("init", "--quiet", "--bare", "--initial-branch=main"); err != nil {
		return nil, err
	}
	return r, nil
}

// FullName is "owner/name".
func (r *Repo) FullName() string { return r.Owner + "/" + r.Name }

func (r *Repo) path(below string) string { return "/repos/" + r.FullName() + below }

// AddCollaborator lets a user in, with a permission: "read", "write", "admin".
func (r *Repo) AddCollaborator(ctx context.Context, u *User, permission string) error {
	return r.server.Admin.Call(ctx, http.MethodPut, r.path("/collaborators/"+u.Name), map[string]any{"permission": permission}, nil)
}

// Push makes a commit in the name of the user, pushes it, and returns its hash. A branch that is
// not there begins at main.
func (r *Repo) Push(ctx context.Context, as *User, change gitserver.Change) (commit string, err error) {
	if change.Branch == "" {
		change.Branch = "main"
	}
	if change.Author == "" {
		change.Author = as.author()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fetch(as); err != nil {
		return "", err
	}
	first := r.hash("main") == ""
	if !first && !change.Orphan && r.hash(change.Branch) == "" {
		if err := r.clone.SetBranch(change.Branch, "refs/heads/main"); err != nil {
			return "", err
		}
	}
	if commit, err = r.clone.Commit(change); err != nil {
		return "", err
	}
	if err := r.push(as, commit, change.Branch); err != nil || !first {
		return commit, err
	}
	return commit, r.awaitContent(ctx)
}

// awaitContent waits until Gitea knows that there is something in the repository, which it finds out
// some time after the first push. Until then its API has an internal error where it should have a
// branch.
func (r *Repo) awaitContent(ctx context.Context) error {
	for {
		var now struct{ Empty bool }
		if err := r.server.Admin.Call(ctx, http.MethodGet, r.path(""), nil, &now); err != nil || !now.Empty {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still empty after its first push: %w", r.FullName(), ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// SetBranch makes the branch stand at a commit, whatever it stood at, by a forced push.
func (r *Repo) SetBranch(as *User, branch, commit string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fetch(as); err != nil {
		return err
	}
	return r.push(as, commit, branch)
}

// DeleteBranch deletes a branch by a push.
func (r *Repo) DeleteBranch(as *User, branch string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.push(as, "", branch)
}

// Git runs git in a bare clone of the repository that has all its branches and pull requests
// (refs/pull/N/head), and returns what it prints.
func (r *Repo) Git(as *User, arguments ...string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fetch(as); err != nil {
		return "", err
	}
	return r.clone.Git(arguments...)
}

// hash of a branch in the clone; empty if it is not there.
func (r *Repo) hash(branch string) string {
	hash, _ := r.clone.Git("for-each-ref", "--format=%(objectname)", "refs/heads/"+branch) // git says no more than what is there
	return hash
}

func (r *Repo) fetch(as *User) error {
	_, err := r.clone.Git("-c", "include.path="+as.gitConfig(), "fetch", "--quiet", "--prune", "--no-auto-gc", r.origin, "+refs/*:refs/*")
	return err
}

// push is forced: fetch has just seen the branch.
func (r *Repo) push(as *User, commit, branch string) error {
	refspec := fmt.Sprintf("+%s:refs/heads/%s", commit, branch)
	if _, err := r.clone.Git("-c", "include.path="+as.gitConfig(), "push", "--quiet", r.origin, refspec); err != nil {
		return fmt.Errorf("%s pushes to %s of %s: %w", as.Name, branch, r.FullName(), err)
	}
	return nil
}
