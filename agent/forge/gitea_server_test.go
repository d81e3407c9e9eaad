package forge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// giteaServer serves a world as Gitea does, by its swagger description.
func giteaServer(w *world, mux *http.ServeMux) {
	const repo = "/api/v1/repos/ml/platform"
	refuse := func(rw http.ResponseWriter, status int, message string) {
		answer(rw, status, map[string]any{"message": message, "url": w.server.URL + "/api/swagger"})
	}
	mux.HandleFunc("GET /api/v1/user", func(rw http.ResponseWriter, r *http.Request) {
		answer(rw, 200, map[string]any{"login": bot, "id": 1})
	})
	mux.HandleFunc("GET "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "state", "sort", "milestone", "labels", "page", "limit")
		found := []*pull{}
		for _, p := range w.pulls {
			if q.Get("state") == "open" && p.isOpen() {
				found = append(found, p)
			}
		}
		part, page, next := window(w, found, q, "limit")
		w.link(rw, r, page, next)
		shown := []any{}
		for _, p := range part {
			shown = append(shown, w.giteaPull(p))
		}
		answer(rw, 200, shown)
	})
	mux.HandleFunc("POST "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "head", "base", "title", "body", "assignee", "assignees", "reviewers", "team_reviewers", "milestone", "labels", "due_date")
		head, base := text(f, "head"), text(f, "base")
		switch {
		case w.branches[head] == "":
			refuse(rw, 404, "The target couldn't be found.")
		case w.taken(head, base):
			refuse(rw, 409, fmt.Sprintf("pull request already exists for these targets [id: 1, issue_id: 1, head_repo_id: 1, base_repo_id: 1, head_branch: %s, base_branch: %s]", head, base))
		default:
			answer(rw, 201, w.giteaPull(w.make(text(f, "title"), text(f, "body"), head, base, false)))
		}
	})
	mux.HandleFunc("GET "+repo+"/pulls/{number}", func(rw http.ResponseWriter, r *http.Request) {
		if p := w.find(rw, r); p != nil {
			answer(rw, 200, w.giteaPull(p))
		}
	})
	mux.HandleFunc("PATCH "+repo+"/pulls/{number}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "title", "body", "base", "assignee", "assignees", "milestone", "labels", "state", "due_date", "unset_due_date", "allow_maintainer_edit")
		p := w.find(rw, r)
		if p == nil {
			return
		}
		if f["labels"] != nil {
			w.t.Error("labels are replaced, which takes away those that people have added")
		}
		if title := text(f, "title"); title != "" {
			p.title = title
		}
		if body, ok := f["body"].(string); ok {
			p.body = body
		}
		if state := text(f, "state"); state != "" {
			if p.isMerged() {
				refuse(rw, 412, "cannot change state of this pull request, it was already merged")
				return
			}
			p.closed = state == "closed"
		}
		p.updated = w.now()
		answer(rw, 201, w.giteaPull(p))
	})
	mux.HandleFunc("POST "+repo+"/pulls/{number}/merge", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "Do", "MergeCommitID", "MergeTitleField", "MergeMessageField", "delete_branch_after_merge", "force_merge", "head_commit_id", "merge_when_checks_succeed")
		p := w.find(rw, r)
		switch {
		case p == nil:
		case p.isMerged():
			refuse(rw, 405, "")
		case p.closed:
			refuse(rw, 404, "The target couldn't be found.")
		case strings.HasPrefix(p.title, "WIP:"):
			refuse(rw, 405, "Work in progress PRs cannot be merged")
		case text(f, "head_commit_id") != p.sha():
			refuse(rw, 409, "head out of date")
		case f["force_merge"] == true:
			w.t.Error("the merge is forced")
		default:
			w.merge(p, text(f, "Do"))
			rw.WriteHeader(200)
		}
	})
	mux.HandleFunc("GET "+repo+"/commits/{sha}/pull", func(rw http.ResponseWriter, r *http.Request) {
		for _, p := range w.pulls {
			if p.isMerged() && p.merge == r.PathValue("sha") {
				answer(rw, 200, w.giteaPull(p))
				return
			}
		}
		refuse(rw, 404, "pull request does not exist [id: 0, issue_id: 0, head_repo_id: 0, base_repo_id: 1, head_branch: , base_branch: ]")
	})
	mux.HandleFunc("GET "+repo+"/commits", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "sha", "not", "page", "limit", "stat", "verification", "files")
		if q.Get("stat") != "false" || q.Get("verification") != "false" || q.Get("files") != "false" {
			w.t.Errorf("%s asks for more than commits", r.URL)
		}
		if !slices.Contains(w.commits(), q.Get("sha")) {
			refuse(rw, 404, "object does not exist [id: "+q.Get("sha")+", rel_path: ]")
			return
		}
		behind, other := w.history(q.Get("sha")), w.history(q.Get("not"))
		found := []any{}
		for _, sha := range slices.Backward(w.commits()) {
			if behind[sha] && !other[sha] {
				parents := []any{}
				for _, parent := range w.parents[sha] {
					parents = append(parents, map[string]any{"sha": parent})
				}
				found = append(found, map[string]any{"sha": sha, "parents": parents})
			}
		}
		part, page, next := window(w, found, q, "limit")
		w.link(rw, r, page, next)
		answer(rw, 200, part)
	})
	mux.HandleFunc("GET "+repo+"/git/refs/pull/{number}/head", func(rw http.ResponseWriter, r *http.Request) {
		p := w.find(rw, r)
		if p == nil {
			return
		}
		sha := p.sha()
		if p.isMerged() {
			sha = p.mergedSHA
		}
		found := []any{map[string]any{"ref": fmt.Sprintf("refs/pull/%d/head", p.number), "object": map[string]any{"type": "commit", "sha": sha}}}
		if p.number < 2 { // what only begins like it is in the answer too
			found = append([]any{map[string]any{"ref": "refs/pull/1/head-of-something", "object": map[string]any{"type": "commit", "sha": "no"}}}, found...)
		}
		answer(rw, 200, found)
	})
	mux.HandleFunc("GET "+repo+"/pulls/{number}/reviews", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "page", "limit")
		p := w.find(rw, r)
		if p == nil {
			return
		}
		found := []any{map[string]any{"id": 900, "state": "REQUEST_REVIEW", "team": map[string]any{"id": 7, "name": "risk"}, "submitted_at": w.clock.Format(time.RFC3339)}}
		for i, v := range p.reviews {
			found = append(found, map[string]any{
				"id": i + 1, "user": map[string]any{"login": v.author}, "state": v.state, "commit_id": v.commit, "submitted_at": v.at.Format(time.RFC3339),
				"official": !v.unofficial, "dismissed": v.dismissed, "stale": v.commit != p.sha(),
			})
		}
		part, page, next := window(w, found, q, "limit")
		w.link(rw, r, page, next)
		answer(rw, 200, part)
	})
	mux.HandleFunc("GET /api/v1/orgs/{org}/teams/search", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "q", "include_desc", "page", "limit")
		if r.PathValue("org") != "ml" {
			refuse(rw, 404, "The target couldn't be found.")
			return
		}
		found := []any{}
		for id, name := range []string{"risk-readers", "Risk"} {
			if strings.Contains(strings.ToLower(name), strings.ToLower(q.Get("q"))) {
				found = append(found, map[string]any{"id": id + 1, "name": name})
			}
		}
		answer(rw, 200, map[string]any{"ok": true, "data": found})
	})
	mux.HandleFunc("GET /api/v1/teams/{id}/members/{user}", func(rw http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") == "2" && r.PathValue("user") == reviewer {
			answer(rw, 200, map[string]any{"login": reviewer})
			return
		}
		refuse(rw, 404, "The target couldn't be found.")
	})
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "state", "target_url", "description", "context")
		w.statuses = append(w.statuses, map[string]string{"sha": r.PathValue("sha"), "state": text(f, "state"), "description": text(f, "description"), "context": text(f, "context")})
		answer(rw, 201, map[string]any{"id": len(w.statuses), "status": f["state"]})
	})
	mux.HandleFunc("GET "+repo+"/issues/{number}/comments", func(rw http.ResponseWriter, r *http.Request) {
		w.query(r, "since", "before", "page", "limit") // the last two do nothing, and the library has them
		found := []any{}
		for _, n := range w.of(number(r), false) {
			found = append(found, map[string]any{"id": n.id, "body": n.body, "user": map[string]any{"login": n.author}})
		}
		rw.Header().Set("X-Total-Count", fmt.Sprint(len(found)))
		answer(rw, 200, found)
	})
	mux.HandleFunc("POST "+repo+"/issues/{number}/comments", func(rw http.ResponseWriter, r *http.Request) {
		n := w.add(number(r), bot, text(w.fields(r, "body"), "body"), false)
		answer(rw, 201, map[string]any{"id": n.id})
	})
	mux.HandleFunc("PATCH "+repo+"/issues/comments/{id}", func(rw http.ResponseWriter, r *http.Request) {
		w.editComment(rw, r, text(w.fields(r, "body"), "body"))
	})
	mux.HandleFunc("GET "+repo+"/labels", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "page", "limit")
		found := []any{}
		for i, l := range w.labels {
			found = append(found, map[string]any{"id": i + 1, "name": l})
		}
		part, page, next := window(w, found, q, "limit")
		w.link(rw, r, page, next)
		answer(rw, 200, part)
	})
	mux.HandleFunc("POST "+repo+"/labels", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "name", "color", "description", "exclusive", "is_archived")
		if len(text(f, "color")) != 7 || slices.Contains(w.labels, text(f, "name")) {
			w.t.Errorf("label %v is made", f)
		}
		w.labels = append(w.labels, text(f, "name"))
		answer(rw, 201, map[string]any{"id": len(w.labels), "name": f["name"]})
	})
	mux.HandleFunc("POST "+repo+"/issues/{number}/labels", func(rw http.ResponseWriter, r *http.Request) {
		ids, _ := w.fields(r, "labels")["labels"].([]any)
		if p := w.find(rw, r); p != nil {
			for _, id := range ids {
				p.labels = append(p.labels, w.labels[int(id.(float64))-1])
			}
			answer(rw, 200, []any{})
		}
	})
	mux.HandleFunc("GET "+repo+"/branches/{branch...}", func(rw http.ResponseWriter, r *http.Request) {
		sha := w.branches[r.PathValue("branch")]
		if sha == "" {
			refuse(rw, 404, "The target couldn't be found.")
			return
		}
		answer(rw, 200, map[string]any{"name": r.PathValue("branch"), "commit": map[string]any{"id": sha}})
	})
	mux.HandleFunc("DELETE "+repo+"/branches/{branch...}", func(rw http.ResponseWriter, r *http.Request) {
		delete(w.branches, r.PathValue("branch"))
		rw.WriteHeader(http.StatusNoContent)
	})
}

