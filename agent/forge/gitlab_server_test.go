package forge_test

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gitLabServer serves a world as GitLab does, by docs.gitlab.com/api.
func gitLabServer(w *world, mux *http.ServeMux) {
	const project = "/api/v4/projects/ml%2Fplatform"
	const requests = project + "/merge_requests"
	w.etags = true
	say := func(rw http.ResponseWriter, status int, message any) {
		answer(rw, status, map[string]any{"message": message})
	}
	page := func(rw http.ResponseWriter, r *http.Request, all []any) {
		part, at, next := window(w, all, r.URL.Query(), "per_page")
		rw.Header().Set("X-Page", strconv.Itoa(at))
		rw.Header().Set("X-Next-Page", "")
		if next > 0 {
			rw.Header().Set("X-Next-Page", strconv.Itoa(next))
		}
		answer(rw, 200, part)
	}
	mux.HandleFunc("GET /api/v4/user", func(rw http.ResponseWriter, r *http.Request) {
		answer(rw, 200, map[string]any{"username": bot, "id": 1})
	})
	mux.HandleFunc("GET "+project, func(rw http.ResponseWriter, r *http.Request) {
		method := "merge"
		if w.fastForward {
			method = "ff"
		}
		answer(rw, 200, map[string]any{"id": 1, "merge_method": method})
	})
	mux.HandleFunc("GET "+requests, func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "state", "order_by", "sort", "source_branch", "target_branch", "scope", "page", "per_page")
		found := []any{}
		for _, p := range w.pulls {
			if q.Get("state") == "opened" && q.Get("scope") == "all" && p.isOpen() && q.Get("target_branch") == p.base &&
				(q.Get("source_branch") == "" || q.Get("source_branch") == p.head) {
				found = append(found, w.gitLabRequest(p))
			}
		}
		page(rw, r, found)
	})
	mux.HandleFunc("POST "+requests, func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "title", "description", "source_branch", "target_branch")
		head, base := text(f, "source_branch"), text(f, "target_branch")
		switch {
		case len([]rune(text(f, "title"))) > 255:
			say(rw, 400, map[string]any{"title": []any{"is too long (maximum is 255 characters)"}})
		case w.branches[head] == "":
			say(rw, 422, []any{"Source branch \"" + head + "\" does not exist"})
		case w.taken(head, base):
			say(rw, 409, []any{"Another open merge request already exists for this source branch: !1"})
		default:
			answer(rw, 201, w.gitLabRequest(w.make(text(f, "title"), text(f, "description"), head, base, false)))
		}
	})
	mux.HandleFunc("GET "+requests+"/{number}", func(rw http.ResponseWriter, r *http.Request) {
		if p := w.find(rw, r); p != nil {
			answer(rw, 200, w.gitLabRequest(p))
		}
	})
	mux.HandleFunc("PUT "+requests+"/{number}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "title", "description", "add_labels", "state_event")
		p := w.find(rw, r)
		if p == nil {
			return
		}
		if title := text(f, "title"); title != "" {
			p.title, p.body = title, text(f, "description")
		}
		if labels := text(f, "add_labels"); labels != "" {
			p.labels = append(p.labels, strings.Split(labels, ",")...)
		}
		p.closed = p.closed || text(f, "state_event") == "close"
		p.updated = w.now()
		answer(rw, 200, w.gitLabRequest(p))
	})
	mux.HandleFunc("PUT "+requests+"/{number}/merge", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "sha", "squash", "should_remove_source_branch")
		p := w.find(rw, r)
		switch {
		case p == nil:
		case !p.isOpen() || isDraft(p):
			say(rw, 405, "405 Method Not Allowed")
		case text(f, "sha") != p.sha():
			say(rw, 409, "SHA does not match HEAD of source branch: "+p.sha())
		default:
			squash := f["squash"] == true
			p.mergedSHA, p.updated = p.sha(), w.now()
			at := p.sha() // a fast-forward makes no commit
			if squash {
				p.squash = w.commit(w.branches[p.base])
				at = p.squash
			}
			if !w.fastForward {
				p.merge = w.commit(w.branches[p.base], at)
				at = p.merge
			}
			w.branches[p.base] = at
			answer(rw, 200, w.gitLabRequest(p))
		}
	})
	mux.HandleFunc("GET "+project+"/repository/commits/{sha}/merge_requests", func(rw http.ResponseWriter, r *http.Request) {
		found := []any{}
		for _, p := range w.pulls {
			sha := r.PathValue("sha")
			if p.merge == sha || p.squash == sha || slices.ContainsFunc(p.heads, func(v version) bool { return v.sha == sha }) {
				found = append(found, w.gitLabRequest(p))
			}
		}
		answer(rw, 200, found)
	})
	mux.HandleFunc("GET "+project+"/repository/merge_base", func(rw http.ResponseWriter, r *http.Request) {
		refs := w.query(r, "refs[]")["refs[]"]
		if len(refs) != 2 {
			say(rw, 400, "Provide at least 2 refs")
			return
		}
		for i, ref := range refs {
			if sha := w.branches[ref]; sha != "" {
				refs[i] = sha
			} else if !slices.Contains(w.commits(), ref) {
				say(rw, 400, "Could not find ref: "+ref)
				return
			}
		}
		if base := w.mergeBase(refs[0], refs[1]); base != "" {
			answer(rw, 200, map[string]any{"id": base, "short_id": base[:8]})
			return
		}
		say(rw, 404, "404 Merge Base Not Found")
	})
	mux.HandleFunc("GET "+requests+"/{number}/approvals", func(rw http.ResponseWriter, r *http.Request) {
		p := w.find(rw, r)
		if p == nil {
			return
		}
		by := []any{}
		for _, v := range p.reviews {
			if v.state == "APPROVED" && !v.dismissed {
				one := map[string]any{"user": map[string]any{"username": v.author, "id": 2}}
				if v.author != "old" { // as of a version of GitLab that does not say when
					one["approved_at"] = v.at.Format("2006-01-02T15:04:05.000Z")
				}
				by = append(by, one)
			}
		}
		answer(rw, 200, map[string]any{"approved": len(by) > 0, "approved_by": by})
	})
	mux.HandleFunc("GET "+requests+"/{number}/versions", func(rw http.ResponseWriter, r *http.Request) {
		p := w.find(rw, r)
		if p == nil {
			return
		}
		found := []any{}
		for i, v := range slices.Backward(p.heads) {
			found = append(found, map[string]any{"id": i, "head_commit_sha": v.sha, "created_at": v.at.Format("2006-01-02T15:04:05.000Z")})
		}
		page(rw, r, found)
	})
	mux.HandleFunc("GET "+requests+"/{number}/notes", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "order_by", "sort", "page", "per_page")
		notes := w.of(number(r), true)
		if q.Get("sort") != "asc" {
			slices.Reverse(notes)
		}
		found := []any{}
		for _, n := range notes {
			found = append(found, map[string]any{"id": n.id, "body": n.body, "author": map[string]any{"username": n.author}, "system": n.system,
				"created_at": n.at.Format("2006-01-02T15:04:05.000Z")})
		}
		page(rw, r, found)
	})
	mux.HandleFunc("POST "+requests+"/{number}/notes", func(rw http.ResponseWriter, r *http.Request) {
		n := w.add(number(r), bot, text(w.fields(r, "body"), "body"), false)
		answer(rw, 201, map[string]any{"id": n.id})
	})
	mux.HandleFunc("PUT "+requests+"/{number}/notes/{id}", func(rw http.ResponseWriter, r *http.Request) {
		w.editComment(rw, r, text(w.fields(r, "body"), "body"))
	})
	mux.HandleFunc("GET /api/v4/groups/{group}/members/all", func(rw http.ResponseWriter, r *http.Request) {
		q := w.query(r, "query", "page", "per_page")
		if r.PathValue("group") != "ml/risk/reviewers" {
			say(rw, 404, "404 Group Not Found")
			return
		}
		found := []any{}
		for i, name := range []string{"annabel", reviewer, "minimal"} {
			if strings.Contains(name, q.Get("query")) {
				found = append(found, map[string]any{"id": i, "username": name, "state": "active", "access_level": []int{30, 30, 5}[i]})
			}
		}
		page(rw, r, found)
	})
	mux.HandleFunc("POST "+project+"/statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		f := w.fields(r, "state", "name", "target_url", "description")
		state := map[string]string{"pending": "pending", "success": "success", "failed": "failure"}[text(f, "state")]
		sha, name := r.PathValue("sha"), text(f, "name")
		switch {
		case state == "":
			say(rw, 400, "state does not have a valid value")
			return
		case len([]rune(text(f, "description"))) > 255:
			say(rw, 400, map[string]any{"description": []any{"is too long (maximum is 255 characters)"}})
			return
		}
		for i, s := range w.statuses { // one that is not over is changed, and not by every state
			if s["sha"] == sha && s["context"] == name && s["state"] == "pending" {
				if state == "pending" {
					say(rw, 400, `Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via "enqueue")`)
					return
				}
				w.statuses = slices.Delete(w.statuses, i, i+1)
				break
			}
		}
		w.statuses = append(w.statuses, map[string]string{"sha": sha, "state": state, "description": text(f, "description"), "context": name})
		answer(rw, 201, map[string]any{"id": len(w.statuses)})
	})
	mux.HandleFunc("GET "+project+"/repository/branches/{branch}", func(rw http.ResponseWriter, r *http.Request) {
		sha := w.branches[r.PathValue("branch")]
		if sha == "" {
			say(rw, 404, "404 Branch Not Found")
			return
		}
		answer(rw, 200, map[string]any{"name": r.PathValue("branch"), "commit": map[string]any{"id": sha}})
	})
	mux.HandleFunc("DELETE "+project+"/repository/branches/{branch}", func(rw http.ResponseWriter, r *http.Request) {
		delete(w.branches, r.PathValue("branch"))
		rw.WriteHeader(http.StatusNoContent)
	})
}

var draftTitle = regexp.MustCompile(`(?i)^\s*(draft:|\[draft\]|\(draft\))`)

func isDraft(p *pull) bool { return draftTitle.MatchString(p.title) }

func (w *world) gitLabRequest(p *pull) map[string]any {
	state, source := "opened", 1
	switch {
	case p.isMerged():
		state = "merged"
	case p.closed:
		state = "closed"
	}
	if p.fork != "" {
		source = 2
	}
	one := map[string]any{
		"id": 100 + p.number, "iid": p.number, "project_id": 1, "title": p.title, "description": p.body, "state": state, "draft": isDraft(p),
		"web_url": w.server.URL + "/ml/platform/-/merge_requests/1", "author": map[string]any{"username": bot}, "updated_at": p.updated.Format("2006-01-02T15:04:05.000Z"),
		"source_branch": p.head, "target_branch": p.base, "source_project_id": source, "target_project_id": 1, "sha": p.sha(),
		"labels": append([]string{}, p.labels...), "merge_commit_sha": null(p.merge), "squash_commit_sha": null(p.squash),
		"detailed_merge_status": "mergeable",
	}
	if isDraft(p) {
		one["detailed_merge_status"] = "draft_status"
	}
	return one
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
