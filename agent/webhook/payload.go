package webhook

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
)

// news is all that is taken from a hook.
type news struct {
	// repository is the full name, such as ml/platform; empty if the hook is not about one.
	repository string
	// ping: somebody tries whether the hook works.
	ping bool
	// anything may have happened.
	anything bool
	// moved is the full name of the reference that was pushed.
	moved string
	// pull is the number of the pull request that changed, in a way that matters.
	pull int
	// bases are the branches that the pull request goes to, and went to before.
	bases []string
	// merged: the pull request is in its base now.
	merged bool
}

// event returns what the news are to a Repository, and false if they are nothing.
func (n news) event(t Target) (Event, bool) {
	e := Event{Fetch: n.anything || t.follows(n.moved)}
	for _, base := range n.bases {
		if n.pull > 0 && t.follows("refs/heads/"+base) {
			e.Pulls = true
			e.Fetch = e.Fetch || n.merged
		}
	}
	return e, e.Fetch || e.Pulls
}

// errShape is the error of a body that is not what the forge sends.
var errShape = errors.New("the body is not what the forge sends for this event")

const (
	// longestName of a repository, in bytes.
	longestName = 512
	// longestRef is what a Repository can follow: a name of 255 bytes after refs/heads/.
	longestRef = 255 + len("refs/heads/")
)

// fullName is the name of a repository with what it is in: an owner, or groups. It is plain
// enough to be shown.
var fullName = regexp.MustCompile(`^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)+$`)

// matters are the actions on a pull request that change what the agent shows of it, or what it
// counts: its commits, its base, its text, whether it is open, a draft or approved. Labels, assignees and
// the like are none of it.
var matters = set(
	// GitHub, Gitea
	"opened", "reopened", "closed", "deleted", "edited", "synchronize", "synchronized", "ready_for_review", "converted_to_draft",
	"submitted", "dismissed", "reviewed",
	// GitLab
	"open", "reopen", "close", "merge", "update", "approval", "approved", "unapproval", "unapproved",
)

// parseGitHub reads a payload of GitHub, or of Gitea, which has the same form.
func parseGitHub(kind string, body []byte) (news, error) {
	var p struct {
		Action     string `json:"action"`
		Ref        string `json:"ref"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
		PullRequest struct {
			Number int64 `json:"number"`
			Merged bool  `json:"merged"`
			Base   struct {
				Ref string `json:"ref"`
			} `json:"base"`
		} `json:"pull_request"`
		Changes struct {
			Base struct {
				Ref was `json:"ref"`
			} `json:"base"` // GitHub
			Ref was `json:"ref"` // Gitea
		} `json:"changes"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return news{}, errShape
	}
	name := p.Repository.FullName
	switch kind {
	case "ping":
		return ping(name)
	case "push":
		return pushed(name, p.Ref)
	}
	pull := p.PullRequest
	return changed(name, p.Action, pull.Number, pull.Merged && p.Action == "closed", pull.Base.Ref, p.Changes.Base.Ref.From, p.Changes.Ref.From)
}

// was is a value before a change.
type was struct {
	From string `json:"from"`
}

// parseGitLab reads a payload of GitLab, which says itself what it is about.
func parseGitLab(_ string, body []byte) (news, error) {
	var p struct {
		Kind    string `json:"object_kind"`
		Ref     string `json:"ref"`
		Project struct {
			Path string `json:"path_with_namespace"`
		} `json:"project"`
		Attributes struct {
			Number int64  `json:"iid"`
			Action string `json:"action"`
			Base   string `json:"target_branch"`
		} `json:"object_attributes"`
		Changes struct {
			Base struct {
				Previous string `json:"previous"`
			} `json:"target_branch"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return news{}, errShape
	}
	pull := p.Attributes
	switch p.Kind {
	case "push", "tag_push":
		return pushed(p.Project.Path, p.Ref)
	case "merge_request":
		return changed(p.Project.Path, pull.Action, pull.Number, pull.Action == "merge", pull.Base, p.Changes.Base.Previous)
	}
	return news{}, errShape
}

// ping is the news that somebody tries the hook. That of an organization is about no repository.
func ping(repository string) (news, error) {
	if repository != "" && !named(repository) {
		return news{}, errShape
	}
	return news{ping: true, repository: repository}, nil
}

// pushed is the news that a reference has moved.
func pushed(repository, ref string) (news, error) {
	if !named(repository) || len(ref) > longestRef || !strings.HasPrefix(ref, "refs/") {
		return news{}, errShape
	}
	return news{repository: repository, moved: ref}, nil
}

// changed is the news that a pull request has changed. Of the bases, some may be empty.
func changed(repository, action string, number int64, merged bool, bases ...string) (news, error) {
	if !named(repository) || number < 1 || number > math.MaxInt32 {
		return news{}, errShape
	}
	n := news{repository: repository, merged: merged}
	if matters[action] {
		n.pull = int(number)
	}
	for _, base := range bases {
		if len(base) > longestRef {
			return news{}, errShape
		}
		if base != "" {
			n.bases = append(n.bases, base)
		}
	}
	return n, nil
}

// named tells whether a repository has a name that a forge can have given it.
func named(repository string) bool {
	return len(repository) <= longestName && fullName.MatchString(repository)
}
