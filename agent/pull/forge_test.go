package pull

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-dev/sluice/agent/forge"
)

// gitea is as much of a Gitea as the pull requests of the agent's own ask for: one repository.
type gitea struct {
	mu       sync.Mutex
	pulls    map[int]*giteaPull
	branches map[string]string
	comments []string
}

type giteaPull struct {
	head           string
	closed, merged bool
}

// on has a work talk to a Gitea with branches, and pull requests of them by their numbers.
func on(t *testing.T, w *work, pulls map[int]*giteaPull) *gitea {
	t.Helper()
	g := &gitea{pulls: pulls, branches: map[string]string{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	f, err := forge.Open(forge.Options{Provider: forge.Gitea, Repository: server.URL + "/ml/platform.git", Token: "t0ken", AllowInsecure: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.CloseIdle)
	w.forge = f
	return g
}

func (g *gitea) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var asked struct{ Body, Head, State string }
	_ = json.NewDecoder(r.Body).Decode(&asked)
	number := 0
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v1"), "/repos/ml/platform")
	if branch, is := strings.CutPrefix(path, "/branches/"); is {
		g.branch(rw, r.Method, branch)
		return
	}
	for _, format := range []string{"/pulls/%d", "/issues/%d", "/git/refs/pull/%d"} {
		if _, err := fmt.Sscanf(path, format, &number); err == nil {
			break
		}
	}
	p := g.pulls[number]
	switch {
	case path == "/user":
		say(rw, 200, map[string]any{"login": "bot"})
	case path == "/pulls" && r.Method == http.MethodPost:
		number = len(g.pulls) + 1
		g.pulls[number] = &giteaPull{head: asked.Head}
		say(rw, 201, g.shown(number))
	case path == "/labels" && r.Method == http.MethodPost:
		say(rw, 201, map[string]any{"id": 1})
	case path == "/labels" || strings.HasSuffix(path, "/labels"):
		say(rw, 200, []any{})
	case p == nil:
		say(rw, 404, map[string]any{"message": "not there"})
	case strings.HasSuffix(path, "/comments") && r.Method == http.MethodPost:
		g.comments = append(g.comments, asked.Body)
		say(rw, 201, map[string]any{"id": len(g.comments)})
	case strings.HasSuffix(path, "/comments"):
		say(rw, 200, []any{})
	case strings.HasPrefix(path, "/git/"):
		say(rw, 200, []any{map[string]any{"ref": fmt.Sprintf("refs/pull/%d/head", number), "object": map[string]any{"sha": g.branches[p.head]}}})
	case r.Method == http.MethodPatch:
		p.closed = p.closed || asked.State == "closed"
		say(rw, 201, g.shown(number))
	default:
		say(rw, 200, g.shown(number))
	}
}

func (g *gitea) branch(rw http.ResponseWriter, method, name string) {
	commit, is := g.branches[name]
	switch {
	case !is:
		say(rw, 404, map[string]any{"message": "not there"})
	case method == http.MethodDelete:
		delete(g.branches, name)
		rw.WriteHeader(http.StatusNoContent)
	default:
		say(rw, 200, map[string]any{"name": name, "commit": map[string]any{"id": commit}})
	}
}

func (g *gitea) shown(number int) map[string]any {
	p := g.pulls[number]
	here := map[string]any{"full_name": "ml/platform", "name": "platform", "owner": map[string]any{"login": "ml"}}
	shown := map[string]any{
		"number": number, "state": "open", "merged": p.merged,
		"base": map[string]any{"label": "main", "ref": "main", "repo": here},
		"head": map[string]any{"label": p.head, "ref": p.head, "sha": g.branches[p.head], "repo": here},
	}
	if p.closed || p.merged {
		shown["state"] = "closed"
	}
	if p.merged {
		shown["merge_commit_sha"] = strings.Repeat("e", 40)
	}
	return shown
}

// open are the pull requests that are not over.
func (g *gitea) open() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	var open []int
	for number, p := range g.pulls {
		if !p.closed && !p.merged {
			open = append(open, number)
		}
	}
	slices.Sort(open)
	return open
}

func say(rw http.ResponseWriter, status int, what any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(what)
}
