package forge_test

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// gitHub serves a world as GitHub Enterprise does, by docs.github.com/rest.
func gitHub(w *world, mux *http.ServeMux) {
	const repo = "/api/v3/repos/ml/platform"
	w.etags = true
	handle := func(pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			if accept := r.Header.Get("Accept"); !strings.HasPrefix(accept, "application/vnd.github.") || r.Header.Get("X-Github-Api-Version") == "" {
				w.t.Errorf("%s: accept %q, version %q", pattern, accept, r.Header.Get("X-Github-Api-Version"))
			}
			h(rw, r)
		})
	}
	handle("GET /api/v3/user", func(rw http.ResponseWriter, r *http.Request) {
		answer(rw, 200, map[string]any{"login": bot, "id": 1})
	})
	handle("GET "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "state", "head", "base", "sort", "direction", "per_page", "page")
		found := []*pull{}
		for _, p := range w.pulls {
			if q.Get("state") == "open" && p.isOpen() && (q.Get("base") == "" || q.Get("base") == p.base) && (q.Get("head") == "" || q.Get("head") == "ml:"+p.head) {
				found = append(found, p)
			}
		}
		part, page, next := window(w, found, q, "per_page")
		w.link(rw, r, page, next)
		shown := []any{}
		for _, p := range part {
			shown = append(shown, w.gitHubPull(p, false))
		}
		answer(rw, 200, shown)
	})
	handle("POST "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "title", "head", "base", "body", "draft")
		head, base := text(f, "head"), text(f, "base")
		switch {
		case w.branches[head] == "":
			answer(rw, 422, map[string]any{"message": "Validation Failed", "errors": []any{map[string]any{"resource": "PullRequest", "field": "head", "code": "invalid"}}})
		case w.taken(head, base):
			answer(rw, 422, map[string]any{"message": "Validation Failed", "errors": []any{map[string]any{
				"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for ml:" + head + "."}}})
		default:
			draft, _ := f["draft"].(bool)
			answer(rw, 201, w.gitHubPull(w.make(text(f, "title"), text(f, "body"), head, base, draft), true))
		}
	})
	handle("GET "+repo+"/pulls/{number}", func(rw http.ResponseWriter, r *http.Request) {
		if p := w.find(rw, r); p != nil {
			answer(rw, 200, w.gitHubPull(p, true))
		}
	})
	handle("PATCH "+repo+"/pulls/{number}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "title", "body", "state")
		if p := w.find(rw, r); p != nil {
			if title := text(f, "title"); title != "" {
				p.title, p.body = title, text(f, "body")
			}
			p.closed = p.closed || text(f, "state") == "closed"
			p.updated = w.now()
			answer(rw, 200, w.gitHubPull(p, true))
		}
	})
	handle("PUT "+repo+"/pulls/{number}/merge", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "commit_title", "commit_message", "sha", "merge_method")
		p := w.find(rw, r)
		switch {
		case p == nil:
		case !p.isOpen() || p.draft:
			answer(rw, 405, map[string]any{"message": "Pull Request is not mergeable"})
		case text(f, "sha") != p.sha():
			answer(rw, 409, map[string]any{"message": "Head branch was modified. Review and try the merge again."})
		case !slices.Contains([]string{"merge", "squash", "rebase"}, text(f, "merge_method")):
			answer(rw, 422, map[string]any{"message": "Validation Failed"})
		default:
			w.merge(p, text(f, "merge_method"))
			answer(rw, 200, map[string]any{"sha": p.merge, "merged": true, "message": "Pull Request successfully merged"})
		}
	})
	handle("GET "+repo+"/commits/{sha}/pulls", func(rw http.ResponseWriter, r *http.Request) {
		w.query(r, "per_page", "page")
		found := []any{}
		for _, p := range w.pulls {
			if p.merge == r.PathValue("sha") || slices.ContainsFunc(p.heads, func(v version) bool { return v.sha == r.PathValue("sha") }) {
				found = append(found, w.gitHubPull(p, false))
			}
		}
		if len(found) == 0 && !slices.Contains(w.commits(), r.PathValue("sha")) {
			answer(rw, 422, map[string]any{"message": "No commit found for SHA: " + r.PathValue("sha")})
			return
		}
		answer(rw, 200, found)
	})
	handle("GET "+repo+"/compare/{both}", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "per_page", "page")
		base, head, ok := strings.Cut(r.PathValue("both"), "...")
		if !ok || !slices.Contains(w.commits(), base) || !slices.Contains(w.commits(), head) {
			answer(rw, 404, map[string]any{"message": "Not Found"})
			return
		}
		common := w.mergeBase(base, head)
		if common == "" {
			answer(rw, 404, map[string]any{"message": "No common ancestor between " + base + " and " + head + "."})
			return
		}
		behind := w.history(base)
		commits := []any{}
		for _, sha := range w.commits() {
			if w.history(head)[sha] && !behind[sha] {
				commits = append(commits, map[string]any{"sha": sha})
			}
		}
		total := len(commits)
		part, page, next := window(w, commits, q, "per_page")
		if page == 1 {
			w.t.Error("the first page of a comparison, which has all diffs in it, is asked for")
		}
		w.link(rw, r, page, next)
		answer(rw, 200, map[string]any{"merge_base_commit": map[string]any{"sha": common}, "total_commits": total, "commits": part})
	})
	handle("GET "+repo+"/pulls/{number}/reviews", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "per_page", "page")
		p := w.find(rw, r)
		if p == nil {
			return
		}
		found := []any{}
		for i, v := range p.reviews {
			one := map[string]any{"id": i + 1, "state": v.state, "commit_id": v.commit, "submitted_at": v.at.Format(time.RFC3339), "author_association": "NONE"}
			if v.author != "" {
				one["user"] = map[string]any{"login": v.author}
			}
			if v.dismissed {
				one["state"] = "DISMISSED"
			}
			found = append(found, one)
		}
		part, page, next := window(w, found, q, "per_page")
		w.link(rw, r, page, next)
		answer(rw, 200, part)
	})
	handle("GET "+repo+"/collaborators/{user}/permission", func(rw http.ResponseWriter, r *http.Request) {
		permission := map[string]string{reviewer: "write", "boss": "admin", "passer-by": "read"}[r.PathValue("user")]
		if permission == "" {
			answer(rw, 404, map[string]any{"message": r.PathValue("user") + " is not a user"})
			return
		}
		answer(rw, 200, map[string]any{"permission": permission, "role_name": permission})
	})
	handle("GET /api/v3/orgs/{org}/teams/{team}/memberships/{user}", func(rw http.ResponseWriter, r *http.Request) {
		state := map[string]string{"ml/risk/ann": "active", "ml/risk/new": "pending"}[r.PathValue("org")+"/"+r.PathValue("team")+"/"+r.PathValue("user")]
		if state == "" {
			answer(rw, 404, map[string]any{"message": "Not Found"})
			return
		}
		answer(rw, 200, map[string]any{"state": state, "role": "member"})
	})
	handle("GET /api/v3/orgs/{org}/teams/{team}", func(rw http.ResponseWriter, r *http.Request) {
		if r.PathValue("org")+"/"+r.PathValue("team") != "ml/risk" {
			answer(rw, 404, map[string]any{"message": "Not Found"})
			return
		}
		answer(rw, 200, map[string]any{"slug": "risk"})
	})
	handle("POST "+repo+"/statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "state", "target_url", "description", "context")
		if len([]rune(text(f, "description"))) > 140 {
			answer(rw, 422, map[string]any{"message": "Validation Failed", "errors": []any{"description is too long (maximum is 140 characters)"}})
			return
		}
		w.statuses = append(w.statuses, map[string]string{"sha": r.PathValue("sha"), "state": text(f, "state"), "description": text(f, "description"), "context": text(f, "context")})
		answer(rw, 201, map[string]any{"id": len(w.statuses)})
	})
	handle("GET "+repo+"/issues/{number}/comments", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "since", "per_page", "page")
		found := []any{}
		for _, n := range w.of(number(r), false) {
			found = append(found, map[string]any{"id": n.id, "body": n.body, "user": map[string]any{"login": n.author}})
		}
		part, page, next := window(w, found, q, "per_page")
		w.link(rw, r, page, next)
		answer(rw, 200, part)
	})
	handle("POST "+repo+"/issues/{number}/comments", func(rw http.ResponseWriter, r *http.Request) {
		n := w.add(number(r), bot, text(w.fields(r, "body"), "body"), false)
		answer(rw, 201, map[string]any{"id": n.id})
	})
	handle("PATCH "+repo+"/issues/comments/{id}", func(rw http.ResponseWriter, r *http.Request) {
		w.editComment(rw, r, text(w.fields(r, "body"), "body"))
	})
	handle("POST "+repo+"/issues/{number}/labels", func(rw http.ResponseWriter, r *http.Request) {
		body := struct{ Labels []string }{}
		readJSON(w, r, &body.Labels) // the library sends the list itself, which the API takes too
		if p := w.find(rw, r); p != nil {
			p.labels = append(p.labels, body.Labels...)
			answer(rw, 200, []any{})
		}
	})
	handle("POST /api/graphql", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "query", "variables")
		id, _ := f["variables"].(map[string]any)
		i := slices.IndexFunc(w.pulls, func(p *pull) bool { return id["id"] == nodeID(p) })
		if i < 0 {
			answer(rw, 200, map[string]any{"data": nil, "errors": []any{map[string]any{"type": "NOT_FOUND", "message": "Could not resolve to a node with the global id"}}})
			return
		}
		w.pulls[i].draft = strings.Contains(text(f, "query"), "convertPullRequestToDraft(")
		answer(rw, 200, map[string]any{"data": map[string]any{}})
	})
	handle("GET "+repo+"/git/ref/heads/{branch...}", func(rw http.ResponseWriter, r *http.Request) {
		sha := w.branches[r.PathValue("branch")]
		if sha == "" {
			answer(rw, 404, map[string]any{"message": "Not Found"})
			return
		}
		answer(rw, 200, map[string]any{"ref": "refs/heads/" + r.PathValue("branch"), "object": map[string]any{"sha": sha, "type": "commit"}})
	})
	handle("DELETE "+repo+"/git/refs/heads/{branch...}", func(rw http.ResponseWriter, r *http.Request) {
		if w.branches[r.PathValue("branch")] == "" {
			answer(rw, 422, map[string]any{"message": "Reference does not exist"})
			return
		}
		delete(w.branches, r.PathValue("branch"))
		rw.WriteHeader(http.StatusNoContent)
	})
}