func (w *world) giteaPull(p *pull) map[string]any {
	here := map[string]any{"full_name": "ml/platform", "name": "platform", "owner": map[string]any{"login": "ml"}}
	state := "open"
	if !p.isOpen() {
		state = "closed"
	}
	// The head is where the branch is now, also after the merge.
	head := map[string]any{"label": p.head, "ref": p.head, "sha": w.branches[p.head], "repo_id": 1, "repo": here}
	switch {
	case p.fork == "gone":
		head["ref"], head["sha"], head["repo_id"], head["repo"] = fmt.Sprintf("refs/pull/%d/head", p.number), p.sha(), -1, nil
	case p.fork == "agit":
		head["label"], head["sha"] = "", p.sha()
	case p.fork != "":
		head["sha"], head["repo_id"], head["repo"] = p.sha(), 2, map[string]any{"full_name": p.fork}
	case w.branches[p.head] == "":
		head["ref"], head["sha"] = fmt.Sprintf("refs/pull/%d/head", p.number), p.sha()
	}
	one := map[string]any{
		"number": p.number, "state": state, "title": p.title, "body": p.body, "draft": strings.HasPrefix(p.title, "WIP:"),
		"html_url": w.server.URL + "/ml/platform/pulls/1", "user": map[string]any{"login": bot}, "updated_at": p.updated.Format(time.RFC3339),
		"base":   map[string]any{"label": p.base, "ref": p.base, "sha": w.branches[p.base], "repo_id": 1, "repo": here},
		"head":   head,
		"merged": p.isMerged(), "merge_commit_sha": nil,
	}
	if p.isMerged() {
		one["merge_commit_sha"], one["merged_at"] = p.merge, p.updated.Format(time.RFC3339)
	}
	labels := []any{}
	for _, l := range p.labels {
		labels = append(labels, map[string]any{"id": 1, "name": l})
	}
	one["labels"] = labels
	return one
}