func nodeID(p *pull) string { return "PR_" + p.head }

// gitHubPull is a pull request as a list has it, or alone.
func (w *world) gitHubPull(p *pull, alone bool) map[string]any {
	full, label := "ml/platform", "ml:"+p.head
	if p.fork != "" {
		full, label = p.fork, "someone:"+p.head
	}
	state := "open"
	if !p.isOpen() {
		state = "closed"
	}
	one := map[string]any{
		"number": p.number, "node_id": nodeID(p), "state": state, "title": p.title, "body": p.body, "draft": p.draft,
		"html_url": w.server.URL + "/ml/platform/pull/1", "user": map[string]any{"login": bot}, "updated_at": p.updated.Format(time.RFC3339),
		"base": map[string]any{"ref": p.base, "sha": w.branches[p.base], "label": "ml:" + p.base, "repo": map[string]any{"full_name": "ml/platform"}},
		"head": map[string]any{"ref": p.head, "sha": p.sha(), "label": label, "repo": map[string]any{"full_name": full}},
		// Before the merge this is the commit of a merge on trial.
		"merge_commit_sha": "7e57000000000000000000000000000000000000", "merged_at": nil,
	}
	if p.fork == "gone" {
		one["head"].(map[string]any)["repo"] = nil
	}
	if p.isMerged() {
		one["merge_commit_sha"], one["merged_at"] = p.merge, p.updated.Format(time.RFC3339)
	}
	if alone {
		one["merged"] = p.isMerged()
	}
	labels := []any{}
	for _, l := range p.labels {
		labels = append(labels, map[string]any{"name": l})
	}
	one["labels"] = labels
	return one
}
